"""Retry-After in all its forms, backoff, polling and the circuit breaker, without waiting for any of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, strategies as st

from videogen_core.retry import (
    MAX_RETRY_AFTER,
    MAX_SKEW,
    Backoff,
    Outcome,
    clock_skew,
    http_date,
    resting_until,
    retry_after,
    wait_for,
)

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"
LATER = "Fri, 20 Nov 2026 12:02:00 GMT"


@pytest.mark.promise("K4", "T5")
@pytest.mark.parametrize(
    ("value", "date_header", "seconds"),
    [
        ("120", None, 120.0),
        (" 2.5 ", None, 2.5),
        ("0", None, 0.0),
        ("-5", None, 0.0),
        ("1e9", None, 1e9),
        (LATER, NOON, 120.0),
        ("Friday, 20-Nov-26 12:02:00 GMT", NOON, 120.0),
        ("Fri Nov 20 12:02:00 2026", NOON, 120.0),
        ("Fri, 20 Nov 2026 13:02:00 +0100", NOON, 120.0),
        ("Fri, 20 Nov 2026 12:02:00 -0000", NOON, 120.0),
        (NOON, LATER, 0.0),
        (None, NOON, None),
        ("", NOON, None),
        ("soon", NOON, None),
        ("1_000", None, None),
        ("\uff11\uff12", None, None),
        ("0x10", None, None),
        ("1,5", None, None),
        ("Wed, 31 Dec 1969 00:00:00 GMT", NOON, 0.0),
        ("nan", None, None),
        ("inf", None, None),
        ("-Infinity", None, None),
        ("9" * 400, None, None),
        ("Fri, 99 Nov 2026 12:02:00 GMT", NOON, None),
        (LATER, None, None),
        (LATER, "yesterday", None),
    ],
)
def test_retry_after_forms(value: str | None, date_header: str | None, seconds: float | None) -> None:
    assert retry_after(value, date_header) == seconds


@pytest.mark.promise("K4")
def test_a_wrong_clock_here_does_not_matter() -> None:
    for ours in (datetime(1999, 1, 1, tzinfo=UTC), datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)):
        assert retry_after(LATER, NOON, now=ours) == 120


@pytest.mark.promise("K4", "T5")
@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        (0.0, 0.0),
        (-3.0, 0.0),
        (1.0, 1.0),
        (90.0, 90.0),
        (MAX_RETRY_AFTER, MAX_RETRY_AFTER),
        (MAX_RETRY_AFTER + 1, None),
        (1e9, None),
        (math.inf, None),
        (math.nan, None),
    ],
)
def test_a_wait_is_obeyed_or_reported_never_cut_short(asked: float, wait: float | None) -> None:
    assert wait_for(asked) == wait


@pytest.mark.promise("K4")
@given(st.floats(allow_nan=True))
def test_no_wait_is_shorter_than_asked(asked: float) -> None:
    wait = wait_for(asked)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER
    assert wait is None or wait >= asked


@pytest.mark.promise("K6")
def test_a_wrong_clock_is_detected() -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for seconds in (-86_400, -61, 61, 3_600):
        assert clock_skew(NOON, now=noon + timedelta(seconds=seconds)) == seconds
    for seconds in (-60, 0, 12.5, 60):
        assert clock_skew(NOON, now=noon + timedelta(seconds=seconds)) is None
    for garbage in (None, "", "noon", "Fri, 99 Nov 2026 12:00:00 GMT"):
        assert clock_skew(garbage, now=noon) is None
    assert MAX_SKEW == 60


def test_dates_of_headers_are_aware() -> None:
    assert http_date(NOON) == http_date("Fri, 20 Nov 2026 12:00:00") == datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert http_date("") is http_date(None) is None


def test_a_date_without_the_responses_own_is_measured_against_the_clock_passed_in() -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert retry_after(LATER, now=noon) == 120
    assert retry_after(LATER, "garbage", now=noon) == 120
    assert retry_after(LATER, LATER, now=noon) == 0


def test_a_wait_beyond_patience_is_reported_as_it_is() -> None:
    assert (retry_after("1e9") or 0) > MAX_RETRY_AFTER


@given(st.text(), st.one_of(st.none(), st.text()))
def test_retry_after_survives_any_header(value: str, date_header: str | None) -> None:
    seconds = retry_after(value, date_header)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(st.floats(0.01, 60), st.floats(0.01, 600), st.integers(-1, 200), st.integers())
def test_backoff_stays_between_half_and_all_of_its_step(first: float, cap: float, attempts: int, seed: int) -> None:
    delays = list(Backoff(first=first, cap=cap, attempts=attempts).delays(Random(seed)))
    assert len(delays) == max(attempts - 1, 0)
    for attempt, delay in enumerate(delays):
        step = min(first * 2.0 ** min(attempt, 60), cap)
        assert step / 2 <= delay <= step


def test_backoff_of_thousands_of_tries_does_not_overflow() -> None:
    assert max(Backoff(attempts=5_000).delays(Random(1))) <= 60


def test_backoff_is_jittered_and_repeatable() -> None:
    backoff = Backoff()
    assert list(backoff.delays(Random(1))) == list(backoff.delays(Random(1)))
    assert list(backoff.delays(Random(1))) != list(backoff.delays(Random(2)))


def outcomes(text: str) -> list[Outcome]:
    """``x`` = the provider failed, ``.`` = it did not; one a minute."""
    return [Outcome(at=60.0 * i, provider_failed=letter == "x") for i, letter in enumerate(text)]


@pytest.mark.parametrize(
    ("history", "rest"),
    [
        ("", None),
        ("xx", None),
        ("xxx", 30),
        ("xxxx", 60),
        ("xxxxx", 120),
        (".xxx", 30),
        ("xxx.", None),
        ("xxx.xx", None),
        ("xxx.xxx", 30),
        ("x" * 8, 900),
        ("x" * 2_000, 900),
    ],
)
def test_the_breaker_opens_doubles_and_closes(history: str, rest: float | None) -> None:
    recent = outcomes(history)
    expected = None if rest is None else recent[-1].at + rest
    assert resting_until(recent) == expected


@given(st.text("x.", max_size=40), st.integers(1, 6))
def test_a_success_always_closes_the_breaker(history: str, threshold: int) -> None:
    assert resting_until(outcomes(history + "."), threshold=threshold) is None
    open_until = resting_until(outcomes(history + "x" * threshold), threshold=threshold)
    assert open_until is not None
    assert open_until >= outcomes(history + "x" * threshold)[-1].at + 30
