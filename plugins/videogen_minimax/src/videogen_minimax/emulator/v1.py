"""V1: create, query, and the address of a file; whatever happens, the status is 200."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import Clip, Refusal, VendorJob

from .answers import invalid
from .media import V1, Picture, picture_of
from .models import FIXED, V1Model, size, v1_models
from .orders import Order, read

if TYPE_CHECKING:
    from . import MinimaxEmulator

__all__ = ["Legacy"]

_WORDS = {
    "throttled": "Preparing",
    "queued": "Queueing",
    "running": "Processing",
    "succeeded": "Success",
    "empty": "Success",
    "failed": "Fail",
    "blocked": "Fail",
    "cancelled": "Fail",
}
_PROMPT = 2000
_FILE = 7  # what the number of a file is above that of its task
_WELL = {"status_code": 0, "status_msg": "success"}


class _Subject(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["character"]
    image: list[str]


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    prompt: str = ""
    first_frame_image: str | None = None
    last_frame_image: str | None = None
    subject_reference: list[_Subject] | None = None
    duration: int | None = None
    resolution: Literal["512P", "720P", "768P", "1080P"] | None = None
    prompt_optimizer: bool = True
    fast_pretreatment: bool | None = None
    callback_url: str | None = None
    aigc_watermark: bool = False


class Legacy:
    """The routes of V1.

    Args:
        emulator: Whose they are.
    """

    def __init__(self, emulator: MinimaxEmulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[BaseRoute]:
        """All of V1."""
        route = self._emulator.route
        return [
            route("create", "POST", "/v1/video_generation", self._create),
            route("poll", "GET", "/v1/query/video_generation", self._query),
            route("poll", "GET", "/v1/files/retrieve", self._retrieve),
        ]

    async def _create(self, request: Request) -> Response:
        body, said = await read(request, _Create)
        model = v1_models().get(body.model)
        if model is None:
            raise invalid(f"model {body.model[:60]} is not supported by this endpoint")
        picture = _inputs(body)
        resolution, duration = _mode(body, model)
        if len(body.prompt) > _PROMPT:
            raise invalid(f"prompt has more than {_PROMPT} characters")
        if not body.prompt.strip() and not _given(body):
            raise invalid("prompt is required")
        if body.fast_pretreatment is not None and model.fixed:
            raise invalid(f"{body.model} takes no fast_pretreatment")
        width, height = size(resolution, picture.shape)
        order = Order("v1", body.prompt, model.price(resolution, duration), {}, {})
        clip = Clip(duration=float(duration), width=width, height=height, fps=24, audio=False)
        job = await self._emulator.accept(clip, order, model=body.model, body=said)
        return JSONResponse({"task_id": job.id, "base_resp": _WELL})

    async def _query(self, request: Request) -> Response:
        job, state, _ = self._emulator.vendor.poll(self._of_v1(request.query_params.get("task_id", "")))
        return JSONResponse(self.shown(job, state))

    async def _retrieve(self, request: Request) -> Response:
        number = request.query_params.get("file_id", "")
        task = str(int(number) - _FILE) if number.isdecimal() else ""
        job = self._emulator.vendor.get(self._of_v1(task))
        links = self._emulator.links(job)
        if job.look(self._emulator.clock.now())[0] != "succeeded" or not links:
            raise Refusal(404, "not_found", "file not found")
        link = links[0].partition("://")[2] if self._emulator.bare_urls else links[0]
        file = {
            "file_id": int(number),  # a number here, and text in the answer to a query
            "bytes": 0,
            "created_at": int(job.ends),
            "filename": "output_aigc.mp4",
            "purpose": "video_generation",
            "download_url": link,
        }
        return JSONResponse({"file": file, "base_resp": _WELL})

    def _of_v1(self, task: str) -> str:
        """The id of a task, if V1 has it.

        Raises:
            Refusal: It has not.
        """
        order = self._emulator.orders.get(task)
        if order is None or order.api != "v1":
            raise Refusal(404, "not_found", "task_id not found")
        return task

    def shown(self, job: VendorJob, state: str) -> dict[str, Any]:
        """A task as a query shows it."""
        done = state == "succeeded"
        word = "Failed" if state == "failed" and job.script.code == "Failed" else _WORDS[state]
        return {
            "task_id": job.id,
            "status": job.script.word if state == "running" and job.script.word else word,
            "file_id": str(int(job.id) + _FILE) if done else "",
            "video_width": job.clip.width if done else 0,
            "video_height": job.clip.height if done else 0,
            "base_resp": _ending(job, state),
        }


def _ending(job: VendorJob, state: str) -> dict[str, Any]:
    """A code, if the task has ended badly and there is one."""
    code = job.script.code or ("1027" if state == "blocked" else "")
    if state not in ("failed", "blocked") or not code.isdecimal():
        return _WELL
    return {"status_code": int(code), "status_msg": job.script.message or f"the task was {state}"}


def _given(body: _Create) -> tuple[str, ...]:
    """The inputs that came."""
    names = ("first_frame_image", "last_frame_image", "subject_reference")
    return tuple(name for name in names if getattr(body, name) is not None)


def _inputs(body: _Create) -> Picture:
    """The picture whose shape the clip has.

    Raises:
        Refusal: An image is not acceptable.
    """
    if body.subject_reference is not None:
        if len(body.subject_reference) != 1 or len(body.subject_reference[0].image) != 1:
            raise invalid("subject_reference takes exactly one image")
        picture_of(body.subject_reference[0].image[0], "subject_reference", V1)
    if body.last_frame_image is not None:
        picture_of(body.last_frame_image, "last_frame_image", V1)
    if body.first_frame_image is None:
        return Picture()
    return picture_of(body.first_frame_image, "first_frame_image", V1)


def _mode(body: _Create, model: V1Model) -> tuple[str, int]:
    """Resolution and seconds, as asked or as they are by default.

    Raises:
        Refusal: The model does not do that with these inputs.
    """
    fitting = [mode for mode in model.modes if mode.inputs == _given(body)]
    if not fitting:
        raise invalid(f"{body.model} does not take {', '.join(_given(body)) or 'text alone'}")
    if model.fixed:
        if body.duration is not None or body.resolution is not None:
            raise invalid(f"{body.model} takes neither duration nor resolution")
        return FIXED
    resolution, duration = body.resolution or "768P", 6 if body.duration is None else body.duration
    if not any(resolution in mode.resolutions and duration in mode.durations for mode in fitting):
        raise invalid(f"{body.model} does not support {resolution} with {duration} s here")
    return resolution, duration
