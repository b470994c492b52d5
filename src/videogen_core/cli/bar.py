"""The progress bars of a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress as Bar, ProgressColumn, Task, TaskID
from rich.progress_bar import ProgressBar
from rich.table import Column
from rich.text import Text

from videogen_core import Event
from videogen_core.progress import REMARKS, Progress

from .screen import Screen
from .words import clock

__all__ = ["Bars"]

_ENDED = frozenset({"stored", "failed", "cancelled"})


class _Fill(BarColumn):
    """The bar, which moves with the clock where the provider does not say how far it is."""

    def render(self, task: Task) -> ProgressBar:
        guess = _state(task).guess
        return ProgressBar(
            total=100,
            completed=100 * (guess or 0.0),
            width=None,
            pulse=guess is None and task.fields["took"] is None,
            animation_time=task.get_time(),
        )


class _Words(ProgressColumn):
    """Stage and percentage before the bar, time and name after it."""

    def __init__(self, rows: dict[str, TaskID], *, before: bool) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._rows = rows
        self._before = before

    def render(self, task: Task) -> Text:
        state = _state(task)
        if self._before:
            percent = "    " if state.share is None else f"{state.share:4.0%}"
            return Text.assemble((f"{state.stage:<9}", "bold"), f" {percent}")
        name = task.description if len(self._rows) > 1 or not state.offer else state.offer
        took = task.fields["took"]
        return Text.assemble((_clock(state) if took is None else clock(took), "cyan"), f"  {name}")


def _clock(state: Progress) -> str:
    """Elapsed and expected time."""
    if state.remaining is not None:
        return f"{clock(state.elapsed)}, about {clock(max(state.remaining, 1))} left"
    return clock(state.elapsed) + (f", usually {clock(max(state.expected, 1))}" if state.expected else "")


def _state(task: Task) -> Progress:
    state = task.fields["state"]
    assert isinstance(state, Progress)
    return state


class Bars:
    """A bar for each job, gone when all is done."""

    def __init__(self, screen: Screen) -> None:
        self._rows: dict[str, TaskID] = {}
        self._bar = Bar(
            _Words(self._rows, before=True),
            _Fill(bar_width=None),
            _Words(self._rows, before=False),
            console=screen.err,
            transient=True,
            expand=True,
            refresh_per_second=8,
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, progress: Progress, event: Event, name: str) -> None:
        """Show the news of one job; what is worth keeping is printed above the bars."""
        if progress.job_id not in self._rows:
            self._rows[progress.job_id] = self._bar.add_task(name, total=None, state=progress, took=None)
        if progress.stage in _ENDED:
            self._end(self._rows[progress.job_id], progress)
        if event.type in REMARKS and event.message:
            self._bar.console.print(Text(event.message, style="yellow"))
        self._bar.refresh()

    def _end(self, row: TaskID, progress: Progress) -> None:
        """Stop the clock of a job; where there are more bars than lines, make room for one that still moves."""
        room = self._bar.console.height - 2
        self._bar.update(row, took=progress.elapsed, visible=len(self._rows) <= room)
