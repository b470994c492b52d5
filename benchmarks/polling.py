"""Polls and delay of our schedule beside a fixed interval of 5 s, on published latencies.

Simulated: a poll costs nothing here, and the clips are drawn, with a seed. ``SERVICE`` are percentiles that a service
publishes of its five-second clips: https://creativeai.run/performance, "real production numbers", a copy read on
2026-11-21. It publishes nothing below the median; there its logarithms are mirrored. ``SPREADS``: a test of eight
services saw standard deviations of 5 to 15 % between runs (https://happyhorseai.top/blog/ai-video-generator-speed-
benchmark-2026, 2026-04-09), and one of thirty models a median of 150 s (https://vivideo.ai/research/ai-video-render-
time-benchmark, 2026-06-20). What is expected is learnt from 50 earlier clips, as from the ledger.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from itertools import pairwise
from random import Random

from videogen_core.polling import Expectation, poll_interval, shape_of

from .figures import Figure

EVERY = 5.0
CLIPS = 5_000
SERVICE = {0.5: 43.0, 0.75: 48.0, 0.9: 56.0, 0.99: 72.0}
SPREADS = {"42 s, 10 %": (42.0, 0.10), "150 s, 15 %": (150.0, 0.15)}


def measure() -> list[Figure]:
    """For each distribution the share of polls, with its delay, and the same when only the median is known."""
    dice = Random(2026)
    figures = _beside("a service's published percentiles", lambda: _quantile(dice.random()), limited=True)
    for name, (median, spread) in SPREADS.items():
        figures += _beside(f"clips of {name}", lambda m=median, s=spread: m * math.exp(dice.gauss(0, s)), limited=True)  # type: ignore[misc]
    return figures


def _quantile(u: float) -> float:
    """Seconds, by interpolation of the logarithms; what is beyond the last percentile counts as that."""
    middle = SERVICE[0.5]
    mirrored = {1 - p: middle * middle / seconds for p, seconds in SERVICE.items()}
    known = sorted({**mirrored, **SERVICE}.items())
    u = min(max(u, known[0][0]), known[-1][0])
    for (p, low), (q, high) in pairwise(known):
        if u <= q:
            return low * math.exp(math.log(high / low) * (u - p) / (q - p))
    return known[-1][1]


def _beside(name: str, draw: Callable[[], float], *, limited: bool) -> list[Figure]:
    past = [draw() for _ in range(50)]
    low, middle, high = statistics.quantiles(past, n=4, method="inclusive")
    times = [draw() for _ in range(CLIPS)]
    fixed_polls = statistics.fmean(math.ceil(time / EVERY) for time in times)
    fixed_delay = statistics.fmean(math.ceil(time / EVERY) * EVERY - time for time in times)
    figures = []
    for what, expected in (
        ("", Expectation(middle, shape_of(low, high))),
        (", only its median known", Expectation(middle)),
    ):
        found = [_watched(time, expected) for time in times]
        polls, delay = statistics.fmean(n for n, _ in found), statistics.fmean(late for _, late in found)
        beside = f"{polls:.2f} polls and {delay:.2f} s late; every 5 s {fixed_polls:.2f} and {fixed_delay:.2f} s"
        figures += [
            Figure(
                name=f"{name}{what}: polls, of those at a fixed interval",
                value=polls / fixed_polls,
                unit="x",
                limit=0.5 if limited and not what else None,
                baseline=beside,
            ),
            Figure(
                name=f"{name}{what}: mean delay, of that at a fixed interval",
                value=delay / fixed_delay,
                unit="x",
                limit=1.0 if limited and not what else None,
            ),
        ]
    return figures


def _watched(done: float, expected: Expectation) -> tuple[int, float]:
    elapsed, polls = 0.0, 0
    while elapsed < done:
        elapsed += poll_interval(elapsed, expected)
        polls += 1
    return polls, elapsed - done
