"""The engine's pen: every change of a job goes to the ledger first, and to the user's listener after."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ..errors import LedgerError, VideogenError
from ..ledger import ConflictError, FencedError, Ledger
from ..sinks import Sinks
from ..states import Event, JobRecord
from .clock import Clock
from .worker import LEASE, Worker, is_dead

__all__ = ["LeaseLostError", "Listener", "Log", "Recorder"]

T = TypeVar("T")
Listener = Callable[[Event], Awaitable[None] | None]
Change = Callable[[JobRecord, datetime], JobRecord]

logger = logging.getLogger("videogen.events")

_RETRIES = 20
CLEANUP_SECONDS = 5.0
"""Seconds that a driver which is being cancelled may spend on leaving things tidy."""


class LeaseLostError(LedgerError):
    """Another process drives the job now, or has changed its course: read it again and decide anew."""


class Recorder:
    """Reads and writes jobs for one engine.

    Args:
        ledger: The store.
        clock: Stamps what happens.
        sinks: Hear of it, besides the user's own listeners; None = nobody does.
    """

    def __init__(self, ledger: Ledger, clock: Clock, sinks: Sinks | None = None) -> None:
        self.ledger = ledger
        self.clock = clock
        self.sinks = sinks
        self.worker = Worker(ledger)
        self._one_at_a_time = CapacityLimiter(1)

    def close(self) -> None:
        """Give back what this process holds, and let the sinks hear the rest. Blocks, for some seconds at most."""
        self.worker.close()
        if self.sinks is not None:
            self.sinks.close()

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking ledger call in a thread. Never abandoned: a write that has begun is waited for."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._one_at_a_time)

    async def get(self, job_id: str) -> JobRecord:
        """Read a job."""
        return await self.run(self.ledger.get, job_id)

    async def create(self, job: JobRecord) -> JobRecord:
        """Store a new job; an existing one with the same idempotency key comes back instead."""
        event = self.event(job, "created", f"for {job.chain[0]}", actor=self.worker.id)
        return await self.run(self.ledger.create, job, event)

    def event(self, job: JobRecord, kind: str, message: str = "", *, actor: str = "", **data: Any) -> Event:
        """An event of now."""
        return Event(
            job_id=job.id,
            at=self.clock.now(),
            type=kind,
            status=job.status,
            message=message,
            actor=actor,
            progress=job.progress,
            data={"offer": job.offer, **({"trace": job.trace} if job.trace else {}), **data},
        )


class Log:
    """What one driver of a job records and tells.

    Telling is apart from recording, because the listener is the user's code: it must never run between a request that
    costs money and the write that remembers it. What it raises goes to the caller; the job is on record.
    """

    def __init__(self, recorder: Recorder, listener: Listener | None = None) -> None:
        self.recorder = recorder
        self._driver = recorder.worker.driver()
        self._fence: int | None = None
        self._listener = listener
        self._untold: list[Event] = []

    @property
    def actor(self) -> str:
        """Who writes: host, process, driver, and the fence of its lease."""
        return self._driver if self._fence is None else f"{self._driver}#{self._fence}"

    async def claim(self, job_id: str) -> JobRecord | None:
        """Take the lease on a job, and read it; None while somebody else drives it.

        A holder on this machine that is dead counts no more.
        """
        recorder = self.recorder
        if job_id in recorder.worker.unreleased:
            await recorder.run(recorder.worker.let_go, job_id)
        found = await recorder.run(recorder.ledger.claim, job_id, recorder.worker.id, self._driver, LEASE, dead=is_dead)
        if found is None:
            return None
        if found.fence is not None and self._fence is None:
            recorder.worker.hold()
        self._fence = found.fence if found.fence is not None else self._fence
        return found.job

    async def release(self, job: JobRecord) -> None:
        """Give the lease back, even while being cancelled; one that cannot be given back in time lapses by itself."""
        if self._fence is None:
            return
        self._fence = None
        self.recorder.worker.leave()
        if job.done:  # it has lost its lease already
            return
        worker = self.recorder.worker
        worker.unreleased[job.id] = self._driver
        with anyio.move_on_after(CLEANUP_SECONDS, shield=True), suppress(VideogenError):
            await to_thread.run_sync(worker.let_go, job.id, abandon_on_cancel=True)

    async def write(
        self, job: JobRecord, change: Change, kind: str, message: str, *, late: bool = False, **data: Any
    ) -> JobRecord:
        """Store a change of a job; the listener hears of it at the next `tell`.

        When something else of the job was changed meanwhile, the change is applied to that.

        Args:
            job: The version in hand, which the change was decided on.
            change: Gives the next version; may be called again with a newer one.
            kind: Type of the event.
            message: What happened and why, for people.
            late: Whether it is true whatever has happened to the job meanwhile, and whoever drives it.
            **data: More about it.

        Raises:
            LeaseLostError: The job has taken another course meanwhile, or has another driver.
        """
        recorder, decided = self.recorder, job
        for _ in range(_RETRIES):
            if not late and _course(job) != _course(decided):
                raise LeaseLostError(f"Job {job.id} was changed by another process.", job_id=job.id)
            new = change(job, recorder.clock.now())
            event = recorder.event(new, kind, message, actor=self.actor, **data)
            fence = None if late else self._fence
            try:
                saved = await recorder.run(recorder.ledger.save, new, event, fence=fence)
            except ConflictError:
                job = await recorder.get(job.id)
            except FencedError as error:
                raise LeaseLostError(error.message, job_id=job.id) from error
            else:
                self._happened(event)
                return saved
        raise ConflictError(f"Job {job.id} is being changed by other processes all the time.", job_id=job.id)

    async def begin(self, job: JobRecord, change: Change, message: str, *, flight: str | None) -> JobRecord:
        """Put a try on record and reserve its money, in one transaction.

        Args:
            job: The version in hand.
            change: Gives the next version.
            message: What is about to be asked.
            flight: Cache key of the clip, when no two jobs are to make it at once.

        Raises:
            BudgetExceededError: A budget has too little left; nothing was written.
            FlightTakenError: Another job is making the same clip.
            LeaseLostError: The job has another driver, or has changed.
        """
        new = change(job, self.recorder.clock.now())
        event = self.recorder.event(new, "submitting", message, actor=self.actor)
        begin = self.recorder.ledger.begin
        try:
            saved, warnings = await self.recorder.run(begin, new, event, fence=self._fence, flight=flight)
        except (ConflictError, FencedError) as error:
            raise LeaseLostError(error.message, job_id=job.id) from error
        self._happened(event, *warnings)
        return saved

    def note(self, job: JobRecord, kind: str, message: str, **data: Any) -> None:
        """Something worth telling but not worth a write."""
        self._happened(self.recorder.event(job, kind, message, actor=self.actor, **data))

    def _happened(self, *events: Event) -> None:
        """Keep events for the listener. Sinks get them at once: that is a queue, and none of their code runs here."""
        self._untold += events
        for event in events:
            _log(event)
        if self.recorder.sinks is not None:
            for event in events:
                self.recorder.sinks.put(event)

    async def tell(self) -> None:
        """Call the listener with what happened since the last time."""
        while self._untold:
            event = self._untold.pop(0)
            if self._listener is not None:
                answer = self._listener(event)
                if inspect.isawaitable(answer):
                    await answer


def _log(event: Event) -> None:
    """To the log ``videogen.events``, at INFO: nothing is written unless the application wants it."""
    if logger.isEnabledFor(logging.INFO):
        known = {"event": event.type, "job_id": event.job_id, "status": event.status.value, **event.data}
        extra = {f"videogen_{name}": value for name, value in known.items()}
        logger.info("%s %s: %s", event.job_id, event.type, event.message, extra=extra)


def _course(job: JobRecord) -> tuple[object, ...]:
    """What a driver's decisions rest on; another output path, say, is no reason to decide anew."""
    tries = tuple((attempt.client_ref, attempt.provider_job_id) for attempt in job.attempts)
    return job.status, job.place, tries, job.artifact, len(job.videos), job.cancel_requested_at is None
