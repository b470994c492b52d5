"""A whole plugin against a whole vendor over real sockets: clips, endings, faults, and never a second create."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest

from acme.emulator import AcmeEmulator
from acme.plugin import AcmeProvider, Kind
from media_samples import picture
from videogen_core import (
    AsyncClient,
    AsyncJob,
    AuthenticationError,
    Client,
    ContentPolicyError,
    Context,
    GenerationFailedError,
    InsufficientCreditsError,
    IntegrityError,
    JobCancelledError,
    MissingCredentialsError,
    ModelNotFoundError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RejectedRequestError,
    RequestError,
    ResultExpiredError,
    Session,
    SubmissionUnknownError,
    SubmitCall,
    Task,
    UnsupportedRequestError,
    VideogenError,
    VideoRequest,
    WebhookError,
    transport,
)
from videogen_core.capabilities import resolve
from videogen_core.request import Media
from videogen_core.testing import EmulatorClient, Fault, Script, ServerThread, owner, serve, serve_process, sign_webhook

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
TIMEOUT = 0.4  # seconds for one request of the plugin's


@pytest.fixture
def anyio_backend() -> str:
    """What breaks here breaks on the wire; `both_backends` marks the tests that run on trio too."""
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    with serve(AcmeEmulator(seed=11)) as running:
        yield running


@pytest.fixture
def acme(server: ServerThread) -> Iterator[ServerThread]:
    server.reset(seed=11)
    server.run(1)
    server.change(kind="N", list_lag=0.0, poll_every=0.0, url_lifetime=None, retention=None)
    server.script_all(Script(polls=1, times=None))
    yield server
    assert server.about()["mistakes"] == []


def provider(acme: EmulatorClient, kind: Kind = "N", **options: Any) -> AcmeProvider:
    acme.change(kind=kind)
    return AcmeProvider(url=acme.url, key="test-key", kind=kind, timeout=options.pop("timeout", TIMEOUT), **options)


def client(acme: EmulatorClient, home: Path, kind: Kind = "N", **overrides: Any) -> AsyncClient:
    plugins = [provider(acme, kind)]
    return AsyncClient(
        home=home / "home", plugins=plugins, allow_private_addresses=True, **{"patience": 0.5} | overrides
    )


async def only_job(videogen: AsyncClient) -> AsyncJob:
    (job,) = await videogen.jobs()
    return job


def whose(path: Path | None) -> dict[str, Any]:
    assert path is not None
    return owner(path.read_bytes())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- clips ------------------------------------------------------------------------------------------------------


@both_backends
async def test_a_clip_is_what_was_asked_for_and_costs_what_the_vendor_took(acme: ServerThread, tmp_path: Path) -> None:
    async with client(acme, tmp_path) as videogen:
        result = await videogen.generate(
            "a paper boat",
            model="acme/paper",
            duration=2,
            resolution="240p",
            aspect_ratio="9:16",
            fps=24,
            audio=True,
            seed=7,
            negative_prompt="rain",
            options={"acme": {"style": "ink", "priority": True}},
            output=tmp_path / "boat.mp4",
        )
    (video,) = result.videos
    assert (video.width, video.height, video.fps, video.duration, video.has_audio) == (240, 426, 24.0, 2.0, True)
    assert result.cost == Decimal("0.55") == Decimal(acme.stats()["charged"])
    (asked,) = acme.journal("create")
    assert json.loads(asked.body) == {
        "model": "paper",
        "prompt": "a paper boat",
        "seconds": 2,
        "size": "240x426",
        "fps": 24,
        "audio": True,
        "n": 1,
        "seed": 7,
        "negative_prompt": "rain",
        "style": "ink",
        "priority": True,
    }
    assert whose(result.path)["job"] == result.attempts[0].provider_job_id == asked.job
    assert result.attempts[0].request_id == "req-000001"


def test_the_sync_client_and_several_clips(acme: ServerThread, tmp_path: Path) -> None:
    plugins = [provider(acme)]
    with Client(home=tmp_path / "home", plugins=plugins, allow_private_addresses=True) as videogen:
        quote = videogen.estimate(model="acme/paper", count=3)
        result = videogen.generate("three boats", model="acme/paper", count=3, output=tmp_path / "clips/")
        assert [whose(video.path)["number"] for video in result.videos] == [0, 1, 2]
        assert result.cost == quote.amount == Decimal("0.30")
        acme.script(Script(outputs=2))
        partly = videogen.generate("three more", model="acme/paper", count=3, output=tmp_path / "more/")
        assert (len(partly.videos), partly.cost) == (2, Decimal("0.20"))
    assert (acme.count("create"), acme.created) == (2, 2)


@pytest.mark.parametrize(
    ("inputs", "fields"),
    [
        ({"image": 1}, ["first_frame"]),
        ({"image": 1, "last_frame": 2}, ["first_frame", "last_frame"]),
        ({"reference_images": [1, 2, 3]}, ["references"]),
    ],
)
async def test_images_are_uploaded_before_the_create(
    acme: ServerThread, tmp_path: Path, inputs: dict[str, Any], fields: list[str]
) -> None:
    files = []
    for number in range(4):
        files.append(tmp_path / f"{number}.png")
        files[-1].write_bytes(picture(size=(64 + number, 48)))
    chosen: Any = {k: [files[n] for n in v] if isinstance(v, list) else files[v] for k, v in inputs.items()}
    acme.inject(Fault("reset", on="upload", at="before"))
    async with client(acme, tmp_path, patience=3) as videogen:
        result = await videogen.generate("a boat", model="acme/stone", output=tmp_path / "boat.mp4", **chosen)
    assert result.cost == Decimal("0.75")
    (asked,) = acme.journal("create")
    told = json.loads(asked.body)
    assert [name for name in ("first_frame", "last_frame", "references") if name in told] == fields
    uploads = acme.journal("upload")
    assert max(upload.seq for upload in uploads) < asked.seq
    assert [upload.status for upload in uploads].count(0) == 1, "one was lost and sent again"


async def test_no_credential_goes_to_the_other_origin(acme: ServerThread, tmp_path: Path) -> None:
    async with client(acme, tmp_path) as videogen:
        await videogen.generate("a boat", model="acme/paper", output=tmp_path / "boat.mp4")
    entries = acme.journal()
    assert {(entry.origin, entry.credentials) for entry in entries} == {("api", True), ("delivery", False)}


def test_what_the_offers_do_not_have_is_refused_before_anything_is_sent(acme: ServerThread, tmp_path: Path) -> None:
    with Client(home=tmp_path / "home", plugins=[provider(acme)]) as videogen:
        with pytest.raises(UnsupportedRequestError):
            videogen.generate("x", model="acme/paper", duration=3)
        with pytest.raises(UnsupportedRequestError):
            videogen.generate("x", model="acme/paper", options={"acme": {"style": "oil"}})
        with pytest.raises((ModelNotFoundError, UnsupportedRequestError, RequestError), match="wax"):
            videogen.generate("x", model="acme/wax")
    assert acme.journal() == []


def test_the_provider_says_what_it_needs() -> None:
    acme = AcmeProvider()
    with pytest.raises(MissingCredentialsError, match="ACME_URL"):
        acme.check_ready({}, {})
    with pytest.raises(MissingCredentialsError, match="ACME_KEY"):
        acme.check_ready({"ACME_URL": "http://127.0.0.1"}, {})
    acme.check_ready({"ACME_URL": "http://127.0.0.1", "ACME_KEY": "k"}, {})
    assert acme.account({"ACME_KEY": "k"}, {}) == "k"
    assert {kind: AcmeProvider(kind=kind).reconcile for kind in get_args(Kind)} == {
        "A": "none",
        "B": "by_ref",
        "C": "by_list",
        "D": "by_time",
        "N": "none",
    }
    assert AcmeProvider(kind="A").idempotency > 0 == AcmeProvider(kind="B").idempotency


# --- endings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "error", "cost"),
    [
        (Script(ending="failed", code="oom", message="out of memory"), GenerationFailedError, "0.00"),
        (Script(ending="failed", charged=True), GenerationFailedError, "0.10"),
        (Script(ending="blocked"), ContentPolicyError, "0.00"),
        (Script(ending="empty"), GenerationFailedError, "0.00"),
        (Script(ending="cancelled"), JobCancelledError, "0.00"),
    ],
)
async def test_a_job_that_ends_badly_says_so_and_what_it_cost(
    acme: ServerThread, tmp_path: Path, script: Script, error: type[VideogenError], cost: str
) -> None:
    acme.script(script)
    async with client(acme, tmp_path) as videogen:
        with pytest.raises(error):
            await videogen.generate("a boat", model="acme/paper")
        job = await only_job(videogen)
    assert job.cost == Decimal(cost) == Decimal(acme.stats()["charged"])
    assert acme.created == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("status", status=401, at="before"), AuthenticationError),
        (Fault("status", status=402, at="before"), InsufficientCreditsError),
        (Fault("status", status=422, at="before"), RejectedRequestError),
        (None, ContentPolicyError),
    ],
)
@pytest.mark.promise("S4")
async def test_a_create_that_is_refused_costs_nothing(
    acme: ServerThread, tmp_path: Path, fault: Fault | None, error: type[ProviderError]
) -> None:
    if fault is not None:
        acme.inject(fault)
    async with client(acme, tmp_path) as videogen:
        with pytest.raises(error) as caught:
            await videogen.generate("a boat" if fault else "a forbidden boat", model="acme/paper")
        job = await only_job(videogen)
    assert caught.value.accepted is False or caught.value.charged is False
    assert (job.status, acme.count("create"), acme.created) == ("failed", 1, 0)


@both_backends
async def test_a_job_is_cancelled(acme: ServerThread, tmp_path: Path) -> None:
    acme.script(Script(running=60), Script(running=60, cancel="gone"), Script(running=60, cancel="no"))
    async with client(acme, tmp_path) as videogen:
        for _ in range(2):
            job = await videogen.submit("a boat", model="acme/paper")
            await job.cancel()
            assert (job.status, job.cost) == ("cancelled", Decimal(0))
        stubborn = await videogen.submit("a boat", model="acme/paper")
        with pytest.raises(RequestError, match="did not stop"):
            await stubborn.cancel()
    assert acme.stats()["states"] == {"cancelled": 2, "running": 1}


async def test_a_status_that_nobody_knows_is_waited_out(acme: ServerThread, tmp_path: Path) -> None:
    acme.script(Script(polls=2, running=0.1, word="pondering"))
    async with client(acme, tmp_path) as videogen:
        result = await videogen.generate("a boat", model="acme/paper", output=tmp_path / "boat.mp4")
        events = await videogen.events(result.job_id)
    assert "pondering" in " ".join(event.message for event in events)


async def test_a_job_outlives_its_client(acme: ServerThread, tmp_path: Path) -> None:
    async with client(acme, tmp_path) as videogen:
        job_id = (await videogen.submit("a boat", model="acme/paper", output=str(tmp_path / "boat.mp4"))).id
    async with client(acme, tmp_path) as videogen:
        result = await (await videogen.job(job_id)).wait()
    assert whose(result.path)["job"] == acme.jobs()[0]["id"]
    assert acme.created == 1


# --- one create, whatever happens -------------------------------------------------------------------------------


@asynccontextmanager
async def session(acme: EmulatorClient, kind: Kind = "N", **options: Any) -> AsyncIterator[Session]:
    plugin = provider(acme, kind, **options)
    opened = plugin.connect(Context(settings={}, environment={}, http=transport.client))
    try:
        yield opened
    finally:
        await opened.close()


def a_call(prompt: str = "a boat", ref: str = "ref-1", **options: Any) -> SubmitCall:
    spec = next(spec for spec in AcmeProvider().models() if spec.id == "acme/paper")
    request = VideoRequest(prompt=prompt, task=Task.TEXT_TO_VIDEO, options={"acme": options} if options else {})

    async def read(media: Media) -> bytes:
        raise AssertionError("there is no input")

    return SubmitCall(spec=spec, request=resolve(spec, request).request, client_ref=ref, timeout=30, read=read)


# What a single create does under a fault: None = accepted all the same, False = known not to be, "?" = nobody knows.
CREATES: dict[str, tuple[Fault, Any]] = {
    "reset on arrival": (Fault("reset", at="arrival"), "?"),
    "reset before": (Fault("reset", at="before"), "?"),
    "reset after": (Fault("reset"), "?"),
    "reset amid the head": (Fault("reset", part="head"), "?"),
    "reset after the headers": (Fault("reset", part="headers"), "?"),
    "reset amid the body": (Fault("reset", part="body"), "?"),
    "close before": (Fault("close", at="before"), "?"),
    "close after": (Fault("close"), "?"),
    "timeout before": (Fault("hang", at="before"), "?"),
    "timeout after": (Fault("hang"), "?"),
    "timeout amid the body": (Fault("hang", part="body"), "?"),
    "slow": (Fault("slow", seconds=0.1), "?"),
    "truncated": (Fault("truncated"), "?"),
    "cut": (Fault("cut"), "?"),
    "short length": (Fault("short_length"), "?"),
    "long": (Fault("long"), "?"),
    "endless": (Fault("endless"), "?"),
    "500 before": (Fault("status", status=500, at="before"), "?"),
    "500 after": (Fault("status", status=500), "?"),
    "502": (Fault("status", status=502, body="html"), "?"),
    "503": (Fault("status", status=503, body="nothing"), "?"),
    "504": (Fault("status", status=504), "?"),
    "408": (Fault("status", status=408), "?"),
    "409": (Fault("status", status=409), "?"),
    "302": (Fault("redirect"), "?"),
    "307 to itself": (Fault("redirect", status=307, location="/v1/videos"), "?"),
    "429": (Fault("status", status=429, at="before", retry_after="1"), False),
    "400": (Fault("status", status=400, at="before"), False),
    "empty": (Fault("empty"), "?"),
    "html": (Fault("html"), "?"),
    "invalid json": (Fault("invalid_json"), "?"),
    "nan": (Fault("nan"), "?"),
    "bad utf-8": (Fault("bad_utf8"), "?"),
    "deep json": (Fault("deep_json"), "?"),
    "gzip bomb": (Fault("gzip_bomb"), "?"),
    "no id": (Fault("no_id"), "?"),
    "wrong type": (Fault("wrong_type"), None),
}


@pytest.mark.parametrize("name", CREATES)
@pytest.mark.promise("T23", "T4", "S1", "S4", "P1")
async def test_one_create_is_one_post(acme: ServerThread, name: str) -> None:
    fault, outcome = CREATES[name]
    acme.inject(fault)
    start = time.monotonic()
    async with session(acme) as acme_session:
        if outcome is None:
            assert (await acme_session.submit(a_call())).provider_job_id == acme.jobs()[0]["id"]
        else:
            with pytest.raises(ProviderError) as caught:
                await acme_session.submit(a_call())
            assert caught.value.accepted is (None if outcome == "?" else outcome)
    assert time.monotonic() - start < TIMEOUT + 2
    assert acme.count("create") == 1
    assert acme.created == (fault.at == "after")


@pytest.mark.promise("T23", "S4")
async def test_a_vendor_that_is_down_was_never_asked(acme: ServerThread) -> None:
    async with session(acme) as acme_session:
        with acme.outage(), pytest.raises(ProviderUnavailableError) as caught:
            await acme_session.submit(a_call())
    assert caught.value.accepted is False


@both_backends
@pytest.mark.parametrize("name", ["reset after", "timeout after", "504", "html", "no id"])
@pytest.mark.promise("T23", "S1", "S5")
async def test_a_create_whose_reply_is_lost_ends_unknown_and_is_not_repeated(
    acme: ServerThread, tmp_path: Path, name: str
) -> None:
    acme.inject(CREATES[name][0])
    async with client(acme, tmp_path) as videogen:
        with pytest.raises(SubmissionUnknownError):
            await videogen.generate("a boat", model="acme/paper")
        job = await only_job(videogen)
        assert (job.status, job.money) == ("unknown", "held")
        with pytest.raises(SubmissionUnknownError):
            await job.wait()
    assert (acme.count("create"), acme.created) == (1, 1)


@pytest.mark.promise("S4", "T5")
async def test_a_create_that_was_limited_is_sent_again_when_it_may_be(acme: ServerThread, tmp_path: Path) -> None:
    acme.inject(Fault("status", on="create", status=429, at="before", retry_after="1"))
    async with client(acme, tmp_path, patience=5) as videogen:
        await videogen.generate("a boat", model="acme/paper", output=tmp_path / "boat.mp4")
    first, second = acme.journal("create")
    assert second.at - first.at >= 0.95
    assert acme.created == 1


async def test_each_create_has_a_connection_of_its_own(acme: ServerThread) -> None:
    """A server that hangs up after an answer must not break the next create."""
    acme.inject(Fault("reset", part="end", times=3))
    async with session(acme) as acme_session:
        found = [(await acme_session.submit(a_call(ref=f"r{number}"))).provider_job_id for number in range(3)]
    assert len(set(found)) == acme.created == 3


# --- finding what was lost --------------------------------------------------------------------------------------


@pytest.mark.promise("S5")
async def test_class_a_the_same_key_is_the_same_job(acme: ServerThread) -> None:
    acme.inject(Fault("reset"))
    async with session(acme, "A") as acme_session:
        with pytest.raises(ProviderUnavailableError):
            await acme_session.submit(a_call())
        again = await acme_session.submit(a_call())
    assert (acme.count("create"), acme.created) == (2, 1)
    assert again.provider_job_id == acme.jobs()[0]["id"]
    assert [entry.ref for entry in acme.journal("create")] == ["ref-1", "ref-1"]


@pytest.mark.parametrize(("kind", "ours"), [("B", [True]), ("C", [False, True, False]), ("D", [False] * 3)])
@pytest.mark.promise("S5")
async def test_a_lost_create_is_looked_for(acme: ServerThread, kind: Kind, ours: list[bool]) -> None:
    acme.run(0)
    acme.change(list_lag=3)
    async with session(acme, kind) as acme_session:
        await acme_session.submit(a_call("another boat", "ref-0"))
        acme.advance(5)
        acme.inject(Fault("reset"))
        started = datetime.now(UTC) + timedelta(seconds=5)
        with pytest.raises(ProviderUnavailableError):
            await acme_session.submit(a_call())
        assert not [each for each in await acme_session.find(a_call(), started) if each.ours], "it does not show yet"
        acme.advance(1)
        await acme_session.submit(a_call("a third boat", "ref-2"))
        acme.advance(10)
        found = await acme_session.find(a_call(), started)
    assert [each.ours for each in found] == ours
    lost = found[0] if kind == "B" else found[1]
    assert lost.submission.provider_job_id == acme.jobs()[1]["id"]
    assert lost.age == pytest.approx(11, abs=1.1)


@pytest.mark.parametrize("kind", ["B", "C"])
@pytest.mark.promise("S5")
async def test_a_lost_create_is_taken_up_again(acme: ServerThread, tmp_path: Path, kind: Kind) -> None:
    acme.inject(Fault("reset", on="create"))
    async with client(acme, tmp_path, kind) as videogen:
        result = await videogen.generate("a boat", model="acme/paper", output=tmp_path / "boat.mp4")
        types = [event.type for event in await videogen.events(result.job_id)]
    assert types[1:4] == ["submitting", "unknown", "accepted"]
    assert whose(result.path)["job"] == acme.jobs()[0]["id"]
    assert (acme.count("create"), acme.created) == (1, 1)


# --- faults of everything else ----------------------------------------------------------------------------------

_HARMLESS_ON_POLLS = [
    fault
    for name, (fault, _) in CREATES.items()
    if name not in ("302", "307 to itself", "409", "400") and fault.at != "arrival"
]


@pytest.mark.promise("T4", "T5")
async def test_no_poll_that_goes_wrong_loses_a_job(acme: ServerThread, tmp_path: Path) -> None:
    """Each of many jobs meets another fault with its first poll."""
    acme.inject(*(replace_on(fault, "poll") for fault in _HARMLESS_ON_POLLS))
    count = len(_HARMLESS_ON_POLLS)
    async with client(acme, tmp_path, timeout=30) as videogen, anyio.create_task_group() as group:
        for number in range(count):
            group.start_soon(_make, videogen, tmp_path / f"{number}.mp4")
    assert len({whose(tmp_path / f"{number}.mp4")["job"] for number in range(count)}) == count
    assert sum(bool(entry.fault) for entry in acme.journal("poll")) == count
    assert (acme.count("create"), acme.created) == (count, count)


async def _make(videogen: AsyncClient, path: Path) -> None:
    await videogen.generate("a boat", model="acme/paper", output=path)


def replace_on(fault: Fault, on: Any) -> Fault:
    import msgspec

    return msgspec.structs.replace(fault, on=on)


@pytest.mark.parametrize("status", [401, 404, 302])
@pytest.mark.promise("T4")
async def test_a_poll_that_is_refused_leaves_the_job_to_be_resumed(
    acme: ServerThread, tmp_path: Path, status: int
) -> None:
    acme.inject(Fault("redirect" if status == 302 else "status", on="poll", status=status))
    async with client(acme, tmp_path) as videogen:
        with pytest.raises(ProviderError):
            await videogen.generate("a boat", model="acme/paper", output=tmp_path / "boat.mp4")
        result = await (await only_job(videogen)).wait()
    assert whose(result.path)["job"] == acme.jobs()[0]["id"]


_CANCELS: dict[str, tuple[Fault, type[VideogenError]]] = {
    "reset after": (Fault("reset"), ProviderUnavailableError),
    "timeout": (Fault("hang"), ProviderUnavailableError),
    "500": (Fault("status", status=500), ProviderUnavailableError),
    "html": (Fault("html"), ProviderProtocolError),
    "409": (Fault("status", status=409, at="before"), RequestError),
}


@pytest.mark.parametrize("name", _CANCELS)
@pytest.mark.promise("T4", "X5")
async def test_a_cancel_that_goes_wrong_can_be_repeated(acme: ServerThread, tmp_path: Path, name: str) -> None:
    fault, error = _CANCELS[name]
    acme.script(Script(running=60))
    acme.inject(replace_on(fault, "cancel"))
    async with client(acme, tmp_path) as videogen:
        job = await videogen.submit("a boat", model="acme/paper")
        with pytest.raises(error):
            await job.cancel()
        if fault.at == "before":
            await job.cancel()
        await job.refresh()
        assert job.status == "cancelled"


@pytest.mark.promise("T4", "T6")
async def test_no_download_that_goes_wrong_leaves_a_wrong_file(acme: ServerThread, tmp_path: Path) -> None:
    """Each of many jobs meets another fault with its first download."""
    faults = [
        Fault("reset", at="arrival"),
        Fault("reset"),
        Fault("reset", part="headers"),
        Fault("reset", part="body"),
        Fault("close", part="body", share=0.9),
        Fault("truncated"),
        Fault("cut"),
        Fault("short_length"),
        Fault("long", size=5000),
        Fault("corrupt"),
        Fault("range_wrong"),
        Fault("unsatisfiable"),
        Fault("html"),
        Fault("empty"),
        Fault("status", status=500),
        Fault("status", status=429, retry_after="0"),
        Fault("redirect", location="/nowhere"),
        Fault("expired", status=403),  # only one: two that meet the same job are the end of its clip
    ]
    acme.inject(*(replace_on(fault, "download") for fault in faults))
    failed: list[VideogenError] = []

    async def one(number: int) -> None:
        job = await videogen.submit("a boat", model="acme/paper", output=str(tmp_path / f"{number}.mp4"))
        for _ in range(len(faults)):  # at worst one job meets them all
            try:
                await job.wait()
                break
            except VideogenError as error:
                assert not (tmp_path / f"{number}.mp4").exists()
                failed.append(error)

    async with client(acme, tmp_path, timeout=30) as videogen:
        async with anyio.create_task_group() as group:
            for number in range(len(faults)):
                group.start_soon(one, number)
        jobs = await videogen.jobs()
    for job in jobs:
        (video,) = job.record.videos
        facts = whose(video.path)
        assert facts["job"] == job.provider_job_id
        assert job.money == "settled"
    assert sum(bool(entry.fault) for entry in acme.journal("download")) == len(faults)
    assert acme.created == len(faults)
    assert {type(error) for error in failed} <= {IntegrityError, ResultExpiredError}
    assert names(tmp_path) == {"home", *(f"{number}.mp4" for number in range(len(faults)))}


@pytest.mark.parametrize("second", ["range_ignored", "range_wrong", "etag_changed", "unsatisfiable"])
@pytest.mark.promise("T6")
async def test_a_resumed_download_trusts_nothing(acme: ServerThread, tmp_path: Path, second: Any) -> None:
    acme.inject(Fault("reset", on="download", part="body"), Fault(second, on="download"))
    async with client(acme, tmp_path, timeout=30) as videogen:
        result = await videogen.generate("a boat", model="acme/paper", output=tmp_path / "boat.mp4")
    assert whose(result.path)["job"] == acme.jobs()[0]["id"]
    assert len(acme.journal("download")) >= 2


@both_backends
async def test_an_address_that_has_expired_is_asked_for_again(acme: ServerThread, tmp_path: Path) -> None:
    acme.script(Script(expired=1))
    async with client(acme, tmp_path) as videogen:
        await videogen.generate("a boat", model="acme/paper", output=tmp_path / "boat.mp4")
    assert [entry.status for entry in acme.journal("download")] == [403, 200]


@pytest.mark.promise("T1")
async def test_a_storm_makes_no_second_job(acme: ServerThread, tmp_path: Path) -> None:
    """Every job is made once or not at all, whatever its creates, polls and downloads met."""
    acme.inject_profile("storm")
    jobs: list[AsyncJob] = []

    async def one(number: int) -> None:
        with anyio.move_on_after(10):
            try:
                path = str(tmp_path / f"{number}.mp4")
                job = await videogen.submit(f"boat {number}", model="acme/paper", output=path)
            except VideogenError:
                return
            for _ in range(3):
                try:
                    await job.wait()
                    break
                except VideogenError:
                    await anyio.sleep(0.1)

    async with client(acme, tmp_path, "C", timeout=20, patience=2) as videogen:
        async with anyio.create_task_group() as group:
            for number in range(15):
                group.start_soon(one, number)
        acme.calm()
        jobs = await videogen.jobs()
    prompts = [json.loads(entry.body)["prompt"] for entry in acme.journal("create") if entry.created]
    assert len(prompts) == len(set(prompts)) == acme.created
    known = {job.provider_job_id for job in jobs if job.provider_job_id}
    lost = {job["id"] for job in acme.jobs()} - known
    assert len(lost) <= sum(job.status == "unknown" for job in jobs)
    for job in jobs:
        for video in job.record.videos:
            assert whose(video.path)["job"] == job.provider_job_id


# --- webhooks ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("W1")
def test_a_delivery_is_verified_before_it_is_read() -> None:
    acme = AcmeProvider()
    environment = {"ACME_WEBHOOK_SECRET": AcmeEmulator.webhook_secret}

    def delivery(body: bytes, **changes: str) -> tuple[dict[str, str], bytes]:
        now = int(time.time())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(now),
            "webhook-signature": sign_webhook(AcmeEmulator.webhook_secret, "msg_1", now, body),
        }
        return {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}, body

    good = acme.notice(*delivery(b'{"id": "acme-1"}'), environment, {})
    assert (good.provider_job_id, good.delivery_id) == ("acme-1", "msg_1")
    for bad in (
        delivery(b'{"id": "acme-1"}', webhook_signature="v1,nonsense"),
        delivery(b'{"id": "acme-1"}', webhook_timestamp="0"),
        delivery(b'{"id": "acme-1"}', webhook_id="msg_2"),
        delivery(b"[]"),
        delivery(b"\xff"),
        ({}, b"{}"),
    ):
        with pytest.raises(WebhookError):
            acme.notice(*bad, environment, {})
    with pytest.raises(WebhookError):
        acme.notice(*delivery(b'{"id": "acme-1"}'), {}, {})


async def test_a_create_says_where_to_tell_of_its_end(acme: ServerThread) -> None:
    async with session(acme) as acme_session:
        await acme_session.submit(replace(a_call(), webhook_url="http://127.0.0.1:9/hook"))
    assert json.loads(acme.journal("create")[0].body)["webhook_url"] == "http://127.0.0.1:9/hook"


# --- a client that is killed ------------------------------------------------------------------------------------

_CHILD = """
import sys
from acme.plugin import AcmeProvider
from videogen_core import Client
url, home = sys.argv[1:]
plugins = [AcmeProvider(url=url, key="test-key", kind="B")]
with Client(home=home + "/home", plugins=plugins, allow_private_addresses=True) as videogen:
    videogen.generate("a boat", model="acme/paper", output=home + "/boat.mp4")
"""


@pytest.mark.promise("T1")
def test_the_vendor_outlives_a_client_that_is_killed(tmp_path: Path) -> None:
    with serve_process("acme.emulator:AcmeEmulator", kind="B") as acme:
        acme.script_all(Script(polls=1_000_000, times=None))
        command = [sys.executable, "-c", _CHILD, acme.url, str(tmp_path)]
        child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
        try:
            deadline = time.monotonic() + 20
            while acme.count("poll") == 0 and time.monotonic() < deadline:
                time.sleep(0.02)
        finally:
            child.kill()
            child.wait()
        (made,) = acme.jobs()
        assert made["state"] == "running"
        with Client(home=tmp_path / "home", plugins=[provider(acme, "B")], allow_private_addresses=True) as videogen:
            (job,) = videogen.jobs()
            assert job.provider_job_id == made["id"]
            job.cancel()
        assert acme.stats()["states"] == {"cancelled": 1}
        assert (acme.count("create"), acme.created) == (1, 1)
