"""The store: durable, compare-and-set, leased, and honest about files that it cannot use."""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from videogen_core import LedgerError, RequestError, VideoRequest, transitions
from videogen_core.ledger import Claim, ConflictError, open_ledger
from videogen_core.ledger.sqlite import SqliteLedger
from videogen_core.pricing import Quote
from videogen_core.states import Event, JobRecord, JobStatus

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def record(number: int = 1, **changes: object) -> JobRecord:
    job = JobRecord(
        id=f"vg-{number}",
        created_at=NOW + timedelta(seconds=number),
        updated_at=NOW,
        request=VideoRequest.make(f"boat {number}"),
        chain=("acme/paper",),
    )
    return msgspec.structs.replace(job, **changes)


def event(job: JobRecord, kind: str = "created") -> Event:
    return Event(job_id=job.id, at=NOW, type=kind, status=job.status)


def begun(job: JobRecord, now: datetime = NOW) -> JobRecord:
    quote = Quote(offer="acme/paper", amount=Decimal("0.1"), low=Decimal("0.1"), high=Decimal("0.1"))
    return transitions.begin(
        job, now, offer="acme/paper", request=job.request, quote=quote, client_ref=f"ref-{job.id}-{len(job.attempts)}"
    )


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    return SqliteLedger(str(tmp_path / "deep" / "ledger.db"))


def test_what_is_stored_is_read_back_whole(ledger: SqliteLedger) -> None:
    job = begun(record(tags={"team": "ads"}, max_cost=Decimal("1.50")))
    ledger.create(record(tags={"team": "ads"}, max_cost=Decimal("1.50")), event(job))
    saved = ledger.save(job, event(job, "submitting"))
    assert ledger.get("vg-1") == saved
    assert saved.version == 1
    assert [e.type for e in ledger.events("vg-1")] == ["created", "submitting"]
    assert [e.type for e in ledger.events("vg-1", after=1)] == ["submitting"]


def test_files_and_folders_are_their_owner_s_alone(ledger: SqliteLedger, tmp_path: Path) -> None:
    ledger.create(record(), event(record()))
    files = list((tmp_path / "deep").iterdir())
    assert {path.name for path in files} >= {"ledger.db", "ledger.db-wal"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    assert (tmp_path / "deep").stat().st_mode & 0o077 == 0


def test_the_second_of_two_writers_is_told(ledger: SqliteLedger) -> None:
    ledger.create(record(), event(record()))
    one, two = ledger.get("vg-1"), ledger.get("vg-1")
    ledger.save(begun(one))
    with pytest.raises(ConflictError):
        ledger.save(begun(two, NOW + timedelta(seconds=1)))
    assert len(ledger.get("vg-1").attempts) == 1


def test_an_idempotency_key_is_one_job(ledger: SqliteLedger) -> None:
    first = ledger.create(record(1, idempotency_key="k"), event(record(1)))
    twin = record(2, idempotency_key="k", request=first.request)
    assert ledger.create(twin, event(twin)).id == first.id
    with pytest.raises(RequestError, match="different request"):
        ledger.create(record(3, idempotency_key="k"), event(record(3)))


def test_one_lease_at_a_time(ledger: SqliteLedger) -> None:
    ledger.create(record(), event(record()))
    assert ledger.claim("vg-1", "w", "a", 60) == Claim(ledger.get("vg-1"), 1)
    assert ledger.claim("vg-1", "v", "b", 60) is None
    assert ledger.claim("vg-1", "w", "a", 60) == Claim(ledger.get("vg-1"), 1)
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


def test_a_finished_job_loses_its_lease(ledger: SqliteLedger) -> None:
    ledger.create(record(), event(record()))
    ledger.claim("vg-1", "w", "a", 60)
    ledger.save(transitions.cancel(ledger.get("vg-1"), NOW, cost=Decimal(0), origin="computed"))
    assert ledger.claim("vg-1", "v", "b", 60) is not None


def test_jobs_are_found_by_status_tags_and_what_is_left_to_do(ledger: SqliteLedger) -> None:
    for number in range(1, 6):
        job = record(number, tags={"team": "ads" if number % 2 else "art", "n": str(number)})
        ledger.create(job, event(job))
    ledger.save(begun(ledger.get("vg-3")))
    ledger.save(transitions.cancel(ledger.get("vg-5"), NOW, cost=Decimal(0), origin="computed"))
    assert [job.id for job in ledger.jobs()] == ["vg-5", "vg-4", "vg-3", "vg-2", "vg-1"]
    assert [job.id for job in ledger.jobs(status="submitting")] == ["vg-3"]
    assert [job.id for job in ledger.jobs(tags={"team": "art"})] == ["vg-4", "vg-2"]
    assert [job.id for job in ledger.jobs(tags={"team": "ads", "n": "1"})] == ["vg-1"]
    assert len(ledger.jobs(unfinished=True)) == 4
    assert len(ledger.jobs(limit=2)) == 2
    with pytest.raises(RequestError, match="vg-9"):
        ledger.get("vg-9")


def test_what_the_past_says(ledger: SqliteLedger) -> None:
    for number, seconds in enumerate([10.0, 30.0, 20.0], start=1):
        start = NOW - timedelta(minutes=5)
        job = begun(ledger.create(record(number), event(record(number))), start)
        job = ledger.save(job)
        job = ledger.save(transitions.accept(job, start, provider_job_id=str(number), handle={}))
        end = start + timedelta(seconds=seconds)
        ledger.save(transitions.succeed(job, end, cost=Decimal("0.1"), origin="computed"))
    seen = ledger.observations(NOW)
    assert seen.latency == {"acme/paper": 20.0}
    assert seen.failure_rate == {"acme/paper": 0.0}
    assert [outcome.provider_failed for outcome in seen.outcomes["acme"]] == [False] * 3
    assert ledger.observations(NOW + timedelta(days=30)).latency == {}


def test_memory_is_a_ledger_too() -> None:
    ledger = open_ledger("memory")
    ledger.create(record(), event(record()))
    assert ledger.get("vg-1").status is JobStatus.CREATED


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"not a database, but long enough to be looked at" * 40, "damaged"),
        (b"SQLite format 3\x00" + b"\xff" * 200, "damaged"),
    ],
)
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=says) as caught:
        SqliteLedger(str(path))
    assert caught.value.hint
    assert path.read_bytes() == content


def test_a_truncated_ledger_is_refused(ledger: SqliteLedger, tmp_path: Path) -> None:
    for number in range(50):
        ledger.create(record(number), event(record(number)))
    ledger.close()
    path = tmp_path / "deep" / "ledger.db"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(LedgerError):
        SqliteLedger(str(path)).jobs(limit=None)


def test_a_newer_ledger_is_refused(ledger: SqliteLedger, tmp_path: Path) -> None:
    ledger.close()
    path = tmp_path / "deep" / "ledger.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="newer videogen") as caught:
        SqliteLedger(str(path))
    assert "Upgrade" in (caught.value.hint or "")


def test_another_program_s_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()
    with pytest.raises(LedgerError, match="not a ledger"):
        SqliteLedger(str(path))


@pytest.mark.parametrize("place", ["file/ledger.db", "folder"])
def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match=place.partition("/")[0]) as caught:
        SqliteLedger(str(tmp_path / place))
    assert "VIDEOGEN_" in (caught.value.hint or "")


def test_an_address_that_no_store_serves_is_refused() -> None:
    with pytest.raises(LedgerError, match="redis"):
        open_ledger("redis://localhost")


def test_many_threads_and_connections_write_at_once(tmp_path: Path) -> None:
    location = str(tmp_path / "ledger.db")
    SqliteLedger(location).create(record(0), event(record(0)))
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            mine = SqliteLedger(location)
            for n in range(20):
                number = 1 + worker * 100 + n
                job = mine.create(record(number), event(record(number)))
                mine.save(begun(job), event(job, "submitting"))
            mine.close()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(w,)) for w in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(SqliteLedger(location).jobs(status="submitting", limit=None)) == 120
