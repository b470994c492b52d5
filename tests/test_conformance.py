"""The made-up provider passes the suite that every provider passes, and wrong ones do not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import pytest

import wrong_guests
import wrong_plugins
from acme.plugin import AcmeProvider
from videogen_core.testing.conformance import ProviderSuite, Quoted
from videogen_core.testing.conformance.lost import Lost
from videogen_core.testing.conformance.unwired import no_wire

HERE = Path(__file__).parent
WRONG = {
    f"{module.__name__}::{name}": suite
    for module in (wrong_plugins, wrong_guests)
    for name, suite in vars(module).items()
    if isinstance(suite, type) and issubclass(suite, wrong_plugins.WrongBase) and suite.__module__ == module.__name__
    if suite is not wrong_plugins.WrongBase
}
EXPECTED = {f"{name}::{suite.fails}": suite.says for name, suite in WRONG.items()}
EXPECTED |= {
    f"wrong_plugins::RightOverride::{name}": "passed"
    for name in ("test_no_standard_test_is_missing", "test_many_at_once")
}


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


def test_with_a_workshop_nothing_can_be_connected_to() -> None:
    """A provider that has a vendor cannot pass for one that has none."""
    with pytest.MonkeyPatch.context() as patch, socket.socket() as one:
        no_wire(patch)
        with pytest.raises(OSError, match="nobody to talk to"):
            one.connect(("127.0.0.1", 9))


# Tests that no deliberately broken plugin fails, and why one need not.
_WITHOUT_A_MUTANT = {
    "test_a_mode_admits_what_it_lists": "the core admits what a mode lists, whatever the plugin",
    "test_one_step_past_an_edge_is_refused": "likewise",
    "test_a_default_is_written_out": "a row without one is refused when it is read",
    "test_input_limits_hold": "the core holds them",
    "test_every_name_of_an_offer_finds_it": "the core looks names up",
    "test_its_entry_point_is_right": "needs an installed distribution; the tests of plugins run it",
    "test_a_clip": "what may be wrong with one has a test of its own each",
    "test_a_clip_by_the_sync_client": "the same code",
    "test_a_clip_by_the_command_line": "the same code",
    "test_a_provider_serves_one_event_loop_after_another": "a session belongs to its loop in the core",
    "test_sync_and_async_send_the_same": "the same code",
    "test_the_emulator_charges": "of the emulator",
    "test_one_key_is_enough_for_some_offer": "of the emulator's variables",
    "test_a_wrong_key_is_refused_in_words": "the class of the error is tested with 401",
    "test_the_command_line_shows_no_key": "the same sinks",
    "test_no_key_follows_a_redirect": "the core follows redirects",
    "test_what_the_vendor_keeps_no_longer_is_said_to_be_gone": "the core fetches",
    "test_a_poll_that_hangs_does_not_hold_the_user": "the core ends the wait",
    "test_a_vendor_that_stays_away_is_reported": "the other side of one that comes back",
    "test_a_request_that_may_have_arrived_is_not_repeated": "the other side of a lost answer",
    "test_what_is_reconciled_can_be_found": "one that says more than it can is found by its kind",
}


def test_every_promise_has_a_plugin_that_breaks_it() -> None:
    caught = {suite.fails.partition("[")[0] for suite in WRONG.values()}
    standard = {name for name in dir(ProviderSuite) if name.startswith("test_")}
    assert caught | _WITHOUT_A_MUTANT.keys() == standard
    assert not caught & _WITHOUT_A_MUTANT.keys()
    groups = [group for group in ProviderSuite.__mro__ if group.__module__.startswith(ProviderSuite.__module__ + ".")]
    promises = {group: {name for name in vars(group) if name.startswith("test_")} for group in groups}
    assert [group.__name__ for group, tests in promises.items() if tests and not tests & caught] == []


def outcomes(report: Path) -> dict[str, str]:
    """How each test of ``wrong_plugins`` that is expected to fail, or not to, ended: in its message's words."""
    nodes = [f"{HERE / name.replace('::', '.py::', 1)}" for name in EXPECTED]
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
        suite = "::".join(case.attrib["classname"].split(".")[-2:])
        found[f"{suite}::{case.attrib['name']}"] = said if error is None else f"error: {error.text}"
    return found
