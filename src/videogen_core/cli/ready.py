"""Which providers can be used now, and what to tell somebody who has none."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources

from videogen_core import Client

__all__ = ["alike", "known_distributions", "not_ready", "placeholder_advice", "setup_advice"]


def not_ready(client: Client) -> dict[str, str]:
    """Provider or offer -> why it cannot be used now; also providers that only the user's own catalogue names."""
    registry = client.workspace.registry
    return registry.not_ready(registry.catalog())


def alike(reasons: Mapping[str, str]) -> list[tuple[list[str], str]]:
    """Each reason once, after all that it holds for."""
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        names.setdefault(why, []).append(name)
    return [(held, why) for why, held in names.items()]


def placeholder_advice(client: Client) -> list[str] | None:
    """None when some real provider is ready; else what to set up, a sentence each."""
    reasons = not_ready(client)
    real = (spec for spec in client.workspace.registry.catalog().offers if not spec.placeholder)
    return setup_advice(client) if all({spec.provider, spec.id} & reasons.keys() for spec in real) else None


def setup_advice(client: Client) -> list[str]:
    """What would make more providers ready: a sentence for each that is installed, or what to install."""
    registry = client.workspace.registry
    sentences = []
    for name, reason in registry.not_ready().items():
        provider = registry.plugins.plugin(name).provider
        setup = f" {provider.setup}" if provider is not None and provider.setup else ""
        sentences.append(f"{name}: {_sentence(reason)}{setup}")
    offers = {name: why for name, why in not_ready(client).items() if "/" in name}
    sentences += [f"{', '.join(names)}: {_sentence(why)}" for names, why in alike(offers)]
    if sentences:
        return sentences
    names = known_distributions()
    return [f"Install a provider and set its key: pip install {names[0]}", f"Others are {', '.join(names[1:])}."]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def known_distributions() -> list[str]:
    """The plugins that the core can suggest."""
    text = resources.files("videogen_core").joinpath("known_plugins.toml").read_text(encoding="utf-8")
    return [str(row["distribution"]) for row in tomllib.loads(text)["plugins"]]
