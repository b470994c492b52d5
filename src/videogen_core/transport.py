"""HTTP: client factories, the address guard, streamed reads, and what a failure proves.

With its private ``_guard`` and with `calls`, the only module that imports the HTTP library; each does so on first use.
Whoever talks HTTP catches `network_errors` and words them with `describe`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from .errors import InvalidMediaError
from .redaction import cause_of, quiet_http_logging, redact_url
from .retry import retry_after

if TYPE_CHECKING:
    import httpx

    from ._guard import Resolver

__all__ = [
    "MAX_REDIRECTS",
    "asked_to_wait",
    "client",
    "describe",
    "fetch_public",
    "following",
    "is_malformed",
    "is_refusal",
    "network_errors",
    "never_sent",
    "public_client",
]

MAX_REDIRECTS = 5
_CONNECT, _READ, _WRITE, _POOL = 10.0, 120.0, 120.0, 30.0  # seconds
_AT_ONCE = 32  # requests under way at a host; more are no quicker, and a pool of many costs more for each
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


# --- clients


def client(**kwargs: Any) -> httpx.AsyncClient:
    """An HTTP client with our timeouts and user agent, no redirects, and no URLs in the log.

    Each request gets a connection of its own: on one that was kept open, a create may run into the server closing it,
    and nobody knows whether it was heard. Pass ``limits`` to a client of reads alone, to reuse connections. At each
    host only some requests are under way at a time; the others wait their turn.

    Args:
        **kwargs: Arguments of ``httpx.AsyncClient``; they win over ours, headers one by one.
    """
    import httpx

    from ._lanes import LaneClient

    quiet_http_logging()
    headers = httpx.Headers({"User-Agent": _user_agent()})
    headers.update(kwargs.pop("headers", None))
    defaults: dict[str, Any] = {
        "timeout": httpx.Timeout(connect=_CONNECT, read=_READ, write=_WRITE, pool=_POOL),
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=0),
        "follow_redirects": False,
        "verify": _tls(),
    }
    return LaneClient(lane=_AT_ONCE, patience=_POOL, headers=headers, **{**defaults, **kwargs})


def public_client(
    *,
    allow_private: bool = False,
    allow_http: bool = False,
    ports: Collection[int] | None = None,
    resolver: Resolver | None = None,
    trusted: str | None = None,
    **kwargs: Any,
) -> httpx.AsyncClient:
    """A `client` that connects to public addresses only and ignores proxies and ``.netrc``.

    Each host is resolved once, every address it has must be public, and the connection goes to what was checked.

    Args:
        allow_private: Skip the checks of scheme, address and port, for emulators on this machine.
        allow_http: Take http addresses, too.
        ports: Ports that may be connected to; None = 80 and 443.
        resolver: Resolves a host and a port to addresses; None = the system.
        trusted: An address at a server that the user has named, which may be anywhere; what it redirects to may not.
        **kwargs: Arguments of ``httpx.AsyncClient``; ``transport`` is what connects behind the guard.
    """
    import httpx

    from ._guard import PUBLIC_PORTS, PublicTransport

    # no idle connections: see PublicTransport
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    inner = kwargs.pop("transport", None) or httpx.AsyncHTTPTransport(
        verify=kwargs.pop("verify", _tls()), trust_env=False, limits=limits
    )
    guard = PublicTransport(
        inner,
        allow_private=allow_private,
        allow_http=allow_http,
        ports=ports or PUBLIC_PORTS,
        resolver=resolver,
        trusted=trusted,
    )
    return client(transport=guard, trust_env=False, **kwargs)


@cache
def _tls() -> ssl.SSLContext:
    """One context for all clients: to load the certificates takes longer than a whole small request."""
    import httpx

    return httpx.create_ssl_context()


@cache
def _user_agent() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"videogen-core/{version('videogen-core')}"
    except PackageNotFoundError:
        return "videogen-core/0"


# --- reading


@asynccontextmanager
async def following(
    http: httpx.AsyncClient,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    own_headers: Mapping[str, str] | None = None,
) -> AsyncIterator[httpx.Response]:
    """Open a GET of plain bytes as a stream, following at most `MAX_REDIRECTS` redirects, never from https to http.

    Args:
        http: The client; with `public_client`, each hop passes the guard.
        url: Where to start.
        headers: Sent on every hop, besides the wish for uncompressed data.
        own_headers: Sent to the first origin only, and no more once a redirect has left it.

    Raises:
        network_errors: The connection failed, or the answer was refused.
    """
    import httpx

    from ._guard import RefusedAnswer, origin

    here, private = httpx.URL(url), dict(own_headers or {})
    for _ in range(MAX_REDIRECTS + 1):
        request = http.build_request("GET", here, headers={**private, **(headers or {}), "Accept-Encoding": "identity"})
        response = await http.send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code not in _REDIRECTS or "location" not in response.headers:
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise RefusedAnswer("it sent compressed data, which could grow without bound", request=request)
                yield response
                return
            there = here.join(response.headers["location"])
        finally:
            await response.aclose()
        if here.scheme == "https" and there.scheme != "https":
            raise RefusedAnswer(f"{here.host} redirects from https to {there.scheme}", request=request)
        if origin(there) != origin(here):
            private = {}
        here = there
    raise RefusedAnswer(f"more than {MAX_REDIRECTS} redirects", request=request)


async def fetch_public(
    url: str,
    *,
    max_bytes: int,
    timeout: float,
    allow_private: bool = False,
    allow_http: bool = False,
    resolver: Resolver | None = None,
) -> bytes:
    """The bytes behind a URL that a user gave, fetched from public addresses only.

    Args:
        url: An https address.
        max_bytes: The transfer stops past this.
        timeout: Seconds for the whole transfer, redirects included.
        allow_private: Skip the checks of scheme and address, for emulators on this machine.
        allow_http: Take an http address, too.
        resolver: Resolves names; None = the system.

    Raises:
        InvalidMediaError: The address is not allowed, cannot be reached, or does not give the bytes in time and size.
    """
    http = partial(public_client, allow_private=allow_private, allow_http=allow_http, resolver=resolver)
    found = await _fetched(url, max_bytes, timeout, http)
    del url  # it may be signed, and crash reports show local variables
    if isinstance(found, bytes):
        return found
    raise found


async def _fetched(
    url: str, max_bytes: int, timeout: float, client: Callable[[], httpx.AsyncClient]
) -> bytes | InvalidMediaError:
    """`fetch_public`, with its failures returned."""
    import anyio

    label = redact_url(url)
    try:
        with anyio.fail_after(timeout):
            async with client() as http, following(http, url) as response:
                return await _read_body(response, max_bytes, label)
    except InvalidMediaError as error:
        return error.with_traceback(None)
    except TimeoutError:
        return InvalidMediaError(f"{label} did not arrive within {timeout:g} s.", hint=_FETCH_HINT)
    except network_errors() as error:
        failure = InvalidMediaError(f"{label} cannot be fetched: {describe(error)}.", hint=_FETCH_HINT)
        failure.__cause__ = cause_of(error)
        return failure


_FETCH_HINT = "Download it and pass the file instead."


async def _read_body(response: httpx.Response, max_bytes: int, label: str) -> bytes:
    if response.status_code != 200:
        raise InvalidMediaError(f"{label} answered with HTTP status {response.status_code}.", hint=_FETCH_HINT)
    too_large = InvalidMediaError(f"{label} is larger than {max_bytes:,} bytes.", hint="Pass a smaller file.")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


def asked_to_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the headers of a response ask to wait before the next request; None when they do not."""
    return retry_after(headers.get("retry-after"), headers.get("date"), now=datetime.now(UTC))


# --- failures


def network_errors() -> tuple[type[BaseException], ...]:
    """What an HTTP call may raise, for an ``except`` clause of a module that does not import the HTTP library."""
    import httpx

    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


def is_refusal(error: BaseException) -> bool:
    """Whether we ourselves refused the address or the answer, so that trying again is no use."""
    from ._guard import RefusedAddress, RefusedAnswer

    return isinstance(error, (RefusedAddress, RefusedAnswer))


def is_malformed(error: BaseException) -> bool:
    """Whether the request is one that cannot be sent at all, so that trying again is no use."""
    import httpx

    return isinstance(error, (httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.InvalidURL))


def never_sent(error: BaseException) -> bool:
    """Whether an exception proves that no byte of the request left this machine.

    Only to be believed of a client that follows no redirects and does not retry by itself.
    """
    import httpx

    before_sending = (
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.ProxyError,
        httpx.UnsupportedProtocol,
        httpx.InvalidURL,
    )
    if isinstance(error, httpx.LocalProtocolError):
        # headers are checked before the first byte; other local errors may come amid the body
        return str(error).startswith("Illegal header")
    return isinstance(error, before_sending)


def describe(error: BaseException) -> str:
    """What went wrong on the wire, the most specific cause first; holds no URL, header or secret."""
    if is_refusal(error):
        return str(error)
    chain = tuple(_causes(error))
    for kind, text in _wordings():
        if any(isinstance(link, kind) for link in chain):
            return text
    return f"the connection failed ({type(error).__name__})"


@cache
def _wordings() -> tuple[tuple[type[BaseException], str], ...]:
    import socket

    import httpx

    return (
        (socket.gaierror, "its name cannot be resolved (DNS)"),
        (ssl.SSLCertVerificationError, "its TLS certificate is not trusted"),
        (ssl.SSLError, "the TLS handshake failed"),
        (ConnectionRefusedError, "the connection was refused"),
        (httpx.ProxyError, "the proxy refused the connection"),
        (httpx.ConnectTimeout, "no connection was made in time"),
        (httpx.PoolTimeout, "all connections were busy for too long"),
        (httpx.WriteTimeout, "it took too long to send the request"),
        (httpx.TimeoutException, "no answer came in time"),
        (httpx.ConnectError, "no connection could be made"),
        (httpx.LocalProtocolError, "the request is not valid HTTP (a line break in a header or key?)"),
        (httpx.RemoteProtocolError, "the server broke off or answered garbage"),
        (httpx.NetworkError, "the connection was reset"),
        (httpx.InvalidURL, "the URL is not valid"),
        (httpx.UnsupportedProtocol, "the URL is not an http or https address"),
    )


def _causes(error: BaseException, depth: int = 0) -> Iterator[BaseException]:
    """An exception and what it came from, groups included."""
    if depth > 20:
        return
    yield error
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _causes(member, depth + 1)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause, depth + 1)
