"""What the ledger adds to the database beneath it: reserving and settling a job, beside raw ``sqlite3``.

The raw loop makes the very rows that the ledger makes, in as many transactions with as many syncs, from bytes that were
prepared before the clock was started: no program that keeps this record could be quicker. Both take turns, so that a
neighbour's load falls on both.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from .figures import Figure

JOBS = 200
TURNS = 7
SHARE = 0.5  # of the raw speed, at least


def measure() -> list[Figure]:
    """Jobs a second through both, reserved under one budget and settled."""
    with tempfile.TemporaryDirectory() as folder:
        ours, raw = _Ours(Path(folder) / "ours.db"), _Raw(Path(folder) / "raw.db")
        times: tuple[list[float], list[float]] = ([], [])
        for turn in range(TURNS + 1):
            for place, one in enumerate((ours.run, raw.run)):
                seconds = one(turn)
                if turn:  # the first warms up
                    times[place].append(seconds)
        ours.close()
        raw.close()
    mine, theirs = (statistics.median(found) / JOBS for found in times)
    return [
        Figure(
            name="reserve and settle a job: time beside raw sqlite3",
            value=mine / theirs,
            unit="x",
            limit=1 / SHARE,
            baseline=f"ledger {1e6 * mine:.0f} us a job ({1 / mine:,.0f} a second), raw {1e6 * theirs:.0f} us",
            note=f"two durable transactions each (begin, settle), FULL sync, {JOBS} jobs, {TURNS} turns; what the disk "
            f"takes is in both, so a slow one brings them nearer; raw SQLite {sqlite3.sqlite_version}, ready-made rows",
        ),
    ]


class _Ours:
    """Through the ledger."""

    def __init__(self, path: Path) -> None:
        from videogen_core.budget import make_budget
        from videogen_core.ledger import open_ledger

        self._ledger = open_ledger(str(path))
        self._ledger.set_budget(make_budget("all", limit=10**6))

    def run(self, turn: int) -> float:
        """Seconds for all jobs of a turn; they are made before."""
        jobs = [self._ledger.create(job, _event(job)) for job in _jobs(turn)]
        start = time.perf_counter()
        for job in jobs:
            begun = _begun(job)
            saved, _ = self._ledger.begin(begun, _event(begun), fence=None)
            done = _settled(saved)
            self._ledger.save(done, _event(done))
        return time.perf_counter() - start

    def close(self) -> None:
        if faults := self._ledger.check():
            raise SystemExit(f"the ledger is wrong: {faults[0]}")
        self._ledger.close()


class _Raw:
    """The same rows by hand, into a file of the same schema."""

    def __init__(self, path: Path) -> None:
        from videogen_core.budget import make_budget
        from videogen_core.ledger import open_ledger

        ledger = open_ledger(str(path))
        ledger.set_budget(make_budget("all", limit=10**6))
        self._create: Callable[[Any], object] = lambda job: ledger.create(job, _event(job))
        self._ledger = ledger
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = wal", "synchronous = full", "foreign_keys = on"):
            self._db.execute(f"PRAGMA {pragma}")
        ((self._starts,),) = self._db.execute("SELECT starts FROM periods")

    def run(self, turn: int) -> float:
        """Seconds for all jobs of a turn; every value is computed before."""
        prepared = []
        for job in _jobs(turn):
            self._create(job)
            begun = _begun(job)
            prepared.append((_rows(begun, 1), _rows(_settled(begun), 2)))
        start = time.perf_counter()
        for begun_rows, settled_rows in prepared:
            self._transaction(self._begin, begun_rows)
            self._transaction(self._settle, settled_rows)
        return time.perf_counter() - start

    def _transaction(self, work: Callable[[dict[str, Any]], None], rows: dict[str, Any]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        work(rows)
        self._db.execute("COMMIT")

    def _begin(self, rows: dict[str, Any]) -> None:
        self._common(rows, _INSERT_ATTEMPT)
        held = {**rows["hold"], "starts": self._starts}
        self._db.execute(
            "UPDATE periods SET held_micro = held_micro + :amount WHERE budget = 'all' AND starts = :starts "
            "AND settled_micro + held_micro + :amount <= 1000000000000",
            held,
        )
        self._db.execute("INSERT INTO holds VALUES (:job_id, 1, 'all', :starts, 'held', :amount)", held)

    def _settle(self, rows: dict[str, Any]) -> None:
        self._common(rows, _UPDATE_ATTEMPT)
        held = {**rows["hold"], "starts": self._starts}
        self._db.execute("UPDATE holds SET money = 'settled' WHERE job_id = :job_id AND number = 1", held)
        self._db.execute(
            "UPDATE periods SET held_micro = held_micro - :amount, settled_micro = settled_micro + :amount "
            "WHERE budget = 'all' AND starts = :starts",
            held,
        )

    def _common(self, rows: dict[str, Any], attempt: str) -> None:
        self._db.execute(_UPDATE_JOB, rows["job"])
        self._db.execute(attempt, rows["attempt"])
        self._db.execute("INSERT INTO events (job_id, at, doc) VALUES (:job_id, :at, :doc)", rows["event"])

    def close(self) -> None:
        self._db.close()
        if faults := self._ledger.check():
            raise SystemExit(f"the raw loop is not the same: {faults[0]}")
        self._ledger.close()


_JOB = (
    *("version", "status", "money", "artifact", "offer", "updated_at", "unfinished"),
    *("held_micro", "cost_micro", "doc"),
)
_ATTEMPT = (
    *("offer", "model", "provider", "account", "client_ref", "status", "provider_job_id", "started_at"),
    *("finished_at", "provider_failed", "cost_micro", "cost_origin", "money", "booked_micro"),
)
_UPDATE_JOB = f"UPDATE jobs SET {', '.join(f'{c} = :{c}' for c in _JOB)} WHERE id = :id AND version = :version - 1"
_INSERT_ATTEMPT = (
    f"INSERT INTO attempts (job_id, number, {', '.join(_ATTEMPT)}) "
    f"VALUES (:job_id, 1, {', '.join(f':{c}' for c in _ATTEMPT)})"
)
_UPDATE_ATTEMPT = (
    f"UPDATE attempts SET {', '.join(f'{c} = :{c}' for c in _ATTEMPT)} WHERE job_id = :job_id AND number = 1"
)


def _rows(job: Any, version: int) -> dict[str, Any]:
    """Every value of the rows of one write."""
    import msgspec

    from videogen_core.ledger.documents import attempt_columns, encoded, job_columns

    job = msgspec.structs.replace(job, version=version)
    event = _event(job)
    return {
        "job": {**job_columns(job), "id": job.id},
        "attempt": {**attempt_columns(job.attempt), "job_id": job.id},
        "event": {"job_id": job.id, "at": event.at.timestamp(), "doc": encoded(event)},
        "hold": {"job_id": job.id, "amount": 100_000},
    }


_NOW = datetime.now(UTC)


def _jobs(turn: int) -> list[Any]:
    from videogen_core import VideoRequest
    from videogen_core.states import JobRecord

    request = VideoRequest.make("A paper boat drifting down a rainy street", duration=5)
    return [
        JobRecord(id=f"vg-{turn}-{n}", created_at=_NOW, updated_at=_NOW, request=request, chain=("acme/paper",))
        for n in range(JOBS)
    ]


def _begun(job: Any) -> Any:
    from videogen_core import transitions
    from videogen_core.pricing import Quote

    hold = Decimal("0.1")
    return transitions.begin(
        job,
        _NOW,
        offer="acme/paper",
        request=job.request,
        quote=Quote(offer="acme/paper", amount=hold, low=hold, high=hold),
        client_ref=f"ref-{job.id}",
        hold=hold,
        deadline=_NOW + timedelta(seconds=120),
        model="paper",
    )


def _settled(job: Any) -> Any:
    """Accepted and done in one step: what is measured are two writes."""
    from videogen_core import transitions

    taken = transitions.accept(job, _NOW, provider_job_id=f"pj-{job.id}", handle={"id": job.id})
    return transitions.succeed(taken, _NOW, cost=Decimal("0.1"), origin="provider")


def _event(job: Any) -> Any:
    from videogen_core.states import Event

    return Event(job_id=job.id, at=_NOW, type=str(job.status), status=job.status, message="as it is")


if __name__ == "__main__":
    print(json.dumps([figure.to_dict() for figure in measure()], indent=2))
