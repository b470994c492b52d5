"""Acme, which now and then takes its word back: what it has called failed, it calls done when it is asked again."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from acme.emulator import AcmeEmulator

PROMPT = "phoenix"
"""What the prompt of such a job holds."""


class PhoenixEmulator(AcmeEmulator):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._told: set[str] = set()

    def reset(self, *, seed: int | None = None) -> None:
        super().reset(seed=seed)
        self._told.clear()

    async def _poll(self, request: Request) -> Response:
        job, state, progress = self.vendor.poll(request.path_params["id"])
        shown = self._shown(job, state=state, progress=progress)
        if PROMPT in job.body["prompt"] and state == "succeeded" and job.id not in self._told:
            self._told.add(job.id)
            shown |= {"status": "failed", "charge": "0", "videos": [], "error": {"code": "internal", "message": "Oh."}}
        return JSONResponse(shown)
