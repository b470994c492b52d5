"""V2: one body for every kind of work, and tasks that can be asked for, listed, and cancelled or deleted."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import Clip, VendorJob

from .answers import invalid
from .content import Content, judged
from .models import RATIOS, V2Model, size, v2_models
from .orders import Order, read

if TYPE_CHECKING:
    from . import MinimaxEmulator

__all__ = ["Tasks"]

_WORDS = {
    "throttled": "queued",
    "queued": "queued",
    "running": "running",
    "succeeded": "succeeded",
    "empty": "succeeded",
    "failed": "failed",
    "blocked": "failed",
    "cancelled": "cancelled",
}
_KEPT = 7 * 86_400.0  # seconds after its end
_LONGEST = 15
_FREE_IMAGES, _PER_IMAGE = 5, Decimal("0.04")
_MOST = 100  # tasks of a page


class _Extra(msgspec.Struct, forbid_unknown_fields=True):
    prompt_expansion_mode: Literal["disabled", "balanced", "quality"] | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    content: list[Content]
    resolution: str
    duration: int | None = None
    ratio: str = "adaptive"
    seed: int = -1
    extra: _Extra | None = None
    callback_url: str | None = None
    aigc_watermark: bool | None = None


class _Regenerate(msgspec.Struct, forbid_unknown_fields=True):
    model: str
    content: list[Content]
    resolution: Literal["2K"]
    callback_url: str | None = None
    aigc_watermark: bool | None = None


class Tasks:
    """The routes of V2.

    Args:
        emulator: Whose they are.
    """

    def __init__(self, emulator: MinimaxEmulator) -> None:
        self._emulator = emulator

    def routes(self) -> list[BaseRoute]:
        """All of V2 but the rewriting of prompts."""
        route = self._emulator.route
        return [
            route("create", "POST", "/v2/video_generation", self._create),
            route("create", "POST", "/v2/video_regeneration", self._regenerate),
            route("poll", "GET", "/v2/query/video_generation/{id}", self._query),
            route("list", "GET", "/v2/query/video_generation", self._list),
            route("cancel", "DELETE", "/v2/video_generation/{id}", self._delete),
        ]

    # --- creates

    async def _create(self, request: Request) -> Response:
        body, said = await read(request, _Create)
        model = _model(body.model)
        given = judged(body.content, model)
        duration = _accepted(body, model, given.roles)
        shape = RATIOS.get(body.ratio) or given.shape
        width, height = size(body.resolution, shape, ratio=_named(shape))
        seconds = ceil(given.seconds)
        rate = model.usd[body.resolution]
        images = max(given.images - _FREE_IMAGES, 0) * _PER_IMAGE
        order = Order(
            "v2",
            given.text,
            rate * (duration + seconds) + images,
            {"resolution": body.resolution, "duration": duration, "ratio": body.ratio, "task_type": "generation"},
            _usage(duration, seconds, given.images),
        )
        clip = Clip(duration=float(duration), width=width, height=height, fps=24, audio=True)
        job = await self._emulator.accept(clip, order, model=body.model, body=said)
        return JSONResponse({"task_id": job.id})

    async def _regenerate(self, request: Request) -> Response:
        body, said = await read(request, _Regenerate)
        model = _model(body.model)
        if model.regeneration is None:
            raise invalid(f"{body.model} cannot be regenerated")
        given = judged(body.content, model, base=True)
        seconds = _billed(given.base.seconds)
        images = max(given.images - _FREE_IMAGES, 0) * _PER_IMAGE
        order = Order(
            "v2",
            given.text,
            model.regeneration * seconds + images,
            {"resolution": "2K", "duration": seconds, "ratio": "", "task_type": "regeneration"},
            _usage(seconds, 0, given.images),
        )
        width, height = size("2K", given.base.shape, ratio=_named(given.base.shape))
        clip = Clip(duration=given.base.seconds, width=width, height=height, fps=24, audio=True)
        job = await self._emulator.accept(clip, order, model=body.model, body=said)
        return JSONResponse({"task_id": job.id})

    # --- tasks

    def _get(self, task: str) -> VendorJob:
        """A task that V2 has, and has not forgotten.

        Raises:
            Refusal: It has not.
        """
        emulator = self._emulator
        job, order = emulator.vendor.jobs.get(task), emulator.orders.get(task)
        if job is None or order is None or order.api != "v2" or emulator.clock.now() > job.ends + _KEPT:
            raise invalid("invalid task_id")
        return job

    async def _query(self, request: Request) -> Response:
        job, state, _ = self._emulator.vendor.poll(self._get(request.path_params["id"]).id)
        return JSONResponse({"task": self.task(job, state)})

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        page, length = (_number(query.get(name, default)) for name, default in (("page_num", "1"), ("page_size", "20")))
        if unknown := query.keys() - {"page_num", "page_size", "filter.model", "filter.status", "filter.task_type"}:
            raise invalid(f"unknown parameter {min(unknown)}")
        now = self._emulator.clock.now()
        found = [
            self.task(job, job.look(now)[0])
            for job in self._emulator.vendor.listed(limit=100_000)
            if self._emulator.orders[job.id].api == "v2" and now <= job.ends + _KEPT
        ]
        for name in ("model", "status", "task_type"):
            if f"filter.{name}" in query:
                found = [task for task in found if task[name] == query[f"filter.{name}"]]
        return JSONResponse({"items": found[(page - 1) * length : page * length], "total": len(found)})

    async def _delete(self, request: Request) -> Response:
        job = self._get(request.path_params["id"])
        state = job.look(self._emulator.clock.now())[0]
        if state in ("throttled", "queued"):
            if not self._emulator.vendor.cancel(job.id)[1]:
                raise invalid("the task cannot be cancelled")
            return JSONResponse({"task_id": job.id, "action": "cancelled"})
        if state in ("running", "cancelled"):
            raise invalid(f"a task that is {state} cannot be cancelled or deleted")
        self._emulator.vendor.forget(job.id)
        return JSONResponse({"task_id": job.id, "action": "deleted"})

    def task(self, job: VendorJob, state: str) -> dict[str, Any]:
        """A task as the API shows it."""
        order = self._emulator.orders[job.id]
        word = "expired" if state == "failed" and job.script.code == "expired" else _WORDS[state]
        shown: dict[str, Any] = {
            "id": job.id,
            "model": job.model,
            "status": job.script.word if state == "running" and job.script.word else word,
            "error": None,
            "created_at": int(job.created),
            "updated_at": int(min(job.ends, self._emulator.clock.now())),
            "modality": "video",
            **order.facts,
            "usage": order.usage if self._emulator.vendor.charged(job) else _usage(0, 0, 0),
        }
        if state == "succeeded" and (links := self._emulator.links(job)):
            shown["content"] = {"url": links[0]}
        if state in ("failed", "blocked") and word != "expired":
            code = job.script.code or ("1027" if state == "blocked" else "1000")
            shown["error"] = {"code": code, "message": job.script.message or f"the task was {state}"}
        return shown

    def shown(self, job: VendorJob, state: str) -> dict[str, Any]:
        """A task as a callback has it."""
        return {"task": self.task(job, state)}


def _model(name: str) -> V2Model:
    model = v2_models().get(name)
    if model is None:
        raise invalid(f"model {name[:60]} is not supported by this endpoint")
    return model


def _accepted(body: _Create, model: V2Model, roles: Sequence[str]) -> int:
    """The seconds of a clip.

    Raises:
        Refusal: The model does not do what is asked.
    """
    duration = 5 if body.duration is None else body.duration
    if body.resolution not in model.usd:
        raise invalid(f"resolution {body.resolution[:20]} is not supported by {body.model}")
    if not model.shortest <= duration <= _LONGEST:
        raise invalid(f"duration must be from {model.shortest} to {_LONGEST}")
    if body.ratio != "adaptive" and body.ratio not in RATIOS:
        raise invalid(f"ratio {body.ratio[:20]} is not supported")
    if not roles and body.ratio == "adaptive":
        raise invalid("ratio must be given when there is nothing to take it from")
    if not -1 <= body.seed < 2**32:
        raise invalid("seed is out of range")
    if body.aigc_watermark is not None and not model.watermark:
        raise invalid(f"{body.model} takes no aigc_watermark")
    if body.extra is not None and not model.expansion:
        raise invalid(f"{body.model} takes no prompt_expansion_mode")
    return duration


def _usage(output: int, source: int, images: int) -> dict[str, Any]:
    return {
        "total_seconds": output + source,
        "input_seconds": source,
        "output_seconds": output,
        "input_image_count": images,
    }


def _billed(seconds: float) -> int:
    """The seconds that a clip was asked for: its frames come in groups of 17, so it is a little longer."""
    return max(int(seconds + 1e-6), 4)


def _named(shape: float) -> str:
    """The name of a shape, if it has one."""
    return next((name for name, value in RATIOS.items() if abs(value - shape) < 0.03), "")


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise invalid("page_num and page_size are numbers from 1")
    return int(text)
