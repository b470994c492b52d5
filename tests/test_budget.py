"""Budgets without a ledger: exact amounts, and periods that begin at midnight where the user is."""

from __future__ import annotations

import decimal
import zoneinfo
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies as st

from videogen_core import RequestError
from videogen_core.budget import Budget, BudgetState, Period, dollars, make_budget, micro, window

ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})


# --- amounts


@pytest.mark.promise("B4")
@given(st.decimals(0, 10**9, allow_nan=False, allow_infinity=False))
def test_an_amount_is_never_counted_for_less_than_it_is(amount: Decimal) -> None:
    counted = micro(amount)
    assert 0 <= Fraction(counted, 10**6) - Fraction(amount) < Fraction(1, 10**6)
    assert micro(dollars(counted)) == counted


@pytest.mark.promise("B4")
@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_sums_are_exact(one: int, two: int) -> None:
    assert dollars(one) + dollars(two) == dollars(one + two)


@pytest.mark.promise("B4")
def test_the_caller_s_decimal_context_changes_nothing() -> None:
    with decimal.localcontext() as context:
        context.prec = 3
        context.rounding = decimal.ROUND_FLOOR
        assert micro(Decimal("1234.5678901")) == 1_234_567_891
        assert str(dollars(1_234_567_891)) == "1234.567891"


@pytest.mark.promise("B4")
@pytest.mark.parametrize(
    ("text", "counted"),
    [("0", 0), ("1E-400", 1), ("0.1000000000000000000000000000000001", 100_001), ("0.3", 300_000), ("-0", 0)],
)
def test_what_is_tiny_is_rounded_up(text: str, counted: int) -> None:
    assert micro(Decimal(text)) == counted


@pytest.mark.promise("B4")
def test_an_absurd_cost_can_still_be_counted() -> None:
    for text in ("1E12", "1E30", "9E+999999"):
        assert micro(Decimal(text)) == 10**18


@pytest.mark.promise("B4")
@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "-1", "-1E-9"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="no amount"):
        micro(Decimal(text))
    with pytest.raises(RequestError, match="limit"):
        make_budget("b", limit=text)


# --- a user's arguments


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "half \ud800"}, "name"),
        ({"name": 7}, "name"),
        ({"limit": "lots"}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": None}, "limit"),
        ({"limit": "1e12"}, "limit"),
        ({"limit": "0.0000001"}, "finer"),
        ({"period": "year"}, "period"),
        ({"period": ["day"]}, "period"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"timezone": None}, "timezone"),
        ({"provider": ""}, "provider"),
        ({"model": 5}, "model"),
        ({"model": "a\0"}, "model"),
        ({"tags": ["team"]}, "tags"),
        ({"tags": {"team": 1}}, "tags"),
        ({"warn": "0.8"}, "warn"),
        ({"warn": 80}, "warn"),
        ({"warn": float("nan")}, "warn"),
        ({"warn": (0,)}, "warn"),
    ],
)
def test_a_wrong_argument_is_named(facts: dict[str, Any], says: str) -> None:
    known: dict[str, Any] = {"name": "b", "limit": 1} | facts
    with pytest.raises(RequestError, match=says):
        make_budget(known.pop("name"), **known)


def test_a_right_one_is_taken() -> None:
    budget = make_budget(" ads ", limit="$25.50", warn=[0.8, 0.5, 0.8], tags={"team": "ads"}, provider="acme")
    assert (budget.name, budget.limit, budget.warn) == ("ads", Decimal("25.50"), (0.5, 0.8))
    assert budget.scope == "provider acme, team=ads"
    assert make_budget("b", limit=0.1).limit == Decimal("0.1")
    assert str(make_budget("b", limit="-0").limit) == "0"
    assert make_budget("b", limit=1, warn=()).warn == ()


def test_what_a_budget_covers() -> None:
    facts: dict[str, Any] = {"offer": "acme/paper", "model": "paper-2", "tags": {"team": "ads", "n": "1"}}
    covering: list[dict[str, Any]] = [
        {},
        {"provider": "acme"},
        {"model": "paper-2"},
        {"model": "acme/paper"},
        {"tags": {"team": "ads"}},
        {"tags": {"team": "ads", "n": "1"}, "provider": "acme", "model": "paper-2"},
    ]
    others: list[dict[str, Any]] = [
        {"provider": "acm"},
        {"model": "paper"},
        {"tags": {"team": "art"}},
        {"tags": {"team": "ads", "x": ""}},
        {"provider": "blue", "model": "paper-2"},
    ]
    assert all(make_budget("b", limit=1, **scope).covers(**facts) for scope in covering)
    assert not any(make_budget("b", limit=1, **scope).covers(**facts) for scope in others)


def test_a_refusal_says_what_is_left() -> None:
    budget = make_budget("ads", limit=10, period="day")
    state = BudgetState(budget=budget, starts=None, ends=None, settled=Decimal(6), held=Decimal(3))
    assert state.left == 1
    assert state.refusal(Decimal(1)) is None
    assert "$1 of $10 left today; $2 are needed ($6 spent, $3 held)" in str(state.refusal(Decimal(2)))
    over = BudgetState(budget=budget, starts=None, ends=None, settled=Decimal(60), held=Decimal(3))
    assert over.left == 0
    assert over.refusal(Decimal(0)) is None
    blocked = BudgetState(budget=budget, starts=None, ends=None, settled=Decimal(0), held=Decimal(0), blocked="so")
    assert "blocked: so" in str(blocked.refusal(Decimal(1)))


# --- periods


def a_budget(period: str, zone: str) -> Budget:
    return make_budget("b", limit=1, period=period, timezone=zone)


@pytest.mark.promise("B7")
@given(
    st.sampled_from(ZONES),
    st.sampled_from([Period.DAY, Period.WEEK, Period.MONTH]),
    st.integers(631152000, 2840140800).map(lambda at: datetime.fromtimestamp(at, UTC)),
)
@example("America/Asuncion", Period.DAY, datetime(1993, 10, 1, 4, tzinfo=UTC))  # a day that begins at one o'clock
@settings(max_examples=400, deadline=None)
def test_periods_follow_each_other_without_a_gap(zone: str, period: Period, now: datetime) -> None:
    budget = a_budget(period, zone)
    starts, ends = window(budget, now)
    assert starts is not None
    assert ends is not None
    assert starts <= now < ends
    tick = timedelta(microseconds=1)
    assert window(budget, starts) == window(budget, ends - tick) == (starts, ends)
    assert window(budget, ends)[0] == ends
    assert window(budget, starts - tick)[1] == starts
    local = starts.astimezone(zoneinfo.ZoneInfo(zone))
    assert (starts.astimezone(UTC) - tick).astimezone(local.tzinfo).date() < local.date()
    assert period is not Period.WEEK or (local.weekday() == 0 or local.hour or local.minute)
    assert period is not Period.MONTH or local.day == 1


@pytest.mark.promise("B7")
@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00", 25),
        ("Europe/Berlin", "2026-11-20T12:00", 24),
        ("America/Havana", "2026-11-01T05:30", 25),  # clocks go back to midnight, so that there are two
        ("America/Havana", "2026-11-01T04:30", 25),
        ("America/Sao_Paulo", "2018-11-04T12:00", 23),  # the day began at one
        ("Australia/Lord_Howe", "2026-04-04T20:00", 24.5),
        ("Asia/Kathmandu", "2026-11-20T12:00", 24),
    ],
)
def test_a_day_is_as_long_as_it_is_where_the_user_lives(zone: str, day: str, hours: float) -> None:
    starts, ends = window(a_budget("day", zone), datetime.fromisoformat(day).replace(tzinfo=UTC))
    assert starts is not None
    assert ends is not None
    assert (ends - starts).total_seconds() == hours * 3600


@pytest.mark.promise("B7")
def test_a_total_has_no_period() -> None:
    assert window(a_budget("total", "UTC"), datetime.now(UTC)) == (None, None)
