"""What the vendor says: the shapes of its answers, and which of our errors its codes stand for."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from videogen_core import (
    ContentPolicyError,
    GenerationFailedError,
    InsufficientCreditsError,
    ProviderError,
    ProviderProtocolError,
)
from videogen_core.outcomes import Answer

__all__ = ["NAME", "Account", "Failure", "Job", "Listing", "Told", "Upload", "failure", "refused"]

NAME = "acme"
# https://acme.invalid/docs/errors
_CODES: dict[str, type[ProviderError]] = {
    "content_policy": ContentPolicyError,
    "insufficient_credits": InsufficientCreditsError,
}


class Failure(msgspec.Struct):
    """Why something did not work."""

    code: str = ""
    message: str = ""


class File(msgspec.Struct):
    """One clip."""

    url: str
    mime_type: str = "video/mp4"


class Job(msgspec.Struct):
    """A job; fields that are new to us are ignored."""

    id: str
    status: str
    model: str = ""
    created_at: float | None = None
    progress: float | None = None
    next_poll: float | None = None
    charge: Decimal | None = None
    videos: tuple[File, ...] = ()
    error: Failure | None = None
    input: dict[str, object] | None = None


class Listing(msgspec.Struct):
    """A page of jobs, newest first."""

    videos: tuple[Job, ...]
    next: str | None = None


class Upload(msgspec.Struct):
    """A file that a create may name."""

    upload: str


class Account(msgspec.Struct):
    """Whose key it is."""

    name: str


class Told(msgspec.Struct):
    """What a webhook delivery is about."""

    id: str


class _Error(msgspec.Struct):
    error: Failure


def refused(answer: Answer) -> ProviderError:
    """The error that an answer stands for that is not 2xx: its status decides, its code says it better."""
    try:
        told = answer.json(_Error).error
    except ProviderProtocolError:  # a gateway's page; the status is enough
        return answer.error()
    error = answer.error(told.message, code=told.code or None)
    kind = _CODES.get(told.code)
    if kind is None or type(error) is kind:
        return error
    return kind(
        error.message,
        provider=NAME,
        code=error.code,
        status_code=error.status_code,
        request_id=error.request_id,
        charged=False if error.accepted is False else None,
        accepted=error.accepted,
    )


def failure(job: Job) -> ProviderError:
    """Why a job failed."""
    told = job.error or Failure(message="no reason was given")
    kind = _CODES.get(told.code, GenerationFailedError)
    return kind(
        f"{NAME}: {told.message or told.code or 'no reason was given'}",
        provider=NAME,
        code=told.code or None,
        charged=None if job.charge is None else job.charge > 0,
    )
