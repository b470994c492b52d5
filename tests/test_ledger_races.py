"""Many processes at one ledger: exactly what the money allows is bought, whoever is killed meanwhile, and nobody
starves."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from ledger_load import KINDS, tell
from ledgers import LOST, NOW, Store, budget, money, succeed
from videogen_core import transitions
from videogen_core.engine.worker import LEASE, is_dead
from videogen_core.ledger import Ledger, open_ledger
from videogen_core.states import JobStatus

PROCESSES, JOBS, HOLD = 8, 50, Decimal("0.1")


@pytest.fixture
def shared(store: Store) -> Store:
    if store.location == "memory":
        pytest.skip("no other process can see it")
    return store


class Run:
    """What the processes of one run have said."""

    def __init__(self, lines: list[list[str]]) -> None:
        self.waits = [float(line[1]) for line in lines if line[0] in ("granted", "refused")]
        self.granted = Counter(int(line[2]) for line in lines if line[0] == "granted")
        self.refused = Counter(int(line[2]) for line in lines if line[0] == "refused")

    def report(self, store: Store) -> str:
        """How long a reservation took."""
        kind = store.open().location.partition(":")[0] if "://" in store.location else "sqlite"
        percentiles = statistics.quantiles(self.waits, n=100)
        return f"{kind}: reserve p50 {percentiles[49]:.4f} s, p99 {percentiles[98]:.4f} s, max {max(self.waits):.4f} s"


@contextmanager
def loads(store: Store, seed: int, jobs: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have begun to buy, all at once."""
    command = [sys.executable, str(Path(__file__).with_name("ledger_load.py")), store.location]
    processes = [
        subprocess.Popen(
            [*command, str(place), str(jobs), str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for place in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def said(processes: list[subprocess.Popen[str]], *, killed: int = 0) -> Run:
    lines = []
    for process in processes:
        out, _ = process.communicate(timeout=300)
        lines += [line.split() for line in out.splitlines() if len(line.split()) == 3]
    assert sorted(process.returncode for process in processes) == [-9] * killed + [0] * (PROCESSES - killed)
    return Run(lines)


def half(jobs: int) -> Decimal:
    """What half of the jobs of all processes cost."""
    return HOLD * PROCESSES * jobs / 2


def same_money(store: Store, seed: int, jobs: int) -> None:
    """Money for half of the jobs."""
    ledger, limit = store.open(), half(jobs)
    budget(ledger, limit=str(limit))
    with loads(store, seed, jobs) as processes:
        run = said(processes)
    tell(run.report(store))
    assert run.granted.total() == run.refused.total() == limit / HOLD
    assert money(ledger) == (limit, 0)
    assert ledger.check() == []
    assert max(run.waits) <= 15


def nested_scopes(store: Store, seed: int, jobs: int) -> None:
    """Three budgets, each within the next."""
    ledger, limit = store.open(), half(jobs)
    limits = {"everything": limit, "z-acme": limit * Decimal("0.6"), "team": limit * Decimal("0.25")}
    budget(ledger, "everything", str(limits["everything"]))
    budget(ledger, "z-acme", str(limits["z-acme"]), provider="acme")
    budget(ledger, "team", str(limits["team"]), tags={"team": "ads"})
    covering = [("everything",), ("everything", "z-acme"), ("everything", "z-acme", "team")]
    with loads(store, seed, jobs) as processes:
        run = said(processes)
    tell(run.report(store))
    taken = {name: money(ledger, name) for name in limits}
    for name, (settled, held) in taken.items():
        wanted = sum(run.granted[kind] for kind in range(len(KINDS)) if name in covering[kind])
        assert (settled, held) == (wanted * HOLD, 0)
        assert settled <= limits[name]
    # what was refused would not fit now, either: nothing has been given back since
    for kind in run.refused:
        assert any(taken[name][0] + HOLD > limits[name] for name in covering[kind])
    assert ledger.check() == []


def two_are_killed(store: Store, seed: int, jobs: int) -> None:
    """Two of eight are killed at a random instant; the rest goes on, and what the dead held is found out."""
    ledger, dice, limit = store.open(), random.Random(seed), half(jobs)
    budget(ledger, limit=str(limit))
    with loads(store, seed, jobs) as processes:
        for process in dice.sample(processes, 2):
            assert process.stdout is not None
            for _ in range(dice.randrange(jobs)):
                process.stdout.readline()
            time.sleep(dice.uniform(0, 0.005))
            process.kill()
        killed = 0
        for process in processes:
            killed += process.wait(300) == -9
        said(processes, killed=killed)
    settled, held = money(ledger)
    assert settled + held <= limit
    recovered = recover(ledger)
    settled, held = money(ledger)
    assert held == 0, "what the dead had held is settled or given back"
    assert settled <= limit
    succeeded = len(ledger.jobs(status="succeeded", limit=None))
    assert settled == succeeded * HOLD
    assert ledger.check() == []
    tell(f"{killed} killed, {recovered} jobs found in their hands")


def recover(ledger: Ledger) -> int:
    """What the engine does with jobs whose driver has died, with a vendor that answers at once."""
    found = 0
    for job in ledger.jobs(unfinished=True, limit=None):
        if job.status in (JobStatus.CREATED, JobStatus.SUCCEEDED):
            continue
        claim = ledger.claim(job.id, "recovery", "recovery/1", LEASE, dead=is_dead)
        assert claim is not None, "its driver is dead, and that is known at once"
        found += 1
        job = claim.job
        if job.status is JobStatus.SUBMITTING:
            job = ledger.save(transitions.lose(job, NOW, LOST), fence=claim.fence)
            ledger.save(transitions.abandon(job, NOW, LOST, cost=Decimal(0)), fence=claim.fence)
        else:
            ledger.save(succeed(job), fence=claim.fence)
    return found


SCENES = {scene.__name__: scene for scene in (same_money, nested_scopes, two_are_killed)}


@pytest.mark.promise("T3", "T22", "B1", "B5")
@pytest.mark.parametrize("scene", SCENES)
def test_exactly_what_the_money_allows_is_bought(shared: Store, scene: str) -> None:
    SCENES[scene](shared, 0, JOBS if scene == "same_money" else JOBS // 3)


@pytest.mark.chaos
@pytest.mark.promise("T3", "T22", "B1", "B5")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("scene", SCENES)
def test_exactly_what_the_money_allows_is_bought_again_and_again(shared: Store, scene: str, seed: int) -> None:
    SCENES[scene](shared, seed, JOBS)


OPEN = "import sys; from videogen_core.ledger import open_ledger; open_ledger(sys.argv[1]).jobs()"


@pytest.mark.promise("T22")
@pytest.mark.parametrize("turn", range(3))
def test_a_ledger_may_be_made_by_several_at_once(tmp_path: Path, turn: int) -> None:
    location = str(tmp_path / "ledger.db")
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, location], stderr=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    assert open_ledger(location).check() == []


@pytest.mark.promise("T20", "T22")
def test_a_postgres_ledger_may_be_made_by_several_at_once(postgres_url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN, postgres_url], stderr=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
    with closing(open_ledger(postgres_url)) as ledger:
        assert ledger.check() == []


CREATE = """
import sys
from ledgers import event, record
from videogen_core import VideoRequest
from videogen_core.ledger import open_ledger
ledger = open_ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
job = record(sys.argv[2], idempotency_key="k", request=VideoRequest.make("boat"))
print(ledger.create(job, event(job)).id)
"""


@pytest.mark.promise("S8")
def test_processes_that_race_for_a_key_make_one_job(shared: Store) -> None:
    ledger = shared.open()
    command, here = [sys.executable, "-c", CREATE, shared.location], Path(__file__).parent
    processes = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=here)
        for n in range(6)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("\n", timeout=60)[0] for process in processes]
    (job,) = ledger.jobs()
    assert answers == [f"{job.id}\n"] * 6
