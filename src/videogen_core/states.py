"""The durable job: its states, the transitions that are legal, and what each one records.

A `JobRecord` is immutable. Every function here takes one and returns the next, or raises; the ledger stores
whatever they return and knows no rule of its own. Status, money and artifact are three separate facts, so that no
one of them can hide another: the money is settled as soon as the provider is done, whatever the download does.
"""

from __future__ import annotations

import base64
import html
import math
import secrets
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec

from .errors import VideogenError
from .pricing import Quote
from .request import VideoRequest

__all__ = [
    "TERMINAL",
    "Artifact",
    "Attempt",
    "Event",
    "IllegalTransition",
    "JobRecord",
    "JobStatus",
    "Money",
    "Result",
    "Video",
    "new_job_id",
]


class JobStatus(StrEnum):
    """Where a job is. ``unknown``: the provider was asked and no answer came; it may have been accepted."""

    CREATED = "created"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Money(StrEnum):
    """Where the money of a job is: nothing yet, held against the estimate, settled at the cost, or released."""

    NONE = "none"
    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"


class Artifact(StrEnum):
    """Where the video is: not here, arriving, stored and verified, gone at the provider, or not wanted here."""

    NONE = "none"
    PARTIAL = "partial"
    STORED = "stored"
    EXPIRED = "expired"
    SKIPPED = "skipped"


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})

_S = JobStatus
LEGAL: dict[JobStatus, frozenset[JobStatus]] = {
    _S.CREATED: frozenset({_S.SUBMITTING, _S.FAILED, _S.CANCELLED}),
    # back to created: plainly refused, so it may be tried again or elsewhere
    _S.SUBMITTING: frozenset({_S.QUEUED, _S.CREATED, _S.FAILED, _S.UNKNOWN}),
    # back to created: this attempt failed and the next offer is tried
    _S.QUEUED: frozenset({_S.QUEUED, _S.RUNNING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.CREATED}),
    _S.RUNNING: frozenset({_S.RUNNING, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.CREATED}),
    # only evidence or a person leads out of unknown, and never to another submit
    _S.UNKNOWN: frozenset({_S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
}


class IllegalTransition(VideogenError):  # noqa: N818 - named for what it is; never shown to a user
    """A transition that the state machine does not have; a bug in whoever asked for it."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what the ledger stores. Unknown keys of newer versions are ignored on reading."""


def _plain(record: Record, *, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Every field as plain JSON data, unset ones too, so that the shape is always the same."""
    names = (name for name in record.__struct_fields__ if name not in leave_out)
    return {name: msgspec.json.decode(msgspec.json.encode(getattr(record, name), enc_hook=str)) for name in names}


class Video(Record, frozen=True, kw_only=True):
    """One file that came out.

    Attributes:
        path: Where it is stored.
        url: Where the provider or the user's bucket keeps it, when that address is not secret.
        mime_type: Such as ``video/mp4``.
        size: Bytes.
        sha256: Hex digest of the file.
        duration: Seconds.
        width: Pixels.
        height: Pixels.
        fps: Frames per second.
        has_audio: Whether there is a sound track.
        integrity: The strongest proof that nothing is missing: a ``checksum`` matched, the announced ``length`` did, or
            only the ``container`` speaks for itself. Every clip has been decoded, too.
    """

    path: Path | None = None
    url: str | None = None
    mime_type: str = "video/mp4"
    size: int = 0
    sha256: str = ""
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    has_audio: bool = False
    integrity: Literal["checksum", "length", "container"] = "container"

    def _repr_html_(self) -> str:
        """Play inline in a notebook."""
        if self.path is None or not self.path.exists():
            return f"<code>{html.escape(str(self.path or self.url))}</code>"
        data = base64.b64encode(self.path.read_bytes()).decode()
        return (
            f'<video controls width="{min(self.width or 640, 640)}" src="data:{self.mime_type};base64,{data}"></video>'
        )


class Attempt(Record, frozen=True, kw_only=True):
    """One try of a job on one offer.

    Attributes:
        number: From 1.
        offer: ``provider/name``.
        model: Shared model name.
        placeholder: Whether the offer makes placeholders.
        client_ref: Our own id of the try, minted before it is sent.
        request: The request with every default written out, as the provider was told.
        quote: What it was expected to cost.
        started_at: When it was about to be sent.
        status: Status of this try alone.
        accepted_at: When the provider accepted it.
        finished_at: When it ended.
        provider_job_id: The vendor's id.
        handle: What the plugin needs to ask for it from another process; plain JSON.
        request_id: The vendor's id of the HTTP request, for its support.
        cost: USD charged; None when nobody knows.
        cost_origin: ``provider`` (it said so), ``computed`` (from what was delivered), ``assumed`` (the full hold).
        error: Why it failed, as `VideogenError.to_dict` gives it.
    """

    number: int
    offer: str
    client_ref: str
    request: VideoRequest
    quote: Quote
    started_at: datetime
    model: str = ""
    placeholder: bool = False
    status: JobStatus = JobStatus.SUBMITTING
    accepted_at: datetime | None = None
    finished_at: datetime | None = None
    provider_job_id: str | None = None
    handle: dict[str, Any] = {}
    request_id: str | None = None
    cost: Decimal | None = None
    cost_origin: Literal["provider", "computed", "assumed"] | None = None
    error: dict[str, Any] | None = None

    @property
    def provider(self) -> str:
        """The adapter id."""
        return self.offer.partition("/")[0]


class JobRecord(Record, frozen=True, kw_only=True):
    """One request made durable.

    Attributes:
        id: Our id.
        created_at: Aware UTC.
        updated_at: Aware UTC.
        request: As the user made it.
        chain: Offer ids to try, in order; the first is the one chosen.
        place: Position in the chain of the offer that is asked, or will be.
        max_cost: USD for all attempts together.
        fit: How far the request may be moved.
        allow_unknown_price: Whether an offer without a price may be used under ``max_cost``.
        fallback_on_policy: Whether a content block may be tried elsewhere.
        output: Absolute path, folder ending in a separator, or template; None = the library's own folder.
        overwrite: Whether an existing file may be replaced.
        tags: The user's labels.
        idempotency_key: The user's name for this request.
        version: Counts writes; the ledger compares and sets it.
        status, money, artifact: The three facts.
        progress: 0 to 1.
        attempts: Each try.
        cancel_requested_at: An intent, not a state.
        videos: What was stored.
        error: Why it failed, as `VideogenError.to_dict` gives it.
        changes: What ``fit`` moved.
    """

    id: str
    created_at: datetime
    updated_at: datetime
    request: VideoRequest
    chain: tuple[str, ...]
    place: int = 0
    max_cost: Decimal | None = None
    fit: Literal["exact", "nearest", "at_least"] = "exact"
    allow_unknown_price: bool = False
    fallback_on_policy: bool = False
    output: str | None = None
    overwrite: bool = False
    tags: dict[str, str] = {}
    idempotency_key: str | None = None
    version: int = 0
    status: JobStatus = JobStatus.CREATED
    money: Money = Money.NONE
    artifact: Artifact = Artifact.NONE
    progress: float | None = None
    attempts: tuple[Attempt, ...] = ()
    cancel_requested_at: datetime | None = None
    videos: tuple[Video, ...] = ()
    error: dict[str, Any] | None = None
    changes: tuple[dict[str, Any], ...] = ()

    @property
    def attempt(self) -> Attempt:
        """The current or last try."""
        return self.attempts[-1]

    @property
    def offer(self) -> str:
        """The offer that works on it, or will."""
        return self.chain[self.place]

    @property
    def provider(self) -> str:
        """The adapter id of `offer`."""
        return self.offer.partition("/")[0]

    @property
    def provider_job_id(self) -> str | None:
        """The vendor's id of the last try."""
        return self.attempts[-1].provider_job_id if self.attempts else None

    @property
    def cost(self) -> Decimal | None:
        """USD of all tries together; None when one of them is not known."""
        costs = [a.cost for a in self.attempts if a.status is not JobStatus.CREATED]
        return None if any(c is None for c in costs) else sum((c for c in costs if c is not None), Decimal(0))

    @property
    def done(self) -> bool:
        """Nothing is left to do: ended, paid or released, and the video dealt with."""
        if self.status is not JobStatus.SUCCEEDED:
            return self.status in TERMINAL
        return self.artifact in (Artifact.STORED, Artifact.SKIPPED, Artifact.EXPIRED)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        attempts = [
            {**_plain(attempt, leave_out=("handle", "request")), "request": attempt.request.given()}
            for attempt in self.attempts
        ]
        return {
            **_plain(self, leave_out=("request", "attempts", "videos")),
            "request": self.request.given(),
            "attempts": attempts,
            "videos": [_plain(video) for video in self.videos],
            "offer": self.offer,
            "provider": self.provider,
            "provider_job_id": self.provider_job_id,
            "cost": None if self.cost is None else str(self.cost),
        }


class Event(Record, frozen=True, kw_only=True):
    """Something that happened to a job.

    Attributes:
        job_id: Which job.
        at: When, aware UTC.
        type: ``created submitting accepted rejected unknown progress fallback retrying warning settled downloading
            stored expired cancel_requested succeeded failed cancelled resumed``.
        status: The job's status after it.
        message: One sentence for people.
        progress: 0 to 1.
        data: More, by type.
        seq: Order in the ledger.
    """

    job_id: str
    at: datetime
    type: str
    status: JobStatus
    message: str = ""
    progress: float | None = None
    data: dict[str, Any] = {}
    seq: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return _plain(self)


class Result(Record, frozen=True, kw_only=True):
    """What a finished job gave.

    Attributes:
        job_id: The job.
        model: Shared model name.
        provider: Adapter id.
        videos: One per clip.
        cost: USD for all attempts; None when it is not known.
        attempts: Each try and what it cost.
        changes: What ``fit`` moved.
        placeholder: True when the sandbox made it.
        cached: True when no provider was asked.
    """

    job_id: str
    model: str
    provider: str
    videos: tuple[Video, ...]
    cost: Decimal | None
    attempts: tuple[Attempt, ...]
    changes: tuple[dict[str, Any], ...] = ()
    placeholder: bool = False
    cached: bool = False

    @property
    def path(self) -> Path | None:
        """Where the first clip is stored."""
        return self.videos[0].path if self.videos else None

    def _repr_html_(self) -> str:
        return "".join(video._repr_html_() for video in self.videos)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "job_id": self.job_id,
            "model": self.model,
            "provider": self.provider,
            "path": str(self.path) if self.path else None,
            "videos": [_plain(video) for video in self.videos],
            "cost": None if self.cost is None else str(self.cost),
            "attempts": [
                {
                    "number": a.number,
                    "offer": a.offer,
                    "status": a.status.value,
                    "cost": None if a.cost is None else str(a.cost),
                    "error": a.error,
                }
                for a in self.attempts
            ],
            "changes": list(self.changes),
            "placeholder": self.placeholder,
            "cached": self.cached,
        }


def new_job_id(now: datetime) -> str:
    """A sortable, unguessable id: ``vg-20261120-153000-7f3ac…``."""
    return f"vg-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(5)}"


# --- transitions ------------------------------------------------------------------------------------------------


_AT_PROVIDER = (_S.QUEUED, _S.RUNNING)


def _need(job: JobRecord, sources: Collection[JobStatus], status: JobStatus) -> None:
    """Refuse a move that its function, or the state machine, does not make."""
    if job.status not in sources or status not in LEGAL[job.status]:
        raise IllegalTransition(f"Job {job.id} cannot go from {job.status} to {status}.", job_id=job.id)


def _move(job: JobRecord, status: JobStatus, now: datetime, **changes: Any) -> JobRecord:
    return msgspec.structs.replace(job, status=status, updated_at=now, **changes)


def _with_attempt(job: JobRecord, **changes: Any) -> tuple[Attempt, ...]:
    return (*job.attempts[:-1], msgspec.structs.replace(job.attempt, **changes))


def begin(
    job: JobRecord,
    now: datetime,
    *,
    offer: str,
    request: VideoRequest,
    quote: Quote,
    client_ref: str,
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
        started_at=now,
        model=model,
        placeholder=placeholder,
    )
    return _move(job, _S.SUBMITTING, now, attempts=(*job.attempts, attempt), money=Money.HELD, progress=None)


def accept(
    job: JobRecord,
    now: datetime,
    *,
    provider_job_id: str,
    handle: dict[str, Any],
    request_id: str | None = None,
    client_ref: str | None = None,
) -> JobRecord:
    """The provider accepted it, or was found to have: the last try, which is the one of ``client_ref`` if given."""
    _need(job, (_S.SUBMITTING, _S.UNKNOWN), _S.QUEUED)
    if client_ref not in (None, job.attempt.client_ref):
        raise IllegalTransition(f"Job {job.id} is at another try by now.", job_id=job.id)
    attempts = _with_attempt(
        job,
        status=_S.QUEUED,
        accepted_at=now,
        provider_job_id=provider_job_id,
        handle=handle,
        request_id=request_id,
        error=None,
    )
    return _move(job, _S.QUEUED, now, attempts=attempts, error=None)


def reject(job: JobRecord, now: datetime, error: VideogenError) -> JobRecord:
    """The provider plainly refused, or was never reached: nothing was made and nothing is owed."""
    _need(job, (_S.SUBMITTING,), _S.CREATED)
    attempts = _with_attempt(
        job,
        status=_S.FAILED,
        finished_at=now,
        cost=Decimal(0),
        cost_origin="computed",
        error=error.to_dict(),
        request_id=getattr(error, "request_id", None),
    )
    return _move(job, _S.CREATED, now, attempts=attempts)


def lose(job: JobRecord, now: datetime, error: VideogenError) -> JobRecord:
    """No answer came: it may have been accepted. The money stays held and nothing is sent again."""
    _need(job, (_S.SUBMITTING,), _S.UNKNOWN)
    data = error.to_dict()
    return _move(job, _S.UNKNOWN, now, attempts=_with_attempt(job, status=_S.UNKNOWN, error=data), error=data)


def advance(job: JobRecord, now: datetime, status: JobStatus, progress: float | None) -> JobRecord:
    """News from a poll: queued or running. Within one try neither status nor progress runs backwards."""
    _need(job, _AT_PROVIDER, status)
    if status not in _AT_PROVIDER:
        raise IllegalTransition(f"Job {job.id} ends as {status} only with its cost on record.", job_id=job.id)
    known = (p for p in (job.progress, progress) if p is not None and math.isfinite(p))
    shown = max((min(max(p, 0.0), 1.0) for p in known), default=None)
    return _move(job, status, now, progress=shown, attempts=_with_attempt(job, status=status))


def succeed(
    job: JobRecord, now: datetime, *, cost: Decimal | None, origin: Any, money: Money = Money.SETTLED
) -> JobRecord:
    """The provider is done: settle, whatever the download does."""
    _need(job, _AT_PROVIDER, _S.SUCCEEDED)
    attempts = _with_attempt(job, status=_S.SUCCEEDED, finished_at=now, cost=cost, cost_origin=origin)
    return _move(job, _S.SUCCEEDED, now, attempts=attempts, money=money, progress=1.0, error=None)


def fail_attempt(
    job: JobRecord, now: datetime, error: VideogenError, *, cost: Decimal | None, origin: Any
) -> JobRecord:
    """This try failed after it was accepted, and another offer is to be tried."""
    _need(job, _AT_PROVIDER, _S.CREATED)
    attempts = _with_attempt(
        job, status=_S.FAILED, finished_at=now, cost=cost, cost_origin=origin, error=error.to_dict()
    )
    return fall_back(_move(job, _S.CREATED, now, attempts=attempts), now)


def fall_back(job: JobRecord, now: datetime) -> JobRecord:
    """The next offer of the chain is to be asked."""
    return msgspec.structs.replace(job, place=min(job.place + 1, len(job.chain) - 1), updated_at=now)


def fail(
    job: JobRecord, now: datetime, error: VideogenError, *, cost: Decimal | None = None, origin: Any = None
) -> JobRecord:
    """The job is over without a video. An open attempt ends with it at ``cost``."""
    _need(job, tuple(_S), _S.FAILED)
    data = error.to_dict()
    attempts = job.attempts
    if attempts and job.attempt.finished_at is None:
        attempts = _with_attempt(job, status=_S.FAILED, finished_at=now, cost=cost, cost_origin=origin, error=data)
    ended = _move(job, _S.FAILED, now, attempts=attempts, error=data)
    return msgspec.structs.replace(ended, money=_ended_money(ended))


def cancel(job: JobRecord, now: datetime, *, cost: Decimal | None, origin: Any) -> JobRecord:
    """The job was cancelled. "Cancel accepted" is not "not billed": ``cost`` says what is known."""
    _need(job, tuple(_S), _S.CANCELLED)
    attempts = job.attempts
    if attempts and job.attempt.finished_at is None:
        attempts = _with_attempt(job, status=_S.CANCELLED, finished_at=now, cost=cost, cost_origin=origin)
    ended = _move(job, _S.CANCELLED, now, attempts=attempts)
    return msgspec.structs.replace(ended, money=_ended_money(ended))


def _ended_money(job: JobRecord) -> Money:
    """Settled when something was or may have been charged, else released."""
    if not job.attempts:
        return Money.NONE
    return Money.RELEASED if job.cost == 0 else Money.SETTLED


def request_cancel(job: JobRecord, now: datetime) -> JobRecord:
    """Record the wish to cancel; what becomes of it is the provider's word."""
    return msgspec.structs.replace(job, cancel_requested_at=job.cancel_requested_at or now, updated_at=now)


def store(job: JobRecord, now: datetime, artifact: Artifact, videos: tuple[Video, ...] = ()) -> JobRecord:
    """What became of the video."""
    return msgspec.structs.replace(job, artifact=artifact, videos=videos or job.videos, updated_at=now)
