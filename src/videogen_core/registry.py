"""Every offer that can be used here: plugins' catalogues with the user's own data laid over them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from pathlib import Path

import msgspec

from .catalog import Catalog, CatalogFile, completed, parse_catalog, read_catalog
from .discovery import Discovery
from .errors import ConfigurationError, ModelNotFoundError, VideogenError
from .extensions import Extensions
from .plugins import Plugins
from .provider import Provider
from .request import VideoRequest
from .settings import Settings
from .spec import ModelSpec, Stage

__all__ = ["Registry", "tailored"]


class Registry:
    """Offers, names and readiness for one client.

    Args:
        settings: Where the user's catalogue is, and which plugins to load.
        extra: Providers and extensions passed in by the caller.
    """

    def __init__(self, settings: Settings, *, extra: Iterable[object] = ()) -> None:
        self.settings = settings
        self.plugins = Plugins(settings.plugins, extra=extra, offers=self._offers)
        self.extensions = Extensions(self.plugins)
        self.discovery = Discovery(settings, self.plugins)
        self._catalogs: dict[tuple[str, ...], tuple[tuple[ModelSpec, ...], Catalog]] = {}
        self._outlines: dict[str, ModelSpec] = {}

    def _offers(self, provider: Provider) -> Iterable[ModelSpec]:
        settings, name = self.settings, provider.name
        return provider.offers(settings.environment, settings.provider(name), settings.folder(name))

    def catalog(self, names: Iterable[str] = (), *, latest: bool = True) -> Catalog:
        """The merged catalogue.

        Args:
            names: Model names that will be looked up. When each pins a provider (``veo/veo-3.1-fast``), only those
                plugins are loaded. One that no catalogue lists is looked for at the provider that it pins, where that
                can be asked, and so is one that catalogues know in outline only; see `discovery`.
            latest: Whether what a provider said of a model is to be a day old at most. False for the models of jobs
                that there are already: what was known then will do, and an outline will, too.

        Raises:
            ConfigurationError: The user's catalogue is wrong.
            VideogenError: A model had to be looked for, and its provider cannot be asked, or has it no more.
        """
        asked = tuple(names)
        wanted = self._plugins_for(asked)
        catalog = self._merged(wanted, ())
        found = {spec.id: spec for name in asked for spec in self._found(catalog, name, latest)}
        if not found:
            return catalog
        if any(spec.outline for spec in catalog.offers if spec.id in found):
            self._catalogs.clear()  # now it is known to those who do not name it, too
        return self._merged(wanted, tuple(found[key] for key in sorted(found)))

    def _found(self, catalog: Catalog, name: str, latest: bool) -> Iterator[ModelSpec]:
        """What the providers say of the models that a name means, where catalogues do not say it."""
        offers = [catalog.offers[position] for position in catalog.find(name)]
        if not offers:
            spec = self._asked(catalog.meant(name), latest)
            if spec is not None:
                yield spec
        rows = [self._outlines.get(spec.id, spec) for spec in offers if spec.lifecycle.stage is not Stage.RETIRED]
        if not all(row.outline for row in rows):
            return  # the name has offers that can be used as they are
        for row in rows:
            if self.discovery.knows_how(row.id) and (spec := self._completed(row, latest)) is not None:
                yield spec

    def _asked(self, offer: str, latest: bool) -> ModelSpec | None:
        """An offer as its provider describes it."""
        return (None if latest else self.discovery.kept(offer, gone=True)) or self.discovery.find(offer)

    def _completed(self, row: ModelSpec, latest: bool) -> ModelSpec | None:
        """An outline as its provider completes it; None when it does not, and that does no harm."""
        try:
            live = self._asked(row.id, latest)
        except VideogenError:
            if latest:
                raise
            return None
        if live is None and latest:
            said = f"{row.provider} has no model of that name that this account may use"
            raise ModelNotFoundError(
                f"{row.id} is in the catalogue, and {said}.", hint="`videogen models` lists what there is."
            )
        return None if live is None else completed(row, live)

    def _merged(self, wanted: tuple[str, ...], found: tuple[ModelSpec, ...]) -> Catalog:
        key = (*wanted, *(spec.id for spec in found))
        known = self._catalogs.get(key)
        if known is None or known[0] != found:  # a provider may say something else of the same name by now
            known = self._catalogs[key] = (found, self._merge(wanted, found))
        return known[1]

    def _plugins_for(self, names: tuple[str, ...]) -> tuple[str, ...]:
        known = self.plugins.names()
        heads = [name.strip().lower().partition("/") for name in names]
        if names and not self._user_data and all(slash and head in known for head, slash, _ in heads):
            return tuple(sorted({head for head, _, _ in heads}))
        return tuple(known)

    @property
    def _user_data(self) -> bool:
        return bool(self.settings.catalog or self.settings.inline_catalog)

    def _merge(self, wanted: tuple[str, ...], found: tuple[ModelSpec, ...]) -> Catalog:
        given = {spec.id: spec for spec in found}
        shipped = [spec for name in wanted for spec in self.plugins.load(name).models]
        rows = [self._best(row, given) for row in (*shipped, *self._more(shipped, wanted))]
        ids = {row.id for row in rows}
        catalog = Catalog([*rows, *(spec for spec in found if spec.id not in ids)])
        path = self.settings.catalog
        if path is not None:
            file = parse_catalog(_read(path), origin=str(path))
            catalog = self._laid_over(catalog, file, given, str(path))
        if self.settings.inline_catalog:
            origin = "videogen.toml"
            file = read_catalog(self.settings.inline_catalog, origin=origin)
            catalog = self._laid_over(catalog, file, given, origin)
        return catalog

    def _more(self, shipped: Iterable[ModelSpec], wanted: tuple[str, ...]) -> Iterator[ModelSpec]:
        """What extensions add; an offer that its provider has itself stays the provider's."""
        taken = {spec.id for spec in shipped}
        known = self.plugins.names()
        for spec in self.extensions.models:
            if spec.id in taken:
                self.extensions.blame_for(spec.id, "is in its provider's own catalogue")
            elif spec.provider in wanted or spec.provider not in known:
                yield spec

    def _best(self, row: ModelSpec, given: Mapping[str, ModelSpec]) -> ModelSpec:
        """A row of a catalogue; of an outline the completed offer, where there is one."""
        if row.outline is None:
            self._outlines.pop(row.id, None)
            return row
        self._outlines[row.id] = row
        live = self.discovery.kept(row.id)
        return given.get(row.id) or (row if live is None else completed(row, live))

    def _laid_over(self, catalog: Catalog, file: CatalogFile, given: Mapping[str, ModelSpec], origin: str) -> Catalog:
        """A catalogue with a user's file applied. What the file says of a model that is asked for only when it is
        named waits until it is."""
        models = tuple(self._best(row, given) for row in file.models)
        known = {spec.id: spec for spec in (*catalog.offers, *models)}
        override = {}
        for id_, changes in file.override.items():
            row = known.get(id_)
            if row is None and self.discovery.knows_how(id_):
                continue
            if "modes" in changes:
                self._outlines.pop(id_, None)
            elif row is not None and row.outline:
                continue
            override[id_] = changes
        return catalog.merged(msgspec.structs.replace(file, models=models, override=override), origin=origin)

    def not_ready(self, catalog: Catalog | None = None, among: Sequence[ModelSpec] = ()) -> dict[str, str]:
        """Why a provider, by its adapter id, or a single offer, by its own, cannot be used now.

        A provider may be broken, blocked, without credentials, or named only in a catalogue; of one that can be used,
        an offer may need credentials of its own.

        Args:
            catalog: Offers that are looked at too: a user's file may name some whose provider no plugin serves.
            among: Look at no offers but these; none = all of them.
        """
        known = self.plugins.names()
        named = {spec.provider for spec in catalog.offers} if catalog is not None else set()
        reasons = dict.fromkeys(sorted(named - set(known)), "no plugin of that name is installed")
        for name in known:
            reason = self.readiness(name)
            if reason is not None:
                reasons[name] = reason
        if catalog is not None:
            reasons.update(self._offers_not_ready(among or catalog.offers, reasons))
        return reasons

    def _offers_not_ready(self, offers: Sequence[ModelSpec], reasons: Mapping[str, str]) -> dict[str, str]:
        """Offer id -> why it cannot be used although its provider can."""
        own = {
            name: plugin.provider
            for name in self.plugins.names()
            if name not in reasons
            and (plugin := self.plugins.load(name)).provider is not None
            # most have no rule of their own, and a catalogue may be long
            and type(plugin.provider).check_offer is not Provider.check_offer
        }
        found = {}
        for spec in offers if own else ():
            if (provider := own.get(spec.provider)) is None:
                continue
            check = partial(
                provider.check_offer, spec, self.settings.environment, self.settings.provider(spec.provider)
            )
            if (reason := _refusal(check)) is not None:
                found[spec.id] = reason
        return found

    def readiness(self, name: str) -> str | None:
        """Why a provider cannot be used, in one sentence; None when it can. Looks at settings, not at the network."""
        plugin = self.plugins.load(name)
        if plugin.provider is None:
            return plugin.error
        return _refusal(partial(plugin.provider.check_ready, self.settings.environment, self.settings.provider(name)))

    def remark(self, spec: ModelSpec, request: VideoRequest) -> str:
        """How a provider would go about a request; empty where it has nothing to say, or fails to say it."""
        name, settings = spec.provider, self.settings
        provider = self.plugins.load(name).provider if name in self.plugins.names() else None
        # most have nothing to say, and a route may have many candidates
        if provider is None or type(provider).remark is Provider.remark:
            return ""
        try:
            return str(
                provider.remark(spec, request, settings.environment, settings.provider(name), settings.folder(name))
            )
        except Exception:  # a plugin's bug, and no reason not to show the route
            return ""

    def rests(self, name: str) -> bool:
        """Whether a provider is left alone for a while when it keeps failing."""
        provider = self.plugins.load(name).provider if name in self.plugins.names() else None
        return provider is None or provider.rests

    def notes(self, name: str) -> list[str]:
        """What a provider knows of this installation, in sentences; nothing where it fails to say it."""
        provider = self.plugins.load(name).provider
        if provider is None:
            return []
        settings = self.settings
        try:
            said = provider.notes(settings.environment, settings.provider(name), settings.folder(name))
            return [str(sentence) for sentence in said]
        except Exception:  # a plugin's bug, and no reason not to examine the rest
            return []

    def tailoring(self, offers: Iterable[ModelSpec]) -> dict[str, Callable[[ModelSpec, VideoRequest], ModelSpec]]:
        """Of the providers of some offers, those whose prices follow a request's options: how to ask each of them."""
        found: dict[str, Callable[[ModelSpec, VideoRequest], ModelSpec]] = {}
        for name in {spec.provider for spec in offers} & set(self.plugins.names()):
            provider = self.plugins.load(name).provider
            if provider is not None and type(provider).tailored is not Provider.tailored:
                found[name] = partial(tailored, provider, self.settings)
        return found

    def hint(self, name: str) -> str | None:
        """What to install for a model name that no plugin offers, where the core knows."""
        key = name.lower()
        for distribution, pattern in _known_models():
            plugin = distribution.removeprefix("videogen-")
            if plugin not in self.plugins.names() and re.search(pattern, key):
                return f"`pip install {distribution}` offers such a model."
        return None


def tailored(provider: Provider, settings: Settings, spec: ModelSpec, request: VideoRequest) -> ModelSpec:
    """An offer with the prices and the latency that its provider gives it for one request; see `Provider.tailored`."""
    name = spec.provider
    try:
        found = provider.tailored(spec, request, settings.environment, settings.provider(name), settings.folder(name))
        return msgspec.structs.replace(spec, prices=found.prices, latency=found.latency) if found is not spec else spec
    except Exception:  # a plugin's bug; what the catalogue says stands
        return spec


def _refusal(check: Callable[[], None]) -> str | None:
    """Why a plugin's check of readiness fails, in one sentence; None when it does not."""
    try:
        check()
    except VideogenError as error:
        return error.message or type(error).__name__
    except (Exception, SystemExit) as error:  # a plugin's bug must not take the others down
        from .redaction import redact

        return redact(f"its readiness check failed: {type(error).__name__}: {error}")
    return None


@cache
def _known_models() -> tuple[tuple[str, str], ...]:
    text = resources.files("videogen_core").joinpath("known_plugins.toml").read_text(encoding="utf-8")
    return tuple((row["distribution"], row["models"]) for row in tomllib.loads(text)["plugins"])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The catalogue {path} cannot be read: {error}.") from error
