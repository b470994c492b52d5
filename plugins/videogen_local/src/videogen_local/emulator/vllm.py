"""vLLM-Omni: forms, jobs that can be stopped, and failures that are shown with the status of a failure."""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from videogen_core.testing import ENDED, Clip, Part, Refusal, Traits, VendorJob

from .server import Order, VideosEmulator, form_of, invalid, size_of

__all__ = ["VllmOmniEmulator"]

_WORDS = {
    "throttled": "queued",
    "queued": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "empty": "completed",
    "failed": "failed",
    "blocked": "failed",
    "cancelled": "cancelled",
}
_NUMBERS: dict[str, tuple[type, float, float]] = {
    "width": (int, 1, 10_000),
    "height": (int, 1, 10_000),
    "num_frames": (int, 1, 10_000),
    "fps": (int, 1, 240),
    "num_inference_steps": (int, 1, 200),
    "guidance_scale": (float, 0, 20),
    "guidance_scale_2": (float, 0, 20),
    "boundary_ratio": (float, 0, 1),
    "flow_shift": (float, 0, 100),
    "true_cfg_scale": (float, 0, 20),
    "seed": (int, -(2**63), 2**63 - 1),
    "sound_duration": (float, 0, 600),
}
_TEXTS = frozenset({"prompt", "model", "seconds", "size", "user", "negative_prompt", "generate_sound"})
_OBJECTS = frozenset({"lora", "extra_params"})
_FPS = 24


class VllmOmniEmulator(VideosEmulator):
    """vLLM-Omni as of November 2026.

    A field that it does not know is refused, where the real one drops it. How a job ends is up to
    `videogen_core.testing.Script`: ``failed`` and ``blocked`` are shown with the HTTP status in ``code`` (500 and 400
    by itself), ``empty`` is completed without a file. ``cancel="no"`` answers DELETE with 409.
    """

    dialect: ClassVar[str] = "vllm-omni"
    traits = Traits(kind="C")

    async def order(self, request: Request) -> Order:
        """Read the form of a create."""
        if not request.headers.get("content-type", "").startswith("multipart/form-data"):
            raise invalid("body.prompt: Field required")  # what FastAPI says of a form that is JSON
        parts = await form_of(request)
        unknown = parts.keys() - _TEXTS - _NUMBERS.keys() - _OBJECTS - {"input_reference"}
        if unknown:
            raise invalid(f"unknown fields: {', '.join(sorted(unknown))}")
        texts = {name: part.text for name, part in parts.items() if name in _TEXTS}
        numbers = {name: _number(name, parts[name].text) for name in _NUMBERS if name in parts}
        for name in _OBJECTS & parts.keys():
            _object(parts[name])
        self._check(texts, parts.get("input_reference"))
        fps = int(numbers.get("fps", _FPS))
        frames = int(numbers.get("num_frames", int(texts["seconds"]) * fps if "seconds" in texts else 1))
        width, height = size_of(texts["size"]) if "size" in texts else (832, 480)
        sound = texts.get("generate_sound") == "true"
        clip = Clip(duration=frames / fps, width=width, height=height, fps=fps, audio=sound)
        record = {
            "model": self.model,
            "prompt": texts.get("prompt", ""),
            "size": texts.get("size"),
            "seconds": texts.get("seconds", "4"),
            "quality": "default",
            "media_type": "video/mp4",
        }
        return Order(prompt=record["prompt"] or "", clip=clip, record=record)

    def _check(self, texts: dict[str, str], picture: Part | None) -> None:
        if (model := texts.get("model")) not in (None, self.model):
            raise Refusal(
                400,
                "invalid_request",
                f"Model mismatch: request specifies '{model}' but server is running '{self.model}'.",
            )
        if not re.fullmatch(r"[1-9]\d*", texts.get("seconds", "4")):
            raise invalid("seconds: String should match pattern '^[1-9]\\d*$'")
        if texts.get("generate_sound", "false") not in ("true", "false"):
            raise invalid("generate_sound: Input should be a valid boolean")
        if picture is not None and not (picture.filename and picture.data):
            raise Refusal(400, "invalid_request", "Invalid input reference.")

    def record(self, job: VendorJob, state: str, progress: float) -> dict[str, Any]:
        """A job, with its error when it failed."""
        word = job.script.word if state == "running" and job.script.word else _WORDS[state]
        shown = {
            **self.facts(job),
            "status": word,
            "progress": 100 if word == "completed" else int(progress * 100),
            "completed_at": int(job.ends) if state in ENDED else None,
            "file_name": f"{job.id}.mp4" if state == "succeeded" else None,
            "inference_time_s": self.took(job, job.script) if state in ENDED else None,
            "peak_memory_mb": 0.0,
            "stage_durations": {},
            "error": None,
        }
        if state in ("failed", "blocked"):
            code = int(job.script.code) if job.script.code.isdecimal() else 400 if state == "blocked" else 500
            words = "blocked by the safety filter" if state == "blocked" else "the engine has failed"
            shown["error"] = {"code": code, "message": job.script.message or words}
        return shown

    def shown(self, record: dict[str, Any]) -> Response:
        """A failed job comes with the status of its failure."""
        error = record["error"]
        return JSONResponse(record, 200 if error is None else error["code"])

    async def delete(self, request: Request) -> Response:
        """Stop a job and forget it; of one that has ended delete the clip."""
        job = self.vendor.get(request.path_params["id"])
        if job.look(self.clock.now())[0] not in ENDED:
            stopped = self.vendor.cancel(job.id)[1]
            if not stopped:
                raise Refusal(409, "conflict", "Cancellation in progress. Please try again later.")
            if job.script.cancel == "ignored":
                return JSONResponse({"id": job.id, "deleted": True, "object": "video.deleted"})
        self.vendor.jobs.pop(job.id, None)
        return JSONResponse({"id": job.id, "deleted": True, "object": "video.deleted"})

    def refusal(self, refusal: Refusal) -> Response:
        """As vLLM words an error."""
        kind = "NotFoundError" if refusal.status == 404 else "BadRequestError"
        inner = {"message": str(refusal), "type": kind, "param": None, "code": refusal.status}
        return JSONResponse({"error": inner}, refusal.status)


def _number(name: str, text: str) -> float:
    kind, low, high = _NUMBERS[name]
    try:
        found = kind(text)
    except ValueError:
        raise invalid(f"{name}: Input should be a valid {'integer' if kind is int else 'number'}") from None
    if not low <= found <= high:
        raise invalid(f"{name}: Input should be between {low:g} and {high:g}")
    return float(found) if kind is float else found


def _object(part: Part) -> None:
    try:
        found = json.loads(part.text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "invalid_request", "Invalid JSON in form field: expected dict.")
