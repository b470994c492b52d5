"""Servers that speak ``/v1/videos``: several devices and hosts, each with an engine that is not ours.

What tells one engine from another is data, in ``dialects.toml``; what the user has is in ``[providers.local.servers]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .offers import check, discover, offers, recovery

if TYPE_CHECKING:
    from .engine import Engine as Engine

__all__ = ["Engine", "check", "discover", "offers", "recovery"]


def __getattr__(name: str) -> object:
    """The engine loads when a job wants it: questions about offers need none of what it imports."""
    if name != "Engine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .engine import Engine

    return Engine
