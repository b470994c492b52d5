"""The session: each job goes to the API that its model is on, and is asked for where it was made."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from videogen_core import (
    Cancellation,
    ConfigurationError,
    Context,
    Found,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)

from . import inputs, prompts
from .access import access
from .api import Api
from .v1 import V1
from .v2 import V2

__all__ = ["MinimaxSession"]


class MinimaxSession(Session):
    """Talks to MiniMax.

    Args:
        context: From the engine.
    """

    def __init__(self, context: Context) -> None:
        self._api = Api(context, access(context.environment, context.settings))
        self._v1, self._v2 = V1(self._api), V2(self._api)

    async def close(self) -> None:
        await self._api.close()

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Read the inputs, and refuse what cannot be sent; nothing is uploaded, since they travel in the create."""
        self._check_row(call)
        inputs.check(call)
        prompts.prompt(call.spec, call.request)
        return await inputs.prepare(call)

    async def submit(self, call: SubmitCall) -> Submission:
        name = str(call.spec.vendor.get("api"))
        submission = await self._named(name).create(call, max(call.timeout - 1, 1.0))
        return replace(submission, handle={"api": name})  # the ids of both look alike

    async def poll(self, job: ProviderJob) -> Snapshot:
        return await self._of(job).look(job)

    async def cancel(self, job: ProviderJob) -> Cancellation:
        made_by = self._of(job)
        if isinstance(made_by, V1):
            return Cancellation(accepted=False, message="MiniMax's V1 API, which has this model, cannot cancel")
        return await made_by.stop(job)

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        if call.spec.vendor.get("api") != "v2":
            return ()  # V1 has no list
        return await self._v2.find(call, started_at)

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        name = str(call.spec.vendor.get("api"))
        await self._named(name).check(provider_job_id, call)
        return Submission(provider_job_id=provider_job_id, handle={"api": name})

    async def ping(self) -> str:
        await self._v2.ping()
        return f"{urlsplit(self._api.reach.url).netloc} takes the key"

    def _check_row(self, call: SubmitCall) -> None:
        """Refuse a row of a user's own catalogue that leaves out what the create needs.

        Raises:
            ConfigurationError: Saying what is missing.
        """
        self._named(str(call.spec.vendor.get("api")))
        if not call.spec.vendor.get("model"):
            raise ConfigurationError(
                f"{call.spec.id}: its row does not say which model of MiniMax's it is.",
                hint='Write vendor = { model = "MiniMax-…", api = "v1" or "v2" } there.',
            )

    def _of(self, job: ProviderJob) -> V1 | V2:
        """The API that a job was made by, as its handle says."""
        return self._named(str(job.handle.get("api") or job.spec.vendor.get("api")))

    def _named(self, name: str) -> V1 | V2:
        """One of the two APIs.

        Raises:
            ConfigurationError: The catalogue or a handle names one that there is not.
        """
        if name not in ("v1", "v2"):
            raise ConfigurationError(f"minimax: {name!r} is neither of MiniMax's APIs, 'v1' and 'v2'.")
        return self._v1 if name == "v1" else self._v2
