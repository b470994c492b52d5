"""A plugin that loads its HTTP library when it is imported; see ``wrong_plugins``."""

from __future__ import annotations

import httpx

from acme.plugin import AcmeProvider
from videogen_core import ModelSpec, Provider, hookimpl

__all__ = ["HeavyAcme", "videogen_provider"]

TIMEOUT = httpx.Timeout(5.0)


class HeavyAcme(AcmeProvider):
    def models(self) -> tuple[ModelSpec, ...]:
        return AcmeProvider().models()


@hookimpl
def videogen_provider() -> Provider:
    return HeavyAcme()
