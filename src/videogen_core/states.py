"""The durable job: what is on record of it, and its three facts.

A `JobRecord` is immutable; ``transitions`` has the moves from one to the next. Status, money and artifact are three
separate facts, so that no one of them can hide another: the money is settled as soon as the provider is done,
whatever the download does.
"""

from __future__ import annotations

import base64
import html
import secrets
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import msgspec

from .pricing import Quote
from .request import VideoRequest

__all__ = [
    "TERMINAL",
    "Artifact",
    "Attempt",
    "CacheUse",
    "Event",
    "JobRecord",
    "JobStatus",
    "Money",
    "ProvenanceUse",
    "Result",
    "Unknown",
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


Unknown = Literal["keep", "resubmit"]
"""What is to become of a create without an answer when its provider cannot be asked: it is kept for a person to decide,
or, with the second bill accepted in advance, sent again."""

CacheUse = Literal["no", "seeded", "any"]
"""Whether clips may come from the cache and go into it: never, requests with a seed, or those without one as well."""

ProvenanceUse = Literal["no", "sidecar", "embed"]
"""Where it is kept how a clip was made: nowhere, in a JSON file beside the clip, or in the clip itself where its format
takes it, else beside it."""

TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


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
        reply: The vendor's answer to the create, redacted and cut to 64 KiB.
        account: Hash of the account at the vendor.
        hold: USD held while it is open: the most it can cost. None = the price is unknown and nobody set a limit.
        deadline: Until when the create may have been under way.
        absent_at: When the vendor first said that it knows no job of our id.
        orphans: More ids that came for this one create; each may be a job that is paid for.
        cost: USD charged; None when nobody knows.
        cost_origin: ``provider`` (it said so), ``computed`` (from what was delivered), ``assumed`` (the full hold),
            ``person`` (somebody looked it up).
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
    reply: str = ""
    account: str = ""
    hold: Decimal | None = None
    deadline: datetime | None = None
    absent_at: datetime | None = None
    orphans: tuple[str, ...] = ()
    cost: Decimal | None = None
    cost_origin: Literal["provider", "computed", "assumed", "person"] | None = None
    error: dict[str, Any] | None = None

    @property
    def provider(self) -> str:
        """The adapter id."""
        return self.offer.partition("/")[0]

    @property
    def open(self) -> bool:
        """Whether it may still cost something that is not booked yet."""
        return self.finished_at is None

    @property
    def money(self) -> Money:
        """Where its money is: held while it is open, then settled at its cost or released."""
        if self.open:
            return Money.HELD
        free = self.cost == 0 and self.status is not JobStatus.SUCCEEDED
        return Money.RELEASED if free else Money.SETTLED

    @property
    def booked(self) -> Decimal:
        """USD that it takes from a budget now: its hold, then its cost; a cost that nobody knows is its whole hold."""
        amount = self.hold if self.open or self.cost is None else self.cost
        return Decimal(0) if amount is None else amount


class JobRecord(Record, frozen=True, kw_only=True):
    """One request made durable.

    Attributes:
        id: Our id.
        created_at: Aware UTC.
        updated_at: Aware UTC.
        request: As the user made it, and extensions have prepared it.
        chain: Offer ids to try, in order; the first is the one chosen.
        place: Position in the chain of the offer that is asked, or will be.
        max_cost: USD for all attempts together.
        fit: How far the request may be moved.
        allow_unknown_price: Whether an offer without a price may be used under ``max_cost``.
        fallback_on_policy: Whether a content block may be tried elsewhere.
        rewrites: How often extensions may still rewrite the prompt after a content block.
        prompt: What one has made of the request's own prompt, when that is what is asked now.
        output: Absolute path, folder ending in a separator, or template; None = the library's own folder.
        overwrite: Whether an existing file may be replaced.
        tags: The user's labels.
        idempotency_key: The user's name for this request.
        cache: Whether clips may come from the cache and go into it.
        provenance: Where it is kept how the clips were made.
        cached: Shared name of the model whose clips came from there; empty = a provider was asked.
        placeholder: Whether those are placeholders.
        on_unknown: What is to become of a create without an answer.
        revived: Whether the provider has called it succeeded after it had called it failed.
        version: Counts writes; the ledger compares and sets it.
        status, money, artifact: The three facts.
        progress: 0 to 1.
        attempts: Each try.
        cancel_requested_at: An intent, not a state.
        videos: What was stored.
        error: Why it failed, as `VideogenError.to_dict` gives it.
        changes: What extensions (``by``) have changed of the request, and what ``fit`` moved.
        trace: W3C ``traceparent`` of the span in which it was asked for; empty = there was none.
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
    rewrites: int = 0
    prompt: str | None = None
    output: str | None = None
    overwrite: bool = False
    tags: dict[str, str] = {}
    idempotency_key: str | None = None
    cache: CacheUse = "no"
    provenance: ProvenanceUse = "no"
    cached: str = ""
    placeholder: bool = False
    on_unknown: Unknown = "keep"
    revived: bool = False
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
    trace: str = ""

    @property
    def attempt(self) -> Attempt:
        """The current or last try."""
        return self.attempts[-1]

    @property
    def wanted(self) -> VideoRequest:
        """The request as it is asked now: in other words, after a content block."""
        return self.request if self.prompt is None else msgspec.structs.replace(self.request, prompt=self.prompt)

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
    def at_risk(self) -> Decimal:
        """USD of all tries together, at most: what they cost, and what is held for one that is open."""
        return sum((attempt.booked for attempt in self.attempts), Decimal(0))

    @property
    def done(self) -> bool:
        """Nothing is left to do: ended, paid or released, and the video dealt with."""
        if self.status is not JobStatus.SUCCEEDED:
            return self.status in TERMINAL
        return self.artifact in (Artifact.STORED, Artifact.SKIPPED, Artifact.EXPIRED)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        attempts = [
            {**_plain(attempt, leave_out=("handle", "request", "reply")), "request": attempt.request.given()}
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
        type: What kind of thing; the reference of jobs lists them.
        status: The job's status after it.
        message: One sentence for people: what happened and why.
        actor: Who recorded it: host, process and driver, as they hold the lease.
        progress: 0 to 1.
        data: More, by type.
        seq: Order in the ledger.
    """

    job_id: str
    at: datetime
    type: str
    status: JobStatus
    message: str = ""
    actor: str = ""
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
        changes: What extensions (``by``) have changed of the request, and what ``fit`` moved.
        placeholder: True when it is no real video: the sandbox made it, or a toy.
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

    def __repr__(self) -> str:
        """What one wants to know at a prompt; `to_dict` has everything."""
        return (
            f"Result(job_id={self.job_id!r}, model={self.model!r}, provider={self.provider!r}, "
            f"cost={self.cost!r}, path={(None if self.path is None else str(self.path))!r})"
        )

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
