"""The session: the requests that a job needs, and what their answers mean."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from videogen_core import (
    Cancellation,
    ContentPolicyError,
    Context,
    Found,
    GenerationFailedError,
    JobStatus,
    Output,
    ProviderError,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
    frame_size,
)
from videogen_core.calls import call as send
from videogen_core.outcomes import Answer

STATES = {
    "waiting": JobStatus.QUEUED,
    "drawing": JobStatus.RUNNING,
    "done": JobStatus.SUCCEEDED,
    "broken": JobStatus.FAILED,
    "stopped": JobStatus.CANCELLED,
}


class Job(msgspec.Struct):
    """A job as Lumen shows it; fields that are not named here are ignored."""

    id: str
    state: str
    note: str = ""
    done: float | None = None
    clips: tuple[str, ...] = ()
    credits: int | None = None
    problem: str = ""

    @property
    def cost(self) -> Decimal | None:
        """USD, once Lumen says what it took."""
        return None if self.credits is None else Decimal(self.credits) / 100

    @property
    def error(self) -> ProviderError:
        """Why it is broken, and whether it was paid for all the same."""
        kind = ContentPolicyError if self.problem == "forbidden" else GenerationFailedError
        charged = None if self.credits is None else self.credits > 0
        return kind(f"Lumen: {self.problem or 'no reason given'}.", provider="lumen", charged=charged)


class LumenSession(Session):
    def __init__(self, context: Context) -> None:
        self._http = context.http(
            base_url=context.environment.get("LUMEN_URL", "https://api.lumen.example"),
            headers={"X-Api-Key": context.environment["LUMEN_KEY"]},
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(self, action: str, method: str, path: str, **parts: Any) -> Answer:
        answer = await send(self._http, method, path, provider="lumen", action=action, **parts)
        if not answer.ok:
            raise answer.error()
        return answer

    async def submit(self, call: SubmitCall) -> Submission:
        request = call.request
        width, height = frame_size(call.spec, request) or (0, 0)
        body: dict[str, Any] = {
            "model": call.spec.id.partition("/")[2],
            "text": request.prompt,
            "length": round(request.duration or 0),
            "width": width,
            "height": height,
            "mood": call.options["mood"],
            "note": call.client_ref,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        answer = await self._ask("submit", "POST", "/jobs", timeout=call.timeout, json=body)
        job = answer.json(Job)
        return Submission(provider_job_id=answer.id(job.id), request_id=answer.request_id, reply=answer.text)

    async def poll(self, job: ProviderJob) -> Snapshot:
        found = (await self._ask("poll", "GET", f"/jobs/{job.provider_job_id}")).json(Job)
        status = STATES.get(found.state)
        return Snapshot(
            status=status or JobStatus.RUNNING,
            progress=found.done,
            message="" if status else f"Lumen says {found.state[:80]!r}, which is new to this plugin",
            outputs=tuple(Output(url=url) for url in found.clips),
            cost=found.cost,
            error=found.error if status is JobStatus.FAILED else None,
        )

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        answer = await self._ask("find", "GET", "/jobs", params={"note": call.client_ref})
        return tuple(
            Found(submission=Submission(provider_job_id=answer.id(job.id)), ours=job.note == call.client_ref)
            for job in answer.json(list[Job])
        )

    async def cancel(self, job: ProviderJob) -> Cancellation:
        answer = await send(self._http, "DELETE", f"/jobs/{job.provider_job_id}", provider="lumen", action="cancel")
        if answer.status == 409:
            return Cancellation(accepted=False, message="Lumen says that it is too late")
        if not answer.ok:
            raise answer.error()
        return Cancellation(accepted=True, cost=answer.json(Job).cost)
