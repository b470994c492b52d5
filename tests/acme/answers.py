"""What the vendor says, read as strictly as if it were hostile."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

import msgspec

from videogen_core import (
    ContentPolicyError,
    GenerationFailedError,
    InsufficientCreditsError,
    ProviderError,
    ProviderProtocolError,
)
from videogen_core.outcomes import error_for_status
from videogen_core.transport import asked_to_wait

if TYPE_CHECKING:
    import httpx

__all__ = ["Failure", "Job", "Listing", "Upload", "failure", "parse", "read_body", "refused"]

T = TypeVar("T")
_MAX_BYTES = 2 * 2**20
NAME = "acme"


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


class _Error(msgspec.Struct):
    error: Failure


async def read_body(response: httpx.Response) -> bytes:
    """The body of a streamed answer, which must be plain and of a sane size.

    Raises:
        ProviderProtocolError: It is compressed, or too large.
    """
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _protocol(response, "sent compressed data, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise _protocol(response, "sent more than 2 MiB")
    return bytes(body)


def parse(response: httpx.Response, body: bytes, kind: type[T]) -> T:
    """An answer as a record.

    Raises:
        ProviderProtocolError: It is no such record.
    """
    try:
        return msgspec.json.decode(body.decode(), type=kind)  # strict UTF-8, in fields that are skipped too
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _protocol(response, f"sent what cannot be read: {error}") from error


def _protocol(response: httpx.Response, what: str) -> ProviderProtocolError:
    return ProviderProtocolError(
        f"{NAME} {what}.",
        provider=NAME,
        status_code=response.status_code,
        request_id=response.headers.get("x-request-id"),
        retryable=True,
    )


def refused(response: httpx.Response, body: bytes) -> ProviderError:
    """The error that an answer stands for that is not 2xx."""
    try:
        told = msgspec.json.decode(body, type=_Error).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = Failure()
    error = error_for_status(
        response.status_code,
        told.message,
        provider=NAME,
        code=told.code or None,
        request_id=response.headers.get("x-request-id"),
        retry_after=asked_to_wait(response.headers),
    )
    kinds = {"content_policy": ContentPolicyError, "insufficient_credits": InsufficientCreditsError}
    kind = kinds.get(told.code)
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
    kind = ContentPolicyError if told.code == "content_policy" else GenerationFailedError
    return kind(
        f"{NAME}: {told.message or told.code or 'no reason was given'}",
        provider=NAME,
        code=told.code or None,
        charged=None if job.charge is None else job.charge > 0,
    )
