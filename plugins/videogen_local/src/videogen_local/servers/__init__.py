"""Servers that speak ``/v1/videos``: several devices and hosts, each with an engine that is not ours.

What tells one engine from another is data, in ``dialects.toml``; what the user has is in ``[providers.local.servers]``.
"""

from __future__ import annotations

from .engine import Engine
from .offers import check, discover, offers

__all__ = ["Engine", "check", "discover", "offers"]
