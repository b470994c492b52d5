"""Find, load and isolate plugins: providers, and extensions of everything else.

Entry points are read once per process and kept as text; a provider is imported when it is first wanted, an extension
when something is first asked that it may answer. One that fails, exits, or claims the name of another is reported and
never takes the others down.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, Literal

import msgspec

from .errors import PluginError
from .provider import OLDEST_PLUGIN_API, PLUGIN_API, Provider
from .spec import ModelSpec

__all__ = ["EXTENSIONS", "GROUP", "Plugin", "Plugins", "sound_specs"]

GROUP = "videogen.plugins"
EXTENSIONS = "videogen.extensions"
_MOST_MODELS = 20_000


@dataclass(kw_only=True)
class Plugin:
    """One installed plugin and what became of it.

    Attributes:
        name: Entry-point name, which is the provider's.
        kind: Whether it serves a provider or extends something else.
        target: Module that the entry point names; empty for one that was passed in.
        distribution: Name of the distribution that ships it.
        version: Its version.
        state: ``found`` until it is wanted, then ``loaded`` or ``failed``; ``blocked`` by the user's settings.
        error: Why it failed, in one sentence.
        details: The traceback, for ``doctor``.
        api: The `PLUGIN_API` that it was written for; None until it is loaded.
        provider: What it serves.
        models: The provider's offers, or an extension's.
        hooks: Names of the hooks that it implements.
        calls: Calls those hooks, by name.
        faults: What its hooks have done wrong in this process, one sentence each.
    """

    name: str
    kind: Literal["provider", "extension"] = "provider"
    target: str = ""
    distribution: str = ""
    version: str = ""
    state: Literal["found", "loaded", "failed", "blocked"] = "found"
    error: str = ""
    details: str = ""
    api: int | None = None
    provider: Provider | None = None
    models: tuple[ModelSpec, ...] = ()
    hooks: tuple[str, ...] = ()
    calls: dict[str, Any] = field(default_factory=dict, repr=False)
    faults: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Name and distribution, for messages."""
        shipped = f"{self.distribution} {self.version}".strip().strip("()")
        return f"{self.name!r} ({shipped})" if shipped else repr(self.name)


@cache
def _entry_points() -> tuple[importlib.metadata.EntryPoint, ...]:
    """The scan costs milliseconds per hundred distributions and the standard library keeps none of it."""
    found = importlib.metadata.entry_points()
    return (*found.select(group=GROUP), *found.select(group=EXTENSIONS))


_PASSED_IN = "(passed in)"


class Plugins:
    """The plugins of one client.

    Args:
        selection: Names to load, ``-name`` to block; empty = all. Comma separated, as ``VIDEOGEN_PLUGINS`` has it.
        extra: Passed in by the caller, so that they need no packaging: providers, and modules or objects whose
            functions are marked with ``hookimpl``. One goes before an installed one of its name.
        entry_points: Instead of the installed ones, for tests.
        offers: Asks a provider for its offers; the default asks for those of its catalogue.
    """

    def __init__(
        self,
        selection: str = "",
        *,
        extra: Iterable[object] = (),
        entry_points: Sequence[importlib.metadata.EntryPoint] | None = None,
        offers: Callable[[Provider], Iterable[ModelSpec]] = lambda provider: provider.models(),
    ) -> None:
        self._offers = offers
        self._lock = threading.RLock()
        self._plugins: dict[str, Plugin] = {}
        self._extensions: dict[str, Plugin] = {}
        words = [word.strip().lower() for word in selection.split(",") if word.strip()]
        self._blocked = {word[1:] for word in words if word.startswith("-")}
        self._allowed = {word for word in words if not word.startswith("-")}
        for entry_point in _entry_points() if entry_points is None else entry_points:
            self._record(entry_point)
        for each in extra:
            if isinstance(each, Provider):
                self._add(each)
            else:
                self._extend(each)

    def _record(self, entry_point: importlib.metadata.EntryPoint) -> None:
        name = entry_point.name.strip().lower()
        dist = entry_point.dist
        extends = entry_point.group == EXTENSIONS
        table = self._extensions if extends else self._plugins
        plugin = Plugin(
            name=name,
            kind="extension" if extends else "provider",
            target=entry_point.value,
            distribution=dist.name if dist else "",
            version=dist.version if dist else "",
        )
        other = table.get(name)
        if other is not None and (other.distribution, other.target) == (plugin.distribution, plugin.target):
            return  # the same distribution seen twice on the path
        if other is not None:
            clash = f"{other.distribution or other.target} and {plugin.distribution or plugin.target}"
            plugin.state, plugin.error = "failed", f"two plugins are named {name!r} ({clash}); both are refused"
        elif name in self._blocked or (self._allowed and name not in self._allowed):
            plugin.state, plugin.error = "blocked", "blocked by VIDEOGEN_PLUGINS"
        table[name] = plugin

    def _add(self, provider: Provider) -> None:
        name = getattr(provider, "name", "")
        known = self._plugins.get(name)
        if known is not None and known.distribution == _PASSED_IN:
            raise PluginError(f"Two providers named {name!r} were passed in.")
        plugin = Plugin(name=name, distribution=_PASSED_IN)
        self._plugins[name] = plugin
        self._adopt(plugin, provider)

    def _extend(self, extension: object) -> None:
        name = str(getattr(extension, "__name__", type(extension).__name__)).rpartition(".")[2].lower()
        known = self._extensions.get(name)
        if known is not None and known.distribution == _PASSED_IN:
            raise PluginError(f"Two extensions named {name!r} were passed in.")
        plugin = Plugin(name=name, kind="extension", distribution=_PASSED_IN)
        _take_hooks(plugin, extension)
        self._extensions[name] = plugin

    def names(self) -> list[str]:
        """Every provider's name, sorted; imports nothing."""
        return sorted(self._plugins)

    def extensions(self) -> list[Plugin]:
        """The extensions that can be used, sorted by name; imports those that have not been."""
        found = [self._loaded(self._extensions[name]) for name in sorted(self._extensions)]
        return [plugin for plugin in found if plugin.state == "loaded"]

    def plugin(self, name: str) -> Plugin:
        """What is known of one plugin, without loading it.

        Raises:
            PluginError: It is not installed.
        """
        if name not in self._plugins:
            raise PluginError(
                f"No plugin named {name!r} is installed.", hint=f"Installed: {', '.join(self.names()) or 'none'}."
            )
        return self._plugins[name]

    def load(self, name: str) -> Plugin:
        """Import one plugin, if that has not been done; its ``state`` says how it went.

        Raises:
            PluginError: It is not installed.
        """
        return self._loaded(self.plugin(name))

    def _loaded(self, plugin: Plugin) -> Plugin:
        with self._lock:
            if plugin.state == "found":
                try:
                    module = importlib.metadata.EntryPoint(plugin.name, plugin.target, GROUP).load()
                    _take_hooks(plugin, module)
                    if plugin.kind == "provider":
                        self._adopt(plugin, plugin.calls["videogen_provider"]())
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # a plugin's sys.exit() must not end the program
                    from .redaction import redact

                    plugin.state, plugin.error = "failed", redact(_why(error))
                    plugin.details = redact(traceback.format_exc())
        return plugin

    def _adopt(self, plugin: Plugin, provider: object) -> None:
        _verify(plugin, provider)
        assert isinstance(provider, Provider)
        kind, offers = type(provider), self._offers(provider)
        plain = kind.models is Provider.models and kind.offers is Provider.offers  # from a file, and checked there
        models = tuple(offers) if plain else sound_specs(offers)
        for spec in models:
            if spec.provider != plugin.name:
                raise PluginError(f"it offers {spec.id!r}, which is not {plugin.name}/…")
        plugin.provider, plugin.models, plugin.state = provider, models, "loaded"
        plugin.api = provider.plugin_api

    def examine(self, seconds: float = 10.0) -> None:
        """Import each plugin in a process of its own first; one that hangs there, or ends it, is never imported here.

        Args:
            seconds: For all of them together.
        """
        import subprocess
        import sys

        environment = {name: value for name, value in os.environ.items() if name in _HARMLESS}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        children = []
        for plugin in (*self._plugins.values(), *self._extensions.values()):
            if plugin.state == "found" and not plugin.target.startswith("videogen_core."):
                command = [sys.executable, "-c", _IMPORT, plugin.name, plugin.target]
                nothing, heard = subprocess.DEVNULL, subprocess.PIPE
                child = subprocess.Popen(command, stdin=nothing, stdout=heard, stderr=nothing, env=environment)
                children.append((plugin, child))
        deadline = time.monotonic() + seconds
        for plugin, child in children:
            try:
                said, _ = child.communicate(timeout=max(deadline - time.monotonic(), 0.01))
                error = None if b"imported" in said else f"importing it ended the process ({_ending(child.returncode)})"
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                error = f"importing it took more than {seconds:g} s"
            if error is not None:
                plugin.state, plugin.error = "failed", error

    def load_all(self) -> list[Plugin]:
        """Load every plugin and return them: providers by name, then extensions."""
        extensions = [self._loaded(self._extensions[name]) for name in sorted(self._extensions)]
        return [*(self.load(name) for name in self.names()), *extensions]

    def provider(self, name: str) -> Provider:
        """One plugin's provider.

        Raises:
            PluginError: Not installed, blocked, or it failed to load.
        """
        plugin = self.load(name)
        if plugin.provider is None:
            raise PluginError(
                f"The plugin {plugin.origin} cannot be used: {plugin.error.rstrip('.')}.",
                hint="`videogen doctor` shows the details.",
            )
        return plugin.provider


_HARMLESS = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
# What it raises is told by the process that asks, which imports it next.
_IMPORT = """
import importlib.metadata, sys
try:
    importlib.metadata.EntryPoint(sys.argv[1], sys.argv[2], "videogen.plugins").load()
except BaseException:
    pass
print("imported", flush=True)
"""


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _why(error: BaseException) -> str:
    """What went wrong while a plugin was loaded, in a sentence."""
    if isinstance(error, PluginError):
        return error.message
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, ImportError) and str(error.name).startswith("videogen_core"):
        version = importlib.metadata.version("videogen-core")
        said += f". It may be written for another version of videogen-core; this is {version}"
    return said


def _take_hooks(plugin: Plugin, module: object) -> None:
    """Find the hooks of a module or object, and check that they can be called as they will be.

    Raises:
        PluginError: It implements none, or one that there is not.
    """
    import pluggy

    from . import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)  # one each: what a plugin registers cannot touch the others
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, plugin.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(" ".join(str(error).split())) from error
    known = {name: getattr(manager.hook, name) for name in hookspecs.__all__ if hasattr(manager.hook, name)}
    calls = {name: hook for name, hook in known.items() if hook.get_hookimpls()}
    if plugin.kind == "provider" and "videogen_provider" not in calls:
        raise PluginError("it implements no videogen_provider hook")
    if plugin.kind == "extension":
        if not calls.keys() - {"videogen_provider"}:
            raise PluginError("it implements no hook of an extension: are its functions marked with @hookimpl?")
        plugin.api = _checked_api(getattr(module, "plugin_api", _FIRST_WITH_EXTENSIONS))
        plugin.state = "loaded"
    plugin.calls, plugin.hooks = dict(calls), tuple(sorted(calls))


_FIRST_WITH_EXTENSIONS = 2


def _checked_api(api: object) -> int:
    """The version of the interface that a plugin says it was written for.

    Raises:
        PluginError: This core does not serve it.
    """
    if not isinstance(api, int) or isinstance(api, bool):
        raise PluginError(f"its plugin_api is {api!r}; it is a whole number, such as {PLUGIN_API}")
    if api > PLUGIN_API:
        raise PluginError(
            f"it was written for plugin API {api}, which is newer than this core's ({PLUGIN_API}): "
            "`pip install --upgrade videogen-core`"
        )
    if api < OLDEST_PLUGIN_API:
        raise PluginError(
            f"it was written for plugin API {api}, which this core serves no more (it serves {OLDEST_PLUGIN_API} to "
            f"{PLUGIN_API}): upgrade the plugin"
        )
    return api


def _verify(plugin: Plugin, provider: object) -> None:
    if provider is None:
        raise PluginError("its videogen_provider hook returned nothing")
    if not isinstance(provider, Provider):
        raise PluginError(f"its videogen_provider hook returned {type(provider).__name__}, not a Provider")
    _checked_api(provider.plugin_api)
    if provider.name != plugin.name:
        raise PluginError(f"its provider calls itself {provider.name!r}, its entry point says {plugin.name!r}")


def sound_specs(models: object) -> tuple[ModelSpec, ...]:
    """Offers that were made by code: as many as can be meant, and each as if it had been read from a file.

    Raises:
        PluginError: Something else is among them, or a value is not of its type, or not finite.
    """
    if not isinstance(models, Iterable):
        raise PluginError(f"its models are a {type(models).__name__}, not a list of ModelSpec")
    found = tuple(islice(models, _MOST_MODELS + 1))
    if len(found) > _MOST_MODELS:
        raise PluginError(f"it offers more than {_MOST_MODELS} models")
    for spec in found:
        if not isinstance(spec, ModelSpec):
            raise PluginError(f"it offers {str(spec)[:80]!r}, which is no ModelSpec")
    try:
        return tuple(map(_as_if_read, found))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise PluginError(f"one of its models is not sound: {error}") from error


def _as_if_read(spec: ModelSpec) -> ModelSpec:
    """By way of JSON, which knows neither NaN nor what is not plain data; what is the plugin's own stays as it is."""
    plain = msgspec.json.encode(msgspec.structs.replace(spec, vendor={}))
    return msgspec.structs.replace(msgspec.json.decode(plain, type=ModelSpec), vendor=spec.vendor)
