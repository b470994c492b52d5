"""Open connections to providers, one session each, and how many jobs may use one at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio

from .. import transport
from ..errors import ConfigurationError, PluginError, VideogenError
from ..provider import Context, Session
from ..redaction import cause_of, said
from ..registry import Registry
from ..settings import Settings

__all__ = ["Sessions", "closed_meanwhile"]

_CLOSE_SECONDS = 5.0


def closed_meanwhile() -> VideogenError:
    """The error of whoever still works with a client that somebody has closed."""
    return VideogenError("The client was closed meanwhile.", hint="Resume the job.")


class Sessions:
    """The sessions of one event loop, opened when first wanted."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._open: dict[str, Session] = {}
        self._slots: dict[str, anyio.Semaphore] = {}
        self._closed = False

    def get(self, provider: str) -> Session:
        """The session of a provider.

        Raises:
            PluginError: The plugin is missing or broken, or its `connect` failed.
            ConfigurationError: Its credentials are missing.
        """
        if self._closed:
            raise closed_meanwhile()
        if provider not in self._open:
            plugin = self._registry.plugins.provider(provider)
            settings = self._settings.provider(provider)
            plugin.check_ready(self._settings.environment, settings)
            context = Context(
                settings=settings,
                environment=self._settings.environment,
                http=transport.client,
                folder=self._settings.folder(provider),
            )
            try:
                session = plugin.connect(context)
            except VideogenError:
                raise
            except Exception as error:
                raise PluginError(f"The plugin {provider!r} could not connect: {said(error)}.") from cause_of(error)
            if not isinstance(session, Session):
                raise PluginError(f"The plugin {provider!r} connected to {type(session).__name__}, not to a Session.")
            self._open[provider] = session
        return self._open[provider]

    @asynccontextmanager
    async def slot(self, provider: str) -> AsyncIterator[None]:
        """Wait until the provider may take one more job of ours."""
        if provider not in self._slots:
            plugin = self._registry.plugins.provider(provider)
            table = self._settings.provider(provider)
            size = table.get("concurrency") or self._settings.concurrency or plugin.concurrency
            if not isinstance(size, int) or size < 1:
                raise ConfigurationError(f"providers.{provider}.concurrency: {size!r} is no number of jobs, from 1.")
            self._slots[provider] = anyio.Semaphore(size)
        async with self._slots[provider]:
            yield

    def closed(self) -> bool:
        """Whether no session is given out any more."""
        return self._closed

    def refuse(self) -> None:
        """Give no session out any more; those in use stay open until `close`."""
        self._closed = True

    async def close(self) -> None:
        """Close every session; one that fails to does not keep the others open."""
        self.refuse()
        while self._open:
            _, session = self._open.popitem()
            with suppress(Exception), anyio.CancelScope(shield=True), anyio.move_on_after(_CLOSE_SECONDS):
                await session.close()
