"""Open connections to providers, one session each."""

from __future__ import annotations

from contextlib import suppress

import anyio

from .. import transport
from ..errors import PluginError, VideogenError
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
