"""kill -9 at any instant, under a storm of faults: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import rig
from history import check, check_clips
from rig import Zygote
from videogen_core import JobStatus, SubmissionUnknownError, VideogenError
from videogen_core.testing import Script, ServerProcess, serve_process

SEED = os.environ.get("VIDEOGEN_TEST_SEED")  # read at import: no test sees the machine's VIDEOGEN_ variables
KINDS = ("A", "B", "C", "D", "N")
LAG = 0.3
_WIDTH = 6
_FINDABLE = ("A", "B")
_PATIENCE = 60.0  # seconds for what is left after the last kill


# --- what a driver does


def drive(url: str, home: str, ledger: str | None, kind: str, run: int, seed: int, more: bool) -> int:
    """Resume what is unfinished and make new clips until killed; without ``more``, until nothing is left to do."""
    rig.hurry()
    asyncio.run(_drive(url, home, ledger, kind, run, random.Random(f"{seed}/{run}"), more))
    return 0


async def _drive(url: str, home: str, ledger: str | None, kind: str, run: int, dice: random.Random, more: bool) -> None:
    lag = LAG if kind in ("B", "C", "D") else 0.0
    async with rig.client(home, url, kind=kind, list_lag=lag, ledger=ledger, submit_timeout=1.0) as videogen:

        async def make(key: str) -> None:
            with suppress(VideogenError):  # it is on record, and the next run goes on with it
                await videogen.generate(
                    f"boat {key}", model="paper", idempotency_key=key, max_cost=2, fallback=False, timeout=30
                )

        async def stream(lane: int) -> None:
            number = 0
            while True:
                # now and then a key of the run before, which may or may not have got as far as the ledger
                before = run > 0 and dice.random() < 0.2
                await make(f"{run - before}-{lane}-{number}")
                number += not before

        async with asyncio.TaskGroup() as group:
            if more:
                group.create_task(videogen.resume())
                for lane in range(_WIDTH):
                    group.create_task(stream(lane))
            else:
                await _finish(videogen, kind)


async def _finish(videogen: Any, kind: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        answers = await videogen.resume(timeout=_PATIENCE)
        left = [answer for answer in answers if isinstance(answer, VideogenError)]
        if kind not in _FINDABLE:
            left = [answer for answer in left if not isinstance(answer, SubmissionUnknownError)]
        if not left:
            return
        await asyncio.sleep(0.1)
    raise SystemExit(f"{len(left)} jobs cannot be finished: {left[:3]}")


def warm(url: str, home: str) -> None:
    """Make one clip, so that everything is loaded."""

    async def one() -> None:
        async with rig.client(home, url) as videogen:
            await videogen.generate("boat", model="paper")

    asyncio.run(one())


# --- campaigns


@pytest.fixture(scope="module")
def zygote(vendors: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote("test_kills", "psycopg") as found:
        found.warm("test_kills:warm", url=vendors.url, home=str(tmp_path_factory.mktemp("warm")))
        yield found


@pytest.fixture(scope="module")
def vendors() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


def campaign(
    zygote: Zygote, vendor: ServerProcess, folder: Path, kind: str, *, kills: int, seed: int, ledger: str | None = None
) -> dict[str, Any]:
    """Kill drivers at random instants, let the last one finish, and compare ledger and vendor."""
    dice = random.Random(seed)
    vendor.reset(seed=seed)
    vendor.change(kind=kind, list_lag=LAG if kind in ("B", "C", "D") else 0.0)
    vendor.script_all(Script(polls=2, times=None))
    vendor.inject_profile("storm")
    rig.with_budget(ledger or str(folder / "home" / "ledger.db"))
    common = {"url": vendor.url, "home": str(folder / "home"), "ledger": ledger, "kind": kind, "seed": seed}
    struck, longest = 0, 0.5
    for run in range(kills):
        # the seed of a failure replays it: VIDEOGEN_TEST_SEED=…
        driver = zygote.start("test_kills:drive", folder, run=run, more=True, **common)
        if run == 0:  # on a busy machine a driver takes longer until it asks; half of the kills are to come after that
            began = time.monotonic()
            rig.within(20, lambda: vendor.count("create") > 0)
            longest = max(longest, 3 * (time.monotonic() - began))
        time.sleep(dice.uniform(0.0, longest))
        status = driver.kill()
        assert status == -9, f"seed {seed}: driver {run} ended by itself with {status}\n{driver.output}"
        struck += 1
    vendor.calm()
    last = zygote.start("test_kills:drive", folder, run=kills, more=False, **common)
    assert last.wait() == 0, f"seed {seed}\n{last.output}"
    location = ledger or str(folder / "home" / "ledger.db")
    history = check(location, vendor, kind)
    clips = check_clips(history)
    counts = {**history.counts(), "kills": struck, "clips": clips, "seed": seed}
    sys.stdout.write(f"\n{counts}\n")
    unfinished = {job.status for job in history.jobs if not job.done}
    assert unfinished <= (set() if kind in _FINDABLE else {JobStatus.UNKNOWN}), counts
    accepted = [job for job in history.jobs if job.provider_job_id]
    assert all(job.money in ("settled", "released") for job in accepted), counts
    assert not list((folder / "home").rglob("*.part*")), "a temporary file was left"
    known = {a.provider_job_id for _, a in history.attempts.values()}
    unheard = [job["id"] for job in history.made if job["id"] not in known]
    assert len(unheard) <= len(history.unknown)
    if kind == "C":  # each prompt is one job's, so what was made has been found; absence proves nothing
        assert not unheard, counts
    return counts


PR_KILLS = {"A": 20, "B": 20, "C": 16, "D": 12, "N": 20}
"""Together with those on PostgreSQL more than a hundred, in less than a minute."""
PROMISES = ("T1", "S1", "S2", "S3", "S5", "B5")


def seeds(count: int) -> list[int]:
    """A seed that is set replays what it had found."""
    return [int(SEED)] if SEED else list(range(1, count + 1))


@pytest.mark.promise(*PROMISES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", seeds(1))
def test_kill_nine_at_random_instants(
    zygote: Zygote, vendors: ServerProcess, tmp_path: Path, kind: str, seed: int
) -> None:
    counts = campaign(zygote, vendors, tmp_path, kind, kills=PR_KILLS[kind], seed=seed)
    assert counts["made"] >= PR_KILLS[kind] // 2


@pytest.mark.promise(*PROMISES, "T21")
@pytest.mark.parametrize("kind", ["A", "N"])
@pytest.mark.parametrize("seed", seeds(1))
def test_kill_nine_at_random_instants_with_postgres(
    zygote: Zygote, vendors: ServerProcess, tmp_path: Path, postgres_url: str, kind: str, seed: int
) -> None:
    campaign(zygote, vendors, tmp_path, kind, kills=8, seed=seed, ledger=postgres_url)


@pytest.mark.chaos
@pytest.mark.promise(*PROMISES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", seeds(8))
def test_a_thousand_kills(zygote: Zygote, vendors: ServerProcess, tmp_path: Path, kind: str, seed: int) -> None:
    campaign(zygote, vendors, tmp_path, kind, kills=25, seed=seed if SEED else 100 + seed)


@pytest.mark.chaos
@pytest.mark.promise(*PROMISES, "T21")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", seeds(8))
def test_a_thousand_kills_with_postgres(
    zygote: Zygote, vendors: ServerProcess, tmp_path: Path, postgres_url: str, kind: str, seed: int
) -> None:
    campaign(zygote, vendors, tmp_path, kind, kills=25, seed=seed if SEED else 200 + seed, ledger=postgres_url)
