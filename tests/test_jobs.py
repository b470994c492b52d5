"""The state machine of a job: legal moves only, no way back, money held from first byte to end, and all as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from videogen_core import transitions
from videogen_core.errors import GenerationFailedError, RejectedRequestError, SubmissionUnknownError
from videogen_core.pricing import Quote
from videogen_core.request import Media, VideoRequest
from videogen_core.states import (
    TERMINAL,
    Artifact,
    Event,
    JobRecord,
    JobStatus,
    Money,
    Result,
    Video,
    new_job_id,
)
from videogen_core.transitions import LEGAL, IllegalTransition

S = JobStatus
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
QUOTE = Quote(offer="acme/boat", amount=Decimal("0.80"), low=Decimal("0.40"), high=Decimal("0.80"))
REQUEST = VideoRequest.make("a boat", duration=8)
FAILED, REFUSED, LOST = GenerationFailedError("It broke."), RejectedRequestError("No."), SubmissionUnknownError("Lost.")


def fresh(**facts: Any) -> JobRecord:
    known: dict[str, Any] = {"id": "vg-1", "request": REQUEST, "chain": ("acme/boat", "blue/boat")} | facts
    return JobRecord(created_at=NOON, updated_at=NOON, **known)


def begin(job: JobRecord) -> JobRecord:
    return transitions.begin(job, NOON, offer=job.offer, request=REQUEST, quote=QUOTE, client_ref="ref")


def accept(job: JobRecord) -> JobRecord:
    return transitions.accept(job, NOON, provider_job_id="pj-1", handle={"id": "pj-1"}, request_id="rq-1")


def succeed(job: JobRecord, cost: Decimal | None = Decimal("0.75")) -> JobRecord:
    return transitions.succeed(job, NOON, cost=cost, origin="provider")


def fail(job: JobRecord, cost: Decimal | None = Decimal(0)) -> JobRecord:
    return transitions.fail(job, NOON, FAILED, cost=cost, origin="computed")


def cancel(job: JobRecord, cost: Decimal | None = None) -> JobRecord:
    return transitions.cancel(job, NOON, cost=cost, origin=None)


def absent_twice(job: JobRecord) -> JobRecord:
    once = transitions.absent(job, NOON, lag=5)
    return transitions.absent(once, NOON + timedelta(seconds=65), lag=5)


def advance_to(status: JobStatus) -> Callable[[JobRecord], JobRecord]:
    return lambda job: transitions.advance(job, NOON, status, 0.5)


# Every job status, reached as a real job reaches it.
AT: dict[JobStatus, JobRecord] = {S.CREATED: fresh()}
AT[S.SUBMITTING] = begin(AT[S.CREATED])
AT[S.UNKNOWN] = transitions.lose(AT[S.SUBMITTING], NOON, LOST)
AT[S.QUEUED] = accept(AT[S.SUBMITTING])
AT[S.RUNNING] = advance_to(S.RUNNING)(AT[S.QUEUED])
AT[S.SUCCEEDED], AT[S.FAILED], AT[S.CANCELLED] = succeed(AT[S.RUNNING]), fail(AT[S.RUNNING]), cancel(AT[S.QUEUED])

# Name of a move -> the move, from where it may start, and where it leads.
MOVES: dict[str, tuple[Callable[[JobRecord], JobRecord], set[JobStatus], JobStatus]] = {
    "begin": (begin, {S.CREATED}, S.SUBMITTING),
    "accept": (accept, {S.SUBMITTING, S.UNKNOWN}, S.QUEUED),
    "reject": (lambda job: transitions.reject(job, NOON, REFUSED), {S.SUBMITTING}, S.CREATED),
    "lose": (lambda job: transitions.lose(job, NOON, LOST), {S.SUBMITTING}, S.UNKNOWN),
    "advance to queued": (advance_to(S.QUEUED), {S.QUEUED}, S.QUEUED),
    "advance to running": (advance_to(S.RUNNING), {S.QUEUED, S.RUNNING}, S.RUNNING),
    "succeed": (succeed, {S.QUEUED, S.RUNNING}, S.SUCCEEDED),
    "fail the attempt": (
        lambda job: transitions.fail_attempt(job, NOON, FAILED, cost=Decimal(0), origin="computed"),
        {S.QUEUED, S.RUNNING},
        S.CREATED,
    ),
    "fail": (fail, {S.CREATED, S.SUBMITTING, S.QUEUED, S.RUNNING, S.UNKNOWN}, S.FAILED),
    "reuse": (lambda job: transitions.reuse(job, NOON, (), model="boat"), {S.CREATED}, S.SUCCEEDED),
    "revive": (lambda job: transitions.revive(job, NOON, cost=None, origin=None), {S.FAILED}, S.SUCCEEDED),
    "resend": (lambda job: transitions.resend(job, NOON, deadline=NOON), {S.UNKNOWN}, S.SUBMITTING),
    "resubmit": (lambda job: transitions.resubmit(job, NOON), {S.UNKNOWN}, S.CREATED),
    "abandon": (lambda job: transitions.abandon(job, NOON, LOST, cost=Decimal(0)), {S.UNKNOWN}, S.FAILED),
    "be absent twice": (absent_twice, {S.UNKNOWN}, S.CREATED),
    "cancel": (cancel, {S.CREATED, S.QUEUED, S.RUNNING, S.UNKNOWN}, S.CANCELLED),
}


@pytest.mark.parametrize("status", list(JobStatus))
@pytest.mark.parametrize("name", list(MOVES))
def test_a_move_is_made_from_its_own_places_and_refused_from_all_others(name: str, status: JobStatus) -> None:
    move, sources, target = MOVES[name]
    if status in sources:
        moved = move(AT[status])
        assert moved.status is target
        assert target in LEGAL[status]
    else:
        with pytest.raises(IllegalTransition, match=rf"from {status} to {target}") as caught:
            move(AT[status])
        assert caught.value.job_id == "vg-1"


@pytest.mark.parametrize("status", sorted(set(JobStatus) - {S.QUEUED, S.RUNNING}))
def test_a_poll_only_says_queued_or_running(status: JobStatus) -> None:
    with pytest.raises(IllegalTransition):
        advance_to(status)(AT[S.RUNNING])


def test_the_table_of_legal_moves_is_what_the_functions_make() -> None:
    made = {(source, target) for _, sources, target in MOVES.values() for source in sources}
    assert made == {(source, target) for source, targets in LEGAL.items() for target in targets}
    assert {status: set(LEGAL[status]) for status in TERMINAL} == {
        S.SUCCEEDED: set(),
        S.CANCELLED: set(),
        S.FAILED: {S.SUCCEEDED},
    }
    again = {
        name for name, (_, sources, to) in MOVES.items() if S.UNKNOWN in sources and to in (S.SUBMITTING, S.CREATED)
    }
    assert again == {"resend", "resubmit", "be absent twice"}, "only a documented key, a person, or proof"


def test_progress_is_sane_whatever_a_provider_says() -> None:
    job = AT[S.QUEUED]
    for said, shown in ((None, None), (0.2, 0.2), (0.1, 0.2), (float("nan"), 0.2), (-5, 0.2), (62.5, 1.0), (None, 1.0)):
        job = transitions.advance(job, NOON, S.RUNNING, said)
        assert job.progress == shown


def test_money_follows_what_is_known() -> None:
    assert AT[S.CREATED].money is Money.NONE
    assert all(AT[status].money is Money.HELD for status in (S.SUBMITTING, S.QUEUED, S.RUNNING, S.UNKNOWN))
    assert AT[S.SUCCEEDED].money is Money.SETTLED
    assert cancel(AT[S.CREATED]).money is Money.NONE
    assert fail(AT[S.RUNNING], Decimal(0)).money is Money.RELEASED
    for cost in (Decimal("0.1"), None):  # charged, or nobody knows
        assert fail(AT[S.RUNNING], cost).money is Money.SETTLED
        assert cancel(AT[S.RUNNING], cost).money is Money.SETTLED
    rejected = transitions.reject(AT[S.SUBMITTING], NOON, REFUSED)
    assert rejected.money is Money.RELEASED
    assert fail(rejected, None).money is Money.RELEASED


def test_the_cost_of_a_job_is_that_of_all_its_attempts() -> None:
    assert fresh().cost == 0
    assert AT[S.RUNNING].cost is None
    job = transitions.fail_attempt(AT[S.RUNNING], NOON, FAILED, cost=Decimal("0.20"), origin="provider")
    assert (job.cost, job.offer) == (Decimal("0.20"), "blue/boat")
    assert succeed(accept(begin(job))).cost == Decimal("0.95")
    assert succeed(accept(begin(job)), None).cost is None
    rejected = transitions.reject(begin(fresh()), NOON, REFUSED)
    assert (rejected.cost, rejected.attempt.cost_origin) == (Decimal(0), "computed")


def test_what_an_attempt_records() -> None:
    attempt = AT[S.RUNNING].attempt
    assert (attempt.number, attempt.offer, attempt.provider, attempt.client_ref) == (1, "acme/boat", "acme", "ref")
    assert (attempt.provider_job_id, attempt.handle, attempt.request_id) == ("pj-1", {"id": "pj-1"}, "rq-1")
    assert (attempt.request, attempt.quote, attempt.status) == (REQUEST, QUOTE, S.RUNNING)
    assert AT[S.UNKNOWN].error == LOST.to_dict()
    assert accept(AT[S.UNKNOWN]).error is None
    assert AT[S.FAILED].attempt.error == FAILED.to_dict()


def test_a_wish_to_cancel_is_recorded_once() -> None:
    first = transitions.request_cancel(AT[S.RUNNING], NOON)
    again = transitions.request_cancel(first, NOON + timedelta(minutes=1))
    assert (again.cancel_requested_at, again.status, again.money) == (NOON, S.RUNNING, Money.HELD)


def test_done_means_that_nothing_is_left_to_do() -> None:
    assert [status for status in S if AT[status].done] == [S.FAILED, S.CANCELLED]
    for artifact in Artifact:
        stored = transitions.store(AT[S.SUCCEEDED], NOON, artifact, (Video(path=Path("a.mp4")),))
        assert stored.done is (artifact in (Artifact.STORED, Artifact.EXPIRED, Artifact.SKIPPED))
        assert (stored.money, stored.videos[0].path) == (Money.SETTLED, Path("a.mp4"))
    assert transitions.store(stored, NOON, Artifact.STORED).videos == stored.videos


class JobMachine(RuleBasedStateMachine):
    """Any sequence of moves, legal or not; an illegal one leaves the job as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.job = fresh(chain=("acme/boat", "blue/boat", "coral/boat"))
        self.before = self.job

    def _move(self, change: Callable[[JobRecord], JobRecord]) -> None:
        self.before = self.job
        try:
            self.job = change(self.job)
        except IllegalTransition:
            assert self.job is self.before

    costs = st.one_of(st.none(), st.decimals(0, 9, places=2))

    @rule()
    def begin(self) -> None:
        self._move(begin)

    @rule()
    def accept(self) -> None:
        self._move(accept)

    @rule(error=st.sampled_from([REFUSED, LOST]))
    def no_answer_or_a_no(self, error: Any) -> None:
        change = transitions.reject if error is REFUSED else transitions.lose
        self._move(lambda job: change(job, NOON, error))

    @rule(status=st.sampled_from(JobStatus), progress=st.one_of(st.none(), st.floats()))
    def poll(self, status: JobStatus, progress: float | None) -> None:
        self._move(lambda job: transitions.advance(job, NOON, status, progress))

    @rule(cost=costs)
    def fail_attempt(self, cost: Decimal | None) -> None:
        self._move(lambda job: transitions.fail_attempt(job, NOON, FAILED, cost=cost, origin="provider"))

    @rule(cost=costs, move=st.sampled_from([succeed, fail, cancel]))
    def end(self, cost: Decimal | None, move: Callable[[JobRecord, Decimal | None], JobRecord]) -> None:
        self._move(lambda job: move(job, cost))

    @precondition(lambda self: self.job.status is not S.CREATED)
    @rule()
    def wish_to_cancel(self) -> None:
        self._move(lambda job: transitions.request_cancel(job, NOON))

    @invariant()
    def only_legal_steps(self) -> None:
        before, job = self.before, self.job
        if job.status is not before.status:
            assert job.status in LEGAL[before.status]
            assert before.status not in TERMINAL or before.status is S.FAILED
        assert not (before.status is S.UNKNOWN and job.status in (S.SUBMITTING, S.CREATED))

    @invariant()
    def attempts_are_only_added_to(self) -> None:
        before, job = self.before.attempts, self.job.attempts
        assert job[: len(before) - 1] == before[: len(before) - 1]
        assert len(job) in (len(before), len(before) + 1)
        assert [attempt.number for attempt in job] == list(range(1, len(job) + 1))
        assert all(attempt.finished_at is not None for attempt in job[:-1])

    @invariant()
    def progress_never_runs_back_within_an_attempt(self) -> None:
        before, job = self.before, self.job
        if len(job.attempts) == len(before.attempts) and before.progress is not None:
            assert job.progress is not None
            assert before.progress <= job.progress <= 1

    @invariant()
    def money_is_held_from_begin_to_end(self) -> None:
        job = self.job
        if not job.attempts:
            assert job.money is Money.NONE
        elif job.status in TERMINAL:
            assert job.money in (Money.SETTLED, Money.RELEASED)
            assert job.money is Money.SETTLED or job.cost == 0
        else:
            assert (job.money is Money.HELD) is job.attempt.open is (job.status is not S.CREATED)

    @invariant()
    def what_is_at_the_provider_has_an_id(self) -> None:
        if self.job.status in (S.QUEUED, S.RUNNING, S.SUCCEEDED):
            assert self.job.provider_job_id == "pj-1"

    @invariant()
    def it_survives_json(self) -> None:
        assert stored(self.job) == self.job


def stored(job: JobRecord) -> JobRecord:
    """A job as the ledger gives it back."""
    text = msgspec.json.encode(job, enc_hook=str)
    return msgspec.json.decode(text, type=JobRecord, dec_hook=lambda kind, value: kind(value))


TestJobMachine = JobMachine.TestCase
TestJobMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


FULL = transitions.store(
    succeed(
        accept(
            begin(
                fresh(
                    request=VideoRequest.make("👩‍👩‍👧", image=b"\x00\xff", options={"acme": {"a": [1, None]}}),
                    max_cost=Decimal("1.50"),
                    tags={"team": "ads"},
                )
            )
        )
    ),
    NOON,
    Artifact.STORED,
    (Video(path=Path("/tmp/a boat.mp4"), size=9, sha256="abc", duration=8.0),),
)


def test_every_field_survives_json() -> None:
    again = stored(FULL)
    assert again == FULL
    assert again.request.image == Media(data=b"\x00\xff")
    assert (again.created_at.tzinfo, again.max_cost, again.attempt.quote) == (UTC, Decimal("1.50"), QUOTE)
    newer = json.loads(msgspec.json.encode(FULL, enc_hook=str)) | {"from_the_future": 1}
    decoded = msgspec.json.decode(json.dumps(newer), type=JobRecord, dec_hook=lambda kind, value: kind(value))
    assert decoded == FULL


def test_to_dict_has_one_shape_and_is_plain_json() -> None:
    full, bare = FULL.to_dict(), fresh().to_dict()
    assert full.keys() == bare.keys()
    assert json.loads(json.dumps(full)) == full
    assert (full["status"], full["cost"], full["request"]["image"]) == ("succeeded", "0.75", "2 bytes")
    assert full["videos"][0]["path"] == "/tmp/a boat.mp4"
    assert "handle" not in full["attempts"][0]
    assert full["attempts"][0]["request"] == REQUEST.given()
    event = Event(job_id="vg-1", at=NOON, type="progress", status=S.RUNNING).to_dict()
    assert json.loads(json.dumps(event)) == event
    assert event["progress"] is None


def test_a_result_is_plain_json_too() -> None:
    facts: dict[str, Any] = {"job_id": "vg-1", "model": "boat", "provider": "acme", "cost": None}
    result = Result(videos=FULL.videos, attempts=FULL.attempts, **facts).to_dict()
    assert json.loads(json.dumps(result)) == result
    assert result["path"] == result["videos"][0]["path"] == "/tmp/a boat.mp4"
    assert Result(videos=(), attempts=(), **facts).to_dict()["path"] is None


def test_a_result_is_short_at_a_prompt() -> None:
    facts: dict[str, Any] = {"job_id": "vg-1", "model": "boat", "provider": "acme", "cost": Decimal("0.5")}
    known = "Result(job_id='vg-1', model='boat', provider='acme', cost=Decimal('0.5'), path="
    result = Result(videos=FULL.videos, attempts=FULL.attempts, **facts)
    assert repr(result) == f"{known}{str(result.path)!r})"
    assert repr(Result(videos=(), attempts=(), **facts)) == f"{known}None)"


def test_job_ids_sort_by_time_and_differ() -> None:
    ids = [new_job_id(NOON + timedelta(seconds=second)) for second in range(20)]
    assert ids == sorted(ids)
    assert len({new_job_id(NOON) for _ in range(100)}) == 100
