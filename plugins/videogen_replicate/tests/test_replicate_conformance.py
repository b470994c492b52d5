"""The plugin passes the suite that every provider passes."""

from __future__ import annotations

from videogen_core.testing.conformance import ProviderSuite, Quoted
from videogen_replicate.plugin import ReplicateProvider


class TestReplicate(ProviderSuite):
    """Against the emulator, with the official client."""

    provider = ReplicateProvider
    quotes = (Quoted("google/veo-3.1", {"duration": 8, "audio": True}, "3.20"),)
