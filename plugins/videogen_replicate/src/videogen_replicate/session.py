"""The session: creates, asks for and cancels predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from videogen_core import (
    Cancellation,
    ConfigurationError,
    Context,
    Found,
    ModelSpec,
    ProviderJob,
    ProviderProtocolError,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)

from . import access, failures, finding
from .api import Api
from .arguments import model_input
from .predictions import ENDED, snapshot
from .uploads import Uploads

__all__ = ["ReplicateSession"]

_VERSION = re.compile(r"[0-9a-f]{64}")


class ReplicateSession(Session):
    """Talks to Replicate.

    Args:
        context: From the engine.
    """

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._cancel_after = access.cancel_after(context.settings)
        self._api = Api(context)
        self._uploads = Uploads(self._api)

    async def close(self) -> None:
        await self._api.close()

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Look up the version of a model that is called by version, and upload what is large."""
        version = await self._version(call.spec)
        return {**await self._uploads.prepare(call), "version": version}

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        await self._uploads.remove(leftovers.get("uploads"))

    async def submit(self, call: SubmitCall) -> Submission:
        media, version = call.prepared["media"], call.prepared["version"]
        body: dict[str, Any] = {"input": model_input(call.spec, call.request, call.options, media)}
        if version is not None:
            body["version"] = version
        if call.webhook_url is not None:
            body |= {"webhook": call.webhook_url, "webhook_events_filter": ["completed"]}
        path = "/v1/predictions" if version is not None else f"/v1/models/{_name(call.spec)}/predictions"
        answer = await self._api.ask(
            "POST",
            path,
            action="submit",
            timeout=max(call.timeout - 1, call.timeout / 2),  # ours is to end before the engine's
            json=body,
            headers={"Cancel-After": self._cancel_after},
        )
        if not answer.ok:
            raise failures.refused(answer, model=call.spec.id, create=True)
        told = answer.json(dict[str, Any])
        return Submission(
            provider_job_id=answer.id(told.get("id")),
            handle={"uploads": call.prepared["uploads"]},
            request_id=answer.request_id,
            reply=answer.text,
        )

    async def poll(self, job: ProviderJob) -> Snapshot:
        told = await self._prediction(job.provider_job_id, action="poll", model=job.spec.id)
        rate = access.usd_per_second(_name(job.spec), self._settings) if _by_version(job.spec) else None
        return snapshot(told, model=job.spec.id, usd_per_second=rate)

    async def cancel(self, job: ProviderJob) -> Cancellation:
        answer = await self._api.ask("POST", f"{_path(job.provider_job_id)}/cancel", action="cancel")
        if not answer.ok:
            raise failures.refused(answer, model=job.spec.id)
        word = str(answer.json(dict[str, Any]).get("status"))
        if word in ENDED and word not in ("canceled", "aborted"):
            return Cancellation(accepted=False, message=f"Replicate says that it had {word} already")
        return Cancellation(accepted=True)

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        return await finding.find(self._api, call, started_at)

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        told = await self._prediction(provider_job_id, action="look up", model=call.spec.id)
        return Submission(provider_job_id=str(told.get("id") or provider_job_id))

    async def ping(self) -> str:
        answer = await self._api.ask("GET", "/v1/account", action="ping")
        if not answer.ok:
            raise failures.refused(answer)
        return f"the token works, for the account {str(answer.json(dict[str, Any]).get('username'))[:80]!r}"

    # --- the parts

    async def _prediction(self, name: str, *, action: str, model: str) -> dict[str, Any]:
        answer = await self._api.ask("GET", _path(name), action=action)
        if not answer.ok:
            raise failures.refused(answer, model=model)
        told = answer.json(dict[str, Any])
        if "status" not in told:
            raise answer.garbled("a prediction without a status")
        return told

    async def _version(self, spec: ModelSpec) -> str | None:
        """The version to call; None = the model is official, and called by its name."""
        if not _by_version(spec):
            return None
        if known := spec.vendor.get("version"):
            if not _VERSION.fullmatch(str(known)):
                raise ConfigurationError(f"{spec.id}: vendor.version: expected 64 hex digits, got {known!r}.")
            return str(known)
        answer = await self._api.read(f"/v1/models/{_name(spec)}", action="look up the version")
        if not answer.ok:
            raise failures.refused(answer, model=spec.id, create=True)
        latest = answer.json(dict[str, Any]).get("latest_version")
        found = latest.get("id") if isinstance(latest, Mapping) else None
        if not isinstance(found, str) or not _VERSION.fullmatch(found):
            raise ProviderProtocolError(
                f"Replicate names no version of {_name(spec)} that could be called.",
                provider="replicate",
                model=spec.id,
                accepted=False,
            )
        return found


def _name(spec: ModelSpec) -> str:
    """``owner/name`` at Replicate."""
    return spec.id.partition("/")[2]


def _by_version(spec: ModelSpec) -> bool:
    return spec.vendor.get("official") is False


def _path(prediction: str) -> str:
    return f"/v1/predictions/{quote(prediction, safe='')}"
