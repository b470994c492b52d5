"""Time for tests: the engine waits by the emulated vendor's clock, which runs many times faster than the real one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from videogen_core import downloads
from videogen_core.engine.clock import Clock as EngineClock
from videogen_core.retry import Backoff

from ..clock import Clock

__all__ = ["hurry", "only_loopback"]


def hurry(patch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Have every wait of the engine be one on ``clock``, and what it writes down, too.

    Waits that a plugin or the operating system measures stay as they are.
    """

    async def sleep(self: EngineClock, seconds: float) -> None:
        await anyio.sleep(clock.real(seconds))

    patch.setattr(EngineClock, "now", lambda self: datetime.fromtimestamp(clock.now(), UTC))
    patch.setattr(EngineClock, "monotonic", lambda self: clock.now())
    patch.setattr(EngineClock, "sleep", sleep)
    defaults: Any = downloads.save.__kwdefaults__
    patch.setitem(defaults, "backoff", Backoff(first=0.02, cap=0.1, attempts=5))


def only_loopback(patch: pytest.MonkeyPatch) -> None:
    """Let no connection leave this machine: a plugin that its variables do not lead astray would reach its vendor."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    patch.setattr(socket.socket, "connect", _guarded(connect))
    patch.setattr(socket.socket, "connect_ex", _guarded(connect_ex))
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse(host)
        return resolve(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", getaddrinfo)


def _guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            _refuse(address[0])
        return connect(self, address)

    return guarded


def _refuse(host: Any) -> None:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "localhost")
    if not (name == "localhost" or name == "::1" or name.startswith("127.")):
        raise OSError(
            f"The plugin wanted to talk to {name}. In these tests it may only talk to its emulator: does it read the "
            "variables of Emulator.environment()?"
        )
