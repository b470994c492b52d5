"""When to try again and when to stop asking: backoff, ``Retry-After``, and the circuit breaker.

Pure: the clock and the dice are arguments, so every schedule can be tested without waiting.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from random import Random

import msgspec

__all__ = [
    "MAX_RETRY_AFTER",
    "MAX_SKEW",
    "PROVIDER_FAULTS",
    "Backoff",
    "Outcome",
    "clock_skew",
    "http_date",
    "resting_until",
    "retry_after",
    "wait_for",
]

MAX_RETRY_AFTER = 900.0
"""Seconds. A server that asks for a longer wait is reported, not obeyed."""
MAX_SKEW = 60.0
"""Seconds that a clock may be wrong before signatures and tokens made with it are refused."""
_SECONDS = re.compile(r"\s*[+-]?\d+(?:\.\d*)?(?:e\d{1,3})?\s*", re.ASCII | re.IGNORECASE)


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Jittered exponential waits, in seconds: a random share (half to all) of ``first`` doubled up to ``cap``."""

    first: float = 1.0
    cap: float = 60.0
    attempts: int = 5

    def delays(self, dice: Random) -> Iterator[float]:
        """One wait between each two tries: ``attempts - 1`` of them."""
        for attempt in range(self.attempts - 1):
            yield min(self.first * 2.0 ** min(attempt, 60), self.cap) * dice.uniform(0.5, 1.0)


def retry_after(value: str | None, date_header: str | None = None, *, now: datetime | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for, from either of its forms; None when absent or garbage.

    A date is measured against the response's own ``Date``, so that a wrong clock here does not matter.

    Args:
        value: The header.
        date_header: The response's ``Date``.
        now: Aware; what a date is measured against when the response has no ``Date``. Without either a date counts
            as garbage.
    """
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        seconds = float(value)
    else:
        then, sent = http_date(value), http_date(date_header) or now
        if then is None or sent is None:
            return None
        seconds = (then - sent).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def wait_for(asked: float) -> float | None:
    """What to make of a wait that a server asks for: seconds to wait, or None when it is to be reported instead.

    Neither is the request sent earlier than asked, nor does anybody sleep for hours without a word.

    Args:
        asked: Seconds, as `retry_after` gives them.
    """
    return None if math.isnan(asked) or asked > MAX_RETRY_AFTER else max(asked, 0.0)


def clock_skew(date_header: str | None, *, now: datetime) -> float | None:
    """Seconds that our clock is ahead of a server's, negative when behind; None within `MAX_SKEW`, or without a date.

    Args:
        date_header: A fresh response's ``Date``.
        now: Our clock, aware.
    """
    sent = http_date(date_header)
    skew = None if sent is None else (now - sent).total_seconds()
    return None if skew is None or abs(skew) <= MAX_SKEW else skew


def http_date(text: str | None) -> datetime | None:
    """A date of an HTTP header, aware; None when there is none or it is garbage."""
    if not text:
        return None
    from email.utils import parsedate_to_datetime  # loads sockets, for a form that few servers use

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


PROVIDER_FAULTS = frozenset({"ProviderUnavailableError", "ProviderProtocolError", "GenerationFailedError"})
"""Names of the errors that are the provider's own fault, and so count against its health."""


class Outcome(msgspec.Struct, frozen=True):
    """How one attempt at a provider ended: when, and whether the provider itself was at fault."""

    at: float
    provider_failed: bool


def resting_until(
    outcomes: Sequence[Outcome], *, threshold: int = 3, first_rest: float = 30.0, longest_rest: float = 900.0
) -> float | None:
    """When a failing provider may be probed again, or None while its circuit is closed.

    The breaker has no state of its own: it is read off the recent attempts, newest last, so that every process that
    shares a ledger sees the same one. ``threshold`` failures in a row open it; each further one doubles the rest;
    one success closes it.

    Args:
        outcomes: Recent attempts in order of time (``at`` in seconds).
        threshold: Failures in a row that open the circuit.
        first_rest: Seconds of the first rest.
        longest_rest: Upper bound of a rest, in seconds.
    """
    streak = 0
    for outcome in reversed(outcomes):
        if not outcome.provider_failed:
            break
        streak += 1
    if streak < threshold:
        return None
    rest = min(first_rest * 2.0 ** min(streak - threshold, 20), longest_rest)
    return outcomes[-1].at + rest
