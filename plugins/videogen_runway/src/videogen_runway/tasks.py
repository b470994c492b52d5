"""Runway's tasks: their ids, and what their JSON says. The SDK's classes get these wrong; see `Api`."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from videogen_core import JobStatus, ModelSpec, Output, ProviderJob, RequestError, Snapshot
from videogen_core.outcomes import Answer
from videogen_core.pricing import tidy

from .endings import failed

__all__ = ["checked_id", "created", "estimated_usd", "snapshot", "usd"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CREDIT_USD = Decimal("0.01")  # docs.dev.runwayml.com/guides/setup, 2026-11-20
_STATUS = {
    "PENDING": JobStatus.QUEUED,
    "THROTTLED": JobStatus.QUEUED,  # over the concurrency of the tier: it starts by itself
    "RUNNING": JobStatus.RUNNING,
    "SUCCEEDED": JobStatus.SUCCEEDED,
    "FAILED": JobStatus.FAILED,
    "CANCELLED": JobStatus.CANCELLED,
}
_OVER = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)
_TYPES = {"mov": "video/quicktime", "webm": "video/webm", "zip": "application/zip", "wav": "audio/wav"}


def checked_id(value: str) -> str:
    """A task's id, once it is known to be one: the SDK would let ``../organization`` lead elsewhere.

    Raises:
        RequestError: It is none.
    """
    if not _UUID.fullmatch(value):
        raise RequestError(f"{value[:80]!r} is no id of a task at Runway.", hint="They look like 17f20503-6c24-4c16-…")
    return value


def created(answer: Answer) -> str:
    """The id of the task that a create made.

    Raises:
        ProviderProtocolError: The answer holds none.
    """
    told = answer.json(dict[str, Any])
    found = told.get("id")
    if not isinstance(found, str) or not found:
        raise answer.garbled("it holds no id")
    if not _UUID.fullmatch(found):  # told, since it may be one that is paid for
        raise answer.garbled(f"its id {found[:100]!r} is no UUID")
    return found


# --- money


def usd(amount: object, spec: ModelSpec | None = None) -> Decimal | None:
    """Credits as dollars, by the price of a credit in the offer's own prices, else a cent; None = that is no number."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or not math.isfinite(amount):
        return None
    rates = [price.credit_usd for price in spec.prices if price.credit_usd is not None] if spec is not None else []
    return tidy(Decimal(str(amount)) * (rates[0] if rates else _CREDIT_USD))


def estimated_usd(told: dict[str, Any], spec: ModelSpec) -> Decimal | None:
    """The most that a task may cost, as Runway says before it is over."""
    return _amount(told, "estimatedCost", spec)


def _amount(told: dict[str, Any], field: str, spec: ModelSpec) -> Decimal | None:
    found = told.get(field)
    return usd(found.get("credits"), spec) if isinstance(found, dict) else None


# --- a poll


def snapshot(answer: Answer, job: ProviderJob) -> Snapshot:
    """What a task's JSON says.

    Raises:
        ProviderProtocolError: It is no task.
    """
    told = answer.json(dict[str, Any])
    word = told.get("status")
    if not isinstance(word, str):
        raise answer.garbled("it has no status")
    status = _STATUS.get(word)
    cost = _amount(told, "cost", job.spec)
    return Snapshot(
        status=status or JobStatus.RUNNING,
        progress=_progress(told.get("progress")),
        message=_message(told, job) if status else f"Runway says {word[:80]!r}, which is new to this plugin",
        outputs=_outputs(told.get("output"), answer) if status is JobStatus.SUCCEEDED else (),
        cost=cost if status in _OVER else None,
        error=_error(told, job.spec.id, cost) if status is JobStatus.FAILED else None,
    )


def _progress(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 else None


def _message(told: dict[str, Any], job: ProviderJob) -> str:
    """What the user should know besides: that Runway expects to charge something else than was quoted."""
    expected = estimated_usd(told, job.spec)
    quoted = job.handle.get("quoted")
    if expected is None or quoted == f"{expected:f}":
        return ""
    beside = f"the quote was at most ${quoted}" if quoted else "the catalogue has no price"
    return f"Runway charges at most ${expected:f}; {beside}."


def _outputs(found: object, answer: Answer) -> tuple[Output, ...]:
    """The files. A sequence of frames comes as an archive, with its sound beside it.

    Raises:
        ProviderProtocolError: It is no list of addresses. That is no failure: the clip is there, and paid for.
    """
    if not isinstance(found, list) or not all(isinstance(url, str) for url in found):
        raise answer.garbled("its output is no list of addresses")
    return tuple(Output(url=url, mime_type=_type(url)) for url in found)


def _type(url: str) -> str:
    ending = urlsplit(url).path.rpartition(".")[2].lower()
    return _TYPES.get(ending, "video/mp4")


def _error(told: dict[str, Any], model: str, cost: Decimal | None) -> Any:
    code, words = told.get("failureCode"), told.get("failure")
    return failed(
        code if isinstance(code, str) and code else None,
        words if isinstance(words, str) else "",
        model=model,
        charged=None if cost is None else cost > 0,
    )
