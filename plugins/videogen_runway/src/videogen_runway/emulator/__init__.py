"""Runway's API on this machine, as strict as the vendor's, with real clips and no charge.

``videogen emulate runway`` serves it; with the variables that it prints, Runway's own SDK and the plugin run against it
unchanged. Inputs at https addresses are not fetched: they pass for clips of 4 s.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import Emulator, Refusal, Traits, VendorJob, read_form, sign_path, verify_path

from . import files
from .assets import Assets, Upload
from .kinds import Sight
from .refusals import refusal_answer
from .rules import ENDPOINTS, checked
from .shapes import made, sizes

__all__ = ["RunwayEmulator"]

_WORDS = {
    "throttled": "THROTTLED",
    "queued": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "empty": "SUCCEEDED",
    "failed": "FAILED",
    "blocked": "FAILED",
    "cancelled": "CANCELLED",
}
_CODES = {"failed": "INTERNAL.BAD_OUTPUT.CODE01", "blocked": "SAFETY.INPUT.TEXT"}
_VERSION = "2024-11-06"
_DAY = 86_400.0
_SMALLEST_UPLOAD = 512  # bytes
_CREDIT = Decimal("0.01")
_FILE = "/outputs/{job}/{name}"


class RunwayEmulator(Emulator):
    """Runway.

    Args:
        **options: As for `Emulator`.

    Attributes:
        balance: Credits of the account before its first task.
        daily: Tasks of a model in 24 hours, above which it answers 429; None = no limit.
        tells_cost: Whether a task that is over says what it cost.
    """

    name = "runway"
    traits = Traits(kind="N", url_lifetime=_DAY)

    def __init__(self, **options: Any) -> None:
        self._assets = Assets()
        super().__init__(**options)
        self._renew()

    def _renew(self) -> None:
        self.balance = 1_000_000
        self.daily: int | None = None
        self.tells_cost = True
        self._assets.uploads.clear()

    def reset(self, *, seed: int | None = None) -> None:
        super().reset(seed=seed)
        self._renew()

    def routes(self) -> Sequence[BaseRoute]:
        creates = [self.route("create", "POST", f"/v1/{name}", self._create) for name in ENDPOINTS]
        return [
            *creates,
            self.route("poll", "GET", "/v1/tasks/{id}", self._poll),
            self.route("cancel", "DELETE", "/v1/tasks/{id}", self._delete),
            self.route("upload", "POST", "/v1/uploads", self._place),
            self.route("upload", "POST", "/store/{id}", self._store, origin="delivery", auth=False),
            self.route("other", "GET", "/v1/organization", self._organization),
            self.route("other", "POST", "/v1/organization/usage", self._usage),
            self.route("download", "GET", _FILE, self._output, origin="delivery", auth=False),
        ]

    def environment(self) -> dict[str, str]:
        return {"RUNWAYML_API_SECRET": self.key, "RUNWAYML_BASE_URL": self.api_url}

    def refusal(self, refusal: Refusal) -> Response:
        return refusal_answer(refusal)

    def authorize(self, request: Request) -> None:
        super().authorize(request)
        version = request.headers.get("x-runway-version")
        if version != _VERSION:
            said = "is required" if version is None else f"{version!r} is not a known version"
            raise Refusal(400, "version", f"X-Runway-Version {said}.")

    def new_id(self, number: int, chance: Random) -> str:
        return str(uuid.UUID(int=chance.getrandbits(128), version=4))

    def price(self, job: VendorJob) -> Decimal:
        return Decimal(job.body["credits"]) * _CREDIT

    # --- creates

    async def _create(self, request: Request) -> Response:
        endpoint = request.url.path.rpartition("/")[2]
        try:
            body = json.loads(await request.body())
        except ValueError as error:
            raise Refusal(400, "json", "Invalid JSON in request body") from error
        self._assets.now = self.clock.now()
        sight = Sight(self._assets.problem, sizes())
        checked(endpoint, body, sight)
        clip, cost = await run_in_threadpool(made, endpoint, body, sight, self._assets)
        self._admit(str(body["model"]), cost)
        known = {"endpoint": endpoint, "asked": body, "credits": str(cost)}
        job = self.vendor.create(clip, model=body["model"], body=known)
        return JSONResponse({"id": job.id, "estimatedCost": {"credits": float(cost)}})

    def _admit(self, model: str, cost: Decimal) -> None:
        """Let a create pass.

        Raises:
            Refusal: 400: the balance is too low; 429: there were too many of this model in a day.
        """
        if cost > self.balance - self._spent():
            raise Refusal(400, "insufficient_credits", "")
        since = self.clock.now() - _DAY
        today = [job for job in self.vendor.jobs.values() if job.model == model and job.created > since]
        if self.daily is not None and len(today) >= self.daily:
            raise Refusal(429, "rate_limited", "")

    def _spent(self) -> Decimal:
        return Decimal(self.vendor.stats()["charged"]) / _CREDIT

    # --- tasks

    async def _poll(self, request: Request) -> Response:
        job, state, progress = self.vendor.poll(request.path_params["id"])
        created = datetime.fromtimestamp(job.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        word = job.script.word if state == "running" and job.script.word else _WORDS[state]
        told: dict[str, Any] = {"id": job.id, "createdAt": created, "status": word}
        if state in ("throttled", "queued", "running"):
            told["estimatedCost"] = {"credits": float(job.body["credits"])}
        elif self.tells_cost:
            cost = self.vendor.charged(job) / _CREDIT
            told["cost"] = {"credits": int(cost) if cost == int(cost) else float(cost)}
        if state == "running":
            told["progress"] = round(progress, 4)
        if state in ("succeeded", "empty"):
            told["output"] = self._links(job)
        if state in _CODES:
            told |= self._failure(job, state)
        return JSONResponse(told)

    def _failure(self, job: VendorJob, state: str) -> dict[str, Any]:
        """Why a task failed; the code ``none`` in a script leaves it open, as Runway sometimes does."""
        code = job.script.code or _CODES[state]
        told = {"failure": job.script.message or "An unexpected error occurred."}
        return told if code == "none" else {**told, "failureCode": code}

    async def _delete(self, request: Request) -> Response:
        """Stop a task, or delete one that is over, and its files with it."""
        job, state, _ = self._looked_at(request.path_params["id"])
        if state in ("throttled", "queued", "running"):
            if not self.vendor.cancel(job.id)[1]:
                raise Refusal(409, "conflict", "")
            if job.script.cancel != "ignored":
                self.vendor.jobs.pop(job.id, None)
        else:
            self.vendor.forget(job.id)
        return Response(status_code=204)

    def _looked_at(self, job_id: str) -> tuple[VendorJob, str, float]:
        job = self.vendor.get(job_id)
        return (job, *job.look(self.clock.now()))

    # --- files

    def _names(self, job: VendorJob) -> list[str]:
        return files.names(job.body["asked"], job.outputs, audio=job.clip.audio)

    def _links(self, job: VendorJob) -> list[str]:
        """Fresh addresses, each good for a day."""
        until = None if self.traits.url_lifetime is None else self.clock.now() + self.traits.url_lifetime
        paths = [_FILE.format(job=job.id, name=name) for name in self._names(job)]
        return [self.delivery_url + sign_path(path, self._secret, until) for path in paths]

    async def _output(self, request: Request) -> Response:
        verify_path(request, self._secret, self.clock.now())
        job, name = self.vendor.get(request.path_params["job"]), request.path_params["name"]
        if name not in self._names(job):
            raise Refusal(404, "not_found", "")
        job.downloads += 1
        if job.downloads <= job.script.expired:
            raise Refusal(403, "address", "This address has expired.")
        number, _, ending = name.partition(".")
        data = files.sound(job.clip.duration) if ending == "wav" else await self.clip(job, int(number))
        if ending in ("mov", "zip"):
            data = await run_in_threadpool(files.quicktime if ending == "mov" else files.archive, data)
        return self.file(request, data, files.TYPES[ending])

    # --- uploads

    async def _place(self, request: Request) -> Response:
        try:
            asked = json.loads(await request.body())
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or set(asked) != {"filename", "type"} or asked["type"] != "ephemeral":
            raise Refusal(400, "invalid_request", "")
        name = f"{len(self._assets.uploads) + 1:08d}"
        fields = {"key": f"ephemeral/{name}", "policy": f"signed-{name}"}
        self._assets.uploads[name] = Upload(fields, self.clock.now())
        where = f"{self.delivery_url}/store/{name}"
        return JSONResponse({"uploadUrl": where, "fields": fields, "runwayUri": f"runway://{name}"})

    async def _store(self, request: Request) -> Response:
        upload = self._assets.uploads.get(request.path_params["id"])
        form = await read_form(request)
        if upload is None or any(name not in form or form[name].text != text for name, text in upload.fields.items()):
            raise Refusal(403, "policy", "The policy does not match.")
        if "file" not in form or len(form["file"].data) < _SMALLEST_UPLOAD:
            raise Refusal(400, "size", "The file is missing or too small.")
        upload.data = form["file"].data
        return Response(status_code=204)

    # --- the account

    async def _organization(self, request: Request) -> Response:
        limits = {"maxConcurrentGenerations": self.traits.concurrency, "maxDailyGenerations": self.daily}
        models = sorted({job.model for job in self.vendor.jobs.values()} | {"gen4.5", "gen4_turbo"})
        usage = {name: {"dailyGenerations": sum(j.model == name for j in self.vendor.jobs.values())} for name in models}
        return JSONResponse(
            {
                "creditBalance": int(self.balance - self._spent()),
                "tier": {"maxMonthlyCreditSpend": 10_000, "models": dict.fromkeys(models, limits)},
                "usage": {"models": usage},
            }
        )

    async def _usage(self, request: Request) -> Response:
        amounts: dict[str, Decimal] = {}
        for job in self.vendor.jobs.values():
            amounts[job.model] = amounts.get(job.model, Decimal(0)) + self.vendor.charged(job) / _CREDIT
        used = [{"model": name, "amount": float(amount)} for name, amount in sorted(amounts.items())]
        today = self.clock.date().date().isoformat()
        return JSONResponse({"models": sorted(amounts), "results": [{"date": today, "usedCredits": used}]})
