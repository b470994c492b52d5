"""The ledger in one SQLite file: WAL, full sync, ``BEGIN IMMEDIATE``.

apsw carries its own current SQLite; the interpreter's is often open to a corruption bug of WAL with several writers.
"""

from __future__ import annotations

import ctypes
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ..errors import LedgerError
from ..states import Event, JobRecord
from . import schema
from .beside import Marker, Reserve, make_private, network_filesystem
from .forking import follow
from .sql import SqlLedger, backfill, damaged
from .transaction import Row, Transaction

__all__ = ["SqliteLedger"]

T = TypeVar("T")

APPLICATION_ID = 0x56474C31  # "VGL1"
BUSY_SECONDS = 30
_SAFE_WAL = (3, 51, 3)  # before, several writers in WAL mode could corrupt the file
_CHECKED_BYTES = 64 * 1024**2  # a larger file takes too long to be checked at every start


class _Sqlite(Transaction):
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def rows(self, query: str, **values: Any) -> list[Row]:
        return list(self._connection.execute(query, values))

    def change(self, query: str, **values: Any) -> int:
        self._connection.execute(query, values)
        return self._connection.changes()

    def now(self) -> float:
        return time.time()

    def lock_budgets(self, *, alone: bool) -> None:
        """A write transaction is alone already."""


class _Patience:
    """Waits for a file that another connection writes to: by chance, so that nobody is always the last, and never for
    long, so that the file is not idle meanwhile. SQLite's own waiting lets one of eight processes starve for seconds.
    """

    def __call__(self, tries: int) -> bool:
        now = time.monotonic()
        if tries == 0:
            self._deadline = now + BUSY_SECONDS
        time.sleep(random.uniform(0.0005, 0.005 if tries < 20 else 0.02))
        return now < self._deadline


class SqliteLedger(SqlLedger):
    """A ledger in an SQLite file.

    Args:
        location: Path, created with mode 0600 when missing; or ``memory``.

    Raises:
        LedgerError: It cannot be opened, is no ledger, or was written by a newer version.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._on_disk = location != "memory"
        self._lock = threading.RLock()  # callers may be in any thread; a connection serves one at a time
        self._connection: apsw.Connection | None = None
        self._reserve = Reserve(location)
        self._marker = Marker(location)
        self._owed: int | None = None
        follow(self)
        with self._lock, self._errors("opened"):
            self._open()

    @property
    def _db(self) -> apsw.Connection:
        """The connection; opened again after a fork, and for what is still written after `close`."""
        return self._connection or self._open()

    def _open(self) -> apsw.Connection:
        if self._on_disk:
            path = Path(self.location)
            if (kind := network_filesystem(path)) is not None:
                raise LedgerError(
                    f"The ledger {path} is on a network file system ({kind}), whose locks cannot be relied on.",
                    hint="Set VIDEOGEN_LEDGER to a path on a local disk, or to a PostgreSQL address.",
                )
            self._owed = self._marker.verify()
            make_private(path)
        db = apsw.Connection(self.location if self._on_disk else ":memory:")
        try:
            self._prepare(db)
        except BaseException:
            self._connection = None
            db.close()
            raise
        return db

    def _prepare(self, db: apsw.Connection) -> None:
        db.set_busy_handler(_Patience())
        self._connection = db
        if self._on_disk:
            # what is refused is left untouched, its write-ahead log included
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._quick_check(db)
            self._check_whole(db)
        self._migrate()
        db.pragma("synchronous", "full")
        db.pragma("foreign_keys", True)
        if self._on_disk:
            self._choose_journal(db)
            db.pragma("schema_version")  # the first look makes the write-ahead log, which the mark is about
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
            self._marker.leave(_last_event(db), wal=Path(f"{self.location}-wal").exists())
            self._reserve.fill()

    def _choose_journal(self, db: apsw.Connection) -> None:
        # kept when the last connection closes, so that a missing one tells that somebody has removed it
        keep = ctypes.c_int(1)
        db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(keep))
        safe = tuple(map(int, apsw.sqlite_lib_version().split("."))) >= _SAFE_WAL
        wanted, deadline = "wal" if safe else "delete", time.monotonic() + BUSY_SECONDS
        while db.pragma("journal_mode") != wanted:
            try:
                if db.pragma("journal_mode", wanted) != wanted:
                    return  # a file system without shared memory: slower, and as safe
            except apsw.BusyError:  # the change of mode does not wait for others by itself
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _quick_check(self, db: apsw.Connection) -> None:
        if Path(self.location).stat().st_size > _CHECKED_BYTES:
            return
        answer = db.pragma("quick_check", 1)
        if answer != "ok":
            raise damaged(self.location, str(answer).replace("\n", " "))

    def _check_whole(self, db: apsw.Connection) -> None:
        """Without its write-ahead log, the ledger must hold the last event that it is known to have held."""
        if self._owed is None:
            return
        made = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'events'").get
        if not made or _last_event(db) < self._owed:
            raise self._marker.incomplete()

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except apsw.FullError as error:
            raise self._full() from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise damaged(self.location, error) from error
        except (apsw.Error, OSError, OverflowError) as error:
            raise LedgerError(
                f"The ledger {self.location} could not be {verb}: {error}.",
                hint="Check that its folder exists and is writable, or set VIDEOGEN_HOME or VIDEOGEN_LEDGER.",
            ) from error

    def _read(self, work: Callable[[Transaction], T]) -> T:
        with self._lock, self._errors("read"):
            return self._run("BEGIN", work)

    def _write(self, work: Callable[[Transaction], T]) -> T:
        def checked(tx: Transaction) -> T:
            # a newer process may have changed the schema since we opened it
            if (version := self._db.pragma("user_version")) > schema.LATEST:
                raise schema.newer(self.location, version)
            return work(tx)

        # IMMEDIATE: a reader that turns writer would fail at once under contention
        with self._lock, self._errors("written"):
            answer = self._run("BEGIN IMMEDIATE", checked)
            if self._on_disk:
                self._marker.note(_last_event(self._db))
            return answer

    def _run(self, begin: str, work: Callable[[Transaction], T]) -> T:
        db = self._db
        db.execute(begin)
        try:
            answer = work(_Sqlite(db))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                with suppress(apsw.Error):
                    db.execute("ROLLBACK")
            raise
        return answer

    # --- a full disk

    def create(self, job: JobRecord, event: Event) -> JobRecord:
        self._need_room()
        return super().create(job, event)

    def begin(
        self, job: JobRecord, *events: Event, fence: int | None, flight: str | None = None
    ) -> tuple[JobRecord, tuple[Event, ...]]:
        self._need_room()
        return super().begin(job, *events, fence=fence, flight=flight)

    def _need_room(self) -> None:
        """Buy nothing new while the space that was set aside is gone: what is under way may need all there is."""
        if self._on_disk and not self._reserve.fill():
            raise self._full()

    def save(self, job: JobRecord, *events: Event, fence: int | None = None) -> JobRecord:
        # What has been paid for is written down even on a full disk: it is for this that some space was set aside.
        try:
            return super().save(job, *events, fence=fence)
        except LedgerError as error:
            if not (self._on_disk and isinstance(error.__cause__, apsw.FullError | apsw.IOError)):
                raise
            self._make_room()
        return super().save(job, *events, fence=fence)

    def _make_room(self) -> None:
        """Give up the space that was set aside, and let the write-ahead log begin anew in the space that it has."""
        self._reserve.free()
        with self._lock, suppress(apsw.Error):
            self._db.execute("PRAGMA wal_checkpoint(RESTART)")

    def _full(self) -> LedgerError:
        return LedgerError(
            f"The ledger {self.location} could not be written: the disk is full.",
            hint="Free some space and run `videogen resume`.",
        )

    # --- schema

    def _migrate(self) -> None:
        application, version, tables = self._read(self._identity)
        if application != APPLICATION_ID and (application or tables):
            raise LedgerError(
                f"{self.location} is an SQLite database, but not a ledger.", hint="Set VIDEOGEN_LEDGER to another path."
            )
        if version > schema.LATEST:
            raise schema.newer(self.location, version)
        if version < schema.LATEST:
            self._write(self._migrations)

    def _identity(self, _: Transaction) -> tuple[int, int, int]:
        """Whose file it is, its schema and how many tables there are, all of one moment: another may be making it."""
        tables = self._db.execute("SELECT count(*) FROM sqlite_schema").get
        return self._db.pragma("application_id"), self._db.pragma("user_version"), tables

    def _migrations(self, tx: Transaction) -> None:
        present = self._db.pragma("user_version")
        for number in range(present, schema.LATEST):  # another process may have been quicker
            for statement in schema.statements(number + 1):
                tx.change(statement)
        if present < schema.LATEST:
            backfill(tx)
            self._db.pragma("application_id", APPLICATION_ID)
            self._db.pragma("user_version", schema.LATEST)

    def _version(self) -> int:
        return int(self._read(lambda _: self._db.pragma("user_version")))

    # --- care

    def check(self) -> list[str]:
        with self._lock, self._errors("read"):
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check")]
        return [text for text in found if text != "ok"] + super().check()

    def vacuum(self) -> None:
        with self._lock, self._errors("written"):
            self._db.execute("VACUUM")
            if self._on_disk:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        with self._lock, self._errors("closed"):
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def before_fork(self) -> None:
        """Let go of the file: a connection that crosses a fork holds no locks in the child, so it would lose writes."""
        self._lock.acquire()
        if self._on_disk:
            with suppress(LedgerError):
                self.close()

    def after_fork(self, *, child: bool) -> None:
        """Go on; the file is opened again when it is needed."""
        self._lock.release()


def _last_event(db: apsw.Connection) -> int:
    """The number of the last event ever stored."""
    return int(db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'events'").get or 0)
