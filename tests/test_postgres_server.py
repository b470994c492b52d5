"""The PostgreSQL that other tests rely on: it starts, recovers from a crash, and leaves nothing behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

psycopg = pytest.importorskip("psycopg")

import postgres as tool  # noqa: E402 - needs psycopg
from postgres import PgBouncer, PostgresServer, Server, UnavailableError, connect  # noqa: E402


@pytest.fixture
def own(postgres: Server) -> PostgresServer:
    """The server when it is ours to restart."""
    if not isinstance(postgres, PostgresServer):
        pytest.skip("VIDEOGEN_TEST_POSTGRES names a server that is not ours to restart")
    return postgres


def test_every_test_has_an_empty_database_of_its_own(postgres: Server) -> None:
    with postgres.database() as first, postgres.database() as second:
        with connect(first) as connection:
            connection.execute("CREATE TABLE boats (name text)")
        with connect(second) as connection, pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM boats")
        with postgres.database(template=first.rpartition("/")[2]) as copy, connect(copy) as connection:
            assert connection.execute("SELECT * FROM boats").fetchall() == []
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(first)


def test_the_url_is_what_users_write(postgres_url: str) -> None:
    assert postgres_url.startswith("postgresql+psycopg://")
    with connect(postgres_url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_what_was_committed_survives_a_crash(own: PostgresServer, postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        connection.execute("CREATE TABLE boats (name text)")
        connection.execute("INSERT INTO boats VALUES ('paper')")
        own.restart(mode="immediate")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with connect(postgres_url) as connection:
        assert connection.execute("SELECT name FROM boats").fetchall() == [("paper",)]


def test_a_server_that_a_test_left_stopped_is_started_again(own: PostgresServer) -> None:
    own.stop()
    with own.database() as url:
        connect(url).close()


def test_connections_can_be_cut(postgres: Server, postgres_url: str) -> None:
    with postgres.database() as other, connect(other) as kept, connect(postgres_url) as cut:
        assert postgres.terminate_backends(postgres_url) == 1
        with pytest.raises(psycopg.OperationalError):
            cut.execute("SELECT 1")
        assert kept.execute("SELECT 1").fetchone() == (1,)


def test_the_tests_role_is_not_the_administrator(own: PostgresServer, postgres_url: str) -> None:
    with connect(postgres_url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("CREATE ROLE more")


def test_it_needs_the_password(own: PostgresServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        connect(own.url.replace(":" + own.url.split(":")[2].split("@")[0], ":guess"))


def test_it_dies_with_the_process_that_started_it(own: PostgresServer, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux tells a child that its parent has died")
    code = (
        f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from postgres import PostgresServer\n"
        "with PostgresServer(fast=True) as server:\n"
        "    print(server.folder, server.admin_url, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder, url = process.stdout.readline().split()
    server = int((Path(folder) / "data" / "postmaster.pid").read_text().split()[0])
    connect(url).close()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    deadline = time.monotonic() + 20
    while _alive(server):
        assert time.monotonic() < deadline, "the server outlived its owner"
        time.sleep(0.02)
    shutil.rmtree(folder)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_pooler_shares_connections_between_transactions(pgbouncer: PgBouncer, pooled_postgres_url: str) -> None:
    with connect(pooled_postgres_url, prepare_threshold=None) as one, connect(pooled_postgres_url) as other:
        first = one.execute("SELECT pg_backend_pid()").fetchone()
        assert other.execute("SELECT pg_backend_pid()").fetchone() == first


def test_a_machine_without_postgres_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Path, "glob", lambda *_: iter(()))
    with pytest.raises(UnavailableError, match="apt-get install postgresql"):
        tool.binaries()
