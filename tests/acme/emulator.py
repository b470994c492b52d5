"""Acme's HTTP API on loopback."""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import Clip, Emulator, Refusal, Traits, VendorJob

__all__ = ["AcmeEmulator", "AcmeOfKindA", "AcmeOfKindB", "AcmeOfKindC", "AcmeOfKindD"]

_WORDS = {
    "throttled": "waiting",
    "queued": "queued",
    "running": "working",
    "succeeded": "done",
    "empty": "done",
    "failed": "failed",
    "blocked": "failed",
    "cancelled": "stopped",
}
_PAGE = 20
_NEXT_POLL = 0.05  # vendor seconds


class Create(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a create."""

    model: Literal["paper", "stone"]
    prompt: str
    seconds: float
    size: str
    fps: float
    audio: bool
    n: int = 1
    seed: int | None = None
    negative_prompt: str | None = None
    style: Literal["plain", "ink", "chalk"] = "plain"
    priority: bool = False
    first_frame: str | None = None
    last_frame: str | None = None
    references: list[str] = []
    ref: str | None = None
    webhook_url: str | None = None


class AcmeEmulator(Emulator):
    """Acme; ``kind`` says which class of idempotency it is."""

    name = "acme"
    content_md5 = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._uploads: dict[str, None] = {}  # in order
        self._uploaded = 0

    def environment(self) -> dict[str, str]:
        return {"ACME_URL": self.api_url, "ACME_KEY": self.key, "ACME_WEBHOOK_SECRET": self.webhook_secret}

    def routes(self) -> list[BaseRoute]:
        return [
            self.route("create", "POST", "/v1/videos", self._create),
            self.route("list", "GET", "/v1/videos", self._list),
            self.route("poll", "GET", "/v1/videos/{id}", self._poll),
            self.route("cancel", "POST", "/v1/videos/{id}/cancel", self._cancel),
            self.route("upload", "POST", "/v1/uploads", self._upload),
            self.route("other", "DELETE", "/v1/uploads/{id}", self._delete),
            self.route("other", "GET", "/v1/account", self._account),
            self.file_route(),
        ]

    async def _create(self, request: Request) -> Response:
        body = await self.read(request, Create)
        said = json.loads(await request.body())
        size = re.fullmatch(r"(\d{2,4})x(\d{2,4})", body.size)
        if size is None or not 1 <= body.n <= 4 or body.seconds not in (1, 2, 4):
            raise Refusal(400, "invalid_request", "size, n or seconds is out of range")
        if body.ref is not None and self.traits.kind != "B":
            raise Refusal(400, "invalid_request", "Object contains unknown field `ref`")
        for name in filter(None, (body.first_frame, body.last_frame, *body.references)):
            if name not in self._uploads:
                raise Refusal(400, "invalid_request", f"There is no upload {name!r}")
        if "forbidden" in body.prompt:
            raise Refusal(400, "content_policy", "This prompt is against our rules.")
        width, height = int(size[1]), int(size[2])
        clip = Clip(duration=float(body.seconds), width=width, height=height, fps=body.fps, audio=body.audio)
        job = self.vendor.create(
            clip,
            count=body.n,
            model=body.model,
            ref=body.ref or "",
            key=request.headers.get("idempotency-key", ""),
            body=said,
            webhook=body.webhook_url or "",
        )
        return JSONResponse(self._shown(job, links=False), 202)

    async def _poll(self, request: Request) -> Response:
        job, state, progress = self.vendor.poll(request.path_params["id"])
        return JSONResponse(self._shown(job, state=state, progress=progress))

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        if "ref" in query:
            jobs = self.vendor.find(query["ref"])
            return JSONResponse({"videos": [self._shown(job) for job in jobs], "next": None})
        since, before = float(query.get("since", 0)), query.get("before")
        page = self.vendor.listed(before=None if before is None else int(before), limit=int(query.get("limit", _PAGE)))
        jobs = [job for job in page if job.created >= since]
        more = str(page[-1].seq) if page and len(jobs) == _PAGE else None
        return JSONResponse({"videos": [self._shown(job) for job in jobs], "next": more})

    async def _cancel(self, request: Request) -> Response:
        job, stopped = self.vendor.cancel(request.path_params["id"])
        if not stopped:
            raise Refusal(409, "conflict", "It cannot be stopped any more.")
        shown = self._shown(job, links=False)
        return JSONResponse({**shown, "status": "forgotten"} if job.script.cancel == "gone" else shown)

    async def _upload(self, request: Request) -> Response:
        digest = hashlib.sha256(await request.body()).hexdigest()
        if digest != request.headers.get("x-digest"):
            raise Refusal(400, "invalid_request", "The digest does not match.")
        self._uploaded += 1
        name = f"up-{self._uploaded}-{digest[:16]}"
        self._uploads[name] = None
        return JSONResponse({"upload": name})

    async def _delete(self, request: Request) -> Response:
        name = request.path_params["id"]
        if name not in self._uploads:
            raise Refusal(404, "not_found", f"There is no upload {name!r}")
        del self._uploads[name]
        return Response(status_code=204)

    async def _account(self, request: Request) -> Response:
        return JSONResponse({"name": "conformists"})

    def leftovers(self) -> list[str]:
        return list(self._uploads)

    def reset(self, *, seed: int | None = None) -> None:
        super().reset(seed=seed)
        self._uploads.clear()

    def _shown(
        self, job: VendorJob, *, state: str | None = None, progress: float = 0.0, links: bool = True
    ) -> dict[str, Any]:
        """A job as the API shows it."""
        state = state or job.look(self.clock.now())[0]
        shown: dict[str, Any] = {
            "id": job.id,
            "status": job.script.word if state == "running" and job.script.word else _WORDS[state],
            "model": job.model,
            "created_at": round(job.created, 3),
            "progress": round(progress, 4),
            "next_poll": round(self.clock.real(max(_NEXT_POLL, self.traits.poll_every)), 4),
        }
        if self.traits.kind in ("B", "C"):
            shown["input"] = job.body
        if state in ("succeeded", "empty", "failed", "blocked", "cancelled"):
            shown["charge"] = f"{self.vendor.charged(job):.2f}"
        if state == "succeeded" and links:
            shown["videos"] = [{"url": url, "mime_type": "video/mp4"} for url in self.links(job)]
        if state in ("failed", "blocked"):
            code = job.script.code or ("content_policy" if state == "blocked" else "internal")
            shown["error"] = {"code": code, "message": job.script.message or f"It was {state}."}
        return shown

    def price(self, job: VendorJob) -> Decimal:
        """As the catalogue has it."""
        if job.model == "stone":
            return Decimal("0.75") * job.count
        rate = Decimal("0.40") if min(job.clip.width, job.clip.height) == 720 else Decimal("0.10")
        rate += Decimal("0.05") if job.clip.audio else 0
        extra = Decimal("0.25") if job.body.get("priority") else Decimal(0)
        return (rate * Decimal(str(job.clip.duration)) + extra) * job.count

    def webhook_body(self, job: VendorJob) -> bytes:
        return json.dumps(self._shown(job)).encode()


class AcmeOfKindA(AcmeEmulator):
    """Knows idempotency keys."""

    traits = Traits(kind="A")


class AcmeOfKindB(AcmeEmulator):
    """Can be asked for our own id of a job, a little later."""

    traits = Traits(kind="B", list_lag=3.0)


class AcmeOfKindC(AcmeEmulator):
    """Lists jobs with their inputs, a little later."""

    traits = Traits(kind="C", list_lag=3.0)


class AcmeOfKindD(AcmeEmulator):
    """Lists jobs and does not say what was asked."""

    traits = Traits(kind="D")
