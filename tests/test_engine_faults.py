"""What plugins, other drivers, the disk and the event loop do wrong: no job is lost, stuck, or paid for twice."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

from vendor import Acme, AcmeSession
from videogen_core import (
    AsyncClient,
    AsyncJob,
    Client,
    Event,
    GenerationFailedError,
    IntegrityError,
    JobCancelledError,
    LedgerError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RequestError,
    SubmissionUnknownError,
    VideogenError,
    transitions,
)
from videogen_core.engine import answers
from videogen_core.engine.record import Log
from videogen_core.ledger import Observations
from videogen_core.ledger.sqlite import SqliteLedger
from videogen_core.provider import Output, Snapshot, Submission
from videogen_core.states import JobRecord, JobStatus

pytestmark = pytest.mark.anyio


def script(**what: Any) -> dict[str, Any]:
    return {"acme": {"script": what}}


class Altered(AcmeSession):
    """A session whose answers are changed on their way."""

    submission: Callable[[Submission], Any] = staticmethod(lambda answer: answer)
    snapshot: Callable[[Snapshot], Any] = staticmethod(lambda answer: answer)

    async def submit(self, call: Any) -> Submission:
        answer: Submission = self.submission(await super().submit(call))
        return answer

    async def poll(self, job: Any) -> Snapshot:
        answer: Snapshot = self.snapshot(await super().poll(job))
        return answer


def altered(tmp_path: Path, **changes: Any) -> Acme:
    acme = Acme(tmp_path / "vendor")
    session = Altered(acme)
    for name, change in changes.items():
        setattr(session, name, change)
    acme.connect = lambda context: session  # type: ignore[method-assign]
    return acme


def client(tmp_path: Path, *plugins: Acme, **overrides: Any) -> AsyncClient:
    return AsyncClient(home=tmp_path / "home", plugins=plugins, **overrides)


async def only_job(videogen: AsyncClient) -> AsyncJob:
    (job,) = await videogen.jobs()
    return job


def rewrite(acme: Acme, job_id: str | None, **changes: Any) -> None:
    path = acme.folder / f"{job_id}.job"
    row = json.loads(path.read_text())
    row["script"] |= changes
    path.write_text(json.dumps(row))


async def asked(acme: Acme, times: int = 1) -> None:
    while acme.asked < times:  # noqa: ASYNC110 - the vendor is a folder, which signals nothing
        await anyio.sleep(0.01)


# --- the loop


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("delay", [0.1, 0.2, 0.3])
async def test_asyncio_s_own_cancellation_never_loses_the_handle(tmp_path: Path, delay: float) -> None:
    acme = Acme(tmp_path / "vendor")
    async with client(tmp_path, acme) as videogen:
        await videogen.models()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(delay):
                await videogen.generate("boat", model="paper", options=script(slow=0.15, polls=500))
        jobs = await videogen.jobs()
        assert [row["id"] for row in acme.creates] == [job.provider_job_id for job in jobs][: len(acme.creates)]
        assert {job.status for job in jobs} <= {"created", "queued", "running"}  # none, where the machine was too busy


def test_a_loop_that_ends_finishes_what_was_sent(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor")

    async def leave_amid_it() -> None:
        videogen = client(tmp_path, acme)
        for number in range(3):
            work = videogen.generate(f"boat {number}", model="paper", options=script(slow=0.2, polls=500))
            tasks.append(asyncio.create_task(work))
        await asked(acme, 3)

    tasks: list[asyncio.Task[Any]] = []
    asyncio.run(leave_amid_it())
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        assert {job.provider_job_id for job in videogen.jobs()} == {row["id"] for row in acme.creates}
    assert len(acme.creates) == 3


async def test_a_client_that_is_closed_amid_a_create_finishes_it_first(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor")
    videogen = client(tmp_path, acme)

    async def make() -> None:
        with pytest.raises(VideogenError, match="closed"):
            await videogen.generate("boat", model="paper", options=script(slow=0.2, polls=500))

    async with anyio.create_task_group() as group:
        group.start_soon(make)
        await asked(acme)
        await videogen.close()
    async with client(tmp_path, acme) as again:
        job = await only_job(again)
    assert [row["id"] for row in acme.creates] == [job.provider_job_id]


async def test_a_ledger_that_is_busy_does_not_hold_the_loop_up(tmp_path: Path) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        job = await videogen.submit("boat", model="paper")
        engine = await videogen._ready()
        slow = engine.planner.observations

        def busy() -> Observations:
            time.sleep(0.5)
            return slow()

        engine.planner.observations = busy  # type: ignore[method-assign]
        longest = 0.0

        async def watch() -> None:
            nonlocal longest
            while True:
                before = time.monotonic()
                await anyio.sleep(0.01)
                longest = max(longest, time.monotonic() - before)

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await job.wait()
            group.cancel_scope.cancel()
    assert longest < 0.4


def test_threads_that_come_at_once_get_one_async_client(tmp_path: Path) -> None:
    for _ in range(40):
        videogen, barrier = Client(home=tmp_path / "home"), threading.Barrier(6)
        found: list[AsyncClient] = []

        def look(videogen: Client = videogen, barrier: threading.Barrier = barrier, to: Any = found) -> None:
            barrier.wait()
            to.append(videogen._async())

        threads = [threading.Thread(target=look) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, found))) == 1


# --- the disk


def failing(monkeypatch: pytest.MonkeyPatch, status: str, times: int) -> None:
    real, left = SqliteLedger.save, [times]

    def save(self: SqliteLedger, job: JobRecord, *events: Event, fence: int | None = None) -> JobRecord:
        if job.status == status and left[0]:
            left[0] -= 1
            raise LedgerError("the disk is full")
        return real(self, job, *events, fence=fence)

    monkeypatch.setattr(SqliteLedger, "save", save)
    monkeypatch.setattr("videogen_core.engine.submission._SAVE_AGAIN", (0.01, 0.01))


async def test_an_acceptance_that_cannot_be_written_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = Acme(tmp_path / "vendor")
    failing(monkeypatch, "queued", 2)
    async with client(tmp_path, acme) as videogen:
        assert (await videogen.generate("boat", model="paper")).path is not None
    assert acme.asked == 1


async def test_an_acceptance_that_stays_unwritten_is_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = Acme(tmp_path / "vendor")
    failing(monkeypatch, "queued", 3)
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(LedgerError, match="paid for") as caught:
            await videogen.generate("boat", model="paper")
        (row,) = acme.creates
        assert row["id"] in caught.value.message
        job = await only_job(videogen)
        assert caught.value.job_id == job.id
        assert job.status == "submitting"
        assert (await job.wait()).path is not None
    assert acme.asked == 1


# --- other drivers


async def test_a_cancel_that_was_decided_on_old_news_is_decided_anew(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor")
    async with client(tmp_path, acme) as videogen:
        engine = await videogen._ready()
        created = await videogen._create(engine, "boat", {"model": "paper", "options": script(polls=3)}, "submit")
        await engine.drive(created, until_accepted=True)
        with pytest.raises(RequestError, match="too late"):
            await engine.cancel(created)
        job = await only_job(videogen)
        assert (job.status, job.money, job.cost) == ("queued", "held", None)
        assert (await job.wait()).path is not None


async def test_a_job_cancelled_before_it_is_sent_is_not_sent(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor")
    plan = script(submit=["RateLimitError", "ok"], retry_after=0.5)
    async with client(tmp_path, acme) as videogen:

        async def make() -> None:
            with pytest.raises(JobCancelledError):
                await videogen.generate("boat", model="paper", options=plan)

        async with anyio.create_task_group() as group:
            group.start_soon(make)
            await asked(acme)
            await anyio.sleep(0.1)
            assert (await (await only_job(videogen)).cancel()).status == "cancelled"
    assert acme.asked == 1


async def test_a_driver_that_was_overtaken_follows_along(tmp_path: Path) -> None:
    """It waited for the provider while another process took the job over and on to the next offer."""
    acme, zenith = Acme(tmp_path / "vendor"), Acme(tmp_path / "vendor", name="zenith")
    plan = script(submit=["ContentPolicyError"])
    async with client(tmp_path, acme, zenith) as videogen:
        engine = await videogen._ready()
        arguments = {"model": "paper", "options": plan, "fallback_on_policy": True}
        created = await videogen._create(engine, "boat", arguments, "submit")
        ahead = await engine.drive(created, until_accepted=True)
        assert ahead.offer == "zenith/paper"
        real = engine._take

        async def take(job: JobRecord, log: Any, *, until_accepted: bool) -> JobRecord:
            await real(job, log, until_accepted=until_accepted)
            engine._take = real  # type: ignore[method-assign]
            return created  # what it remembers

        engine._take = take  # type: ignore[method-assign]
        done = await engine.drive(created)
    assert [attempt.offer for attempt in done.attempts] == ["acme/paper", "zenith/paper"]
    assert (acme.asked, zenith.asked) == (1, 1)


async def test_a_late_acceptance_never_lands_on_another_try(tmp_path: Path) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        with pytest.raises(SubmissionUnknownError):
            await videogen.generate("boat", model="paper", options=script(submit=["lost"]))
        job = (await only_job(videogen)).record
    with pytest.raises(transitions.IllegalTransition):
        transitions.accept(job, job.updated_at, provider_job_id="x", handle={}, client_ref="of another try")


async def test_what_is_to_be_cancelled_is_not_sent_elsewhere(tmp_path: Path) -> None:
    acme, zenith = Acme(tmp_path / "vendor"), Acme(tmp_path / "vendor", name="zenith")
    async with client(tmp_path, acme, zenith) as videogen:
        engine = await videogen._ready()
        job = await videogen.submit("boat", model="paper", options=script(polls=99))
        await Log(engine.recorder).write(job.record, transitions.request_cancel, "cancel_requested", "")
        rewrite(acme, job.provider_job_id, polls=0, end="failed", error="ProviderUnavailableError")
        with pytest.raises(ProviderUnavailableError):
            await job.wait()
    assert zenith.asked == 0


async def test_a_submit_of_a_job_that_is_driven_elsewhere_returns_at_acceptance(tmp_path: Path) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen, anyio.create_task_group() as group:
        plan = script(polls=500, every=0.02)

        async def make() -> None:
            await videogen.generate("boat", model="paper", idempotency_key="k", options=plan)

        group.start_soon(make)
        await anyio.sleep(0.3)
        with anyio.fail_after(3):
            assert (await videogen.submit("boat", model="paper", idempotency_key="k", options=plan)).status == "running"
        group.cancel_scope.cancel()


async def test_a_second_wait_for_a_finished_job_finds_no_one_at_work(tmp_path: Path) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        await videogen.generate("boat", model="paper")
        job = await only_job(videogen)
        seen: list[Event] = []
        for _ in range(3):
            await job.wait(on_event=seen.append)
    assert seen == []


async def test_an_idempotency_key_counts_before_the_file_that_it_made(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor")
    async with client(tmp_path, acme) as videogen:
        made = [
            await videogen.generate("boat", model="paper", idempotency_key="k", output=tmp_path / "a.mp4")
            for _ in range(2)
        ]
    assert made[0] == made[1]
    assert acme.asked == 1


# --- plugins


@pytest.mark.parametrize(
    "change", [{"handle": None}, {"handle": [1]}, {"request_id": 5}, {"poll_after": float("inf")}, {"poll_after": -1}]
)
async def test_an_id_is_kept_whatever_else_is_wrong_with_the_answer(tmp_path: Path, change: dict[str, Any]) -> None:
    acme = altered(tmp_path, submission=lambda answer: dataclasses.replace(answer, **change))
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("boat", model="paper")
        assert (await only_job(videogen)).provider_job_id == job.provider_job_id
        if change != {"poll_after": float("inf")}:
            assert (await job.wait(timeout=20)).path is not None


@pytest.mark.parametrize(
    "change",
    [
        {"cost": Decimal("NaN")},
        {"cost": Decimal(-1)},
        {"cost": "a lot"},
        {"cost": 0.1},
        {"progress": "50%"},
        {"message": None},
        {"message": "half a character: \ud83d"},
        {"poll_after": float("nan")},
    ],
)
async def test_news_that_are_half_wrong_do_not_stop_a_job(tmp_path: Path, change: dict[str, Any]) -> None:
    acme = altered(tmp_path, snapshot=lambda answer: dataclasses.replace(answer, **change))
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate("boat", model="paper")
        assert len(await videogen.events(result.job_id)) >= 5
    assert result.cost == Decimal("0.10")


@pytest.mark.promise("G2", "T10")
async def test_a_failure_is_recorded_whatever_the_plugin_calls_it(tmp_path: Path) -> None:
    odd = GenerationFailedError("half a character: \ud83d", code=object())  # type: ignore[arg-type]
    for number, error in enumerate([odd, ValueError("no provider error")]):
        home = tmp_path / str(number)
        acme = altered(home, snapshot=lambda s, e=error: dataclasses.replace(s, status=JobStatus.FAILED, error=e))
        async with client(home, acme) as videogen:
            with pytest.raises(GenerationFailedError):
                await videogen.generate("boat", model="paper")
            assert (await only_job(videogen)).status == "failed"


@pytest.mark.promise("G2", "T10")
def test_answers_that_are_none_are_refused() -> None:
    for answer in (None, {"status": "queued"}, Snapshot(status="cooking")):  # type: ignore[arg-type]
        with pytest.raises((TypeError, ValueError)):
            answers.snapshot(answer)
    with pytest.raises(TypeError):
        answers.snapshot(Snapshot(status=JobStatus.SUCCEEDED, outputs=("https://a",)))  # type: ignore[arg-type]
    assert answers.pause(10.0**9) == 900


@pytest.mark.promise("G2", "T10")
async def test_a_plugin_that_cannot_look_or_cancel_stops_nobody_else(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor", reconcile="by_ref")

    class Broken(AcmeSession):
        async def find(self, call: Any, started_at: Any) -> Any:
            raise KeyError("jobs")

        async def cancel(self, job: Any) -> Any:
            raise KeyError("state")

    acme.connect = lambda context: Broken(acme)  # type: ignore[method-assign]
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(SubmissionUnknownError):
            await videogen.generate("boat", model="paper", options=script(submit=["lost"]))
        job = await videogen.submit("boat", model="paper", options=script(polls=5))
        with pytest.raises(ProviderProtocolError, match="could not read"):
            await job.cancel()
        first, second = await videogen.resume()
    assert isinstance(first, SubmissionUnknownError)
    assert not isinstance(second, VideogenError)


async def test_no_key_in_a_plugin_s_error_reaches_ledger_or_message(tmp_path: Path) -> None:
    def leak(answer: Submission) -> Submission:
        raise ConnectionError("GET https://api.example/v1?key=CANARY-4711 failed")

    async with client(tmp_path, altered(tmp_path, submission=leak)) as videogen:
        with pytest.raises(SubmissionUnknownError) as caught:
            await videogen.generate("boat", model="paper")
        assert "CANARY" not in str(caught.value)
    for path in (tmp_path / "home").glob("ledger*"):
        assert b"CANARY" not in path.read_bytes()
    assert "CANARY" not in repr(Output(url="https://a/b?sig=CANARY", headers={"x-api-key": "CANARY"}))


# --- outputs


async def test_fewer_clips_on_a_second_look_end_the_job(tmp_path: Path) -> None:
    looks = []

    def fewer(answer: Snapshot) -> Snapshot:
        if answer.outputs:
            looks.append(1)
            last = (Output(data=b"no clip"),) if len(looks) == 1 else ()
            return dataclasses.replace(answer, outputs=(*answer.outputs[:2], *last))
        return answer

    async with client(tmp_path, altered(tmp_path, snapshot=fewer)) as videogen:
        with pytest.raises(VideogenError):
            await videogen.generate("boat", model="paper", count=3)
        job = await only_job(videogen)
        with anyio.fail_after(10):
            assert len((await job.wait()).videos) == 2
    assert job.artifact == "stored"


async def test_more_clips_than_asked_for_get_names_of_their_own(tmp_path: Path) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        result = await videogen.generate("b", model="paper", output=tmp_path / "c.mp4", options=script(outputs=2))
    assert [video.path and video.path.name for video in result.videos] == ["c.mp4", "c-2.mp4"]


async def test_a_finished_job_that_claims_to_run_is_not_given_up(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor")
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(IntegrityError):
            await videogen.generate("boat", model="paper", options=script(data="cut"))
        job = await only_job(videogen)
        rewrite(acme, job.provider_job_id, polls=99, data="whole")
        with pytest.raises(VideogenError, match="not done"):
            await job.wait()
        assert job.artifact == "partial"
        rewrite(acme, job.provider_job_id, polls=1)
        assert (await job.wait()).path is not None


async def test_events_tell_of_a_download_that_failed(tmp_path: Path) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        job = await videogen.submit("boat", model="paper", options=script(data="cut"))
        with pytest.raises(IntegrityError):
            _ = [event async for event in job.events()]


def test_events_tell_the_sync_caller_too(tmp_path: Path) -> None:
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
        job = videogen.submit("boat", model="paper", options=script(data="cut"))
        with pytest.raises(IntegrityError):
            list(job.events())


# --- the ledger


def test_a_row_that_cannot_be_read_is_a_ledger_error(tmp_path: Path) -> None:
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
        videogen.submit("boat", model="paper")
        with sqlite3.connect(tmp_path / "home" / "ledger.db") as db:
            db.execute("UPDATE jobs SET doc = CAST(? AS BLOB)", ('{"status": "of the future"}',))
        db.close()
        with pytest.raises(LedgerError, match="cannot be read"):
            videogen.jobs()
