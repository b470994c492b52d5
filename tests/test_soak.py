"""One process for a long time in a storm: its memory and its files do not grow, and its ledger stays right."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import rig
from history import check, check_clips
from rig import Zygote
from videogen_core import VideogenError
from videogen_core.testing import Script, serve_process

JOBS = int(os.environ.get("VIDEOGEN_TEST_SOAK_JOBS", "1500"))
SECONDS = float(os.environ.get("VIDEOGEN_TEST_SOAK_SECONDS", "240"))
"""Whichever is over first. A long soak: 10,000 jobs and 28,800 s."""
_WIDTH = 20
_MOST_GROWTH = 0.10


def soak(url: str, home: str, jobs: int, seconds: float) -> int:
    """Make clips, and say now and then how large this process is."""
    rig.hurry()
    asyncio.run(_soak(url, home, jobs, seconds))
    return 0


async def _soak(url: str, home: str, jobs: int, seconds: float) -> None:
    deadline, made = time.monotonic() + seconds, 0
    async with rig.client(home, url, kind="A", submit_timeout=1.0) as videogen:

        async def lane(number: int) -> None:
            nonlocal made
            while made < jobs and time.monotonic() < deadline:
                made += 1
                with suppress(VideogenError):
                    await videogen.generate(f"boat {made}", model="paper", timeout=20)
                if made % 25 == 0:
                    told = {"made": made, "kb": _resident_kb(), "files": len(os.listdir("/proc/self/fd"))}  # noqa: PTH208
                    sys.stdout.write(json.dumps(told) + "\n")

        async with asyncio.TaskGroup() as group:
            for number in range(_WIDTH):
                group.create_task(lane(number))


def _resident_kb() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.chaos
@pytest.mark.promise("T25")
def test_a_long_storm_leaves_nothing_behind(tmp_path: Path) -> None:
    with serve_process("acme.emulator:AcmeEmulator", kind="A", seed=25) as acme, Zygote("test_soak") as zygote:
        zygote.warm("test_kills:warm", url=acme.url, home=str(tmp_path / "warm"))
        acme.reset(seed=25)
        acme.script_all(Script(polls=3, times=None))
        acme.inject_profile("storm")
        home = tmp_path / "home"
        rig.with_budget(str(home / "ledger.db"))
        config = {"url": acme.url, "home": str(home), "jobs": JOBS, "seconds": SECONDS}
        driver = zygote.start("test_soak:soak", tmp_path, **config)
        assert driver.wait() == 0, driver.output
        samples = [json.loads(line) for line in driver.output.splitlines() if line.startswith("{")]
        acme.calm()
        with rig.sync_client(home, acme.url, kind="A") as videogen:
            videogen.resume(timeout=30)
        history = check(str(home / "ledger.db"), acme, "A")
        clips = check_clips(history)
    quarter = max(len(samples) // 4, 2)
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    memory = [statistics.median(sample["kb"] for sample in part) for part in (early, late)]
    files = [statistics.median(sample["files"] for sample in part) for part in (early, late)]
    sys.stdout.write(f"{history.counts()}, {clips} clips; KiB {memory}, open files {files}\n")
    assert len(samples) >= 8
    assert memory[1] <= memory[0] * (1 + _MOST_GROWTH)
    assert files[1] <= files[0] + _WIDTH
    assert {job.status for job in history.jobs} <= {"succeeded", "failed"}
    assert not list(home.rglob("*.part*"))
