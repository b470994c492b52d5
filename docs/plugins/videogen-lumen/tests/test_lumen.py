from videogen_core.testing.conformance import ProviderSuite, Quoted

from videogen_lumen.plugin import LumenProvider


class TestLumen(ProviderSuite):
    provider = LumenProvider
    quotes = (
        Quoted("glow-1", {"duration": 4, "resolution": "360p"}, "0.12"),
        Quoted("glow-1", {"duration": 10, "resolution": "720p"}, "0.80"),
    )
