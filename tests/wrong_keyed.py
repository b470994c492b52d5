"""A plugin that needs its key to say what it has; see ``wrong_guests``."""

from __future__ import annotations

import os

from acme.plugin import AcmeProvider
from videogen_core import ModelSpec, Provider, hookimpl

__all__ = ["KeyedAcme", "videogen_provider"]


class KeyedAcme(AcmeProvider):
    def models(self) -> tuple[ModelSpec, ...]:
        return AcmeProvider().models() if os.environ.get("ACME_KEY") else ()


@hookimpl
def videogen_provider() -> Provider:
    return KeyedAcme()
