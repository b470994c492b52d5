"""The state machine: the moves that a job can make, and what each one records.

Every function takes a `JobRecord` and returns the next, or raises; the ledger stores whatever they return and knows no
rule of its own. Statuses only move forward, and no timer alone leads from unknown to another submit.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from .errors import VideogenError
from .pricing import Quote
from .request import VideoRequest
from .states import Artifact, Attempt, JobRecord, JobStatus, Money, Video

__all__ = [
    "LEGAL",
    "PROOF_SECONDS",
    "IllegalTransition",
    "abandon",
    "absent",
    "accept",
    "accept_late",
    "advance",
    "begin",
    "cancel",
    "correct",
    "fail",
    "fail_attempt",
    "fall_back",
    "lose",
    "reject",
    "request_cancel",
    "resend",
    "resubmit",
    "reuse",
    "revive",
    "reword",
    "store",
    "succeed",
]

_S = JobStatus
LEGAL: dict[JobStatus, frozenset[JobStatus]] = {
    # straight to succeeded: from the cache
    _S.CREATED: frozenset({_S.SUBMITTING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED}),
    # back to created: plainly refused, so it may be tried again or elsewhere
    _S.SUBMITTING: frozenset({_S.QUEUED, _S.CREATED, _S.FAILED, _S.UNKNOWN}),
    # back to created: this attempt failed and the next offer is tried
    _S.QUEUED: frozenset({_S.QUEUED, _S.RUNNING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.CREATED}),
    _S.RUNNING: frozenset({_S.RUNNING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.CREATED}),
    # only evidence or a person leads out of unknown; back to submitting: the vendor documents that the same key is the
    # same job
    _S.UNKNOWN: frozenset({_S.QUEUED, _S.CREATED, _S.SUBMITTING, _S.FAILED, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset({_S.SUCCEEDED}),  # once, when the provider itself takes its word back
    _S.CANCELLED: frozenset(),
}


class IllegalTransition(VideogenError):  # noqa: N818 - named for what it is; never shown to a user
    """A transition that the state machine does not have; a bug in whoever asked for it."""


_AT_PROVIDER = (_S.QUEUED, _S.RUNNING)
PROOF_SECONDS = 60.0
"""Seconds that "no job of that id" must outlast the create and the vendor's lag before it proves anything."""


def _need(job: JobRecord, sources: Collection[JobStatus], status: JobStatus) -> None:
    """Refuse a move that its function, or the state machine, does not make."""
    if job.status not in sources or status not in LEGAL[job.status]:
        raise IllegalTransition(f"Job {job.id} cannot go from {job.status} to {status}.", job_id=job.id)


def _move(job: JobRecord, status: JobStatus, now: datetime, **changes: Any) -> JobRecord:
    """The next record. Where its money is follows from its attempts, so that the two cannot part."""
    new = msgspec.structs.replace(job, status=status, updated_at=now, **changes)
    return msgspec.structs.replace(new, money=_money(new.attempts))


def _money(attempts: tuple[Attempt, ...]) -> Money:
    found = {attempt.money for attempt in attempts}
    return next((money for money in (Money.HELD, Money.SETTLED, Money.RELEASED) if money in found), Money.NONE)


def _with_attempt(job: JobRecord, **changes: Any) -> tuple[Attempt, ...]:
    return (*job.attempts[:-1], msgspec.structs.replace(job.attempt, **changes))


# --- asking


def begin(
    job: JobRecord,
    now: datetime,
    *,
    offer: str,
    request: VideoRequest,
    quote: Quote,
    client_ref: str,
    hold: Decimal | None = None,
    deadline: datetime | None = None,
    account: str = "",
    model: str = "",
    placeholder: bool = False,
) -> JobRecord:
    """About to ask the provider: the try is on record, and its money held, before the first byte leaves."""
    _need(job, (_S.CREATED,), _S.SUBMITTING)
    attempt = Attempt(
        number=len(job.attempts) + 1,
        offer=offer,
        client_ref=client_ref,
        request=request,
        quote=quote,
        hold=hold,
        deadline=deadline,
        account=account,
        started_at=now,
        model=model,
        placeholder=placeholder,
    )
    return _move(job, _S.SUBMITTING, now, attempts=(*job.attempts, attempt), progress=None)


def accept(
    job: JobRecord,
    now: datetime,
    *,
    provider_job_id: str,
    handle: dict[str, Any],
    request_id: str | None = None,
    reply: str = "",
    client_ref: str | None = None,
) -> JobRecord:
    """The provider accepted it, or was found to have: the last try, which is the one of ``client_ref`` if given."""
    _need(job, (_S.SUBMITTING, _S.UNKNOWN), _S.QUEUED)
    if client_ref not in (None, job.attempt.client_ref):
        raise IllegalTransition(f"Job {job.id} is at another try by now.", job_id=job.id)
    attempts = _with_attempt(
        job,
        status=_S.QUEUED,
        # what was found has been there since it was asked for
        accepted_at=now if job.status is _S.SUBMITTING else job.attempt.started_at,
        provider_job_id=provider_job_id,
        handle=handle,
        request_id=request_id,
        reply=reply,
        error=None,
    )
    return _move(job, _S.QUEUED, now, attempts=attempts, error=None)


def accept_late(job: JobRecord, now: datetime, *, client_ref: str, provider_job_id: str) -> JobRecord:
    """An id came for a try that has gone another way meanwhile, or has an id already: it is kept, whatever happens.

    Raises:
        IllegalTransition: The id is on record.
    """
    attempts = list(job.attempts)
    place = next(index for index, attempt in enumerate(attempts) if attempt.client_ref == client_ref)
    attempt = attempts[place]
    if provider_job_id in (attempt.provider_job_id, *attempt.orphans):
        raise IllegalTransition(f"Job {job.id} has the id {provider_job_id} already.", job_id=job.id)
    attempts[place] = msgspec.structs.replace(attempt, orphans=(*attempt.orphans, provider_job_id))
    return msgspec.structs.replace(job, attempts=tuple(attempts), updated_at=now)


def reject(job: JobRecord, now: datetime, error: VideogenError) -> JobRecord:
    """The provider plainly refused, or was never reached: nothing was made and nothing is owed."""
    _need(job, (_S.SUBMITTING,), _S.CREATED)
    request_id = getattr(error, "request_id", None)
    return _move(job, _S.CREATED, now, attempts=_ended(job, now, Decimal(0), "computed", error, request_id=request_id))


def lose(job: JobRecord, now: datetime, error: VideogenError) -> JobRecord:
    """No answer came: it may have been accepted. The money stays held and nothing is sent again."""
    _need(job, (_S.SUBMITTING,), _S.UNKNOWN)
    data = error.to_dict()
    return _move(job, _S.UNKNOWN, now, attempts=_with_attempt(job, status=_S.UNKNOWN, error=data), error=data)


# --- out of unknown: evidence, or a person


def absent(job: JobRecord, now: datetime, *, lag: float) -> JobRecord:
    """The vendor, which can be asked for our id, knows no job of it.

    Once is remembered. Twice, the second time more than ``lag`` seconds and a minute after the create was over, is
    proof: nothing was made, and the job may be asked for again.
    """
    _need(job, (_S.UNKNOWN,), _S.CREATED)
    attempt = job.attempt
    over = attempt.deadline or attempt.started_at
    if attempt.absent_at is None:
        return _move(job, _S.UNKNOWN, now, attempts=_with_attempt(job, absent_at=now))
    if (now - over).total_seconds() < lag + PROOF_SECONDS:
        return job
    return _move(job, _S.CREATED, now, attempts=_ended(job, now, Decimal(0), "computed"), error=None)


def resend(job: JobRecord, now: datetime, *, deadline: datetime) -> JobRecord:
    """The same create once more, under the key that the vendor documents to make it the same job."""
    _need(job, (_S.UNKNOWN,), _S.SUBMITTING)
    attempts = _with_attempt(job, status=_S.SUBMITTING, deadline=deadline, error=None)
    return _move(job, _S.SUBMITTING, now, attempts=attempts, error=None)


def resubmit(job: JobRecord, now: datetime) -> JobRecord:
    """A person wants it made although the lost create may be charged: its whole hold is booked, and it begins anew."""
    _need(job, (_S.UNKNOWN,), _S.CREATED)
    return _move(job, _S.CREATED, now, attempts=_ended(job, now, job.attempt.hold, "assumed"), error=None)


def abandon(job: JobRecord, now: datetime, error: VideogenError, *, cost: Decimal) -> JobRecord:
    """A person says that nothing will come of the lost create, and what it cost."""
    _need(job, (_S.UNKNOWN,), _S.FAILED)
    return _move(job, _S.FAILED, now, attempts=_ended(job, now, cost, "person", error), error=error.to_dict())


def correct(job: JobRecord, now: datetime, *, number: int, cost: Decimal) -> JobRecord:
    """A person knows what a finished try cost.

    Raises:
        IllegalTransition: There is no such try, or it is not over.
    """
    found = [attempt for attempt in job.attempts if attempt.number == number and not attempt.open]
    if not found:
        raise IllegalTransition(f"Job {job.id} has no finished attempt {number}.", job_id=job.id)
    attempts = tuple(
        msgspec.structs.replace(attempt, cost=cost, cost_origin="person") if attempt is found[0] else attempt
        for attempt in job.attempts
    )
    return _move(job, job.status, now, attempts=attempts)


# --- at the provider


def advance(job: JobRecord, now: datetime, status: JobStatus, progress: float | None) -> JobRecord:
    """News from a poll: queued or running. Within one try neither status nor progress runs backwards."""
    _need(job, _AT_PROVIDER, status)
    if status not in _AT_PROVIDER:
        raise IllegalTransition(f"Job {job.id} ends as {status} only with its cost on record.", job_id=job.id)
    known = (p for p in (job.progress, progress) if p is not None and math.isfinite(p))
    shown = max((min(max(p, 0.0), 1.0) for p in known), default=None)
    return _move(job, status, now, progress=shown, attempts=_with_attempt(job, status=status))


def succeed(job: JobRecord, now: datetime, *, cost: Decimal | None, origin: Any) -> JobRecord:
    """The provider is done: settle, whatever the download does."""
    _need(job, _AT_PROVIDER, _S.SUCCEEDED)
    return _succeeded(job, now, cost, origin)


def revive(job: JobRecord, now: datetime, *, cost: Decimal | None, origin: Any) -> JobRecord:
    """The provider calls a job succeeded that it had called failed: believed once, and the money follows."""
    _need(job, (_S.FAILED,), _S.SUCCEEDED)
    if job.revived or not job.attempts or job.attempt.provider_job_id is None:
        raise IllegalTransition(f"Job {job.id} has failed for good.", job_id=job.id)
    return _succeeded(job, now, cost, origin, revived=True)


def _succeeded(job: JobRecord, now: datetime, cost: Decimal | None, origin: Any, **changes: Any) -> JobRecord:
    attempts = _with_attempt(job, status=_S.SUCCEEDED, finished_at=now, cost=cost, cost_origin=origin, error=None)
    return _move(job, _S.SUCCEEDED, now, attempts=attempts, progress=1.0, error=None, **changes)


def reuse(
    job: JobRecord, now: datetime, videos: tuple[Video, ...], *, model: str, placeholder: bool = False
) -> JobRecord:
    """The clips came from the cache: no provider is asked and nothing is paid."""
    _need(job, (_S.CREATED,), _S.SUCCEEDED)
    done = _move(job, _S.SUCCEEDED, now, progress=1.0, error=None, cached=model, placeholder=placeholder)
    return store(done, now, Artifact.STORED, videos)


def fail_attempt(
    job: JobRecord, now: datetime, error: VideogenError, *, cost: Decimal | None, origin: Any
) -> JobRecord:
    """This try failed after it was accepted, and another offer is to be tried."""
    _need(job, _AT_PROVIDER, _S.CREATED)
    return fall_back(_move(job, _S.CREATED, now, attempts=_ended(job, now, cost, origin, error)), now)


def fall_back(job: JobRecord, now: datetime) -> JobRecord:
    """The next offer of the chain is to be asked, in the user's own words."""
    return msgspec.structs.replace(job, place=min(job.place + 1, len(job.chain) - 1), prompt=None, updated_at=now)


def reword(
    job: JobRecord,
    now: datetime,
    prompt: str,
    error: VideogenError,
    *,
    cost: Decimal | None = None,
    origin: Any = None,
) -> JobRecord:
    """The prompt was blocked: the same offer is to be asked in other words, which is another try that is paid for.

    A try that is still at the provider ends with it, at ``cost``, in the same step: a process that dies here asks
    either not at all or in the new words.
    """
    if job.status is not _S.CREATED:
        _need(job, _AT_PROVIDER, _S.CREATED)
        job = _move(job, _S.CREATED, now, attempts=_ended(job, now, cost, origin, error))
    if job.rewrites < 1:
        raise IllegalTransition(f"The prompt of job {job.id} may not be rewritten any more.", job_id=job.id)
    return msgspec.structs.replace(job, prompt=prompt, rewrites=job.rewrites - 1, updated_at=now)


def fail(
    job: JobRecord, now: datetime, error: VideogenError, *, cost: Decimal | None = None, origin: Any = None
) -> JobRecord:
    """The job is over without a video. An open attempt ends with it at ``cost``."""
    _need(job, tuple(_S), _S.FAILED)
    return _move(job, _S.FAILED, now, attempts=_ended(job, now, cost, origin, error), error=error.to_dict())


def cancel(job: JobRecord, now: datetime, *, cost: Decimal | None, origin: Any) -> JobRecord:
    """The job was cancelled. "Cancel accepted" is not "not billed": ``cost`` says what is known."""
    _need(job, tuple(_S), _S.CANCELLED)
    return _move(job, _S.CANCELLED, now, attempts=_ended(job, now, cost, origin, status=_S.CANCELLED))


def _ended(
    job: JobRecord,
    now: datetime,
    cost: Decimal | None,
    origin: Any,
    error: VideogenError | None = None,
    *,
    status: JobStatus = JobStatus.FAILED,
    **changes: Any,
) -> tuple[Attempt, ...]:
    """The attempts with the last one over, if it was open."""
    if not job.attempts or not job.attempt.open:
        return job.attempts
    if error is not None:
        changes["error"] = error.to_dict()
    return _with_attempt(job, status=status, finished_at=now, cost=cost, cost_origin=origin, **changes)


# --- beside the status


def request_cancel(job: JobRecord, now: datetime) -> JobRecord:
    """Record the wish to cancel; what becomes of it is the provider's word."""
    return msgspec.structs.replace(job, cancel_requested_at=job.cancel_requested_at or now, updated_at=now)


def store(job: JobRecord, now: datetime, artifact: Artifact, videos: tuple[Video, ...] = ()) -> JobRecord:
    """What became of the video."""
    return msgspec.structs.replace(job, artifact=artifact, videos=videos or job.videos, updated_at=now)
