"""Any sequence of creates, answers, losses, crashes, thefts, clock jumps, late ids, budgets and people, by several
drivers and two connections: money, leases and ids are what a model in plain integers says."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import videogen_core.ledger.sqlite as module
from ledger_events import (
    ANY_COST,
    BY_A_PERSON,
    DAY,
    ENDS,
    EVENTS,
    HOLDS,
    JUMPS,
    KINDS,
    NAMES,
    PAIRS,
    PICKS,
    RARELY,
    SCOPES,
    STORIES,
    Nothing,
    S,
    visited,
)
from ledger_model import LEASE, Leases, Money, Try, Vendor
from ledgers import begun, event, record
from videogen_core import BudgetExceededError, transitions
from videogen_core.budget import make_budget, micro
from videogen_core.ledger import ClaimedError, ConflictError, FencedError
from videogen_core.ledger.sqlite import SqliteLedger
from videogen_core.states import JobRecord
from videogen_core.transitions import IllegalTransition


class Driver:
    """A task of some process, and what it remembers."""

    def __init__(self, ledger: SqliteLedger, number: int) -> None:
        self.ledger, self.number, self.epoch = ledger, number, 0
        self.memory: dict[str, tuple[JobRecord, int]] = {}

    @property
    def worker(self) -> str:
        return f"w{self.number}.{self.epoch}"

    @property
    def name(self) -> str:
        return f"{self.worker}/1"


class Machine(RuleBasedStateMachine):
    """Three drivers in two processes at one ledger."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=self.template.parent))
        shutil.copy(self.template, self.folder / "ledger.db")
        self.now = time.time()
        self.clock = patch.object(module._Sqlite, "now", lambda _: self.now)
        self.clock.start()
        ledgers = [self._opened(), self._opened()]
        self.drivers = [Driver(ledgers[number // 2], number) for number in range(3)]
        self.money, self.leases, self.vendor = Money(), Leases(), Vendor()
        self.jobs: dict[str, tuple[JobRecord, list[Try]]] = {}
        self.heard: dict[tuple[str, str], tuple[str, int]] = {}  # provider, id -> job, attempt; 0 = as an orphan
        self.deliveries: dict[str, float] = {}
        self.names = 0

    def _opened(self) -> SqliteLedger:
        ledger = SqliteLedger(str(self.folder / "ledger.db"))
        ledger._db.pragma("synchronous", "off")
        return ledger

    def teardown(self) -> None:
        try:
            self._verify()
        finally:
            for driver in self.drivers:
                driver.ledger.close()
            self.clock.stop()
            shutil.rmtree(self.folder)

    @property
    def ledger(self) -> SqliteLedger:
        return self.drivers[0].ledger

    def _at(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def _job(self, pick: int) -> str | None:
        names = list(self.jobs)
        return names[-1 - pick % min(len(names), 6)] if names else None

    # --- what happens

    @initialize(limit=st.sampled_from(["0.25", "0.6", "3"]))
    def begin_with_a_budget_and_some_jobs(self, limit: str) -> None:
        self.define(0, 0, limit, "total")
        for number in range(4):
            self.submit(number % 3, KINDS[number % 3], HOLDS[number % 3], 1)

    @rule(who=st.integers(0, 2), kind=st.sampled_from(KINDS), hold=st.sampled_from(HOLDS), made=st.integers(0, 2))
    def submit(self, who: int, kind: tuple[str, dict[str, str]], hold: str, made: int) -> None:
        driver, (offer, tags) = self.drivers[who], kind
        self.names += 1
        job = record(str(self.names), tags=tags, chain=(offer,), updated_at=self._at())
        stored = driver.ledger.create(job, event(job))
        assert driver.ledger.create(job, event(job)).id == stored.id
        self.jobs[job.id] = stored, []
        assert self._claim(driver, job.id)
        self._begin(driver, stored, hold, made)

    def _begin(self, driver: Driver, job: JobRecord, hold: str, made: int) -> None:
        new = begun(job, self._at(), hold=hold, offer=job.offer, model=job.offer.rpartition("/")[2])
        one = Try(job.offer, job.tags, micro(Decimal(hold)), self._at().timestamp())
        current, fence = self.jobs[job.id][0].version == job.version, driver.memory[job.id][1]
        fits, owner = self.money.fits(one, self.now), fence == self.leases.fence[job.id]
        try:
            saved, _ = driver.ledger.begin(new, event(new, "submitting"), fence=fence)
        except BudgetExceededError:
            assert current, "a stale copy is refused before money is looked at"
            assert owner
            assert not fits
            return
        except (ConflictError, FencedError):
            assert not (current and owner)
            return
        assert current
        assert owner
        assert fits, "more than the budgets allow was reserved"
        self.money.reserve(one, self.now)
        self.jobs[job.id][1].append(one)
        self._remember(driver, saved, fence)
        assert self.vendor.posts[new.attempt.client_ref] == 0, "the same create left twice"
        assert driver.ledger.by_ref(new.attempt.client_ref) == saved, "nothing leaves before it is on record"
        self.vendor.create(new.attempt.client_ref, made)

    @rule(pick=PICKS, names=st.lists(NAMES, min_size=1, max_size=6), cost=ANY_COST, thief=RARELY, stale=RARELY)
    def drive(self, pick: int, names: list[str], cost: Decimal | None, thief: bool, stale: bool) -> None:
        """Anything, in any order, by whoever has the lease; now and then by somebody else, or from an old copy."""
        for name in names:
            self._act(self._driver(pick, thief=thief), pick, name, cost, stale=stale)

    @rule(pick=PICKS, story=st.sampled_from(STORIES), last=NAMES, cost=ANY_COST, thief=RARELY)
    def live(self, pick: int, story: tuple[str, ...], last: str, cost: Decimal | None, thief: bool) -> None:
        """What jobs usually go through, and then anything."""
        for name in (*story, last):
            self._act(self._driver(pick, thief=thief and name is last), pick, name, cost, stale=False)

    def _driver(self, pick: int, *, thief: bool) -> Driver:
        job_id = self._job(pick)
        _, holder = self.leases.holder.get(job_id or "", ("", ""))
        found = next((d for d in self.drivers if d.name == holder), self.drivers[pick % 3])
        return self.drivers[found.number - 1] if thief else found

    def _act(self, driver: Driver, pick: int, name: str, cost: Decimal | None, *, stale: bool) -> None:
        job_id = self._job(pick)
        if job_id is None:
            return
        move, late = EVENTS[name]
        fence = self._fence(driver, job_id, late=late, stale=stale)
        if fence == 0:
            return  # somebody else drives it
        job = driver.memory[job_id][0] if stale and job_id in driver.memory else driver.ledger.get(job_id)
        visited[self.jobs[job_id][0].status, name] += 1
        if name == "begin":
            with suppress(IllegalTransition):
                move(self, job, self._at(), cost)
                if fence is not None:
                    self._begin(driver, job, HOLDS[pick % 4], pick % 3)
            return
        try:
            new = move(self, job, self._at(), cost)
        except (IllegalTransition, Nothing, IndexError, StopIteration):
            return  # `test_jobs` says which are legal
        self._save(driver, job, new, name, cost, fence)

    def _fence(self, driver: Driver, job_id: str, *, late: bool, stale: bool) -> int | None:
        """The fence to write with: one of before, a fresh one, or none; 0 = the lease is another's."""
        if late:
            return None
        if stale and job_id in driver.memory:
            return driver.memory[job_id][1]
        claimed = self._claim(driver, job_id)
        if self.jobs[job_id][0].done:
            return None
        return driver.memory[job_id][1] if claimed else 0

    def _save(
        self, driver: Driver, job: JobRecord, new: JobRecord, name: str, cost: Decimal | None, fence: int | None
    ) -> None:
        current = self.jobs[job.id][0].version == job.version
        owner = fence in (None, self.leases.fence[job.id])
        taken = self._is_taken(new)
        try:
            saved = driver.ledger.save(new, event(new, name), fence=fence)
        except (ConflictError, FencedError):
            assert not (current and owner)
            return
        except ClaimedError:
            assert taken
            return
        if not current:
            assert saved == self.jobs[job.id][0], "an older version has replaced a newer one"
            return  # the very same write once more
        assert owner, "a driver without a lease has written"
        assert not taken, "two attempts have one job of the vendor"
        self._book(job.id, saved, name, cost)
        self._remember(driver, saved, fence)
        for attempt in saved.attempts:
            for theirs in filter(None, (attempt.provider_job_id, *attempt.orphans)):
                number = attempt.number if theirs == attempt.provider_job_id else 0
                if number or (attempt.provider, theirs) not in self.heard:
                    self.heard[attempt.provider, theirs] = job.id, number

    def _is_taken(self, new: JobRecord) -> bool:
        """Whether the vendor's job is another attempt's; an orphan may be taken up by its own job."""
        if not new.attempts or new.provider_job_id is None:
            return False
        owner, number = self.heard.get((new.attempt.provider, new.provider_job_id), ("", 0))
        return owner not in ("", new.id) or number not in (0, new.attempt.number)

    def _book(self, job_id: str, saved: JobRecord, name: str, cost: Decimal | None) -> None:
        """What the event means for the money, said once more."""
        tries = self.jobs[job_id][1]
        one = tries[-1] if tries else None
        if one is None:
            return
        before = one.money, one.amount
        if name in ("reject", "reconcile") and saved.status is S.CREATED:
            one.end(Decimal(0), succeeded=False)
        elif name == "resubmit":
            one.end(Decimal(one.hold) / 10**6, succeeded=False)
        elif name in ENDS and (one.money == "held" or name in ("revive", "correct")):
            exact = (cost or Decimal(0)) if name in BY_A_PERSON else cost
            one.end(exact, succeeded=saved.attempt.status is S.SUCCEEDED)
            if name not in BY_A_PERSON and (one.money, one.amount) != before:
                self.money.overrun(one)

    def _remember(self, driver: Driver, saved: JobRecord, fence: int | None) -> None:
        self.jobs[saved.id] = saved, self.jobs[saved.id][1]
        if fence is not None:
            driver.memory[saved.id] = saved, fence
        if saved.done:
            self.leases.drop(saved.id)

    def _claim(self, driver: Driver, job_id: str) -> bool:
        job = self.jobs[job_id][0]
        held = self.leases.holder.get(job_id)
        dead = self.leases.dead.__contains__
        found = driver.ledger.claim(job_id, driver.worker, driver.name, LEASE, dead=dead)
        if job.done:
            visited[job.status, "claim"] += 1
            assert found is not None
            assert found.fence is None
            return False
        expected = self.leases.claim(job_id, driver.worker, driver.name, self.now)
        visited[job.status, "claim" if held is None or held[1] == driver.name else "steal"] += 1
        assert (found is not None) is expected
        if found is None:
            return False
        assert found.fence == self.leases.fence[job_id]
        assert found.job == job
        driver.memory[job_id] = found.job, found.fence or 0
        return True

    # --- answers of the vendor

    def accepted(self, job: JobRecord, now: datetime) -> JobRecord:
        ref = job.attempt.client_ref
        if job.status not in (S.SUBMITTING, S.UNKNOWN):
            raise IllegalTransition("no answer is awaited")
        if (theirs := self.vendor.hears(ref)) is None:
            theirs = next((name for _, name in sorted(self.heard)), None)  # one that it has given out before
        if theirs is None:
            raise Nothing
        return transitions.accept(job, now, provider_job_id=theirs, handle={}, client_ref=ref)

    def late(self, job: JobRecord, now: datetime) -> JobRecord:
        ref, theirs = next((r, t) for r, t in self.vendor.unheard if r in {a.client_ref for a in job.attempts})
        new = transitions.accept_late(job, now, client_ref=ref, provider_job_id=theirs)
        if self.jobs[job.id][0].version == job.version:
            self.vendor.unheard.remove((ref, theirs))
        return new

    def attached(self, job: JobRecord, now: datetime) -> JobRecord:
        delivery = f"{job.attempt.client_ref}-{job.version % 3}"
        self.deliveries = {name: at for name, at in self.deliveries.items() if at >= self.now - DAY}
        assert self.ledger.seen(delivery) is (delivery in self.deliveries)
        if delivery in self.deliveries:
            raise Nothing
        self.deliveries[delivery] = self.now
        return self.accepted(job, now)

    def reconciled(self, job: JobRecord, now: datetime) -> JobRecord:
        """Ask a vendor that can be asked for our reference."""
        if job.status is not S.UNKNOWN:
            raise IllegalTransition("nothing to find out")
        if self.vendor.made[job.attempt.client_ref]:
            return self.accepted(job, now)
        return transitions.absent(job, now, lag=0)

    def again(self, job: JobRecord) -> JobRecord:
        if job.status is not S.CREATED:
            raise IllegalTransition("it is not to be asked for")
        return job

    # --- what happens to processes, clocks and budgets

    @rule(
        what=st.sampled_from(["crash", "crash", "beat", "retire", "release", "clock", "clock", "purge"]),
        who=st.integers(0, 2),
        pick=PICKS,
        noticed=st.booleans(),
        seconds=st.sampled_from(JUMPS),
    )
    def world(self, what: str, who: int, pick: int, noticed: bool, seconds: float) -> None:
        driver, job_id = self.drivers[who], self._job(pick)
        if what == "crash":
            self._crash(driver, noticed=noticed)
        elif what == "beat":
            driver.ledger.beat(driver.worker, LEASE)
            self.leases.alive = {w: u for w, u in self.leases.alive.items() if u >= self.now - DAY}
            self.leases.alive[driver.worker] = self.now + LEASE
        elif what == "retire":
            driver.ledger.retire(driver.worker)
            self.leases.alive.pop(driver.worker, None)
        elif what == "release" and job_id is not None:
            driver.ledger.release(job_id, driver.name)
            self.leases.drop(job_id, driver.name)
        elif what == "clock":
            self._all_see("clock")
            self.now += seconds
        elif what == "purge":
            self._purge()

    def _all_see(self, what: str) -> None:
        for job, _ in self.jobs.values():
            visited[job.status, what] += 1

    def _crash(self, driver: Driver, *, noticed: bool) -> None:
        for job_id, (_, held) in self.leases.holder.items():
            if held == driver.name:
                visited[self.jobs[job_id][0].status, "crash"] += 1
        if noticed:
            self.leases.dead.add(driver.worker)
        driver.epoch += 1
        driver.memory.clear()
        if driver.number == 2:  # alone in its process, which comes up again
            driver.ledger.close()
            driver.ledger = self._opened()

    @rule(
        which=st.integers(0, 3),
        scope=st.integers(0, 3),
        limit=st.sampled_from(["0", "0.2", "0.6", "3"]),
        period=st.sampled_from(["day", "month", "total"]),
    )
    def define(self, which: int, scope: int, limit: str, period: str) -> None:
        budget = make_budget(f"b{which}", limit=limit, period=period, timezone="Asia/Kathmandu", **SCOPES[scope])
        self.drivers[which % 3].ledger.set_budget(budget)
        self.money.define(budget, self.now)

    @rule(which=st.integers(0, 3), removed=RARELY)
    def tend_a_budget(self, which: int, removed: bool) -> None:
        name = f"b{which}"
        if removed:
            assert self.ledger.remove_budget(name) is self.money.remove(name)
        else:
            assert self.ledger.acknowledge(name) is (name in self.money.budgets)
            self.money.blocked.discard(name)

    def _purge(self) -> None:
        before = datetime.now(UTC) - timedelta(days=31)
        self._all_see("purge")
        gone = [name for name, (job, _) in self.jobs.items() if job.done and job.updated_at < before]
        assert self.ledger.purge(before) == len(gone)
        for name in gone:
            for one in self.jobs.pop(name)[1]:
                one.purged = True
            self.heard = {theirs: owner for theirs, owner in self.heard.items() if owner[0] != name}
            for driver in self.drivers:
                driver.memory.pop(name, None)
            self.leases.drop(name)
        self.vendor.unheard = [(r, t) for r, t in self.vendor.unheard if r.rpartition("-")[0][4:] not in gone]

    # --- what must be true after each

    @invariant()
    def budgets_are_what_the_model_says(self) -> None:
        for state in self.ledger.budgets():
            name = state.budget.name
            expected = self.money.taken(name, self.money.starts(name, self.now))
            assert (micro(state.settled), micro(state.held)) == expected
            assert bool(state.blocked) is (name in self.money.blocked)

    @invariant()
    def every_fifth_time_everything_is_looked_at(self) -> None:
        self.steps = getattr(self, "steps", 0) + 1
        if self.steps % 5 == 0:
            self._verify()

    def _verify(self) -> None:
        assert self.ledger.check() == []
        assert {job.id: job for job in self.ledger.jobs(limit=None)} == {n: job for n, (job, _) in self.jobs.items()}
        for (provider, theirs), (owner, _) in self.heard.items():
            found = self.ledger.by_provider_job(provider, "me", theirs)
            assert found is not None, "an id that came was dropped"
            assert found.id == owner
        for ref, number in self.vendor.posts.items():
            assert number == 1, f"{ref} left {number} times"


def run(template: Path, examples: int, steps: int) -> float:
    """The share of (state, event) pairs that were visited."""
    ledger = SqliteLedger(str(template))
    ledger.vacuum()
    ledger.close()
    visited.clear()
    kind = type("Machine", (Machine,), {"template": template})
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    missing = sorted(f"{status} x {name}" for status, name in PAIRS - visited.keys())
    share = 1 - len(missing) / len(PAIRS)
    sys.stdout.write(f"{share:.1%} of {len(PAIRS)} pairs of state and event; never: {', '.join(missing) or 'none'}\n")
    return share


PROMISES = ("S1", "S2", "S3", "S5", "S6", "S7", "S9", "B1", "B3", "B5", "B6", "B7", "B8", "K3", "T16")


@pytest.mark.promise(*PROMISES)
def test_whatever_happens_the_ledger_is_what_the_model_says(tmp_path: Path) -> None:
    assert run(tmp_path / "ledger.db", 300, 40) >= 0.8


@pytest.mark.chaos
@pytest.mark.promise(*PROMISES)
def test_whatever_happens_for_hours_the_ledger_is_what_the_model_says(tmp_path: Path) -> None:
    assert run(tmp_path / "ledger.db", 20_000, 80) >= 0.95
