"""``python -m videogen_core.testing.conformance.verify MODULE [SUITE]``: the suite of one plugin, told as it runs.

For ``videogen plugins verify``, which reads the lines that are printed: JSON, one for each test that is over, and in
front of them how many there are. Everything else that tests print is captured.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from . import ProviderSuite

__all__ = ["main", "promises"]

_GENERIC = """
from videogen_core.testing.conformance import ProviderSuite
from {module} import videogen_provider


class TestPlugin(ProviderSuite):
    provider = staticmethod(videogen_provider)
"""
WITHOUT_A_SUITE = "test_every_priced_offer_has_a_quote_worked_out"
"""What a plugin is not held to when its author's own suite is not at hand."""
_LONGEST = 4_000  # characters of a message


def promises() -> dict[str, str]:
    """The groups of the suite, in order, and what each one proves."""
    groups = [kind for kind in ProviderSuite.__mro__ if kind.__module__.startswith(f"{__package__}.")]
    found = {kind.__name__: _first_line(kind) for kind in groups if any(n.startswith("test_") for n in vars(kind))}
    return {**found, "Overrides": "No standard test is overridden or removed without a reason."}


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _promise_of(name: str) -> str:
    """The group that has a test; ``Own`` for what an author adds."""
    for kind in ProviderSuite.__mro__:
        if name in vars(kind):
            return "Overrides" if kind is ProviderSuite else kind.__name__
    return "Own"


class _Teller:
    """Writes down what pytest reports."""

    def __init__(self, stream: Any, *, generic: bool) -> None:
        self._stream = stream
        self._generic = generic

    def _tell(self, **said: Any) -> None:
        self._stream.write(json.dumps(said) + "\n")
        self._stream.flush()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._generic:
            items[:] = [item for item in items if not item.name.startswith(WITHOUT_A_SUITE)]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._tell(tests=len(session.items))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tell(begun=nodeid.rpartition("::")[2])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._tell(test=report.nodeid, promise="Own", outcome="failed", said=str(report.longrepr)[-_LONGEST:])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        reason = getattr(report, "wasxfail", None)
        if report.when != "call" and not (report.failed or report.skipped):
            return
        name = report.nodeid.rpartition("::")[2]
        outcome, said = report.outcome, ""
        if reason is not None:
            outcome, said = "excused" if report.skipped else "passed", str(reason).removeprefix("reason: ")  # type: ignore[assignment]
        elif report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            said = str(crash.message if crash is not None else report.longrepr)[:_LONGEST]
        elif report.skipped:
            said = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        said = said.removeprefix("AssertionError: ").removeprefix("Skipped: ")
        self._tell(test=name, promise=_promise_of(name.partition("[")[0]), outcome=outcome, said=said)


def main(module: str, suite: str = "") -> int:
    """Run the tests; returns pytest's exit code.

    Args:
        module: The plugin's, as its entry point names it.
        suite: File, or ``file::Class``, of the author's own suite; empty = the module ``conformance`` beside the
            plugin's, else none, and then what only its author knows is left out.
    """
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever pytest prints is no line of ours
    suite = suite or _shipped(module)
    with tempfile.TemporaryDirectory(prefix="videogen-verify-") as folder:
        (ini := Path(folder) / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        if not suite:
            (generic := Path(folder) / "test_plugin.py").write_text(_GENERIC.format(module=module), encoding="utf-8")
        node = suite or str(generic)
        teller = _Teller(stream, generic=not suite)
        teller._tell(suite=suite)
        root = Path(node.partition("::")[0]).parent
        options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-c", str(ini), f"--rootdir={root}"]
        options += ["-m", "not chaos", "-o", "python_files=*.py", "-o", "python_classes=Test*"]
        return int(pytest.main([*options, node], plugins=[teller]))


def _shipped(module: str) -> str:
    """The file of the suite that a plugin ships; empty when it ships none."""
    package = module.rpartition(".")[0]
    found = importlib.util.find_spec(f"{package}.conformance") if package else None
    return found.origin or "" if found is not None else ""


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
