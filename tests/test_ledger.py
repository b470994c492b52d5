"""The store of jobs: durable, compare-and-set, one job for a key, and no id that is paid for is ever dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ledgers import FAILED, LOST, NOW, STAGES, Store, accept, accepted, begun, created, event, finished, record, sent
from videogen_core import LedgerError, RequestError, VideoRequest, transitions
from videogen_core.ledger import ClaimedError, ConflictError, FlightTakenError, Ledger, open_ledger
from videogen_core.states import Artifact, JobRecord, JobStatus


@pytest.mark.promise("S2")
@pytest.mark.parametrize("stage", STAGES)
def test_what_is_stored_is_read_back_whole(store: Store, stage: str) -> None:
    saved = STAGES[stage](store.open())
    assert saved.status == stage
    assert store.open().get("vg-1") == saved
    assert store.open().check() == []


def test_every_field_survives(store: Store) -> None:
    ledger = store.open()
    job = created(ledger, tags={"team": "ads", "née": "👩‍👩‍👧"}, max_cost=Decimal("1.50"), idempotency_key="k")
    saved = ledger.save(begun(job), event(job, "submitting"))
    other = store.open()
    assert other.get("vg-1") == saved
    assert saved.version == 1
    assert [e.type for e in other.events("vg-1")] == ["created", "submitting"]


@pytest.mark.promise("K5")
def test_events_are_in_the_order_of_writing_whatever_the_clock_said(ledger: Ledger) -> None:
    job = created(ledger)
    for number, minutes in enumerate((5, -60, 0, 600)):
        told = msgspec.structs.replace(event(job, f"n{number}"), at=NOW + timedelta(minutes=minutes))
        job = ledger.save(transitions.request_cancel(job, NOW), told)
    events = ledger.events("vg-1")
    assert [e.type for e in events] == ["created", "n0", "n1", "n2", "n3"]
    numbers = [e.seq for e in events]
    assert numbers == sorted(set(numbers))
    assert [e.type for e in ledger.events("vg-1", after=numbers[2])] == ["n2", "n3"]


@pytest.mark.promise("S6")
def test_the_second_of_two_writers_is_told(ledger: Ledger) -> None:
    created(ledger)
    one, two = ledger.get("vg-1"), ledger.get("vg-1")
    ledger.save(begun(one))
    with pytest.raises(ConflictError):
        ledger.save(begun(two, NOW + timedelta(seconds=1)))
    assert len(ledger.get("vg-1").attempts) == 1


def test_the_same_write_twice_is_one(ledger: Ledger) -> None:
    """A transaction whose end was not heard of is run again."""
    job = created(ledger)
    assert ledger.create(job, event(job)) == job
    new = begun(job)
    first, _ = ledger.begin(new, event(new, "submitting"), fence=None)
    again, warnings = ledger.begin(new, event(new, "submitting"), fence=None)
    assert (again, warnings) == (first, ())
    taken = accept(first, "pj")
    assert ledger.save(taken, event(taken, "accepted")) == ledger.save(taken, event(taken, "accepted"))
    assert [e.type for e in ledger.events("vg-1")] == ["created", "submitting", "accepted"]
    assert ledger.check() == []


def test_jobs_are_found_by_status_tags_and_what_is_left_to_do(ledger: Ledger) -> None:
    for number in range(1, 6):
        created(ledger, number, tags={"team": "ads" if number % 2 else "art", "n": str(number)})
    ledger.save(begun(ledger.get("vg-3")))
    ledger.save(transitions.cancel(ledger.get("vg-5"), NOW, cost=Decimal(0), origin="computed"))
    assert [job.id for job in ledger.jobs()] == ["vg-5", "vg-4", "vg-3", "vg-2", "vg-1"]
    assert [job.id for job in ledger.jobs(status="submitting")] == ["vg-3"]
    assert [job.id for job in ledger.jobs(tags={"team": "art"})] == ["vg-4", "vg-2"]
    assert [job.id for job in ledger.jobs(tags={"team": "ads", "n": "1"})] == ["vg-1"]
    assert len(ledger.jobs(unfinished=True)) == 4
    assert len(ledger.jobs(limit=2)) == 2
    with pytest.raises(RequestError, match="vg-9"):
        ledger.get("vg-9")
    with pytest.raises(RequestError, match="vg-9"):
        ledger.save(record(9))


# --- one job for a key


@pytest.mark.promise("S8")
def test_an_idempotency_key_is_one_job(ledger: Ledger) -> None:
    first = created(ledger, 1, idempotency_key="k")
    twin = record(2, idempotency_key="k", request=first.request)
    assert ledger.create(twin, event(twin)).id == first.id
    with pytest.raises(RequestError, match="different request"):
        created(ledger, 3, idempotency_key="k")
    assert ledger.find("k", first.request) == first
    assert ledger.find("other", first.request) is None
    with pytest.raises(RequestError, match="different request"):
        ledger.find("k", VideoRequest.make("another boat"))
    assert len(ledger.jobs()) == 1


@pytest.mark.promise("S8")
@pytest.mark.parametrize("same", [True, False])
def test_a_race_for_a_key_has_one_winner(store: Store, same: bool) -> None:
    store.open()
    answers: list[str | None] = []

    def race(number: int) -> None:
        ledger = store.open()
        request = VideoRequest.make("boat" if same else f"boat {number}")
        job = record(number, idempotency_key="k", request=request)
        barrier.wait()
        try:
            answers.append(ledger.create(job, event(job)).id)
        except RequestError:
            answers.append(None)

    barrier = threading.Barrier(8)
    together(race, 8)
    (job,) = store.open().jobs()
    assert answers.count(job.id) == (8 if same else 1)
    assert answers.count(None) == (0 if same else 7)
    assert [e.type for e in store.open().events(job.id)] == ["created"]


def together(work: Callable[[int], None], number: int) -> None:
    """Run ``work`` in threads; the first error is raised."""
    errors: list[BaseException] = []

    def run(place: int) -> None:
        try:
            work(place)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("text", ["half \ud800", "nothing \0"])
def test_text_that_not_every_store_takes_is_refused(ledger: Ledger, text: str) -> None:
    for facts in ({"idempotency_key": text}, {"tags": {"a": text}}, {"tags": {text: "a"}}):
        with pytest.raises(RequestError, match="cannot be stored"):
            created(ledger, **facts)
    with pytest.raises(RequestError, match="cannot be stored"):
        ledger.find(text, record().request)
    broken = transitions.fail(created(ledger), NOW, LedgerError(text))
    assert ledger.save(broken).status is JobStatus.FAILED, "what a vendor says can be stored whatever it is"
    assert ledger.get("vg-1").error is not None


# --- no id is dropped, and none is two attempts'


@pytest.mark.promise("S3")
def test_a_job_of_the_vendor_is_one_attempt_s(ledger: Ledger) -> None:
    accepted(ledger, 1)
    other = sent(ledger, 2)
    with pytest.raises(ClaimedError):
        ledger.save(accept(other, "pj-1"))
    assert ledger.get("vg-2") == other
    elsewhere = sent(ledger, 3, account="another")
    assert ledger.save(accept(elsewhere, "pj-1")).provider_job_id == "pj-1"
    assert ledger.check() == []


@pytest.mark.promise("S3")
def test_one_of_two_attempts_gets_the_vendor_s_job(store: Store) -> None:
    for number in range(6):
        sent(store.open(), number)
    outcomes: list[bool] = []

    def claim(number: int) -> None:
        ledger = store.open()
        job = ledger.get(f"vg-{number}")
        barrier.wait()
        try:
            ledger.save(accept(job, "pj"))
        except ClaimedError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    barrier = threading.Barrier(6)
    together(claim, 6)
    assert sorted(outcomes) == [False] * 5 + [True]
    assert store.open().check() == []


@pytest.mark.promise("S3")
def test_a_second_id_is_an_orphan_that_nobody_else_can_have(ledger: Ledger) -> None:
    job = accepted(ledger, 1)
    job = ledger.save(transitions.accept_late(job, NOW, client_ref="ref-vg-1-1", provider_job_id="pj-late"))
    assert job.attempt.orphans == ("pj-late",)
    assert ledger.by_provider_job("acme", "me", "pj-late") == job
    with pytest.raises(ClaimedError):
        ledger.save(accept(sent(ledger, 2), "pj-late"))
    with pytest.raises(transitions.IllegalTransition):
        transitions.accept_late(job, NOW, client_ref="ref-vg-1-1", provider_job_id="pj-late")


@pytest.mark.promise("S3")
def test_a_late_id_is_kept_even_when_it_is_another_job_s(ledger: Ledger) -> None:
    owner, other = accepted(ledger, 1), accepted(ledger, 2)
    kept = ledger.save(transitions.accept_late(other, NOW, client_ref="ref-vg-2-1", provider_job_id="pj-1"))
    assert kept.attempt.orphans == ("pj-1",)
    assert ledger.by_provider_job("acme", "me", "pj-1") == owner


@pytest.mark.promise("S3")
@pytest.mark.parametrize("stage", ["submitting", "queued", "running", "unknown", "succeeded", "failed"])
def test_a_late_id_is_kept_at_every_stage(ledger: Ledger, stage: str) -> None:
    job = STAGES[stage](ledger)
    late = transitions.accept_late(job, NOW, client_ref=job.attempt.client_ref, provider_job_id="pj-late")
    assert ledger.save(late).attempt.orphans == ("pj-late",)
    assert ledger.check() == []


def test_jobs_are_found_by_what_others_call_them(ledger: Ledger) -> None:
    job = accepted(ledger, 1)
    assert ledger.by_ref("ref-vg-1-1") == ledger.by_provider_job("acme", "me", "pj-1") == job
    assert ledger.by_ref("ref-vg-9-1") is ledger.by_provider_job("acme", "you", "pj-1") is None


@pytest.mark.promise("W2")
def test_a_delivery_is_taken_in_once(store: Store) -> None:
    assert not store.open().seen("acme:1")
    assert store.open().seen("acme:1")
    assert not store.open().seen("acme:2")
    store.open().unsee("acme:1")
    assert not store.open().seen("acme:1")


# --- the same clip is made once


@pytest.mark.promise("C4")
def test_one_job_at_a_time_makes_a_clip_for_the_cache(ledger: Ledger) -> None:
    first, second = created(ledger, 1), created(ledger, 2)
    job, _ = ledger.begin(begun(first), fence=None, flight="key")
    with pytest.raises(FlightTakenError):
        ledger.begin(begun(second), fence=None, flight="key")
    assert ledger.get("vg-2") == second
    lost = ledger.save(transitions.lose(job, NOW, LOST))
    second, _ = ledger.begin(begun(second), fence=None, flight="key")
    ledger.save(transitions.reject(second, NOW, FAILED))
    third = ledger.begin(begun(created(ledger, 3)), fence=None, flight="key")[0]
    done = ledger.save(transitions.store(_succeeded(ledger, third), NOW, Artifact.STORED))
    assert done.done
    assert lost.status is JobStatus.UNKNOWN
    assert ledger.begin(begun(created(ledger, 4)), fence=None, flight="key")[0].version == 1


def _succeeded(ledger: Ledger, job: JobRecord) -> JobRecord:
    return transitions.succeed(ledger.save(accept(job, "pj")), NOW, cost=Decimal("0.1"), origin="computed")


@pytest.mark.promise("C4")
def test_a_race_to_make_a_clip_has_one_winner(store: Store) -> None:
    for number in range(6):
        created(store.open(), number)
    outcomes: list[bool] = []

    def fly(number: int) -> None:
        ledger = store.open()
        new = begun(ledger.get(f"vg-{number}"))
        barrier.wait()
        try:
            ledger.begin(new, fence=None, flight="key")
        except FlightTakenError:
            outcomes.append(False)
        else:
            outcomes.append(True)

    barrier = threading.Barrier(6)
    together(fly, 6)
    assert sorted(outcomes) == [False] * 5 + [True]


# --- what the past says


def test_what_the_past_says(ledger: Ledger) -> None:
    for number, seconds in enumerate([10.0, 30.0, 20.0], start=1):
        start = NOW - timedelta(minutes=5)
        job = ledger.begin(begun(created(ledger, number), start), fence=None)[0]
        job = ledger.save(accept(job, str(number)))
        end = start + timedelta(seconds=seconds)
        ledger.save(transitions.succeed(job, end, cost=Decimal("0.1"), origin="computed"))
    seen = ledger.observations(NOW)
    assert seen.latency == {"acme/paper": 20.0}
    assert seen.failure_rate == {"acme/paper": 0.0}
    assert [outcome.provider_failed for outcome in seen.outcomes["acme"]] == [False] * 3
    assert ledger.observations(NOW + timedelta(days=30)).latency == {}


def test_an_address_that_no_store_serves_is_refused() -> None:
    with pytest.raises(LedgerError, match="redis"):
        open_ledger("redis://localhost")


def test_many_threads_and_connections_write_at_once(store: Store) -> None:
    store.open()

    def work(worker: int) -> None:
        mine = store.open()
        for n in range(10):
            finished(mine, f"{worker}-{n}")

    together(work, 6)
    assert len(store.open().jobs(status="succeeded", limit=None)) == 60
    assert store.open().check() == []


@given(message=st.text(st.characters(codec=None, categories=None), max_size=40), progress=st.floats(0, 1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_vendor_says_can_be_stored(message: str, progress: float) -> None:
    ledger = open_ledger("memory")
    job = created(ledger)
    told = msgspec.structs.replace(event(job, "said"), message=message, progress=progress, data={"raw": message})
    ledger.save(transitions.fail(job, NOW, LedgerError(message)), told)
    (_, found) = ledger.events("vg-1")
    assert found.progress == progress
    assert found.message.encode("utf-8", "replace") == message.encode("utf-8", "replace")
    assert ledger.check() == []
