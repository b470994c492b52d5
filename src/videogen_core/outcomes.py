"""What a vendor's answer means, or the lack of one: usable, refused, or nobody knows. For plugins, beside `calls`.

An answer that is not what it should be fails with a `ProviderProtocolError` and nothing else. Whether a create was
accepted is decided here once, in `accepted`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, overload

from . import transport
from .errors import (
    AuthenticationError,
    InsufficientCreditsError,
    PermissionDeniedError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RejectedRequestError,
)
from .redaction import redact
from .retry import clock_skew, http_date
from .secret import masked
from .strict_json import NotJSONError, decode

__all__ = ["Answer", "accepted", "error_for_status", "unavailable", "usable_id"]

_USABLE_ID = re.compile(r"[\x21-\x7e]{1,512}")
_REQUEST_IDS = ("x-request-id", "request-id", "x-goog-request-id", "x-amzn-requestid", "trace-id", "x-trace-id")
_LONGEST_MESSAGE = 500  # characters of a vendor's words
_LONGEST_ECHO = 16 * 1024  # characters of them that are looked through for keys
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a vendor's API said.

    Attributes:
        provider: Adapter id.
        status: HTTP status.
        headers: Names in lower case.
        body: Decompressed, and within `calls.MAX_ANSWER`.
    """

    provider: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def ok(self) -> bool:
        """Whether the status is a success. That a create succeeded takes a usable id as well."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")

    @property
    def request_id(self) -> str | None:
        """The vendor's id of the request, where one of the usual headers has it."""
        found = (self.headers.get(name) for name in _REQUEST_IDS)
        return next((masked(value) for value in found if value and usable_id(value)), None)

    @property
    def date(self) -> datetime | None:
        """When the vendor answered, by its own clock."""
        return http_date(self.headers.get("date"))

    @property
    def retry_after(self) -> float | None:
        """Seconds that the vendor asks to wait."""
        return transport.asked_to_wait(self.headers)

    @overload
    def json(self) -> Any: ...

    @overload
    def json(self, kind: type[T]) -> T: ...

    def json(self, kind: Any = Any) -> Any:
        """The body as strict JSON, fields that nobody asked for included.

        Args:
            kind: What it has to be: a ``msgspec.Struct``, a dataclass or a type such as ``dict[str, int]``; a struct
                leaves out the fields that it does not name. Left out: whatever it is.

        Raises:
            ProviderProtocolError: It is no such thing.
        """
        try:
            return decode(self.body, kind)
        except NotJSONError as error:
            raise self.garbled(str(error)) from None

    def id(self, value: object) -> str:
        """An id that the answer holds, once it is known to be usable.

        Raises:
            ProviderProtocolError: It is not 1 to 512 visible ASCII characters.
        """
        if isinstance(value, str) and usable_id(value):
            return value
        del value  # crash reports show local variables
        raise self.garbled("it holds no usable id")

    def garbled(self, why: str) -> ProviderProtocolError:
        """The error of an answer that cannot be used; asking again may help, unless it answers a create."""
        return ProviderProtocolError(
            f"{self.provider} answered {self.status} with what its documentation does not allow: {redact(why)}.",
            provider=self.provider,
            status_code=self.status,
            request_id=self.request_id,
            retryable=True,
            accepted=accepted(self.status),
        )

    def error(
        self,
        message: str = "",
        *,
        code: str | None = None,
        model: str | None = None,
        reject_statuses: Collection[int] = (),
    ) -> ProviderError:
        """The error that the answer's status stands for; see `error_for_status`.

        Args:
            message: The vendor's words; left out: the beginning of the body.
            code: The vendor's own error code.
            model: Offer id.
            reject_statuses: See `accepted`.
        """
        error = error_for_status(
            self.status,
            redact((message or self.text)[:_LONGEST_ECHO])[:_LONGEST_MESSAGE],  # half a key would not be recognised
            provider=self.provider,
            model=model,
            code=code,
            request_id=self.request_id,
            retry_after=self.retry_after,
            reject_statuses=reject_statuses,
        )
        if self.status in (400, 401, 403) and (skew := _skew(self.headers)):
            error.hint = skew
        return error


def usable_id(value: str | None) -> bool:
    """Whether a text can be an id of a vendor: 1 to 512 visible ASCII characters."""
    return value is not None and _USABLE_ID.fullmatch(value) is not None


# --- accepted or not

# Documented by HTTP and by vendors as "not accepted"; every other status leaves it open.
_NOT_ACCEPTED = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 429})


def accepted(status: int, *, has_id: bool = False, reject_statuses: Collection[int] = ()) -> bool | None:
    """Whether a create was accepted, as far as its answer tells: True, False, or None when nobody knows.

    Args:
        status: HTTP status.
        has_id: Whether a usable id came with it; without one a success is no success.
        reject_statuses: What this vendor documents as "not accepted" beyond HTTP's own, such as a 503 that it sends
            before it looks at the request. Cite the page beside it.
    """
    if 200 <= status < 300:
        return True if has_id else None
    return False if status in _NOT_ACCEPTED or (status >= 400 and status in reject_statuses) else None


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
    reject_statuses: Collection[int] = (),
) -> ProviderError:
    """The error that an HTTP status stands for, unless the vendor's own code says it better.

    Its ``accepted`` is as `accepted` says: a 500 may come after the job was made.

    Args:
        status: HTTP status.
        message: The vendor's words; redacted here.
        provider: Adapter id.
        model: Offer id.
        code: The vendor's own error code.
        request_id: The vendor's id of the request.
        retry_after: Seconds that the provider asks to wait.
        reject_statuses: See `accepted`.
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
        accepted=accepted(status, reject_statuses=reject_statuses),
        hint=hint,
    )


def unavailable(error: BaseException, *, provider: str, action: str) -> ProviderUnavailableError:
    """The error to raise when a call to a provider failed on the wire.

    ``accepted`` is False when the exception proves that nothing was sent, else None.

    Args:
        error: What the HTTP library raised. Raise the result from `redaction.cause_of` it, not from itself: its frames
            hold the request's headers.
        provider: Adapter id.
        action: What was being done, such as ``submit``.
    """
    unsent = transport.never_sent(error)
    return ProviderUnavailableError(
        f"{provider}: {action} failed: {transport.describe(error)}.",
        provider=provider,
        retryable=not transport.is_malformed(error),
        accepted=False if unsent else None,
        hint="Nothing was sent. Check the network connection and try again."
        if unsent
        else "The request may have arrived.",
    )


def _skew(headers: Mapping[str, str]) -> str | None:
    """A hint, when this machine's clock is so wrong that signatures and tokens are refused."""
    skew = clock_skew(headers.get("date"), now=datetime.now(UTC))
    if skew is None:
        return None
    where = "ahead of" if skew > 0 else "behind"
    return f"This machine's clock is {abs(skew):.0f} s {where} the provider's; signed requests fail until it is set."
