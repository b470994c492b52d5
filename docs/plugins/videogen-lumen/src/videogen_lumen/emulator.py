"""Lumen's HTTP API on this machine, as strict as Lumen."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from videogen_core.testing import Clip, Emulator, Refusal, Traits, VendorJob

WORDS = {
    "throttled": "waiting",
    "queued": "waiting",
    "running": "drawing",
    "succeeded": "done",
    "empty": "done",
    "failed": "broken",
    "blocked": "broken",
    "cancelled": "stopped",
}
CREDITS = {360: 3, 720: 8}  # a second, from https://lumen.example/pricing


class Create(msgspec.Struct, forbid_unknown_fields=True):
    model: Literal["glow-1"]
    text: str
    length: int
    width: int
    height: int
    mood: Literal["calm", "wild"]
    note: str
    seed: int | None = None


class Lumen(Emulator):
    name: ClassVar[str] = "lumen"
    traits = Traits(kind="B", list_lag=1.0)  # kind B: jobs can be asked for by a word of the client's own

    def environment(self) -> dict[str, str]:
        return {"LUMEN_URL": self.api_url, "LUMEN_KEY": self.key}

    def authorize(self, request: Request) -> None:
        if request.headers.get("x-api-key") != self.key:
            raise Refusal(401, "unauthorized", "Who are you?")

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("create", "POST", "/jobs", self.create),
            self.route("list", "GET", "/jobs", self.search),
            self.route("poll", "GET", "/jobs/{id}", self.show),
            self.route("cancel", "DELETE", "/jobs/{id}", self.stop),
            self.file_route(),
        ]

    def price(self, job: VendorJob) -> Decimal:
        credits = CREDITS[min(job.clip.width, job.clip.height)] * round(job.clip.duration)
        return Decimal(credits) / 100

    async def create(self, request: Request) -> Response:
        asked = await self.read(request, Create)
        if not 2 <= asked.length <= 10 or min(asked.width, asked.height) not in CREDITS:
            raise Refusal(400, "invalid_request", "That length or size is not possible.")
        clip = Clip(duration=asked.length, width=asked.width, height=asked.height, fps=12)
        job = self.vendor.create(clip, model=asked.model, ref=asked.note, body=msgspec.to_builtins(asked))
        return JSONResponse(self.shown(job), 201)

    async def show(self, request: Request) -> Response:
        job, state, progress = self.vendor.poll(request.path_params["id"])
        return JSONResponse(self.shown(job, state, progress))

    async def search(self, request: Request) -> Response:
        return JSONResponse([self.shown(job) for job in self.vendor.find(request.query_params["note"])])

    async def stop(self, request: Request) -> Response:
        job, stopped = self.vendor.cancel(request.path_params["id"])
        if not stopped:
            raise Refusal(409, "conflict", "Too late.")
        return JSONResponse(self.shown(job))

    def shown(self, job: VendorJob, state: str = "", progress: float = 0.0) -> dict[str, Any]:
        """A job as Lumen shows it."""
        state = state or job.look(self.clock.now())[0]
        word = WORDS[state]
        if state == "running" and job.script.word:
            word = job.script.word  # a word that no documentation knows
        shown: dict[str, Any] = {"id": job.id, "state": word, "note": job.ref, "done": progress}
        if word in ("done", "broken", "stopped"):
            shown["credits"] = round(self.vendor.charged(job) * 100)
        if state == "succeeded":
            shown["clips"] = self.links(job)
        if word == "broken":
            shown["problem"] = "forbidden" if state == "blocked" else "out of light"
        return shown
