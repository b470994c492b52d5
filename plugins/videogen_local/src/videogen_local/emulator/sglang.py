"""SGLang Diffusion: JSON, forms for pictures, jobs that nobody can stop, and records that do not tell the prompt."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import ENDED, Clip, Refusal, Traits, VendorJob

from .server import Order, VideosEmulator, form_of, invalid, size_of

__all__ = ["SglangEmulator"]

_WORDS = {
    "throttled": "queued",
    "queued": "queued",
    "running": "queued",  # it says so until the end
    "succeeded": "completed",
    "empty": "completed",
    "failed": "failed",
    "blocked": "failed",
    "cancelled": "cancelled",
}
_FORM = ("prompt", "model", "size", "seconds", "fps", "num_frames", "seed", "negative_prompt", "num_inference_steps",
         "guidance_scale")  # fmt: skip


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str
    model: str | None = None
    size: str | None = None
    seconds: int | None = 4
    fps: int | None = None
    num_frames: int | None = None
    seed: int | None = 1024
    negative_prompt: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_scale_2: float | None = None
    true_cfg_scale: float | None = None
    flow_shift: float | None = None
    reference_url: str | None = None


class SglangEmulator(VideosEmulator):
    """SGLang Diffusion as of November 2026; with ``old`` as of a year before.

    A field that it does not know is refused, where the real one drops it. ``code`` of a script is not shown: an error
    has a message and nothing else.

    Args:
        old: Whether a form without a picture is refused, and only prompt, model, size, seconds, frames and rate are
            read from a form.
        storage: Whether clips go to another origin, whose address the record then has.
        **options: Of `VideosEmulator`.
    """

    dialect: ClassVar[str] = "sglang"
    traits = Traits(kind="D")

    def __init__(self, *, old: bool = False, storage: bool = False, **options: Any) -> None:
        self.old = old
        self.storage = storage
        self.creates: list[_Create] = []
        super().__init__(**options)

    def routes(self) -> list[BaseRoute]:
        """Those of every server, its description of its model, and the clips of its storage."""
        own = [self.route("other", "GET", "/models", self._described), self.file_route()]
        return [*own, *(route for route in super().routes() if getattr(route, "path", "") != "/v1/models")]

    async def _described(self, request: Request) -> Response:
        return JSONResponse(
            {
                "model_path": self.model,
                "task_type": "TI2V",
                "pipeline_name": "emulated",
                "pipeline_class": "",
                "num_gpus": 1,
                "dit_precision": "bf16",
                "vae_precision": "fp16",
            }
        )

    async def order(self, request: Request) -> Order:
        """Read a create, whichever way it is written."""
        form = request.headers.get("content-type", "").startswith("multipart/form-data")
        create = await self._form(request) if form else await self.read(request, _Create)
        self.creates.append(create)
        fps = create.fps or 24
        frames = create.num_frames or fps * (create.seconds or 4)
        width, height = size_of(create.size) if create.size else (832, 480)
        clip = Clip(duration=frames / fps, width=width, height=height, fps=fps)
        record = {
            "model": create.model or "sora-2",
            "size": f"{width}x{height}",
            "seconds": str(round(frames / fps)),
            "quality": "standard",
        }
        return Order(prompt=create.prompt, clip=clip, record=record)

    async def _form(self, request: Request) -> _Create:
        parts = await form_of(request)
        picture = parts.pop("input_reference", None)
        extra = parts.pop("extra_body", None)
        if picture is None and self.old:
            raise Refusal(400, "invalid_request", "input_reference file is required")
        if picture is not None and not (picture.filename and picture.data):
            raise Refusal(400, "invalid_request", "Failed to process image source")
        if unknown := parts.keys() - set(_FORM):
            raise invalid(f"unknown fields: {', '.join(sorted(unknown))}")
        told: dict[str, Any] = {name: part.text for name, part in parts.items() if not self.old or name in _FORM[:6]}
        try:
            told |= json.loads(extra.text) if extra is not None and not self.old else {}
            return msgspec.convert(told, _Create, strict=False)
        except (ValueError, TypeError) as error:
            raise Refusal(400, "invalid_request", f"Invalid request body: {error}") from error

    def record(self, job: VendorJob, state: str, progress: float) -> dict[str, Any]:
        """A job; until it ends nothing tells how far it is."""
        word = job.script.word if state == "running" and job.script.word else _WORDS[state]
        made = state == "succeeded"
        links = self.links(job) if made and self.storage else []
        shown = {
            **self.facts(job),
            "status": word,
            "progress": 100 if word == "completed" else 0,
            "completed_at": int(job.ends) if state in ENDED else None,
            "url": links[0] if links else None,
            "file_path": f"outputs/{job.id}.mp4" if made and not links else None,
            "inference_time_s": self.took(job, job.script) if word == "completed" else None,
            "error": None,
        }
        if state in ("failed", "blocked"):
            words = "blocked by the safety filter" if state == "blocked" else "the scheduler has failed"
            shown["error"] = {"message": job.script.message or words}
        return shown

    async def delete(self, request: Request) -> Response:
        """Drop the record; the job runs on."""
        job = self.vendor.get(request.path_params["id"])
        shown = self.record(job, *job.look(self.clock.now()))
        del self.vendor.jobs[job.id]
        return JSONResponse({**shown, "status": "deleted"})

    def has_clip(self, job: VendorJob) -> bool:
        """Not here, where it is in the storage."""
        return not self.storage and super().has_clip(job)

    def refusal(self, refusal: Refusal) -> Response:
        """As FastAPI words an error."""
        detail: Any = str(refusal)
        if refusal.status == 422:
            detail = [{"loc": ["body"], "msg": detail, "type": "value_error"}]
        return JSONResponse({"detail": detail}, refusal.status)
