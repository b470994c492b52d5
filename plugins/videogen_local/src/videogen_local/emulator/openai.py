"""The plain OpenAI shape: prompt, seconds, size and a picture, and nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from videogen_core.testing import ENDED, Clip, Refusal, Traits, VendorJob

from .server import Order, VideosEmulator, form_of, size_of

__all__ = ["OpenaiEmulator"]

_WORDS = {
    "throttled": "queued",
    "queued": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "empty": "failed",
    "failed": "failed",
    "blocked": "failed",
    "cancelled": "cancelled",
}
_CODES = {"failed": "server_error", "blocked": "moderation_blocked", "empty": "server_error"}
_SECONDS = ("4", "8", "12")
_SIZES = ("720x1280", "1280x720")
_FPS = 24


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    prompt: str
    model: str | None = None
    seconds: str = "4"
    size: str = "720x1280"


class OpenaiEmulator(VideosEmulator):
    """A server of the OpenAI shape, as its official client of November 2026 knows it. It takes forms and JSON.

    DELETE is for jobs that have ended. ``code`` of a script is the error's own.

    Args:
        prompts: Whether records echo the prompt; with them ``kind`` is C, else D.
        **options: Of `VideosEmulator`.
    """

    dialect: ClassVar[str] = "openai"
    traits = Traits(kind="C")

    def __init__(self, *, prompts: bool = True, **options: Any) -> None:
        self.prompts = prompts
        super().__init__(**options)

    async def order(self, request: Request) -> Order:
        """Read a create."""
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            parts = await form_of(request)
            picture = parts.pop("input_reference", None)
            if picture is not None and not (picture.filename and picture.data):
                raise _wrong("input_reference: expected a file")
            try:
                create = msgspec.convert({name: part.text for name, part in parts.items()}, _Create)
            except msgspec.ValidationError as error:
                raise _wrong(str(error)) from error
        else:
            create = await self.read(request, _Create)
        if create.model not in (None, self.model):
            raise Refusal(400, "invalid_request", f"The model {create.model!r} does not exist.")
        if create.seconds not in _SECONDS:
            raise _wrong(f"seconds: expected one of {', '.join(_SECONDS)}, got {create.seconds[:20]!r}")
        if create.size not in _SIZES:
            raise _wrong(f"size: expected one of {', '.join(_SIZES)}, got {create.size[:20]!r}")
        width, height = size_of(create.size)
        clip = Clip(duration=float(create.seconds), width=width, height=height, fps=_FPS)
        record: dict[str, Any] = {"model": self.model, "size": create.size, "seconds": create.seconds}
        return Order(
            prompt=create.prompt, clip=clip, record=record | ({"prompt": create.prompt} if self.prompts else {})
        )

    def record(self, job: VendorJob, state: str, progress: float) -> dict[str, Any]:
        """A job."""
        word = job.script.word if state == "running" and job.script.word else _WORDS[state]
        shown = {
            **self.facts(job),
            "status": word,
            "progress": 100 if word == "completed" else int(progress * 100),
            "completed_at": int(job.ends) if state in ENDED else None,
            "expires_at": None,
            "error": None,
        }
        if word == "failed":
            words = {"code": job.script.code or _CODES[state], "message": job.script.message or f"The job was {state}."}
            shown["error"] = words
        return shown

    async def delete(self, request: Request) -> Response:
        """Delete what has ended."""
        job = self.vendor.get(request.path_params["id"])
        if job.look(self.clock.now())[0] not in ENDED:
            raise Refusal(409, "conflict", "A video can be deleted once it is completed or failed.")
        del self.vendor.jobs[job.id]
        return JSONResponse({"id": job.id, "deleted": True, "object": "video.deleted"})

    def refusal(self, refusal: Refusal) -> Response:
        """As OpenAI words an error."""
        inner = {"message": str(refusal), "type": "invalid_request_error", "param": None, "code": refusal.code}
        return JSONResponse({"error": inner}, refusal.status)


def _wrong(message: str) -> Refusal:
    return Refusal(400, "invalid_request", message)
