"""Out of unknown: evidence from the provider, or the word of a person. Nothing else leads to another create."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property, partial

import anyio

from .. import transitions
from ..errors import ProviderError, RequestError, VideogenError
from ..provider import Found, Provider, Recovery, Session, Submission, SubmitCall
from ..redaction import cause_of, said
from ..spec import ModelSpec
from ..states import Attempt, JobRecord, JobStatus
from . import answers
from .clock import Clock
from .record import Log
from .submission import Submitter, unknown

__all__ = ["Reconciler"]

_EARLY, _LATE = 5.0, 60.0  # seconds by which a job's age may differ from what our own clock says
_RESENDS = 3
_RESEND_PAUSE = 2.0
_LOOK_EVERY = 10.0
_MARGIN = 0.05  # seconds by which two clocks may differ that nobody sets


@dataclass(frozen=True)
class Reconciler:
    """Finds out what became of the creates of one provider that got no answer.

    Attributes:
        submitter: Sends and records.
        provider: What the vendor allows.
        session: Talks to it.
        spec: The offer that was asked.
        log: Where it is recorded.
    """

    submitter: Submitter
    provider: Provider
    session: Session
    spec: ModelSpec
    log: Log

    async def resolve(self, job: JobRecord) -> JobRecord:
        """Ask the provider, for as long as the answer may still change.

        Returns:
            The job: queued, since it was found; or created, since it is proven that nothing was made or since the
            user has accepted in advance that it may be paid for twice.

        Raises:
            SubmissionUnknownError: Nobody knows; the error says where a person can look.
        """
        candidates: tuple[str, ...] = ()
        began = self._clock.monotonic()
        for pause in self._pauses(job.attempt, began):
            if pause:
                await self.log.tell()
                await self._clock.sleep(pause)
            job, candidates = await self._once(job, began)
            if job.status is not JobStatus.UNKNOWN:
                return job
        if job.on_unknown == "resubmit":
            said = "asked for again, as was wished although both may be charged"
            return await self.log.write(job, transitions.resubmit, "resubmitted", said)
        raise unknown(job, self.spec, None, check=self._allowed.console, candidates=candidates)

    @cached_property
    def _allowed(self) -> Recovery:
        """What the vendor of this offer allows."""
        return self.provider.recovery(self.spec)

    @property
    def _clock(self) -> Clock:
        return self.log.recorder.clock

    def _pauses(self, attempt: Attempt, began: float) -> Iterator[float]:
        """Seconds before each look, as many as may bring something new.

        How long is told by the wall clock, which alone knows of other processes, but waited by the monotonic one: a
        clock that was put forward proves nothing, and one that was put back makes nobody wait for longer.
        """
        allowed, now = self._allowed, self._clock.now
        if self._may_resend(attempt):
            yield from (0.0, *(_RESEND_PAUSE * 2**n for n in range(_RESENDS - 1)))
            return
        if allowed.reconcile == "none" or self._too_old(attempt):
            return
        yield 0.0
        over = (attempt.deadline or attempt.started_at) + timedelta(seconds=allowed.list_lag)
        if allowed.reconcile == "by_ref":
            left = (over - now()).total_seconds() + transitions.PROOF_SECONDS + _MARGIN
            longest = self._proof + self.submitter.settings.submit_timeout
            end = max(began + self._proof, self._clock.monotonic() + min(left, longest))
            while (left := end - self._clock.monotonic()) > 0:
                yield min(left, max(allowed.list_lag, _LOOK_EVERY))
            yield 0.0
        elif allowed.list_lag and now() < over:
            yield allowed.list_lag + 1.0
            yield allowed.list_lag + 5.0

    @property
    def _proof(self) -> float:
        """Seconds for which absence must last."""
        return self._allowed.list_lag + transitions.PROOF_SECONDS

    def _may_resend(self, attempt: Attempt) -> bool:
        age = (self._clock.now() - attempt.started_at).total_seconds()
        return -_EARLY <= age < self._allowed.idempotency  # by a clock that was put back nobody knows how old it is

    def _too_old(self, attempt: Attempt) -> bool:
        window = self._allowed.reconcile_window
        return window is not None and (self._clock.now() - attempt.started_at).total_seconds() > window

    async def _once(self, job: JobRecord, began: float) -> tuple[JobRecord, tuple[str, ...]]:
        """One look, or one more create under the same key; and the ids of jobs that it may be."""
        attempt = job.attempt
        call = self.submitter.call(self.spec, attempt.request, attempt.client_ref)
        if self._may_resend(attempt):
            return (await self.submitter.again(job, self.session, call, self.log)).job, ()
        try:
            with anyio.fail_after(call.timeout):
                found = tuple(await self.session.find(call, attempt.started_at))
        except (ProviderError, TimeoutError) as error:
            why = error.message if isinstance(error, ProviderError) else f"no answer within {call.timeout:g} s"
            self.log.note(job, "retrying", f"{self.provider.name} could not be asked for job {job.id}: {why}")
            return job, ()
        except VideogenError:
            raise
        except Exception as error:
            raise unknown(job, self.spec, error, check=self._allowed.console) from cause_of(error)
        return await self._judged(job, [item for item in found if isinstance(item, Found)], began)

    async def _judged(self, job: JobRecord, found: list[Found], began: float) -> tuple[JobRecord, tuple[str, ...]]:
        by_ref = self._allowed.reconcile == "by_ref"
        if by_ref and not found:
            if job.attempt.absent_at is not None and self._clock.monotonic() - began < self._proof:
                return job, ()  # it has not lasted long enough
            absent = partial(transitions.absent, lag=self._allowed.list_lag)
            return await self.log.write(job, absent, "absent", f"{self.provider.name} knows no job of our id"), ()
        free = [item for item in found if await self._is_free(job, item)]
        ours = [item for item in free if item.ours and (by_ref or self._in_time(job.attempt, item))]
        if ours and (by_ref or (len(ours) == 1 and self._allowed.reconcile == "by_list")):
            return await self._attached(job, ours), ()
        return job, tuple(item.submission.provider_job_id for item in free)

    async def _attached(self, job: JobRecord, ours: list[Found]) -> JobRecord:
        attached = await self.submitter.record(job, self.spec, answers.submission(ours[0].submission), self.log)
        for item in ours[1:]:  # two jobs of one id of ours: the vendor has made it twice
            await self.submitter.keep_late(attached, answers.submission(item.submission), self.log)
        return attached

    async def _is_free(self, job: JobRecord, item: Found) -> bool:
        """Whether no other job of ours is that job."""
        theirs, recorder = item.submission.provider_job_id, self.log.recorder
        attempt = job.attempt
        owner = await recorder.run(recorder.ledger.by_provider_job, attempt.provider, attempt.account, theirs)
        return owner is None or owner.id == job.id

    def _in_time(self, attempt: Attempt, item: Found) -> bool:
        """Whether it was created while our create may have been under way, as ages by the vendor's own clock tell."""
        if item.age is None:
            return False
        oldest = (self._clock.now() - attempt.started_at).total_seconds()
        youngest = (self._clock.now() - (attempt.deadline or attempt.started_at)).total_seconds()
        return youngest - _LATE <= item.age <= oldest + _EARLY

    # --- the word of a person

    async def attach(self, job: JobRecord, provider_job_id: str) -> JobRecord:
        """Take the vendor's job that a person has found.

        Raises:
            RequestError: The id is none, or another job of ours has it.
        """
        answer = await self.looked_up(job, provider_job_id)
        return await self.submitter.record(job, self.spec, answer, self.log)

    async def looked_up(self, job: JobRecord, provider_job_id: str) -> Submission:
        """What `attach` takes; nothing is recorded.

        Raises:
            ProviderError: The vendor does not know it, or cannot be asked.
            RequestError: The id is none, or another job of ours has it.
        """
        attempt = job.attempt
        call = self.submitter.call(self.spec, attempt.request, attempt.client_ref)
        answer = await self._adopted(call, provider_job_id)
        if not await self._is_free(job, Found(submission=answer, ours=True)):
            raise RequestError(f"{provider_job_id} belongs to another job already.", job_id=job.id)
        return answer

    async def _adopted(self, call: SubmitCall, provider_job_id: str) -> Submission:
        try:
            with anyio.fail_after(call.timeout):
                return answers.submission(await self.session.adopt(call, provider_job_id))
        except VideogenError:
            raise
        except Exception as error:
            raise RequestError(
                f"{self.provider.name} cannot take {provider_job_id!r} up: {said(error)}."
            ) from cause_of(error)

    async def abandon(self, job: JobRecord, cost: Decimal) -> JobRecord:
        """Give a job up: a person says that nothing comes of it, and what it cost."""
        error = VideogenError(f"Job {job.id} was given up; ${cost:f} are booked for it.", job_id=job.id)
        change = partial(transitions.abandon, error=error, cost=cost)
        return await self.log.write(job, change, "abandoned", error.message, cost=str(cost))

    async def resubmit(self, job: JobRecord) -> JobRecord:
        """Ask for it again: a person accepts that both may be charged."""
        hold = job.attempt.hold
        booked = "" if hold is None else f"; ${hold:f} are booked for the first"
        return await self.log.write(job, transitions.resubmit, "resubmitted", f"asked for again by a person{booked}")
