"""Ctrl-C, SIGTERM, cancellation, the caller's own mistakes: what was sent is on record, and it is said how to go on."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

import rig
from history import check, gather
from rig import Zygote
from videogen_core import AsyncClient, Client, Event, JobStatus, VideogenError
from videogen_core.ledger.sqlite import SqliteLedger
from videogen_core.testing import Fault, Script, ServerProcess, serve_process

SEED = int(os.environ.get("VIDEOGEN_TEST_SEED", "1"))
SLOW = 0.2
"""Seconds that the vendor takes to answer a create."""
EXIT = 2.0


@pytest.fixture(scope="module")
def acme() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


@pytest.fixture(scope="module")
def zygote(acme: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote("test_interrupts", "videogen_core.cli") as found:
        found.warm("test_kills:warm", url=acme.url, home=str(tmp_path_factory.mktemp("warm")))
        yield found


def arrange(acme: ServerProcess, *, create: float = SLOW, running: float = 0.1) -> None:
    acme.reset()
    acme.change(kind="N")
    acme.script_all(Script(running=running, times=None))
    acme.inject(Fault("hang", on="create", seconds=create, times=None))


# --- what the drivers do


def command(argv: list[str], variables: dict[str, str]) -> int:
    """The command line."""
    from videogen_core import plugins
    from videogen_core.cli.run import run

    plugins._entry_points.cache_clear()
    os.environ.update(variables)
    sys.path[:0] = variables["PYTHONPATH"].split(os.pathsep)
    os.chdir(variables["VIDEOGEN_CONFIG_DIR"])
    return run(argv)


def program(kind: str, url: str, home: str) -> int:
    """A Python program that does nothing about signals but to take SIGTERM for Ctrl-C, in so far as its loop can."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig()

    async def main() -> None:
        async with rig.client(home, url) as videogen:
            await videogen.generate("boat", model="paper")

    try:
        if kind == "sync":
            with rig.sync_client(home, url) as videogen:
                videogen.generate("boat", model="paper")
        else:
            anyio.run(main, backend=kind)
    except KeyboardInterrupt:
        return 130
    return 0


Program = Literal["cli", "sync", "asyncio", "trio"]


def interrupted(
    zygote: Zygote, acme: ServerProcess, folder: Path, what: Program, number: int, delay: float
) -> tuple[float, str]:
    """Interrupt a driver after a time; returns the seconds that it took to leave, and what became of its job."""
    arrange(acme)
    folder.mkdir()
    variables = rig.installed(folder / "installed", acme.url, folder / "home")
    if what == "cli":
        argv = ["generate", "boat", "-m", "paper", "-o", "boat.mp4"]
        driver = zygote.start("test_interrupts:command", folder, argv=argv, variables=variables)
    else:
        driver = zygote.start("test_interrupts:program", folder, kind=what, url=acme.url, home=str(folder / "home"))
    time.sleep(delay)
    before = acme.count("create")
    driver.signal(number)
    start = time.monotonic()
    status = driver.wait()
    took = time.monotonic() - start
    ledger = folder / "home" / "ledger.db"
    early = -number if what != "sync" else -2  # before anybody could take it as more than an order
    assert status in (0, 130, 128 + number, early, 1), driver.output
    if not ledger.exists():
        assert acme.count("create") == 0
        return took, "nothing"
    history = check(str(ledger), acme, "N")
    if not history.jobs:
        return took, "nothing"
    (job,) = history.jobs
    assert job.status not in (JobStatus.UNKNOWN, JobStatus.SUBMITTING), driver.output
    assert acme.count("create") <= max(before, 1), "a create was sent after the signal"
    if not job.done:
        assert f"videogen resume {job.id}" in driver.output, driver.output
        acme.calm()
        again = zygote.start("test_interrupts:command", folder, argv=["resume"], variables=variables)
        assert again.wait() == 0, again.output
        history = check(str(ledger), acme, "N")
        assert [job.status for job in history.jobs] == ["succeeded"]
        assert len(history.creates) == 1
    return took, job.status.value


def campaign(zygote: Zygote, acme: ServerProcess, folder: Path, what: Program, count: int) -> None:
    dice = random.Random(f"{SEED}/{what}")
    longest = 1.0 if what == "cli" else 0.45  # a command takes longer until it asks
    seconds, after = [], []
    for turn in range(count):
        number = (signal.SIGINT, signal.SIGTERM)[turn % 2 if what in ("cli", "sync") else 0]
        took, became = interrupted(zygote, acme, folder / f"{turn}", what, number, dice.uniform(0.0, longest))
        seconds.append(took)
        after.append(became)
    told = {name: after.count(name) for name in sorted(set(after))}
    p95 = sorted(seconds)[int(0.95 * (len(seconds) - 1))]
    sys.stdout.write(f"{what}: {count} signals, seed {SEED}, p95 {p95:.2f} s, {told}\n")
    assert p95 <= EXIT


PROGRAMS: list[Program] = ["cli", "sync", "asyncio", "trio"]


@pytest.mark.promise("T11", "X1", "X2", "X4", "X6")
@pytest.mark.parametrize("what", PROGRAMS)
def test_signals_at_random_instants(zygote: Zygote, acme: ServerProcess, tmp_path: Path, what: Program) -> None:
    campaign(zygote, acme, tmp_path, what, 10 if what == "cli" else 6)


@pytest.mark.chaos
@pytest.mark.promise("T11", "X1", "X2", "X4", "X6")
@pytest.mark.parametrize("what", PROGRAMS)
def test_a_hundred_signals(zygote: Zygote, acme: ServerProcess, tmp_path: Path, what: Program) -> None:
    campaign(zygote, acme, tmp_path, what, 100)


@pytest.mark.promise("T11", "X4")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_leaves_at_once(acme: ServerProcess, tmp_path: Path, number: signal.Signals) -> None:
    arrange(acme, create=30)
    variables = {**os.environ, **rig.installed(tmp_path / "installed", acme.url, tmp_path / "home")}
    variables["PYTHONPATH"] += os.pathsep + os.pathsep.join(filter(None, sys.path))
    code = "import sys; from videogen_core.cli.run import run; sys.exit(run(sys.argv[1:]))"
    argv = [sys.executable, "-c", code, "generate", "boat", "-m", "paper"]
    process = subprocess.Popen(
        argv, env=variables, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    rig.within(10, lambda: acme.created == 1)
    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None, "the create that is under way is waited for"
    start = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert time.monotonic() - start < 1.0
    assert process.returncode == 128 + number
    found = gather(str(tmp_path / "home" / "ledger.db"), acme, "N")
    (job,) = found.jobs
    assert f"videogen resume {job.id}" in err
    assert (job.status, job.money) == ("submitting", "held")
    with rig.sync_client(tmp_path / "home", acme.url) as videogen:
        videogen.resume()
        assert videogen.job(job.id).status == "unknown"
    assert acme.count("create") == 1


# --- the caller's own mistakes

TOLD = ["created", "submitting", "accepted", "progress", "settled", "downloading", "stored"]


@pytest.mark.promise("T11", "X6")
@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt, SystemExit])
def test_what_a_listener_raises_leaves_a_job_that_can_be_resumed(
    acme: ServerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    arrange(acme, create=0.01)
    with rig.sync_client(tmp_path / "home", acme.url) as videogen:
        for kind in TOLD if error is LookupError else TOLD[:3]:
            caplog.clear()

            def broken(event: Event, kind: str = kind) -> None:
                if event.type == kind:
                    raise error("the caller's own mistake")

            before = acme.created
            with pytest.raises(error):
                _generate(tmp_path, acme, error, videogen, broken)
            job = videogen.jobs()[0]
            assert f"videogen resume {job.id}" in caplog.text or job.record.done, kind
            assert videogen.job(job.id).wait(20).path is not None
            assert acme.created == before + 1, kind
    check(str(tmp_path / "home" / "ledger.db"), acme, "N")


def _generate(
    folder: Path, acme: ServerProcess, error: type[BaseException], videogen: Client, listener: Callable[[Event], None]
) -> None:
    if error is LookupError:
        videogen.generate("boat", model="paper", on_event=listener)
        return

    async def own_loop() -> None:  # what ends a program ends the loop that it comes up in
        async with rig.client(folder / "home", acme.url) as mine:
            await mine.generate("boat", model="paper", on_event=listener)

    asyncio.run(own_loop())


# --- cancellation


async def by_task_cancel(videogen: AsyncClient, delay: float) -> None:
    task = asyncio.create_task(videogen.generate("boat", model="paper"))
    await asyncio.sleep(delay)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def by_cancelling_twice(videogen: AsyncClient, delay: float) -> None:
    task = asyncio.create_task(videogen.generate("boat", model="paper"))
    await asyncio.sleep(delay)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with suppress(asyncio.CancelledError):
        await task


async def by_wait_for(videogen: AsyncClient, delay: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(videogen.generate("boat", model="paper"), delay)


async def by_asyncio_timeout(videogen: AsyncClient, delay: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await videogen.generate("boat", model="paper")


async def by_a_sibling(videogen: AsyncClient, delay: float) -> None:
    async def fails() -> None:
        await asyncio.sleep(delay)
        raise LookupError

    with suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(videogen.generate("boat", model="paper"))
            group.create_task(fails())


async def by_scope(videogen: AsyncClient, delay: float) -> None:
    with anyio.move_on_after(delay):
        await videogen.generate("boat", model="paper")


async def by_an_outer_scope(videogen: AsyncClient, delay: float) -> None:
    with anyio.move_on_after(delay):
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(_make, videogen)


async def by_our_own_timeout(videogen: AsyncClient, delay: float) -> None:
    with suppress(VideogenError):
        await videogen.generate("boat", model="paper", timeout=max(delay, 0.001))


async def by_closing(videogen: AsyncClient, delay: float) -> None:
    """The client is closed while a job is under way."""
    task = asyncio.create_task(_make(videogen))
    await asyncio.sleep(delay)
    await videogen.close()
    await task


async def _make(videogen: AsyncClient) -> None:
    with suppress(VideogenError):
        await videogen.generate("boat", model="paper")


ASYNCIO = [
    by_task_cancel,
    by_cancelling_twice,
    by_wait_for,
    by_asyncio_timeout,
    by_a_sibling,
    by_scope,
    by_an_outer_scope,
    by_our_own_timeout,
    by_closing,
]
TRIO = [by_scope, by_an_outer_scope, by_our_own_timeout]


def cancellations(acme: ServerProcess, home: Path, backend: str, turns: int) -> None:
    """Cancel at random instants, a few at a time."""
    arrange(acme, create=0.05, running=0.05)
    ways: list[Any] = ASYNCIO if backend == "asyncio" else TRIO
    dice = random.Random(f"{SEED}/{backend}")

    async def one(way: Any, delay: float) -> None:
        async with rig.client(home, acme.url) as videogen:
            await way(videogen, delay)

    async def main() -> None:
        for _ in range(turns):
            async with anyio.create_task_group() as group:
                for way in ways:
                    group.start_soon(one, way, dice.uniform(0.0, 0.25))

    anyio.run(main, backend=backend)
    if backend == "asyncio":
        for _ in range(turns):
            asyncio.run(_leaves_it_running(acme, home, dice.uniform(0.01, 0.2)))
        gc.collect()
    history = check(str(home / "ledger.db"), acme, "N")
    sys.stdout.write(f"{backend}: {turns * len(ways)} cancellations, seed {SEED}, {history.counts()}\n")
    known = {attempt.provider_job_id for _, attempt in history.attempts.values()}
    assert {job["id"] for job in history.made} <= known, "a handle was lost"
    assert not [job for job in history.jobs if job.status in (JobStatus.UNKNOWN, JobStatus.SUBMITTING)]


async def _leaves_it_running(acme: ServerProcess, home: Path, delay: float) -> None:
    """The loop ends while a job is under way."""
    videogen = rig.client(home, acme.url)
    task = asyncio.create_task(_make(videogen))
    await asyncio.sleep(delay)
    assert task is not None  # it is referred to until here


@pytest.mark.promise("X1", "X3")
def test_what_is_cancelled_while_it_is_put_on_record_is_told_of(
    acme: ServerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrange(acme)
    begun, go_on = threading.Event(), threading.Event()
    create = SqliteLedger.create

    def slowly(*arguments: Any) -> Any:
        begun.set()
        go_on.wait(10)
        return create(*arguments)

    async def main() -> None:
        async with rig.client(tmp_path / "home", acme.url) as videogen:
            task = asyncio.create_task(videogen.generate("boat", model="paper"))
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            await asyncio.sleep(0.05)
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    monkeypatch.setattr(SqliteLedger, "create", slowly)
    asyncio.run(main())
    history = gather(str(tmp_path / "home" / "ledger.db"), acme, "N")
    (job,) = history.jobs
    assert (job.status, acme.count("create")) == ("created", 0)
    assert f"videogen resume {job.id}" in caplog.text


# of the last: its client is closed by nobody
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.promise("T12", "X1", "X3", "S3")
@pytest.mark.parametrize(("backend", "turns"), [("asyncio", 10), ("trio", 10)])
def test_cancelling_loses_no_handle(acme: ServerProcess, tmp_path: Path, backend: str, turns: int) -> None:
    cancellations(acme, tmp_path / "home", backend, turns)


@pytest.mark.chaos
@pytest.mark.promise("T12", "X1", "X3", "S3")
@pytest.mark.parametrize(("backend", "turns"), [("asyncio", 60), ("trio", 140)])
def test_a_thousand_cancellations(acme: ServerProcess, tmp_path: Path, backend: str, turns: int) -> None:
    cancellations(acme, tmp_path / "home", backend, turns)
