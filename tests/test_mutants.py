"""The tests notice the mistakes that they are for: each mutant is killed by the tests that are named beside it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import rig
from mutants import MUTANTS, VARIABLES
from videogen_core.ledger.sqlite import SqliteLedger
from videogen_core.partials import Expected, Partial
from videogen_core.testing import Clip, make_clip

ROOT = Path(rig.__file__).parents[1]
QUICK = ("retry_post", "keys_cross_redirects", "no_fsync")
"""A few for every run; all of them are for the long one."""


def survivors(name: str) -> list[str]:
    """Run the tests that are to kill a mutant; returns those that passed all the same."""
    found = []
    for killer in MUTANTS[name].killers:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "mutants", "-p", "no:cacheprovider", killer],
            cwd=ROOT,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *filter(None, sys.path)]),
                "VIDEOGEN_TEST_MUTANT": name,
                "PYTEST_XDIST_WORKER": "",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), f"{killer} could not be run:\n{done.stdout}\n{done.stderr}"
        assert " skipped" not in done.stdout.splitlines()[-1] or done.returncode, f"{killer} was skipped"
        if done.returncode == 0:
            found.append(killer)
    return found


def killed(name: str) -> None:
    left = survivors(name)
    assert len(left) < len(MUTANTS[name].killers), f"{name} survives {left}"


@pytest.mark.promise("T24")
@pytest.mark.parametrize("name", QUICK)
def test_a_few_mutants_are_killed(name: str) -> None:
    killed(name)


@pytest.mark.chaos
@pytest.mark.promise("T24")
@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_every_mutant_is_killed(name: str) -> None:
    killed(name)


@pytest.mark.promise("T24", "D1")
def test_what_is_on_record_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = SqliteLedger(str(tmp_path / "ledger.db"))
    assert ledger._db.pragma("synchronous") == 2, "a commit must survive a power cut"
    ledger.close()

    done: list[str] = []
    flush, name = os.fsync, Partial._name

    def flushed(descriptor: int) -> None:
        done.append("folder" if Path(f"/proc/self/fd/{descriptor}").resolve().is_dir() else "file")
        flush(descriptor)

    def named(self: Partial, *args: Any) -> None:
        done.append("name")
        name(self, *args)

    if "<lambda>" not in repr(flush):  # a mutant has taken its place
        monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Partial, "_name", named)
    partial = Partial(tmp_path / "clip.mp4", False, 2**30, True)
    clip = make_clip(Clip())
    partial.open(len(clip))
    partial.finish(clip, Expected(size=len(clip)))
    assert done == ["file", "name", "folder"]


@pytest.mark.promise("T24", "B1")
def test_processes_that_read_before_they_write_wait_for_each_other(tmp_path: Path) -> None:
    async def unsent() -> str:
        async with rig.client(tmp_path, "http://127.0.0.1:9") as videogen:
            return (await videogen._create(await videogen._ready(), "boat", {"model": "paper"}, "submit")).id

    job_id = asyncio.run(unsent())
    code = f"""
import rig
from videogen_core.ledger import open_ledger
ledger = open_ledger({str(tmp_path / "ledger.db")!r})
for number in range(300):
    ledger.seen(str(number % 40))
    ledger.claim({job_id!r}, "worker", f"driver-{{number}}", 60, dead=lambda worker: True)
    ledger.by_ref("nobody")
    ledger.set_budget(rig.make_budget("all", limit=1000 + number))
"""
    paths = os.pathsep.join([str(rig.HERE), *filter(None, sys.path)])
    command, variables = [sys.executable, "-c", code], {**os.environ, **VARIABLES, "PYTHONPATH": paths}
    processes = [subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, told
