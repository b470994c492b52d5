"""A thousand and ten thousand jobs at once in one process: memory, CPU of each create and poll, and how late the
event loop gets to its other work.

The vendor is in the same process and answers at once, so that what is measured is the library: the ledger's
transactions, the tasks that wait, and the polls. What comes after, download and verification, is in ``jobs``.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from videogen_core import (
    AsyncClient,
    Context,
    JobStatus,
    Provider,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
    VideogenError,
)
from videogen_core.request import Task
from videogen_core.spec import Defaults, Mode, ModelSpec, Price

from .figures import Figure, clean_environment

SIZES = (1_000, 10_000)
POLL_EVERY = 5.0
WATCHED = 15.0
"""Seconds for which all of them are polled."""
LIMIT_KB, LIMIT_CREATE_MS, LIMIT_POLL_MS, LIMIT_LAG_MS = 40.0, 10.0, 0.5, 100.0


def measure() -> list[Figure]:
    """One run of each size, in a process of its own so that its memory is its own."""
    return [figure for jobs in SIZES for figure in _size(jobs)]


def _size(jobs: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.crowd", str(jobs), folder],
            env=clean_environment(Path(folder)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    run = json.loads(done.stdout)
    name = f"{jobs:,} concurrent jobs"
    return [
        Figure(
            name=f"{name}: memory of each",
            value=run["job_kb"],
            unit="KB",
            limit=LIMIT_KB,
            note=f"peak of the whole process {run['peak_mb']:.0f} MB",
        ),
        Figure(
            name=f"{name}: how late the event loop is while they are polled, 99 of 100 times",
            value=run["lag_p99_ms"],
            unit="ms",
            limit=LIMIT_LAG_MS,
            note=f"{run['lag_max_ms']:.0f} ms at worst, and {run['create_lag_max_ms']:.0f} ms while they are made",
        ),
        Figure(
            name=f"{name}: CPU of each until it is accepted",
            value=run["create_ms"],
            unit="ms",
            limit=LIMIT_CREATE_MS,
            note=f"all were accepted after {run['accepted_s']:.1f} s, each with 4 commits of its own to the disk",
        ),
        Figure(
            name=f"{name}: CPU of a poll",
            value=run["poll_ms"],
            unit="ms",
            limit=LIMIT_POLL_MS,
            note=f"every job once in {POLL_EVERY:g} s; {run['polls_per_s']:,.0f} polls/s were made of "
            f"{jobs / POLL_EVERY:,.0f} that were due, at {run['busy']:.0f} % of a core",
        ),
    ]


# --- what the process of a run does


class Crowd(Provider):
    """A vendor whose jobs run until somebody looks away."""

    name: ClassVar[str] = "crowd"
    concurrency: ClassVar[int] = 1_000_000

    def __init__(self) -> None:
        self.accepted = self.polls = 0

    def models(self) -> tuple[ModelSpec, ...]:
        mode = Mode(tasks=(Task.TEXT_TO_VIDEO,), durations=(1.0,), resolutions=("240p",), aspect_ratios=("16:9",))
        return (
            ModelSpec(
                id="crowd/one",
                modes=(mode,),
                default=Defaults(duration=1.0),
                prices=(Price(amount=Decimal("0.10")),),
                source="benchmarks",
                as_of=date(2026, 11, 20),
            ),
        )

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        return

    def connect(self, context: Context) -> Session:
        return CrowdSession(self)


class CrowdSession(Session):
    def __init__(self, vendor: Crowd) -> None:
        self._vendor = vendor

    async def submit(self, call: SubmitCall) -> Submission:
        self._vendor.accepted += 1
        return Submission(provider_job_id=f"job-{self._vendor.accepted}", poll_after=POLL_EVERY)

    async def poll(self, job: ProviderJob) -> Snapshot:
        self._vendor.polls += 1
        return Snapshot(status=JobStatus.RUNNING, poll_after=POLL_EVERY)


async def _work(jobs: int, folder: Path) -> dict[str, float]:
    vendor = Crowd()
    async with AsyncClient(home=folder / "home", plugins=[vendor], timeout=3600) as client:
        await client.submit("first", model="one")  # loads what there is to load
        before_kb, cpu, wall = _resident_kb(), time.process_time(), time.perf_counter()
        lags = list[float]()
        watch = asyncio.create_task(_lateness(lags))
        tasks = [asyncio.create_task(_make(client, number)) for number in range(jobs)]
        while vendor.accepted < jobs + 1:  # noqa: ASYNC110 - it counts by itself
            await asyncio.sleep(0.01)
        accepted_s, create_s = time.perf_counter() - wall, time.process_time() - cpu
        await _all_running(client, jobs)  # the first poll of each is a write
        resident_kb, create_lag = _resident_kb(), max(lags)
        lags.clear()
        polls, cpu, wall = vendor.polls, time.process_time(), time.perf_counter()
        await asyncio.sleep(WATCHED)
        polls, watched_s, poll_s = vendor.polls - polls, time.perf_counter() - wall, time.process_time() - cpu
        print(
            json.dumps(
                {
                    "job_kb": (resident_kb - before_kb) / jobs,
                    "create_ms": 1000 * create_s / jobs,
                    "accepted_s": accepted_s,
                    "poll_ms": 1000 * poll_s / polls,
                    "polls_per_s": polls / watched_s,
                    "busy": 100 * poll_s / watched_s,
                    "lag_p99_ms": 1000 * statistics.quantiles(lags, n=100)[98],
                    "lag_max_ms": 1000 * max(lags),
                    "create_lag_max_ms": 1000 * create_lag,
                    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                }
            ),
            flush=True,
        )
        os._exit(0)  # what ten thousand cancellations take is no figure of ours
    raise AssertionError((tasks, watch))


async def _lateness(lags: list[float], every: float = 0.02) -> None:
    """Seconds by which a sleeper wakes too late."""
    while True:
        due = time.perf_counter() + every
        await asyncio.sleep(every)
        lags.append(time.perf_counter() - due)


async def _all_running(client: AsyncClient, jobs: int) -> None:
    running = 0
    while running < jobs:
        await asyncio.sleep(POLL_EVERY)
        running = len(await client.jobs(status="running", limit=None))


async def _make(client: AsyncClient, number: int) -> None:
    try:
        await client.generate(f"boat {number}", model="one")
    except VideogenError as error:
        raise SystemExit(str(error)) from error


def _resident_kb() -> float:
    """Memory in use now."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


if __name__ == "__main__":
    asyncio.run(_work(int(sys.argv[1]), Path(sys.argv[2])))
