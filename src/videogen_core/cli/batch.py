"""``batch``: a file of requests, made as often as it takes to make them all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Annotated, Any

import typer

from videogen_core import BatchReport, Client, Event, InvalidRowsError, JobStatus, RequestError

from .failures import exit_code_of
from .interrupts import goes_on_by_itself
from .make import prepare
from .options import CHOICE, CLIP, DELIVERY, takes
from .screen import Screen
from .tables import facts
from .words import clock, dollars, seconds

__all__ = ["batch"]

_SILENCE = 30.0  # seconds between lines in a pipe
_FAULTS = 20  # of wrong rows that are shown
_ENOUGH = 5  # rows, to judge the pace by
_SETTLING = 1.0  # second, after which it is seen how many clips are made at a time
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
        pace = _Pace(client.workspace.planner.usual)
        with goes_on_by_itself(_AGAIN), _view(screen, pace) as watch:
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
                    on_event=pace.hear,
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


def _view(screen: Screen, pace: _Pace) -> AbstractContextManager[Callable[[BatchReport], object] | None]:
    if screen.quiet:
        return nullcontext(None)
    return _bar(screen, pace) if screen.watched else nullcontext(_Lines(screen, pace))


class _Lines:
    """A line after the check, and one now and then, for logs and pipes."""

    def __init__(self, screen: Screen, pace: _Pace) -> None:
        self._screen = screen
        self._pace = pace
        self._said = 0.0

    def __call__(self, found: BatchReport) -> None:
        now = time.monotonic()
        self._pace.note(found)
        if not self._said:
            self._screen.say(_checked(found))
        elif now - self._said < _SILENCE:
            return
        else:
            self._screen.say(", ".join([f"{found.succeeded} of {found.rows} made", *_news(found, self._pace)]))
        self._said = now


@contextmanager
def _bar(screen: Screen, pace: _Pace) -> Iterator[Callable[[BatchReport], object]]:
    """One bar for all rows with a clock that runs, gone at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
    from rich.table import Column
    from rich.text import Text

    class News(ProgressColumn):
        def render(self, task: Task) -> Text:
            found = task.fields["found"]
            return Text("checking the rows" if found is None else ", ".join(_news(found, pace, short=True)))

    news = News(table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns = (MofNCompleteColumn(), BarColumn(bar_width=None), news)
    with Progress(*columns, console=screen.err, transient=True, expand=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None, found=None)

        def show(found: BatchReport) -> None:
            pace.note(found)
            with suppress(OSError):  # nobody is watching any more
                bar.update(task, total=found.rows, completed=found.succeeded + found.failed, found=found)

        yield show


class _Pace:
    """How long it takes: judged by this run, and as long as that says too little, by what its models usually take.

    Args:
        usual: Seconds that an offer usually takes; None = not known.
    """

    def __init__(self, usual: Callable[[str], float | None]) -> None:
        self._usual = usual
        self._began: float | None = None
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)
        self._accepted: float | None = None
        self._under_way: set[str] = set()
        self._offers: set[str] = set()
        self._most = 1  # clips at a time

    def hear(self, event: Event) -> None:
        """An event of any job of the batch."""
        if event.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            self._accepted = self._accepted or time.monotonic()
            self._under_way.add(event.job_id)
            self._offers.add(event.data["offer"])
            self._most = max(self._most, len(self._under_way))
        else:
            self._under_way.discard(event.job_id)

    def note(self, found: BatchReport) -> None:
        """How far it is now."""
        now, done = time.monotonic(), found.succeeded + found.failed
        self._began = self._began or now
        if self._first is None or done <= found.before:
            self._first = now, done
        if done != self._last[1]:
            self._last = now, done

    @property
    def elapsed(self) -> float:
        """Seconds since the rows were checked."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def left(self, found: BatchReport) -> float | None:
        """Seconds; None = nothing says how many."""
        now = time.monotonic()
        (since, before), (last, done) = self._first or (now, 0), self._last
        if found.rows == found.succeeded + found.failed:
            return None
        if done - before >= _ENOUGH:
            return max((last - since) / (done - before) * (found.rows - done) - (now - last), 1.0)
        usual = [seconds for offer in self._offers if (seconds := self._usual(offer)) is not None]
        if self._accepted is None or not usual or now - self._accepted < _SETTLING:
            return None
        rounds = math.ceil((found.rows - before) / self._most)
        left = rounds * max(usual) - (now - self._accepted)
        return left if left > 0 else None  # slower than usual: nobody knows


def _checked(found: BatchReport) -> str:
    before = f", {found.before:,} of them ended before" if found.before else ""
    free = not found.estimate and not found.unpriced
    return f"{_rows(found.rows)} in order{before}. What is to be made " + (
        "is free." if free else f"costs at most {_estimate(found)}."
    )


def _estimate(found: BatchReport) -> str:
    return dollars(found.estimate) + (f", and {_rows(found.unpriced)} of unknown price" if found.unpriced else "")


def _news(found: BatchReport, pace: _Pace, *, short: bool = False) -> list[str]:
    """What is worth knowing, the most important first: a narrow terminal does not show the last of it."""
    left, show = pace.left(found), clock if short else seconds
    parts = [show(math.floor(pace.elapsed)) + ("" if short else " so far")]
    parts += [f"about {show(math.ceil(left))} left"] if left else []
    parts += [f"{found.failed} failed"] if found.failed else []
    spent = _spent(found) + (f" of {dollars(found.budget)}" if found.budget is not None else "")
    parts += [f"waiting: {found.waiting}"] if found.waiting else []
    parts += [spent] if found.spent or found.budget is not None else []
    return parts


def _spent(found: BatchReport) -> str:
    return dollars(found.spent) if found.spent or found.budget is None else "$0.00"


def _rows(number: int) -> str:
    """So many rows."""
    return "1 row" if number == 1 else f"{number:,} rows"
