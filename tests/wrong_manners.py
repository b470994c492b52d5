"""A plugin that makes itself at home when it is imported; see ``wrong_guests``."""

from __future__ import annotations

import logging
import os
import sys

from acme.plugin import AcmeProvider
from videogen_core import ModelSpec, Provider, hookimpl

__all__ = ["RudeAcme", "videogen_provider"]

if "pytest" not in sys.modules:  # only where it is looked at, in a process of its own
    logging.basicConfig(level=logging.DEBUG)
    os.environ["ACME_WAS_HERE"] = "1"


class RudeAcme(AcmeProvider):
    def models(self) -> tuple[ModelSpec, ...]:
        return AcmeProvider().models()


@hookimpl
def videogen_provider() -> Provider:
    return RudeAcme()
