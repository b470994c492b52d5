"""HTTP: client factories, the address guard, what a failure proves, repeatable reads, and redaction.

The only module, with its private ``_guard``, that imports the HTTP library; it does so on first use. Whoever talks
HTTP catches `network_errors` and words them with `describe` or `unavailable`.
"""

from __future__ import annotations

import base64
import logging
import re
import ssl
import traceback
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlsplit

from .errors import (
    AuthenticationError,
    InsufficientCreditsError,
    InvalidMediaError,
    PermissionDeniedError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RejectedRequestError,
)
from .retry import MAX_RETRY_AFTER, retry_after

if TYPE_CHECKING:
    import httpx

    from ._guard import Resolver

__all__ = [
    "MAX_REDIRECTS",
    "RedactingFilter",
    "asked_to_wait",
    "client",
    "describe",
    "error_for_status",
    "fetch_public",
    "following",
    "get_with_retry",
    "is_refusal",
    "network_errors",
    "never_sent",
    "public_client",
    "quiet_http_logging",
    "redact",
    "redact_url",
    "unavailable",
]

MAX_REDIRECTS = 5
_CONNECT, _READ, _WRITE, _POOL = 10.0, 120.0, 120.0, 30.0  # seconds
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HTTP_LOGGERS = (
    "httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks",
)  # fmt: skip


# --- clients


def client(**kwargs: Any) -> httpx.AsyncClient:
    """An HTTP client with our timeouts and user agent, no redirects, and no URLs in the log.

    Args:
        **kwargs: Arguments of ``httpx.AsyncClient``; they win over ours, headers one by one.
    """
    import httpx

    quiet_http_logging()
    headers = httpx.Headers({"User-Agent": _user_agent()})
    headers.update(kwargs.pop("headers", None))
    defaults: dict[str, Any] = {
        "timeout": httpx.Timeout(connect=_CONNECT, read=_READ, write=_WRITE, pool=_POOL),
        "follow_redirects": False,
        "verify": _tls(),
    }
    return httpx.AsyncClient(headers=headers, **{**defaults, **kwargs})


def public_client(
    *,
    allow_private: bool = False,
    allow_http: bool = False,
    ports: Collection[int] | None = None,
    resolver: Resolver | None = None,
    **kwargs: Any,
) -> httpx.AsyncClient:
    """A `client` that connects to public addresses only and ignores proxies and ``.netrc``.

    Each host is resolved once, every address it has must be public, and the connection goes to what was checked.

    Args:
        allow_private: Skip the checks of scheme, address and port, for emulators on this machine.
        allow_http: Take http addresses, too.
        ports: Ports that may be connected to; None = 80 and 443.
        resolver: Resolves a host and a port to addresses; None = the system.
        **kwargs: Arguments of ``httpx.AsyncClient``; ``transport`` is what connects behind the guard.
    """
    import httpx

    from ._guard import PUBLIC_PORTS, PublicTransport

    # no idle connections: see PublicTransport
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    inner = kwargs.pop("transport", None) or httpx.AsyncHTTPTransport(
        verify=kwargs.pop("verify", _tls()), trust_env=False, limits=limits
    )
    guard = PublicTransport(
        inner, allow_private=allow_private, allow_http=allow_http, ports=ports or PUBLIC_PORTS, resolver=resolver
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

    from ._guard import RefusedAnswer

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
        if _origin(there) != _origin(here):
            private = {}
        here = there
    raise RefusedAnswer(f"more than {MAX_REDIRECTS} redirects", request=request)


def _origin(url: httpx.URL) -> tuple[str, str, int]:
    return url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)


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
    import anyio

    label = redact_url(url)
    try:
        with anyio.fail_after(timeout):
            async with (
                public_client(allow_private=allow_private, allow_http=allow_http, resolver=resolver) as http,
                following(http, url) as response,
            ):
                return await _read_body(response, max_bytes, label)
    except TimeoutError as error:
        raise InvalidMediaError(f"{label} did not arrive within {timeout:g} s.", hint=_FETCH_HINT) from error
    except network_errors() as error:
        raise InvalidMediaError(f"{label} cannot be fetched: {describe(error)}.", hint=_FETCH_HINT) from error


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


class _TryAgainError(Exception):
    """An answer that may be better next time; its text holds no URL, since retry hooks log it."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP status {response.status_code}")
        self.response = response


async def get_with_retry(
    http: httpx.AsyncClient,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    attempts: int = 5,
    timeout: float = 60.0,
) -> httpx.Response:
    """GET, repeated on 429, 408, 5xx and connection failures; ``Retry-After`` is obeyed.

    When tries, time or patience end, the last answer is returned whatever its status: a server that asks for more
    than `MAX_RETRY_AFTER` seconds, or more than is left, is reported at once.

    Args:
        http: The client.
        url: What to read; must be safe to repeat.
        headers: Sent along.
        attempts: Tries at most.
        timeout: Seconds for everything.

    Raises:
        network_errors: The last try failed on the wire.
    """
    import anyio
    import httpx
    import stamina

    deadline = anyio.current_time() + timeout

    def again(error: Exception) -> bool | float:
        left = deadline - anyio.current_time()
        if isinstance(error, _TryAgainError):
            wait = asked_to_wait(error.response)
            return wait is None or (wait if wait <= min(left, MAX_RETRY_AFTER) else False)
        return isinstance(error, httpx.TransportError) and not is_refusal(error)

    try:
        with anyio.fail_after(timeout):
            async for attempt in stamina.retry_context(on=again, attempts=attempts, timeout=timeout, wait_initial=0.5):
                with attempt:
                    response = await http.get(url, headers=headers)
                    if response.status_code in (408, 429) or response.status_code >= 500:
                        raise _TryAgainError(response)
    except _TryAgainError as error:
        return error.response
    except TimeoutError as error:
        raise httpx.ReadTimeout(f"no answer within {timeout:g} s") from error
    return response


def asked_to_wait(response: httpx.Response) -> float | None:
    """Seconds that a response asks to wait before the next request; None when it does not."""
    return retry_after(response.headers.get("retry-after"), response.headers.get("date"), now=datetime.now(UTC))


# --- failures


def network_errors() -> tuple[type[BaseException], ...]:
    """What an HTTP call may raise, for an ``except`` clause of a module that does not import the HTTP library."""
    import httpx

    return (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)


def is_refusal(error: BaseException) -> bool:
    """Whether we ourselves refused the address or the answer, so that trying again is no use."""
    from ._guard import RefusedAddress, RefusedAnswer

    return isinstance(error, (RefusedAddress, RefusedAnswer))


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


def unavailable(error: BaseException, *, provider: str, action: str) -> ProviderUnavailableError:
    """The error to raise when a call to a provider failed on the wire.

    ``accepted`` is False when the exception proves that nothing was sent, else None.

    Args:
        error: What the HTTP library raised; raise the result from it.
        provider: Adapter id.
        action: What was being done, such as ``submit``.
    """
    unsent = never_sent(error)
    return ProviderUnavailableError(
        f"{provider}: {action} failed: {describe(error)}.",
        provider=provider,
        accepted=False if unsent else None,
        hint="Nothing was sent. Check the network connection and try again."
        if unsent
        else "The request may have arrived.",
    )


# Documented by HTTP and by vendors as "not accepted"; every other status leaves it open.
_NOT_ACCEPTED = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})
_BY_STATUS: dict[int, tuple[type[ProviderError], str | None]] = {
    401: (AuthenticationError, "Check the key: it may be wrong, expired, or for another region."),
    402: (InsufficientCreditsError, "Add credits to the account."),
    403: (PermissionDeniedError, "Check what the key's account may use."),
    408: (ProviderUnavailableError, None),
    425: (ProviderUnavailableError, None),
    429: (RateLimitError, "Wait, or lower the concurrency."),
}


def error_for_status(
    status: int,
    message: str,
    *,
    provider: str,
    model: str | None = None,
    code: str | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> ProviderError:
    """The error that an HTTP status stands for, unless the vendor's own code says it better.

    ``accepted`` is False for statuses that mean "plainly refused", else None: a 500 may come after the job was made.

    Args:
        status: HTTP status.
        message: The vendor's words; redacted here.
        provider: Adapter id.
        model: Offer id.
        code: The vendor's own error code.
        request_id: The vendor's id of the request.
        retry_after: Seconds that the provider asks to wait.
    """
    kind, hint = _BY_STATUS.get(status, (None, None))
    if kind is None:
        if status >= 500:
            kind = ProviderUnavailableError
        else:
            kind = RejectedRequestError if status in _NOT_ACCEPTED else ProviderProtocolError
    return kind(
        f"{provider} answered {status}: {redact(message).strip() or 'no message'}",
        provider=provider,
        model=model,
        code=code,
        status_code=status,
        request_id=request_id,
        retry_after=retry_after,
        accepted=False if status in _NOT_ACCEPTED else None,
        hint=hint,
    )


# --- redaction

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^\s/?#@\"'<>]*@)?(?P<rest>[^\s?#\"'<>\\]*)[?#]?[^\s\"'<>]*", re.I
)
_QUERY = re.compile(r"\?[\w.~%\[\]-]+=[^\s\"'<>]*")  # of a relative address
_SCHEME_TOKEN = re.compile(r"\b(?P<name>bearer|basic|token|key)(?P<gap>\s+)[A-Za-z0-9._~+/=|:-]{8,}", re.I)
_NAMED = re.compile(
    r"(?P<name>\b(?:x-goog-api-key|x-api-key|api[-_]?key|access[-_]?token|client[-_]?secret|secret|password|token"
    r"|authorization|cookie|signature)\b[\"']?\s*(?:[:=]|,(?=\s*b?[\"']))\s*b?[\"']?)(?P<value>[^\s\"',;&}\])]{4,})",
    re.I,
)
_MASK = "***"


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without query strings of URLs, tokens, and the given secrets in any of their usual spellings.

    Args:
        text: What is about to be shown or logged.
        secrets: Values to remove, also where they are URL-encoded, escaped or in base64.
    """
    for secret in secrets:
        for spelling in _spellings(secret):
            text = text.replace(spelling, _MASK)
    text = _QUERY.sub(f"?{_MASK}", _URL.sub(_shorten, text))
    text = _SCHEME_TOKEN.sub(rf"\g<name>\g<gap>{_MASK}", text)
    return _NAMED.sub(_mask_value, text)


def _shorten(match: re.Match[str]) -> str:
    kept = match["scheme"] + match["rest"]
    return kept if match[0] == kept else f"{kept}?{_MASK}"


def _mask_value(match: re.Match[str]) -> str:
    # "Authorization: Bearer ***" has been dealt with; its scheme word is worth reading
    return match[0] if match["value"].lower() in ("bearer", "basic", "token", "key") else match["name"] + _MASK


@lru_cache(maxsize=64)
def _spellings(secret: str) -> tuple[str, ...]:
    """How a secret may occur, longest first. Base64 depends on what stands before it, so in all three alignments."""
    if len(secret) < 4:  # would mask half of every text
        return ()
    found = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), repr(secret)[1:-1]}
    for shift in range(3):
        plain = bytes(shift) + secret.encode()
        whole = len(plain) // 3 * 3  # the characters that only the secret decides
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(plain[:whole]).decode()[0 if shift == 0 else 4 :]
            if len(coded) >= 8:
                found.add(coded)
    return tuple(sorted(found, key=len, reverse=True))


def redact_url(url: str) -> str:
    """Scheme, host and path of a URL: no user, query or fragment."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
    except ValueError:
        return "(a URL that cannot be read)"


class RedactingFilter(logging.Filter):
    """Redacts every record that passes, its traceback included.

    Args:
        secrets: Values to remove besides what `redact` finds by itself.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage(), self._secrets), None
        if record.exc_info and record.exc_info[0]:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            record.exc_text, record.exc_info = redact(text, self._secrets), None
        return True


def quiet_http_logging() -> None:
    """Keep URLs out of the log: httpx writes each one at INFO, and httpcore the headers of answers at DEBUG.

    Both loggers are raised to WARNING where nobody has set a level, and redacted where somebody has.
    """
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    for name in _HTTP_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, RedactingFilter) for each in logger.filters):
            logger.addFilter(RedactingFilter())
