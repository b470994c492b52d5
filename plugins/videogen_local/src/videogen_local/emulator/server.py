"""What the servers have in common: one model, jobs with a record each, and the clip at ``/content``."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any, ClassVar

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import ENDED, Clip, Emulator, Part, Refusal, Script, VendorJob, current_entry, read_form

from ..servers import VARIABLE

__all__ = ["Order", "VideosEmulator", "form_of", "invalid", "size_of"]

_USD_PER_SECOND = Decimal("0.001")
_STEP = 16  # what sides have to be multiples of


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a create asks for.

    Attributes:
        prompt: What to show.
        clip: What the clip is to be like.
        record: What the job's record says of it.
    """

    prompt: str
    clip: Clip
    record: dict[str, Any]


class VideosEmulator(Emulator):
    """A server that speaks ``/v1/videos``.

    It refuses what the real one refuses, and beyond that any field that it does not know, since the real ones drop
    those without a word. A prompt that holds "forbidden" is refused by a filter.

    Args:
        model: What it serves.
        pace: Seconds of work that a second of clip takes.
        **options: Of `Emulator`.

    Attributes:
        dialect: How the plugin calls this kind of server.
        orders: What was asked for, by job.
    """

    dialect: ClassVar[str]
    name: ClassVar[str] = "local"

    def __init__(self, *, model: str = "emulated/ti2v", pace: float = 10.0, **options: Any) -> None:
        self.model = model
        self.pace = pace
        self.orders: dict[str, Order] = {}
        super().__init__(**options)

    # --- what differs

    @abstractmethod
    async def order(self, request: Request) -> Order:
        """Read a create.

        Raises:
            Refusal: It is none that the server takes.
        """

    @abstractmethod
    def record(self, job: VendorJob, state: str, progress: float) -> dict[str, Any]:
        """A job as the server shows it."""

    @abstractmethod
    async def delete(self, request: Request) -> Response:
        """What ``DELETE /v1/videos/{id}`` does."""

    def shown(self, record: dict[str, Any]) -> Response:
        """A record as an answer."""
        return JSONResponse(record)

    def has_clip(self, job: VendorJob) -> bool:
        """Whether there is a clip to be fetched."""
        return bool(self.links(job))

    # --- what does not

    def routes(self) -> Sequence[BaseRoute]:
        """All of them."""
        return [
            self.route("other", "GET", "/v1/models", self._models),
            self.route("create", "POST", "/v1/videos", self._create),
            self.route("list", "GET", "/v1/videos", self._list),
            self.route("poll", "GET", "/v1/videos/{id}", self._show),
            self.route("cancel", "DELETE", "/v1/videos/{id}", self.delete),
            self.route("download", "GET", "/v1/videos/{id}/content", self._content),
        ]

    def price(self, job: VendorJob) -> Decimal:
        """What its machine costs for the time of the work."""
        return Decimal(str(self.work(job))) * _USD_PER_SECOND

    def work(self, job: VendorJob) -> float:
        """Seconds that a job takes."""
        return round(self.pace * job.clip.duration, 6)

    def environment(self) -> dict[str, str]:
        """A server called ``server``, for the plugin."""
        return {
            f"{VARIABLE}URL": self.api_url,
            f"{VARIABLE}DIALECT": self.dialect,
            f"{VARIABLE}MODEL": self.model,
            f"{VARIABLE}KEY": self.key,
            f"{VARIABLE}USD_PER_HOUR": str(_USD_PER_SECOND * 3600),
            f"{VARIABLE}PACE": f"{self.pace:g}",
        }

    def reset(self, *, seed: int | None = None) -> None:
        """As if it had just been started: these servers keep their jobs in memory."""
        super().reset(seed=seed)
        self.orders.clear()

    async def _models(self, request: Request) -> Response:
        row = {"id": self.model, "object": "model", "created": 0, "owned_by": self.name, "root": self.model}
        return JSONResponse({"object": "list", "data": [row]})

    async def _create(self, request: Request) -> Response:
        order = await self.order(request)
        if not order.prompt.strip():
            raise invalid("prompt is required")
        if "forbidden" in order.prompt:
            raise Refusal(400, "content_policy", "The prompt was blocked by the safety filter.")
        job = self.vendor.create(order.clip, model=self.model, body=order.record, text=order.prompt)
        self.orders[job.id] = order
        return self.shown(self.record(job, "queued", 0.0))

    async def _show(self, request: Request) -> Response:
        job, state, progress = self.vendor.poll(request.path_params["id"])
        return self.shown(self.record(job, state, progress))

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        if query.keys() - {"limit", "order", "after"} or not query.get("limit", "20").isdecimal():
            raise invalid(f"unknown parameters: {', '.join(sorted(query.keys()))}")
        limit = int(query.get("limit", "20"))
        if not 1 <= limit <= 100 or query.get("order", "desc") not in ("asc", "desc"):
            raise invalid("limit is 1 to 100, order is asc or desc")
        after = self.vendor.jobs.get(query.get("after", ""))
        if "after" in query and after is None:
            return JSONResponse({"object": "list", "data": [], "has_more": False})
        page = self.vendor.listed(before=None if after is None else after.seq, limit=limit + 1)
        rows = [self.record(job, *job.look(self.clock.now())) for job in page[:limit]]
        ends = {"first_id": rows[0]["id"] if rows else None, "last_id": rows[-1]["id"] if rows else None}
        return JSONResponse({"object": "list", "data": rows, "has_more": len(page) > limit, **ends})

    async def _content(self, request: Request) -> Response:
        job = self.vendor.get(request.path_params["id"])
        state = job.look(self.clock.now())[0]
        if state not in ENDED:
            raise Refusal(404, "not_found", "Generation is still in-progress")
        job.downloads += 1
        if state != "succeeded" or not self.has_clip(job) or job.downloads <= job.script.expired:
            raise Refusal(404, "not_found", "The video is not there.")
        return self.file(request, await self.clip(job, 0))

    def new_id(self, number: int, chance: Random) -> str:
        """As vLLM-Omni makes them."""
        return f"video_gen_{chance.getrandbits(128):032x}"

    def facts(self, job: VendorJob) -> dict[str, Any]:
        """What every record has."""
        return {"id": job.id, "object": "video", "created_at": int(job.created), **self.orders_of(job).record}

    def orders_of(self, job: VendorJob) -> Order:
        """What a job was asked for; a job that a test has put there itself was asked for nothing."""
        known = self.orders.get(job.id)
        return known or Order(prompt="", clip=job.clip, record={"size": "", "seconds": "4"})

    def took(self, job: VendorJob, script: Script) -> float:
        """Seconds that a job that has ended was charged with."""
        return float(self.vendor.charged(job) / _USD_PER_SECOND)


def invalid(message: str) -> Refusal:
    """A create that says what the server does not understand."""
    return Refusal(422, "invalid_request", message)


def size_of(text: str, step: int = _STEP) -> tuple[int, int]:
    """Width and height from ``832x480``.

    Raises:
        Refusal: It is no size, or one that no model makes.
    """
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise invalid(f"size: String should match pattern '^\\d+x\\d+$', got {text[:40]!r}")
    if int(width) % step or int(height) % step:
        raise Refusal(400, "invalid_request", f"size: {text} is not divisible by {step}")
    return int(width), int(height)


async def form_of(request: Request) -> dict[str, Part]:
    """A form; the journal shows it by its fields, since its boundary is another one each time."""
    parts = await read_form(request)
    entry = current_entry.get()
    if entry is not None:
        told = {name: part.text if not part.filename else f"{len(part.data)} bytes" for name, part in parts.items()}
        entry.body = json.dumps(told, ensure_ascii=False)
        entry.headers["content-type"] = "multipart/form-data"
    return parts
