"""The made-up provider passes the suite that every provider passes, and wrong ones do not."""

from __future__ import annotations

from acme.plugin import AcmeProvider
from videogen_core.testing.conformance import ProviderSuite, Quoted


class TestAcme(ProviderSuite):
    """A vendor of which nothing that was lost can be found again."""

    provider = AcmeProvider
    quotes = (
        Quoted("paper", {"duration": 4, "resolution": "240p"}, "0.40"),
        Quoted("paper", {"duration": 2, "resolution": "720p", "audio": True}, "0.90"),
        Quoted("stone", {"duration": 4}, "0.75"),
    )
