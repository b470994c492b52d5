"""From a name to an emulator.

Not in ``serve``: to import that module would put it in the place of the function of that name.
"""

from __future__ import annotations

import importlib
from typing import Any

from .emulator import Emulator

__all__ = ["load_emulator"]


def load_emulator(target: str, options: dict[str, Any]) -> Emulator:
    """Make the emulator that ``module:name`` names, an `Emulator` class or a function.

    Raises:
        ValueError: There is none of that name.
    """
    module, colon, name = target.partition(":")
    factory = getattr(importlib.import_module(module), name, None) if colon else None
    if not callable(factory):
        raise ValueError(f"{target!r}: expected module:name of an Emulator class or of a function that makes one")
    emulator = factory(**options)
    if not isinstance(emulator, Emulator):
        raise ValueError(f"{target!r} made {type(emulator).__name__}, not an Emulator")
    return emulator
