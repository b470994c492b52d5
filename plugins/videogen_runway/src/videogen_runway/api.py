"""Runway's SDK, imported when first wanted, and one request at a time through it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

import anyio
from anyio import to_thread

from videogen_core import Context, ModelSpec
from videogen_core.outcomes import Answer

from . import access
from .failures import failure
from .wire import within_bounds

if TYPE_CHECKING:
    from runwayml import AsyncRunwayML

__all__ = ["Api"]


class Api:
    """Asks Runway.

    The SDK's own retries are off: it would repeat a create, and with it the bill. Its classes are not used either,
    since they turn whatever they do not know into a pending task; the JSON decides. Its HTTP client is the core's,
    which follows no redirects and opens a connection of its own for each request.

    Args:
        context: Of the session.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = anyio.Lock()
        self._client: AsyncRunwayML | None = None
        self._http = context.http(event_hooks={"response": [within_bounds]})

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def ready(self) -> None:
        """Load the SDK."""
        await self._get()

    async def ask(
        self,
        method: Literal["GET", "POST", "DELETE"],
        path: str,
        action: str,
        seconds: float,
        *,
        body: dict[str, Any] | None = None,
        spec: ModelSpec | None = None,
    ) -> Answer:
        """Send one request; the answer is a success.

        Args:
            method: HTTP method.
            path: From ``/v1`` on.
            action: What is being done, for messages.
            seconds: For everything.
            body: JSON.
            spec: The offer, where there is one.

        Raises:
            ProviderError: It failed, or was refused.
            ConfigurationError: Runway misses a header.
        """
        client = await self._get()
        return await _asked(lambda: _sent(client, method, path, seconds, body), action, seconds, spec)

    async def _get(self) -> AsyncRunwayML:
        async with self._lock:
            if self._client is None:
                self._client = await to_thread.run_sync(self._make)  # the SDK takes most of a second to import
        return self._client

    def _make(self) -> AsyncRunwayML:
        from runwayml import AsyncRunwayML

        _quiet_log()
        environment, settings = self._context.environment, self._context.settings
        return AsyncRunwayML(
            api_key=access.api_key(environment, settings),
            base_url=access.base_url(environment, settings),
            max_retries=0,
            http_client=self._http,
            default_headers={
                **access.custom_headers(environment),
                "X-Runway-Version": access.VERSION,
                "Accept-Encoding": "identity",
            },
        )


def _quiet_log() -> None:
    """At DEBUG the SDK logs each body, and with it the inputs' addresses, which may be signed."""
    logger = logging.getLogger("runwayml._base_client")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


async def _sent(client: AsyncRunwayML, method: str, path: str, seconds: float, body: dict[str, Any] | None) -> Answer:
    import httpx

    options: Any = {"timeout": seconds, "max_retries": 0}
    if method == "POST":
        response = await client.post(path, cast_to=httpx.Response, body=body or {}, options=options)
    elif method == "DELETE":
        options["headers"] = {"Accept": "*/*"}
        response = await client.delete(path, cast_to=httpx.Response, options=options)
    else:
        response = await client.get(path, cast_to=httpx.Response, options=options)
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(provider="runway", status=response.status_code, headers=headers, body=response.content)


async def _asked(ask: Callable[[], Awaitable[Answer]], action: str, seconds: float, spec: ModelSpec | None) -> Answer:
    """One request with a deadline of our own and our errors.

    Raises:
        VideogenError: It failed.
    """
    fault: BaseException
    try:
        with anyio.fail_after(seconds):
            return await ask()
    except Exception as error:
        fault = failure(error, action=action, spec=spec)
    raise fault  # out here: the exception that is left behind holds the request, and with it the key
