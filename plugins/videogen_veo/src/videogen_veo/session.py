"""The session: each request goes to the API that has the model, and speaks its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from videogen_core import (
    Cancellation,
    ConfigurationError,
    Context,
    GenerationFailedError,
    JobStatus,
    ModelSpec,
    Output,
    ProviderJob,
    ResultExpiredError,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)
from videogen_core.outcomes import usable_id

from . import access
from .clients import Clients
from .failures import asked, reading
from .inputs import Inputs, check
from .interactions import Interactions
from .operations import Operations
from .storage import Buckets, Files, needs_credentials

__all__ = ["VeoSession"]

_PING_SECONDS = 30.0
_EPOCH = datetime.fromtimestamp(0, UTC)  # when a job was made that a person has looked up; it plays no part


class VeoSession(Session):
    """Talks to Google.

    Args:
        context: From the engine.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clients = Clients(context)
        self._files = Files(context, self._clients)
        self._buckets = Buckets(context, self._clients)
        self._inputs = Inputs(context, self._clients, self._files, self._buckets)
        self._protocols: dict[str, Operations | Interactions] = {
            "operations": Operations(self._clients),
            "interactions": Interactions(self._clients),
        }

    async def close(self) -> None:
        await self._clients.close()

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Load the SDK and the credentials, and upload what does not go into the request itself."""
        reach = self._reach(call)
        check(call, reach)
        await self._clients.get(reach.backend, reach.location)
        return await self._inputs.prepare(call, reach)

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        await self._inputs.clean_up(leftovers)

    async def submit(self, call: SubmitCall) -> Submission:
        reach = self._reach(call)
        with reading("submit", call.spec):
            submission = await self._protocol(call.spec).create(call, reach, max(call.timeout - 1, 1.0))
            if not usable_id(submission.provider_job_id):
                raise ValueError("the id")
        handle = {"backend": reach.backend, "location": reach.location, "uploads": call.prepared["uploads"]}
        return replace(submission, handle=handle)

    async def poll(self, job: ProviderJob) -> Snapshot:
        with reading("poll", job.spec):
            return await self._look(job)

    async def _look(self, job: ProviderJob) -> Snapshot:
        found = await self._protocol(job.spec).look(job)
        outputs = []
        try:
            for output in found.outputs:
                ready = await self._fetchable(output)
                if ready is None:
                    return Snapshot(
                        status=JobStatus.RUNNING, progress=1.0, message="Google is storing the clip", poll_after=2.0
                    )
                outputs.append(ready)
        except ResultExpiredError:
            return replace(found, outputs=(), expired=True)
        except GenerationFailedError as error:
            return Snapshot(status=JobStatus.FAILED, cost=found.cost, error=error)
        return replace(found, outputs=tuple(outputs))

    async def cancel(self, job: ProviderJob) -> Cancellation:
        with reading("cancel", job.spec):
            return await self._protocol(job.spec).stop(job)

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        reach = self._reach(call)
        handle = {"backend": reach.backend, "location": reach.location}
        job = ProviderJob(
            spec=call.spec,
            request=call.request,
            client_ref=call.client_ref,
            provider_job_id=provider_job_id,
            handle=handle,
            submitted_at=_EPOCH,
        )
        await self._protocol(call.spec).look(job)
        return Submission(provider_job_id=provider_job_id, handle=handle)

    async def ping(self) -> str:
        environment, settings = self._context.environment, self._context.settings
        answers = []
        if access.api_key(environment, settings):
            client = await self._clients.get("gemini")
            await asked(lambda: client.aio.models.list(config={"page_size": 1}), "ping", _PING_SECONDS)
            answers.append("the Gemini API takes the key")
        if access.credentials_file(environment, settings):
            await self._clients.token()
            answers.append("Google gives a token for Vertex AI")
        return ", ".join(answers) or await super().ping()

    # --- the parts

    def _reach(self, call: SubmitCall) -> access.Access:
        return access.access_to(call.spec, self._context.environment, self._context.settings)

    def _protocol(self, spec: ModelSpec) -> Operations | Interactions:
        """What speaks the protocol of a model.

        Raises:
            ConfigurationError: The catalogue names one that there is not.
        """
        name = str(spec.vendor.get("protocol"))
        if name not in self._protocols:
            raise ConfigurationError(f"{spec.id}: vendor.protocol: {name!r} is none of {', '.join(self._protocols)}.")
        return self._protocols[name]

    async def _fetchable(self, output: Output) -> Output | None:
        """A clip with the address that it can be fetched from; None while it is not ready."""
        if output.url is None or not needs_credentials(output.url):
            return output
        if output.url.startswith("gs://"):
            url, headers = await self._buckets.download(output.url)
        elif await self._files.ready(output.url):
            url, headers = self._files.download(output.url)
        else:
            return None
        return replace(output, url=url, headers=headers)
