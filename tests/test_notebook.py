"""The notebook of the documentation, run in a real kernel: results play inline, progress shows, sync and await work."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from videogen_core import notebook
from videogen_core.progress import Progress

PAGE = Path(__file__).parents[1] / "docs/tutorial/notebook.ipynb"
Outputs = list[list[dict[str, Any]]]


def run(page: Any, folder: Path) -> Outputs:
    """Execute a notebook in a kernel of this Python; what each of its code cells put below itself."""
    import nbclient

    kernel = folder / "kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": launch, "display_name": "Python 3", "language": "python"}))
    patch = pytest.MonkeyPatch()
    try:
        for name in [name for name in os.environ if name.startswith("VIDEOGEN_")]:
            patch.delenv(name)
        patch.setenv("VIDEOGEN_HOME", str(folder / "home"))
        patch.setenv("VIDEOGEN_PROBE_IN_PROCESS", "1")
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        nbclient.NotebookClient(page, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    finally:
        patch.undo()
    return [[dict(output) for output in cell.outputs] for cell in page.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    nbformat = pytest.importorskip("nbformat", reason="needs a Jupyter kernel: pip install ipykernel nbclient")
    pytest.importorskip("ipykernel", reason="needs a Jupyter kernel: pip install ipykernel nbclient")
    return run(nbformat.read(PAGE, as_version=4), tmp_path_factory.mktemp("notebook"))


def shown(cell: list[dict[str, Any]], kind: str = "text/html") -> list[str]:
    return ["".join(output["data"][kind]) for output in cell if kind in output.get("data", {})]


def test_progress_and_result_show_below_the_cell(outputs: Outputs) -> None:
    progress, result = shown(outputs[1])
    assert "<b>stored</b>" in progress
    assert "sandbox/sandbox" in progress
    assert result.startswith("<video controls")
    assert "data:video/mp4;base64," in result
    text, _ = shown(outputs[1], "text/plain")
    assert text.startswith("stored")


def test_await_works_and_each_job_has_its_line(outputs: Outputs) -> None:
    *bars, result = shown(outputs[2])
    assert len(bars) == 2
    assert all("<b>stored</b>" in bar for bar in bars)
    assert result.startswith("<video controls")


def test_a_job_is_fetched_in_another_cell(outputs: Outputs) -> None:
    assert "<Job vg-" in shown(outputs[3], "text/plain")[0]
    assert shown(outputs[4])[-1].startswith("<video controls")


def test_errors_and_listeners_of_ones_own(outputs: Outputs) -> None:
    *empty, error = outputs[5]
    assert "duration" in error["text"]
    assert shown(empty) in ([], [""])
    assert {output["output_type"] for output in outputs[6]} == {"stream"}  # and no bar beside it
    assert "".join(output["text"] for output in outputs[6]).splitlines()[-1] == "succeeded stored"


def test_outside_of_a_notebook_nothing_is_shown() -> None:
    assert notebook.listener(lambda offer: 1.0) is None


@pytest.mark.parametrize("share", [None, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("expected", [None, 30.0, 1e-9])
@pytest.mark.parametrize("stage", ["queued", "running", "stored", "failed"])
def test_every_state_has_a_bar_and_a_line(share: float | None, expected: float | None, stage: str) -> None:
    progress = Progress("vg-1", offer="acme/<b>", stage=stage, share=share, expected=expected)
    row = notebook._row(progress, "an <i>odd</i> remark")
    assert "acme/&lt;b&gt;" in row
    assert "an &lt;i&gt;odd&lt;/i&gt; remark" in row
    moves = share is None and expected == 30.0 and stage in ("queued", "running")
    assert ("@keyframes" in row) == moves
    assert notebook._line(progress, "remark").endswith("acme/<b> remark")
