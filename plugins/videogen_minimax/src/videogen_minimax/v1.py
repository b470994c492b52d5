"""MiniMax's older API: a task, then a file, then an address; errors inside answers of 200; no list and no cancel."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from videogen_core import (
    GenerationFailedError,
    JobStatus,
    Output,
    ProviderError,
    ProviderJob,
    RejectedRequestError,
    Snapshot,
    Submission,
    SubmitCall,
)

from . import prompts
from .api import Api
from .failures import code_of, failed, forgotten

__all__ = ["V1", "body"]

_STATUS = {
    "preparing": JobStatus.QUEUED,
    "queueing": JobStatus.QUEUED,
    "processing": JobStatus.RUNNING,
    "success": JobStatus.SUCCEEDED,
    "fail": JobStatus.FAILED,
    "failed": JobStatus.FAILED,  # not documented, but what MiniMax's own command line expects
}


class _Base(msgspec.Struct):
    status_code: int | str | None = None
    status_msg: str | None = None


class _Created(msgspec.Struct):
    task_id: str | int = ""


class _Task(msgspec.Struct):
    status: str = ""
    file_id: str | int | None = None
    base_resp: _Base | None = None


class _File(msgspec.Struct):
    download_url: str | None = None


class _Retrieved(msgspec.Struct):
    file: _File = msgspec.field(default_factory=_File)


class V1:
    """Creates and polls tasks.

    Args:
        api: Of the session.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, call: SubmitCall, seconds: float) -> Submission:
        """Start a task with one request."""
        found, answer = await self._api.ask(
            "POST",
            "/v1/video_generation",
            _Created,
            action="submit",
            model=call.spec.id,
            timeout=seconds,
            json=body(call),
        )
        return Submission(
            provider_job_id=answer.id(str(found.task_id)),
            request_id=answer.request_id,
            reply=answer.text,
        )

    async def look(self, job: ProviderJob) -> Snapshot:
        """Ask for a task, and once it is done for a fresh address of its file."""
        found = await self._task(job.provider_job_id)
        word = found.status.strip().lower()
        status = _STATUS.get(word)
        if status is JobStatus.FAILED:
            why = found.base_resp or _Base()
            return Snapshot(status=status, error=failed(code_of(why.status_code), why.status_msg or ""))
        if status is JobStatus.SUCCEEDED:
            return await self._done(found)
        said = "" if status else f"MiniMax says {found.status[:80]!r}, which is new to this plugin"
        return Snapshot(status=status or JobStatus.RUNNING, message=said)

    async def check(self, task: str, call: SubmitCall) -> None:
        """Return when there is a task of that id; V1 does not say of which model it is.

        Raises:
            ProviderError: There is none, or it cannot be asked for.
        """
        await self._task(task)

    async def _task(self, task: str) -> _Task:
        try:
            found, _ = await self._api.ask(
                "GET", "/v1/query/video_generation", _Task, action="poll", params={"task_id": task}
            )
        except ProviderError as error:
            raise forgotten(error) from None
        return found

    async def _done(self, found: _Task) -> Snapshot:
        file = code_of(found.file_id)
        if not file:
            error = GenerationFailedError(
                "MiniMax says that the task succeeded, and names no file.", provider="minimax"
            )
            return Snapshot(status=JobStatus.FAILED, error=error)
        try:
            told, answer = await self._api.ask(
                "GET", "/v1/files/retrieve", _Retrieved, action="retrieve", params={"file_id": file}
            )
        except RejectedRequestError as error:
            return Snapshot(status=JobStatus.SUCCEEDED, expired=True, message=f"its file is gone: {error.message}")
        url = told.file.download_url or ""
        if not url:
            raise answer.garbled("the file has no address")
        return Snapshot(status=JobStatus.SUCCEEDED, outputs=(Output(url=self._whole(url)),))

    def _whole(self, url: str) -> str:
        """An address with its scheme, which an example of the documentation leaves out."""
        return url if "://" in url else f"{urlsplit(self._api.reach.url).scheme}://{url.removeprefix('//')}"


_SENT = ("prompt_optimizer", "fast_pretreatment", "aigc_watermark")


def body(call: SubmitCall) -> dict[str, Any]:
    """The create: every value said that the model lets one say.

    Raises:
        RequestError: The prompt is too long.
    """
    request, inputs, options = call.request, call.prepared, call.options
    said: dict[str, Any] = {"model": call.spec.vendor["model"]}
    if text := prompts.prompt(call.spec, request):
        said["prompt"] = text
    for field, name in (("first_frame_image", "image"), ("last_frame_image", "last_frame")):
        if name in inputs:
            said[field] = inputs[name]
    if "reference_images" in inputs:
        said["subject_reference"] = [{"type": "character", "image": inputs["reference_images"]}]
    if not call.spec.vendor.get("fixed"):
        said["duration"] = int(request.duration or 0)
        said["resolution"] = (request.resolution or "").upper()
    said.update({name: options[name] for name in _SENT if name in options})
    if call.webhook_url is not None:
        said["callback_url"] = call.webhook_url
    return said
