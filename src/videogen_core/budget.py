"""Budgets: how much may be spent in a period, on what, and when to warn. Pure; the ledger keeps the counters.

A budget promises this: what is settled and what is held in a period never goes over its limit by a reservation of
ours. A provider that charges more than it could have is booked as it is, and blocks the budget until somebody looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import RequestError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = [
    "Budget",
    "BudgetState",
    "Crossing",
    "Period",
    "dollars",
    "make_budget",
    "micro",
    "window",
]

_MICRO = 1_000_000
_MOST = 10**12  # US dollars
_UP = Context(prec=60, rounding=ROUND_CEILING)  # our own: neither its precision nor its rounding is the caller's


class Period(StrEnum):
    """How often a budget starts over: at midnight, on Monday, on the first of the month, or never."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A limit on what may be spent.

    Attributes:
        name: What it is called.
        limit: USD in each period.
        period: When it starts over.
        timezone: IANA name of the zone in which days begin.
        provider: Only what this adapter id is asked for.
        model: Only this model: a shared name or an offer id.
        tags: Only jobs that carry all of these.
        warn: Shares of the limit, 0 to 1, at which a warning event is told.
    """

    name: str
    limit: Decimal
    period: Period = Period.MONTH
    timezone: str = "UTC"
    provider: str | None = None
    model: str | None = None
    tags: dict[str, str] = {}
    warn: tuple[float, ...] = (0.8,)

    def covers(self, *, offer: str, model: str, tags: Mapping[str, str]) -> bool:
        """Whether an attempt counts.

        Args:
            offer: Offer id, ``provider/name``.
            model: Shared model name.
            tags: The job's labels.
        """
        return (
            self.provider in (None, offer.partition("/")[0])
            and self.model in (None, offer, model)
            and all(tags.get(key) == value for key, value in self.tags.items())
        )

    @property
    def scope(self) -> str:
        """What it covers, in words."""
        parts = [f"provider {self.provider}"] if self.provider else []
        parts += [f"model {self.model}"] if self.model else []
        parts += [f"{key}={value}" for key, value in sorted(self.tags.items())]
        return ", ".join(parts) or "everything"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; the limit is a string."""
        return {
            "name": self.name,
            "limit": str(self.limit),
            "period": self.period.value,
            "timezone": self.timezone,
            "provider": self.provider,
            "model": self.model,
            "tags": dict(self.tags),
            "warn": list(self.warn),
        }


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """A budget in its present period.

    Attributes:
        budget: The budget.
        starts: Beginning of the period, aware UTC; None = it never began (``total``).
        ends: End of it; None = never.
        settled: USD booked.
        held: USD reserved for what is under way or unknown.
        blocked: Why nothing may be reserved until somebody acknowledges it; empty = it is not blocked.
    """

    budget: Budget
    starts: datetime | None
    ends: datetime | None
    settled: Decimal
    held: Decimal
    blocked: str = ""

    @property
    def left(self) -> Decimal:
        """USD that may still be reserved; never below zero."""
        return Decimal(0) if self.blocked else max(self.budget.limit - self.settled - self.held, Decimal(0))

    def refusal(self, amount: Decimal) -> str | None:
        """Why a reservation of ``amount`` USD is refused, in one sentence; None when it fits."""
        if self.blocked and amount:
            return f"The budget {self.budget.name!r} is blocked: {self.blocked}."
        if amount <= self.left or not amount:
            return None
        return (
            f"The budget {self.budget.name!r} ({self.budget.scope}) has ${self.left:f} of ${self.budget.limit:f} left "
            f"{_WHEN[self.budget.period]}; ${amount:f} are needed (${self.settled:f} spent, ${self.held:f} held)."
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; amounts are strings, times ISO 8601."""
        return {
            **self.budget.to_dict(),
            "starts": None if self.starts is None else self.starts.isoformat(),
            "ends": None if self.ends is None else self.ends.isoformat(),
            "settled": str(self.settled),
            "held": str(self.held),
            "left": str(self.left),
            "blocked": self.blocked or None,
        }


_WHEN = {Period.DAY: "today", Period.WEEK: "this week", Period.MONTH: "this month", Period.TOTAL: "in all"}


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A reservation that took a budget past one of the shares at which it warns."""

    budget: str
    share: float
    taken: Decimal
    limit: Decimal

    @property
    def message(self) -> str:
        """One sentence for people."""
        return f"The budget {self.budget!r} has passed {self.share:.0%}: ${self.taken:f} of ${self.limit:f} are taken."


def micro(amount: Decimal) -> int:
    """Millionths of a dollar, rounded up, so that sums are exact integers and no hold is too small.

    What a provider says to be more than a million millions is counted as that, so that it can be written down.

    Raises:
        RequestError: It is no amount: negative, infinite, or not a number.
    """
    if not amount.is_finite() or amount < 0:
        raise RequestError(f"{amount} is no amount of money.")
    if amount >= _MOST:
        return _MOST * _MICRO
    return int(_UP.to_integral_value(_UP.multiply(amount, Decimal(_MICRO))))


def dollars(amount: int) -> Decimal:
    """The amount of so many millionths of a dollar."""
    return _UP.divide(Decimal(amount), Decimal(_MICRO))


def make_budget(
    name: Any,
    *,
    limit: Any,
    period: Any = "month",
    timezone: Any = "UTC",
    provider: Any = None,
    model: Any = None,
    tags: Mapping[str, str] | None = None,
    warn: Iterable[Any] = (0.8,),
) -> Budget:
    """A budget from a user's arguments.

    Raises:
        RequestError: One of them is wrong; the message names it.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > 100 or not name.isprintable():
        raise RequestError("name: a budget needs a name of 1 to 100 printable characters.")
    if period not in tuple(Period):
        raise RequestError(f"period: {period!r} is none.", hint=f"Allowed: {', '.join(Period)}.")
    for field, value in (("provider", provider), ("model", model)):
        if value is not None and not (isinstance(value, str) and value.strip() and value.isprintable()):
            raise RequestError(f"{field}: expected a name, got {value!r}.")
    labels = {} if tags is None else tags
    if not isinstance(labels, Mapping) or not all(isinstance(x, str) for pair in labels.items() for x in pair):
        raise RequestError(f"tags: expected a dict of text to text, got {tags!r}.", hint="Write tags={'team': 'ads'}.")
    return Budget(
        name=name.strip(),
        limit=_limit(limit),
        period=Period(period),
        timezone=_zone(timezone).key,
        provider=provider,
        model=model,
        tags=dict(labels),
        warn=_shares(warn),
    )


def _limit(value: Any) -> Decimal:
    try:
        amount = Decimal("NaN") if isinstance(value, bool) else Decimal(str(value).strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < _MOST:
        raise RequestError(f"limit: expected an amount in US dollars, got {value!r}.", hint="Write limit='25.00'.")
    if dollars(micro(amount)) != amount:
        raise RequestError(f"limit: {value!r} is finer than a millionth of a dollar.")
    return amount.copy_abs()  # no minus before a zero


def _shares(warn: Iterable[Any]) -> tuple[float, ...]:
    values = list(warn) if isinstance(warn, Iterable) and not isinstance(warn, str) else [warn]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and 0 < v <= 1 for v in values):
        raise RequestError(f"warn: expected shares above 0, up to 1, got {warn!r}.", hint="Write warn=(0.5, 0.8).")
    return tuple(sorted(set(map(float, values))))


def _zone(name: Any) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise RequestError(f"timezone: {name!r} is not known.", hint="Write a name such as 'Europe/Berlin'.") from error


def window(budget: Budget, now: datetime) -> tuple[datetime | None, datetime | None]:
    """The period that ``now`` (aware) is in: its beginning and its end, aware UTC; None where it has none.

    A day lasts from one local midnight to the next, which is 23 or 25 hours where the clocks change.
    """
    if budget.period is Period.TOTAL:
        return None, None
    zone = _zone(budget.timezone)
    # fold: where clocks go back to midnight, the day begins at the first of the two
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    match budget.period:
        case Period.DAY:
            first, after = midnight, midnight + timedelta(days=1)
        case Period.WEEK:
            first = midnight - timedelta(days=midnight.weekday())
            after = first + timedelta(days=7)
        case Period.MONTH:
            first = midnight.replace(day=1)
            after = (first + timedelta(days=32)).replace(day=1)
    return first.replace(tzinfo=zone).astimezone(UTC), after.replace(tzinfo=zone).astimezone(UTC)
