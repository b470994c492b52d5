"""What the tests of the core share: event loops, stores, and the servers and disks that some need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from disks import read_only_disk as read_only_disk, small_disk as small_disk
from videogen_core import plugins

if TYPE_CHECKING:
    from ledgers import Store
    from postgres import PgBouncer, Server
    from videogen_core.ledger import Ledger

# "required": it is a failure when there is no PostgreSQL; a URL: that server; nothing: one of our own, where there is
# one. Read now, since no test sees the VIDEOGEN_ variables of the machine.
POSTGRES = os.environ.get("VIDEOGEN_TEST_POSTGRES", "")


@pytest.fixture(autouse=True)
def _the_core_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The providers' plugins may be installed beside it; in this process, its own tests do not see them."""
    own = tuple(each for each in plugins._entry_points() if each.value.startswith("videogen_core."))
    monkeypatch.setattr(plugins, "_entry_points", lambda: own)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, started by the first test that wants it.

    Each xdist worker has its own, so that a test may restart it or cut its connections.
    """
    try:
        import postgres
    except ImportError as error:
        _without_postgres(str(error))
    try:
        with postgres.server(POSTGRES) as server:
            yield server
    except postgres.UnavailableError as error:
        _without_postgres(str(error))


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """A fresh database: ``postgresql+psycopg://…``, as `VIDEOGEN_LEDGER` takes it."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def _one_postgres_url(postgres: Server) -> Iterator[str]:
    with postgres.database() as url:
        yield url


@pytest.fixture
def _emptied_postgres_url(_one_postgres_url: str) -> str:
    """The same database for every test that does not harm it, emptied: a fresh one takes half a second."""
    from ledgers import emptied

    return emptied(_one_postgres_url)


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A ledger store of each kind."""
    from ledgers import Store

    places = {"sqlite": str(tmp_path / "deep" / "ledger.db"), "memory": "memory"}
    place: str = places.get(request.param) or request.getfixturevalue("_emptied_postgres_url")
    found = Store(place)
    yield found
    found.close()


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """A ledger of each kind."""
    return store.open()


@pytest.fixture(scope="session")
def pgbouncer(postgres: Server) -> Iterator[PgBouncer]:
    """A pooler in transaction mode before `postgres`."""
    from postgres import PgBouncer, UnavailableError

    try:
        with PgBouncer(postgres) as pooler:
            yield pooler
    except UnavailableError as error:
        _without_postgres(str(error))


@pytest.fixture
def pooled_postgres_url(pgbouncer: PgBouncer, postgres_url: str) -> str:
    """A fresh database behind a pooler in transaction mode."""
    return pgbouncer.url(postgres_url)


def _without_postgres(reason: str) -> NoReturn:
    if POSTGRES:
        pytest.fail(f"VIDEOGEN_TEST_POSTGRES={POSTGRES.partition('@')[0]}, but {reason}", pytrace=False)
    pytest.skip(reason)
