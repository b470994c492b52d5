"""One job from created to done, against a vendor that counts: nothing lost, nothing paid twice."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from vendor import Acme, AcmeSession, clip, offer
from videogen_core import (
    AsyncClient,
    AsyncJob,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ContentPolicyError,
    Context,
    Defaults,
    DownloadError,
    Event,
    GenerationFailedError,
    IntegrityError,
    JobStatus,
    JobTimeoutError,
    Mode,
    Output,
    ProviderJob,
    ProviderProtocolError,
    ProviderUnavailableError,
    RequestError,
    ResultExpiredError,
    Session,
    Snapshot,
    SubmissionUnknownError,
    SubmitCall,
    Task,
    VideogenError,
    VideoRequest,
)
from videogen_core.engine import fetching
from videogen_core.ledger.sqlite import SqliteLedger
from videogen_core.spec import ModelSpec

pytestmark = pytest.mark.anyio


def script(**what: Any) -> dict[str, Any]:
    return {"acme": {"script": what}}


@pytest.fixture
def acme(tmp_path: Path) -> Acme:
    return Acme(tmp_path / "vendor")


def client(tmp_path: Path, *plugins: Acme, **overrides: Any) -> AsyncClient:
    return AsyncClient(home=tmp_path / "home", plugins=plugins, **overrides)


async def only_job(videogen: AsyncClient) -> AsyncJob:
    (job,) = await videogen.jobs()
    return job


async def test_a_clip_is_made_verified_and_settled(tmp_path: Path, acme: Acme) -> None:
    seen: list[Event] = []
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate(
            "boat", model="paper", output=tmp_path / "boat.mp4", on_event=seen.append, options=script(polls=3)
        )
        job = await only_job(videogen)
    assert result.path == tmp_path / "boat.mp4"
    assert result.path.read_bytes()[4:8] == b"ftyp"
    assert (result.provider, result.model, result.cost) == ("acme", "paper", Decimal("0.10"))
    assert (job.status, job.money, job.artifact) == ("succeeded", "settled", "stored")
    kinds = [event.type for event in seen]
    assert kinds[:3] == ["created", "submitting", "accepted"]
    assert kinds[-3:] == ["settled", "downloading", "stored"]
    assert len(acme.creates) == 1


async def test_advice_is_told_before_anything_is_sent_and_stops_nothing(tmp_path: Path, acme: Acme) -> None:
    class Careful(Acme):
        def advice(self, spec: ModelSpec, request: VideoRequest) -> tuple[str, ...]:
            if request.prompt == "break":
                raise ValueError(request.prompt)
            return ("that is a long boat",) if "boat" in request.prompt else ()

    told: list[list[Event]] = [[], [], []]
    async with client(tmp_path, Careful(tmp_path / "vendor")) as videogen:
        for events, prompt in zip(told, ("boat", "kite", "break"), strict=True):
            await videogen.generate(prompt, model="paper", output=tmp_path / f"{prompt}.mp4", on_event=events.append)
    kinds = [[event.type for event in events] for events in told]
    assert kinds[0][:3] == ["created", "warning", "submitting"]
    assert told[0][1].message == "that is a long boat"
    assert "warning" not in kinds[1] + kinds[2]


async def test_the_job_is_on_record_and_its_money_held_before_the_first_byte_leaves(tmp_path: Path) -> None:
    found: list[tuple[str, str, int]] = []

    def look(call: object) -> None:
        ledger = SqliteLedger(str(tmp_path / "home" / "ledger.db"))
        (job,) = ledger.jobs()
        found.append((job.status, job.money, len(job.attempts)))
        ledger.close()

    async with client(tmp_path, Acme(tmp_path / "vendor", before_submit=look)) as videogen:
        await videogen.generate("boat", model="paper")
    assert found == [("submitting", "held", 1)]


async def test_a_lost_reply_is_unknown_and_never_sent_again(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(SubmissionUnknownError, match="not sent again") as caught:
            await videogen.generate("boat", model="paper", options=script(submit=["lost"]))
        job = await videogen.job(caught.value.job_id or "")
        assert (job.status, job.money) == ("unknown", "held")
        (answer,) = await videogen.resume()
        assert isinstance(answer, SubmissionUnknownError)
        with pytest.raises(SubmissionUnknownError):
            await job.wait()
    assert acme.asked == 1


async def test_a_lost_reply_is_found_again_where_the_vendor_can_be_asked(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor", reconcile="by_ref")
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate("boat", model="paper", options=script(submit=["lost"]))
        types = [event.type for event in await videogen.events(result.job_id)]
    assert types[:4] == ["created", "submitting", "unknown", "accepted"]
    assert result.path is not None
    assert result.path.exists()
    assert acme.asked == len(acme.creates) == 1


async def test_a_lost_reply_does_not_fall_back_to_a_second_bill(tmp_path: Path, acme: Acme) -> None:
    other = Acme(tmp_path / "vendor", name="zenith")
    async with client(tmp_path, acme, other) as videogen:
        with pytest.raises(SubmissionUnknownError):
            await videogen.generate("boat", model="paper", options=script(submit=["lost"]))
    assert other.asked == 0


async def test_what_was_plainly_refused_is_asked_again(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        plan = script(submit=["RateLimitError", "ProviderUnavailableError", "ok"], retry_after=0.05)
        result = await videogen.generate("boat", model="paper", options=plan)
    assert [a.status for a in result.attempts] == ["failed", "failed", "succeeded"]
    assert [a.cost for a in result.attempts] == [0, 0, Decimal("0.10")]
    assert (acme.asked, len(acme.creates)) == (3, 1)


@pytest.mark.parametrize("kind", [ConfigurationError, RequestError])
async def test_what_a_plugin_refuses_by_itself_was_not_sent(
    tmp_path: Path, acme: Acme, kind: type[VideogenError]
) -> None:
    def refuse(call: SubmitCall) -> None:
        raise kind("This cannot be put to acme.")

    acme.before_submit = refuse
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(kind, match="cannot be put"):
            await videogen.generate("boat", model="paper")
        (job,) = await videogen.jobs()
    assert (job.status, job.cost, acme.creates) == ("failed", 0, [])


async def test_the_next_offer_is_tried_when_one_is_down(tmp_path: Path, acme: Acme) -> None:
    other = Acme(tmp_path / "vendor", name="zenith")
    async with client(tmp_path, acme, other, patience=0.01) as videogen:
        result = await videogen.generate("boat", model="paper", options=script(submit=["ProviderUnavailableError"]))
    assert result.provider == "zenith"
    assert [(a.offer, a.cost) for a in result.attempts] == [("acme/paper", 0), ("zenith/paper", Decimal("0.10"))]


async def test_a_failure_after_acceptance_falls_back_and_counts_what_it_cost(tmp_path: Path, acme: Acme) -> None:
    other = Acme(tmp_path / "vendor", name="zenith")
    plan = script(end="failed", error="ProviderUnavailableError", cost="0.03")
    async with client(tmp_path, acme, other) as videogen:
        result = await videogen.generate("boat", model="paper", options=plan)
        assert result.cost == Decimal("0.13")
        # the same again, but now both tries together may not cost 13 cents
        with pytest.raises(BudgetExceededError, match=r"earlier attempts cost \$0\.03"):
            await videogen.generate("boat", model="paper", options=plan, max_cost="0.12")
    assert len(other.creates) == 1


@pytest.mark.parametrize("error", ["AuthenticationError", "RejectedRequestError", "ContentPolicyError"])
async def test_what_no_other_provider_could_cure_does_not_fall_back(tmp_path: Path, acme: Acme, error: str) -> None:
    other = Acme(tmp_path / "vendor", name="zenith")
    async with client(tmp_path, acme, other) as videogen:
        with pytest.raises(VideogenError) as caught:
            await videogen.generate("boat", model="paper", options=script(submit=[error]))
        job = await only_job(videogen)
    assert type(caught.value).__name__ == error
    assert (job.status, job.money, other.asked) == ("failed", "released", 0)


async def test_a_content_block_falls_back_only_when_asked(tmp_path: Path, acme: Acme) -> None:
    other = Acme(tmp_path / "vendor", name="zenith")
    plan = script(end="failed", error="ContentPolicyError", charged=False)
    async with client(tmp_path, acme, other) as videogen:
        with pytest.raises(ContentPolicyError):
            await videogen.generate("boat", model="paper", options=plan)
        result = await videogen.generate("boat", model="paper", options=plan, fallback_on_policy=True)
    assert result.provider == "zenith"


async def test_trouble_while_polling_loses_nothing(tmp_path: Path, acme: Acme) -> None:
    plan = script(poll=["ProviderUnavailableError", "garbage", "RateLimitError"], retry_after=0.01, polls=2)
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate("boat", model="paper", options=plan)
    assert result.path is not None
    assert len(acme.creates) == 1


async def test_a_key_refused_while_polling_leaves_a_resumable_job(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(AuthenticationError):
            await videogen.generate("boat", model="paper", options=script(poll=["AuthenticationError"]))
        job = await only_job(videogen)
        assert (job.status, job.money) == ("queued", "held")
        assert (await job.wait()).path is not None
    assert len(acme.creates) == 1


async def test_replies_that_stay_unreadable_end_the_wait_but_not_the_job(
    tmp_path: Path, acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("videogen_core.engine.watching._LONGEST_PAUSE", 0.01)
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(ProviderProtocolError):
            await videogen.generate("boat", model="paper", options=script(poll=["garbage"] * 10))
        assert (await (await only_job(videogen)).wait()).path is not None


async def test_a_timeout_ends_the_wait_and_not_the_job(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(JobTimeoutError, match="resume") as caught:
            await videogen.generate("boat", model="paper", options=script(polls=40, every=0.05), timeout=0.3)
        result = await (await videogen.job(caught.value.job_id or "")).wait(timeout=20)
    assert result.path is not None
    assert len(acme.creates) == 1


async def test_cancelling_the_caller_never_loses_the_handle(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor")
    async with client(tmp_path, acme) as videogen:
        for delay in [0.0, 0.02, 0.05, 0.08, 0.12, 0.2]:
            with anyio.move_on_after(delay):
                await videogen.generate("boat", model="paper", options=script(slow=0.03, polls=50, every=0.02))
        jobs = await videogen.jobs(limit=None)
        assert {job.status for job in jobs} <= {"created", "queued", "running"}
        accepted = {job.provider_job_id for job in jobs if job.provider_job_id}
        assert accepted == {row["id"] for row in acme.creates}


async def test_submit_returns_at_acceptance_and_another_client_finishes(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as first:
        job = await first.submit("boat", model="paper", options=script(polls=3))
        assert job.status == "queued"
        assert job.provider_job_id is not None
    async with client(tmp_path, acme) as second:
        (answer,) = await second.resume()
        assert not isinstance(answer, VideogenError)
        assert answer.job_id == job.id
        assert await second.resume() == []


async def test_two_clients_share_one_job_without_asking_twice(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as first, client(tmp_path, acme) as second:
        job = await first.submit("boat", model="paper", options=script(polls=20, every=0.05))
        twin = await second.job(job.id)
        results = []

        async def wait(handle: AsyncJob) -> None:
            results.append(await handle.wait())

        async with anyio.create_task_group() as group:
            group.start_soon(wait, job)
            group.start_soon(wait, twin)
    assert results[0].path == results[1].path
    assert acme.polls <= 23
    assert len(acme.creates) == 1


async def test_events_drive_the_job_to_its_end(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("boat", model="paper", options=script(polls=3))
        kinds = [event.type async for event in job.events()]
        assert kinds[-1] == "stored"
        assert "progress" in kinds
        stored = await videogen.events(job.id)
        assert [e.seq for e in stored] == sorted(e.seq for e in stored)
        assert [e.type for e in stored][:3] == ["created", "submitting", "accepted"]


async def test_a_listener_that_raises_leaves_a_resumable_job(tmp_path: Path, acme: Acme) -> None:
    def broken(event: Event) -> None:
        raise LookupError("the caller's own mistake")

    async with client(tmp_path, acme) as videogen:
        with pytest.raises(LookupError):
            await videogen.generate("boat", model="paper", on_event=broken)
        assert (await (await only_job(videogen)).wait()).path is not None
    assert len(acme.creates) == 1


async def test_one_idempotency_key_is_one_job(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        results = []

        async def make() -> None:
            results.append(await videogen.generate("boat", model="paper", idempotency_key="k1"))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(make)
        assert len({result.job_id for result in results}) == 1
        with pytest.raises(RequestError, match="different request"):
            await videogen.generate("another boat", model="paper", idempotency_key="k1")
    assert len(acme.creates) == 1


async def test_a_failed_download_settles_and_can_go_elsewhere(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(DownloadError):
            await videogen.generate("boat", model="paper", output=tmp_path / "a.mp4", options=script(data="cut"))
        job = await only_job(videogen)
        assert (job.status, job.money, job.artifact) == ("succeeded", "settled", "partial")
        assert not (tmp_path / "a.mp4").exists()
        path = acme.folder / f"{job.provider_job_id}.job"
        path.write_text(path.read_text().replace('"cut"', '"whole"'))
        assert (await job.wait(output=tmp_path / "b.mp4")).path == tmp_path / "b.mp4"
        assert job.artifact == "stored"
    assert len(acme.creates) == 1


async def test_a_fresh_address_is_asked_for_once_and_then_it_is_gone(
    tmp_path: Path, acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    from videogen_core import downloads

    real = downloads.save

    async def save(output: Any, *args: Any, **kwargs: Any) -> Any:
        if output.url is not None:
            raise ResultExpiredError("the address has expired")
        return await real(output, *args, **kwargs)

    monkeypatch.setattr(downloads, "save", save)
    async with client(tmp_path, acme) as videogen:
        assert (await videogen.generate("boat", model="paper", options=script(expired=1))).path is not None
        with pytest.raises(ResultExpiredError, match="paid for"):
            await videogen.generate("boat", model="paper", options=script(expired=9))
        job = (await videogen.jobs())[0]
        assert (job.status, job.artifact, job.cost) == ("succeeded", "expired", Decimal("0.10"))


async def test_a_clip_that_was_gone_at_the_first_look_is_paid_for_and_expired(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(ResultExpiredError, match="paid for"):
            await videogen.generate("boat", model="paper", count=2, options=script(end="gone"))
        job = await only_job(videogen)
        assert (job.status, job.money, job.artifact) == ("succeeded", "settled", "expired")
        assert job.cost == Decimal("0.20")
    assert len(acme.creates) == 1


async def test_fewer_clips_than_asked_are_kept_and_paid_for_as_such(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate(
            "boat", model="paper", count=4, output=tmp_path / "c.mp4", options=script(outputs=3)
        )
    assert [video.path and video.path.name for video in result.videos] == ["c-1.mp4", "c-2.mp4", "c-3.mp4"]
    assert result.cost == Decimal("0.30")


@pytest.mark.parametrize(
    ("what", "cost", "origin", "money"),
    [
        ({"end": "failed", "cost": "0.05"}, Decimal("0.05"), "provider", "settled"),
        ({"end": "failed", "charged": False}, Decimal(0), "computed", "released"),
        ({"end": "failed", "charged": True}, Decimal("0.10"), "computed", "settled"),
        ({"end": "failed"}, Decimal("0.10"), "assumed", "settled"),
        ({"end": "empty"}, Decimal("0.10"), "assumed", "settled"),
    ],
)
async def test_what_a_failure_cost_is_recorded_with_who_says_so(
    tmp_path: Path, acme: Acme, what: dict[str, Any], cost: Decimal, origin: str, money: str
) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(GenerationFailedError):
            await videogen.generate("boat", model="paper", options=script(**what))
        job = await only_job(videogen)
    assert (job.cost, job.record.attempt.cost_origin, job.money) == (cost, origin, money)


async def test_the_provider_s_own_figure_wins(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate("boat", model="paper", options=script(cost="0.07"))
    assert result.cost == Decimal("0.07")


@pytest.mark.parametrize(("how", "status", "cost"), [("gone", "cancelled", 0), ("yes", "cancelled", Decimal("0.10"))])
async def test_cancel(tmp_path: Path, acme: Acme, how: str, status: str, cost: Decimal) -> None:
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("boat", model="paper", options=script(polls=99, cancel=how))
        await job.cancel()
        assert (job.status, job.cost) == (status, cost)
        with pytest.raises(RequestError, match="ended already"):
            await job.cancel()


async def test_a_cancel_that_comes_too_late_says_so_and_the_job_goes_on(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("boat", model="paper", options=script(polls=2))
        with pytest.raises(RequestError, match="too late"):
            await job.cancel()
        assert (await job.wait()).path is not None


async def test_no_more_jobs_at_once_than_the_provider_takes(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor", concurrency=3)
    async with client(tmp_path, acme) as videogen, anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(lambda n=number: videogen.generate(f"boat {n}", model="paper", options=script(polls=3)))
    assert acme.most_running <= 3
    assert len(acme.creates) == 12


async def _twelve(videogen: AsyncClient, model: str = "acme/paper") -> None:
    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(lambda n=number: videogen.generate(f"boat {n}", model=model, options=script(polls=3)))


async def test_what_the_account_may_have_of_a_model_goes_before_what_the_plugin_says(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor", concurrency=3, offers=(offer("acme"), offer("acme", "card")))
    acme.allowed = {"paper": 5}
    async with client(tmp_path, acme) as videogen:
        await videogen.generate("a boat alone", model="acme/paper")
        assert acme.limits_asked == 0
        await _twelve(videogen)
        assert (acme.most_running, acme.limits_asked) == (5, 1)
        acme.most_running = 0
        await _twelve(videogen, "acme/card")
        assert (acme.most_running, acme.limits_asked) == (3, 2)
    assert len(acme.creates) == 25


async def test_what_the_user_says_goes_before_both(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor", concurrency=3)
    acme.allowed = {"paper": 5}
    async with client(tmp_path, acme, concurrency=4) as videogen:
        await _twelve(videogen)
    assert acme.most_running == 4
    (tmp_path / "other").mkdir()
    acme = Acme(tmp_path / "other" / "vendor")
    acme.allowed = {"paper": 2}
    async with client(tmp_path / "other", acme, concurrency=4) as videogen:
        await _twelve(videogen)
    assert acme.most_running == 2


@pytest.mark.parametrize("answer", [0, -1, True, "many", RuntimeError("no limits today")])
async def test_a_limit_that_is_none_is_no_reason_to_stop(tmp_path: Path, answer: object) -> None:
    acme = Acme(tmp_path / "vendor", concurrency=3)
    acme.allowed = {"paper": answer}
    async with client(tmp_path, acme) as videogen:
        await _twelve(videogen)
    assert acme.most_running == 3


async def test_a_provider_that_keeps_failing_rests(tmp_path: Path, acme: Acme) -> None:
    other = Acme(tmp_path / "vendor", name="zenith", offers=(offer("zenith", price="0.50"),))
    async with client(tmp_path, acme, other) as videogen:
        for _ in range(3):
            with pytest.raises(ProviderUnavailableError):
                await videogen.generate(
                    "b", model="acme/paper", options=script(end="failed", error="ProviderUnavailableError")
                )
    async with client(tmp_path, acme, other) as videogen:
        route = await videogen.route("boat", model="paper")
        assert route.chosen.offer == "zenith/paper"
        assert [(r.offer, r.reason) for r in route.rejected] == [("acme/paper", "resting")]


async def test_a_provider_whose_failures_say_nothing_of_the_next_model_never_rests(
    tmp_path: Path, acme: Acme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Acme, "rests", False)
    async with client(tmp_path, acme) as videogen:
        for _ in range(3):
            with pytest.raises(ProviderUnavailableError):
                await videogen.generate(
                    "b", model="acme/paper", options=script(end="failed", error="ProviderUnavailableError")
                )
    async with client(tmp_path, acme) as videogen:
        assert (await videogen.route("boat", model="paper")).chosen.offer == "acme/paper"


async def test_inputs_in_memory_are_kept_for_another_process(tmp_path: Path, acme: Acme) -> None:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (320, 180), "teal").save(buffer, "PNG")
    async with AsyncClient(home=tmp_path / "home") as videogen:
        job = await videogen.submit(
            "boat", model="sandbox", image=buffer.getvalue(), options={"sandbox": {"delay": 0.2}}
        )
        image = job.record.request.image
        assert image is not None
        assert image.data is None
        assert await anyio.Path(image.path or "").read_bytes() == buffer.getvalue()
        assert json.loads(json.dumps(job.to_dict()))["request"]["image"] == image.path
        assert (await job.wait()).path is not None


async def test_the_sandbox_is_the_last_link_of_a_chain_only_when_it_is_wanted(tmp_path: Path, acme: Acme) -> None:
    plan = script(submit=["ProviderUnavailableError"])
    async with client(tmp_path, acme, patience=0.01) as videogen:
        with pytest.raises(ProviderUnavailableError):
            await videogen.generate("boat", model="paper", resolution="240p", options=plan)
    async with client(tmp_path, acme, patience=0.01, sandbox=True) as videogen:
        result = await videogen.generate("boat", model="paper", resolution="240p", options=plan)
    assert (result.provider, result.placeholder) == ("sandbox", True)


async def test_a_result_can_be_read_after_its_plugin_is_gone(tmp_path: Path, acme: Acme) -> None:
    async with client(tmp_path, acme) as videogen:
        made = await videogen.generate("boat", model="paper")
    async with client(tmp_path) as videogen:
        again = await (await videogen.job(made.job_id)).wait()
    assert again == made


class Extending(Acme):
    """Acme, which goes on from a clip, and gives one of ``seconds``, whatever was asked for."""

    def __init__(self, folder: Path, seconds: float) -> None:
        modes = (Mode(tasks=(Task.EXTEND_VIDEO, Task.EDIT_VIDEO), durations=(4.0,)),)
        row = msgspec.structs.replace(offer("acme", "paper"), modes=modes, default=Defaults(duration=4.0))
        super().__init__(folder, offers=(row,))
        self.seconds = seconds

    def connect(self, context: Context) -> Session:
        return ExtendingSession(self)


class ExtendingSession(AcmeSession):
    vendor: Extending

    async def poll(self, job: ProviderJob) -> Snapshot:
        return Snapshot(status=JobStatus.SUCCEEDED, outputs=(Output(data=clip(self.vendor.seconds)),))


@pytest.mark.promise("D2")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("task", "seconds", "taken"),
    [
        ("extend_video", 4.0, True),  # the new part alone
        ("extend_video", 5.0, True),  # the end of the source in front of it
        ("extend_video", 6.0, True),  # all of the source
        ("extend_video", 2.0, False),
        ("extend_video", 8.0, False),
        ("edit_video", 4.0, True),
        ("edit_video", 6.0, False),
    ],
)
async def test_the_clip_of_an_extended_video_may_have_its_source_in_front(
    tmp_path: Path, task: str, seconds: float, taken: bool
) -> None:
    """A source of two seconds, and four that are asked for."""
    source = tmp_path / "source.mp4"
    source.write_bytes(clip(2.0))
    async with client(tmp_path, Extending(tmp_path / "vendor", seconds), probe_in_process=True) as videogen:
        asked = videogen.generate("and on", model="paper", task=task, video=source, output=tmp_path / "a.mp4")
        if taken:
            (video,) = (await asked).videos
            assert video.duration == seconds
        else:
            with pytest.raises(IntegrityError, match=f"lasts {seconds:g} s"):
                await asked


def test_an_extended_video_whose_source_nobody_measured_is_no_shorter_than_its_new_part() -> None:
    request = VideoRequest.make("and on", video="https://a.example/boat.mp4", task="extend_video", duration=4)
    assert fetching._expected_duration(request) == (4, math.inf)
    assert fetching._expected_duration(VideoRequest.make("a boat", duration=4)) == 4
    assert fetching._expected_duration(VideoRequest.make("and on", video="a.mp4", task="extend_video")) is None


class Foreseeing(Acme):
    """Says how long it will take."""

    def connect(self, context: Context) -> Session:
        inner = super().connect(context)
        ask = inner.poll

        async def poll(job: ProviderJob) -> Snapshot:
            snapshot = await ask(job)
            return replace(snapshot, progress=0.02, remaining=12.34) if snapshot.progress is not None else snapshot

        inner.poll = poll  # type: ignore[method-assign]
        return inner


async def test_the_time_left_and_every_bit_of_progress_is_told(tmp_path: Path) -> None:
    events: list[Event] = []
    async with AsyncClient(home=tmp_path / "home", plugins=[Foreseeing(tmp_path)]) as videogen:
        await videogen.generate("a boat", model="acme/paper", options=script(polls=3), on_event=events.append)
    told = [event for event in events if event.type == "progress"]
    assert {event.data.get("remaining") for event in told} == {12.3}
    assert {event.progress for event in told} == {0.02}
