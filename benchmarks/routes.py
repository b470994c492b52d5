"""A route over hundreds and over ten thousand offers, beside asking every offer in turn.

In CPU time, which is wall time on a machine that does nothing else: a route waits for nothing.
"""

from __future__ import annotations

import statistics
import time

from videogen_core.capabilities import check
from videogen_core.catalog import Catalog
from videogen_core.request import VideoRequest
from videogen_core.routing import Policy, Prefer, route

from .catalogues import catalogue, facts, requests
from .figures import Figure, median_call

SIZES = {200: 1.0, 10_000: 20.0}  # offers -> limit in milliseconds


def measure(*, repeat: int = 15) -> list[Figure]:
    """For each size and ranking: the first request of a shape, and a repeated one."""
    return [figure for offers, limit in SIZES.items() for figure in _size(offers, limit, repeat)]


def _size(offers: int, limit: float, repeat: int) -> list[Figure]:
    build, fresh = _built(offers)
    asked = requests()
    naive = 1000 * statistics.median(median_call(lambda r=r: _naive(fresh, r), repeat=3) for r in asked[:3])  # type: ignore[misc]
    beside = f"asking each of {offers:,} offers in turn {naive:.1f} ms"
    figures = [Figure(name=f"{offers:,} offers: building the indexes, once a process", value=build, unit="ms")]
    for prefer in ("cheapest", "balanced"):
        first = _first_times(offers, prefer, rounds=3)
        again = [1000 * median_call(_asking(fresh, request, prefer), repeat=repeat) for request in asked]
        for what, times in (("first request of a shape", first), ("repeated", again)):
            figures.append(
                Figure(
                    name=f"{offers:,} offers: route, {prefer}, {what}",
                    value=statistics.median(times),
                    unit="ms",
                    limit=limit,
                    baseline=beside,
                    note=f"median of {len(asked)} shapes; from {min(times):.2f} to {max(times):.2f} ms",
                )
            )
    return figures


def _built(offers: int) -> tuple[float, Catalog]:
    """Milliseconds to build a catalogue's indexes, and the catalogue."""
    fresh = catalogue(offers)
    start = time.process_time()
    _ = fresh.standing_masks, fresh.prices, fresh.typical_latency
    return 1000 * (time.process_time() - start), fresh


def _first_times(offers: int, prefer: Prefer, *, rounds: int) -> list[float]:
    """Milliseconds of the first route of each shape, on catalogues that have seen no other of that shape."""
    times = []
    for _ in range(rounds):
        _, fresh = _built(offers)
        for request in requests():
            ask = _asking(fresh, request, prefer)
            start = time.process_time()
            ask()
            times.append(1000 * (time.process_time() - start))
    return times


class _asking:  # noqa: N801
    """One question to the router, up to the chosen offer and its itemised price."""

    def __init__(self, offers: Catalog, request: VideoRequest, prefer: Prefer) -> None:
        self._offers, self._request = offers, request
        self._policy, self._facts = Policy(prefer=prefer), facts(len(offers))

    def __call__(self) -> object:
        return route(self._request, self._policy, self._offers, self._facts).chosen.quote


def _naive(offers: Catalog, request: VideoRequest) -> int:
    return sum(not check(spec, request) for spec in offers.offers)
