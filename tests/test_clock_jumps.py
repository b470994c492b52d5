"""A wrong clock, one that jumps, and the year 2038: no create is sent because of it, nothing ends early, nothing waits
for longer. Needs libfaketime."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import mutants
import rig
from history import check
from videogen_core import SubmissionUnknownError
from videogen_core.testing import Fault, Script, ServerProcess, serve_process

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
LAG, PROOF = 1.5, 0.5

pytestmark = [
    pytest.mark.promise("T7", "K1", "K2", "K3"),
    pytest.mark.skipif(FAKETIME is None, reason="there is no libfaketime; on Debian: apt install libfaketime"),
]
JUMPS = {
    "two hours on": "+2h",
    "three days back": "-3d",
    "the hour that summer time skips": "@2026-03-29 01:59:59",
    "the hour that it repeats": "@2026-10-25 02:59:59",
    "2038": "@2038-01-19 03:14:06",
}


SUMMER = [name for name in JUMPS if name.startswith("the hour")]
EVERY = [pytest.param(name, marks=pytest.mark.chaos) if name in SUMMER else name for name in JUMPS]


@pytest.fixture(scope="module")
def acme() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


def arrange(acme: ServerProcess, kind: str, *, lag: float = 0.0) -> None:
    acme.reset()
    acme.run(1)
    acme.change(kind=kind, list_lag=lag)
    acme.script_all(Script(running=0.3, times=None))


def elsewhen(when: str | Path, folder: Path, acme: ServerProcess, kind: str, seconds: float = 40) -> str:
    """Resume everything in a process with another clock; returns what became of it.

    The vendor's clock stands still until it is asked, so that a job does not show by then.
    """
    looked = acme.count("list")
    acme.run(0)
    process = begin(when, folder, acme, kind)
    if kind == "B":
        rig.within(20, lambda: acme.count("list") > looked)
    acme.run(1)
    return finish(process, seconds)


def begin(when: str | Path, folder: Path, acme: ServerProcess, kind: str) -> subprocess.Popen[str]:
    variables = {
        **os.environ,
        **mutants.VARIABLES,
        "PYTHONPATH": os.pathsep.join([str(rig.HERE), *filter(None, sys.path)]),
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "TZ": "Europe/Berlin",
    }
    if isinstance(when, Path):
        variables |= {"FAKETIME_TIMESTAMP_FILE": str(when), "FAKETIME_NO_CACHE": "1"}
    else:
        variables["FAKETIME"] = when
    code = f"import test_clock_jumps as t; t.resume({str(folder)!r}, {acme.url!r}, {kind!r})"
    return subprocess.Popen([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], seconds: float = 40) -> str:
    try:
        out, _ = process.communicate(timeout=seconds)
    finally:
        process.kill()
        process.wait()
    return out.strip()


def resume(folder: str, url: str, kind: str) -> None:
    """What the other process does."""
    rig.hurry(factor=1.0, proof=PROOF)

    async def main() -> None:
        lag = LAG if kind == "B" else 0.0
        async with rig.client(Path(folder) / "home", url, kind=kind, list_lag=lag, submit_timeout=1.0) as videogen:
            for answer in await videogen.resume():
                sys.stdout.write(f"{type(answer).__name__}\n")

    asyncio.run(main())


def before(folder: Path, acme: ServerProcess, kind: str, *, lost: bool, accepted: bool = True) -> None:
    """A job of now: accepted, or without an answer."""
    if lost:
        acme.inject(Fault("reset", on="create", at="after" if accepted else "before"))

    async def main() -> None:
        lag = LAG if kind == "B" else 0.0
        async with rig.client(folder / "home", acme.url, kind=kind, list_lag=lag, submit_timeout=1.0) as videogen:
            if not lost:
                await videogen.submit("boat", model="paper")
                return
            with pytest.raises((SubmissionUnknownError, TimeoutError)):
                async with asyncio.timeout(0.3):
                    await videogen.generate("boat", model="paper")

    asyncio.run(main())


def history(folder: Path, acme: ServerProcess, kind: str) -> int:
    return len(check(str(folder / "home" / "ledger.db"), acme, kind).creates)


@pytest.mark.parametrize("jump", EVERY)
def test_a_job_is_finished_whatever_the_clock_says(acme: ServerProcess, tmp_path: Path, jump: str) -> None:
    arrange(acme, "N")
    before(tmp_path, acme, "N", lost=False)
    start = time.monotonic()
    assert elsewhen(JUMPS[jump], tmp_path, acme, "N") == "Result"
    assert time.monotonic() - start < 20, "somebody waited for the clock"
    assert acme.count("create") == 1
    if JUMPS[jump].startswith("+"):  # an event that comes before its create is all the same on record before it
        assert history(tmp_path, acme, "N") == 1


@pytest.mark.parametrize("jump", EVERY)
def test_no_clock_proves_that_a_create_was_lost(acme: ServerProcess, tmp_path: Path, jump: str) -> None:
    arrange(acme, "B", lag=LAG)
    before(tmp_path, acme, "B", lost=True)
    start = time.monotonic()
    assert elsewhen(JUMPS[jump], tmp_path, acme, "B") == "Result"
    assert time.monotonic() - start < 20
    assert acme.count("create") == 1, "it was sent again because of the clock"


@pytest.mark.parametrize("jump", ["+2h", "-3d"])
def test_a_lost_create_is_waited_for_no_longer_than_it_was_meant(
    acme: ServerProcess, tmp_path: Path, jump: str
) -> None:
    arrange(acme, "B", lag=LAG)
    before(tmp_path, acme, "B", lost=True, accepted=False)
    start = time.monotonic()
    answer = elsewhen(jump, tmp_path, acme, "B")
    took = time.monotonic() - start
    assert LAG + PROOF <= took < 20
    # forward: proven by time that has really passed; back: nobody can know, so a person decides
    assert answer == ("Result" if jump == "+2h" else "SubmissionUnknownError")
    assert acme.created == (1 if jump == "+2h" else 0)


@pytest.mark.parametrize("jump", ["-3d", "+2d"])
def test_a_key_is_used_again_only_while_it_is_surely_known(acme: ServerProcess, tmp_path: Path, jump: str) -> None:
    arrange(acme, "A")
    acme.inject(Fault("status", status=503, on="create", at="before", times=None))
    before(tmp_path, acme, "A", lost=True)
    sent = acme.count("create")
    acme.calm()
    assert elsewhen(jump, tmp_path, acme, "A") == "SubmissionUnknownError"
    assert acme.count("create") == sent


@pytest.mark.parametrize("step", ["+7200", "-259200"])
def test_a_step_amid_a_wait(acme: ServerProcess, tmp_path: Path, step: str) -> None:
    arrange(acme, "B", lag=LAG)
    before(tmp_path, acme, "B", lost=True)
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    process = begin(clock, tmp_path, acme, "B")
    looked = acme.count("list")
    rig.within(20, lambda: acme.count("list") > looked)
    clock.write_text(f"{step}\n")
    start = time.monotonic()
    assert finish(process) == "Result"
    assert time.monotonic() - start < 20
    assert acme.count("create") == 1
