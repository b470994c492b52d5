"""The ledger in one SQLite file: WAL, full sync, ``BEGIN IMMEDIATE``, numbered migrations.

apsw carries its own current SQLite; the interpreter's is often open to a corruption bug of WAL with several writers.
"""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import msgspec

from ..errors import LedgerError, RequestError
from ..request import VideoRequest
from ..retry import Outcome
from ..states import Attempt, Event, JobRecord, JobStatus, Record
from . import ConflictError, Ledger, Observations

__all__ = ["SqliteLedger"]

APPLICATION_ID = 0x56474C31  # "VGL1"
BUSY_SECONDS = 30

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        status TEXT NOT NULL,
        money TEXT NOT NULL,
        artifact TEXT NOT NULL,
        offer TEXT NOT NULL,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        unfinished INTEGER NOT NULL,
        held_micro INTEGER NOT NULL,
        cost_micro INTEGER,
        idempotency_key TEXT UNIQUE,
        fingerprint TEXT NOT NULL,
        lease_owner TEXT,
        lease_until REAL NOT NULL DEFAULT 0,
        doc BLOB NOT NULL
    ) STRICT;
    CREATE INDEX jobs_by_time ON jobs (created_at DESC);
    CREATE INDEX jobs_unfinished ON jobs (created_at) WHERE unfinished;
    CREATE TABLE tags (
        job_id TEXT NOT NULL REFERENCES jobs (id),
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (job_id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE attempts (
        job_id TEXT NOT NULL REFERENCES jobs (id),
        number INTEGER NOT NULL,
        offer TEXT NOT NULL,
        provider TEXT NOT NULL,
        status TEXT NOT NULL,
        provider_job_id TEXT,
        started_at REAL NOT NULL,
        finished_at REAL,
        provider_failed INTEGER NOT NULL,
        cost_micro INTEGER,
        PRIMARY KEY (job_id, number)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX attempts_by_provider_job ON attempts (provider, provider_job_id);
    CREATE INDEX attempts_by_end ON attempts (finished_at);
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        job_id TEXT NOT NULL REFERENCES jobs (id),
        at REAL NOT NULL,
        doc BLOB NOT NULL
    ) STRICT;
    CREATE INDEX events_by_job ON events (job_id, seq);
    """,
)

# Errors that are the provider's own fault, and so count against its health.
_PROVIDER_FAULTS = frozenset({"ProviderUnavailableError", "ProviderProtocolError", "GenerationFailedError"})
_OBSERVED_SECONDS = 7 * 86_400
_OBSERVED_ROWS = 2_000
_OUTCOMES = 20
_BY_KEY = "SELECT doc, version, fingerprint FROM jobs WHERE idempotency_key = ?"


def _micro(amount: Decimal | None) -> int | None:
    """Millionths of a dollar, rounded up, so that sums are exact integers."""
    return None if amount is None else int((amount * 1_000_000).to_integral_value(ROUND_CEILING))


class SqliteLedger(Ledger):
    """A ledger in an SQLite file.

    Args:
        location: Path, created with mode 0600 when missing; or ``memory``.

    Raises:
        LedgerError: It cannot be opened, is no ledger, or was written by a newer version.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._lock = threading.RLock()  # callers may be in any thread; a connection serves one at a time
        self._connection: apsw.Connection | None = None
        _ledgers.add(self)
        with self._lock, self._errors("opened"):
            self._open()

    @property
    def _db(self) -> apsw.Connection:
        """The connection; opened again after a fork, and for what is still written after `close`."""
        return self._connection or self._open()

    def _open(self) -> apsw.Connection:
        if self.location == "memory":
            db = apsw.Connection(":memory:")
        else:
            _make_private(Path(self.location))
            db = apsw.Connection(self.location)
        try:
            db.set_busy_timeout(BUSY_SECONDS * 1000)
            self._connection = db
            self._migrate()
            db.pragma("journal_mode", "wal")
            db.pragma("synchronous", "full")
            db.pragma("foreign_keys", True)
        except BaseException:
            self._connection = None
            db.close()
            raise
        return db

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except apsw.FullError as error:
            raise LedgerError(
                f"The ledger {self.location} could not be {verb}: the disk is full.",
                hint="Free some space and run `videogen resume`.",
            ) from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise LedgerError(
                f"The ledger {self.location} is damaged or is no ledger ({error}).",
                hint="It was left untouched. Move it aside or restore a copy, or set VIDEOGEN_LEDGER to another path.",
            ) from error
        except (apsw.Error, OSError) as error:
            raise LedgerError(
                f"The ledger {self.location} could not be {verb}: {error}.",
                hint="Check that its folder exists and is writable, or set VIDEOGEN_HOME or VIDEOGEN_LEDGER.",
            ) from error

    def _read(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock, self._errors("read"):
            return list(self._db.execute(query, values))

    @contextmanager
    def _write(self) -> Iterator[apsw.Connection]:
        """One durable transaction. IMMEDIATE: a reader that turns writer would fail at once under contention."""
        with self._lock, self._errors("written"):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _migrate(self) -> None:
        application, version = self._db.pragma("application_id"), self._db.pragma("user_version")
        if application not in (0, APPLICATION_ID) or (application == 0 and self._tables()):
            raise LedgerError(
                f"{self.location} is an SQLite database, but not a ledger.", hint="Set VIDEOGEN_LEDGER to another path."
            )
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"The ledger {self.location} was written by a newer videogen (schema {version}; this one knows "
                f"{len(MIGRATIONS)}).",
                hint="Upgrade videogen-core.",
            )
        if version == len(MIGRATIONS):
            return
        with self._write() as db:
            version = db.pragma("user_version")  # another process may have been quicker
            for number in range(version, len(MIGRATIONS)):
                db.execute(MIGRATIONS[number])
            db.pragma("application_id", APPLICATION_ID)
            db.pragma("user_version", len(MIGRATIONS))

    def _tables(self) -> bool:
        return bool(self._db.execute("SELECT count(*) FROM sqlite_schema").get)

    # --- jobs

    def create(self, job: JobRecord, event: Event) -> JobRecord:
        fingerprint = job.request.fingerprint()
        with self._write() as db:
            if job.idempotency_key is not None:
                found = db.execute(_BY_KEY, (job.idempotency_key,)).fetchone()
                if found is not None:
                    return _same_request(found, fingerprint, job.idempotency_key)
            row = {**_columns(job), "fingerprint": fingerprint, "idempotency_key": job.idempotency_key}
            row["created_at"] = job.created_at.timestamp()
            names = ", ".join(row)
            db.execute(f"INSERT INTO jobs (id, {names}) VALUES (:id, {_marks(row)})", {**row, "id": job.id})
            db.executemany(
                "INSERT INTO tags (job_id, key, value) VALUES (?, ?, ?)", [(job.id, k, v) for k, v in job.tags.items()]
            )
            _insert_events(db, (event,))
        return job

    def find(self, idempotency_key: str, request: VideoRequest) -> JobRecord | None:
        rows = self._read(_BY_KEY, (idempotency_key,))
        return _same_request(rows[0], request.fingerprint(), idempotency_key) if rows else None

    def save(self, job: JobRecord, *events: Event) -> JobRecord:
        new = msgspec.structs.replace(job, version=job.version + 1)
        row: dict[str, Any] = _columns(new)
        if new.done:
            row |= {"lease_owner": None, "lease_until": 0.0}
        pairs = ", ".join(f"{name} = :{name}" for name in row)
        with self._write() as db:
            db.execute(
                f"UPDATE jobs SET {pairs} WHERE id = :id AND version = :before",
                {**row, "id": job.id, "before": job.version},
            )
            if db.changes() != 1:
                raise ConflictError(f"Job {job.id} was changed by another process.", job_id=job.id)
            if new.attempts:
                _store_attempt(db, new.id, new.attempt)
            _insert_events(db, events)
        return new

    def get(self, job_id: str) -> JobRecord:
        rows = self._read("SELECT doc, version FROM jobs WHERE id = ?", (job_id,))
        if not rows:
            raise self._missing(job_id)
        return _job(*rows[0])

    def _missing(self, job_id: str) -> RequestError:
        return RequestError(f"There is no job {job_id!r} in {self.location}.", hint="`videogen jobs` lists them.")

    def jobs(
        self,
        *,
        status: str | None = None,
        tags: Mapping[str, str] | None = None,
        unfinished: bool = False,
        limit: int | None = 50,
    ) -> list[JobRecord]:
        where: list[str] = ["1"]
        values: list[Any] = []
        if status is not None:
            where.append("status = ?")
            values.append(status)
        if unfinished:
            where.append("unfinished")
        for key, value in (tags or {}).items():
            where.append("EXISTS (SELECT 1 FROM tags WHERE job_id = jobs.id AND key = ? AND value = ?)")
            values += [key, value]
        query = f"SELECT doc, version FROM jobs WHERE {' AND '.join(where)} ORDER BY created_at DESC, id DESC LIMIT ?"
        rows = self._read(query, (*values, -1 if limit is None else limit))
        return [_job(doc, version) for doc, version in rows]

    def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        rows = self._read("SELECT seq, doc FROM events WHERE job_id = ? AND seq > ? ORDER BY seq", (job_id, after))
        return [msgspec.structs.replace(msgspec.json.decode(doc, type=Event), seq=seq) for seq, doc in rows]

    # --- leases

    def claim(
        self, job_id: str, owner: str, lease: float, *, dead: Callable[[str], bool] = lambda _: False
    ) -> JobRecord | None:
        now = time.time()
        with self._write() as db:
            query = "SELECT lease_owner, lease_until, doc, version, unfinished FROM jobs WHERE id = ?"
            row = db.execute(query, (job_id,)).fetchone()
            if row is None:
                raise self._missing(job_id)
            holder, until, doc, version, unfinished = row
            if not unfinished:
                return _job(doc, version)
            if holder not in (None, owner) and until >= now and not dead(holder):
                return None
            db.execute("UPDATE jobs SET lease_owner = ?, lease_until = ? WHERE id = ?", (owner, now + lease, job_id))
        return _job(doc, version)

    def release(self, job_id: str, owner: str) -> None:
        with self._write() as db:
            db.execute(
                "UPDATE jobs SET lease_owner = NULL, lease_until = 0 WHERE id = ? AND lease_owner = ?", (job_id, owner)
            )

    # --- what the past says

    def observations(self, now: datetime) -> Observations:
        rows = self._read(
            "SELECT offer, provider, status, started_at, finished_at, provider_failed FROM attempts "
            "WHERE finished_at > ? ORDER BY finished_at DESC LIMIT ?",
            (now.timestamp() - _OBSERVED_SECONDS, _OBSERVED_ROWS),
        )
        seconds: dict[str, list[float]] = {}
        failures: dict[str, list[bool]] = {}
        outcomes: dict[str, list[Outcome]] = {}
        for offer, provider, status, started, finished, provider_failed in reversed(rows):
            succeeded = status == JobStatus.SUCCEEDED
            if succeeded:
                seconds.setdefault(offer, []).append(finished - started)
            if succeeded or provider_failed:  # a refused prompt says nothing of the provider's health
                failures.setdefault(offer, []).append(bool(provider_failed))
                outcomes.setdefault(provider, []).append(Outcome(finished, bool(provider_failed)))
        return Observations(
            latency={offer: median(values[-50:]) for offer, values in seconds.items()},
            failure_rate={offer: sum(flags[-50:]) / len(flags[-50:]) for offer, flags in failures.items()},
            outcomes={provider: tuple(found[-_OUTCOMES:]) for provider, found in outcomes.items()},
        )

    def close(self) -> None:
        with self._lock, self._errors("closed"):
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def before_fork(self) -> None:
        """Let go of the file: a connection that crosses a fork holds no locks in the child, so it would lose writes."""
        self._lock.acquire()
        if self.location != "memory":
            with suppress(LedgerError):
                self.close()

    def after_fork(self) -> None:
        """Go on, in the parent and in the child."""
        self._lock.release()


_ledgers: weakref.WeakSet[SqliteLedger] = weakref.WeakSet()
_forking: list[SqliteLedger] = []


def _before_fork() -> None:
    _forking[:] = list(_ledgers)
    for ledger in _forking:
        ledger.before_fork()


def _after_fork() -> None:
    while _forking:
        _forking.pop().after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _make_private(path: Path) -> None:
    """Create folder and file for their owner alone; the file exists before SQLite would make it world-readable."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _job(doc: bytes, version: int) -> JobRecord:
    try:
        job = msgspec.json.decode(doc, type=JobRecord, dec_hook=_decode)
    except msgspec.MsgspecError as error:
        raise LedgerError(
            f"A job of the ledger cannot be read: {error}.", hint="A newer videogen may have written it; upgrade."
        ) from error
    return msgspec.structs.replace(job, version=version)


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"cannot read {kind}")


def _same_request(found: tuple[Any, ...], fingerprint: str, key: str) -> JobRecord:
    doc, version, stored = found
    if stored != fingerprint:
        raise RequestError(
            f"idempotency_key: {key!r} was used for a different request.", hint="Use a new key for a new request."
        )
    return _job(doc, version)


def _columns(job: JobRecord) -> dict[str, Any]:
    """What is kept beside the document, to be searched and summed."""
    held = _micro(job.attempt.quote.high) if job.attempts and job.money == "held" else 0
    return {
        "version": job.version,
        "status": job.status.value,
        "money": job.money.value,
        "artifact": job.artifact.value,
        "offer": job.offer,
        "updated_at": job.updated_at.timestamp(),
        "unfinished": int(not job.done),
        "held_micro": held or 0,
        "cost_micro": _micro(job.cost),
        "doc": _json(job),
    }


def _json(record: Record) -> bytes:
    try:
        return msgspec.json.encode(record, enc_hook=str)
    except UnicodeEncodeError:  # half a character, as some vendors cut their messages
        plain = msgspec.to_builtins(record, enc_hook=str)
        return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")


def _marks(row: Mapping[str, Any]) -> str:
    return ", ".join(f":{name}" for name in row)


def _store_attempt(db: apsw.Connection, job_id: str, attempt: Attempt) -> None:
    finished = attempt.finished_at
    row = {
        "job_id": job_id,
        "number": attempt.number,
        "offer": attempt.offer,
        "provider": attempt.provider,
        "status": attempt.status.value,
        "provider_job_id": attempt.provider_job_id,
        "started_at": attempt.started_at.timestamp(),
        "finished_at": None if finished is None else finished.timestamp(),
        "provider_failed": int(attempt.error is not None and attempt.error.get("type") in _PROVIDER_FAULTS),
        "cost_micro": _micro(attempt.cost),
    }
    pairs = ", ".join(f"{name} = :{name}" for name in row)
    db.execute(
        f"INSERT INTO attempts ({', '.join(row)}) VALUES ({_marks(row)}) "
        f"ON CONFLICT (job_id, number) DO UPDATE SET {pairs}",
        row,
    )


def _insert_events(db: apsw.Connection, events: tuple[Event, ...]) -> None:
    for event in events:
        db.execute(
            "INSERT INTO events (job_id, at, doc) VALUES (?, ?, ?)",
            (event.job_id, event.at.timestamp(), _json(event)),
        )
