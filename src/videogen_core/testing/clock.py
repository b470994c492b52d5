"""The vendor's clock: it runs as fast as the real one, faster, or only when it is told to."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

__all__ = ["Clock"]

_GLANCE = 0.02  # real seconds between looks at a clock that somebody may put forward


class Clock:
    """What time it is at the vendor. Safe to read from any thread.

    Args:
        speed: Vendor seconds per real second; 0 = it stands still until `advance`.
    """

    def __init__(self, speed: float = 1.0) -> None:
        _check(speed)
        # one tuple, replaced as a whole, so that a reader in another thread never sees half a change
        self._anchor = (time.monotonic(), time.time(), speed)

    def __repr__(self) -> str:
        return f"<Clock at {self.date():%Y-%m-%dT%H:%M:%SZ}, {self.speed:g} times real time>"

    @property
    def speed(self) -> float:
        """Vendor seconds per real second."""
        return self._anchor[2]

    def now(self) -> float:
        """Vendor seconds since 1970."""
        real, vendor, speed = self._anchor
        return vendor + (time.monotonic() - real) * speed

    def date(self) -> datetime:
        """The same, as an aware UTC time."""
        return datetime.fromtimestamp(self.now(), UTC)

    def advance(self, seconds: float) -> None:
        """Put the clock forward, or back with a negative number."""
        self._anchor = (time.monotonic(), self.now() + seconds, self.speed)

    def run(self, speed: float) -> None:
        """Go on at another speed from now.

        Raises:
            ValueError: The speed is negative or endless.
        """
        _check(speed)
        self._anchor = (time.monotonic(), self.now(), speed)

    def real(self, seconds: float) -> float:
        """Real seconds that so many vendor seconds take; a clock that stands still is looked at every 20 ms."""
        return seconds / self.speed if self.speed else _GLANCE

    async def until(self, moment: float) -> None:
        """Wait until ``moment`` has come, in vendor seconds since 1970."""
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110 - the clock may be put forward from any thread
            await asyncio.sleep(min(self.real(left), _GLANCE))


def _check(speed: float) -> None:
    if not 0 <= speed < float("inf"):
        raise ValueError(f"speed: {speed!r} is no number of vendor seconds per real second")
