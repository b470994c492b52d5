"""One attempt: from "about to ask" to "accepted", "refused", or "nobody knows".

The request that can cost money and the write that remembers it are one unit, shielded from cancellation and bounded by
its own deadline. Inside it nothing is retried and no code of the user runs.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace

import anyio
from anyio import to_thread

from .. import pricing, states
from ..capabilities import resolve
from ..errors import BudgetExceededError, PluginError, ProviderError, SubmissionUnknownError, VideogenError
from ..provider import Provider, Session, Submission, SubmitCall
from ..request import Media, VideoRequest
from ..settings import Settings
from ..spec import ModelSpec
from ..states import JobRecord
from .chain import spent
from .record import Log, Recorder

__all__ = ["SUBMIT_TIMEOUT", "Answer", "Submitter", "unknown"]

SUBMIT_TIMEOUT = 120.0
"""Seconds for a create; generous, since a create given up on is a job that nobody knows of."""
_VISIBLE = range(0x21, 0x7F)
_MAX_INPUT_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Answer:
    """How an attempt began: the job as recorded, why it was not accepted, and when to poll first (seconds)."""

    job: JobRecord
    error: VideogenError | None = None
    poll_after: float | None = None


@dataclass(frozen=True)
class Submitter:
    """Makes attempts of jobs."""

    settings: Settings
    recorder: Recorder

    def plan(self, job: JobRecord, spec: ModelSpec) -> tuple[pricing.Quote, SubmitCall]:
        """Resolve and price a job for an offer.

        Raises:
            UnsupportedRequestError: The offer does not take it.
            BudgetExceededError: Together with earlier attempts it would go over ``max_cost``.
        """
        resolved = resolve(spec, job.request, job.fit)
        quote = pricing.quote(spec, resolved.request, today=self.recorder.clock.now().date())
        if job.max_cost is not None:
            if quote.high is None and not job.allow_unknown_price:
                raise BudgetExceededError(
                    f"The price of {spec.id} is unknown, so max_cost cannot be kept.", job_id=job.id
                )
            already = spent(job)
            if already + (quote.high or 0) > job.max_cost:
                raise BudgetExceededError(
                    f"{spec.id} is estimated at {quote}, earlier attempts cost ${already}, "
                    f"max_cost is ${job.max_cost}.",
                    job_id=job.id,
                )
        return quote, self._call(spec, resolved.request, uuid.uuid4().hex)

    def _call(self, spec: ModelSpec, request: VideoRequest, client_ref: str) -> SubmitCall:
        return SubmitCall(spec=spec, request=request, client_ref=client_ref, timeout=SUBMIT_TIMEOUT, read=self._read)

    async def _read(self, media: Media) -> bytes:
        """The bytes of an input, for a plugin that sends them along."""
        if media.url is None:
            from ..media import read_bytes

            return await to_thread.run_sync(read_bytes, media)
        from ..transport import fetch_public

        private = self.settings.allow_private_addresses
        return await fetch_public(media.url, max_bytes=_MAX_INPUT_BYTES, timeout=SUBMIT_TIMEOUT, allow_private=private)

    async def attempt(
        self, job: JobRecord, session: Session, quote: pricing.Quote, call: SubmitCall, log: Log
    ) -> Answer:
        """Try once: afterwards the job is queued, created again (refused), or unknown.

        Raises:
            InvalidMediaError: An input cannot be read any more; nothing was asked.
            PluginError: The plugin broke before anything was asked.
        """
        try:
            call = replace(call, prepared=await session.prepare(call))
        except ProviderError as error:  # an upload failed, say
            return Answer(job, error)
        except VideogenError:
            raise
        except Exception as error:
            raise PluginError(
                f"The plugin {call.spec.provider!r} broke while preparing job {job.id}: "
                f"{type(error).__name__}: {error}.",
                hint=f"Nothing was asked for. `videogen resume {job.id}` tries again.",
                job_id=job.id,
            ) from error
        answer: Answer
        with anyio.CancelScope(shield=True):
            answer = await self._ask(job, session, quote, call, log)
        return answer

    async def _ask(self, job: JobRecord, session: Session, quote: pricing.Quote, call: SubmitCall, log: Log) -> Answer:
        spec, request, client_ref = call.spec, call.request, call.client_ref
        job = await log.write(
            job,
            lambda j, now: states.begin(
                j,
                now,
                offer=spec.id,
                request=request,
                quote=quote,
                client_ref=client_ref,
                model=spec.name,
                placeholder=spec.placeholder,
            ),
            "submitting",
            f"asking {spec.id}, estimate {quote}",
        )
        try:
            with anyio.fail_after(SUBMIT_TIMEOUT):
                answer = _verified(await session.submit(call))
        except ProviderError as refusal:
            refusal.provider, refusal.model = refusal.provider or spec.provider, refusal.model or spec.id
            refusal.job_id = job.id
            if refusal.accepted is False:
                return Answer(await self._refused(job, refusal, log), refusal)
            return await self._lost(job, spec, refusal, log)
        except Exception as cause:
            return await self._lost(job, spec, cause, log)
        return Answer(await self._accepted(job, answer, log), poll_after=answer.poll_after)

    async def _refused(self, job: JobRecord, error: ProviderError, log: Log) -> JobRecord:
        return await log.write(job, lambda j, now: states.reject(j, now, error), "rejected", error.message)

    async def _lost(self, job: JobRecord, spec: ModelSpec, cause: Exception, log: Log) -> Answer:
        error = unknown(job, spec, cause)
        job = await log.write(job, lambda j, now: states.lose(j, now, error), "unknown", error.message)
        return Answer(job, error)

    async def _accepted(self, job: JobRecord, answer: Submission, log: Log) -> JobRecord:
        return await log.write(
            job,
            lambda j, now: states.accept(
                j,
                now,
                provider_job_id=answer.provider_job_id,
                handle=answer.handle,
                request_id=answer.request_id,
            ),
            "accepted",
            f"{job.provider} took it as {answer.provider_job_id}",
            offer=job.offer,
        )

    async def reconcile(
        self, job: JobRecord, provider: Provider, session: Session, spec: ModelSpec, log: Log
    ) -> JobRecord:
        """Look for a job whose create got no answer; unchanged when the provider has no way, or finds none."""
        if provider.reconcile == "none":
            return job
        attempt = job.attempt
        call = self._call(spec, attempt.request, attempt.client_ref)
        with anyio.CancelScope(shield=True), anyio.fail_after(SUBMIT_TIMEOUT):
            found = await session.find(call, attempt.started_at)
            if found is not None:
                job = await self._accepted(job, _verified(found), log)
        return job


def _verified(answer: object) -> Submission:
    """Check what a plugin returned like network input: without a usable id nothing was promised."""
    if not isinstance(answer, Submission):
        raise TypeError(f"submit returned {type(answer).__name__}, not a Submission")
    name = answer.provider_job_id
    if not isinstance(name, str) or not 1 <= len(name) <= 512 or not all(ord(c) in _VISIBLE for c in name):
        raise ValueError("the provider's answer holds no usable job id")
    return answer


def unknown(job: JobRecord, spec: ModelSpec, cause: BaseException | None) -> SubmissionUnknownError:
    """The error of a create without an answer."""
    why = f" ({type(cause).__name__}: {cause})" if cause is not None else ""
    error = SubmissionUnknownError(
        f"{spec.provider} was asked for {spec.id} and no usable answer came{why}. It may have accepted the job and may "
        "charge for it, so it is not sent again.",
        hint=f"`videogen resume {job.id}` looks for it where the provider allows that; otherwise check the provider's "
        "console before asking again.",
        job_id=job.id,
    )
    error.__cause__ = cause
    return error
