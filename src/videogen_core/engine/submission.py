"""One attempt: from "about to ask" to "accepted", "refused", or "nobody knows".

The request that can cost money and the write that remembers it are one unit, shielded from cancellation and bounded by
its own deadline. Inside it nothing is retried and no code of the user runs.
"""

from __future__ import annotations

import copy
import hashlib
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import anyio
from anyio import to_thread

from .. import pricing, transitions
from ..capabilities import resolve
from ..errors import (
    BudgetExceededError,
    ConfigurationError,
    InvalidMediaError,
    LedgerError,
    PluginError,
    ProviderError,
    ProviderUnavailableError,
    RequestError,
    SubmissionUnknownError,
    VideogenError,
)
from ..ledger import ClaimedError, FlightTakenError
from ..provider import PLUGIN_API, Provider, Session, Submission, SubmitCall
from ..redaction import cause_of, said
from ..registry import tailored
from ..request import Media, VideoRequest
from ..settings import Settings
from ..spec import ModelSpec
from ..states import JobRecord, JobStatus
from . import answers
from .record import LeaseLostError, Log, Recorder
from .units import Units

__all__ = ["Answer", "Plan", "Submitter", "clean_up", "unknown"]

PREPARE_TIMEOUT = 600.0
"""Seconds for the uploads before it."""
CLEAN_UP_TIMEOUT = 10.0
"""Seconds for removing what a job has left at its vendor."""
_SAVE_AGAIN = (0.1, 0.4, 1.0, 3.0, 8.0)  # seconds between tries to write down an id that is paid for
# Errors of a create that say that nothing was sent, by the API that the plugin was written for: in the first one, only
# a `ProviderError` with ``accepted=False`` did.
_REFUSING: dict[int, tuple[type[VideogenError], ...]] = {
    1: (ProviderError,),
    2: (ProviderError, ConfigurationError, RequestError),
}
_MAX_INPUT_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Plan:
    """What is about to be asked: the call, what it is expected to cost, and what is held for it.

    Attributes:
        call: What the plugin is given.
        quote: The estimate.
        hold: USD held while the attempt is open; None = the price is unknown and nobody has set a limit.
        account: Hash of the user's account at the vendor.
        flight: Cache key of the clip, when it is made for the cache.
        api: The `PLUGIN_API` that the plugin was written for.
    """

    call: SubmitCall
    quote: pricing.Quote
    hold: Decimal | None
    account: str
    flight: str | None = None
    api: int = PLUGIN_API


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

    def plan(self, job: JobRecord, spec: ModelSpec, provider: Provider) -> Plan:
        """Resolve and price a job for an offer.

        Raises:
            UnsupportedRequestError: The offer does not take it.
            BudgetExceededError: Together with earlier attempts it would go over ``max_cost``.
        """
        resolved = resolve(spec, job.wanted, job.fit)
        offered = tailored(provider, self.settings, spec, resolved.request)
        quote = pricing.quote(offered, resolved.request, today=self.recorder.clock.now().date())
        if job.max_cost is not None:
            if quote.high is None and not job.allow_unknown_price:
                raise BudgetExceededError(
                    f"The price of {spec.id} is unknown, so max_cost cannot be kept.", job_id=job.id
                )
            already = job.at_risk
            if already + (quote.high or 0) > job.max_cost:
                raise BudgetExceededError(
                    f"{spec.id} is estimated at {quote}, earlier attempts cost ${already}, "
                    f"max_cost is ${job.max_cost}.",
                    job_id=job.id,
                )
        hold = quote.high
        if hold is None and job.max_cost is not None:
            hold = job.max_cost - job.at_risk
        call = self.call(spec, resolved.request, uuid.uuid4().hex)
        return Plan(call=call, quote=quote, hold=hold, account=self.account(provider), api=provider.plugin_api)

    def account(self, provider: Provider) -> str:
        """A hash of what tells the user's account at a vendor from others; empty where there is nothing to tell."""
        try:
            name = str(provider.account(self.settings.environment, self.settings.provider(provider.name)) or "")
        except VideogenError:
            raise
        except Exception as error:
            raise PluginError(f"The plugin {provider.name!r} cannot tell its account: {said(error)}.") from cause_of(
                error
            )
        return hashlib.sha256(f"{provider.name}\n{name}".encode()).hexdigest()[:16] if name else ""

    def call(self, spec: ModelSpec, request: VideoRequest, client_ref: str) -> SubmitCall:
        """A create as the plugin sees it: with copies of its own."""
        base = self.settings.webhook_url
        return SubmitCall(
            spec=copy.deepcopy(spec),
            request=copy.deepcopy(request),
            client_ref=client_ref,
            timeout=self.settings.submit_timeout,
            read=self._read,
            webhook_url=None if base is None else f"{base.rstrip('/')}/{spec.provider}/{client_ref}",
        )

    async def _read(self, media: Media) -> bytes:
        """The bytes of an input, for a plugin that sends them along."""
        if media.url is None:
            return await to_thread.run_sync(_unchanged, media)
        from ..transport import fetch_public

        private = self.settings.allow_private_addresses
        timeout = self.settings.submit_timeout
        return await fetch_public(media.url, max_bytes=_MAX_INPUT_BYTES, timeout=timeout, allow_private=private)

    async def attempt(self, job: JobRecord, session: Session, plan: Plan, log: Log) -> Answer:
        """Try once: afterwards the job is queued, created again (refused), or unknown.

        Raises:
            BudgetExceededError: A budget has too little left; nothing was asked.
            FlightTakenError: Another job is making the same clip for the cache; nothing was asked.
            InvalidMediaError: An input cannot be read any more; nothing was asked.
            PluginError: The plugin broke before anything was asked.
        """
        call = plan.call
        try:
            with anyio.fail_after(PREPARE_TIMEOUT):
                call = replace(call, prepared=await session.prepare(_theirs(call)))
        except ProviderError as error:  # an upload failed, say
            return Answer(job, error)
        except TimeoutError:
            late = f"{call.spec.provider} did not take the inputs within {PREPARE_TIMEOUT:g} s."
            return Answer(job, ProviderUnavailableError(late, provider=call.spec.provider, accepted=False))
        except VideogenError:
            raise
        except Exception as error:
            raise PluginError(
                f"The plugin {call.spec.provider!r} broke while preparing job {job.id}: {said(error)}.",
                hint=f"Nothing was asked for. `videogen resume {job.id}` tries again.",
                job_id=job.id,
            ) from cause_of(error)
        try:
            answer = await self.units.run(partial(self._ask, job, session, replace(plan, call=call), log))
        except (BudgetExceededError, FlightTakenError):
            await clean_up(session, call.prepared)
            raise
        if answer.error is not None and answer.job.status is not JobStatus.UNKNOWN:
            await clean_up(session, call.prepared)
        return answer

    async def _ask(self, job: JobRecord, session: Session, plan: Plan, log: Log) -> Answer:
        spec = plan.call.spec
        job = await log.begin(
            job,
            lambda j, now: transitions.begin(
                j,
                now,
                offer=spec.id,
                request=plan.call.request,
                quote=plan.quote,
                client_ref=plan.call.client_ref,
                hold=plan.hold,
                deadline=now + timedelta(seconds=plan.call.timeout),
                account=plan.account,
                model=spec.name,
                placeholder=spec.placeholder,
            ),
            f"asking {spec.id}, estimate {plan.quote}",
            flight=plan.flight,
        )
        return await self._send(job, session, plan.call, log, refusing=_REFUSING[plan.api])

    async def again(self, job: JobRecord, session: Session, call: SubmitCall, log: Log) -> Answer:
        """Send a create without an answer once more, to a vendor that documents the same key to be the same job."""
        call = replace(call, prepared=await session.prepare(_theirs(call)))
        return await self.units.run(partial(self._ask_again, job, session, call, log))

    async def _ask_again(self, job: JobRecord, session: Session, call: SubmitCall, log: Log) -> Answer:
        job = await log.write(
            job,
            lambda j, now: transitions.resend(j, now, deadline=now + timedelta(seconds=call.timeout)),
            "submitting",
            f"asking {call.spec.id} again under the same key",
        )
        # A refusal of the second proves nothing of the first, so it is no better than no answer.
        return await self._send(job, session, call, log, refusing=())

    async def _send(
        self, job: JobRecord, session: Session, call: SubmitCall, log: Log, *, refusing: tuple[type[VideogenError], ...]
    ) -> Answer:
        spec = call.spec
        try:
            with anyio.fail_after(call.timeout):
                answer = answers.submission(await session.submit(_theirs(call)))
        except ProviderError as refusal:
            refusal.provider, refusal.model = refusal.provider or spec.provider, refusal.model or spec.id
            refusal.job_id = job.id
            if refusing and refusal.accepted is False:
                return Answer(await self._refused(job, refusal, log), refusal)
            return await self._lost(job, spec, refusal, log)
        except (ConfigurationError, RequestError) as wrong:
            if not isinstance(wrong, refusing):
                return await self._lost(job, spec, wrong, log)
            wrong.job_id = job.id
            return Answer(await self._refused(job, wrong, log), wrong)
        except Exception as cause:
            return await self._lost(job, spec, cause, log)
        return Answer(await self._accepted(job, spec, answer, log), poll_after=answer.poll_after)

    async def _refused(self, job: JobRecord, error: VideogenError, log: Log) -> JobRecord:
        change = partial(transitions.reject, error=error)
        return await log.write(job, change, "rejected", error.message, error=error.to_dict())

    async def _lost(self, job: JobRecord, spec: ModelSpec, cause: Exception, log: Log) -> Answer:
        error = unknown(job, spec, cause)
        if job.status is JobStatus.UNKNOWN:
            return Answer(job, error)
        job = await log.write(job, lambda j, now: transitions.lose(j, now, error), "unknown", error.message)
        return Answer(job, error)

    async def record(self, job: JobRecord, spec: ModelSpec, answer: Submission, log: Log) -> JobRecord:
        """Write down a job that was found; finished once it has begun."""
        return await self.units.run(partial(self._accepted, job, spec, answer, log))

    async def _accepted(self, job: JobRecord, spec: ModelSpec, answer: Submission, log: Log) -> JobRecord:
        """Write down what is paid for, again and again if need be.

        Raises:
            LedgerError: It could not be written; the message holds the provider's id.
        """
        for pause in (*_SAVE_AGAIN, None):
            try:
                return await self.attach(job, answer, log)
            except LeaseLostError:
                raise
            except ClaimedError as error:  # the vendor gave one id twice: only one of the two can have it
                return (await self._lost(job, spec, error, log)).job
            except LedgerError as error:
                if pause is not None:
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
        """Record an acceptance, whoever drives the job by now, and whatever has become of it.

        Raises:
            LeaseLostError: The job has taken another course meanwhile; the id is on record all the same.
            ClaimedError: The vendor's job belongs to another job of ours.
        """
        try:
            return await log.write(
                job,
                lambda j, now: transitions.accept(
                    j,
                    now,
                    provider_job_id=answer.provider_job_id,
                    handle=answer.handle,
                    request_id=answer.request_id,
                    reply=answer.reply,
                    client_ref=job.attempt.client_ref,
                ),
                "accepted",
                f"{job.provider} took it as {answer.provider_job_id}",
                late=True,
            )
        except transitions.IllegalTransition:
            await self.keep_late(job, answer, log)
        raise LeaseLostError(f"Job {job.id} has gone another way meanwhile.", job_id=job.id)

    async def keep_late(self, job: JobRecord, answer: Submission, log: Log) -> None:
        """An id came too late to be followed; it may be one that is paid for, so it is kept and told loudly."""
        client_ref, theirs = job.attempt.client_ref, answer.provider_job_id
        with suppress(transitions.IllegalTransition):  # it is on record already
            await log.write(
                job,
                lambda j, now: transitions.accept_late(j, now, client_ref=client_ref, provider_job_id=theirs),
                "orphan",
                f"{job.attempt.provider} has taken it as {theirs} as well, which nobody follows; check whether it is "
                "charged",
                late=True,
                provider_job_id=theirs,
            )


def _theirs(call: SubmitCall) -> SubmitCall:
    """A call to give away: what is written down is the request as it was resolved, whatever becomes of the copy."""
    return replace(call, request=copy.deepcopy(call.request))


async def clean_up(session: Session, leftovers: dict[str, Any]) -> None:
    """Have a plugin remove what it left at its vendor. That it cannot is no news: the vendor lets it expire."""
    if leftovers:
        with suppress(Exception), anyio.move_on_after(CLEAN_UP_TIMEOUT):
            await session.clean_up(dict(leftovers))


def _unchanged(media: Media) -> bytes:
    """The bytes of an input, once they are known to be those that were checked and, maybe, are a clip's cache key."""
    from ..media import read_bytes

    data = read_bytes(media)
    if media.sha256 is not None and hashlib.sha256(data).hexdigest() != media.sha256.lower():
        raise InvalidMediaError(
            f"{media.label} was changed after it had been checked.", hint="Submit it again. Nothing was sent."
        )
    return data


def unknown(
    job: JobRecord, spec: ModelSpec, cause: BaseException | None, *, check: str = "", candidates: tuple[str, ...] = ()
) -> SubmissionUnknownError:
    """The error of a create without an answer.

    Args:
        job: The job.
        spec: What was asked.
        cause: What went wrong.
        check: Where a person can look.
        candidates: Ids of jobs at the vendor that it may be.
    """
    why = f" ({said(cause)})" if cause is not None else ""
    seen = f"It may be {', '.join(candidates)}. " if candidates else ""
    where = f" ({check})" if check else ""
    error = SubmissionUnknownError(
        f"{spec.provider} was asked for {spec.id} and no usable answer came{why}. It may have accepted the job and may "
        "charge for it, so it is not sent again.",
        hint=f"`videogen resume {job.id}` looks for it where the provider allows that. {seen}Otherwise look at the "
        f"provider's console{where} and say what you found: `videogen jobs settle {job.id}` with --attach ID, "
        "--abandon, or --resubmit --i-accept-paying-twice.",
        job_id=job.id,
    )
    error.__cause__ = cause if cause is None or isinstance(cause, VideogenError) else cause_of(cause)
    return error
