"""What happens to jobs while they are waited for: a bar on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Protocol

from videogen_core import Client, Event, Job, VideogenError
from videogen_core.progress import Progress

from .interrupts import under_way
from .screen import Screen
from .words import seconds

__all__ = ["Follower", "following"]

_NEWS = 0.1  # of progress, worth a line
_SILENCE = 30.0  # seconds, after which a line says that it still goes on


class View(Protocol):
    """Shows progress; called on the event loop's thread."""

    def show(self, progress: Progress, event: Event, name: str) -> None:
        """Show the news of one job, under this name where there are several."""


class Follower:
    """The ``on_event`` of a command: remembers which jobs are under way and shows how they fare."""

    def __init__(self, client: Client, view: View | None) -> None:
        self._client = client
        self._view = view
        if view:
            client.workspace.planner.observations()
        self._jobs: dict[str, Progress] = {}
        self._names: dict[str, str] = {}

    def expect(self, job: Job) -> None:
        """A job that is about to be waited for."""
        under_way[job.id] = None
        passed = (datetime.now(UTC) - job.created_at).total_seconds()
        self._jobs[job.id] = Progress(
            job.id, job.model, expected=self._expected(job.model), since=time.monotonic() - max(passed, 0.0)
        )

    def __call__(self, event: Event) -> None:
        under_way[event.job_id] = None
        progress = self._jobs.setdefault(event.job_id, Progress(event.job_id))
        if progress.hear(event):
            progress.expected = self._expected(progress.offer)
        if self._view is not None:
            with suppress(OSError):  # nobody is watching any more; the job goes on
                self._view.show(progress, event, self._names.get(event.job_id, event.job_id))

    def of(self, offer: str) -> Callable[[Event], None]:
        """A listener to the one job of an offer, which is called by the offer's name and not by its id."""

        def listen(event: Event) -> None:
            if event.job_id not in self._names:
                self._names[event.job_id] = offer
                self._jobs[event.job_id] = Progress(event.job_id, offer, expected=self._expected(offer))
            self(event)

        return listen

    def _expected(self, offer: str) -> float | None:
        """Seconds, observed here or from the catalogue."""
        return None if self._view is None else self._client.workspace.planner.usual(offer)


class Lines:
    """A line for each piece of news, for logs and pipes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said: dict[str, tuple[str, float, float]] = {}

    def show(self, progress: Progress, event: Event, name: str) -> None:
        share, now = progress.share or 0.0, time.monotonic()
        stage, before, when = self._said.get(progress.job_id, ("", 0.0, 0.0))
        if event.type == "progress" and stage == progress.stage and share - before < _NEWS and now - when < _SILENCE:
            return
        self._said[progress.job_id] = (progress.stage, share, now)
        self._screen.say(f"{name}: {self._news(progress, event)}")

    def _news(self, progress: Progress, event: Event) -> str:
        if event.type not in ("progress", "accepted", "settled"):
            known = not event.message or event.message.startswith(progress.stage)
            return event.message or progress.stage if known else f"{progress.stage}: {event.message}"
        percent = f" {progress.share:.0%}" if progress.share and event.type == "progress" else ""
        usual = f", usually {seconds(progress.expected)}" if progress.expected and event.type != "settled" else ""
        if progress.remaining is not None:
            usual = f", about {seconds(max(progress.remaining, 1))} left"
        return f"{progress.stage}{percent}, {seconds(progress.elapsed)}{usual}"


@contextmanager
def following(screen: Screen, client: Client, jobs: Iterable[Job] = (), *, prompt: str = "") -> Iterator[Follower]:
    """Show what happens within the block; when it is interrupted, leave in `under_way` what can be resumed.

    Args:
        screen: Where to.
        client: Whose jobs.
        jobs: Those that are waited for, where they are there already.
        prompt: Of the job that is being made, to find it if nothing has been heard of it yet.
    """
    started = datetime.now(UTC)
    try:
        with _view(screen) as view:
            follower = Follower(client, view)
            for job in jobs:
                follower.expect(job)
            yield follower
    except KeyboardInterrupt:
        _keep_unfinished(client, started, prompt)
        raise


def _view(screen: Screen) -> AbstractContextManager[View | None]:
    if screen.quiet:
        return nullcontext(None)
    if screen.watched:
        from .bar import Bars

        return Bars(screen)
    return nullcontext(Lines(screen))


def _keep_unfinished(client: Client, started: datetime, prompt: str) -> None:
    """Correct `under_way` by the ledger: some may be done, and one may be too young to have been heard of."""
    with suppress(VideogenError):
        unfinished = [job for job in client.jobs(unfinished=True, limit=None) if not job.record.done]
        mine = [j.id for j in unfinished if j.created_at >= started and j.record.request.prompt == prompt][:1]
        left = [job.id for job in unfinished if job.id in under_way] or (mine if not under_way else [])
        under_way.clear()
        under_way.update(dict.fromkeys(left))
