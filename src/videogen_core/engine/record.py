"""The engine's pen: every change of a job goes to the ledger first, and to the user's listener after."""

from __future__ import annotations

import inspect
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from ..errors import LedgerError
from ..ledger import ConflictError, Ledger
from ..states import Event, JobRecord
from .clock import Clock

__all__ = ["LEASE", "LeaseLostError", "Listener", "Log", "Recorder"]

T = TypeVar("T")
Listener = Callable[[Event], Awaitable[None] | None]
Change = Callable[[JobRecord, datetime], JobRecord]

LEASE = 180.0
"""Seconds for which a driver holds a job between two signs of life: more than a submit may take."""
_RETRIES = 20


class LeaseLostError(LedgerError):
    """Another process drives the job now, or has changed its course: read it again and decide anew."""


class Recorder:
    """Reads and writes jobs for one engine.

    Args:
        ledger: The store.
        clock: Stamps what happens.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock
        self._one_at_a_time = CapacityLimiter(1)

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run a blocking ledger call in a thread. Never abandoned: a write that has begun is waited for."""
        return await to_thread.run_sync(partial(function, *args, **kwargs), limiter=self._one_at_a_time)

    async def get(self, job_id: str) -> JobRecord:
        """Read a job."""
        return await self.run(self.ledger.get, job_id)

    async def create(self, job: JobRecord) -> JobRecord:
        """Store a new job; an existing one with the same idempotency key comes back instead."""
        event = self.event(job, "created", f"for {job.chain[0]}")
        return await self.run(self.ledger.create, job, event)

    async def write(
        self, job: JobRecord, change: Change, kind: str, message: str, **data: Any
    ) -> tuple[JobRecord, Event]:
        """Apply a change and store it with its event; when another process wrote meanwhile, apply it to that.

        Args:
            job: The version in hand.
            change: Gives the next version; may be called again with a newer one.
            kind: Type of the event.
            message: What happened, for people.
            **data: More about it.
        """
        for _ in range(_RETRIES):
            new = change(job, self.clock.now())
            event = self.event(new, kind, message, **data)
            try:
                return await self.run(self.ledger.save, new, event), event
            except ConflictError:
                job = await self.get(job.id)
        raise ConflictError(f"Job {job.id} is being changed by other processes all the time.", job_id=job.id)

    def event(self, job: JobRecord, kind: str, message: str = "", **data: Any) -> Event:
        """An event of now."""
        return Event(
            job_id=job.id,
            at=self.clock.now(),
            type=kind,
            status=job.status,
            message=message,
            progress=job.progress,
            data=data,
        )


class Log:
    """What one driver of a job records and tells.

    Telling is apart from recording, because the listener is the user's code: it must never run between a request that
    costs money and the write that remembers it. What it raises goes to the caller; the job is on record.
    """

    def __init__(self, recorder: Recorder, listener: Listener | None = None) -> None:
        self.recorder = recorder
        # One owner for each driver, not for each process: two tasks of one process must not drive a job together.
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._listener = listener
        self._leased_until = 0.0
        self._untold: list[Event] = []

    async def claim(self, job_id: str, lease: float = LEASE) -> JobRecord | None:
        """Take or renew the lease on a job, and read it; None while somebody else drives it.

        A holder on this machine that is dead counts no more.
        """
        recorder = self.recorder
        now = recorder.clock.monotonic()
        job = await recorder.run(recorder.ledger.claim, job_id, self._owner, lease, dead=_is_dead)
        if job is not None:
            self._leased_until = now + lease
        return job

    async def keep(self, job: JobRecord, seconds: float) -> None:
        """Make sure that the lease lasts ``seconds`` more, writing only when it does not.

        Raises:
            LeaseLostError: Another process has taken over (this one slept too long, say).
        """
        if self._leased_until - self.recorder.clock.monotonic() >= seconds:
            return
        found = await self.claim(job.id, max(seconds, LEASE))
        if found is None or _course(found) != _course(job):
            raise LeaseLostError(f"Another process has taken over job {job.id}.", job_id=job.id)

    async def release(self, job: JobRecord) -> None:
        """Give the lease back; a job that is done has lost it already."""
        if not job.done:
            await self.recorder.run(self.recorder.ledger.release, job.id, self._owner)

    async def write(
        self, job: JobRecord, change: Change, kind: str, message: str, *, late: bool = False, **data: Any
    ) -> JobRecord:
        """Store a change of a job; the listener hears of it at the next `tell`.

        Args:
            job: The version in hand, which the change was decided on.
            change: Gives the next version.
            kind: Type of the event.
            message: What happened, for people.
            late: Whether it is true whatever has happened to the job meanwhile.
            **data: More about it.

        Raises:
            LeaseLostError: The job has taken another course meanwhile.
        """

        def unless_overtaken(newer: JobRecord, now: datetime) -> JobRecord:
            if not late and _course(newer) != _course(job):
                raise LeaseLostError(f"Job {job.id} was changed by another process.", job_id=job.id)
            return change(newer, now)

        saved, event = await self.recorder.write(job, unless_overtaken, kind, message, **data)
        self._untold.append(event)
        return saved

    def note(self, job: JobRecord, kind: str, message: str, **data: Any) -> None:
        """Something worth telling but not worth a write."""
        self._untold.append(self.recorder.event(job, kind, message, **data))

    async def tell(self) -> None:
        """Call the listener with what happened since the last time."""
        while self._untold:
            event = self._untold.pop(0)
            if self._listener is not None:
                answer = self._listener(event)
                if inspect.isawaitable(answer):
                    await answer


def _course(job: JobRecord) -> tuple[object, ...]:
    """What a driver's decisions rest on; another output path, say, is no reason to decide anew."""
    tries = tuple((attempt.client_ref, attempt.provider_job_id) for attempt in job.attempts)
    return job.status, job.place, tries, job.artifact, len(job.videos), job.cancel_requested_at is None


def _is_dead(owner: str) -> bool:
    """Whether a lease holder is a process of this machine that no longer runs."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
