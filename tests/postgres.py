"""A real PostgreSQL for tests: started in a folder of its own, on loopback, and gone with the process that started it.

URLs are as users write them in ``VIDEOGEN_LEDGER``: ``postgresql+psycopg://user:password@host:port/database``.
"""

from __future__ import annotations

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

Mode = Literal["smart", "fast", "immediate"]

_SIGNALS: dict[Mode, signal.Signals] = {
    "smart": signal.SIGTERM,  # waits for every connection to be closed
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,  # no checkpoint: the next start recovers from the log, as after a power cut
}
_DURABLE: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "timezone": "Asia/Kathmandu",  # 05:45 from UTC: code that takes the server's days for UTC days fails here
}
_FAST: dict[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_PATIENCE = 60.0  # seconds for a start or a stop
_USER = "videogen"


class UnavailableError(RuntimeError):
    """There is no PostgreSQL here; the message says what is missing."""


def plain(url: str) -> str:
    """The URL as libpq and psycopg take it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def connect(url: str, **options: Any) -> psycopg.Connection[Any]:
    """An autocommit connection to a database; ``options`` are those of ``psycopg.connect``."""
    return psycopg.connect(plain(url), **{"autocommit": True, "connect_timeout": 10, **options})


class Server:
    """A server that is running, whoever runs it.

    Args:
        admin_url: A role that may create databases, and one database to connect to.
        url: The role that tests connect as; None = the same.
    """

    def __init__(self, admin_url: str, url: str | None = None) -> None:
        self.admin_url = admin_url
        self.url = url or admin_url

    def create_database(self, *, template: str = "template1") -> str:
        """The URL of a new database, a copy of ``template``: 40 ms."""
        name = f"videogen_{os.getpid()}_{secrets.token_hex(6)}"
        owner = urlsplit(self.url).username or ""
        with connect(self.admin_url) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(*map(sql.Identifier, (name, template, owner)))
            )
        return with_database(self.url, name)

    def drop_database(self, url: str) -> None:
        """Remove it, and whoever is connected to it: 25 ms."""
        with connect(self.admin_url) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_database(url))))

    @contextmanager
    def database(self, *, template: str = "template1") -> Iterator[str]:
        """A database that is gone afterwards."""
        url = self.create_database(template=template)
        try:
            yield url
        finally:
            self.drop_database(url)

    def terminate_backends(self, url: str | None = None) -> int:
        """Cut the connections to one database, or to all; returns how many there were."""
        with connect(self.admin_url) as admin:
            row = admin.execute(
                "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' "
                "AND (%(name)s::text IS NULL OR datname = %(name)s)",
                {"name": None if url is None else _database(url)},
            ).fetchone()
        assert row is not None
        return int(row[0])

    def restart(self, mode: Mode = "immediate") -> None:
        """Stop and start again, at the same address."""
        raise UnavailableError("this server is not ours to restart")


class PostgresServer(Server):
    """A server of our own: ``with PostgresServer() as server: server.create_database()``.

    It runs as the user ``postgres`` when we are root, since it refuses to be root, and dies with us however we die.

    Args:
        fast: Never wait for the disk. Only for tests that race and do not crash it.
        settings: More configuration parameters.
    """

    def __init__(self, *, fast: bool = False, settings: dict[str, str] | None = None) -> None:
        self._binaries = binaries()
        self._account = server_account()
        self._settings = {**_DURABLE, **(_FAST if fast else {}), **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._password = secrets.token_hex(12)
        self.port = free_port()
        address = f"127.0.0.1:{self.port}/postgres"
        super().__init__(
            f"postgresql+psycopg://postgres:{self._password}@{address}",
            f"postgresql+psycopg://{_USER}:{self._password}@{address}",
        )

    def __enter__(self) -> Self:
        self.folder = make_folder("postgres", self._account)
        try:
            self._initialise()
            self.start()
            with connect(self.admin_url) as admin:
                role = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
                admin.execute(role.format(sql.Identifier(_USER), sql.Literal(self._password)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_database(self, *, template: str = "template1") -> str:
        if not self.running:  # a test that failed left it so
            self.start()
        return super().create_database(template=template)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        parameters = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *parameters]
        self._process = spawn(command, self.folder, self._account)
        until_it_answers(self._process, lambda: connect(self.admin_url).close(), self.folder)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it; nothing happens when it is not running."""
        stop(self._process, _SIGNALS[mode])
        self._process = None

    def restart(self, mode: Mode = "immediate") -> None:
        """Stop and start again, at the same address."""
        self.stop(mode)
        self.start()

    def _initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self._password)
        if self._account:
            shutil.chown(secret, *self._account)
        # no-sync: what is lost when the machine dies now is made anew
        options = "--username=postgres --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync --no-instructions"
        command = [
            str(self._binaries / "initdb"),
            "-D",
            str(self.folder / "data"),
            f"--pwfile={secret}",
            *options.split(),
        ]
        process = spawn(command, self.folder, self._account)
        if process.wait(_PATIENCE):
            raise RuntimeError(f"initdb failed:\n{log_of(self.folder)}")
        secret.unlink()


class PgBouncer:
    """A pooler in transaction mode before a server, as hosted databases have one: consecutive transactions of a client
    may run on different connections, so nothing that belongs to a session survives a commit."""

    def __init__(self, server: Server, *, connections: int = 8) -> None:
        found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
        if found is None:
            raise UnavailableError("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
        self._binary = Path(found)
        self._server = server
        self._connections = connections
        self._account = server_account()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()

    def url(self, url: str) -> str:
        """The same database through the pooler."""
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{self.port}"))

    def __enter__(self) -> Self:
        self.folder = make_folder("pgbouncer", self._account)
        try:
            server = urlsplit(self._server.url)
            users, ini = self.folder / "users.txt", self.folder / "pgbouncer.ini"
            users.write_text(f'"{server.username}" "{server.password}"\n')
            ini.write_text(
                f"[databases]\n* = host={server.hostname} port={server.port or 5432}\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
                f"auth_type = scram-sha-256\nauth_file = {users}\npool_mode = transaction\nmax_client_conn = 500\n"
                f"default_pool_size = {self._connections}\nserver_login_retry = 1\n"
            )
            if self._account:
                for path in (users, ini):
                    shutil.chown(path, *self._account)
            self._process = spawn([str(self._binary), str(ini)], self.folder, self._account)
            until_it_answers(self._process, lambda: connect(self.url(self._server.url)).close(), self.folder)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._process, signal.SIGTERM)  # at once, in every version
        self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def server(asked: str, *, fast: bool = False) -> Iterator[Server]:
    """The server that ``VIDEOGEN_TEST_POSTGRES`` asks for: a running one by its URL, else one of our own.

    Raises:
        UnavailableError: There is none.
    """
    if asked not in ("", "required"):
        yield Server(asked)
        return
    with PostgresServer(fast=fast) as own:
        yield own


def binaries() -> Path:
    """The folder of ``initdb`` and ``postgres``; the newest where there are several.

    Raises:
        UnavailableError: There are none.
    """
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    if config := shutil.which("pg_config"):
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        folders += [Path(said)] if said else []
    debian = Path("/usr/lib/postgresql").glob("[0-9]*/bin")  # Debian keeps them off the PATH
    folders += sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    for folder in folders:
        if os.access(folder / "initdb", os.X_OK) and os.access(folder / "postgres", os.X_OK):
            return folder
    raise UnavailableError("no PostgreSQL server is installed (Debian: apt-get install postgresql)")


def server_account() -> tuple[str, str] | None:
    """User and group for the server when we are root, who may not run one."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        raise UnavailableError("PostgreSQL does not run as root, and there is no user postgres") from None
    import grp

    return entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name


def make_folder(name: str, account: tuple[str, str] | None) -> Path:
    """A temporary folder of the server's; not in pytest's, which belong to the user who runs the tests alone."""
    folder = Path(tempfile.mkdtemp(prefix=f"videogen-{name}-"))
    if account:
        shutil.chown(folder, *account)
    return folder


def spawn(command: Sequence[str], folder: Path, account: tuple[str, str] | None) -> subprocess.Popen[bytes]:
    """Start a server in the foreground; where setpriv is, the kernel ends it when this process is killed."""
    setpriv = shutil.which("setpriv")
    prefix = [setpriv, "--pdeathsig=INT", "--"] if setpriv else []
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    user, group = account or (None, None)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [*prefix, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user,
            group=group,
            extra_groups=[] if account else None,
            start_new_session=True,  # Ctrl-C is for the tests
        )


def until_it_answers(process: subprocess.Popen[bytes], ask: Callable[[], None], folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return ask()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{process.args!r} does not answer: {error}\n{log_of(folder)}") from error
            time.sleep(0.02)


def stop(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def log_of(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-4000:]


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections, so that it is still
    free after a restart."""
    while True:
        port = random.SystemRandom().randint(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _database(url: str) -> str:
    return urlsplit(url).path.lstrip("/")
