"""The connection itself: an HTTP protocol of uvicorn's that lets a handler write raw bytes, stall, hang up or reset.

An ASGI application finds a `Wire` in ``scope["extensions"][WIRE]``. Once it has taken the wire, uvicorn writes nothing
more and the connection ends with the answer.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["WIRE", "FaultyProtocol", "Wire", "wire_of"]

WIRE = "videogen.wire"
_SETTLE = 0.01  # real seconds in which the other side may read before a reset throws away what it has not read
_App = Callable[[Any, Any, Any], Awaitable[None]]


class FaultyProtocol(H11Protocol):
    """uvicorn's own protocol, which also hands out its connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app = cast("_App", self.app)
        self.lost = asyncio.Event()

        async def with_wire(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[WIRE] = Wire(self)
            await app(scope, receive, send)

        self.app = cast("Any", with_wire)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone, or we have."""
        self.lost.set()
        super().connection_lost(exc)


class Wire:
    """One connection, for one answer."""

    def __init__(self, protocol: FaultyProtocol) -> None:
        self._protocol = protocol

    def take(self) -> None:
        """Keep uvicorn from answering; the connection must then be ended here."""
        cycle = self._protocol.cycle
        cycle.disconnected = cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()

    @property
    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self._protocol.lost.is_set() or self._protocol.transport.is_closing()

    async def write(self, data: bytes) -> None:
        """Send bytes as they are, no faster than they are taken; nothing when the other side has gone."""
        transport = self._protocol.transport
        if self.gone or not data:
            return
        transport.write(data)
        while not self.gone and transport.get_write_buffer_size() > 0:
            await self.stall(_SETTLE)

    async def stall(self, seconds: float) -> None:
        """Do nothing for so many real seconds, or until the other side has gone."""
        try:
            await asyncio.wait_for(self._protocol.lost.wait(), seconds)
        except TimeoutError:
            return

    def close(self) -> None:
        """End the connection in order (FIN)."""
        self._protocol.transport.close()

    async def reset(self) -> None:
        """End it with a reset (RST)."""
        if self.gone:
            return
        await self.stall(_SETTLE)
        connection = self._protocol.transport.get_extra_info("socket")
        with suppress(OSError):  # the other side has hung up meanwhile
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._protocol.transport.abort()


def wire_of(scope: MutableMapping[str, Any]) -> Wire:
    """The wire of a request.

    Raises:
        RuntimeError: The application is not served by `FaultyProtocol`.
    """
    wire = scope.get("extensions", {}).get(WIRE)
    if not isinstance(wire, Wire):
        raise RuntimeError("faults of the connection need a real one: serve the emulator with videogen_core.testing")
    return wire
