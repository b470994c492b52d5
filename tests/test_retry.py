"""Retry-After in all its forms, backoff, polling and the circuit breaker, without waiting for any of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, strategies as st

from videogen_core.retry import MAX_RETRY_AFTER, Backoff, Outcome, poll_interval, resting_until, retry_after

NOON = "Fri, 20 Nov 2026 12:00:00 GMT"
LATER = "Fri, 20 Nov 2026 12:02:00 GMT"


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


finite = st.floats(0, 1e7)


@given(finite, st.one_of(st.none(), finite))
def test_polls_keep_within_their_bounds(elapsed: float, expected: float | None) -> None:
    assert 1.0 <= poll_interval(elapsed, expected) <= 15.0
    assert 0.2 <= poll_interval(elapsed, expected, shortest=0.2, longest=3.0) <= 3.0


def polls_until(done: float, expected: float | None) -> tuple[int, float]:
    """How many polls it takes to notice a clip that is done, and how late it is noticed."""
    elapsed, polls = 0.0, 0
    while elapsed < done:
        elapsed += poll_interval(elapsed, expected)
        polls += 1
    return polls, elapsed - done


@given(st.floats(1, 1_800), st.one_of(st.none(), st.floats(1, 1_800)))
def test_half_an_hour_costs_few_polls_and_little_delay(done: float, expected: float | None) -> None:
    polls, late = polls_until(done, expected)
    assert polls <= 30 + done / 10
    assert late <= 15


@given(st.floats(10, 900))
def test_a_clip_that_comes_when_expected_is_noticed_soon(expected: float) -> None:
    polls, late = polls_until(expected, expected)
    assert late <= max(1.0, expected / 10)
    assert polls <= 12 + expected / 15


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
