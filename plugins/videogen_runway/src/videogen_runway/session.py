"""The session: one create, polls, a cancel that destroys nothing, and what the account has left."""

from __future__ import annotations

from typing import Any

from videogen_core import (
    Cancellation,
    Context,
    JobStatus,
    ModelSpec,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)
from videogen_core.outcomes import Answer
from videogen_core.pricing import quote

from . import tasks
from .account import at_once, summary
from .api import Api
from .bodies import body, endpoint
from .inputs import Inputs, check

__all__ = ["RunwaySession"]

_ASK_SECONDS = 60.0


class RunwaySession(Session):
    """Talks to Runway.

    Args:
        context: From the engine.
    """

    def __init__(self, context: Context) -> None:
        self._api = Api(context)
        self._inputs = Inputs(context, self._api)

    async def close(self) -> None:
        await self._inputs.close()
        await self._api.close()

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Check what no catalogue can say, load the SDK, and upload what is too large for the request."""
        check(call)
        await self._api.ready()
        return await self._inputs.prepare(call)

    async def submit(self, call: SubmitCall) -> Submission:
        said = body(call, call.prepared)
        path, seconds = f"/v1/{endpoint(call.request)}", max(call.timeout - 1, 1.0)
        handle = _quoted(call)  # before anything is paid for
        answer = await self._api.ask("POST", path, "submit", seconds, body=said, spec=call.spec)
        return Submission(
            provider_job_id=tasks.created(answer),
            handle=handle,
            request_id=answer.request_id,
            reply=answer.text,
        )

    async def poll(self, job: ProviderJob) -> Snapshot:
        path = f"/v1/tasks/{tasks.checked_id(job.provider_job_id)}"
        return tasks.snapshot(await self._api.ask("GET", path, "poll", _ASK_SECONDS, spec=job.spec), job)

    async def cancel(self, job: ProviderJob) -> Cancellation:
        """Stop a task. One that is over is left alone: the same request would delete it, and its clip."""
        found = await self.poll(job)
        if found.status not in (JobStatus.QUEUED, JobStatus.RUNNING):
            return Cancellation(accepted=False, message="it is over at Runway")
        await self._api.ask("DELETE", f"/v1/tasks/{job.provider_job_id}", "cancel", _ASK_SECONDS, spec=job.spec)
        return Cancellation(
            accepted=True,
            gone=True,
            message="cancelled at Runway, which forgets the task; what had begun is charged, so look at the balance",
        )

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        await self._api.ask("GET", f"/v1/tasks/{tasks.checked_id(provider_job_id)}", "adopt", _ASK_SECONDS)
        return Submission(provider_job_id=provider_job_id, handle=_quoted(call))

    async def concurrency(self, spec: ModelSpec) -> int | None:
        """What the account's tier allows of the model. More would be created too, and wait at Runway."""
        return at_once(await self._organization(), spec.vendor["id"])

    async def ping(self) -> str:
        return summary(await self._organization())

    async def _organization(self) -> Answer:
        return await self._api.ask("GET", "/v1/organization", "ping", _ASK_SECONDS)


def _quoted(call: SubmitCall) -> dict[str, Any]:
    """The most that the task should cost, for a poll to compare with what Runway expects."""
    most = quote(call.spec, call.request).high
    return {} if most is None else {"quoted": f"{most:f}"}
