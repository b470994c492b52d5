"""Polling: from "accepted" to the provider's last word, which settles the money at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from random import Random
from typing import Any, assert_never

import anyio

from .. import transitions
from ..errors import GenerationFailedError, ProviderError, ProviderProtocolError, VideogenError
from ..ledger import Observations
from ..polling import Expectation, poll_interval, shape_of
from ..provider import Cancellation, ProviderJob, Session, Snapshot
from ..redaction import cause_of, redact, said
from ..retry import MAX_RETRY_AFTER
from ..spec import ModelSpec
from ..states import Artifact, JobRecord, JobStatus
from . import answers
from .chain import cost_of_failure, cost_of_success, following
from .record import Log
from .rewording import Reword, in_other_words, never
from .sessions import closed_meanwhile

__all__ = ["Watcher", "asks_too_much", "expectation", "forgotten", "provider_job"]

_STEP = 0.05  # of progress, worth a write to the ledger
_PUZZLED = 10  # unreadable replies in a row, after which asking on is no use
_STOP_TIMEOUT = 60.0  # seconds for a cancel
_LONGEST_PAUSE = 30.0  # seconds between tries while the provider cannot be asked
_FORGOTTEN = (404, 410)
_SLOW = 0.95  # of clips take no longer than the catalogue's figure for a bad hour


def forgotten(error: ProviderError) -> bool:
    """Whether the provider says that it has no such job."""
    return error.status_code in _FORGOTTEN


def provider_job(job: JobRecord, spec: ModelSpec) -> ProviderJob:
    """The job as its plugin knows it: copies, so that whatever is done to them is done to nothing of ours."""
    attempt = job.attempt
    return ProviderJob(
        spec=spec,
        request=copy.deepcopy(attempt.request),
        client_ref=attempt.client_ref,
        provider_job_id=attempt.provider_job_id or "",
        handle=copy.deepcopy(attempt.handle),
        submitted_at=attempt.accepted_at or attempt.started_at,
    )


def expectation(spec: ModelSpec, seen: Observations) -> Expectation | None:
    """How long a clip of an offer takes: as the last ones here took, else as the catalogue says; None = unknown."""
    if spec.id in seen.latency:
        median, quartiles = seen.latency[spec.id], seen.quartiles.get(spec.id)
        return Expectation(median) if quartiles is None else Expectation(median, shape_of(*quartiles))
    latency = spec.latency
    if latency is None:
        return None
    if latency.slow is None:
        return Expectation(latency.typical)
    return Expectation(latency.typical, shape_of(latency.typical, latency.slow, share=_SLOW))


@dataclass(eq=False)
class Watcher:
    """Polls one job.

    Attributes:
        session: The provider's session.
        spec: The offer.
        log: Where it is recorded.
        expected: How long clips of this model take.
        least: Seconds between two polls that the vendor asks for.
        dice: For the jitter of pauses.
        interval: Most seconds between two polls; None = as suits the model and the vendor.
        closed: Whether the session was closed meanwhile, so that it will never answer again.
        reword: Says a blocked prompt in other words; None where that is not wanted, or nobody can.
        polls: How often it has asked.
    """

    session: Session
    spec: ModelSpec
    log: Log
    expected: Expectation | None = None
    least: float = 1.0
    dice: Random = field(default_factory=Random)
    interval: float | None = None
    closed: Callable[[], bool] = lambda: False
    reword: Reword = never
    polls: int = 0

    @cached_property
    def _theirs(self) -> ModelSpec:
        return copy.deepcopy(self.spec)

    async def ask(self, job: JobRecord) -> Snapshot:
        """Poll once, recording nothing.

        Raises:
            ProviderError: The provider could not be asked.
        """
        self.polls += 1
        try:
            return answers.snapshot(await self.session.poll(provider_job(job, self._theirs)))
        except ProviderError as error:
            error.provider, error.model = error.provider or self.spec.provider, error.model or self.spec.id
            error.job_id = job.id
            if job.cancel_requested_at is not None and forgotten(error):
                return Snapshot(status=JobStatus.CANCELLED, message=f"{job.provider} knows the cancelled job no more")
            raise
        except VideogenError:
            raise
        except Exception as error:  # a reply the plugin did not foresee must not lose a paid job
            raise self._unreadable(job, error) from cause_of(error)

    async def stop(self, job: JobRecord) -> Cancellation:
        """Ask the provider to stop a job, recording nothing.

        Raises:
            ProviderError: The provider could not be asked.
        """
        try:
            with anyio.fail_after(_STOP_TIMEOUT):
                answer = await self.session.cancel(provider_job(job, self._theirs))
            if not isinstance(answer, Cancellation):
                raise TypeError(f"cancel returned {type(answer).__name__}, not a Cancellation")
        except ProviderError as error:
            error.provider, error.model = error.provider or self.spec.provider, error.model or self.spec.id
            error.job_id = job.id
            raise
        except VideogenError:
            raise
        except Exception as error:
            raise self._unreadable(job, error) from cause_of(error)
        return replace(answer, cost=answers.amount(answer.cost), message=redact(str(answer.message or "")))

    def _unreadable(self, job: JobRecord, error: Exception) -> ProviderProtocolError:
        return ProviderProtocolError(
            f"The plugin {self.spec.provider!r} could not read a reply: {said(error)}.",
            provider=self.spec.provider,
            model=self.spec.id,
            retryable=True,
            job_id=job.id,
        )

    async def until_done(self, job: JobRecord, *, first: float | None = None) -> tuple[JobRecord, Snapshot]:
        """Poll until the provider is done, and record how it ended.

        Args:
            job: An accepted job.
            first: Seconds until the first poll, where the provider said.

        Returns:
            The job, succeeded, failed or cancelled, or created again for the next offer; and the last snapshot.

        Raises:
            ProviderError: Asking cannot go on (a refused key, or a longer wait than is reasonable); the job is as it
                was and can be resumed.
        """
        clock = self.log.recorder.clock
        submitted = job.attempt.accepted_at or job.attempt.started_at
        already = max((clock.now() - submitted).total_seconds(), 0.0)
        start = clock.monotonic()
        failures = 0
        # A fresh job is asked for when the answer may have changed; one picked up again, at once.
        wait = first if first is not None else self._next(0.0) if already < 1 else 0.0
        while True:
            await clock.sleep(wait if self.interval is None else min(wait, self.interval))
            try:
                snapshot = await self.ask(job)
            except ProviderError as error:
                failures += 1
                if self.closed():
                    raise closed_meanwhile() from error
                if not error.retryable or asks_too_much(error):
                    raise
                if failures >= _PUZZLED and isinstance(error, ProviderProtocolError):
                    raise
                wait = self._pause(error, failures)
                self.log.note(job, "retrying", f"{error.message} Asking again in {wait:.0f} s.")
                await self.log.tell()
                continue
            failures = 0
            job = await self.record(job, snapshot)
            await self.log.tell()
            if job.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
                return job, snapshot
            elapsed = already + clock.monotonic() - start
            wait = snapshot.poll_after if snapshot.poll_after is not None else self._next(elapsed)

    def _next(self, elapsed: float) -> float:
        return poll_interval(elapsed, self.expected, shortest=self.least)

    def _pause(self, error: ProviderError, failures: int) -> float:
        asked = answers.pause(error.retry_after)
        if asked is not None:
            return max(asked, 0.1)
        return min(2.0 ** min(failures - 1, 10), _LONGEST_PAUSE) * self.dice.uniform(0.5, 1.0)

    async def record(self, job: JobRecord, snapshot: Snapshot) -> JobRecord:
        """Record what a poll found."""
        match snapshot.status:
            case JobStatus.QUEUED | JobStatus.RUNNING:
                return await self._advance(job, snapshot)
            case JobStatus.SUCCEEDED:
                if snapshot.outputs or snapshot.expired:
                    return await self._succeed(job, snapshot)
                empty = GenerationFailedError(f"{job.offer} says that it succeeded, but gave no video.")
                return await self._fail(job, snapshot, empty)
            case JobStatus.FAILED:
                error = snapshot.error or GenerationFailedError(f"{job.offer} failed and gave no reason.")
                return await self._fail(job, snapshot, error)
            case JobStatus.CANCELLED:
                cost, origin = cost_of_failure(job, snapshot.cost, None)
                return await self.log.write(
                    job,
                    lambda j, now: transitions.cancel(j, now, cost=cost, origin=origin),
                    "cancelled",
                    snapshot.message or f"cancelled at {job.provider}",
                )
            case JobStatus.CREATED | JobStatus.SUBMITTING | JobStatus.UNKNOWN as status:
                raise ProviderProtocolError(
                    f"The plugin {job.provider!r} answered a poll with status {status}.", provider=job.provider
                )
            case never:
                assert_never(never)

    async def _advance(self, job: JobRecord, snapshot: Snapshot) -> JobRecord:
        progress = snapshot.progress
        started = job.status is JobStatus.RUNNING or snapshot.status is JobStatus.RUNNING
        status = JobStatus.RUNNING if started else JobStatus.QUEUED  # states only move forward
        more: dict[str, Any] = {} if snapshot.remaining is None else {"remaining": round(snapshot.remaining, 1)}
        if status is not job.status or (progress or 0.0) - (job.progress or 0.0) >= _STEP:
            return await self.log.write(
                job, lambda j, now: transitions.advance(j, now, status, progress), "progress", snapshot.message, **more
            )
        shown = transitions.advance(job, self.log.recorder.clock.now(), status, progress)  # told, not written
        self.log.note(shown, "progress", snapshot.message, **more)
        return job

    async def _succeed(self, job: JobRecord, snapshot: Snapshot) -> JobRecord:
        cost, origin = cost_of_success(job, snapshot)
        wanted = job.attempt.request.count
        missing = 0 if snapshot.expired else wanted - len(snapshot.outputs)
        message = f"{missing} of {wanted} clips were withheld. {snapshot.message}".strip() if missing > 0 else ""
        return await self.log.write(
            job,
            lambda j, now: transitions.store(
                transitions.succeed(j, now, cost=cost, origin=origin), now, Artifact.PARTIAL
            ),
            "settled",
            message or _said(cost),
            cost=None if cost is None else str(cost),
            polls=self.polls,
        )

    async def revive(self, job: JobRecord, snapshot: Snapshot) -> JobRecord:
        """Record that a job that had failed has succeeded after all."""
        cost, origin = cost_of_success(job, snapshot)
        return await self.log.write(
            job,
            lambda j, now: transitions.store(
                transitions.revive(j, now, cost=cost, origin=origin), now, Artifact.PARTIAL
            ),
            "revived",
            f"{job.provider} says that it has succeeded after all; {_said(cost)}",
            cost=None if cost is None else str(cost),
        )

    async def _fail(self, job: JobRecord, snapshot: Snapshot, error: ProviderError) -> JobRecord:
        error.provider, error.model, error.job_id = error.provider or job.provider, error.model or job.offer, job.id
        cost, origin = cost_of_failure(job, snapshot.cost, error.charged)
        other = await self.reword(job, error)
        if other is not None:
            return await self.log.write(
                job,
                lambda j, now: transitions.reword(j, now, other.prompt, error, cost=cost, origin=origin),
                "rewritten",
                in_other_words(job, error, other.by, cost),
                by=other.by,
                error=error.to_dict(),
            )
        over = following(job, error) is None
        change = transitions.fail if over else transitions.fail_attempt
        return await self.log.write(
            job,
            lambda j, now: change(j, now, error, cost=cost, origin=origin),
            "failed" if over else "rejected",
            error.message,
            error=error.to_dict(),
            polls=self.polls,
        )


def asks_too_much(error: ProviderError) -> bool:
    """Whether the provider wants a wait so long that a person is told of it instead."""
    return error.retry_after is not None and error.retry_after > MAX_RETRY_AFTER


def _said(cost: Decimal | None) -> str:
    return "done; its cost is not known" if cost is None else f"done for ${cost:f}"
