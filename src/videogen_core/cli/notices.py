"""What the library logs, as the command line says it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from .screen import Screen

__all__ = ["library_warnings"]

_SAID_BY_US = "_left_behind"
"""The engine's word about a job that its driver leaves: the command line says that itself, once."""


class _ToScreen(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        if record.funcName != _SAID_BY_US:
            self._screen.say(f"warning: {record.getMessage()}", "yellow")


@contextmanager
def library_warnings(screen: Screen) -> Iterator[None]:
    """Show within the block what the library warns of."""
    logger, handler = logging.getLogger("videogen"), _ToScreen(screen)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
