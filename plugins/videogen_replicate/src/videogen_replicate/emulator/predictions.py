"""Creates, polls, the list and cancels."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import ENDED, Refusal, VendorJob

from .checking import checked
from .models import Model, models
from .reading import clip_of

if TYPE_CHECKING:
    from . import ReplicateEmulator

__all__ = ["Order", "Predictions"]

_PAGE = 100
_EVENTS = frozenset({"start", "output", "logs", "completed"})
_WAIT = re.compile(r"(\d+)([smh]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_WORDS = {
    "throttled": "starting",
    "queued": "starting",
    "running": "processing",
    "succeeded": "succeeded",
    "empty": "succeeded",
    "failed": "failed",
    "blocked": "failed",
}
_FLAGGED = "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"
_LOST = "Prediction failed: the worker ended unexpectedly. (E1000)"


class Create(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a create."""

    input: dict[str, Any]
    version: str | None = None
    webhook: str | None = None
    webhook_events_filter: list[str] = []
    webhook_completed: str | None = None
    stream: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What was ordered.

    Attributes:
        model: Which.
        values: Its input, defaults filled in.
        deadline: When it is given up, in the vendor's seconds since 1970; None = at the platform's own limit.
    """

    model: Model
    values: dict[str, Any]
    deadline: float | None = None


class Predictions:
    """The predictions of one account.

    Args:
        emulator: Of Replicate.
    """

    def __init__(self, emulator: ReplicateEmulator) -> None:
        self._emulator = emulator
        self.orders: dict[str, Order] = {}

    def routes(self) -> list[BaseRoute]:
        """Its paths."""
        route = self._emulator.route
        return [
            route("create", "POST", "/v1/models/{owner}/{name}/predictions", self._create_by_name),
            route("create", "POST", "/v1/predictions", self._create_by_version),
            route("list", "GET", "/v1/predictions", self._list),
            route("poll", "GET", "/v1/predictions/{id}", self._show),
            route("cancel", "POST", "/v1/predictions/{id}/cancel", self._cancel),
        ]

    # --- requests

    async def _create_by_name(self, request: Request) -> Response:
        body = await self._emulator.read(request, Create)
        model = models().get("{owner}/{name}".format(**request.path_params))
        if model is None or not model.official:
            raise Refusal(404, "not_found", "The requested resource could not be found.")
        if body.version is not None:
            raise Refusal(422, "disabled", "An official model is called by its name.")
        return await self._create(request, body, model)

    async def _create_by_version(self, request: Request) -> Response:
        body = await self._emulator.read(request, Create)
        wanted = body.version or ""
        name, _, digits = wanted.rpartition(":")
        for model in models().values():
            if (model.version and digits == model.version and name in ("", model.name)) or (
                model.official and wanted == model.name
            ):
                return await self._create(request, body, model)
        raise Refusal(422, "disabled", "The specified version does not exist (or perhaps you don't have permission).")

    async def _create(self, request: Request, body: Create, model: Model) -> Response:
        if not set(body.webhook_events_filter) <= _EVENTS:
            raise Refusal(422, "invalid_request", "webhook_events_filter: unknown event")
        values = checked(model, body.input, self._emulator.files.knows)
        vendor, clock = self._emulator.vendor, self._emulator.clock
        written = json.dumps(body.input, sort_keys=True)
        script = vendor.take_script(f"{model.name} {written}")
        if "forbidden" in str(body.input.get("prompt", "")):
            script = msgspec.structs.replace(script, ending="blocked")
        job = vendor.create(
            clip_of(model, values),
            model=model.name,
            body=body.input,
            webhook=body.webhook or body.webhook_completed or "",
            script=script,
        )
        wait = _seconds(request.headers.get("cancel-after"))
        deadline = None if wait is None else clock.now() + wait
        self.orders[job.id] = Order(model=model, values=values, deadline=deadline)
        if self._emulator.deadlines and deadline is not None and deadline < job.ends:
            job.cancelled = deadline
        headers = {"ratelimit-remaining": "599", "ratelimit-reset": "1"}
        if (prefer := request.headers.get("prefer", "")).startswith("wait"):
            headers["preference-applied"] = prefer
        return JSONResponse(self.shown(job, fresh=True), 201, headers)

    async def _show(self, request: Request) -> Response:
        job, _, _ = self._emulator.vendor.poll(request.path_params["id"])
        return JSONResponse(self.shown(job))

    async def _list(self, request: Request) -> Response:
        before = request.query_params.get("cursor")
        page = self._emulator.vendor.listed(before=None if before is None else int(before), limit=_PAGE)
        following = f"{self._emulator.api_url}/v1/predictions?cursor={page[-1].seq}" if len(page) == _PAGE else None
        return JSONResponse({"next": following, "previous": None, "results": [self.shown(job) for job in page]})

    async def _cancel(self, request: Request) -> Response:
        job, stopped = self._emulator.vendor.cancel(request.path_params["id"])
        if not stopped and job.look(self._emulator.clock.now())[0] not in ENDED:
            raise Refusal(409, "conflict", "This prediction cannot be canceled.")
        return JSONResponse(self.shown(job))

    # --- as the API shows them

    def shown(self, job: VendorJob, *, fresh: bool = False) -> dict[str, Any]:
        """A prediction.

        Args:
            job: Which.
            fresh: Whether it was made this moment; then nothing of its end is told.
        """
        emulator, now = self._emulator, self._emulator.clock.now()
        order, state = self.orders[job.id], job.look(now)[0]
        over, removed = state in ENDED and not fresh, self._removed(job, now)
        base = f"{emulator.api_url}/v1/predictions/{job.id}"
        found: dict[str, Any] = {
            "id": job.id,
            "model": job.model,
            "version": order.model.version or "hidden",
            "input": {} if removed else job.body,
            "logs": "" if removed else self._logs(job, now),
            "data_removed": removed,
            "error": None,
            "status": "starting" if fresh else self._word(job, state),
            "source": "api",
            "created_at": emulator.stamp(job.created),
            "urls": {"get": base, "cancel": f"{base}/cancel", "web": f"https://replicate.com/p/{job.id}"},
        }
        if order.deadline is not None:
            found["deadline"] = emulator.stamp(order.deadline)
        if self._began(job, now) and not fresh:
            found["started_at"] = emulator.stamp(job.created + job.script.throttled + job.script.queued)
        if over:
            found["completed_at"] = emulator.stamp(max(job.ends, job.created))
            found |= self._end(job, state, removed)
        return found

    def _removed(self, job: VendorJob, now: float) -> bool:
        """Whether input, output and logs are gone."""
        kept = self._emulator.traits.retention
        return kept is not None and job.look(now)[0] in ENDED and now > job.ends + kept

    def _began(self, job: VendorJob, now: float) -> bool:
        """Whether the model has begun to work on it."""
        began = job.created + job.script.throttled + job.script.queued
        return began <= (now if job.cancelled is None else min(now, job.cancelled)) and self._aborted(job) is False

    def _aborted(self, job: VendorJob) -> bool:
        """Whether it ended before it began."""
        if job.cancelled is None:
            return job.script.ending == "cancelled" and job.script.code != "canceled"
        return job.cancelled < job.created + job.script.throttled + job.script.queued

    def _word(self, job: VendorJob, state: str) -> str:
        if state == "running" and job.script.word:
            return job.script.word
        return _WORDS.get(state) or ("aborted" if self._aborted(job) else "canceled")

    def _logs(self, job: VendorJob, now: float) -> str:
        state, progress = job.look(now)
        if state not in ("running", "succeeded"):
            return ""
        return f"Generating\n{progress:4.0%}|{'#' * int(progress * 10):10}| {int(progress * 30)}/30\n"

    def _end(self, job: VendorJob, state: str, removed: bool) -> dict[str, Any]:
        """What is told of a prediction that is over."""
        found: dict[str, Any] = {"output": None}
        links = self._emulator.links(job)
        if state == "succeeded" and links and not removed:
            found["output"] = links if self.orders[job.id].model.several else links[0]
        if state in ("failed", "blocked"):
            found["error"] = job.script.message or (_FLAGGED if state == "blocked" else _LOST)
            if job.script.code:
                found["error"] = f"{job.script.message or 'Prediction failed.'} ({job.script.code})"
        if not self._aborted(job):
            worked = max(job.ends - job.created - job.script.throttled - job.script.queued, 0.0)
            found["metrics"] = {"predict_time": worked, "total_time": max(job.ends - job.created, 0.0)}
        return found


def _seconds(text: str | None) -> float | None:
    """Of a ``Cancel-After`` header.

    Raises:
        Refusal: 422: it is no duration.
    """
    if text is None:
        return None
    found = _WAIT.fullmatch(text)
    if found is None:
        raise Refusal(422, "invalid_request", f"Cancel-After: {text[:40]!r} is no duration.")
    return float(found[1]) * _UNITS[found[2]]
