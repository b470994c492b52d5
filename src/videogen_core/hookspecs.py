"""The hooks that a plugin implements, and the marker it uses.

A plugin is a module named by an entry point of the group ``videogen.plugins``; the entry point's name is the name of
its provider::

    [project.entry-points."videogen.plugins"]
    acme = "videogen_acme.plugin"

    # videogen_acme/plugin.py
    from videogen_core.hookspecs import hookimpl

    @hookimpl
    def videogen_provider():
        return AcmeProvider()
"""

from __future__ import annotations

import pluggy

from .provider import Provider

__all__ = ["PROJECT", "hookimpl", "videogen_provider"]

PROJECT = "videogen"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def videogen_provider() -> Provider | None:
    """Return the plugin's provider. Called once per process, when the provider is first wanted."""
    return None
