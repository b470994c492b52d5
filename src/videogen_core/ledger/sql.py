"""The ledger in SQL, written once: what every statement does, whichever database runs it."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from ..budget import Budget, BudgetState, Crossing
from ..cost import CostLine
from ..errors import LedgerError, RequestError
from ..request import VideoRequest
from ..states import Attempt, Event, JobRecord, JobStatus
from . import (
    Claim,
    ClaimedError,
    ConflictError,
    FencedError,
    FlightTakenError,
    Ledger,
    Observations,
    postings,
    reports,
    schema,
)
from .documents import attempt_columns, encoded, job_columns, read_event, read_job
from .transaction import Transaction

__all__ = ["SqlLedger", "backfill", "damaged"]

T = TypeVar("T")

_BY_KEY = "SELECT doc, version, fingerprint FROM jobs WHERE idempotency_key = :key"
_ALL = 2**53
_KEPT_DAYS = 30
_DELIVERIES_SECONDS = 86_400.0
_WORKERS_SECONDS = 86_400.0
_PAGE = 500


class SqlLedger(Ledger):
    """What the stores have in common; a subclass brings the connection."""

    @abstractmethod
    def _read(self, work: Callable[[Transaction], T]) -> T:
        """Run reads that see one state of the store."""

    @abstractmethod
    def _write(self, work: Callable[[Transaction], T]) -> T:
        """Run a durable transaction.

        It may run twice when its first end is not known; so ``work`` must find out what it has done already.
        """

    # --- jobs

    def create(self, job: JobRecord, event: Event) -> JobRecord:
        _must_be_text("idempotency_key", job.idempotency_key or "")
        for key, value in job.tags.items():
            _must_be_text("tags", key + value)
        fingerprint = job.request.fingerprint()
        row = {
            **job_columns(job),
            "id": job.id,
            "fingerprint": fingerprint,
            "idempotency_key": job.idempotency_key,
            "created_at": job.created_at.timestamp(),
        }

        def work(tx: Transaction) -> JobRecord:
            names = ", ".join(row)
            added = tx.change(f"INSERT INTO jobs ({names}) VALUES ({_marks(row)}) ON CONFLICT DO NOTHING", **row)
            if not added:
                found = tx.rows(_BY_KEY, key=job.idempotency_key)
                if found:
                    return _same_request(found[0], fingerprint, str(job.idempotency_key))
                return self._got(tx, job.id)
            for key, value in job.tags.items():
                tx.change(
                    "INSERT INTO tags (job_id, key, value) VALUES (:job, :key, :value)",
                    job=job.id,
                    key=key,
                    value=value,
                )
            _insert_events(tx, (event,))
            return job

        return self._write(work)

    def find(self, idempotency_key: str, request: VideoRequest) -> JobRecord | None:
        _must_be_text("idempotency_key", idempotency_key)
        rows = self._read(lambda tx: tx.rows(_BY_KEY, key=idempotency_key))
        return _same_request(rows[0], request.fingerprint(), idempotency_key) if rows else None

    def begin(
        self, job: JobRecord, *events: Event, fence: int | None, flight: str | None = None
    ) -> tuple[JobRecord, tuple[Event, ...]]:
        def work(tx: Transaction) -> tuple[JobRecord, tuple[Event, ...]]:
            if flight is not None and tx.rows(
                "SELECT 1 FROM jobs WHERE flight = :flight AND id <> :id", flight=flight, id=job.id
            ):
                raise FlightTakenError("The same clip is being made by another job.", job_id=job.id)
            new, stored = self._store(tx, job, events, fence, flight=flight)
            warnings = tuple(_warning(new, crossing) for crossing in postings.reserve(tx, new)) if stored else ()
            _insert_events(tx, warnings)
            return new, warnings

        return self._write(work)

    def save(self, job: JobRecord, *events: Event, fence: int | None = None) -> JobRecord:
        return self._write(lambda tx: self._store(tx, job, events, fence)[0])

    def _store(
        self, tx: Transaction, job: JobRecord, events: tuple[Event, ...], fence: int | None, **more: Any
    ) -> tuple[JobRecord, bool]:
        """The job with its new version, and whether it was stored now: False when it had been stored already."""
        new = msgspec.structs.replace(job, version=job.version + 1)
        row: dict[str, Any] = {**job_columns(new), **more}
        if new.done:
            row |= {"lease_owner": None, "lease_worker": None}
        if new.done or new.status in (JobStatus.UNKNOWN, JobStatus.CREATED):
            row["flight"] = None  # nothing is on its way that another job could wait for
        pairs = ", ".join(f"{name} = :{name}" for name in row)
        query = f"UPDATE jobs SET {pairs} WHERE id = :id AND version = :before"
        if fence is not None:
            query += " AND fence = :fence"
            row = {**row, "fence": fence}
        if tx.change(query, **row, id=job.id, before=job.version) != 1:
            self._explain(tx, new, row["doc"], fence)
            return new, False
        self._store_attempts(tx, new)
        _insert_events(tx, events)
        return new, True

    def _store_attempts(self, tx: Transaction, job: JobRecord) -> None:
        """Bring the rows of the attempts up to date, and with them the money in the budgets."""
        names = tuple(attempt_columns(job.attempt)) if job.attempts else ()
        query = f"SELECT {', '.join(('number', *names))} FROM attempts WHERE job_id = :job"
        stored = {number: row for number, *row in tx.rows(query, job=job.id)} if names else {}
        for attempt in job.attempts:
            before = dict(zip(names, stored.get(attempt.number, ()), strict=False))
            row = attempt_columns(attempt)
            if before:  # of a vendor's job that two had before ids were claimed, the migration has told them apart
                row["account"] = before["account"]
            if row != before:
                self._store_attempt(tx, job, attempt.number, row, before)
            if before and (row["money"], row["booked_micro"]) != (before["money"], before["booked_micro"]):
                postings.post(tx, job.id, attempt)
            self._store_orphans(tx, job, attempt)

    def _explain(self, tx: Transaction, new: JobRecord, doc: bytes, fence: int | None) -> None:
        """Say why a job was not stored; nothing when this very version is there already."""
        rows = tx.rows("SELECT version, fence, doc FROM jobs WHERE id = :id", id=new.id)
        if not rows:
            raise self._missing(new.id)
        version, present, stored = rows[0]
        if version == new.version and bytes(stored) == doc:
            return
        if fence is not None and present != fence:
            raise FencedError(f"Another process drives job {new.id} now.", job_id=new.id)
        raise ConflictError(f"Job {new.id} was changed by another process.", job_id=new.id)

    def _store_attempt(
        self, tx: Transaction, job: JobRecord, number: int, row: dict[str, Any], before: Mapping[str, Any]
    ) -> None:
        theirs = row["provider_job_id"]
        if theirs is not None and theirs != before.get("provider_job_id"):
            self._claim(tx, job, number, row)
        marked = {**row, "job_id": job.id, "number": number}
        if before:
            pairs = ", ".join(f"{name} = :{name}" for name in row)
            tx.change(f"UPDATE attempts SET {pairs} WHERE job_id = :job_id AND number = :number", **marked)
        else:
            tx.change(f"INSERT INTO attempts ({', '.join(marked)}) VALUES ({_marks(marked)})", **marked)

    def _claim(self, tx: Transaction, job: JobRecord, number: int, row: Mapping[str, Any]) -> None:
        """See that a job of the vendor is nobody else's."""
        provider, theirs = row["provider"], row["provider_job_id"]
        where = "provider = :provider AND account = :account AND provider_job_id = :theirs"
        if tx.rows(
            f"SELECT 1 FROM attempts WHERE {where} AND NOT (job_id = :job AND number = :number) "
            f"UNION ALL SELECT 1 FROM orphans WHERE {where} AND job_id <> :job",
            provider=provider,
            account=row["account"],
            theirs=theirs,
            job=job.id,
            number=number,
        ):
            raise ClaimedError(f"{provider} job {theirs} belongs to another job already.", job_id=job.id)

    def _store_orphans(self, tx: Transaction, job: JobRecord, attempt: Attempt) -> None:
        """An id that somebody has already stays his; it is in the document of the job all the same."""
        for theirs in attempt.orphans:
            tx.change(
                "INSERT INTO orphans (provider, account, provider_job_id, job_id, number) "
                "VALUES (:provider, :account, :theirs, :job, :number) ON CONFLICT DO NOTHING",
                provider=attempt.provider,
                account=attempt.account,
                theirs=theirs,
                job=job.id,
                number=attempt.number,
            )

    def get(self, job_id: str) -> JobRecord:
        return self._read(lambda tx: self._got(tx, job_id))

    def _got(self, tx: Transaction, job_id: str) -> JobRecord:
        rows = tx.rows("SELECT doc, version FROM jobs WHERE id = :id", id=job_id)
        if not rows:
            raise self._missing(job_id)
        return read_job(bytes(rows[0][0]), rows[0][1])

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
        where: list[str] = ["1 = 1"]
        values: dict[str, Any] = {"limit": _ALL if limit is None else limit}
        if status is not None:
            where.append("status = :status")
            values["status"] = status
        if unfinished:
            where.append("unfinished = 1")
        for number, (key, value) in enumerate((tags or {}).items()):
            where.append(
                f"EXISTS (SELECT 1 FROM tags WHERE job_id = jobs.id AND key = :key{number} AND value = :value{number})"
            )
            values |= {f"key{number}": key, f"value{number}": value}
        query = (
            f"SELECT doc, version FROM jobs WHERE {' AND '.join(where)} ORDER BY created_at DESC, id DESC LIMIT :limit"
        )
        rows = self._read(lambda tx: tx.rows(query, **values))
        return [read_job(bytes(doc), version) for doc, version in rows]

    def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        query = "SELECT seq, doc FROM events WHERE job_id = :job AND seq > :after ORDER BY seq"
        return [
            read_event(bytes(doc), seq) for seq, doc in self._read(lambda tx: tx.rows(query, job=job_id, after=after))
        ]

    # --- who drives a job

    def claim(
        self, job_id: str, worker: str, driver: str, lease: float, *, dead: Callable[[str], bool] = lambda _: False
    ) -> Claim | None:
        def work(tx: Transaction) -> Claim | None:
            rows = tx.rows(
                "SELECT lease_owner, lease_worker, fence, unfinished, doc, version FROM jobs "
                f"WHERE id = :id{tx.for_update}",
                id=job_id,
            )
            if not rows:
                raise self._missing(job_id)
            holder, its_worker, fence, unfinished, doc, version = rows[0]
            job = read_job(bytes(doc), version)
            if not unfinished:
                return Claim(job, None)
            now = tx.now()
            if holder != driver:
                if holder is not None and _alive(tx, its_worker, now, lease) and not dead(its_worker):
                    return None
                fence += 1
            _beat(tx, worker, now + lease)
            tx.change(
                "UPDATE jobs SET lease_owner = :driver, lease_worker = :worker, fence = :fence WHERE id = :id",
                driver=driver,
                worker=worker,
                fence=fence,
                id=job_id,
            )
            return Claim(job, fence)

        return self._write(work)

    def release(self, job_id: str, driver: str) -> None:
        query = "UPDATE jobs SET lease_owner = NULL, lease_worker = NULL WHERE id = :id AND lease_owner = :driver"
        self._write(lambda tx: tx.change(query, id=job_id, driver=driver))

    def beat(self, worker: str, lease: float) -> None:
        def work(tx: Transaction) -> None:
            now = tx.now()
            _beat(tx, worker, now + lease)
            tx.change("DELETE FROM workers WHERE alive_until < :old", old=now - _WORKERS_SECONDS)

        self._write(work)

    def retire(self, worker: str) -> None:
        self._write(lambda tx: tx.change("DELETE FROM workers WHERE id = :worker", worker=worker))

    # --- finding a job from outside

    def by_ref(self, client_ref: str) -> JobRecord | None:
        return self._job_of("client_ref = :ref", ref=client_ref)

    def by_provider_job(self, provider: str, account: str, provider_job_id: str) -> JobRecord | None:
        where = "provider = :provider AND account = :account AND provider_job_id = :id"
        values = {"provider": provider, "account": account, "id": provider_job_id}
        return self._job_of(where, **values) or self._job_of(where, "orphans", **values)

    def _job_of(self, where: str, table: str = "attempts", **values: Any) -> JobRecord | None:
        query = f"SELECT jobs.doc, jobs.version FROM {table} JOIN jobs ON jobs.id = job_id WHERE {where}"
        rows = self._read(lambda tx: tx.rows(query, **values))
        return read_job(bytes(rows[0][0]), rows[0][1]) if rows else None

    def seen(self, delivery: str) -> bool:
        call = secrets.token_hex(8)  # the second run of this very call has not seen it before

        def work(tx: Transaction) -> bool:
            now = tx.now()
            tx.change("DELETE FROM deliveries WHERE seen_at < :old", old=now - _DELIVERIES_SECONDS)
            query = "INSERT INTO deliveries (id, call, seen_at) VALUES (:id, :call, :now) ON CONFLICT DO NOTHING"
            if tx.change(query, id=delivery, call=call, now=now):
                return False
            return tx.rows("SELECT call FROM deliveries WHERE id = :id", id=delivery) != [(call,)]

        return self._write(work)

    def unsee(self, delivery: str) -> None:
        self._write(lambda tx: tx.change("DELETE FROM deliveries WHERE id = :id", id=delivery))

    # --- money

    def budgets(self) -> list[BudgetState]:
        return self._read(postings.states)

    def set_budget(self, budget: Budget) -> BudgetState:
        return self._write(lambda tx: postings.restate(tx, budget))

    def remove_budget(self, name: str) -> bool:
        return self._write(lambda tx: postings.remove(tx, name))

    def acknowledge(self, name: str) -> bool:
        return self._write(lambda tx: postings.acknowledge(tx, name))

    def costs(
        self, *, by: str, since: datetime | None = None, until: datetime | None = None, timezone: str = "UTC"
    ) -> list[CostLine]:
        return self._read(lambda tx: reports.costs(tx, by, since, until, timezone))

    def observations(self, now: datetime) -> Observations:
        return self._read(lambda tx: reports.observations(tx, now))

    # --- care

    def check(self) -> list[str]:
        return self._read(reports.faults)

    def schema(self) -> tuple[int, int]:
        return self._version(), schema.LATEST

    @abstractmethod
    def _version(self) -> int:
        """The schema version that the store has."""

    def export(self) -> Iterator[dict[str, Any]]:
        after: tuple[float, str] = (-1.0e12, "")
        while page := self._page(after):
            for job_id, created_at, doc in page:
                events = [msgspec.to_builtins(event) for event in self.events(job_id)]
                yield {"job": msgspec.json.decode(bytes(doc)), "events": events}
                after = (created_at, job_id)
        for state in self.budgets():
            yield {"budget": state.to_dict()}

    def _page(self, after: tuple[float, str]) -> list[tuple[Any, ...]]:
        query = (
            "SELECT id, created_at, doc FROM jobs WHERE created_at > :at OR (created_at = :at AND id > :id) "
            "ORDER BY created_at, id LIMIT :page"
        )
        return self._read(lambda tx: tx.rows(query, at=after[0], id=after[1], page=_PAGE))

    def purge(self, before: datetime) -> int:
        if before > datetime.now(UTC) - timedelta(days=_KEPT_DAYS):
            raise RequestError(
                f"Jobs are kept for at least {_KEPT_DAYS} days, as long as their idempotency keys hold.",
                hint="Choose an earlier time.",
            )
        over = "FROM jobs WHERE unfinished = 0 AND held_micro = 0 AND updated_at < :before"

        def work(tx: Transaction) -> int:
            tx.rows(f"SELECT id {over}{tx.for_update}", before=before.timestamp())  # nothing revives one meanwhile
            for table in ("events", "attempts", "tags", "orphans"):
                tx.change(f"DELETE FROM {table} WHERE job_id IN (SELECT id {over})", before=before.timestamp())
            return tx.change(f"DELETE {over}", before=before.timestamp())

        return self._write(work)


def _alive(tx: Transaction, worker: str, now: float, lease: float) -> bool:
    """Whether a worker's time is not over.

    When the clock has been set back, its time would seem to be longer than any lease. It is cut to one from now, which
    a worker that lives will renew.
    """
    rows = tx.rows("SELECT alive_until FROM workers WHERE id = :id", id=worker)
    if not rows or rows[0][0] < now:
        return False
    if rows[0][0] > now + lease > now:
        _beat(tx, worker, now + lease)
    return True


def backfill(tx: Transaction) -> None:
    """Fill the columns that a migration has added, from the documents."""
    for job_id, version, doc in tx.rows("SELECT id, version, doc FROM jobs"):
        with suppress(LedgerError):  # `check` tells of it
            for attempt in read_job(bytes(doc), version).attempts:
                row = attempt_columns(attempt)
                del row["account"]
                pairs = ", ".join(f"{name} = :{name}" for name in row)
                where = "job_id = :job AND number = :number"
                tx.change(f"UPDATE attempts SET {pairs} WHERE {where}", **row, job=job_id, number=attempt.number)


def _beat(tx: Transaction, worker: str, until: float) -> None:
    tx.change(
        "INSERT INTO workers (id, alive_until) VALUES (:id, :until) "
        "ON CONFLICT (id) DO UPDATE SET alive_until = :until",
        id=worker,
        until=until,
    )


def _warning(job: JobRecord, crossing: Crossing) -> Event:
    data = {"budget": crossing.budget, "share": crossing.share, "limit": str(crossing.limit)}
    return Event(
        job_id=job.id, at=job.updated_at, type="warning", status=job.status, message=crossing.message, data=data
    )


def _must_be_text(field: str, text: str) -> None:
    """Refuse what not every database can store: half characters, and the character of no meaning."""
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestError(f"{field}: {text!r} holds characters that cannot be stored.")


def _marks(row: Mapping[str, Any]) -> str:
    return ", ".join(f":{name}" for name in row)


def _insert_events(tx: Transaction, events: tuple[Event, ...]) -> None:
    for event in events:
        tx.change(
            "INSERT INTO events (job_id, at, doc) VALUES (:job, :at, :doc)",
            job=event.job_id,
            at=event.at.timestamp(),
            doc=encoded(event),
        )


def _same_request(found: tuple[Any, ...], fingerprint: str, key: str) -> JobRecord:
    doc, version, stored = found
    if stored != fingerprint:
        raise RequestError(
            f"idempotency_key: {key!r} was used for a different request.", hint="Use a new key for a new request."
        )
    return read_job(bytes(doc), version)


def damaged(location: str, why: object) -> LedgerError:
    """The error of a store that is no ledger, or no longer one."""
    return LedgerError(
        f"The ledger {location} is damaged or is no ledger ({why}).",
        hint="It was left untouched. Restore a copy, or set VIDEOGEN_LEDGER to another place. "
        f"`sqlite3 {location} .recover` prints what can still be read.",
    )
