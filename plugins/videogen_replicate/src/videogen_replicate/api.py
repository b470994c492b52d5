"""Replicate's official client, on the core's connections.

The client brings the token, the address and its user agent. It does not parse answers, since it knows five statuses
and there are more; it does not retry, since a ``Retry-After`` would hold a poll for as long as the server likes; and
what it sends goes through the core's HTTP client, which opens a connection of its own for each request, follows no
redirects and knows the machine's proxies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from videogen_core import Context
from videogen_core.calls import call, get_with_retry
from videogen_core.outcomes import Answer

from . import access

if TYPE_CHECKING:
    import httpx

__all__ = ["Api"]

_SECONDS = 60.0


class Api:
    """Replicate's HTTP API, for one event loop.

    Args:
        context: Of the session.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._http: httpx.AsyncClient | None = None
        self._lock = anyio.Lock()

    async def close(self) -> None:
        """Close every connection."""
        if self._http is not None:
            await self._http.aclose()

    async def ask(self, method: str, path: str, *, action: str, timeout: float = _SECONDS, **parts: Any) -> Answer:
        """One request, sent once; the answer, whatever its status. See `videogen_core.calls.call`.

        Raises:
            ProviderUnavailableError: It failed on the wire.
        """
        http = await self._client()
        return await call(http, method, path, provider="replicate", action=action, timeout=timeout, **parts)

    async def read(self, path: str, *, action: str, timeout: float = _SECONDS, **parts: Any) -> Answer:
        """A GET that is repeated on what passes. See `videogen_core.calls.get_with_retry`.

        Raises:
            ProviderUnavailableError: The last try failed on the wire.
        """
        http = await self._client()
        return await get_with_retry(http, path, provider="replicate", action=action, timeout=timeout, **parts)

    async def _client(self) -> httpx.AsyncClient:
        async with self._lock:
            if self._http is None:
                self._http = await to_thread.run_sync(self._make)
        return self._http

    def _make(self) -> httpx.AsyncClient:
        """In a thread: the client takes half a second to import."""
        import httpx
        from replicate.client import Client

        through = _through(self._context.http())
        made: Any = Client(
            api_token=access.token(self._context.environment, self._context.settings),
            base_url=access.base_url(self._context.environment),
            timeout=httpx.Timeout(120.0, connect=10.0, pool=30.0),
            # the client wraps a transport in one that retries, but not what is mounted
            transport=through,
            mounts={"all://": through},
        )
        found: httpx.AsyncClient = made._async_client
        return found


def _through(http: httpx.AsyncClient) -> httpx.AsyncBaseTransport:
    """A transport that sends requests as they are by another client."""
    import httpx

    class Through(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await http.send(request, stream=True, follow_redirects=False)

        async def aclose(self) -> None:
            await http.aclose()

    return Through()
