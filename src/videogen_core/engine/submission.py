"""One attempt: from "about to ask" to "accepted", "refused", or "nobody knows".

The request that can cost money and the write that remembers it are one unit, shielded from cancellation and bounded by
its own deadline. Inside it nothing is retried and no code of the user runs.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
from anyio import to_thread

from .. import pricing, states
from ..capabilities import resolve
from ..errors import (
    BudgetExceededError,
    LedgerError,
    PluginError,
    ProviderError,
    ProviderUnavailableError,
    SubmissionUnknownError,
    VideogenError,
)
from ..provider import Provider, Session, Submission, SubmitCall
from ..redaction import redact
from ..request import Media, VideoRequest
from ..settings import Settings
from ..spec import ModelSpec
from ..states import JobRecord
from . import answers
from .chain import spent
from .record import LeaseLostError, Log, Recorder
from .units import Units

__all__ = ["SUBMIT_TIMEOUT", "Answer", "Submitter", "unknown"]

SUBMIT_TIMEOUT = 120.0
"""Seconds for a create; generous, since a create given up on is a job that nobody knows of."""
PREPARE_TIMEOUT = 600.0
"""Seconds for the uploads before it."""
_SAVE_AGAIN = (0.1, 0.4, 1.0, 3.0, 8.0)  # seconds between tries to write down an id that is paid for
_MAX_INPUT_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Answer:
    """How an attempt began: the job as recorded, why it was not accepted, and when to poll first (seconds)."""

    job: JobRecord
    error: VideogenError | None = None
    poll_after: float | None = None


@dataclass(frozen=True)
class Submitter:
    """Makes attempts of jobs.

    Attributes:
        settings: The configuration.
        recorder: Reads and writes the ledger.
        units: Runs what must not be stopped halfway.
        unsaved: Job id -> an acceptance that the ledger would not take; it is tried again when the job is resumed.
    """

    settings: Settings
    recorder: Recorder
    units: Units
    unsaved: dict[str, Submission] = field(default_factory=dict)

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
            with anyio.fail_after(PREPARE_TIMEOUT):
                call = replace(call, prepared=await session.prepare(call))
        except ProviderError as error:  # an upload failed, say
            return Answer(job, error)
        except TimeoutError:
            late = f"{call.spec.provider} did not take the inputs within {PREPARE_TIMEOUT:g} s."
            return Answer(job, ProviderUnavailableError(late, provider=call.spec.provider, accepted=False))
        except VideogenError:
            raise
        except Exception as error:
            raise PluginError(
                f"The plugin {call.spec.provider!r} broke while preparing job {job.id}: {_said(error)}.",
                hint=f"Nothing was asked for. `videogen resume {job.id}` tries again.",
                job_id=job.id,
            ) from error
        await log.keep(job, SUBMIT_TIMEOUT + 30)
        return await self.units.run(partial(self._ask, job, session, quote, call, log))

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
                answer = answers.submission(await session.submit(call))
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
        """Write down what is paid for, again and again if need be.

        Raises:
            LedgerError: It could not be written; the message holds the provider's id.
        """
        for pause in (*_SAVE_AGAIN, None):
            try:
                return await self.attach(job, answer, log)
            except LeaseLostError:
                raise
            except (LedgerError, states.IllegalTransition) as error:
                if pause is not None and isinstance(error, LedgerError):
                    await anyio.sleep(pause)
                    continue
                self.unsaved[job.id] = answer
                raise LedgerError(
                    f"{job.attempt.provider} accepted job {job.id} as {answer.provider_job_id}, but that could not be "
                    f"written down: {error.message}",
                    hint=f"{error.hint or ''} It is paid for; keep that id. `videogen resume {job.id}` looks for it.",
                    job_id=job.id,
                ) from error
        raise AssertionError("the last pause is None")

    async def attach(self, job: JobRecord, answer: Submission, log: Log) -> JobRecord:
        """Record an acceptance, whoever drives the job by now.

        Raises:
            LeaseLostError: Another driver has found it already.
            IllegalTransition: The job has gone another way meanwhile.
        """
        try:
            return await log.write(
                job,
                lambda j, now: states.accept(
                    j,
                    now,
                    provider_job_id=answer.provider_job_id,
                    handle=answer.handle,
                    request_id=answer.request_id,
                    client_ref=job.attempt.client_ref,
                ),
                "accepted",
                f"{job.provider} took it as {answer.provider_job_id}",
                late=True,
                offer=job.offer,
            )
        except states.IllegalTransition:
            newer = await self.recorder.get(job.id)
            if any(attempt.provider_job_id == answer.provider_job_id for attempt in newer.attempts):
                raise LeaseLostError(f"Job {job.id} was found already.", job_id=job.id) from None
            raise

    async def reconcile(
        self, job: JobRecord, provider: Provider, session: Session, spec: ModelSpec, log: Log
    ) -> JobRecord:
        """Look for a job whose create got no answer; unchanged when the provider has no way, or finds none."""
        if provider.reconcile == "none":
            return job
        attempt = job.attempt
        call = self._call(spec, attempt.request, attempt.client_ref)
        try:
            with anyio.fail_after(SUBMIT_TIMEOUT):
                found = [item for item in await session.find(call, attempt.started_at) if item.ours]
            answer = answers.submission(found[0].submission) if len(found) == 1 else None
        except VideogenError:
            raise
        except Exception as error:
            raise unknown(job, spec, error) from error
        if answer is None:
            return job
        return await self.units.run(partial(self._accepted, job, answer, log))


def _said(error: BaseException) -> str:
    """What an exception of a plugin says, which may be an address with a key in it."""
    return redact(f"{type(error).__name__}: {error}")


def unknown(job: JobRecord, spec: ModelSpec, cause: BaseException | None) -> SubmissionUnknownError:
    """The error of a create without an answer."""
    why = f" ({_said(cause)})" if cause is not None else ""
    error = SubmissionUnknownError(
        f"{spec.provider} was asked for {spec.id} and no usable answer came{why}. It may have accepted the job and may "
        "charge for it, so it is not sent again.",
        hint=f"`videogen resume {job.id}` looks for it where the provider allows that; otherwise check the provider's "
        "console before asking again.",
        job_id=job.id,
    )
    error.__cause__ = cause
    return error
