"""What is special about Acme, and what else can go wrong between a plugin and its vendor.

What every provider has to do is in ``test_conformance``.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

import rig
from acme.emulator import AcmeEmulator
from acme.plugin import AcmeProvider, Kind
from videogen_core import (
    AsyncClient,
    AsyncJob,
    ContentPolicyError,
    Context,
    IntegrityError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RequestError,
    ResultExpiredError,
    Session,
    SubmitCall,
    Task,
    VideogenError,
    VideoRequest,
    transport,
)
from videogen_core.capabilities import resolve
from videogen_core.request import Media
from videogen_core.testing import EmulatorClient, Fault, Script, ServerThread, owner, serve

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
TIMEOUT = 0.25  # seconds for one request of the plugin's


@pytest.fixture
def anyio_backend() -> str:
    """What breaks here breaks on the wire; `both_backends` marks the tests that run on trio too."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    rig.hurry(monkeypatch)


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


# --- endings ----------------------------------------------------------------------------------------------------


async def test_a_forbidden_prompt_is_known_by_its_code(acme: ServerThread, tmp_path: Path) -> None:
    async with client(acme, tmp_path) as videogen:
        with pytest.raises(ContentPolicyError) as caught:
            await videogen.generate("a forbidden boat", model="acme/paper")
    assert (caught.value.code, caught.value.charged, acme.created) == ("content_policy", False, 0)


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


# --- one create, whatever happens -------------------------------------------------------------------------------


@asynccontextmanager
async def session(acme: EmulatorClient, kind: Kind = "N", **options: Any) -> AsyncIterator[Session]:
    plugin = provider(acme, kind, **options)
    opened = plugin.connect(Context(settings={}, environment={}, http=transport.client, folder=Path("never-made")))
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


@pytest.mark.parametrize("status", [404, 302])
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
        # none has expired: that and the way to nowhere, met by the same job, are the end of its clip
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


async def test_a_create_says_where_to_tell_of_its_end(acme: ServerThread) -> None:
    async with session(acme) as acme_session:
        await acme_session.submit(replace(a_call(), webhook_url="http://127.0.0.1:9/hook"))
    assert json.loads(acme.journal("create")[0].body)["webhook_url"] == "http://127.0.0.1:9/hook"
