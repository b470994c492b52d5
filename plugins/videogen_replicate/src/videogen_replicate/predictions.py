"""What a prediction says, read from its JSON. Replicate's own client knows fewer statuses than there are."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from videogen_core import GenerationFailedError, JobStatus, Output, Snapshot

from .failures import failed

__all__ = ["ENDED", "created_at", "snapshot"]

ENDED = frozenset({"succeeded", "failed", "canceled", "aborted"})
"""The statuses after which nothing more happens."""
_STATUS = {
    "starting": JobStatus.QUEUED,
    "processing": JobStatus.RUNNING,
    "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "canceled": JobStatus.CANCELLED,
    "aborted": JobStatus.CANCELLED,
}
_TYPES = {
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/quicktime",
    "gif": "image/gif",
    "mkv": "video/x-matroska",
}
_BESIDE = frozenset({"png", "jpg", "jpeg", "webp", "wav", "mp3", "txt", "json"})
_PERCENT = re.compile(r"(\d{1,3})%\|")
_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=-]+)*;base64,")


def snapshot(told: Mapping[str, Any], *, model: str, usd_per_second: Decimal | None = None) -> Snapshot:
    """The news of a prediction. A word that is new is running, with a message.

    Args:
        told: The prediction.
        model: Offer id.
        usd_per_second: Of the hardware, where the time of work is what is charged and the hardware is known.
    """
    word = told.get("status")
    status = _STATUS.get(str(word))
    if status is None:
        said = f"Replicate says {str(word)[:80]!r}, which is new to this plugin"
        return Snapshot(status=JobStatus.RUNNING, message=said)
    cost = _cost(told, usd_per_second)
    match status:
        case JobStatus.SUCCEEDED:
            return _succeeded(told, model, cost)
        case JobStatus.FAILED:
            charged = False if cost == 0 else None
            error = failed(told.get("error"), model=model, charged=charged)
            return Snapshot(status=status, error=error, cost=cost)
        case JobStatus.CANCELLED:
            why = "aborted by Replicate before it began" if word == "aborted" else ""
            return Snapshot(status=status, message=why, cost=Decimal(0) if word == "aborted" else cost)
        case _:
            return Snapshot(status=status, progress=_progress(told.get("logs")))


def _succeeded(told: Mapping[str, Any], model: str, cost: Decimal | None) -> Snapshot:
    outputs = _outputs(told.get("output"))
    if not outputs and told.get("data_removed") is True:
        return Snapshot(status=JobStatus.SUCCEEDED, expired=True, cost=cost)
    if not outputs:
        # seen where an upload failed at Replicate; nobody documents whether it is charged
        empty = GenerationFailedError(
            "Replicate says that the prediction succeeded, and there is no output.", provider="replicate", model=model
        )
        return Snapshot(status=JobStatus.FAILED, error=empty, cost=cost)
    return Snapshot(status=JobStatus.SUCCEEDED, outputs=outputs, cost=cost)


def _outputs(found: object) -> tuple[Output, ...]:
    """The clips: one address, or with some models a list of them, pictures and sounds beside a clip left out.

    None gets the token: they are of another host.
    """
    several = [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)]
    clips = [each for each in several if _ending(each) not in _BESIDE] or several
    return tuple(output for each in clips if (output := _output(each)) is not None)


def _ending(address: str) -> str:
    try:
        return "" if address.startswith("data:") else urlsplit(address).path.rpartition(".")[2].lower()
    except ValueError:  # "https://[", say
        return ""


def _output(address: str) -> Output | None:
    if (inline := _DATA.match(address)) is not None:
        try:
            data = base64.b64decode(address[inline.end() :], validate=True)
        except (ValueError, binascii.Error):
            return None
        return Output(data=data, mime_type=inline[1] or "video/mp4") if data else None
    if not address.startswith(("https://", "http://")):
        return None
    return Output(url=address, mime_type=_TYPES.get(_ending(address), "video/mp4"))


def _progress(logs: object) -> float | None:
    """The last percentage that a progress bar in the logs shows; most models log none."""
    found = _PERCENT.findall(logs) if isinstance(logs, str) else []
    return min(int(found[-1]), 100) / 100 if found else None


# --- money


def _cost(told: Mapping[str, Any], usd_per_second: Decimal | None) -> Decimal | None:
    """USD, where it can be told: nothing for what never began, the time of work where the hardware is known."""
    if told.get("status") != "succeeded" and told.get("started_at") is None and told.get("completed_at") is not None:
        return Decimal(0)
    metrics = told.get("metrics")
    seconds = metrics.get("predict_time") if isinstance(metrics, Mapping) else None
    if usd_per_second is None or not isinstance(seconds, int | float) or isinstance(seconds, bool) or not seconds >= 0:
        return None
    return (Decimal(str(seconds)) * usd_per_second).quantize(Decimal("0.000001"))


# --- times


def created_at(told: Mapping[str, Any]) -> datetime | None:
    """When a prediction was made, aware, by Replicate's clock."""
    found = told.get("created_at")
    try:
        moment = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
