"""Servers that speak ``/v1/videos``: several devices and hosts, each with an engine that is not ours.

What tells one engine from another is data, in ``dialects.toml``; what the user has is in ``[providers.local.servers]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import Engine as Engine
    from .offering import check as check, discover as discover, offers as offers, recovery as recovery

__all__ = ["VARIABLE", "Engine", "are_described", "check", "discover", "offers", "recovery"]

VARIABLE = "VIDEOGEN_LOCAL_SERVER_"
"""What the variables begin with that describe one server, called ``server``."""

_WHERE = {"Engine": "engine", "check": "offering", "discover": "offering", "offers": "offering", "recovery": "offering"}


def are_described(environment: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
    """Whether the user has any server, told without loading what drives them: most have none."""
    return bool(settings.get("servers") or environment.get(f"{VARIABLE}URL"))


def __getattr__(name: str) -> object:
    """Each part loads when it is wanted; questions about offers need none of what the engine imports."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    return found
