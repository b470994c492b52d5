"""Limits and outages: nothing is asked earlier than the vendor allows, and an outage is not made worse."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import rig
from history import check
from videogen_core import AsyncClient, RateLimitError, VideogenError
from videogen_core.engine.clock import Clock
from videogen_core.polling import Expectation, poll_interval
from videogen_core.testing import Entry, Fault, Script, ServerProcess, serve_process

JOBS = 50
SLACK = 0.05


@pytest.fixture(scope="module")
def vendor() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


@pytest.fixture
def acme(vendor: ServerProcess) -> ServerProcess:
    vendor.reset()
    vendor.change(kind="N")
    vendor.script_all(Script(polls=2, times=None))
    return vendor


def faster(patch: pytest.MonkeyPatch, times: float) -> None:
    """Let the engine wait by a clock that runs faster than ours, so that minutes pass in seconds."""
    began = time.monotonic()

    async def sleep(self: Clock, seconds: float) -> None:
        await anyio.sleep(seconds / times)

    patch.setattr(Clock, "sleep", sleep)
    patch.setattr(Clock, "monotonic", lambda self: began + (time.monotonic() - began) * times)


async def crowd(videogen: AsyncClient, jobs: int) -> list[Any]:
    """Make so many clips at once; results and errors."""
    answers: list[Any] = []

    async def one(number: int) -> None:
        try:
            answers.append(await videogen.generate(f"boat {number}", model="paper", timeout=60))
        except VideogenError as error:
            answers.append(error)

    async with asyncio.TaskGroup() as group:
        for number in range(jobs):
            group.create_task(one(number))
    return answers


def by_job(acme: ServerProcess, kind: str) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in acme.journal(kind):
        found[entry.path].append(entry)
    return found


# --- Retry-After

# header -> seconds to wait at least, and how much faster the clock runs
FORMS = {"1": (1.0, 1.0), "90": (90.0, 60.0), "date+5": (4.0, 5.0), "date-60": (0.0, 1.0), "soon": (0.0, 20.0)}


@pytest.mark.promise("T5", "K4")
@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_asked_earlier_than_allowed(
    acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    wait, times = FORMS[form]
    faster(monkeypatch, times)
    acme.inject(Fault("status", status=429, on="poll", at="before", retry_after=form, times=JOBS))

    async def main() -> list[Any]:
        async with rig.client(tmp_path, acme.url) as videogen:
            return await crowd(videogen, JOBS)

    assert not [answer for answer in asyncio.run(main()) if isinstance(answer, Exception)]
    refused = 0
    for polls in by_job(acme, "poll").values():
        for first, second in itertools.pairwise(polls):
            if first.status == 429:
                refused += 1
                assert second.at - first.at >= wait / times - SLACK
    assert refused == JOBS
    assert len(check(str(tmp_path / "ledger.db"), acme, "N").creates) == JOBS


@pytest.mark.promise("T5", "K4")
def test_a_limit_on_creates_is_waited_out(acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faster(monkeypatch, 20)
    acme.inject(Fault("status", status=429, on="create", at="before", retry_after="20", times=JOBS))

    async def main() -> list[Any]:
        async with rig.client(tmp_path, acme.url) as videogen:
            return await crowd(videogen, JOBS)

    answers = asyncio.run(main())
    assert not [answer for answer in answers if isinstance(answer, Exception)], answers[:2]
    entries = acme.journal("create")
    last = max(entry.at for entry in entries if entry.status == 429)
    assert min(entry.at for entry in entries if entry.status == 202) >= entries[0].at + 1.0 - SLACK, last
    assert len(entries) == 2 * JOBS
    check(str(tmp_path / "ledger.db"), acme, "N")


@pytest.mark.promise("T5", "K4")
def test_a_wait_beyond_reason_is_told_to_everybody(acme: ServerProcess, tmp_path: Path) -> None:
    acme.inject(Fault("status", status=429, on="poll", at="before", retry_after="1000000000", times=None))

    async def main() -> list[Any]:
        async with rig.client(tmp_path, acme.url) as videogen:
            return await crowd(videogen, JOBS)

    answers = asyncio.run(main())
    assert [type(answer) for answer in answers] == [RateLimitError] * JOBS
    assert acme.count("poll") == JOBS


# --- outages


def healthy(seconds: float) -> int:
    """How many polls a job of that length takes when nothing is wrong."""
    passed, polls = 0.0, 0
    while passed < seconds:
        passed += poll_interval(passed, Expectation(1.0))
        polls += 1
    return polls


def outage(acme: ServerProcess, folder: Path, patch: pytest.MonkeyPatch, fault: Fault, *, jobs: int) -> None:
    """All polls fail for ten minutes; then the jobs are done."""
    times, length = 100.0, 600.0
    acme.script_all(Script(running=0.0, polls=1, times=None))
    ended = 0.0

    async def main() -> list[Any]:
        nonlocal ended
        async with rig.client(folder, acme.url) as videogen:
            handles = [await videogen.submit(f"boat {number}", model="paper") for number in range(jobs)]
            acme.inject(fault)
            faster(patch, times)
            waiting = asyncio.gather(*(handle.wait(60) for handle in handles))
            await asyncio.sleep(length / times)
            await asyncio.to_thread(acme.calm)
            ended = time.time()
            return await waiting

    assert len(asyncio.run(main())) == jobs
    during, after = [], []
    for polls in by_job(acme, "poll").values():
        during.append(sum(entry.at < ended for entry in polls))
        after.append(sum(entry.at >= ended for entry in polls))
    amplification = sum(during) / (jobs * healthy(length))
    sys.stdout.write(f"{fault}: {sum(during)} polls of {jobs} jobs in the outage, {amplification:.2f} of a calm one\n")
    assert amplification <= 1.2
    assert max(after) <= 3, "one or two that ask, and the one that finds it done"
    check(str(folder / "ledger.db"), acme, "N")


@pytest.mark.promise("T5")
def test_an_outage_is_not_made_worse(acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = Fault("status", status=500, on="poll", at="before", times=None)
    outage(acme, tmp_path, monkeypatch, fault, jobs=JOBS)


@pytest.mark.chaos
@pytest.mark.promise("T5")
@pytest.mark.parametrize("what", ["reset", "status", "html", "hang"])
def test_no_outage_is_made_worse(
    acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: Any
) -> None:
    fault = Fault(what, on="poll", at="before", times=None, seconds=0.1)
    outage(acme, tmp_path, monkeypatch, fault, jobs=4 * JOBS)
