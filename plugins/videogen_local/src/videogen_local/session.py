"""The session: each job goes to the engine of its offer, on this machine or on a server of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from typing import Any

from videogen_core import (
    Cancellation,
    ConfigurationError,
    Context,
    Found,
    ModelSpec,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)

__all__ = ["LocalSession"]

_ENGINES = {"here": "videogen_local.here", "server": "videogen_local.servers"}
"""The word that an offer's ``vendor`` table has for ``engine``, and the package whose ``Engine`` serves it."""


class LocalSession(Session):
    """Gives each job to the engine that its offer names; an engine opens with its first job.

    Args:
        context: From the core.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[str, Session] = {}

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        return await self._engine(call.spec).prepare(call)

    async def submit(self, call: SubmitCall) -> Submission:
        return await self._engine(call.spec).submit(call)

    async def poll(self, job: ProviderJob) -> Snapshot:
        return await self._engine(job.spec).poll(job)

    async def cancel(self, job: ProviderJob) -> Cancellation:
        return await self._engine(job.spec).cancel(job)

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        return await self._engine(call.spec).find(call, started_at)

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        return await self._engine(call.spec).adopt(call, provider_job_id)

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        await self._named("server" if "server" in leftovers else "here").clean_up(leftovers)

    async def ping(self) -> str:
        return "; ".join([await self._named(name).ping() for name in _ENGINES])

    async def close(self) -> None:
        while self._open:
            _, engine = self._open.popitem()
            await engine.close()

    def _engine(self, spec: ModelSpec) -> Session:
        name = str(spec.vendor.get("engine", "here"))
        if name not in _ENGINES:
            raise ConfigurationError(
                f"{spec.id}: its row names the engine {name!r}.", hint='Write vendor = { engine = "here" } or "server".'
            )
        return self._named(name)

    def _named(self, name: str) -> Session:
        if name not in self._open:
            engine: Session = import_module(_ENGINES[name]).Engine(self._context)
            self._open[name] = engine
        return self._open[name]
