"""``plugins verify``: the conformance suite on one plugin, as a report with a score for each promise."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from videogen_core import Client, ConfigurationError, PluginError, RequestError

from . import completion
from .options import takes
from .screen import Screen
from .tables import Column, show_table

__all__ = ["verify_plugin"]

_CHILD = "videogen_core.testing.conformance.verify"
_SHOWN = 12  # lines of a message


@dataclass
class _Report:
    """What was heard of a run."""

    suite: str = ""
    expected: int = 0
    running: str = ""
    tests: list[dict[str, Any]] = field(default_factory=list)
    timed_out: bool = False
    ending: int = 0

    def having(self, outcome: str, promise: str | None = None) -> list[dict[str, Any]]:
        return [each for each in self.tests if each["outcome"] == outcome and promise in (None, each["promise"])]

    @property
    def ok(self) -> bool:
        return not self.timed_out and self.ending == 0 and bool(self.having("passed"))

    def scores(self, promises: dict[str, str]) -> list[dict[str, Any]]:
        """A row for each promise: of the tests that apply, how many hold."""
        rows = []
        for name in (*promises, "Own"):
            passed, failed, excused = (len(self.having(each, name)) for each in ("passed", "failed", "excused"))
            skipped, total = len(self.having("skipped", name)), passed + failed + excused
            if name == "Own" and not total:
                continue
            score = None if not total else round(passed / total, 3)
            counts = {"passed": passed, "failed": failed, "excused": excused, "skipped": skipped}
            said = promises.get(name, "What the author's suite tests besides.")
            rows.append({"name": name, "promise": said, "score": score, **counts})
        return rows


@takes()
def verify_plugin(
    screen: Screen,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the provider.", autocompletion=completion.providers)
    ],
    suite: Annotated[
        str | None,
        typer.Option(
            "--suite",
            metavar="FILE[::CLASS]",
            help="The author's own suite: prices worked out by hand, and where the vendor differs.",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="For all tests together.", min=1)
    ] = 900,
) -> int:
    """Run the conformance suite on an installed plugin and report a score for each promise: offline, and free.

    Without --suite, the module `conformance` beside the plugin's is used where there is one; else what only its author
    knows, such as prices worked out by hand, is left out. The exit code is 2 when a test fails. A test that the author
    marks `xfail` with a reason is excused: it lowers the score and is listed, and is no failure.
    """
    module, facts = _plugin(name)
    if suite is not None and not Path(suite.partition("::")[0]).is_file():
        raise RequestError(f"--suite: there is no file {suite.partition('::')[0]!r}.")
    if importlib.util.find_spec("pytest") is None:
        raise ConfigurationError("The tests need pytest.", hint="Run: pip install 'videogen-core[testing]'")
    report = _run(screen, module, "" if suite is None else str(Path(suite).absolute()), timeout)
    from videogen_core.testing.conformance.verify import promises

    rows = report.scores(promises())
    if screen.json:
        _emit(screen, facts, report, rows)
    else:
        _show(screen, facts, report, rows)
    return 0 if report.ok else 2


def _plugin(name: str) -> tuple[str, dict[str, Any]]:
    """The module of an installed plugin, and what the report says of it.

    Raises:
        PluginError: There is none, or it cannot be loaded.
    """
    with Client() as client:
        plugins = client.workspace.registry.plugins
        if not plugins.provider(name).emulator:
            raise PluginError(
                f"The plugin {name!r} ships no emulator of its vendor, so there is nothing to test it against.",
                hint="Provider.emulator says where one is.",
            )
        plugin = plugins.load(name)
    facts = {"plugin": name, "distribution": plugin.distribution, "version": plugin.version, "plugin_api": plugin.api}
    return plugin.target, {**facts, "core": version("videogen-core")}


def _run(screen: Screen, module: str, suite: str, timeout: float) -> _Report:
    report = _Report()
    command = [sys.executable, "-m", _CHILD, module, *([suite] if suite else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def stop() -> None:
        report.timed_out = True
        child.kill()

    watchdog = threading.Timer(timeout, stop)
    watchdog.start()
    try:
        _listen(screen, child, report)
        report.ending = child.wait()
    finally:
        watchdog.cancel()
        child.kill()
        with child:  # closes the pipe, and waits
            pass
    return report


def _listen(screen: Screen, child: subprocess.Popen[str], report: _Report) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        try:
            said = json.loads(line)
        except ValueError:  # pytest's own summary
            continue
        if not isinstance(said, dict):
            continue
        report.suite = said.get("suite", report.suite)
        report.expected = said.get("tests", report.expected)
        report.running = said.get("begun", report.running)
        if "outcome" in said:
            report.tests.append(said)
            if len(report.tests) % 50 == 0:
                screen.say(f"{len(report.tests)} of {report.expected} tests", "dim")


def _emit(screen: Screen, facts: dict[str, Any], report: _Report, rows: list[dict[str, Any]]) -> None:
    def told(outcome: str, word: str) -> list[dict[str, str]]:
        found = report.having(outcome)
        return [{"promise": each["promise"], "test": each["test"], word: each["said"]} for each in found]

    screen.emit(
        {
            **facts,
            "ok": report.ok,
            "suite": report.suite or None,
            "promises": rows,
            "failures": told("failed", "message"),
            "excused": told("excused", "reason"),
            "timed_out": report.running if report.timed_out else None,
        }
    )


def _show(screen: Screen, facts: dict[str, Any], report: _Report, rows: list[dict[str, Any]]) -> None:
    shipped = f"{facts['distribution']} {facts['version']}".strip()
    screen.line(f"{facts['plugin']} ({shipped}), plugin API {facts['plugin_api']}, videogen-core {facts['core']}")
    screen.line("")
    show_table(
        screen,
        [
            Column("promise", [row["name"] for row in rows]),
            Column("score", [_score(row) for row in rows], right=True),
            Column("", [_verdict(row) for row in rows]),
            Column("what is proven", [row["promise"] for row in rows], spare=1, wrap=30),
        ],
    )
    for line in _remarks(report):
        screen.line(line)
    screen.line("")
    passed, failed, excused = (len(report.having(each)) for each in ("passed", "failed", "excused"))
    total = passed + failed + excused
    screen.line(f"{passed} of {total} tests hold; {len(report.having('skipped'))} do not apply.")


def _score(row: dict[str, Any]) -> str:
    return f"{row['passed']}/{row['passed'] + row['failed'] + row['excused']}"


def _verdict(row: dict[str, Any]) -> str:
    if row["failed"]:
        return "broken"
    return "excused" if row["excused"] else "ok" if row["passed"] else "none apply"


def _remarks(report: _Report) -> Iterator[str]:
    for each in report.having("failed"):
        yield ""
        yield f"{each['promise']}: {each['test']}"
        yield from (f"  {line}" for line in each["said"].splitlines()[:_SHOWN])
    for each in report.having("excused"):
        yield ""
        yield f"{each['promise']}: {each['test']} is excused: {each['said']}"
    if report.timed_out:
        yield ""
        yield f"The time is over, in {report.running or 'the beginning'}. --timeout gives more."
    elif not report.tests:
        yield ""
        yield "No test was run: is there a ProviderSuite in the suite's file?"
    if not report.suite:
        yield ""
        yield (
            "No suite of the author's was found, so prices worked out by hand and what the vendor documents to be "
            "charged were left out: --suite names it."
        )
