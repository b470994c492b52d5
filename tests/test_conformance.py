"""The made-up provider passes the suite that every provider passes, and wrong ones do not."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import wrong_plugins
from acme.plugin import AcmeProvider
from videogen_core.testing.conformance import ProviderSuite, Quoted
from videogen_core.testing.conformance.lost import Lost

HERE = Path(__file__).parent
EXPECTED = {
    f"{name}::{suite.fails}": suite.says
    for name, suite in vars(wrong_plugins).items()
    if isinstance(suite, type) and issubclass(suite, wrong_plugins.WrongBase) and suite is not wrong_plugins.WrongBase
}
EXPECTED |= {f"RightOverride::{name}": "passed" for name in ("test_no_standard_test_is_missing", "test_many_at_once")}


class TestAcme(ProviderSuite):
    """A vendor of which nothing that was lost can be found again."""

    provider = AcmeProvider
    quotes = (
        Quoted("paper", {"duration": 4, "resolution": "240p"}, "0.40"),
        Quoted("paper", {"duration": 2, "resolution": "720p", "audio": True}, "0.90"),
        Quoted("paper", {"duration": 1, "count": 2, "options": {"acme": {"priority": True}}}, "0.70"),
        Quoted("stone", {"duration": 4}, "0.75"),
    )


class TestAcmeWithKeys(Lost):
    """A create that was lost is sent again under its key."""

    provider = partial(AcmeProvider, kind="A")


class TestAcmeWithRefs(Lost):
    """It can be asked for our own id."""

    provider = partial(AcmeProvider, kind="B", list_lag=3.0)


class TestAcmeWithInputs(Lost):
    """It lists jobs with their inputs."""

    provider = partial(AcmeProvider, kind="C", list_lag=3.0)


class TestAcmeWithTimes(Lost):
    """It lists jobs, and nobody can tell whose they are."""

    provider = partial(AcmeProvider, kind="D")
    backends = ("trio",)


# --- wrong ones


def test_a_wrong_plugin_is_found_out(tmp_path: Path) -> None:
    """Each by the test that is meant to, and for the right reason; all are run in one process."""
    ended = outcomes(tmp_path / "report.xml")
    missed = {name: ended.get(name) for name, says in EXPECTED.items() if says not in (ended.get(name) or "")}
    assert missed == {}


def outcomes(report: Path) -> dict[str, str]:
    """How each test of ``wrong_plugins`` that is expected to fail, or not to, ended: in its message's words."""
    nodes = [f"{wrong_plugins.__file__}::{name}" for name in EXPECTED]
    options = [
        "-q",
        "--tb=no",
        "--assert=plain",
        "-o",
        "python_classes=Wrong* Right*",
        "-p",
        "no:cacheprovider",
        f"--junit-xml={report}",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for name in [name for name in environment if name.startswith(("PYTEST_", "VIDEOGEN_"))]:
        del environment[name]
    command = [sys.executable, "-m", "pytest", f"--rootdir={HERE.parent}", *options, *nodes]
    done = subprocess.run(command, env=environment, cwd=HERE, text=True, capture_output=True, timeout=240, check=False)
    assert report.exists(), done.stdout + done.stderr
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        failure, error = case.find("failure"), case.find("error")
        said = "passed" if failure is None else failure.attrib["message"]
        suite = case.attrib["classname"].rpartition(".")[2]
        found[f"{suite}::{case.attrib['name']}"] = said if error is None else f"error: {error.text}"
    return found
