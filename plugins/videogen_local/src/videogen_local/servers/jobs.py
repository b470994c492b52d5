"""What a server says of a job, read from its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from videogen_core import JobStatus, Output, Snapshot

from . import failures
from .settings import Endpoint, Server

__all__ = ["ENDED", "created_at", "is_open", "seconds_of_work", "snapshot"]

ENDED = frozenset({"completed", "succeeded", "failed", "cancelled", "canceled", "deleted", "expired"})
"""The words after which nothing more happens."""
_STATUS = {
    "queued": JobStatus.QUEUED,
    "pending": JobStatus.QUEUED,
    "in_progress": JobStatus.RUNNING,
    "processing": JobStatus.RUNNING,
    "running": JobStatus.RUNNING,
    "completed": JobStatus.SUCCEEDED,
    "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "canceled": JobStatus.CANCELLED,
    "deleted": JobStatus.CANCELLED,
}


def is_open(record: Any) -> bool:
    """Whether a record of a list is of a job that has not ended."""
    return isinstance(record, Mapping) and str(record.get("status")) not in ENDED


def snapshot(
    record: Mapping[str, Any], server: Server, endpoint: Endpoint, *, job: str, model: str, headers: Mapping[str, str]
) -> Snapshot:
    """The news of a job. A word that is new is running, with a message.

    Args:
        record: As the server shows it.
        server: Which one.
        endpoint: Where.
        job: The server's id.
        model: Offer id.
        headers: What vouches for us at the server's own addresses.
    """
    word = str(record.get("status"))
    status = _STATUS.get(word)
    if status is None:
        said = f"{server.dialect.title} says {word[:80]!r}, which is new to this plugin"
        return Snapshot(status=JobStatus.RUNNING, message=said)
    work = seconds_of_work(record)
    rate = server.usd_per_second
    cost = None if work is None or rate is None else (Decimal(str(work)) * rate).quantize(Decimal("0.000001"))
    match status:
        case JobStatus.SUCCEEDED:
            return Snapshot(status=status, outputs=_outputs(record, server, endpoint, job, headers), cost=cost)
        case JobStatus.FAILED:
            error = failures.failed(record.get("error"), server, endpoint, model=model)
            return Snapshot(status=status, error=error, cost=cost)
        case JobStatus.CANCELLED:
            return Snapshot(status=status, message=f"{word} at {endpoint.label}", cost=cost)
        case _:
            return Snapshot(status=status, progress=_progress(record) if server.dialect.progress else None)


def _outputs(
    record: Mapping[str, Any], server: Server, endpoint: Endpoint, job: str, headers: Mapping[str, str]
) -> tuple[Output, ...]:
    """The clip: where the record says that it was stored, else at the server itself; nothing where there is none."""
    url, field = record.get("url"), server.dialect.clip
    if isinstance(url, str) and url.startswith(("https://", "http://")):
        return (Output(url=url),)  # a stranger: no key, and a public address
    if field and field in record and not record[field]:
        return ()
    return (Output(url=f"{endpoint.url}/v1/videos/{quote(job, safe='')}/content", headers=headers, trusted=True),)


def seconds_of_work(record: Mapping[str, Any]) -> float | None:
    """How long it was worked on, where the server says."""
    found = record.get("inference_time_s")
    if not isinstance(found, int | float) or isinstance(found, bool) or not math.isfinite(found) or found < 0:
        return None
    return float(found)


def _progress(record: Mapping[str, Any]) -> float | None:
    found = record.get("progress")
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 <= found <= 100:
        return None
    return float(found) / 100


def created_at(record: Mapping[str, Any]) -> datetime | None:
    """When a job was made, by the server's clock."""
    found = record.get("created_at")
    if not isinstance(found, int | float) or isinstance(found, bool) or not 0 < found < 10**11:
        return None
    return datetime.fromtimestamp(found, UTC)
