"""What the ledger tells of the past, and how it is looked after: costs, check, export, purge, vacuum."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from ledgers import (
    FAILED,
    LOST,
    NOW,
    STAGES,
    Store,
    accept,
    accepted,
    budget,
    created,
    fail,
    finished,
    money,
    sent,
    usd,
)
from videogen_core import RequestError, transitions
from videogen_core.budget import Budget
from videogen_core.ledger import Ledger, open_ledger
from videogen_core.states import Artifact, Event, JobRecord

# --- costs


@pytest.fixture
def spent(ledger: Ledger) -> Ledger:
    """A ledger with jobs of every outcome."""
    finished(ledger, 1, "0.50", tags={"team": "ads"})
    finished(ledger, 2, "0.25", offer="blue/boat", model="boat", tags={"team": "art"})
    ledger.save(fail(accepted(ledger, 3), "0.1", "assumed"))
    ledger.save(transitions.reject(sent(ledger, 4), NOW, FAILED))
    ledger.save(transitions.lose(sent(ledger, 5, hold="0.3"), NOW, LOST))
    finished(ledger, 6, None, hold=None)
    sent(ledger, 7, hold="0.2", tags={"team": "ads"})
    return ledger


def test_costs_in_all(spent: Ledger) -> None:
    (total,) = spent.costs(by="total")
    assert (total.attempts, total.succeeded, total.failed, total.unknown, total.unpriced) == (7, 3, 2, 1, 1)
    sums = (total.spent, total.spent_on_failures, total.assumed, total.held)
    assert sums == usd("0.85", "0.1", "0.1", "0.5")


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("model", [("paper", "0.6"), ("boat", "0.25")]),
        ("offer", [("acme/paper", "0.6"), ("blue/boat", "0.25")]),
        ("provider", [("acme", "0.6"), ("blue", "0.25")]),
        ("tag:team", [("ads", "0.5"), ("art", "0.25"), ("", "0.1")]),
        ("tag:none", [("", "0.85")]),
    ],
)
def test_costs_by_group(spent: Ledger, by: str, expected: list[tuple[str, str]]) -> None:
    lines = spent.costs(by=by)
    assert [(line.key, line.spent) for line in lines] == [(key, Decimal(amount)) for key, amount in expected]
    assert sum(line.attempts for line in lines) == 7
    assert json.loads(json.dumps([line.to_dict() for line in lines]))[0]["spent"] == str(lines[0].spent)


@pytest.mark.parametrize("by", ["", "tag", "tag:", "models", "day:x", "total:x", "status"])
def test_a_group_that_there_is_not_is_named(ledger: Ledger, by: str) -> None:
    with pytest.raises(RequestError, match="is no group"):
        ledger.costs(by=by)


@pytest.mark.promise("B7")
def test_days_are_those_of_the_user(ledger: Ledger) -> None:
    for number, at in enumerate(
        (
            "2026-03-28T18:14:59",  # 23:59:59 in Kathmandu
            "2026-03-28T18:15:00",  # midnight there
            "2026-03-28T22:59:59",  # 23:59:59 in Berlin, the evening before summer time
            "2026-03-28T23:00:00",
            "2026-03-29T21:59:59",  # the end of a day of 23 hours
            "2026-03-29T22:00:00",
        )
    ):
        finished(ledger, number, "0.1", now=datetime.fromisoformat(at).replace(tzinfo=UTC))

    def days(zone: str, **limits: Any) -> dict[str, int]:
        return {line.key: line.attempts for line in ledger.costs(by="day", timezone=zone, **limits)}

    assert days("Europe/Berlin") == {"2026-03-28": 3, "2026-03-29": 2, "2026-03-30": 1}
    assert days("Asia/Kathmandu") == {"2026-03-28": 1, "2026-03-29": 3, "2026-03-30": 2}
    assert days("UTC") == {"2026-03-28": 4, "2026-03-29": 2}
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert days("Europe/Berlin", since=start, until=start + timedelta(hours=23)) == {"2026-03-29": 2}
    assert days("Europe/Berlin", until=start) == {"2026-03-28": 3}


# --- check

# A fault -> the statements that plant it.
FAULTS = {
    "a status": "UPDATE jobs SET status = 'failed' WHERE id = 'vg-1'",
    "a money": "UPDATE jobs SET money = 'none' WHERE id = 'vg-1'",
    "a held sum": "UPDATE jobs SET held_micro = 7 WHERE id = 'vg-1'",
    "a cost": "UPDATE jobs SET cost_micro = 7 WHERE id = 'vg-1'",
    "unfinished": "UPDATE jobs SET unfinished = 1 - unfinished WHERE id = 'vg-1'",
    "a key": "UPDATE jobs SET idempotency_key = 'k' WHERE id = 'vg-1'",
    "a document": "UPDATE jobs SET doc = CAST('{}' AS BLOB) WHERE id = 'vg-1'",
    "half a document": "UPDATE jobs SET doc = substr(doc, 1, 50) WHERE id = 'vg-1'",
    "no document": "UPDATE jobs SET doc = CAST('' AS BLOB) WHERE id = 'vg-1'",
    "an attempt's money": "UPDATE attempts SET money = 'released' WHERE job_id = 'vg-1'",
    "an attempt's amount": "UPDATE attempts SET booked_micro = booked_micro + 1 WHERE job_id = 'vg-1'",
    "an attempt's cost": "UPDATE attempts SET cost_micro = 5 WHERE job_id = 'vg-1'",
    "an attempt's id": "UPDATE attempts SET provider_job_id = 'other' WHERE job_id = 'vg-1'",
    "an attempt's reference": "UPDATE attempts SET client_ref = 'other' WHERE job_id = 'vg-1'",
    "an attempt's status": "UPDATE attempts SET status = 'running' WHERE job_id = 'vg-1'",
    "no attempt": "DELETE FROM attempts WHERE job_id = 'vg-1'",
    "another attempt": "UPDATE attempts SET number = 2 WHERE job_id = 'vg-1'",
    "no tag": "DELETE FROM tags WHERE job_id = 'vg-1'",
    "another tag": "UPDATE tags SET value = 'x' WHERE job_id = 'vg-1'",
    "an event": "UPDATE events SET doc = CAST('{' AS BLOB) WHERE job_id = 'vg-1'",
    "another's event": "UPDATE events SET job_id = 'vg-2' WHERE job_id = 'vg-1'",
    "a held counter": "UPDATE periods SET held_micro = held_micro + 1",
    "a settled counter": "UPDATE periods SET settled_micro = settled_micro - 1",
    "no counter": "DELETE FROM periods",
    "another period": "UPDATE periods SET starts = starts - 86400",
    "no hold": "DELETE FROM holds WHERE job_id = 'vg-1'",
    "a hold's amount": "UPDATE holds SET amount_micro = amount_micro - 1 WHERE job_id = 'vg-1'",
    "a hold's money": "UPDATE holds SET money = 'released' WHERE job_id = 'vg-1'",
    "another's hold": "UPDATE holds SET number = 9 WHERE job_id = 'vg-1'",
    "a limit": "UPDATE budgets SET limit_micro = limit_micro * 10",
    "a budget": "UPDATE budgets SET doc = CAST('[]' AS BLOB)",
}


def plant(store: Store, statement: str) -> None:
    ledger = store.open()
    statement = statement if ledger.location.startswith(("memory", "/")) else statement.replace("BLOB", "BYTEA")
    ledger._write(lambda tx: tx.change(statement))  # type: ignore[attr-defined]


@pytest.mark.promise("B5")
@pytest.mark.parametrize("fault", FAULTS)
def test_check_finds_each_fault(store: Store, fault: str) -> None:
    ledger = store.open()
    budget(ledger)
    finished(ledger, 1, tags={"team": "ads"})
    accepted(ledger, 2)
    assert ledger.check() == []
    plant(store, FAULTS[fault])
    found = ledger.check()
    assert found
    assert all(text.endswith(".") or "cannot be read" in text for text in found)


@pytest.mark.parametrize("stage", STAGES)
def test_check_finds_nothing_where_nothing_is_wrong(ledger: Ledger, stage: str) -> None:
    budget(ledger)
    STAGES[stage](ledger)
    assert ledger.check() == []


def test_what_cannot_be_read_is_said_in_our_own_error(store: Store) -> None:
    ledger = store.open()
    finished(ledger, 1)
    plant(store, FAULTS["a document"])
    plant(store, FAULTS["an event"])
    for ask in (lambda: ledger.get("vg-1"), lambda: ledger.jobs(), lambda: ledger.events("vg-1")):
        with pytest.raises(Exception, match="cannot be read") as caught:
            ask()
        assert type(caught.value).__name__ == "LedgerError"


# --- export


def test_everything_can_be_taken_out_and_read_again(ledger: Ledger) -> None:
    budget(ledger, tags={"team": "ads"}, warn=(0.5,))
    jobs = [finished(ledger, number, tags={"team": "ads"}) for number in range(3)]
    lines = [json.loads(json.dumps(item)) for item in ledger.export()]
    assert [list(line) for line in lines] == [["job", "events"]] * 3 + [["budget"]]
    for job, line in zip(jobs, lines, strict=False):
        again = msgspec.convert(line["job"], JobRecord, strict=False, dec_hook=lambda kind, value: kind(value))
        assert msgspec.structs.replace(again, version=job.version) == job
        events = [msgspec.convert(item, Event, strict=False) for item in line["events"]]
        assert events == ledger.events(job.id)
    state = lines[-1]["budget"]
    known = {name: value for name, value in state.items() if name in Budget.__struct_fields__ and value is not None}
    assert msgspec.convert(known, Budget, strict=False) == ledger.budgets()[0].budget
    assert (state["settled"], state["held"]) == ("0.3", "0")


def test_export_has_every_page_and_jobs_of_the_same_moment() -> None:
    ledger = open_ledger("memory")
    for number in range(1203):
        job = created(ledger, f"{number:04}", created_at=NOW + timedelta(seconds=number // 700))
    names = [item["job"]["id"] for item in ledger.export() if "job" in item]
    assert names == [f"vg-{number:04}" for number in range(1203)]
    assert job.id == names[-1]


# --- purge

OLD = NOW - timedelta(days=60)


def old(ledger: Ledger, job: JobRecord) -> JobRecord:
    return ledger.save(msgspec.structs.replace(job, updated_at=OLD))


@pytest.mark.promise("S9")
@pytest.mark.parametrize("stage", STAGES)
def test_only_what_is_over_can_be_purged(ledger: Ledger, stage: str) -> None:
    budget(ledger, period="total")
    job = old(ledger, STAGES[stage](ledger))
    before = money(ledger)
    assert ledger.purge(NOW - timedelta(days=31)) == int(job.done)
    assert len(ledger.jobs()) == (0 if job.done else 1)
    assert money(ledger) == before, "what was spent stays spent"
    assert ledger.check() == []


@pytest.mark.promise("S9")
def test_purging_leaves_no_trace_of_a_job_and_touches_no_other(ledger: Ledger) -> None:
    young = finished(ledger, 1)
    job = transitions.store(accepted_and_done(ledger, 2), NOW, Artifact.SKIPPED)
    job = ledger.save(transitions.accept_late(job, NOW, client_ref="ref-vg-2-1", provider_job_id="late"))
    old(ledger, job)
    budget(ledger, period="total")
    assert ledger.purge(NOW - timedelta(days=31)) == 1
    assert [j.id for j in ledger.jobs()] == [young.id]
    assert ledger.events("vg-2") == []
    assert ledger.by_ref("ref-vg-2-1") is ledger.by_provider_job("acme", "me", "late") is None
    budget(ledger, limit="9", period="total")
    assert money(ledger) == usd("0.2", 0), "a new limit does not forget what was purged"
    ledger.vacuum()
    assert ledger.check() == []


def accepted_and_done(ledger: Ledger, number: int) -> JobRecord:
    return transitions.succeed(accepted(ledger, number), NOW, cost=Decimal("0.1"), origin="provider")


@pytest.mark.promise("S8", "S9")
def test_what_is_younger_than_a_month_is_not_purged(ledger: Ledger) -> None:
    with pytest.raises(RequestError, match="30 days"):
        ledger.purge(NOW - timedelta(days=29))
    job = ledger.save(fail(accepted(ledger)))
    ledger.save(msgspec.structs.replace(job, updated_at=NOW - timedelta(days=20)))
    assert ledger.purge(NOW - timedelta(days=31)) == 0


def test_the_schema_is_told(ledger: Ledger) -> None:
    present, latest = ledger.schema()
    assert present == latest == 2


def test_a_closed_ledger_still_writes_what_is_paid_for(store: Store) -> None:
    if store.location == "memory":
        pytest.skip("it is gone with its connection")
    ledger = store.open()
    job = sent(ledger)
    ledger.close()
    ledger.close()
    ledger.save(accept(job, "pj"))
    assert store.open().get("vg-1").provider_job_id == "pj"
