"""One call to a vendor's HTTP API, for plugins: sent once, and read within bounds.

`call` sends a request and gives an `Answer`, whatever its status; `outcomes` says what that means.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import transport
from .errors import ProviderError, ProviderUnavailableError
from .outcomes import Answer, accepted, unavailable
from .redaction import cause_of
from .retry import wait_for
from .secret import masked

if TYPE_CHECKING:
    import httpx

__all__ = ["MAX_ANSWER", "call", "get_with_retry"]

MAX_ANSWER = 2 * 1024**2
"""Bytes. A longer answer of an API is not read, unless `call` is told otherwise."""
_KEY_PARAMETERS = frozenset(
    {"key", "api_key", "apikey", "api-key", "access_token", "secret", "client_secret", "password"}
)


async def call(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    provider: str,
    action: str,
    timeout: float = 60.0,
    max_bytes: int = MAX_ANSWER,
    **parts: Any,
) -> Answer:
    """Send one request, without retries and redirects, and read the answer within bounds.

    Keys belong in the headers of the client, ``context.http(headers=...)``; in an address they would end up in logs.

    Args:
        http: The client, from ``context.http``.
        method: HTTP method.
        url: Where to; may be relative to the client's ``base_url``.
        provider: Adapter id.
        action: What is being done, for messages: ``submit``, ``poll``.
        timeout: Seconds for everything. For a create, pass the call's own.
        max_bytes: The longest answer that is read; more where a vendor's answer holds the clip itself.
        **parts: Of the request, as ``httpx.AsyncClient.build_request`` takes them: ``json``, ``params``, ``headers``,
            ``content``, ``data``, ``files``.

    Raises:
        ProviderUnavailableError: It failed on the wire, or could not even be written; ``accepted`` is False when
            nothing was sent.
        ProviderProtocolError: The answer is too long or cannot be decompressed.
    """
    answer = await _answer(http, method, url, parts, provider, action, timeout, max_bytes)
    del url, parts  # whoever prints this frame's variables is not to see what was sent
    if isinstance(answer, Answer):
        return answer
    raise answer


async def _answer(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    parts: dict[str, Any],
    provider: str,
    action: str,
    timeout: float,
    max_bytes: int = MAX_ANSWER,
) -> Answer | ProviderError:
    """`call`, with its failures returned, so that no frame that knows the request hangs on the exception."""
    fault = ""
    try:
        request = http.build_request(method, url, **parts)
        request.headers["Accept-Encoding"] = "identity"
        if _holds_key(request.url):
            fault = "its address holds a key, which belongs in a header"
    except transport.network_errors() as error:
        fault = transport.describe(error)
    except (TypeError, ValueError) as error:
        fault = f"a part of it cannot be written ({type(error).__name__})"
    if fault:
        return ProviderUnavailableError(
            f"{provider}: {action} was not sent: {fault}.", provider=provider, retryable=False, accepted=False
        )
    return await _exchange(http, request, provider, action, timeout, max_bytes)


def _holds_key(url: httpx.URL) -> bool:
    text = str(url)
    return bool(url.userinfo) or masked(text) != text or any(name.lower() in _KEY_PARAMETERS for name in url.params)


async def _exchange(
    http: httpx.AsyncClient, request: httpx.Request, provider: str, action: str, timeout: float, max_bytes: int
) -> Answer | ProviderError:
    """Send a request and read its answer; failures are returned, and keep no frame of the HTTP library."""
    import anyio
    import httpx

    try:
        with anyio.fail_after(timeout):
            response = await http.send(request, stream=True, follow_redirects=False)
            try:
                return await _read(response, provider, max_bytes)
            finally:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
    except ProviderError as error:
        return error.with_traceback(None)
    except TimeoutError:
        failure: Exception = httpx.ReadTimeout(f"no answer within {timeout:g} s")
    except transport.network_errors() as error:
        failure = error  # type: ignore[assignment]
    answer = unavailable(failure, provider=provider, action=action)
    answer.__cause__ = cause_of(failure)
    return answer


async def _read(response: httpx.Response, provider: str, max_bytes: int) -> Answer:
    """The answer with its body. A refusal counts even when its body does not arrive."""
    answer = Answer(
        provider=provider,
        status=response.status_code,
        headers={name.lower(): value for name, value in response.headers.items()},
    )
    fault = ""
    try:
        body = await _body(response, max_bytes)
    except _UnreadableError as error:
        body, fault = b"", str(error)
    except transport.network_errors():
        if accepted(answer.status) is not False:
            raise
        body = b""
    if fault and answer.ok:
        raise answer.garbled(fault)
    return Answer(provider=provider, status=answer.status, headers=answer.headers, body=body)


class _UnreadableError(Exception):
    """The body is too long, or not what its encoding says."""


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    inflate = _inflater(response.headers.get("content-encoding", "").strip().lower())
    body, end = bytearray(), False
    async for chunk in response.aiter_raw():
        body += inflate(chunk, max_bytes + 1 - len(body))
        end = True
        if len(body) > max_bytes:
            raise _UnreadableError(f"it is longer than {max_bytes:,} bytes")
    if end:
        inflate(b"", 0)
    return bytes(body)


def _inflater(encoding: str) -> Callable[[bytes, int], bytes]:
    """What decompresses a chunk to at most so many bytes, for a server that compresses though it was asked not to.

    With an empty chunk it says whether the end is missing.

    Raises:
        _UnreadableError: The encoding is not known.
    """
    if encoding in ("", "identity"):
        return lambda chunk, most: chunk
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise _UnreadableError("it is compressed in a way that was not asked for")
    stream = zlib.decompressobj(wbits=47)  # 32: by the header, gzip or zlib; 15: any window

    def inflate(chunk: bytes, most: int) -> bytes:
        if not chunk:
            if not stream.eof:
                raise _UnreadableError("it is compressed and breaks off")
            return b""
        try:
            return stream.decompress(chunk, most)
        except zlib.error:
            raise _UnreadableError("it is not compressed as it says") from None

    return inflate


# --- repeated reads


class _TryAgainError(Exception):
    """What may be better next time; its text holds no URL, since retry hooks log it."""

    def __init__(self, outcome: Answer | ProviderError) -> None:
        super().__init__(f"HTTP status {outcome.status}" if isinstance(outcome, Answer) else type(outcome).__name__)
        self.outcome = outcome


async def get_with_retry(
    http: httpx.AsyncClient,
    url: str,
    *,
    provider: str,
    action: str,
    attempts: int = 5,
    timeout: float = 60.0,
    **parts: Any,
) -> Answer:
    """GET, repeated on 429, 408, 5xx and connection failures; ``Retry-After`` is obeyed.

    When tries, time or patience end, the last answer is returned whatever its status: a server that asks for more
    than `retry.MAX_RETRY_AFTER` seconds, or more than is left, is reported at once.

    Args:
        http: See `call`.
        url: What to read; must be safe to repeat.
        provider: See `call`.
        action: See `call`.
        attempts: Tries at most.
        timeout: Seconds for everything.
        **parts: See `call`.

    Raises:
        ProviderUnavailableError: The last try failed on the wire.
        ProviderProtocolError: See `call`.
    """
    import anyio
    import stamina

    deadline = anyio.current_time() + timeout

    def again(error: Exception) -> bool | float:
        if not isinstance(error, _TryAgainError):
            return False
        asked = error.outcome.retry_after
        wait = None if asked is None else wait_for(asked)
        return asked is None or (wait is not None and wait <= deadline - anyio.current_time() and wait)

    outcome: Answer | ProviderError
    try:
        async for attempt in stamina.retry_context(on=again, attempts=attempts, timeout=timeout, wait_initial=0.5):
            with attempt:
                left = max(deadline - anyio.current_time(), 0.01)
                outcome = await _answer(http, "GET", url, parts, provider, action, left)
                if _may_improve(outcome):
                    raise _TryAgainError(outcome)
    except _TryAgainError as error:
        outcome = error.outcome
    del url, parts
    if isinstance(outcome, Answer):
        return outcome
    raise outcome


def _may_improve(outcome: Answer | ProviderError) -> bool:
    if isinstance(outcome, Answer):
        return outcome.status in (408, 429) or outcome.status >= 500
    return isinstance(outcome, ProviderUnavailableError) and outcome.retryable
