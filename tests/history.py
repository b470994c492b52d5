"""What we wrote down laid beside what the vendor counted, and what must be true of the two.

Every create that reached the vendor carries our own id of the attempt, so that the ledger's jobs and events can be
merged with the emulator's journal. `check` raises with every contradiction; `History.counts` says how much was seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rig import REF, STRANGER
from videogen_core.ledger import open_ledger
from videogen_core.states import TERMINAL, Attempt, Event, JobRecord, JobStatus
from videogen_core.testing import EmulatorClient, Entry, owner

AFTER_THE_END = {"stored", "expired", "redirected", "corrected", "orphan", "revived", "warning", "cached"}
"""Events of the artifact and of money, which alone may come after a job has ended."""
_CLOCKS = 0.005  # seconds by which two processes of one machine may read the same clock


@dataclass
class History:
    """One campaign.

    Attributes:
        jobs: Every job of the ledger.
        events: Of each, in order.
        creates: Every create that the vendor was sent.
        made: Every job that the vendor made, heard of or not.
        kind: Class of the vendor.
        check: What the ledger finds wrong with itself.
    """

    jobs: list[JobRecord]
    events: dict[str, list[Event]]
    creates: list[Entry]
    made: list[dict[str, Any]]
    kind: str
    check: list[str]
    attempts: dict[str, tuple[JobRecord, Attempt]] = field(init=False)

    def __post_init__(self) -> None:
        self.attempts = {attempt.client_ref: (job, attempt) for job in self.jobs for attempt in job.attempts}

    @property
    def ref_of(self) -> dict[str, str]:
        """The vendor's id of a job -> our id of the attempt that made it."""
        return {entry.job: entry.headers.get(REF, "") for entry in self.creates if entry.created}

    def counts(self) -> dict[str, Any]:
        """What was seen, for people."""
        statuses = Counter(job.status.value for job in self.jobs)
        return {
            "class": self.kind,
            "jobs": len(self.jobs),
            **dict(sorted(statuses.items())),
            "POSTs": len(self.creates),
            "made": len(self.made),
            "settled": str(self.settled),
            "charged": str(self.charged),
            "held": str(sum((job.at_risk for job in self.unknown), Decimal(0))),
        }

    @property
    def unknown(self) -> list[JobRecord]:
        return [job for job in self.jobs if job.status is JobStatus.UNKNOWN]

    @property
    def settled(self) -> Decimal:
        """What attempts have cost as the vendor says."""
        costs = [a.cost for _, a in self.attempts.values() if a.cost_origin == "provider" and a.cost is not None]
        return sum(costs, Decimal(0))

    @property
    def charged(self) -> Decimal:
        """What the vendor took for the jobs that we know the end of."""
        known = {a.provider_job_id for _, a in self.attempts.values() if a.cost_origin == "provider"}
        return sum((Decimal(job["charged"]) for job in self.made if job["id"] in known), Decimal(0))

    # --- what must be true

    def faults(self) -> list[str]:
        """Every contradiction, a sentence each."""
        return [*self.check, *self._made_twice(), *self._lost(), *self._money(), *self._order(), *self._unannounced()]

    def _made_twice(self) -> list[str]:
        """(i) At most one job for each attempt."""
        made = Counter(ref for ref in self.ref_of.values() if ref != STRANGER)
        return [f"attempt {ref} made {count} jobs at the vendor" for ref, count in made.items() if count > 1]

    def _lost(self) -> list[str]:
        """(ii) Every job of the vendor is known to a row, or its row is unknown."""
        found = []
        for job in self.made:
            ref = self.ref_of.get(job["id"], "")
            if ref == STRANGER:
                continue
            if ref not in self.attempts:
                found.append(f"vendor job {job['id']} was made by {ref or 'nobody'}, whom the ledger does not know")
                continue
            ours, attempt = self.attempts[ref]
            if job["id"] in (attempt.provider_job_id, *attempt.orphans):
                continue
            waits = ours.status in (JobStatus.UNKNOWN, JobStatus.SUBMITTING) and attempt.open
            given_up = attempt.cost_origin in ("assumed", "person")
            if not waits and not given_up:
                found.append(f"vendor job {job['id']} is lost: job {ours.id} is {ours.status}, {attempt}")
        return found

    def _money(self) -> list[str]:
        """(iii) What we settled is what the vendor took; what is unknown is held in full."""
        found = []
        charged = {job["id"]: Decimal(job["charged"]) for job in self.made}
        for ref, (job, attempt) in self.attempts.items():
            took = charged.get(attempt.provider_job_id or "")
            if attempt.cost_origin == "provider" and attempt.cost != took:
                found.append(f"job {job.id} settled {attempt.cost}, the vendor took {took}")
            if job.status is JobStatus.UNKNOWN and attempt is job.attempt:
                taken = sum((charged[theirs] for theirs, by in self.ref_of.items() if by == ref), Decimal(0))
                if not attempt.open or attempt.hold is None or attempt.hold < taken:
                    found.append(f"job {job.id} is unknown and holds {attempt.hold}, the vendor took {taken}")
            if job.done and attempt.open:
                found.append(f"job {job.id} is done and attempt {attempt.number} holds money")
        if self.settled != self.charged:
            found.append(f"${self.settled} were settled, the vendor took ${self.charged}")
        return found

    def _order(self) -> list[str]:
        """(iv) Nothing but money and artifact after the end."""
        found = []
        for job_id, events in self.events.items():
            ended = next((n for n, event in enumerate(events) if event.status in TERMINAL), len(events))
            later = [event.type for event in events[ended + 1 :] if event.type not in AFTER_THE_END]
            if later:
                found.append(f"job {job_id} ended, and then {later}: {[event.type for event in events]}")
        return found

    def _unannounced(self) -> list[str]:
        """(v) No POST without an intent that had been committed, and not one more than there were intents."""
        found = []
        sent: Counter[str] = Counter()
        for entry in self.creates:
            ref = entry.headers.get(REF)
            if ref in (None, STRANGER):  # None: its connection broke before its headers were kept
                continue
            sent[ref] += 1
            if ref not in self.attempts:
                found.append(f"POST {entry.seq} of {ref} is in no ledger")
                continue
            job, attempt = self.attempts[ref]
            meant = [event for event in self.events[job.id] if event.type == "submitting"]
            if not any(event.at.timestamp() <= entry.at + _CLOCKS for event in meant):
                found.append(f"POST {entry.seq} of job {job.id} left before it was on record")
        for ref, count in sent.items():
            if ref not in self.attempts:
                continue
            job, attempt = self.attempts[ref]
            later = job.attempts[attempt.number].started_at if attempt.number < len(job.attempts) else None
            meant = [
                event
                for event in self.events[job.id]
                if event.type == "submitting" and event.at >= attempt.started_at and (later is None or event.at < later)
            ]
            if count > len(meant) or (count > 1 and self.kind != "A"):
                found.append(f"attempt {ref} of job {job.id} was sent {count} times, meant {len(meant)} times")
        return found


def gather(location: str, vendor: EmulatorClient, kind: str) -> History:
    """Read both sides."""
    ledger = open_ledger(location)
    try:
        jobs = ledger.jobs(limit=None)
        events = {job.id: ledger.events(job.id) for job in jobs}
        check = ledger.check()
    finally:
        ledger.close()
    return History(jobs, events, vendor.journal("create"), vendor.jobs(), kind, check)


def check(location: str, vendor: EmulatorClient, kind: str) -> History:
    """Read both sides and compare them.

    Raises:
        AssertionError: With every contradiction.
    """
    history = gather(location, vendor, kind)
    found = history.faults()
    assert not found, f"{history.counts()}\n" + "\n".join(found)
    return history


def check_clips(history: History) -> int:
    """Every stored clip is there and is the one of its job; returns how many there are."""
    seen = 0
    for job in history.jobs:
        for video in job.videos:
            assert video.path is not None
            told = owner(video.path.read_bytes())
            assert told["job"] == job.provider_job_id, f"{video.path} is of another job: {told}"
            seen += 1
    return seen
