"""Which offer of a job's chain is next, and what its attempts have cost so far. Pure."""

from __future__ import annotations

from decimal import Decimal

from ..errors import ContentPolicyError, ProviderError, ProviderUnavailableError, VideogenError
from ..provider import Snapshot
from ..states import JobRecord

__all__ = ["cost_of_failure", "cost_of_success", "following", "lost_creates", "lost_too_often"]


def following(job: JobRecord, error: VideogenError) -> str | None:
    """The offer to try after ``error``; None when none is left or could cure it, or the job is to be cancelled."""
    if job.cancel_requested_at is not None:
        return None
    curable = isinstance(error, ProviderError) and error.curable_elsewhere
    if isinstance(error, ContentPolicyError):
        curable = job.fallback_on_policy
    left = job.chain[job.place + 1 :]
    return left[0] if curable and left else None


def lost_creates(job: JobRecord) -> int:
    """How many creates at the present offer got no answer and were asked for again."""
    return sum(
        attempt.offer == job.offer
        and attempt.accepted_at is None
        and (attempt.absent_at is not None or attempt.cost_origin == "assumed")
        for attempt in job.attempts
    )


def lost_too_often(job: JobRecord) -> ProviderUnavailableError:
    """The error of an offer whose creates get lost one after the other."""
    return ProviderUnavailableError(
        f"{job.provider} was asked {lost_creates(job)} times for job {job.id}, and each time the answer was lost.",
        provider=job.provider,
        model=job.offer,
        accepted=False,
        hint=f"`videogen jobs {job.id}` shows what each attempt is booked at. Try again later, or another model.",
        job_id=job.id,
    )


def cost_of_success(job: JobRecord, snapshot: Snapshot) -> tuple[Decimal | None, str | None]:
    """What a success cost, and who says so: the provider, or the quote for as many clips as came."""
    attempt = job.attempt
    if snapshot.cost is not None:
        return snapshot.cost, "provider"
    if attempt.quote.high is None:
        return None, None
    if snapshot.expired:  # how many there were cannot be seen any more
        return attempt.quote.high, "computed"
    share = Decimal(min(len(snapshot.outputs), attempt.request.count)) / attempt.request.count
    return attempt.quote.high * share, "computed"


def cost_of_failure(job: JobRecord, said: Decimal | None, charged: bool | None) -> tuple[Decimal | None, str | None]:
    """What a failure cost: as the provider says, else nothing if it is known to be free, else the whole hold."""
    if said is not None:
        return said, "provider"
    if charged is False:
        return Decimal(0), "computed"
    hold = job.attempt.hold
    return (None, None) if hold is None else (hold, "computed" if charged else "assumed")
