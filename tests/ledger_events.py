"""What can happen to a job, for the state machine test of the ledger: moves, stories, and what each is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ledgers import FAILED, LOST
from videogen_core import transitions
from videogen_core.states import Artifact, JobRecord, JobStatus
from videogen_core.transitions import IllegalTransition

S = JobStatus
DAY = 86_400.0
COSTS = (None, Decimal(0), Decimal("0.03"), Decimal("0.1"), Decimal("0.2"), Decimal("0.0000001"))
HOLDS = ("0", "0.05", "0.1", "0.3")
KINDS = (("acme/paper", {}), ("blue/boat", {}), ("acme/paper", {"team": "ads"}))
SCOPES: tuple[dict[str, Any], ...] = ({}, {"provider": "acme"}, {"model": "boat"}, {"tags": {"team": "ads"}})
JUMPS = (-40 * DAY, -3600.0, -30.0, 30.0, 61.0, 3600.0, DAY, 40 * DAY)

# An event that a driver brings about -> the move, and whether it is true whoever drives the job.
Move = Callable[[Any, JobRecord, datetime, Decimal | None], JobRecord]
EVENTS: dict[str, tuple[Move, bool]] = {
    "accept": (lambda m, j, n, c: m.accepted(j, n), True),
    "late": (lambda m, j, n, c: m.late(j, n), True),
    "webhook": (lambda m, j, n, c: m.attached(j, n), True),
    "reconcile": (lambda m, j, n, c: m.reconciled(j, n), False),
    "reject": (lambda m, j, n, c: transitions.reject(j, n, FAILED), False),
    "lose": (lambda m, j, n, c: transitions.lose(j, n, LOST), False),
    "queued": (lambda m, j, n, c: transitions.advance(j, n, S.QUEUED, 0.1), False),
    "running": (lambda m, j, n, c: transitions.advance(j, n, S.RUNNING, 0.5), False),
    "succeed": (lambda m, j, n, c: transitions.succeed(j, n, cost=c, origin="provider"), False),
    "fail": (lambda m, j, n, c: transitions.fail(j, n, FAILED, cost=c, origin="provider"), False),
    "fail attempt": (lambda m, j, n, c: transitions.fail_attempt(j, n, FAILED, cost=c, origin="provider"), False),
    "cancelled": (lambda m, j, n, c: transitions.cancel(j, n, cost=c, origin="provider"), False),
    "wish to cancel": (lambda m, j, n, c: transitions.request_cancel(j, n), True),
    "revive": (lambda m, j, n, c: transitions.revive(j, n, cost=c, origin="provider"), False),
    "resend": (lambda m, j, n, c: transitions.resend(j, n, deadline=n + timedelta(seconds=120)), False),
    "resubmit": (lambda m, j, n, c: transitions.resubmit(j, n), False),
    "abandon": (lambda m, j, n, c: transitions.abandon(j, n, LOST, cost=c or Decimal(0)), False),
    "correct": (lambda m, j, n, c: transitions.correct(j, n, number=len(j.attempts), cost=c or Decimal(0)), True),
    "store": (lambda m, j, n, c: transitions.store(_only(j, S.SUCCEEDED), n, Artifact.SKIPPED), False),
    "begin": (lambda m, j, n, c: m.again(j), False),
}
STORIES = (
    ("accept", "running", "succeed", "store"),
    ("accept", "running", "succeed"),
    ("accept", "running"),
    ("accept", "queued", "fail"),
    ("accept", "fail attempt", "begin", "accept"),
    ("accept", "wish to cancel", "cancelled"),
    ("lose", "reconcile", "running"),
    ("lose", "resubmit", "begin"),
    ("lose", "abandon"),
    ("lose",),
    ("reject",),
    ("reject", "fail"),
)
PICKS, ANY_COST, NAMES = st.integers(0, 5), st.sampled_from(COSTS), st.sampled_from(sorted(EVENTS))
RARELY = st.sampled_from([False, False, False, True])
# Where the outcome of a try is said, and by whom.
ENDS = {"succeed", "fail", "fail attempt", "cancelled", "revive", "abandon", "correct"}
BY_A_PERSON = {"abandon", "correct"}
OTHERS = ("claim", "steal", "crash", "clock", "purge")
# what is over for good has no lease that could be lost
PAIRS = {(status, name) for status in S for name in (*EVENTS, *OTHERS)} - {
    (status, name) for status in (S.FAILED, S.CANCELLED) for name in ("steal", "crash")
}
visited: Counter[tuple[JobStatus, str]] = Counter()


def _only(job: JobRecord, status: JobStatus) -> JobRecord:
    if job.status is not status:
        raise IllegalTransition("nothing to store")
    return job


class Nothing(Exception):  # noqa: N818 - no error: the event cannot happen now
    """There is no such answer of the vendor."""
