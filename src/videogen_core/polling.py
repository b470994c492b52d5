"""When to look at a job: few looks, and the end noticed soon. Pure.

A look costs a request, and each second between the end and the next look is a second of waiting for nothing. Where the
hazard of ending is h(t), the chance per second that a job which runs still ends now, looks at intervals proportional to
1/sqrt(h(t)) cost least together (J. B. Keller, "Optimum checking schedules for systems subject to random failure",
Management Science 21(3), 1974). So they are rare while a clip cannot be done yet, dense around the time when clips of
its kind are done, and rarer and rarer for one that is overdue.

How long a model takes is taken to be log-logistic: a median, and a shape that is high when its clips take nearly the
same time. Its logarithm is bell-shaped, it has the long tail that queues have, and everything needed is in closed form
but for one integral.
"""

from __future__ import annotations

import math

import msgspec

__all__ = ["Expectation", "poll_interval", "shape_of"]

LONGEST = 30.0
"""Seconds. A clip may fail long before it could be done, and a person wants news."""
_AIM = 2.5  # seconds of delay on average, where that takes no more looks than these:
_LOOKS = 12.0
_SHARE = 1 / 16  # of the time that a clip takes; what is quick is wanted quickly
_SHAPE = 4.0  # when nothing is known of it: a quarter takes 1.3 times the median and more
_SLACKEST, _TIGHTEST = 1.5, 25.0
_STEPS = 12.0  # of the integration, to one median and to one interval


class Expectation(msgspec.Struct, frozen=True):
    """How long clips of a model take.

    Attributes:
        median: Seconds.
        shape: Of the log-logistic distribution; 4 = half of them are between 0.76 and 1.32 times the median.
    """

    median: float
    shape: float = _SHAPE

    def looks_until(self, delay: float) -> float:
        """How many looks a clip takes on average when its end is to be noticed after ``delay`` seconds on average."""
        return self.median * _effort(self.bounded_shape) / (2 * delay)

    @property
    def bounded_shape(self) -> float:
        """The shape, as far as it is believed."""
        return min(max(self.shape, _SLACKEST), _TIGHTEST)

    @property
    def delay(self) -> float:
        """Seconds that the end may stay unnoticed on average: little, unless that would take too many looks."""
        most = self.median * _effort(self.bounded_shape) / (2 * _LOOKS)
        return min(max(_AIM, most), self.median * _SHARE)


def _effort(shape: float) -> float:
    """Looks times delay, twice, for a median of one second: the square of the integral of sqrt(f(t) S(t))."""
    a, b = 0.5 + 0.5 / shape, 1.0 - 0.5 / shape
    beta = math.exp(math.lgamma(a) + math.lgamma(b) - math.lgamma(1.5))
    return beta * beta / shape


def shape_of(low: float, high: float, *, share: float = 0.75) -> float:
    """The shape of a distribution of which two quantiles are known.

    Args:
        low: Seconds that half of the clips take at most; or, for ``share`` 0.75, the lower quartile.
        high: Seconds that a ``share`` of them takes at most.
        share: 0.75 = the two are quartiles; else ``low`` is the median.
    """
    if not 0 < low < high:
        return _TIGHTEST
    odds = math.log(share / (1 - share)) * (2 if share == 0.75 else 1)
    return min(max(odds / math.log(high / low), _SLACKEST), _TIGHTEST)


def poll_interval(
    elapsed: float, expected: Expectation | None, *, shortest: float = 1.0, longest: float = LONGEST
) -> float:
    """Seconds until the next look.

    Args:
        elapsed: Seconds since the submit.
        expected: How long such clips take; None = nobody knows, and each wait is a fifth of the time passed.
        shortest: Lower bound, in seconds; it counts more than the upper one.
        longest: Upper bound, in seconds.
    """
    if expected is None or not 0 < expected.median < math.inf:
        wait = elapsed / 5
    else:
        overdue = elapsed - 2 * expected.median  # so late that it may be no clip of the kind that was expected
        wait = max(_until_next(elapsed, expected, longest), overdue / 10)
    return max(min(wait, longest), shortest)


def _until_next(elapsed: float, expected: Expectation, longest: float) -> float:
    """The wait in which the density of looks, sqrt(h(t) / 2k), adds up to one look."""
    shape, median = expected.bounded_shape, expected.median
    # with intervals of sqrt(2k / h) the mean delay is sqrt(k / 2) times the integral whose square is the effort
    weight = math.sqrt(median * _effort(shape)) / (2 * expected.delay)
    wait = done = 0.0
    while wait < longest:
        now = elapsed + wait
        step = min(max(median, now), longest) / _STEPS
        density = weight * math.sqrt(_hazard((now + step / 2) / median, shape) / median)
        step = min(step, 1 / (_STEPS * density)) if density > 0 else step
        if done + density * step >= 1:
            return wait + (1 - done) / density
        wait, done = wait + step, done + density * step
    return longest


def _hazard(y: float, shape: float) -> float:
    """Of ending, for a median of one second."""
    if y <= 0:
        return 0.0
    return shape / (y * (1.0 + math.exp(min(-shape * math.log(y), 700.0))))
