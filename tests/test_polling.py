"""When to look at a job: within bounds, the same each time, and near the best that any schedule can do."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, strategies as st

from vendor import Acme, offer
from videogen_core import AsyncClient, Latency, SubmitCall
from videogen_core.engine import Clock, watching
from videogen_core.engine.watching import expectation
from videogen_core.ledger import Observations
from videogen_core.polling import LONGEST, Expectation, poll_interval, shape_of

seconds = st.floats(0, 1e7)
medians = st.floats(0.01, 1e5)
shapes = st.floats(0, 1e3)
expectations = st.one_of(st.none(), st.builds(Expectation, medians, shapes))


@given(seconds, expectations)
def test_a_wait_keeps_within_its_bounds(elapsed: float, expected: Expectation | None) -> None:
    assert 1.0 <= poll_interval(elapsed, expected) <= LONGEST
    assert 0.2 <= poll_interval(elapsed, expected, shortest=0.2, longest=3.0) <= 3.0


@given(seconds, expectations, st.floats(LONGEST, 900))
def test_what_the_vendor_asks_for_counts_more_than_our_own_bound(
    elapsed: float, expected: Expectation | None, least: float
) -> None:
    assert poll_interval(elapsed, expected, shortest=least) == least


@given(seconds, expectations)
def test_the_same_question_has_the_same_answer(elapsed: float, expected: Expectation | None) -> None:
    assert poll_interval(elapsed, expected) == poll_interval(elapsed, expected)


@pytest.mark.parametrize("median", [0.0, -1.0, math.nan, math.inf])
def test_an_expectation_that_is_none_is_taken_for_none(median: float) -> None:
    assert poll_interval(50, Expectation(median)) == poll_interval(50, None) == 10


@given(st.floats(5, 2_000), shapes)
def test_looks_are_densest_where_the_end_is_likeliest(median: float, shape: float) -> None:
    """The hazard of a log-logistic time is greatest somewhat behind its median; waits grow from there on."""
    expected = Expectation(median, max(shape, 3.0))
    behind = [poll_interval(median * factor, expected, shortest=0, longest=1e9) for factor in (2, 4, 8)]
    assert behind == sorted(behind)
    early = poll_interval(median * 0.2, expected, shortest=0, longest=1e9)
    assert early > poll_interval(median, expected, shortest=0, longest=1e9)


@given(st.floats(1, 3_600), expectations)
def test_an_hour_costs_few_looks_and_little_delay_whatever_was_expected(
    done: float, expected: Expectation | None
) -> None:
    looks, late = watched(done, expected)
    assert late <= LONGEST
    # at one a second it would be thousands, however wrong the expectation is
    assert looks <= 60 + done / 10


def watched(done: float, expected: Expectation | None, **bounds: float) -> tuple[int, float]:
    """How many looks it takes to notice the end, and how late it is noticed."""
    elapsed, looks = 0.0, 0
    while elapsed < done:
        elapsed += poll_interval(elapsed, expected, **bounds)
        looks += 1
    return looks, elapsed - done


def log_logistic(expected: Expectation, dice: Random) -> float:
    u = dice.random()
    return expected.median * (u / (1 - u)) ** (1 / expected.shape)


@pytest.mark.parametrize(("median", "shape"), [(43, 10), (43, 4), (150, 10), (400, 10), (400, 3)])
def test_looks_and_delay_are_what_the_theory_says(median: float, shape: float) -> None:
    """Without the bounds, and but for the last look, which comes after the end by its nature."""
    expected, dice = Expectation(median, shape), Random(7)
    found = [watched(log_logistic(expected, dice), expected, shortest=0, longest=1e9) for _ in range(500)]
    looks, delay = fmean(n for n, _ in found) - 0.5, fmean(late for _, late in found)
    # theory calls an end's delay half its interval, whereas waits that shrink within it leave less
    assert 0.7 * expected.delay <= delay <= 1.15 * expected.delay
    assert looks == pytest.approx(expected.looks_until(expected.delay), rel=0.2, abs=0.6)


@pytest.mark.parametrize(("median", "shape"), [(43, 10), (43, 4), (150, 10), (400, 20)])
def test_a_fixed_interval_costs_more(median: float, shape: float) -> None:
    """Of the same delay, for the same clips."""
    expected, dice = Expectation(median, shape), Random(8)
    times = [log_logistic(expected, dice) for _ in range(500)]
    ours = [watched(time, expected) for time in times]
    looks, delay = fmean(n for n, _ in ours), fmean(late for _, late in ours)
    fixed = fmean(math.ceil(time / (2 * delay)) for time in times)
    assert looks < (0.6 if shape >= 10 else 0.9) * fixed


def test_quartiles_and_a_bad_hour_tell_the_shape() -> None:
    for shape in (2.0, 4.0, 10.0):
        quantile = {p: 60 * (p / (1 - p)) ** (1 / shape) for p in (0.25, 0.75, 0.95)}
        assert shape_of(quantile[0.25], quantile[0.75]) == pytest.approx(shape)
        assert shape_of(60, quantile[0.95], share=0.95) == pytest.approx(shape)
    assert shape_of(5, 5) == shape_of(5, 4) == shape_of(0, 5) == 25.0
    assert shape_of(1, 1e9) == 1.5


def test_what_happened_here_counts_more_than_the_catalogue() -> None:
    spec = offer("acme", latency=Latency(typical=60, slow=240))
    unknown = offer("acme", latency=None)
    assert expectation(unknown, Observations()) is None
    assert expectation(offer("acme", latency=Latency(typical=60)), Observations()) == Expectation(60)
    said = expectation(spec, Observations())
    assert said is not None
    assert (said.median, round(said.shape, 2)) == (60, 2.12)
    assert expectation(spec, Observations(latency={spec.id: 30})) == Expectation(30)
    seen = Observations(latency={spec.id: 30}, quartiles={spec.id: (25, 36)})
    assert expectation(spec, seen) == Expectation(30, shape_of(25, 36))


# --- in the engine


class Hours(Clock):
    """A clock that waits for nobody, and writes down what it was asked to wait."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return datetime.fromtimestamp(1.7e9 + self.passed, UTC)

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds
        self.waits.append(seconds)


Waits = Callable[..., Any]


@pytest.fixture
def waits(tmp_path: Path) -> Waits:
    """The waits of one job that is done after some seconds at a vendor."""

    async def run(done: float, **options: Any) -> list[float]:
        settings = options.pop("settings", {})
        clock, vendor = Hours(), Timed(tmp_path / "vendor", done, options)
        async with AsyncClient(home=tmp_path / "home", plugins=[vendor], probe_in_process=True, **settings) as client:
            client._clock = vendor.clock = clock
            await client.generate("boat", model="paper")
        return clock.waits

    return run


class Timed(Acme):
    """A vendor whose jobs take a time of the clock, and that says no more than it has to."""

    def __init__(self, folder: Path, done: float, options: dict[str, Any]) -> None:
        latency = options.get("latency", Latency(typical=40, slow=60))
        super().__init__(folder, offers=(offer("acme", latency=latency),))
        self.poll_every = options.get("poll_every", 1.0)
        self.done, self.errors = done, options.get("errors", 0)
        self.clock = Hours()

    def connect(self, context: Any) -> Any:
        vendor, session = self, super().connect(context)
        poll, submit = session.poll, session.submit

        async def submitted(call: SubmitCall) -> Any:
            return watching.replace(await submit(call), poll_after=None)

        async def polled(job: Any) -> Any:
            from videogen_core import JobStatus, RateLimitError, Snapshot

            if vendor.errors:
                vendor.errors -= 1
                raise RateLimitError("Not so often.", retry_after=50)
            if vendor.clock.passed < vendor.done:
                return Snapshot(status=JobStatus.RUNNING)
            while (snapshot := await poll(job)).status is not JobStatus.SUCCEEDED:
                pass
            return snapshot

        session.poll, session.submit = polled, submitted
        return session


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_job_is_looked_at_as_its_model_behaves(waits: Waits) -> None:
    found = await waits(45)
    expected = Expectation(40, shape_of(40, 60, share=0.95))
    elapsed = 0.0
    for wait in found:
        assert wait == pytest.approx(poll_interval(elapsed, expected), abs=0.01)
        elapsed += wait
    assert len(found) <= 7
    assert found[0] > 20


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_vendor_and_the_user_have_the_last_word(waits: Waits) -> None:
    assert min(await waits(60, poll_every=12.0)) >= 12
    assert set(await waits(20, poll_every=12.0, settings={"poll_interval": 4.0})) == {4.0}
    assert 50 in await waits(60, errors=1)  # Retry-After
