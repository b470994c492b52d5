"""MiniMax's newer API: one task object with everything in it, real statuses, a list, and a cancel for the queue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import msgspec

from videogen_core import (
    Cancellation,
    Found,
    GenerationFailedError,
    JobStatus,
    Output,
    ProviderError,
    ProviderJob,
    RejectedRequestError,
    Snapshot,
    Submission,
    SubmitCall,
    Task,
)

from . import prompts
from .api import Api
from .billing import billed
from .failures import code_of, failed, forgotten

__all__ = ["V2", "body"]

_PAGE, _PAGES = 50, 5
_BEFORE, _AFTER = timedelta(seconds=120), timedelta(seconds=120)  # by which two clocks may differ
_STATUS = {
    "queued": JobStatus.QUEUED,
    "running": JobStatus.RUNNING,
    "succeeded": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "expired": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
    "canceled": JobStatus.CANCELLED,
}


class _Created(msgspec.Struct):
    task_id: str | int = ""


class _Error(msgspec.Struct):
    code: str | int | None = None
    message: str | None = None


class _Content(msgspec.Struct):
    url: str | None = None


class _Task(msgspec.Struct):
    id: str | int = ""
    model: str = ""
    status: str = ""
    error: _Error | None = None
    created_at: float | str | None = None
    content: _Content | None = None
    resolution: str | None = None
    duration: float | None = None
    task_type: str | None = None
    usage: Any = None  # a clip is worth more than its count, so `billed` reads it with care


class _Asked(msgspec.Struct):
    task: _Task


class _Listing(msgspec.Struct):
    items: tuple[_Task, ...] = ()
    total: int | None = None


class _Deleted(msgspec.Struct):
    action: str | None = None


class V2:
    """Creates, polls, lists and cancels tasks.

    Args:
        api: Of the session.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, call: SubmitCall, seconds: float) -> Submission:
        """Start a task with one request."""
        path = "/v2/video_regeneration" if call.request.task is Task.UPSCALE_VIDEO else "/v2/video_generation"
        found, answer = await self._api.ask(
            "POST", path, _Created, action="submit", model=call.spec.id, timeout=seconds, json=body(call)
        )
        return Submission(
            provider_job_id=answer.id(str(found.task_id)),
            request_id=answer.request_id,
            reply=answer.text,
        )

    async def look(self, job: ProviderJob) -> Snapshot:
        """Ask for a task; a finished one comes with a fresh address."""
        found = await self._task(job.provider_job_id)
        word = found.status.strip().lower()
        status = _STATUS.get(word)
        cost = billed(job.spec, job.request, found.usage)
        if status is JobStatus.FAILED:
            return Snapshot(status=status, cost=cost, error=_failure(found, word, cost))
        if status is JobStatus.CANCELLED:  # only what has not begun can be cancelled
            return Snapshot(status=status, cost=cost or Decimal(0))
        if status is JobStatus.SUCCEEDED:
            return _done(found, cost)
        said = "" if status else f"MiniMax says {found.status[:80]!r}, which is new to this plugin"
        return Snapshot(status=status or JobStatus.RUNNING, message=said)

    async def check(self, task: str, call: SubmitCall) -> None:
        """Return when there is a task of that id that may be what a call has made.

        Raises:
            ProviderError: There is none, or it cannot be asked for.
        """
        found, wanted = await self._task(task), call.spec.vendor["model"]
        if found.model not in ("", wanted):
            raise RejectedRequestError(
                f"MiniMax's task {task} is of the model {found.model[:80]}, not {wanted}.",
                provider="minimax",
                status_code=404,
            )

    async def _task(self, task: str) -> _Task:
        try:
            path = f"/v2/query/video_generation/{quote(task, safe='')}"
            found, _ = await self._api.ask("GET", path, _Asked, action="poll")
        except ProviderError as error:
            raise forgotten(error) from None
        return found.task

    async def stop(self, job: ProviderJob) -> Cancellation:
        """Cancel a task that waits in the queue. Of any other the same call would delete the record, or be refused."""
        found = await self._task(job.provider_job_id)
        status = _STATUS.get(found.status.strip().lower(), JobStatus.RUNNING)
        if status is JobStatus.CANCELLED:
            return Cancellation(accepted=True, cost=Decimal(0))
        if status is not JobStatus.QUEUED:
            too_late = "MiniMax has begun with it, and cancels only what waits"
            return Cancellation(
                accepted=False,
                message=too_late if status is JobStatus.RUNNING else f"the task has {found.status} already",
            )
        try:
            path = f"/v2/video_generation/{quote(job.provider_job_id, safe='')}"
            told, _ = await self._api.ask("DELETE", path, _Deleted, action="cancel")
        except RejectedRequestError as error:
            return Cancellation(accepted=False, message=error.message)
        if (told.action or "").lower().startswith("delet"):
            return Cancellation(
                accepted=True,
                gone=True,
                message="it had ended meanwhile, and MiniMax deleted its record; it may be charged",
            )
        return Cancellation(accepted=True)

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        """Tasks of the same model, size and length that were made while the create was under way.

        The list does not tell prompts, so none of them is known to be ours.
        """
        found: list[Found] = []
        for page in range(1, _PAGES + 1):
            query = {"page_num": page, "page_size": _PAGE, "filter.model": str(call.spec.vendor["model"])}
            listing, answer = await self._api.ask(
                "GET", "/v2/query/video_generation", _Listing, action="find", params=query
            )
            for task in listing.items:
                created = _moment(task.created_at)
                if created is not None and _may_be(task, created, call, started_at):
                    age = None if answer.date is None else max((answer.date - created).total_seconds(), 0.0)
                    submission = Submission(provider_job_id=str(task.id), handle={"api": "v2"})
                    found.append(Found(submission=submission, ours=False, age=age))
            if len(listing.items) < _PAGE or _before(listing.items[-1], started_at):
                break
        return tuple(found)

    async def ping(self) -> None:
        """Have the key checked, by a list of one task."""
        query = {"page_num": 1, "page_size": 1}
        await self._api.ask("GET", "/v2/query/video_generation", _Listing, action="ping", params=query)


# --- answers


def _done(found: _Task, cost: Decimal | None) -> Snapshot:
    url = found.content.url if found.content is not None else None
    if not url:
        error = GenerationFailedError(
            "MiniMax says that the task succeeded, and gives no address of a clip.", provider="minimax"
        )
        return Snapshot(status=JobStatus.FAILED, cost=cost, error=error)
    return Snapshot(status=JobStatus.SUCCEEDED, cost=cost, outputs=(Output(url=url),))


def _failure(found: _Task, word: str, cost: Decimal | None) -> ProviderError:
    """Why a task failed. It is charged only where its usage says so; of an expired one nothing is documented."""
    told = found.error or _Error()
    if word == "expired" and not told.message:
        charged = True if cost else None
        return failed("expired", "it was not done in time", charged=charged)
    return failed(code_of(told.code), told.message or "", charged=bool(cost))


def _moment(value: float | str | None) -> datetime | None:
    """A time, whether it came as seconds or milliseconds since 1970 or as ISO text."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            found = datetime.fromisoformat(value)
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        seconds = float(value or 0)
        return datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _before(task: _Task, started_at: datetime) -> bool:
    created = _moment(task.created_at)
    return created is not None and created < started_at - _BEFORE


def _may_be(task: _Task, created: datetime, call: SubmitCall, started_at: datetime) -> bool:
    request = call.request
    kind = "regeneration" if request.task is Task.UPSCALE_VIDEO else "generation"
    return (
        started_at - _BEFORE <= created <= started_at + timedelta(seconds=call.timeout) + _AFTER
        and task.model == call.spec.vendor["model"]
        and (task.task_type or kind) == kind
        and (task.resolution or request.resolution or "").lower() == request.resolution
        and (request.duration is None or task.duration in (None, request.duration))
    )


# --- requests


def body(call: SubmitCall) -> dict[str, Any]:
    """The create: every value said.

    Raises:
        RequestError: The prompt is too long.
    """
    request, options = call.request, call.options
    said: dict[str, Any] = {
        "model": call.spec.vendor["model"],
        "content": _content(call),
        "resolution": (request.resolution or "").upper(),
    }
    if request.task is not Task.UPSCALE_VIDEO:  # a clip that is made again keeps its length and shape
        said["duration"] = int(request.duration or 0)
        said["ratio"] = "adaptive" if request.aspect_ratio in (None, "auto") else request.aspect_ratio
    if request.seed is not None:
        said["seed"] = request.seed
    if "aigc_watermark" in options:
        said["aigc_watermark"] = options["aigc_watermark"]
    if "prompt_expansion_mode" in options:
        said["extra"] = {"prompt_expansion_mode": options["prompt_expansion_mode"]}
    if call.webhook_url is not None:
        said["callback_url"] = call.webhook_url
    return said


def _content(call: SubmitCall) -> list[dict[str, Any]]:
    """The prompt, and each input with its role."""
    inputs = call.prepared
    content: list[dict[str, Any]] = [{"type": "text", "text": prompts.prompt(call.spec, call.request)}]
    for name, role in (("image", "first_frame"), ("last_frame", "last_frame")):
        if name in inputs:
            content.append(_item("image_url", inputs[name], role))
    content += [_item("image_url", url, "reference_image") for url in inputs.get("reference_images", ())]
    if "video" in inputs:
        base = call.request.task is Task.UPSCALE_VIDEO
        content.append(_item("video_url", inputs["video"], "base_video" if base else "reference_video"))
    content += [_item("audio_url", url, "reference_audio") for url in call.options.get("reference_audio") or ()]
    return content


def _item(kind: str, url: str, role: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}, "role": role}
