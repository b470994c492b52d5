"""Who drives a job: one driver at a time, and one that has lost its lease writes nothing, except an id that is paid
for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from ledgers import FAILED, LOST, NOW, Store, accept, accepted, begun, budget, created, event, fail, money, sent, usd
from videogen_core import LedgerError, RequestError, transitions
from videogen_core.engine.worker import Worker, is_dead
from videogen_core.ledger import Claim, FencedError, Ledger
from videogen_core.ledger.sqlite import SqliteLedger
from videogen_core.states import JobRecord

LEASE = 60.0


def at(monkeypatch: pytest.MonkeyPatch, ledger: Ledger, offset: float) -> None:
    """Set the clock that leases go by."""
    if isinstance(ledger, SqliteLedger):
        import videogen_core.ledger.sqlite as module
    else:
        import videogen_core.ledger.postgres as module  # type: ignore[no-redef]
    kind = module._Sqlite if isinstance(ledger, SqliteLedger) else module._Postgres  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "now", lambda _: time.time() + offset)


@pytest.mark.promise("S7")
def test_one_lease_at_a_time(ledger: Ledger) -> None:
    created(ledger)
    assert ledger.claim("vg-1", "w", "a", 60) == Claim(ledger.get("vg-1"), 1)
    assert ledger.claim("vg-1", "v", "b", 60) is None
    assert ledger.claim("vg-1", "w", "a", 60) == Claim(ledger.get("vg-1"), 1)
    assert ledger.claim("vg-1", "w", "c", 60) is None, "two tasks of one worker are two drivers"
    assert ledger.claim("vg-1", "v", "b", 60, dead=lambda worker: worker == "w") == Claim(ledger.get("vg-1"), 2)
    ledger.release("vg-1", "a")  # no longer its own: nothing happens
    assert ledger.claim("vg-1", "w", "a", 60) is None
    ledger.release("vg-1", "b")
    assert ledger.claim("vg-1", "x", "c", -1) is not None
    assert ledger.claim("vg-1", "v", "b", 60) is not None, "a lease that is over counts no more"
    ledger.retire("v")
    assert ledger.claim("vg-1", "w", "a", 60) is not None, "a worker that has ended holds nothing"
    with pytest.raises(RequestError, match="no job"):
        ledger.claim("vg-9", "w", "a", 60)


@pytest.mark.promise("S7")
def test_a_race_for_a_lease_has_one_winner(store: Store) -> None:
    """On PostgreSQL whoever waits for the row must look at the worker that took it meanwhile, not at the one before."""
    first = store.open()
    for number in range(10):
        created(first, number)
    winners: list[tuple[int, int | None]] = []

    def race(place: int) -> None:
        ledger = store.open()
        for number in range(10):
            barrier.wait()
            found = ledger.claim(f"vg-{number}", f"w{place}", f"w{place}/1", LEASE)
            if found is not None:
                winners.append((number, found.fence))

    barrier = threading.Barrier(6)
    threads = [threading.Thread(target=race, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(winners) == [(number, 1) for number in range(10)]


@pytest.mark.promise("S7")
def test_a_lease_lapses_after_its_time_and_not_before(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    created(ledger)
    ledger.claim("vg-1", "w", "a", LEASE)
    at(monkeypatch, ledger, LEASE - 2)
    assert ledger.claim("vg-1", "v", "b", LEASE) is None
    ledger.beat("w", LEASE)
    at(monkeypatch, ledger, 2 * LEASE - 4)
    assert ledger.claim("vg-1", "v", "b", LEASE) is None, "one beat keeps every lease of a worker"
    at(monkeypatch, ledger, 2 * LEASE + 4)
    found = ledger.claim("vg-1", "v", "b", LEASE)
    assert found is not None
    assert found.fence == 2
    ledger.beat("w", LEASE)  # it wakes up: too late
    assert ledger.claim("vg-1", "w", "a", LEASE) is None


@pytest.mark.promise("K3", "S7", "T7")
@pytest.mark.parametrize("jump", [-3 * 86_400.0, -3600.0, -90.0])
def test_a_clock_that_is_set_back_keeps_a_dead_worker_s_lease_for_one_lease_at_most(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    created(ledger)
    ledger.claim("vg-1", "w", "a", LEASE)
    at(monkeypatch, ledger, jump)
    assert ledger.claim("vg-1", "v", "b", LEASE) is None
    at(monkeypatch, ledger, jump + LEASE - 2)
    assert ledger.claim("vg-1", "v", "b", LEASE) is None
    at(monkeypatch, ledger, jump + LEASE + 2)
    assert ledger.claim("vg-1", "v", "b", LEASE) is not None


@pytest.mark.promise("K3", "S7", "T7")
def test_a_clock_that_is_set_back_costs_a_living_worker_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    created(ledger)
    ledger.claim("vg-1", "w", "a", LEASE)
    at(monkeypatch, ledger, -7200)
    assert ledger.claim("vg-1", "v", "b", LEASE) is None
    ledger.beat("w", LEASE)
    at(monkeypatch, ledger, -7200 + LEASE - 2)
    assert ledger.claim("vg-1", "v", "b", LEASE) is None


@pytest.mark.promise("K3", "S7", "T7")
def test_a_clock_that_leaps_forward_costs_a_lease_and_nothing_else(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sent(ledger)
    first = ledger.claim("vg-1", "w", "a", LEASE)
    assert first is not None
    at(monkeypatch, ledger, 12 * 365 * 86_400.0)  # past 2038
    second = ledger.claim("vg-1", "v", "b", LEASE)
    assert second is not None
    assert second.fence == 2
    with pytest.raises(FencedError):
        ledger.save(transitions.lose(job, NOW, LOST), fence=first.fence)
    assert ledger.save(accept(job, "pj")).provider_job_id == "pj", "the id of the one who was asked is taken"


# --- fences

MOVES: dict[str, Callable[[JobRecord], JobRecord]] = {
    "reject": lambda job: transitions.reject(job, NOW, FAILED),
    "lose": lambda job: transitions.lose(job, NOW, LOST),
    "fail": fail,
    "request_cancel": lambda job: transitions.request_cancel(job, NOW),
}


@pytest.mark.promise("S7")
@pytest.mark.parametrize("name", MOVES)
def test_a_stale_fence_writes_nothing(ledger: Ledger, name: str) -> None:
    budget(ledger)
    job = sent(ledger)
    stale = ledger.claim("vg-1", "w", "a", LEASE)
    ledger.retire("w")
    fresh = ledger.claim("vg-1", "v", "b", LEASE)
    assert stale is not None
    assert fresh is not None
    before, events = ledger.get("vg-1"), ledger.events("vg-1")
    with pytest.raises(FencedError):
        ledger.save(MOVES[name](job), event(job, name), fence=stale.fence)
    assert ledger.get("vg-1") == before
    assert ledger.events("vg-1") == events
    assert money(ledger) == usd(0, "0.1")
    ledger.save(MOVES[name](job), event(job, name), fence=fresh.fence)


@pytest.mark.promise("S2", "S7")
def test_a_stale_fence_buys_nothing(ledger: Ledger) -> None:
    budget(ledger)
    job = created(ledger)
    stale = ledger.claim("vg-1", "w", "a", -1)
    ledger.claim("vg-1", "v", "b", LEASE)
    assert stale is not None
    with pytest.raises(FencedError):
        ledger.begin(begun(job), fence=stale.fence)
    assert money(ledger) == usd(0, 0)
    assert ledger.get("vg-1").attempts == ()


@pytest.mark.promise("S3", "S7")
def test_a_late_id_is_taken_from_whoever_brings_it(ledger: Ledger) -> None:
    job = sent(ledger)
    ledger.claim("vg-1", "w", "a", -1)
    second = ledger.claim("vg-1", "v", "b", LEASE)
    assert second is not None
    lost = ledger.save(transitions.lose(job, NOW, LOST), fence=second.fence)
    found = ledger.save(accept(lost, "pj"))  # the first driver's answer came after all
    assert found.provider_job_id == "pj"
    assert ledger.claim("vg-1", "v", "b", LEASE) == Claim(found, second.fence), "the second goes on with it"


@pytest.mark.promise("S7")
def test_a_finished_job_loses_its_lease(ledger: Ledger) -> None:
    accepted(ledger)
    found = ledger.claim("vg-1", "w", "a", LEASE)
    assert found is not None
    ledger.save(fail(found.job), fence=found.fence)
    assert ledger.claim("vg-1", "v", "b", LEASE) == Claim(ledger.get("vg-1"), None)
    with pytest.raises(LedgerError):
        ledger.save(transitions.request_cancel(found.job, NOW), fence=found.fence)


# --- workers

HOLD = """
import sys, time
from videogen_core.engine.worker import LEASE, Worker
from videogen_core.ledger import open_ledger
ledger = open_ledger(sys.argv[1])
worker = Worker(ledger)
ledger.claim("vg-1", worker.id, worker.driver(), LEASE)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.promise("S7")
def test_a_dead_worker_of_this_machine_is_noticed_at_once(store: Store) -> None:
    if store.location == "memory":
        pytest.skip("no other process can see it")
    ledger = store.open()
    created(ledger)
    process = subprocess.Popen([sys.executable, "-c", HOLD, store.location], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert ledger.claim("vg-1", "v", "b", LEASE, dead=is_dead) is None
    process.kill()
    process.communicate()
    began = time.monotonic()
    found = ledger.claim("vg-1", "v", "b", LEASE, dead=is_dead)
    assert found is not None
    assert found.fence == 2
    assert time.monotonic() - began < 2


@pytest.mark.promise("S7")
def test_a_process_is_told_from_another_of_the_same_number_boot_or_container() -> None:
    mine = Worker(SqliteLedger("memory")).id
    host, pid, started, machine, token = mine.rsplit(":", 4)
    assert not is_dead(mine)
    assert is_dead(f"{host}:{pid}:{int(started) - 1}:{machine}:{token}"), "a former process of the same number"
    assert not is_dead(f"{host}:{pid}:{int(started) - 1}:{'0' * 12}:{token}"), "another machine, or boot, or container"
    assert not is_dead("nonsense")
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert is_dead(f"{host}:{child.pid}:1:{machine}:{token}")


@pytest.mark.promise("S7")
def test_a_worker_that_ends_well_holds_nothing(ledger: Ledger) -> None:
    created(ledger)
    worker = Worker(ledger)
    ledger.claim("vg-1", worker.id, worker.driver(), LEASE)
    worker.hold()
    worker.close()
    assert ledger.claim("vg-1", "v", "b", LEASE) is not None


@pytest.mark.promise("S7")
def test_the_child_of_a_fork_is_another_writer(store: Store) -> None:
    """Neither goes on with the other's connection, and neither loses a write."""
    if store.location == "memory":
        pytest.skip("a copy of the memory is another ledger")
    ledger = store.open()
    created(ledger, 0)
    pid = os.fork()
    if pid == 0:
        try:
            for number in range(1, 11):
                created(ledger, number)
            os._exit(0)
        except BaseException:
            os._exit(1)
    for number in range(11, 21):
        created(ledger, number)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(ledger.jobs(limit=None)) == 21
    assert ledger.check() == []
