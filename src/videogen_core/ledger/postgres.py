"""The ledger in PostgreSQL, for fleets: the same statements, row locks, and the server's clock.

One connection for each client, behind any pooler: no session state, no prepared statements. When the connection breaks,
the transaction is run again on a new one; each can tell whether its first run had been committed.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict

from ..errors import LedgerError
from . import schema
from .forking import follow
from .sql import SqlLedger, backfill
from .transaction import Row, Transaction

__all__ = ["PostgresLedger"]

T = TypeVar("T")

RECONNECT_SECONDS = 20.0
"""For how long a server that is gone (restarted, say) is tried again."""
OPEN_SECONDS = 3.0
"""For how long one is tried that has never answered; it may be the address that is wrong."""
_CONTENDED_TRIES = 20
_TABLES = ("jobs", "attempts", "tags", "events", "orphans", "budgets", "holds", "periods", "deliveries", "workers")
_LOCK_KEY = 0x56474C31
_WORDS = {
    " STRICT, WITHOUT ROWID": "",
    " STRICT": "",
    "INTEGER PRIMARY KEY AUTOINCREMENT": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "INTEGER": "BIGINT",
    "REAL": "DOUBLE PRECISION",
    "BLOB": "BYTEA",
}
# InternalError: a pooler has answered a commit with the end of its own connection
_CONNECTION_LOST = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
# Nothing was committed, and the same may succeed now.
_CONTENDED = (pg.SerializationFailure, pg.DeadlockDetected, pg.UniqueViolation, pg.LockNotAvailable)

# Said when it is connected to, and true the next time, too.
_PERMANENT = ("authentication", "does not exist", "translate host", "resolve host", "invalid", "no password", "pg_hba")


@lru_cache(maxsize=256)
def _placed(query: str) -> str:
    return re.sub(r"(?<![:\w]):([a-z_]\w*)", r"%(\1)s", query)


class _Postgres(Transaction):
    for_update = " FOR UPDATE OF jobs"

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def rows(self, query: str, **values: Any) -> list[Row]:
        return self._connection.execute(_placed(query), values).fetchall()

    def change(self, query: str, **values: Any) -> int:
        return self._connection.execute(_placed(query), values).rowcount

    def now(self) -> float:
        ((now,),) = self.rows("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)")
        return float(now)

    def lock_budgets(self, *, alone: bool) -> None:
        # taken for the transaction, so that it also holds behind a pooler
        function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
        self.rows(f"SELECT {function}(:key)", key=_LOCK_KEY)


class PostgresLedger(SqlLedger):
    """A ledger in a PostgreSQL database, shared by any number of machines.

    Args:
        address: ``postgresql://user@host/database``; the tables are made in the connection's schema.

    Raises:
        LedgerError: It cannot be reached, or was written by a newer version.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.location = _without_password(address)
        self._lock = threading.RLock()
        self._connection: psycopg.Connection[Row] | None = None
        self._patience = OPEN_SECONDS
        follow(self)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise
        self._patience = RECONNECT_SECONDS

    def _connected(self) -> psycopg.Connection[Row]:
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._address,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=10,
                tcp_user_timeout=30_000,
                application_name="videogen",
            )
        return self._connection

    def _read(self, work: Callable[[Transaction], T]) -> T:
        return self._run("read", partial(self._once, work, reading=True))

    def _write(self, work: Callable[[Transaction], T]) -> T:
        return self._run("written", partial(self._once, work))

    def _run(self, verb: str, attempt: Callable[[], T]) -> T:
        """Try until it is done: what is contended a few times, a server that is gone for a while."""
        deadline, tries, pause = time.monotonic() + self._patience, 0, 0.02
        with self._errors(verb):
            while True:
                try:
                    return attempt()
                except _CONTENDED as error:
                    # a row that another has added meanwhile is seen by the next run, which then knows what to say
                    tries += 5 if isinstance(error, pg.UniqueViolation) else 1
                    if tries >= _CONTENDED_TRIES:
                        raise
                except _CONNECTION_LOST as error:
                    self._drop()
                    if time.monotonic() >= deadline or not _passes(error):
                        raise
                time.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(pause * 2, 0.5)

    def _once(self, work: Callable[[Transaction], T], *, reading: bool = False) -> T:
        with self._lock:
            connection = self._connected()
            # Said with every BEGIN, whatever the server's default is. A writer locks first and sees what is there
            # then; a reader sees one state.
            level = psycopg.IsolationLevel
            connection.isolation_level = level.REPEATABLE_READ if reading else level.READ_COMMITTED
            connection.read_only = reading
            with connection.transaction():
                return work(_Postgres(connection))

    def _drop(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error):
                connection.close()

    @contextmanager
    def _errors(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, UnicodeError) as error:
            said = self._redacted(str(error)).strip().split("\n")[0]
            raise LedgerError(
                f"The ledger {self.location} could not be {verb}: {said or type(error).__name__}.",
                hint="Check that the server runs, that it has room, and that VIDEOGEN_LEDGER names it rightly.",
            ) from None

    def _redacted(self, text: str) -> str:
        for password in _passwords(self._address):
            text = text.replace(password, "***")
        return text

    # --- schema

    def _migrate(self) -> None:
        version = self._version()
        if version > schema.LATEST:
            raise schema.newer(self.location, version)
        if version < schema.LATEST:
            self._write(self._migrations)

    def _migrations(self, tx: Transaction) -> None:
        tx.rows("SELECT pg_advisory_xact_lock(:key)", key=_LOCK_KEY + 1)
        tx.change("CREATE TABLE IF NOT EXISTS videogen_schema (version BIGINT NOT NULL)")
        found = tx.rows("SELECT version FROM videogen_schema")
        if not found:
            tx.change("INSERT INTO videogen_schema (version) VALUES (0)")
        present = int(found[0][0]) if found else 0
        for number in range(present, schema.LATEST):  # another may have been quicker
            for statement in schema.translated(number + 1, _WORDS):
                tx.change(statement)
        if present < schema.LATEST:
            backfill(tx)
            tx.change("UPDATE videogen_schema SET version = :version", version=schema.LATEST)

    def _version(self) -> int:
        def work(tx: Transaction) -> int:
            if tx.rows("SELECT to_regclass('videogen_schema')") == [(None,)]:
                return 0
            found = tx.rows("SELECT version FROM videogen_schema")
            return int(found[0][0]) if found else 0

        return self._read(work)

    # --- care

    def vacuum(self) -> None:
        def work() -> None:
            with self._lock:
                self._connected().execute(f"VACUUM (ANALYZE) {', '.join(_TABLES)}".encode())

        self._run("written", work)

    def close(self) -> None:
        self._drop()

    def before_fork(self) -> None:
        """Wait for the transaction that is under way."""
        self._lock.acquire()

    def after_fork(self, *, child: bool) -> None:
        """Go on; the child with a connection of its own."""
        if child and self._connection is not None:
            _left_to_the_parent.append(self._connection)
            self._connection = None
        self._lock.release()


_left_to_the_parent: list[psycopg.Connection[Row]] = []
"""Connections that a child has inherited: neither used nor closed, since the parent goes on with them."""


def _passes(error: Exception) -> bool:
    """Whether a failed connection may work a moment later: a wrong password or a missing database stays wrong."""
    state = getattr(error, "sqlstate", None)
    if state is not None:
        # 08: connection; 57: shut down, restarted, terminated; 53: too many connections
        return state[:2] in ("08", "57", "53")
    text = str(error).lower()
    return not any(word in text for word in _PERMANENT)


def _passwords(address: str) -> set[str]:
    """The password of an address, as it is written and as it is meant."""
    found: set[str | None] = set()
    with suppress(ValueError):
        found.add(urlsplit(address).password)
    with suppress(psycopg.Error):
        found.add(str(conninfo_to_dict(address).get("password") or ""))
    return {password for password in found if password}


def _without_password(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return "postgresql://…"
    if parts.password is None:
        return address.partition("?")[0]
    where = f"{parts.username}:***@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit((parts.scheme, where, parts.path, "", ""))
