"""From one schema to the next: all of it or nothing, with what was in it, and no older code writes to a newer one."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import videogen_core.ledger.sqlite as sqlite_module
from ledgers import Store, accept, accepted, budget, created, finished, succeed
from videogen_core import LedgerError
from videogen_core.ledger import open_ledger, schema
from videogen_core.ledger.sqlite import APPLICATION_ID, SqliteLedger

# What version 0.1.0 wrote: a job of every kind, two of which share a vendor's id.
OLD = Path(__file__).with_name("ledger_v1.sql")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger of version 0.1.0."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = wal")
        db.executescript(OLD.read_text(encoding="utf-8"))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
    return path


def schema_of(path: Path) -> tuple[int, set[str]]:
    with closing(sqlite3.connect(path)) as db:
        ((version,),) = db.execute("PRAGMA user_version")
        columns = db.execute("SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c")
        return version, {f"{table}.{column}" for table, column in columns}


@pytest.mark.promise("T20", "L3")
def test_what_the_first_version_wrote_is_all_there(old: Path) -> None:
    with closing(SqliteLedger(str(old))) as ledger:
        assert ledger.schema() == (2, 2)
        assert ledger.check() == []
        statuses = {job.id.removeprefix("vg-"): str(job.status) for job in ledger.jobs()}
        assert statuses == {
            "created": "created",
            "submitting": "submitting",
            "running": "running",
            "unknown": "unknown",
            "succeeded": "succeeded",
            "silent": "succeeded",
            "twin": "queued",
            "fallback": "queued",
        }
        assert ledger.jobs(tags={"team": "ads"}, status="created")[0].idempotency_key == "k1"
        (total,) = ledger.costs(by="total")
        assert (total.spent, total.held, total.unpriced) == (Decimal("0.4"), Decimal("2.0"), 1)
        assert {line.key: line.attempts for line in ledger.costs(by="provider")} == {"acme": 8, "blue": 1}
        state = budget(ledger, period="total", limit="3")
        assert (state.settled, state.held) == (Decimal("0.4"), Decimal("2.0"))
        assert ledger.by_ref("ref-vg-unknown-0") == ledger.get("vg-unknown")
        assert [e.type for e in ledger.events("vg-running")] == ["created", "submitting", "accepted", "progress"]


@pytest.mark.promise("T20", "B5")
def test_what_the_first_version_began_can_be_finished(old: Path) -> None:
    with closing(SqliteLedger(str(old))) as ledger:
        budget(ledger, period="total", limit="3")
        for name in ("submitting", "unknown"):
            ledger.save(accept(ledger.get(f"vg-{name}"), f"pj-{name}"))
        for name, cost in (
            ("submitting", "0.3"),
            ("unknown", None),
            ("running", "0.4"),
            ("twin", "0"),
            ("fallback", "0.1"),
        ):
            claim = ledger.claim(f"vg-{name}", "w", name, 60)
            assert claim is not None
            ledger.save(succeed(claim.job, cost), fence=claim.fence)
            assert ledger.check() == []
        (state,) = ledger.budgets()
        assert (state.settled, state.held) == (Decimal("1.6"), 0)


class Statement(BaseException):
    """Stands for the end of the process."""


def counted(monkeypatch: pytest.MonkeyPatch, kind: Any, last: int, end: Any) -> None:
    """End at the ``last`` statement that changes something."""
    real, seen = kind.change, [0]

    def change(self: Any, query: str, **values: Any) -> int:
        seen[0] += 1
        if seen[0] > last:
            end()
        return int(real(self, query, **values))

    monkeypatch.setattr(kind, "change", change)


def statements() -> int:
    return sum(len(schema.statements(number)) for number in range(1, schema.LATEST + 1))


@pytest.mark.promise("T20", "L3")
def test_a_migration_that_is_killed_at_any_statement_has_not_begun(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = schema_of(old)
    assert before[0] == 1
    for last in range(len(schema.statements(2)) + 9):  # the attempts are filled in by statements of their own
        pid = os.fork()
        if pid == 0:
            try:
                with monkeypatch.context() as patch:
                    counted(patch, sqlite_module._Sqlite, last, lambda: os.kill(os.getpid(), signal.SIGKILL))
                    SqliteLedger(str(old))
            finally:
                os._exit(7)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL, f"statement {last}"
        assert schema_of(old) == before
    with closing(SqliteLedger(str(old))) as ledger:
        assert ledger.check() == []
        assert len(ledger.jobs()) == 8
    assert schema_of(old)[0] == 2


@pytest.mark.promise("T20", "L3")
def test_a_new_file_that_is_killed_at_any_statement_is_made_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    for last in range(0, statements(), 3):
        with monkeypatch.context() as patch:
            counted(patch, sqlite_module._Sqlite, last, _end)
            with pytest.raises(Statement):
                SqliteLedger(str(path))
        assert schema_of(path) == (0, set())
    with closing(SqliteLedger(str(path))) as ledger:
        finished(ledger)
        assert ledger.check() == []


def _end() -> None:
    raise Statement


@pytest.mark.promise("T20", "L3")
def test_a_postgres_migration_that_ends_at_any_statement_has_not_begun(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import videogen_core.ledger.postgres as postgres_module
    from postgres import connect

    for last in range(statements() + 3):
        with monkeypatch.context() as patch:
            counted(patch, postgres_module._Postgres, last, _end)
            with pytest.raises(Statement):
                open_ledger(postgres_url)
    with connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    with closing(open_ledger(postgres_url)) as ledger:
        finished(ledger)
        assert ledger.check() == []
        assert ledger.schema() == (2, 2)


@pytest.mark.promise("T20", "L3")
def test_older_code_refuses_a_newer_schema(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if store.location == "memory":
        pytest.skip("is as old as its process")
    created(store.open())
    monkeypatch.setattr(schema, "LATEST", 1)
    with pytest.raises(LedgerError, match=r"newer videogen \(schema 2; this one knows 1\)") as caught:
        store.open()
    assert "Nothing was changed" in (caught.value.hint or "")
    monkeypatch.undo()
    assert store.open().get("vg-1").status == "created"


@pytest.mark.promise("T20")
def test_older_code_that_has_it_open_writes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(SqliteLedger(str(tmp_path / "ledger.db"))) as ledger:
        job = accepted(ledger)
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as newer:
            newer.execute("PRAGMA user_version = 3")
            with pytest.raises(LedgerError, match="newer videogen"):
                ledger.save(succeed(job))
            assert ledger.get("vg-1") == job


def test_the_same_schema_in_both_databases(postgres_url: str, tmp_path: Path) -> None:
    from postgres import connect

    SqliteLedger(str(tmp_path / "ledger.db")).close()
    open_ledger(postgres_url).close()
    with connect(postgres_url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        ).fetchall()
    theirs = {f"{table}.{column}" for table, column in columns if table != "videogen_schema"}
    ours = {name for name in schema_of(tmp_path / "ledger.db")[1] if not name.startswith("sqlite_")}
    assert {name for name in ours if name.partition(".")[0] in {t.partition(".")[0] for t in theirs}} == theirs
