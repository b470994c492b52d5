"""What tests of the ledger write into it: jobs at every stage, through the same moves as the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from videogen_core import VideoRequest, transitions
from videogen_core.budget import BudgetState, make_budget
from videogen_core.errors import GenerationFailedError, RejectedRequestError, SubmissionUnknownError
from videogen_core.ledger import Ledger, open_ledger
from videogen_core.pricing import Quote
from videogen_core.states import Event, JobRecord, JobStatus

NOW = datetime.now(UTC).replace(microsecond=0)
REFUSED, LOST, FAILED = RejectedRequestError("No."), SubmissionUnknownError("Lost."), GenerationFailedError("It broke.")


@dataclass
class Store:
    """A store that any number of ledgers can be opened on; ``memory`` gives the same one again."""

    location: str
    opened: list[Ledger] = field(default_factory=list)

    def open(self) -> Ledger:
        if self.location == "memory" and self.opened:
            return self.opened[0]
        self.opened.append(open_ledger(self.location))
        return self.opened[-1]

    def close(self) -> None:
        for ledger in self.opened:
            ledger.close()


def emptied(url: str) -> str:
    """A PostgreSQL ledger without its rows."""
    from postgres import connect

    tables = ["events", "attempts", "tags", "orphans", "holds", "periods", "budgets", "deliveries", "workers", "jobs"]
    with connect(url) as connection:
        if connection.execute("SELECT to_regclass('jobs')").fetchone() != (None,):
            connection.execute("; ".join(f"DELETE FROM {table}" for table in tables))
    return url


def record(number: int | str = 1, **changes: object) -> JobRecord:
    seconds = number if isinstance(number, int) else 0
    job = JobRecord(
        id=f"vg-{number}",
        created_at=NOW + timedelta(seconds=seconds),
        updated_at=NOW,
        request=VideoRequest.make(f"boat {number}"),
        chain=("acme/paper",),
    )
    return msgspec.structs.replace(job, **changes)


def event(job: JobRecord, kind: str = "created") -> Event:
    return Event(job_id=job.id, at=NOW, type=kind, status=job.status)


def created(ledger: Ledger, number: int | str = 1, **changes: object) -> JobRecord:
    job = record(number, **changes)
    return ledger.create(job, event(job))


def begun(
    job: JobRecord,
    now: datetime = NOW,
    *,
    hold: str | None = "0.1",
    offer: str = "acme/paper",
    model: str = "paper",
    account: str = "me",
) -> JobRecord:
    """The next version, about to be sent."""
    high = None if hold is None else Decimal(hold)
    return transitions.begin(
        job,
        now,
        offer=offer,
        request=job.request,
        quote=Quote(offer=offer, amount=high, low=high, high=high),
        client_ref=f"ref-{job.id}-{len(job.attempts) + 1}",
        hold=high,
        deadline=now + timedelta(seconds=120),
        account=account,
        model=model,
    )


def sent(ledger: Ledger, number: int | str = 1, *, tags: dict[str, str] | None = None, **facts: Any) -> JobRecord:
    """A new job that holds its money and is being sent."""
    job = created(ledger, number, tags=tags or {})
    return ledger.begin(begun(job, **facts), event(job, "submitting"), fence=None)[0]


def accepted(ledger: Ledger, number: int | str = 1, **facts: Any) -> JobRecord:
    """The same, at the provider."""
    job = sent(ledger, number, **facts)
    return ledger.save(accept(job, f"pj-{number}"), event(job, "accepted"))


def accept(job: JobRecord, provider_job_id: str) -> JobRecord:
    return transitions.accept(job, NOW, provider_job_id=provider_job_id, handle={"id": provider_job_id})


def succeed(job: JobRecord, cost: str | None = "0.1", origin: str | None = "provider") -> JobRecord:
    return transitions.succeed(job, NOW, cost=None if cost is None else Decimal(cost), origin=origin)


def fail(job: JobRecord, cost: str | None = "0", origin: str | None = "provider") -> JobRecord:
    return transitions.fail(job, NOW, FAILED, cost=None if cost is None else Decimal(cost), origin=origin)


def finished(ledger: Ledger, number: int | str = 1, cost: str | None = "0.1", **facts: Any) -> JobRecord:
    """The same, succeeded and settled."""
    return ledger.save(succeed(accepted(ledger, number, **facts), cost))


def budget(ledger: Ledger, name: str = "all", limit: str = "1", **facts: Any) -> BudgetState:
    return ledger.set_budget(make_budget(name, limit=limit, **facts))


def money(ledger: Ledger, name: str = "all") -> tuple[Decimal, Decimal]:
    """What a budget has settled and holds."""
    (state,) = (state for state in ledger.budgets() if state.budget.name == name)
    return state.settled, state.held


def usd(*amounts: str | int) -> tuple[Decimal, ...]:
    return tuple(Decimal(amount) for amount in amounts)


# Every status that a job can have, as the ledger comes to it.
STAGES: dict[str, Callable[[Ledger], JobRecord]] = {
    "created": created,
    "submitting": sent,
    "queued": accepted,
    "running": lambda ledger: ledger.save(transitions.advance(accepted(ledger), NOW, JobStatus.RUNNING, 0.5)),
    "unknown": lambda ledger: ledger.save(transitions.lose(sent(ledger), NOW, LOST)),
    "succeeded": finished,
    "failed": lambda ledger: ledger.save(fail(accepted(ledger))),
    "cancelled": lambda ledger: ledger.save(
        transitions.cancel(created(ledger), NOW, cost=Decimal(0), origin="computed")
    ),
}
