"""``videogen plugins verify``: a score for each promise, what is broken and what to do, and what is excused and why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from videogen_core import plugins
from videogen_core.cli import main
from videogen_core.testing.conformance.verify import promises

HERE = Path(__file__).parent
SUITE = """
import pytest
from acme.plugin import AcmeProvider
from videogen_core.testing.conformance.catalogue import Catalogue
from videogen_core.testing.conformance.notices import Notices


class TestAcme(Catalogue, Notices):
    provider = AcmeProvider

    @pytest.mark.xfail(reason="two names mean one model; the vendor's ticket 4711")
    def test_names_are_unique(self):
        raise AssertionError

    def test_of_our_own(self):
        print('{"outcome": "this is no line of ours"}')

    def test_the_provider_introduces_itself(self):
        raise AssertionError("It has no console. Set console.")
"""


@pytest.fixture
def _acme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Acme as if it were installed."""
    point = EntryPoint("acme", "acme.plugin", plugins.GROUP)
    monkeypatch.setattr(plugins, "_entry_points", lambda: (point,))
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = main(("plugins", "verify", *arguments))
    out, err = capsys.readouterr()
    return code, json.loads(out) if "--json" in arguments else out + err


@pytest.mark.usefixtures("_acme")
def test_the_report_has_a_score_for_each_promise(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (suite := tmp_path / "suite.py").write_text(SUITE)
    code, report = told(capsys, "acme", "--suite", str(suite), "--json")
    assert (code, report["ok"], report["plugin"], report["plugin_api"]) == (2, False, "acme", 2)
    rows = {row["name"]: row for row in report["promises"]}
    assert rows.keys() == {*promises(), "Own"}
    assert all(row["promise"] for row in rows.values())
    catalogue, notices = rows["Catalogue"], rows["Notices"]
    assert (notices["failed"], notices["excused"], notices["score"]) == (0, 0, 1.0)
    assert (catalogue["failed"], catalogue["excused"]) == (1, 1)
    held = catalogue["passed"]
    assert held > 5
    assert catalogue["score"] == round(held / (held + 2), 3)
    assert rows["Lost"]["score"] is None, "none of its tests are in this suite"
    assert rows["Own"]["passed"] == 1
    (failure,) = report["failures"]
    assert failure["test"] == "test_the_provider_introduces_itself"
    assert failure["message"].startswith("It has no console. Set console.")
    (excused,) = report["excused"]
    assert excused["reason"] == "two names mean one model; the vendor's ticket 4711"


@pytest.mark.usefixtures("_acme")
def test_the_report_for_people(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    suite = tmp_path / "suite.py"
    suite.write_text(
        "from acme.plugin import AcmeProvider\nfrom videogen_core.testing.conformance.catalogue import Catalogue\n"
        "class TestAcme(Catalogue):\n    provider = AcmeProvider\n"
    )
    code, said = told(capsys, "acme", "--suite", f"{suite}::TestAcme")
    assert code == 0
    assert "Catalogue" in said
    assert "ok" in said
    assert "tests hold" in said


@pytest.mark.usefixtures("_acme")
def test_a_run_that_hangs_is_ended_and_names_the_test(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    suite = tmp_path / "suite.py"
    suite.write_text("import time\nclass TestAcme:\n    def test_that_hangs(self):\n        time.sleep(600)\n")
    code, report = told(capsys, "acme", "--suite", str(suite), "--timeout", "15", "--json")
    assert (code, report["ok"], report["timed_out"]) == (2, False, "test_that_hangs")


@pytest.mark.usefixtures("_acme")
def test_what_cannot_be_verified_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "No plugin named 'nobody' is installed" in told(capsys, "nobody")[1]
    assert "there is no file 'gone.py'" in told(capsys, "acme", "--suite", "gone.py")[1]
    (suite := tmp_path / "suite.py").write_text("import nothing_of_the_kind\n")
    code, report = told(capsys, "acme", "--suite", str(suite), "--json")
    assert code == 2
    assert "nothing_of_the_kind" in report["failures"][0]["message"]


def test_without_a_suite_of_its_author_s_the_rest_is_run(tmp_path: Path) -> None:
    """Collected only: it takes as long as the whole suite."""
    code = (
        "import sys, pytest\n"
        "from videogen_core.testing.conformance import verify\n"
        "real = pytest.main\n"
        "pytest.main = lambda options, plugins: real([*options, '--collect-only'], plugins=plugins)\n"
        "sys.exit(verify.main('acme.plugin'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"suite": ""}
    assert lines[1]["tests"] > 100
    assert "test_every_priced_offer_has_a_quote_worked_out" not in done.stderr
