"""What the ledger tells when it is asked: costs, speed and health, faults."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import Any
from zoneinfo import ZoneInfo

from ..budget import dollars
from ..cost import GROUPS, CostLine
from ..errors import LedgerError, RequestError
from ..retry import Outcome
from ..states import JobStatus
from . import Observations, postings
from .documents import attempt_columns, job_columns, read_event, read_job
from .transaction import Row, Transaction

__all__ = ["costs", "faults", "observations"]

_OBSERVED_SECONDS = 7 * 86_400
_OBSERVED_ROWS = 2_000
_OUTCOMES = 20
_CLIPS = 50  # the latest of an offer, which tell how long it takes
_ENOUGH = 8  # of them, to tell how much that varies
_QUARTER_HOUR = 900  # no time zone is off by less

_SUMS = (
    "COUNT(*), SUM(CASE WHEN a.status = 'succeeded' THEN 1 ELSE 0 END), "
    "SUM(CASE WHEN a.status IN ('failed', 'cancelled') THEN 1 ELSE 0 END), "
    "SUM(CASE WHEN a.status = 'unknown' THEN 1 ELSE 0 END), "
    "SUM(CASE WHEN a.money = 'settled' THEN a.booked_micro ELSE 0 END), "
    "SUM(CASE WHEN a.money = 'settled' AND a.status <> 'succeeded' THEN a.booked_micro ELSE 0 END), "
    "SUM(CASE WHEN a.money = 'settled' AND a.cost_origin = 'assumed' THEN a.booked_micro ELSE 0 END), "
    "SUM(CASE WHEN a.money = 'held' THEN a.booked_micro ELSE 0 END), "
    "SUM(CASE WHEN a.money = 'settled' AND a.cost_micro IS NULL AND a.booked_micro = 0 THEN 1 ELSE 0 END)"
)


def costs(tx: Transaction, by: str, since: datetime | None, until: datetime | None, timezone: str) -> list[CostLine]:
    """Attempts that started within a time, summed by a group; the dearest first, days in order.

    Raises:
        RequestError: There is no such group.
    """
    kind, _, tag = by.partition(":")
    columns = {"model": "a.model", "offer": "a.offer", "provider": "a.provider", "total": "''", "tag": "t.value"}
    if by == "day":
        column = f"CAST(FLOOR(a.started_at / {_QUARTER_HOUR}) AS BIGINT)"
    elif kind in columns and bool(tag) == (kind == "tag"):
        column = columns[kind]
    else:
        raise RequestError(f"by: {by!r} is no group.", hint=f"Allowed: {', '.join(GROUPS)}.")
    join = "LEFT JOIN tags AS t ON t.job_id = a.job_id AND t.key = :tag" if tag else ""
    rows = tx.rows(
        f"SELECT {column}, {_SUMS} FROM attempts AS a {join} "
        f"WHERE a.started_at >= :since AND a.started_at < :until GROUP BY 1",
        since=-1.0e12 if since is None else since.timestamp(),
        until=1.0e12 if until is None else until.timestamp(),
        **({"tag": tag} if tag else {}),
    )
    if by == "day":
        return _by_day(rows, ZoneInfo(timezone))
    return sorted((_line(str(row[0] or ""), row[1:]) for row in rows), key=lambda line: (-line.spent, line.key))


def _by_day(rows: Iterable[Row], zone: ZoneInfo) -> list[CostLine]:
    """Quarters of an hour gathered into local days."""
    days: dict[str, list[int]] = {}
    for quarter, *sums in rows:
        day = datetime.fromtimestamp(int(quarter) * _QUARTER_HOUR, UTC).astimezone(zone).date().isoformat()
        before = days.setdefault(day, [0] * len(sums))
        days[day] = [a + int(b) for a, b in zip(before, sums, strict=True)]
    return [_line(day, sums) for day, sums in sorted(days.items())]


def _line(key: str, sums: Iterable[Any]) -> CostLine:
    attempts, succeeded, failed, unknown, spent, wasted, assumed, held, unpriced = map(int, sums)
    return CostLine(
        key=key,
        attempts=attempts,
        succeeded=succeeded,
        failed=failed,
        unknown=unknown,
        spent=dollars(spent),
        spent_on_failures=dollars(wasted),
        assumed=dollars(assumed),
        held=dollars(held),
        unpriced=unpriced,
    )


def observations(tx: Transaction, now: datetime) -> Observations:
    """Speed and health, from the attempts of the last days."""
    rows = tx.rows(
        "SELECT offer, provider, status, started_at, finished_at, provider_failed FROM attempts "
        "WHERE finished_at > :since ORDER BY finished_at DESC LIMIT :most",
        since=now.timestamp() - _OBSERVED_SECONDS,
        most=_OBSERVED_ROWS,
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
        latency={offer: median(values[-_CLIPS:]) for offer, values in seconds.items()},
        quartiles={offer: _quartiles(values[-_CLIPS:]) for offer, values in seconds.items() if len(values) >= _ENOUGH},
        failure_rate={offer: sum(flags[-50:]) / len(flags[-50:]) for offer, flags in failures.items()},
        outcomes={provider: tuple(found[-_OUTCOMES:]) for provider, found in outcomes.items()},
    )


def _quartiles(values: list[float]) -> tuple[float, float]:
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


def faults(tx: Transaction) -> list[str]:
    """What is wrong with the jobs, and with the counters of money."""
    return [*_job_faults(tx), *_event_faults(tx), *postings.faults(tx)]


_JOB_COLUMNS = ("status", "money", "artifact", "offer", "unfinished", "held_micro", "cost_micro")
_ATTEMPT_COLUMNS = ("status", "provider_job_id", "money", "booked_micro", "cost_micro", "client_ref")


def _job_faults(tx: Transaction) -> Iterator[str]:
    """Where the columns of a job, its attempts or its tags are not what its record says."""
    attempts: dict[str, dict[int, Row]] = {}
    for job_id, number, *row in tx.rows(f"SELECT job_id, number, {', '.join(_ATTEMPT_COLUMNS)} FROM attempts"):
        attempts.setdefault(job_id, {})[number] = tuple(row)
    tags: dict[str, dict[str, str]] = {}
    for job_id, key, value in tx.rows("SELECT job_id, key, value FROM tags"):
        tags.setdefault(job_id, {})[key] = value
    rows = tx.rows(f"SELECT id, version, doc, idempotency_key, {', '.join(_JOB_COLUMNS)} FROM jobs")
    for job_id, version, doc, key, *columns in rows:
        try:
            job = read_job(bytes(doc), version)
        except LedgerError as error:
            yield f"Job {job_id}: {error.message}"
            continue
        kept = job_columns(job)
        if columns != [kept[name] for name in _JOB_COLUMNS] or (job_id, key) != (job.id, job.idempotency_key):
            yield f"Job {job_id}: its columns are not those of its record."
        if job.done and kept["held_micro"]:
            yield f"Job {job_id} is done and still holds ${dollars(kept['held_micro']):f}."
        wanted = {a.number: tuple(attempt_columns(a)[name] for name in _ATTEMPT_COLUMNS) for a in job.attempts}
        if attempts.get(job_id, {}) != wanted:
            yield f"Job {job_id}: its attempts are not those of its record."
        if tags.get(job_id, {}) != job.tags:
            yield f"Job {job_id}: its tags are not those of its record."


def _event_faults(tx: Transaction) -> Iterator[str]:
    """Events that cannot be read, or are another job's."""
    for seq, job_id, doc in tx.rows("SELECT seq, job_id, doc FROM events"):
        try:
            event = read_event(bytes(doc), seq)
        except LedgerError as error:
            yield f"Event {seq} of job {job_id}: {error.message}"
        else:
            if event.job_id != job_id:
                yield f"Event {seq} of job {job_id} is one of job {event.job_id}."
