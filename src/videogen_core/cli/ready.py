"""Which providers can be used now, and what to tell somebody who has none."""

from __future__ import annotations

import tomllib
from importlib import resources

from videogen_core import Client

__all__ = ["not_ready", "placeholder_advice", "setup_advice"]


def not_ready(client: Client) -> dict[str, str]:
    """Provider or offer -> why it cannot be used now; also providers that only the user's own catalogue names."""
    registry = client.workspace.registry
    return registry.not_ready(registry.catalog())


def placeholder_advice(client: Client) -> list[str] | None:
    """None when some real provider is ready; else what to set up, a sentence each."""
    offers = client.workspace.registry.catalog().offers
    real = {spec.provider for spec in offers if not spec.placeholder}
    return None if real - not_ready(client).keys() else setup_advice(client)


def setup_advice(client: Client) -> list[str]:
    """What would make more providers ready: a sentence for each that is installed, or what to install."""
    registry = client.workspace.registry
    sentences = []
    for name, reason in registry.not_ready().items():
        provider = registry.plugins.plugin(name).provider
        setup = f" {provider.setup}" if provider is not None and provider.setup else ""
        sentences.append(f"{name}: {_sentence(reason)}{setup}")
    if sentences:
        return sentences
    names = _known_distributions()
    return [f"Install a provider and set its key: pip install {names[0]}", f"Others are {', '.join(names[1:])}."]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _known_distributions() -> list[str]:
    text = resources.files("videogen_core").joinpath("known_plugins.toml").read_text(encoding="utf-8")
    return [str(row["distribution"]) for row in tomllib.loads(text)["plugins"]]
