"""A model that several plugins offer has one name in all of them, so that asking for it reaches every one."""

from __future__ import annotations

from collections import defaultdict

import pytest

from architecture import PLUGINS
from videogen_core import ModelSpec
from videogen_core.catalog import parse_catalog


def offers() -> dict[str, list[ModelSpec]]:
    """Every offer of the plugins here, by each word that means it."""
    found: dict[str, list[ModelSpec]] = defaultdict(list)
    for plugin in PLUGINS:
        for file in plugin.folder.glob("src/*/catalog.toml"):
            for spec in parse_catalog(file.read_text(encoding="utf-8"), origin=str(file)).models:
                for word in {spec.name, *spec.aliases}:
                    found[word.lower()].append(spec)
    return found


@pytest.mark.parametrize(
    ("words", "name", "providers"),
    [
        (("hailuo-3", "hailuo-3.0", "minimax-h3"), "hailuo-3", {"minimax", "runway", "replicate", "local"}),
        (("hailuo-3-max", "h3-max", "minimax-h3-max"), "hailuo-3-max", {"minimax", "runway"}),
        (("hailuo-2.3",), "hailuo-2.3", {"minimax", "replicate"}),
        (("hailuo-2.3-fast",), "hailuo-2.3-fast", {"minimax", "replicate"}),
        (("hailuo-02",), "hailuo-02", {"minimax", "replicate"}),
    ],
)
def test_one_name_reaches_every_provider(words: tuple[str, ...], name: str, providers: set[str]) -> None:
    for word in words:
        found = offers()[word]
        assert {spec.name for spec in found} == {name}
        assert {spec.provider for spec in found} == providers
        assert [spec.provider for spec in found if spec.first_party] == ["minimax"]  # its maker is asked first


@pytest.mark.parametrize(
    ("words", "name", "providers"),
    [
        (("veo-3.1",), "veo-3.1", {"veo", "runway", "replicate"}),
        (("veo-3.1-fast",), "veo-3.1-fast", {"veo", "runway", "replicate"}),
        (("gemini-omni-1.1-flash",), "gemini-omni-1.1-flash", {"veo", "runway"}),
        (("kling-2.5-turbo-pro", "kling-v2.5-turbo-pro"), "kling-2.5-turbo-pro", {"runway", "replicate"}),
        (("gen-4.5", "gen4.5"), "gen-4.5", {"runway", "replicate"}),
        (("wan-3",), "wan-3", {"runway", "replicate"}),
        (("seedance-2.0",), "seedance-2.0", {"runway", "replicate"}),
    ],
)
def test_a_shared_name_means_the_same_everywhere(words: tuple[str, ...], name: str, providers: set[str]) -> None:
    for word in words:
        found = offers()[word]
        assert {spec.name for spec in found} == {name}, word
        assert {spec.provider for spec in found} == providers, word
