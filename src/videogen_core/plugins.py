"""Find, load and isolate plugins.

Entry points are read once per process and kept as text; a plugin is imported when its provider is first wanted. One
that fails, exits, or claims the name of another is reported and never takes the others down.
"""

from __future__ import annotations

import importlib.metadata
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from .errors import PluginError
from .provider import PLUGIN_API, Provider
from .spec import ModelSpec

__all__ = ["GROUP", "Plugin", "Plugins"]

GROUP = "videogen.plugins"


@dataclass(kw_only=True)
class Plugin:
    """One installed plugin and what became of it.

    Attributes:
        name: Entry-point name, which is the provider's.
        target: Module that the entry point names; empty for one that was passed in.
        distribution: Name of the distribution that ships it.
        version: Its version.
        state: ``found`` until it is wanted, then ``loaded`` or ``failed``; ``blocked`` by the user's settings.
        error: Why it failed, in one sentence.
        details: The traceback, for ``doctor``.
    """

    name: str
    target: str = ""
    distribution: str = ""
    version: str = ""
    state: Literal["found", "loaded", "failed", "blocked"] = "found"
    error: str = ""
    details: str = ""
    provider: Provider | None = None
    models: tuple[ModelSpec, ...] = ()


@cache
def _entry_points() -> tuple[importlib.metadata.EntryPoint, ...]:
    """The scan costs milliseconds per hundred distributions and the standard library keeps none of it."""
    return tuple(importlib.metadata.entry_points(group=GROUP))


_PASSED_IN = "(passed in)"


class Plugins:
    """The plugins of one client.

    Args:
        selection: Names to load, ``-name`` to block; empty = all. Comma separated, as ``VIDEOGEN_PLUGINS`` has it.
        extra: Providers passed in by the caller, which need no packaging; one goes before an installed one of its name.
        entry_points: Instead of the installed ones, for tests.
        offers: Asks a provider for its offers; the default asks for those of its catalogue.
    """

    def __init__(
        self,
        selection: str = "",
        *,
        extra: Iterable[Provider] = (),
        entry_points: Sequence[importlib.metadata.EntryPoint] | None = None,
        offers: Callable[[Provider], Iterable[ModelSpec]] = lambda provider: provider.models(),
    ) -> None:
        self._offers = offers
        self._lock = threading.RLock()
        self._plugins: dict[str, Plugin] = {}
        words = [word.strip().lower() for word in selection.split(",") if word.strip()]
        self._blocked = {word[1:] for word in words if word.startswith("-")}
        self._allowed = {word for word in words if not word.startswith("-")}
        for entry_point in _entry_points() if entry_points is None else entry_points:
            self._record(entry_point)
        for provider in extra:
            self._add(provider)

    def _record(self, entry_point: importlib.metadata.EntryPoint) -> None:
        name = entry_point.name.strip().lower()
        dist = entry_point.dist
        plugin = Plugin(
            name=name,
            target=entry_point.value,
            distribution=dist.name if dist else "",
            version=dist.version if dist else "",
        )
        other = self._plugins.get(name)
        if other is not None and (other.distribution, other.target) == (plugin.distribution, plugin.target):
            return  # the same distribution seen twice on the path
        if other is not None:
            clash = f"{other.distribution or other.target} and {plugin.distribution or plugin.target}"
            plugin.state, plugin.error = "failed", f"two plugins are named {name!r} ({clash}); both are refused"
        elif name in self._blocked or (self._allowed and name not in self._allowed):
            plugin.state, plugin.error = "blocked", "blocked by VIDEOGEN_PLUGINS"
        self._plugins[name] = plugin

    def _add(self, provider: Provider) -> None:
        name = getattr(provider, "name", "")
        known = self._plugins.get(name)
        if known is not None and known.distribution == _PASSED_IN:
            raise PluginError(f"Two providers named {name!r} were passed in.")
        plugin = Plugin(name=name, distribution=_PASSED_IN)
        self._plugins[name] = plugin
        self._adopt(plugin, provider)

    def names(self) -> list[str]:
        """Every plugin's name, sorted; imports nothing."""
        return sorted(self._plugins)

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
        plugin = self.plugin(name)
        with self._lock:
            if plugin.state == "found":
                try:
                    self._adopt(plugin, _import(plugin))
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # a plugin's sys.exit() must not end the program
                    from .redaction import redact

                    plugin.state = "failed"
                    plugin.error = redact(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
                    plugin.details = redact(traceback.format_exc())
        return plugin

    def _adopt(self, plugin: Plugin, provider: object) -> None:
        _verify(plugin, provider)
        assert isinstance(provider, Provider)
        models = tuple(self._offers(provider))
        for spec in models:
            if not isinstance(spec, ModelSpec) or spec.provider != plugin.name:
                raise PluginError(f"it offers {getattr(spec, 'id', spec)!r}, which is not {plugin.name}/…")
        plugin.provider, plugin.models, plugin.state = provider, models, "loaded"

    def examine(self, seconds: float = 10.0) -> None:
        """Import each plugin in a process of its own first; one that hangs there, or ends it, is never imported here.

        Args:
            seconds: For all of them together.
        """
        import subprocess
        import sys

        environment = {name: value for name, value in os.environ.items() if name in _HARMLESS}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        children = {}
        for plugin in self._plugins.values():
            if plugin.state == "found" and not plugin.target.startswith("videogen_core."):
                command = [sys.executable, "-c", _IMPORT, plugin.name, plugin.target]
                nothing, heard = subprocess.DEVNULL, subprocess.PIPE
                children[plugin.name] = subprocess.Popen(
                    command, stdin=nothing, stdout=heard, stderr=nothing, env=environment
                )
        deadline = time.monotonic() + seconds
        for name, child in children.items():
            try:
                said, _ = child.communicate(timeout=max(deadline - time.monotonic(), 0.01))
                error = None if b"imported" in said else f"importing it ended the process ({_ending(child.returncode)})"
            except subprocess.TimeoutExpired:
                child.kill()
                child.communicate()
                error = f"importing it took more than {seconds:g} s"
            if error is not None:
                self._plugins[name].state, self._plugins[name].error = "failed", error

    def load_all(self) -> list[Plugin]:
        """Load every plugin and return them, sorted by name."""
        return [self.load(name) for name in self.names()]

    def provider(self, name: str) -> Provider:
        """One plugin's provider.

        Raises:
            PluginError: Not installed, blocked, or it failed to load.
        """
        plugin = self.load(name)
        if plugin.provider is None:
            origin = f" ({plugin.distribution} {plugin.version})" if plugin.distribution else ""
            raise PluginError(
                f"The plugin {name!r}{origin} cannot be used: {plugin.error}.",
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


def _import(plugin: Plugin) -> object:
    """Import the plugin's module and ask its hook for the provider."""
    import pluggy

    from . import hookspecs

    module = importlib.metadata.EntryPoint(plugin.name, plugin.target, GROUP).load()
    manager = pluggy.PluginManager(hookspecs.PROJECT)  # one each: what a plugin registers cannot touch the others
    manager.add_hookspecs(hookspecs)
    manager.register(module, plugin.name)
    return manager.hook.videogen_provider()


def _verify(plugin: Plugin, provider: object) -> None:
    if provider is None:
        raise PluginError("it implements no videogen_provider hook")
    if not isinstance(provider, Provider):
        raise PluginError(f"its videogen_provider hook returned {type(provider).__name__}, not a Provider")
    if provider.plugin_api not in (PLUGIN_API, PLUGIN_API - 1):
        raise PluginError(f"it was written for plugin API {provider.plugin_api}; this core has {PLUGIN_API}")
    if provider.name != plugin.name:
        raise PluginError(f"its provider calls itself {provider.name!r}, its entry point says {plugin.name!r}")
