"""The durable record of jobs, attempts and events.

`Ledger` is the contract that every store keeps; ``sqlite`` is the default. A ledger knows no rule: the state machine
in ``jobs`` says what the next record is, and the ledger stores it if nobody else has stored another one meanwhile.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..errors import LedgerError
from ..request import VideoRequest
from ..retry import Outcome
from ..states import Event, JobRecord

__all__ = ["ConflictError", "Ledger", "Observations", "open_ledger"]


class ConflictError(LedgerError):
    """Another process stored a newer version of the job first; read it again and decide anew."""


@dataclass(frozen=True)
class Observations:
    """What the recent past says of offers and providers.

    Attributes:
        latency: Offer id -> median seconds from submit to done.
        failure_rate: Offer id -> share of attempts that the provider failed, 0 to 1.
        outcomes: Adapter id -> recent attempts in order of time, for the circuit breaker.
    """

    latency: Mapping[str, float] = field(default_factory=dict)
    failure_rate: Mapping[str, float] = field(default_factory=dict)
    outcomes: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)


class Ledger(ABC):
    """A store of jobs. Every method is one transaction: durable when it returns, or without effect.

    Methods block and are called from one thread at a time. All raise `LedgerError` when the store cannot be read or
    written; the message names it.
    """

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
    def save(self, job: JobRecord, *events: Event) -> JobRecord:
        """Store the next version of a job with what happened; returns it with its new version number.

        A job that nothing is left to do for loses its lease with it.

        Raises:
            ConflictError: The stored version is not the one that ``job`` was made from.
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

    @abstractmethod
    def claim(
        self, job_id: str, owner: str, lease: float, *, dead: Callable[[str], bool] = lambda _: False
    ) -> JobRecord | None:
        """Lease a job for ``lease`` seconds and read it; None while another owner's lease runs. Renews one's own.

        A job that nothing is left to do for is read and not leased.

        Args:
            job_id: Which job.
            owner: Who wants it.
            lease: Seconds.
            dead: Tells whether the present holder is known to be gone, so that its lease counts no more.

        Raises:
            RequestError: There is no such job.
        """

    @abstractmethod
    def release(self, job_id: str, owner: str) -> None:
        """Give up a lease; nothing happens when it is not held."""

    @abstractmethod
    def observations(self, now: datetime) -> Observations:
        """What the attempts of the last days say of speed and health."""

    @abstractmethod
    def close(self) -> None:
        """Release the store."""


def open_ledger(location: str) -> Ledger:
    """Open the ledger at a path, or in memory.

    Args:
        location: Path of an SQLite file, which is created when missing; or ``memory``.

    Raises:
        LedgerError: It cannot be opened, is no ledger, or was written by a newer version.
    """
    scheme, separator, _ = location.partition("://")
    if separator:
        raise LedgerError(
            f"No ledger store is known for {scheme}:// addresses.", hint="Set VIDEOGEN_LEDGER to a path or to 'memory'."
        )
    from .sqlite import SqliteLedger

    return SqliteLedger(location)
