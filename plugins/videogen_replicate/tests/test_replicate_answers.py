"""What goes wrong on the way: refusals, limits, lost answers, polls, cancels, downloads, expired results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from videogen_core import (
    AsyncClient,
    AuthenticationError,
    ContentPolicyError,
    GenerationFailedError,
    InsufficientCreditsError,
    JobCancelledError,
    ModelRetiredError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    RejectedRequestError,
    RequestError,
    ResultExpiredError,
    SubmissionUnknownError,
)
from videogen_core.outcomes import Answer
from videogen_core.testing import Fault, Script, ServerThread, owner
from videogen_replicate.emulator import ReplicateEmulator
from videogen_replicate.failures import refused

pytestmark = pytest.mark.anyio
Clients = Callable[..., AsyncClient]
SMALL: dict[str, Any] = {"model": "pixverse-v5", "resolution": "360p", "duration": 5}
PRICED: dict[str, Any] = {"model": "replicate/google/veo-2", "duration": 5}


def answer(status: int, body: object, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer(provider="replicate", status=status, headers=headers, body=text.encode())


# --- 8: refusals


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, {"title": "Unauthenticated", "detail": "no token", "status": 401}, AuthenticationError, "no token"),
        (402, {"title": "Insufficient credit", "status": 402}, InsufficientCreditsError, "Insufficient credit"),
        (404, {"detail": "not found", "status": 404}, ModelRetiredError, "not found"),
        (422, {"title": "Invalid version or not permitted", "detail": "x"}, ModelRetiredError, "not permitted"),
        (
            422,
            {
                "title": "Input validation failed",
                "detail": "- input: prompt is required\n",
                "invalid_fields": [{"type": "required", "field": "input", "description": "prompt is required"}],
            },
            RejectedRequestError,
            "input: prompt is required",
        ),
        (422, {"detail": "- input.fps: too many\n"}, RejectedRequestError, "input.fps: too many"),
        (400, [], RejectedRequestError, "400"),
        (400, "not JSON", RejectedRequestError, "not JSON"),
        (502, "<html><b>Bad gateway</b></html>", ProviderUnavailableError, "an HTML page"),
    ],
)
def test_a_refusal_is_of_its_class(status: int, body: object, kind: type[ProviderError], said: str) -> None:
    error = refused(answer(status, body), model="replicate/google/veo-2", create=True)
    assert type(error) is kind
    assert said in error.message
    assert error.accepted is (None if status >= 500 else False)
    assert (error.status_code, error.model) == (status, "replicate/google/veo-2")


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after": "1"}, "Request was throttled. Your rate limit resets in ~30s.", 1.0),
        ({}, "Request was throttled. Your rate limit resets in ~2s.", 2.0),
        ({}, "Request was throttled.", None),
    ],
)
def test_a_limit_says_how_long(headers: dict[str, str], text: str, seconds: float | None) -> None:
    error = refused(answer(429, {"detail": text}, **headers))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unauthorized", AuthenticationError),
        ("billing", InsufficientCreditsError),
        ("disabled", ModelRetiredError),
        ("invalid_input", RejectedRequestError),
    ],
)
async def test_a_refused_create_costs_nothing(
    client: Clients, vendor: ServerThread, code: str, kind: type[ProviderError]
) -> None:
    vendor.inject(Fault("refusal", on="create", at="before", code=code))
    async with client(patience=0.1) as videogen:
        with pytest.raises(kind) as caught:
            await videogen.generate("A boat", **PRICED)
        (job,) = await videogen.jobs()
    assert (job.status, job.cost, caught.value.charged) == ("failed", 0, False)
    assert (vendor.created, vendor.count("create")) == (0, 1)


async def test_a_version_that_is_gone_says_so_before_the_create(client: Clients, vendor: ServerThread) -> None:
    vendor.inject(Fault("status", on="other", status=404))
    async with client() as videogen:
        with pytest.raises(ModelRetiredError):
            await videogen.generate("A boat", model="hunyuan-video", duration=1)
    assert vendor.count("create") == 0


# --- 9: limits on creates


@pytest.mark.parametrize("header", ["1", None])
async def test_a_limited_create_is_repeated_once_it_may_be(
    client: Clients, vendor: ServerThread, emulator: ReplicateEmulator, header: str | None
) -> None:
    emulator.resets_in = 2
    vendor.inject(Fault("status", on="create", at="before", status=429, retry_after=header))
    waits: list[str] = []
    async with client() as videogen:
        await videogen.generate("A boat", **SMALL, on_event=lambda event: waits.append(event.message))
    assert (vendor.created, vendor.count("create")) == (1, 2)
    assert f"Asking again in {header or 2} s" in " ".join(waits)


async def test_a_limit_beyond_patience_is_told_with_its_seconds(client: Clients, vendor: ServerThread) -> None:
    vendor.inject(Fault("status", on="create", at="before", status=429, retry_after="60", times=None))
    async with client(patience=90) as videogen:
        with pytest.raises(RateLimitError) as caught:
            await videogen.generate("A boat", **SMALL)
    assert caught.value.retry_after == 60
    assert (vendor.created, vendor.count("create")) == (0, 2)


# --- 10, 11: lost answers


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", on="create", status=500),
        Fault("reset", on="create"),
        Fault("hang", on="create"),
        Fault("html", on="create", at="after"),
    ],
    ids=str,
)
async def test_a_create_without_an_answer_is_found_in_the_list(
    client: Clients, vendor: ServerThread, fault: Fault
) -> None:
    vendor.inject(fault)
    start = time.monotonic()
    async with client(submit_timeout=1.0) as videogen:
        result = await videogen.generate("A boat", **SMALL)
    assert time.monotonic() - start < 10
    assert (vendor.created, vendor.count("create")) == (1, 1)
    assert owner(result.videos[0].path.read_bytes())["job"] == vendor.jobs()[0]["id"]  # type: ignore[union-attr]


async def test_nothing_is_taken_for_ours_that_may_be_another_s(
    client: Clients, vendor: ServerThread, tmp_path: Path
) -> None:
    """Two predictions of the very same input, one of another ledger: which of them is ours nobody knows."""
    async with client() as videogen:
        await videogen.submit("A boat", **SMALL)
    vendor.inject(Fault("reset", on="create"))
    async with client(home=tmp_path / "other") as videogen:
        with pytest.raises(SubmissionUnknownError, match="It may be") as caught:
            await videogen.submit("A boat", **SMALL)
    assert "replicate.com/predictions" in str(caught.value)
    assert vendor.count("create") == 2


async def test_a_list_that_was_not_read_to_its_end_proves_nothing(
    client: Clients, vendor: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours is the only one of the first page; another of the same input may stand on the next one."""
    from videogen_replicate import finding
    from videogen_replicate.emulator import predictions

    async with client() as videogen:
        await videogen.submit("A boat", **SMALL)
    monkeypatch.setattr(predictions, "_PAGE", 1)
    monkeypatch.setattr(finding, "_PAGES", 1)
    vendor.inject(Fault("reset", on="create"))
    async with client(home=tmp_path / "other") as videogen:
        with pytest.raises(SubmissionUnknownError, match="It may be"):
            await videogen.submit("A boat", **SMALL)
    assert vendor.count("create") == 2


async def test_a_prediction_that_is_called_otherwise_is_shown_to_a_person(
    client: Clients, vendor: ServerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replicate has been seen to echo another name of a model than the one that was asked for."""
    from videogen_replicate import emulator

    shown = emulator.Predictions.shown
    monkeypatch.setattr(
        emulator.Predictions, "shown", lambda *args, **more: {**shown(*args, **more), "model": "google/another"}
    )
    vendor.inject(Fault("reset", on="create"))
    async with client() as videogen:
        with pytest.raises(SubmissionUnknownError, match="It may be"):
            await videogen.submit("A boat", **SMALL)


async def test_another_input_is_not_ours(client: Clients, vendor: ServerThread, emulator: ReplicateEmulator) -> None:
    """The create never arrived, and a prediction of another prompt is there."""
    async with client() as videogen:
        await videogen.submit("A kite", **SMALL)
        vendor.inject(Fault("reset", on="create", at="before"))
        with pytest.raises(SubmissionUnknownError):
            await videogen.submit("A boat", **SMALL)
    assert vendor.created == 1


async def test_an_uploaded_input_makes_it_nobody_s(client: Clients, vendor: ServerThread, tmp_path: Path) -> None:
    from test_replicate_requests import picture

    vendor.inject(Fault("reset", on="create"))
    path = str(picture(tmp_path, (1500, 1000), noise=True))
    async with client() as videogen:
        with pytest.raises(SubmissionUnknownError, match="It may be"):
            await videogen.submit("A boat", model="replicate/minimax/hailuo-2.3-fast", image=path)
    assert vendor.count("create") == 1


# --- 12, 13: polls


async def test_polls_that_fail_are_made_up_for(client: Clients, vendor: ServerThread) -> None:
    vendor.script(Script(polls=1))
    vendor.inject(
        Fault("status", on="poll", status=503),
        Fault("status", on="poll", status=503),
        Fault("status", on="poll", status=502, body="html"),
        Fault("empty", on="poll"),
        Fault("invalid_json", on="poll"),
    )
    async with client() as videogen:
        await videogen.generate("A boat", **SMALL)
    assert vendor.created == 1


async def test_a_poll_that_is_told_to_wait_for_an_hour_is_reported(client: Clients, vendor: ServerThread) -> None:
    vendor.inject(Fault("status", on="poll", status=429, retry_after="3600", times=None))
    start = time.monotonic()
    async with client() as videogen:
        with pytest.raises(RateLimitError) as caught:
            await videogen.generate("A boat", **SMALL, timeout=5)
        assert (caught.value.retry_after, vendor.count("poll")) == (3600, 1)
        vendor.calm()
        (result,) = await videogen.resume()
    assert time.monotonic() - start < 8
    assert not isinstance(result, Exception)


@pytest.mark.parametrize("body", ["", "[]", "[1]", "null", '"x"', "{}", "<html>", '{"status": "starting"'])
async def test_a_poll_that_makes_no_sense_is_the_vendor_s_mistake(
    client: Clients, emulator: ReplicateEmulator, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.responses import Response

    from videogen_replicate.emulator import predictions

    async with client() as videogen:
        job = await videogen.submit("A boat", **SMALL)
        monkeypatch.setattr(predictions, "JSONResponse", lambda *args: Response(body))
        with pytest.raises(ProviderProtocolError):
            await job.refresh()


async def test_a_status_that_is_new_is_told_and_waited_out(client: Clients, vendor: ServerThread) -> None:
    vendor.script(Script(polls=2, word="pondering"))
    heard: list[str] = []
    async with client() as videogen:
        await videogen.generate("A boat", **SMALL, on_event=lambda event: heard.append(event.message))
    assert any("pondering" in text for text in heard)


# --- 4, 5, 6, 7: endings, with what they cost


@pytest.mark.parametrize(
    ("script", "kind", "cost"),
    [
        (Script(ending="blocked"), ContentPolicyError, "2.50"),
        (Script(ending="failed", code="E1001"), GenerationFailedError, "2.50"),
        (Script(ending="empty"), GenerationFailedError, "2.50"),
        (Script(ending="cancelled"), JobCancelledError, "0"),
    ],
    ids=lambda value: getattr(value, "ending", ""),
)
async def test_an_ending_and_its_cost(
    client: Clients, vendor: ServerThread, script: Script, kind: type[Exception], cost: str
) -> None:
    """Nobody documents whether a failed prediction of an official model is charged, so the whole quote is booked."""
    vendor.script(script)
    async with client() as videogen:
        with pytest.raises(kind):
            await videogen.generate("A boat", **PRICED)
        (job,) = await videogen.jobs()
    assert job.cost == Decimal(cost)


async def test_what_was_not_fetched_within_an_hour_is_gone_and_paid_for(client: Clients, vendor: ServerThread) -> None:
    async with client() as videogen:
        job = await videogen.submit("A boat", **PRICED)
        vendor.advance(3700)
        with pytest.raises(ResultExpiredError):
            await job.wait()
        assert (job.status, job.artifact, job.cost) == ("succeeded", "expired", Decimal("2.50"))
    assert Decimal(vendor.stats()["charged"]) == Decimal("2.50")


async def test_the_time_of_work_is_the_cost_where_the_hardware_is_said(
    client: Clients, vendor: ServerThread, emulator: ReplicateEmulator
) -> None:
    vendor.script(Script(running=40))
    settings = {"replicate": {"hardware": {"tencent/hunyuan-video": "h100"}}}
    async with client(providers=settings) as videogen:
        job = await videogen.submit("A boat", model="hunyuan-video", duration=1)
        vendor.advance(40)
        result = await job.wait()
    assert result.cost == Decimal("0.061")
    assert Decimal(vendor.stats()["charged"]) == result.cost


async def test_hardware_that_nobody_knows_is_refused_at_once(client: Clients, vendor: ServerThread) -> None:
    async with client(providers={"replicate": {"hardware": {"tencent/hunyuan-video": "abacus"}}}) as videogen:
        route = await videogen.route("A boat", model="hunyuan-video")
    assert "abacus" in route.rejected[0].message


# --- 14: cancels


async def test_a_running_prediction_is_cancelled(client: Clients, vendor: ServerThread) -> None:
    vendor.script(Script(running=600))
    async with client() as videogen:
        job = await videogen.submit("A boat", **SMALL)
        await job.cancel()
        with pytest.raises(JobCancelledError):
            await job.wait()
    assert vendor.stats()["states"] == {"cancelled": 1}


async def test_a_finished_prediction_is_not_cancelled(client: Clients, vendor: ServerThread) -> None:
    async with client() as videogen:
        job = await videogen.submit("A boat", **SMALL)
        with pytest.raises(RequestError, match="succeeded already"):
            await job.cancel()
        await job.wait()
    assert job.status == "succeeded"


async def test_replicate_ends_what_nobody_waits_for(
    client: Clients, vendor: ServerThread, emulator: ReplicateEmulator
) -> None:
    emulator.deadlines = True
    vendor.script(Script(queued=3600, running=10))
    async with client(providers={"replicate": {"cancel_after_minutes": 1}}) as videogen:
        job = await videogen.submit("A boat", **PRICED)
        vendor.advance(61)
        with pytest.raises(JobCancelledError):
            await job.wait(timeout=5)
        assert job.cost == 0


# --- 16: downloads


async def test_the_token_goes_to_the_api_alone_and_redirects_are_followed(
    client: Clients, vendor: ServerThread, emulator: ReplicateEmulator
) -> None:
    async with client() as videogen:
        job = await videogen.submit("A boat", **SMALL)
        (theirs,) = emulator.vendor.jobs.values()
        vendor.inject(Fault("redirect", on="download", location=emulator.links(theirs)[0]))
        result = await job.wait()
    assert owner(result.videos[0].path.read_bytes())["job"] == theirs.id  # type: ignore[union-attr]
    downloads = [entry for entry in vendor.journal("download") if entry.origin == "delivery"]
    assert len(downloads) == 2
    assert not any(entry.credentials for entry in downloads)


# --- the rest


async def test_ping_tells_whose_token_it_is(
    client: Clients, monkeypatch: pytest.MonkeyPatch, vendor: ServerThread
) -> None:
    async with client() as videogen:
        assert "emulated" in await videogen.ping("replicate")
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_wrong")
    async with client() as videogen:
        with pytest.raises(AuthenticationError):
            await videogen.ping("replicate")
