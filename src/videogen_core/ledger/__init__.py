"""The durable record of jobs, attempts, money and events.

`Ledger` is the contract that every store keeps; ``sql`` keeps it once for SQLite and PostgreSQL. A ledger knows no rule
of a job: ``transitions`` says what the next record is, and the ledger stores it if nobody else has stored another one
meanwhile. It does keep the counters of money, because only it can do so for many processes at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..budget import Budget, BudgetState
from ..cost import CostLine
from ..errors import LedgerError
from ..request import VideoRequest
from ..retry import Outcome
from ..states import Event, JobRecord

__all__ = [
    "Claim",
    "ClaimedError",
    "ConflictError",
    "FencedError",
    "FlightTakenError",
    "Ledger",
    "Observations",
    "open_ledger",
]


class ConflictError(LedgerError):
    """Another process stored a newer version of the job first; read it again and decide anew."""


class FencedError(LedgerError):
    """Another driver has taken the lease since; nothing was stored."""


class ClaimedError(LedgerError):
    """The vendor's job belongs to another attempt already; nothing was stored."""


class FlightTakenError(LedgerError):
    """Another job is making the same clip for the cache; nothing was stored."""


@dataclass(frozen=True)
class Claim:
    """A job that was claimed: as it stands, and the fence that its writes must carry; None = nothing is left to do."""

    job: JobRecord
    fence: int | None


@dataclass(frozen=True)
class Observations:
    """What the recent past says of offers and providers.

    Attributes:
        latency: Offer id -> median seconds from submit to done.
        quartiles: Offer id -> the seconds that a quarter of its clips, and three quarters of them, took at most; only
            where enough were made.
        failure_rate: Offer id -> share of attempts that the provider failed, 0 to 1.
        outcomes: Adapter id -> recent attempts in order of time, for the circuit breaker.
    """

    latency: Mapping[str, float] = field(default_factory=dict)
    quartiles: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    failure_rate: Mapping[str, float] = field(default_factory=dict)
    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)


class Ledger(ABC):
    """A store of jobs. Every method is one transaction: durable when it returns, or without effect.

    Methods block and may be called from any thread. All raise `LedgerError` when the store cannot be read or written;
    the message names it.
    """

    location: str
    """Where it is, without a password."""

    # --- jobs

    @abstractmethod
    def create(self, job: JobRecord, event: Event) -> JobRecord:
        """Store a new job.

        When its idempotency key is taken by the same request, that job is returned instead and nothing is stored.

        Raises:
            RequestError: The key is taken by a different request.
        """

    @abstractmethod
    def find(self, idempotency_key: str, request: VideoRequest) -> JobRecord | None:
        """The job of an idempotency key; None when the key is free.

        Raises:
            RequestError: The key is taken by a different request.
        """

    @abstractmethod
    def begin(
        self, job: JobRecord, *events: Event, fence: int | None, flight: str | None = None
    ) -> tuple[JobRecord, tuple[Event, ...]]:
        """Store a job whose last attempt is about to be sent, and reserve its hold in every budget that covers it.

        Intent and reservation are one transaction. The second value are warnings of budgets that have passed a share
        of their limit; they are on record, too.

        Args:
            job: The next version.
            *events: What happened.
            fence: Of the lease that it is driven under.
            flight: Cache key of the clip, when no two jobs are to make it at the same time.

        Raises:
            BudgetExceededError: A budget has too little left; nothing was stored.
            FlightTakenError: Another unfinished job has the cache key.
            ConflictError: As for `save`.
            FencedError: As for `save`.
        """

    @abstractmethod
    def save(self, job: JobRecord, *events: Event, fence: int | None = None) -> JobRecord:
        """Store the next version of a job with what happened; returns it with its new version number.

        What its attempts hold or have cost is settled or released in the budgets in the same transaction. A job that
        nothing is left to do for loses its lease with it.

        Args:
            job: The next version.
            *events: What happened.
            fence: Of the lease that it is driven under; None = it is true whoever drives the job.

        Raises:
            ConflictError: The stored version is not the one that ``job`` was made from.
            FencedError: Another driver has taken the lease.
            ClaimedError: The vendor's id belongs to another attempt.
        """

    @abstractmethod
    def get(self, job_id: str) -> JobRecord:
        """One job.

        Raises:
            RequestError: There is none of that id.
        """

    @abstractmethod
    def jobs(
        self,
        *,
        status: str | None = None,
        tags: Mapping[str, str] | None = None,
        unfinished: bool = False,
        limit: int | None = 50,
    ) -> list[JobRecord]:
        """Jobs, newest first.

        Args:
            status: Only this status.
            tags: Only jobs that carry all of these.
            unfinished: Only jobs that something is left to do for.
            limit: At most this many; None = all.
        """

    @abstractmethod
    def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        """What happened to a job, in order, from sequence number ``after`` on (exclusive)."""

    # --- who drives a job

    @abstractmethod
    def claim(
        self, job_id: str, worker: str, driver: str, lease: float, *, dead: Callable[[str], bool] = lambda _: False
    ) -> Claim | None:
        """Lease a job and read it; None while another driver holds it whose worker is alive.

        A job that nothing is left to do for is read and not leased.

        Args:
            job_id: Which job.
            worker: Who keeps the lease alive with `beat`.
            driver: Which task of the worker wants it.
            lease: Seconds for which the worker counts as alive from now.
            dead: Tells whether a worker is known to be gone, so that its leases count no more.

        Raises:
            RequestError: There is no such job.
        """

    @abstractmethod
    def release(self, job_id: str, driver: str) -> None:
        """Give up a lease; nothing happens when it is not held."""

    @abstractmethod
    def beat(self, worker: str, lease: float) -> None:
        """Keep every lease of a worker for ``lease`` seconds from now."""

    @abstractmethod
    def retire(self, worker: str) -> None:
        """A worker has ended in good order; its leases count no more."""

    # --- finding a job from outside

    @abstractmethod
    def by_ref(self, client_ref: str) -> JobRecord | None:
        """The job with an attempt of this reference."""

    @abstractmethod
    def by_provider_job(self, provider: str, account: str, provider_job_id: str) -> JobRecord | None:
        """The job with an attempt that the vendor knows under this id."""

    @abstractmethod
    def seen(self, delivery: str) -> bool:
        """Remember a webhook delivery for a day; True when it had been seen already."""

    @abstractmethod
    def unsee(self, delivery: str) -> None:
        """Take that back: the delivery could not be dealt with, and is to come again."""

    # --- money

    @abstractmethod
    def budgets(self) -> list[BudgetState]:
        """Every budget in its present period, by name."""

    @abstractmethod
    def set_budget(self, budget: Budget) -> BudgetState:
        """Add a budget or change it. What has been spent and held in its present period counts at once."""

    @abstractmethod
    def remove_budget(self, name: str) -> bool:
        """Remove a budget; False when there is none of that name."""

    @abstractmethod
    def acknowledge(self, name: str) -> bool:
        """Unblock a budget that was charged more than had been held; False when there is none of that name."""

    @abstractmethod
    def costs(
        self, *, by: str, since: datetime | None = None, until: datetime | None = None, timezone: str = "UTC"
    ) -> list[CostLine]:
        """What was spent, by ``model``, ``offer``, ``provider``, ``day``, ``tag:KEY`` or ``total``."""

    @abstractmethod
    def observations(self, now: datetime) -> Observations:
        """What the attempts of the last days say of speed and health."""

    # --- care

    @abstractmethod
    def check(self) -> list[str]:
        """Every fault found in the store and in its counters, a sentence each; empty when all is well."""

    @abstractmethod
    def schema(self) -> tuple[int, int]:
        """The schema version of the store, and the newest that this library knows."""

    @abstractmethod
    def export(self) -> Iterator[dict[str, Any]]:
        """Everything in it, as plain JSON data: jobs with their events, oldest first, then budgets."""

    @abstractmethod
    def purge(self, before: datetime) -> int:
        """Delete jobs that ended before a time; returns how many. What is held or unknown is never deleted.

        Raises:
            RequestError: The time is less than 30 days ago, for which idempotency keys are kept.
        """

    @abstractmethod
    def vacuum(self) -> None:
        """Give the space of what was deleted back to the disk."""

    @abstractmethod
    def close(self) -> None:
        """Release the store."""


def open_ledger(location: str) -> Ledger:
    """Open a ledger; it is created, or brought to the present schema, when need be.

    Args:
        location: Path of an SQLite file; ``memory``; or an address, ``postgresql+psycopg://user@host/database``.

    Raises:
        LedgerError: It cannot be opened, is no ledger, or was written by a newer version.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        from .sqlite import SqliteLedger

        return SqliteLedger(location)
    if scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        try:
            from .postgres import PostgresLedger
        except ImportError as error:
            raise LedgerError(
                f"PostgreSQL needs the package psycopg, which cannot be used here: {error}.",
                hint="pip install 'videogen-core[postgres]'",
            ) from error
        return PostgresLedger(f"postgresql://{rest}")
    raise LedgerError(
        f"No ledger store is known for {scheme}:// addresses.",
        hint="Set VIDEOGEN_LEDGER to a path, to 'memory', or to a postgresql+psycopg:// address.",
    )
