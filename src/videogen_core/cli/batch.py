"""``batch``: a file of requests, made as often as it takes to make them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Annotated, Any

import typer

from videogen_core import BatchReport, Client, InvalidRowsError, RequestError

from .failures import exit_code_of
from .interrupts import goes_on_by_itself
from .make import prepare
from .options import CHOICE, CLIP, DELIVERY, takes
from .screen import Screen
from .tables import facts
from .words import dollars, seconds

__all__ = ["batch"]

_SILENCE = 30.0  # seconds between lines in a pipe
_FAULTS = 20  # of wrong rows that are shown
_ENOUGH = 5  # rows, to judge the pace by
_AGAIN = "The same command goes on where this one stopped; nothing is made or paid for twice."

_File = Annotated[str, typer.Argument(metavar="FILE", help="Rows: .jsonl (JSON lines) or .csv.", show_default=False)]
_Results = Annotated[
    str | None, typer.Option("--results", metavar="FILE", help="Results file; else results.jsonl among the clips.")
]
_Budget = Annotated[
    str | None, typer.Option("--budget", metavar="USD", help="Most that the whole batch may cost, in all its runs.")
]
_AtOnce = Annotated[
    int | None,
    typer.Option("--max-concurrency", metavar="NUMBER", help="Clips at a time; else as many as the providers take."),
]
_Name = Annotated[
    str | None,
    typer.Option("--name", metavar="TEXT", help="What tells the batch from others; else the path of the folder."),
]
_Retry = Annotated[bool, typer.Option("--retry-failed", help="Make rows anew that failed in an earlier run.")]
_Dry = Annotated[bool, typer.Option("--dry-run", help="Check every row, add up what they cost, and leave.")]
_Limit = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", help="Leave the rest for the next run after that.")
]


@takes(CLIP, CHOICE, DELIVERY)
def batch(
    screen: Screen,
    arguments: dict[str, Any],
    file: _File,
    budget: _Budget = None,
    max_concurrency: _AtOnce = None,
    retry_failed: _Retry = False,
    dry_run: _Dry = False,
    results: _Results = None,
    name: _Name = None,
    timeout: _Limit = None,
) -> int:
    """Make the clips of a file of requests. Run it again, and it goes on where it was: nothing is made twice.

    Each row is a JSON object, or a line of CSV, of arguments; options hold for the rows that do not say otherwise. All
    rows are checked before the first one is sent. -o names the folder of the clips and of the results file.
    """
    if "output" not in arguments:
        raise RequestError("--output: name a folder for the clips.", hint=f"videogen batch {file} -o out/")
    with Client() as client:
        prepare(screen, client, arguments)
        folder = arguments.pop("output")
        with goes_on_by_itself(_AGAIN), _view(screen) as watch:
            try:
                found = client.batch_file(
                    file,
                    folder,
                    results=results,
                    max_concurrency=max_concurrency,
                    budget=budget,
                    name=name,
                    retry_failed=retry_failed,
                    dry_run=dry_run,
                    timeout=timeout,
                    on_progress=watch,
                    **arguments,
                )
            except InvalidRowsError as error:
                _show_faults(screen, error)
                raise
    return _end(screen, found, dry_run=dry_run)


def _show_faults(screen: Screen, error: InvalidRowsError) -> None:
    """Every wrong row on a line of its own; the error itself names the first few."""
    if screen.json or len(error.faults) == 1:
        return
    for fault in error.faults[:_FAULTS]:
        screen.say(f"row {fault['row']}: {fault['message']} {fault['hint'] or ''}".rstrip(), "yellow")


def _end(screen: Screen, found: BatchReport, *, dry_run: bool) -> int:
    """Say how it ended."""
    code = _code(found, dry_run=dry_run)
    if screen.json:
        screen.emit(found.to_dict())
        return code
    facts(screen, [(name, text) for name, text in _facts(found, dry_run=dry_run) if text])
    if found.stopped is not None:
        stopped = found.stopped
        screen.say(f"Stopped: {stopped['message']} {stopped['hint'] or ''}".rstrip(), "yellow")
    if not dry_run and (found.left or found.unfinished):
        screen.say(f"{_rows(found.left + found.unfinished)} left. {_AGAIN}", "yellow")
    elif found.failed and not dry_run:
        screen.say("--retry-failed makes those anew that failed.", "yellow")
    return code


def _facts(found: BatchReport, *, dry_run: bool) -> Iterator[tuple[str, str]]:
    yield "rows", f"{found.rows}"
    yield "succeeded", f"{found.succeeded}" if not dry_run else ""
    yield "failed", f"{found.failed}" if found.failed else ""
    yield "unfinished", f"{found.unfinished}" if found.unfinished else ""
    yield "left", f"{found.left}" if found.left and not dry_run else ""
    yield "ended before", f"{found.before}" if dry_run and found.before else ""
    yield "costs at most", _estimate(found) if dry_run else ""
    of = f" of {dollars(found.budget)}" if found.budget is not None else ""
    held = f", {dollars(found.held)} held" if found.held else ""
    yield "spent", f"{_spent(found)}{of}{held}"
    yield "results", f"{found.results}" if not dry_run else ""


def _code(found: BatchReport, *, dry_run: bool) -> int:
    if dry_run:
        return 0
    if found.stopped is not None:
        return exit_code_of(found.stopped["type"])
    return 0 if found.succeeded == found.rows else exit_code_of("ProviderError")


# --- while it runs


def _view(screen: Screen) -> AbstractContextManager[Callable[[BatchReport], object] | None]:
    if screen.quiet:
        return nullcontext(None)
    return _bar(screen) if screen.watched else nullcontext(_Lines(screen))


class _Lines:
    """A line after the check, and one now and then, for logs and pipes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._pace = _Pace()
        self._said = 0.0

    def __call__(self, found: BatchReport) -> None:
        now = time.monotonic()
        if not self._said:
            self._screen.say(_checked(found))
        elif now - self._said < _SILENCE:
            return
        else:
            self._screen.say(_news(found, self._pace))
        self._said = now


@contextmanager
def _bar(screen: Screen) -> Iterator[Callable[[BatchReport], object]]:
    """One bar for all rows, gone at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    pace = _Pace()
    columns = (MofNCompleteColumn(), BarColumn(bar_width=None), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=screen.err, transient=True, expand=True, redirect_stdout=False) as bar:
        task = bar.add_task("checking the rows", total=None)

        def show(found: BatchReport) -> None:
            with suppress(OSError):  # nobody is watching any more
                done = found.succeeded + found.failed
                bar.update(task, total=found.rows, completed=done, description=_news(found, pace, short=True))

        yield show


class _Pace:
    """How long the rest will take, judged by this run."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left(self, found: BatchReport) -> float | None:
        """Seconds, once enough rows have ended to say."""
        done, now = found.succeeded + found.failed, time.monotonic()
        if self._first is None or done <= found.before:
            self._first = now, done
        since, before = self._first
        if done - before < _ENOUGH:
            return None
        return (now - since) / (done - before) * (found.rows - done)


def _checked(found: BatchReport) -> str:
    before = f", {found.before:,} of them ended before" if found.before else ""
    return f"{_rows(found.rows)} in order{before}. What is to be made costs at most {_estimate(found)}."


def _estimate(found: BatchReport) -> str:
    return dollars(found.estimate) + (f", and {_rows(found.unpriced)} of unknown price" if found.unpriced else "")


def _news(found: BatchReport, pace: _Pace, *, short: bool = False) -> str:
    left = pace.left(found)
    parts = [] if short else [f"{found.succeeded} of {found.rows} made"]
    parts += [f"{found.failed} failed"] if found.failed else []
    spent = _spent(found) + (f" of {dollars(found.budget)}" if found.budget is not None else "")
    parts += [spent] if found.spent or found.budget is not None else []
    parts += [f"about {seconds(left)} left"] if left else []
    parts += [f"waiting: {found.waiting}"] if found.waiting else []
    return ", ".join(parts)


def _spent(found: BatchReport) -> str:
    return dollars(found.spent) if found.spent or found.budget is None else "$0.00"


def _rows(number: int) -> str:
    """So many rows."""
    return "1 row" if number == 1 else f"{number:,} rows"
