"""An HTTP client that has few requests under way at a host; the others wait in line here, where waiting is cheap.

The pool of httpx looks through everything that waits whenever something ends: a thousand requests at once cost twenty
times the CPU of the same requests a few at a time, and take minutes. So they come to it a few at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx

__all__ = ["LaneClient"]


class LaneClient(httpx.AsyncClient):
    """``httpx.AsyncClient``, with a line of its own for each host.

    Args:
        lane: Requests that may be under way at a host: from the first byte of one to the last byte of its answer.
        patience: Seconds that a request may wait for its turn.
        **kwargs: As for ``httpx.AsyncClient``.
    """

    def __init__(self, *, lane: int, patience: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lane = lane
        self._patience = patience
        self._lanes: dict[str, anyio.Semaphore] = {}

    async def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        """Send a request when it is its turn.

        Raises:
            httpx.PoolTimeout: Its turn did not come in time; nothing was sent.
        """
        lane = self._lanes.setdefault(request.url.netloc.decode("ascii"), anyio.Semaphore(self._lane))
        try:
            with anyio.fail_after(self._patience):
                await lane.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout("too many requests are under way at the host", request=request) from error
        held = _Held(lane)
        try:
            response = await super().send(request, **kwargs)
        except BaseException:
            held.release()
            raise
        if response.is_closed:
            held.release()
        else:
            response.stream = _Stream(response.stream, held.release)
        return response


class _Held:
    """A place in a lane, given back once."""

    def __init__(self, lane: anyio.Semaphore) -> None:
        self._lane: anyio.Semaphore | None = lane

    def release(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.release()


class _Stream(httpx.AsyncByteStream):
    """An answer under way, which gives its place back when it is closed."""

    def __init__(self, stream: Any, release: Callable[[], None]) -> None:
        self._stream = stream
        self._release = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._release()
