"""Models that no catalogue describes: their provider is asked for one, and what it says is kept under the user's home.

It is asked only for a name that pins it (``provider/name``) and that nothing else explains, and for one that catalogues
know in outline only; once a day at most. Nothing else that answers a question before a job touches the network. When
the provider cannot be asked, what it said before is good enough. One that answers from this machine is asked each time.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from .errors import MissingCredentialsError, PluginError, ProviderError, ProviderUnavailableError, VideogenError
from .plugins import Plugins
from .provider import Context, Provider
from .redaction import cause_of, said as told_by
from .settings import Settings
from .spec import ModelSpec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Discovery"]

_SECONDS = 30.0
_LONGEST_NAME = 1000  # characters
_LONGEST_KEPT = 150  # likewise, of one that becomes the name of a file


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A file: what a provider said, when, and the version of the plugin that read it.

    One that is gone stays there, since jobs may be under way that need to be known.
    """

    asked: datetime
    plugin: str
    spec: ModelSpec
    gone: bool = False


class Discovery:
    """Finds models at their providers.

    Args:
        settings: Where home is, and what providers may be told.
        plugins: The plugins of the client.
        now: The time, for tests.
    """

    def __init__(
        self, settings: Settings, plugins: Plugins, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings = settings
        self._plugins = plugins
        self._now = now
        self._found: dict[str, ModelSpec | None] = {}
        self._lock = threading.Lock()

    def knows_how(self, offer: str) -> bool:
        """Whether the provider that a name pins can be asked for models."""
        provider, slash, name = offer.partition("/")
        if not (slash and name) or len(name) > _LONGEST_NAME or provider not in self._plugins.names():
            return False
        plugin = self._plugins.load(provider).provider
        if plugin is None or type(plugin).discover is Provider.discover:
            return False
        return plugin.discovery_seconds <= 0 or len(name) <= _LONGEST_KEPT

    def find(self, offer: str) -> ModelSpec | None:
        """A model that no catalogue lists; None when its provider has none of that name, or cannot be asked for any.

        Args:
            offer: ``provider/name``, in lower case.

        Raises:
            MissingCredentialsError: The provider cannot be asked without a key.
            ProviderError: It cannot be asked now, and was not before.
            VideogenError: It has such a model, and that makes no videos, say.
        """
        if not self.knows_how(offer):
            return None
        with self._lock:
            if not self._keeps(offer):
                return self.ask(offer)
            if offer not in self._found:
                self._found[offer] = self._kept_or_asked(offer)
            return self._found[offer]

    def kept(self, offer: str, *, gone: bool = False) -> ModelSpec | None:
        """What its provider said of a model before, however long ago; None when it said nothing. Asks nobody.

        Args:
            offer: ``provider/name``.
            gone: Whether one that the provider had, and has no more, will do.
        """
        if (found := self._found.get(offer)) is not None:
            return found
        known = self._read(offer)
        return None if known is None or (known.gone and not gone) else known.spec

    def _keeps(self, offer: str) -> bool:
        return self._plugins.provider(offer.partition("/")[0]).discovery_seconds > 0

    def _kept_or_asked(self, offer: str) -> ModelSpec | None:
        known = self._read(offer)
        if known is not None and self._is_fresh(offer, known):
            return known.spec
        try:
            return self.ask(offer)
        except VideogenError as error:
            if known is None or known.gone or not isinstance(error, ProviderError):
                raise
            return known.spec

    def ask(self, offer: str) -> ModelSpec | None:
        """What its provider says now, whatever it has said before; it is kept.

        Raises:
            VideogenError: As for `find`.
            PluginError: The plugin broke.
        """
        name, _, rest = offer.partition("/")
        provider, settings = self._plugins.provider(name), self._settings.provider(name)
        try:
            provider.check_ready(self._settings.environment, settings)
        except MissingCredentialsError as error:
            said = f"What {offer} takes is in no catalogue, and {name} cannot be asked for it: {error.message}"
            raise MissingCredentialsError(said, hint=error.hint) from error
        found = _asked(provider, rest, self._context(name))
        if found is not None and found.id != offer:
            raise PluginError(f"The plugin {name!r} was asked for {offer} and found {found.id!r}.")
        if self._keeps(offer):
            self._write(offer, found)
        return found

    def _context(self, provider: str) -> Context:
        from . import transport

        return Context(
            settings=self._settings.provider(provider),
            environment=self._settings.environment,
            http=transport.client,
            folder=self._settings.folder(provider),
        )

    # --- what is kept

    def _path(self, offer: str) -> Path:
        provider, _, name = offer.partition("/")
        return self._settings.home / "discovered" / provider / f"{quote(name, safe='')}.json"

    def _version(self, offer: str) -> str:
        return self._plugins.plugin(offer.partition("/")[0]).version

    def _is_fresh(self, offer: str, known: _Kept) -> bool:
        age = self._now() - known.asked
        fresh = timedelta(seconds=self._plugins.provider(offer.partition("/")[0]).discovery_seconds)
        return timedelta(0) <= age < fresh and known.plugin == self._version(offer) and not known.gone

    def _read(self, offer: str) -> _Kept | None:
        try:
            found = msgspec.json.decode(self._path(offer).read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):  # of an older version, say
            return None
        return found if found.spec.id == offer else None

    def _write(self, offer: str, spec: ModelSpec | None) -> None:
        """Keep what was said. That it cannot be kept is no news: it is asked for again."""
        if spec is not None:
            kept = _Kept(asked=self._now(), plugin=self._version(offer), spec=spec)
        elif (known := self._read(offer)) is not None:
            kept = msgspec.structs.replace(known, gone=True)
        else:
            return
        path = self._path(offer)
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
            partial.write_bytes(msgspec.json.encode(kept))
            partial.replace(path)


def _asked(provider: Provider, name: str, context: Context) -> ModelSpec | None:
    """What a provider says of a name; in a thread of its own, since the caller may be on an event loop."""
    import anyio

    async def ask() -> ModelSpec | None:
        with anyio.fail_after(_SECONDS):
            return await provider.discover(name, context)

    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(anyio.run(ask))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, name="videogen-discovery", daemon=True)
    thread.start()
    thread.join()
    found = outcome[0]
    if found is None or isinstance(found, ModelSpec):
        return found
    if isinstance(found, VideogenError):
        raise found
    if isinstance(found, TimeoutError):
        raise ProviderUnavailableError(
            f"{provider.name} did not say within {_SECONDS:g} s whether it has a model {name}.", provider=provider.name
        )
    what = told_by(found) if isinstance(found, BaseException) else f"it returned {type(found).__name__}"
    cause = cause_of(found) if isinstance(found, BaseException) else None
    raise PluginError(f"The plugin {provider.name!r} could not look for {name}: {what}.") from cause
