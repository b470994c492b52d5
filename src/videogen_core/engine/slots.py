"""How many jobs may be at a provider at once; the others wait here, where waiting costs nothing.

What the user says goes first. Else it is what the account may have of the model, where the provider can be asked for
that, and else what the plugin says of the provider. A model's own limit never blocks its neighbours: a job waits for
its model first, and holds a place at the provider only when it can use it.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio import CapacityLimiter

from ..errors import ConfigurationError
from ..provider import Session
from ..registry import Registry
from ..settings import Settings
from ..spec import ModelSpec

__all__ = ["Slots"]

_ASK_SECONDS = 10.0


class Slots:
    """The places at every provider, in one event loop.

    Args:
        settings: What the user allows.
        registry: Where the plugins are.
        session: Gives the session of a provider, to ask it what the account may have.
    """

    def __init__(self, settings: Settings, registry: Registry, session: Callable[[str], Session]) -> None:
        self._settings = settings
        self._registry = registry
        self._session = session
        self._providers: dict[str, CapacityLimiter] = {}
        self._models: dict[str, _Model] = {}

    @asynccontextmanager
    async def take(self, spec: ModelSpec) -> AsyncIterator[None]:
        """Wait until the provider may take one more job of this model.

        Raises:
            ConfigurationError: The user's number is none.
            PluginError: The plugin is missing or broken.
        """
        mine = self._chosen(spec.provider)
        model = self._models.setdefault(spec.id, _Model())
        holder = object()  # one task may hold places for several jobs
        known = await model.learn(spec, self._session)
        await model.places.acquire_on_behalf_of(holder)
        try:
            if known and mine is None:
                yield
            else:
                async with self._of_provider(spec.provider, mine):
                    yield
        finally:
            model.places.release_on_behalf_of(holder)

    @asynccontextmanager
    async def _of_provider(self, provider: str, mine: int | None) -> AsyncIterator[None]:
        if provider not in self._providers:
            most = mine or self._registry.plugins.provider(provider).concurrency
            self._providers[provider] = CapacityLimiter(most)
        holder = object()
        await self._providers[provider].acquire_on_behalf_of(holder)
        try:
            yield
        finally:
            self._providers[provider].release_on_behalf_of(holder)

    def _chosen(self, provider: str) -> int | None:
        """What the user allows at this provider."""
        size = self._settings.provider(provider).get("concurrency") or self._settings.concurrency
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ConfigurationError(f"providers.{provider}.concurrency: {size!r} is no number of jobs, from 1.")
        return size


class _Model:
    """The places of one model: without end, until the account's limit is known."""

    def __init__(self) -> None:
        self.places = CapacityLimiter(math.inf)
        self._lock = anyio.Lock()
        self._asked = False

    async def learn(self, spec: ModelSpec, session: Callable[[str], Session]) -> bool:
        """Whether the account's limit is known. It is asked for once, by the second job: one alone needs none."""
        async with self._lock:
            if not self._asked and self.places.borrowed_tokens:
                self.places.total_tokens = await _told(spec, session(spec.provider)) or math.inf
                self._asked = True
        return self.places.total_tokens != math.inf


async def _told(spec: ModelSpec, session: Session) -> int | None:
    """The account's limit, if it is one: what cannot be learnt in time is no reason to stop."""
    try:
        with anyio.move_on_after(_ASK_SECONDS):
            most = await session.concurrency(spec)
            return most if isinstance(most, int) and not isinstance(most, bool) and most > 0 else None
    except Exception:
        return None
    return None
