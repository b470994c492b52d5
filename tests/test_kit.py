"""What a stranger does who writes a plugin: only our wheel, our documentation, and an empty environment.

These take minutes and install from the package index; ``nox -s kit`` runs them, with the wheels of ``nox -s build``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import test_docs
from videogen_core.scaffold import KINDS

pytestmark = pytest.mark.kit

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
PROMPT = "A paper boat drifting down a rainy street"
# Opens the clip as a player would, and decodes every frame.
PROBE = """
import sys, av
with av.open(sys.argv[1]) as clip:
    frames = sum(1 for _ in clip.decode(video=0))
    print(clip.streams.video[0].codec_context.name, frames)
"""


class Place:
    """An empty environment, and a folder to work in.

    Args:
        folder: Made here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "environment" / "bin"
        subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(self.bin.parent)], check=True)

    @property
    def variables(self) -> dict[str, str]:
        """Nothing of this process but what pip needs to know; the core's wheel is found as if it were published."""
        strange = ("VIDEOGEN_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "COV_", "COLUMNS", "LINES", "FORCE_COLOR")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
        return {
            **kept,
            "PATH": f"{self.bin}{os.pathsep}{kept.get('PATH', '')}",
            "PIP_FIND_LINKS": str(DIST),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "VIDEOGEN_HOME": str(self.folder / "home"),
            "VIDEOGEN_CONFIG_DIR": str(self.folder / "config"),
            "NO_COLOR": "1",
        }

    def run(self, *command: str, cwd: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
        """Run a command of the environment's; what it printed."""
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            cwd=cwd or self.folder,
            env={**self.variables, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An environment with the core's wheel."""
    place = Place(tmp_path_factory.mktemp("bench"))
    (core,) = DIST.glob("videogen_core-*.whl")
    place.run("pip", "install", "--quiet", str(core))
    return place


@pytest.mark.parametrize("page", test_docs.FOLLOWED)
def test_a_tutorial_followed_to_the_letter(page: str, tmp_path: Path) -> None:
    """Every file is written and every command run, and prints what the page says."""
    place = Place(tmp_path)
    work = tmp_path / "videogen-lumen"
    work.mkdir()
    done = subprocess.run(
        [sys.executable, test_docs.__file__, "--check", str(work), str(ROOT / page)],
        env=place.variables,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    assert (work / "dist").is_dir()


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_works_as_it_is_written(kind: str, bench: Place, tmp_path: Path) -> None:
    """It installs as a wheel, passes its own tests, is typed and formatted, and makes a clip; nothing is changed."""
    name = f"{kind}-tried"
    folder = Path(bench.run("videogen", "new-plugin", name, "--kind", kind, "--quiet", cwd=tmp_path).strip())
    before = _content(folder)
    bench.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path / "wheels"), str(folder))
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    bench.run("pip", "install", "--quiet", f"{wheel}[dev]")
    try:
        bench.run("ruff", "check", "--no-cache", ".", cwd=folder)
        bench.run("ruff", "format", "--no-cache", "--check", ".", cwd=folder)
        bench.run("mypy", "--cache-dir", os.devnull, cwd=folder)
        printed = bench.run("pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
        assert "skipped" in printed
        assert f"{name.replace('-', '_')}.plugin belongs to no installed distribution" not in printed
        _makes_a_clip(bench, name, tmp_path / "boat.mp4")
        assert _content(folder) == before
    finally:
        bench.run("pip", "uninstall", "--quiet", "--yes", f"videogen-{name}")


def test_names_of_any_length_are_formatted(bench: Place, tmp_path: Path) -> None:
    """The shortest and the longest name make other line breaks, if any do."""
    bench.run("pip", "install", "--quiet", "ruff")
    for name in ("a", "ab-9", "o" * 20, "longer-than-is-usual"):
        for kind in KINDS:
            folder = tmp_path / kind / name
            bench.run("videogen", "new-plugin", name, "--kind", kind, "--folder", str(folder), "--quiet")
            bench.run("ruff", "check", "--no-cache", ".", cwd=folder)
            bench.run("ruff", "format", "--no-cache", "--check", ".", cwd=folder)


def _content(folder: Path) -> dict[str, bytes]:
    """Every file as it is, but for what Python leaves behind."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        if not {"__pycache__", ".hypothesis"} & set(path.parts)
    }


def _makes_a_clip(bench: Place, name: str, clip: Path) -> None:
    """On the command line, through ``videogen emulate NAME``."""
    command = [str(bench.bin / "videogen"), "emulate", name, "--json", "--seconds", "0.2"]
    with subprocess.Popen(command, env=bench.variables, stdout=subprocess.PIPE, text=True) as vendor:
        try:
            variables = json.loads("".join(_document(vendor)))["environment"]
            choice = ("--model", f"{name}/spark-1", "--duration", "2", "--resolution", "360p")
            bench.run("videogen", "generate", PROMPT, *choice, "-o", str(clip), variables=variables)
        finally:
            vendor.terminate()
    assert bench.run("python", "-c", PROBE, str(clip)).split() == ["h264", "16"]


def _document(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines of the first JSON document that a process prints."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if line == "}\n":
            return


@pytest.fixture(autouse=True)
def _wheels() -> None:
    assert list(DIST.glob("videogen_core-*.whl")), "build the wheels first: nox -s build"
