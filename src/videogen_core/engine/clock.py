"""Time as the engine sees it, so that tests can run hours in a moment."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import anyio

__all__ = ["Clock"]


class Clock:
    """Wall time for what is recorded, monotonic time for what is waited for."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that is never set back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)
