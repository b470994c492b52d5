"""The ledger in PostgreSQL: crashes, cut connections, poolers and lost answers double no write and lose none."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from urllib.parse import urlsplit, urlunsplit

import pytest

psycopg = pytest.importorskip("psycopg")

import videogen_core.ledger.postgres as module  # noqa: E402 - needs psycopg
from ledger_load import tell  # noqa: E402
from ledgers import Store, accept, begun, budget, created, event, finished, money, succeed  # noqa: E402
from postgres import PgBouncer, PostgresServer, Server, connect, free_port  # noqa: E402
from videogen_core import LedgerError  # noqa: E402
from videogen_core.ledger import Ledger, open_ledger  # noqa: E402
from videogen_core.ledger.postgres import PostgresLedger  # noqa: E402

KINDS = ["created", "submitting", "accepted", "succeeded"]


@pytest.fixture
def url(_emptied_postgres_url: str) -> str:
    return _emptied_postgres_url


@pytest.fixture
def own(postgres: Server) -> PostgresServer:
    """The server when it is ours to restart."""
    if not isinstance(postgres, PostgresServer):
        pytest.skip("VIDEOGEN_TEST_POSTGRES names a server that is not ours to restart")
    return postgres


class Load:
    """Drivers that buy and settle one job after the other until they are stopped."""

    def __init__(self, url: str, drivers: int = 4) -> None:
        self.done: list[str] = []
        self.longest = 0.0
        self._url = url
        self._errors: list[BaseException] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(place,)) for place in range(drivers)]

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, place: int) -> None:
        try:
            with closing(open_ledger(self._url)) as ledger:
                number = 0
                while not self._stop.is_set():
                    number += 1
                    began = time.monotonic()
                    self._buy(ledger, f"{place}-{number}", f"w{place}")
                    self.longest = max(self.longest, time.monotonic() - began)
        except BaseException as error:
            self._errors.append(error)

    def _buy(self, ledger: Ledger, number: str, worker: str) -> None:
        job = created(ledger, number)
        claim = ledger.claim(job.id, worker, f"{worker}/{number}", 60)
        assert claim is not None
        fence = claim.fence
        assert fence == 1
        job, _ = ledger.begin(begun(job), event(job, "submitting"), fence=fence)
        job = ledger.save(accept(job, number), event(job, "accepted"), fence=fence)
        ledger.save(succeed(job), event(job, "succeeded"), fence=fence)
        self.done.append(job.id)

    def verify(self, ledger: Ledger) -> None:
        """Every write that was answered is there, once, and so is its money."""
        jobs = ledger.jobs(status="succeeded", limit=None)
        assert sorted(job.id for job in jobs) == sorted(self.done)
        for job in jobs:
            assert [e.type for e in ledger.events(job.id)] == KINDS
            assert len(job.attempts) == 1
            assert job.version == 3
        assert money(ledger) == (Decimal("0.1") * len(jobs), 0)
        assert ledger.check() == []


def endured(url: str, harm: Callable[[random.Random], None], times: int, seed: int = 0) -> None:
    with closing(open_ledger(url)) as ledger:
        budget(ledger, limit="100000")
        load, dice = Load(url), random.Random(seed)
        with load.running():
            for _ in range(times):
                time.sleep(dice.uniform(0.05, 0.4))
                harm(dice)
            before, began = len(load.done), time.monotonic()
            while len(load.done) < before + 4:
                time.sleep(0.005)
                assert time.monotonic() - began < 10, "it does not recover"
            recovered = time.monotonic() - began
        load.verify(ledger)
    tell(f"{len(load.done)} jobs, recovered in {recovered:.2f} s, the slowest took {load.longest:.2f} s")
    assert load.longest < 15


@pytest.mark.promise("T21")
def test_a_server_that_crashes_loses_and_doubles_nothing(own: PostgresServer, postgres_url: str) -> None:
    endured(postgres_url, lambda _: own.restart("immediate"), 2)


@pytest.mark.promise("T21")
def test_connections_that_are_cut_lose_and_double_nothing(postgres: Server, postgres_url: str) -> None:
    endured(postgres_url, lambda _: void(postgres.terminate_backends(postgres_url)), 15)


@pytest.mark.promise("T21")
def test_a_pooler_whose_connections_are_cut_loses_and_doubles_nothing(
    postgres: Server, postgres_url: str, pooled_postgres_url: str
) -> None:
    endured(pooled_postgres_url, lambda _: void(postgres.terminate_backends(postgres_url)), 8)


@pytest.mark.chaos
@pytest.mark.promise("T21")
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("pooled", [False, True])
def test_everything_at_once(
    own: PostgresServer, pgbouncer: PgBouncer, postgres_url: str, seed: int, pooled: bool
) -> None:
    def harm(dice: random.Random) -> None:
        if dice.random() < 0.3:
            own.restart(dice.choice(["immediate", "fast"]))
        else:
            own.terminate_backends(postgres_url)

    endured(pgbouncer.url(postgres_url) if pooled else postgres_url, harm, 12, seed)


def void(_: object) -> None:
    """Its outcome does not matter."""


# --- one fault at a time


@pytest.mark.promise("T21", "B5", "S2")
@pytest.mark.parametrize("when", ["before", "after"])
def test_each_transaction_may_run_twice(url: str, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Each fails once: before anything is done, or, worse, after its commit, whose answer does not arrive."""
    real, runs = PostgresLedger._once, itertools.count()

    def once(self: PostgresLedger, work: Callable[..., object], *, reading: bool = False) -> object:
        fails = next(runs) % 2 == 0
        if fails and when == "before":
            raise psycopg.OperationalError("the connection is lost")
        answer = real(self, work, reading=reading)
        if fails:
            raise psycopg.OperationalError("the connection is lost")
        return answer

    monkeypatch.setattr(PostgresLedger, "_once", once)
    with closing(open_ledger(url)) as ledger:
        budget(ledger, limit="10", warn=(0.01,))
        load = Load(url, drivers=0)
        for number in range(3):
            load._buy(ledger, str(number), "w")
        assert not ledger.seen("delivery")
        assert ledger.seen("delivery")
        assert ledger.acknowledge("all")
        assert money(ledger)[0] == Decimal("0.3")
        assert ledger.check() == []
        for job in ledger.jobs():
            assert [e.type for e in ledger.events(job.id) if e.type != "warning"] == KINDS


@pytest.mark.promise("T21")
def test_serialization_failures_are_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dice, real = random.Random(1), module._Postgres.change

    def change(self: module._Postgres, query: str, **values: object) -> int:
        if dice.random() < 0.1:
            raise psycopg.errors.SerializationFailure
        return real(self, query, **values)

    monkeypatch.setattr(module._Postgres, "change", change)
    with closing(open_ledger(url)) as ledger:
        budget(ledger, limit="10")
        load = Load(url, drivers=0)
        for number in range(15):
            load._buy(ledger, str(number), "w")
        load.verify(ledger)


@pytest.mark.promise("T21")
@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_the_server_s_default_isolation_changes_nothing(postgres: Server, level: str) -> None:
    with postgres.database() as url:
        with connect(postgres.admin_url) as admin:
            admin.execute(f"ALTER DATABASE {urlsplit(url).path[1:]} SET default_transaction_isolation = '{level}'")
        endured(url, lambda _: None, 2)


def test_what_is_refused_for_good_is_not_tried_again(url: str) -> None:
    with closing(open_ledger(url)) as ledger:
        with connect(url) as connection:
            connection.execute("ALTER TABLE jobs RENAME TO others")
        try:
            began = time.monotonic()
            with pytest.raises(LedgerError, match="jobs"):
                ledger.jobs()
            assert time.monotonic() - began < 1
        finally:
            with connect(url) as connection:
                connection.execute("ALTER TABLE others RENAME TO jobs")


# --- clocks, isolation, definitions


@pytest.mark.promise("S7", "K2")
def test_leases_go_by_the_clock_of_the_database(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(open_ledger(url)) as ledger:
        created(ledger)
        monkeypatch.setattr(time, "time", lambda: 4e9)
        assert ledger.claim("vg-1", "w", "a", 60) is not None
        monkeypatch.setattr(time, "time", lambda: 0.0)
        assert ledger.claim("vg-1", "v", "b", 60) is None


@pytest.mark.promise("B5", "B7")
def test_a_budget_may_be_defined_while_others_reserve_and_settle(store: Store) -> None:
    """Counting anew and settling at the same time must not miss each other."""
    ledger = store.open()
    budget(ledger, limit="1000")
    stop, errors = threading.Event(), []

    def buy(place: int) -> None:
        try:
            mine, number = store.open(), 0
            while not stop.is_set():
                number += 1
                finished(mine, f"{place}-{number}")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=buy, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        budget(ledger, limit="1000", **({"provider": "acme"} if turn % 2 else {}))
        assert ledger.check() == [], "a reader sees one state, in the midst of writers"
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ledger.check() == []
    assert money(ledger) == (Decimal("0.1") * len(ledger.jobs(limit=None)), 0)


# --- addresses


def test_no_password_in_what_is_shown_or_said(url: str) -> None:
    password = urlsplit(url).password or ""
    with closing(open_ledger(url)) as ledger:
        assert password not in ledger.location
        assert "***" in ledger.location
    wrong = url.replace(password, "s3cret%21")
    for address in (wrong, wrong.replace("/videogen_", "/none_"), f"{url.partition('?')[0]}?passwort=s3cret%21"):
        with pytest.raises(LedgerError) as caught:
            open_ledger(address)
        said = f"{caught.value} {caught.value.hint} {caught.value.__cause__} {caught.value.__context__}"
        assert "s3cret" not in said.partition("None")[0]
        assert "s3cret" not in str(caught.value.to_dict())


@pytest.mark.parametrize("how", ["password", "database", "host", "port"])
def test_a_wrong_address_is_told_soon(url: str, how: str) -> None:
    parts = urlsplit(url)
    changed = {
        "password": parts._replace(netloc=parts.netloc.replace(parts.password or "", "wrong")),
        "database": parts._replace(path="/no_such_database"),
        "host": parts._replace(netloc="u:p@no-such-host.invalid"),
        "port": parts._replace(netloc=f"u:p@127.0.0.1:{free_port()}"),
    }
    began = time.monotonic()
    with pytest.raises(LedgerError, match="could not be") as caught:
        open_ledger(urlunsplit(changed[how]))
    assert time.monotonic() - began < (6 if how == "port" else 3)
    assert "VIDEOGEN_LEDGER" in (caught.value.hint or "")
