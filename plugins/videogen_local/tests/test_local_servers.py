"""Servers of /v1/videos over real sockets: what each dialect is told, and what each of them does that others do not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from servers_bench import KEY, Bench, NoCatalogue, bench
from videogen_core import (
    AuthenticationError,
    ConfigurationError,
    ContentPolicyError,
    DownloadError,
    GenerationFailedError,
    JobStatus,
    NoRouteError,
    ProviderUnavailableError,
    RejectedRequestError,
    RequestError,
    SubmissionUnknownError,
    UnsupportedRequestError,
    VideogenError,
)
from videogen_core.testing import Fault, Script, owner
from videogen_local.emulator import OpenaiEmulator, SglangEmulator, VllmOmniEmulator
from videogen_local.plugin import LocalProvider
from videogen_local.servers import engine

__all__ = ["bench"]

pytestmark = pytest.mark.anyio
SMALL = {"duration": 1, "resolution": "480p", "aspect_ratio": "16:9"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def told(emulator: Any, number: int = -1) -> dict[str, Any]:
    """What a create said."""
    found: dict[str, Any] = json.loads(emulator.journal.entries("create")[number].body)
    return found


def picture() -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (832, 480), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


# --- vLLM-Omni


async def test_vllm_is_told_in_a_form_how_many_frames(bench: Bench) -> None:
    """Without a number of frames it makes one, and drops without a word what it does not know."""
    vllm = bench.serve(VllmOmniEmulator)
    async with bench.client(vllm) as client:
        result = await client.generate("A boat", model="local/gpu", output=bench.output(), seed=7, **SMALL)
    said = told(vllm)
    (video,) = result.videos
    assert vllm.journal.entries("create")[0].headers["content-type"] == "multipart/form-data"
    assert said == {
        "prompt": "A boat", "model": "emulated/ti2v", "size": "832x480", "seconds": "1", "num_frames": "24",
        "fps": "24", "seed": "7", "generate_sound": "false",
    }  # fmt: skip
    assert (video.width, video.height, video.fps) == (832, 480, 24.0)


async def test_vllm_has_the_two_guidance_scales_the_other_way_round(bench: Bench) -> None:
    """Ours are as in diffusers: the first is of the expert that works on much noise."""
    vllm = bench.serve(VllmOmniEmulator)
    both = {"local": {"guidance_scale": 4.0, "guidance_scale_2": 3.0}}
    async with bench.client(vllm) as client:
        await client.submit("A boat", model="local/gpu", options=both, **SMALL)
        await client.submit("A boat", model="local/gpu", options={"local": {"guidance_scale": 4.0}}, **SMALL)
        with pytest.raises(RequestError, match="give both"):
            await client.submit("A boat", model="local/gpu", options={"local": {"guidance_scale_2": 3.0}}, **SMALL)
    first, second = told(vllm, 0), told(vllm, 1)
    assert (first["guidance_scale"], first["guidance_scale_2"]) == ("3.0", "4.0")
    assert second["guidance_scale"] == "4.0"
    assert "guidance_scale_2" not in second
    assert len(vllm.journal.entries("create")) == 2


async def test_vllm_shows_a_failed_job_with_the_status_of_its_failure(bench: Bench) -> None:
    vllm = bench.serve(VllmOmniEmulator)
    vllm.vendor.add_scripts(
        Script(ending="failed", code="500", message="CUDA out of memory", charged=True), Script(ending="blocked")
    )
    async with bench.client(vllm, usd_per_hour=3.6) as client:
        with pytest.raises(GenerationFailedError, match="CUDA out of memory") as caught:
            await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        (job,) = await client.jobs()
        with pytest.raises(ContentPolicyError):
            await client.generate("A tank", model="local/gpu", output=bench.output(), **SMALL)
    assert caught.value.hint is not None
    assert "smaller size" in caught.value.hint
    assert (job.status, job.cost) == ("failed", Decimal("0.01"))  # 10 s at 0.001


async def test_vllm_stops_a_job_even_if_it_takes_a_moment(bench: Bench) -> None:
    vllm = bench.serve(VllmOmniEmulator)
    vllm.vendor.add_scripts(Script(running=1000.0))
    vllm.faults.add(Fault("status", on="cancel", status=409, at="before", times=2))
    async with bench.client(vllm) as client:
        job = await client.submit("A boat", model="local/gpu", **SMALL)
        await job.cancel()
    assert job.status == "cancelled"
    assert not vllm.vendor.jobs
    assert [entry.status for entry in vllm.journal.entries("cancel")] == [409, 409, 200]


async def test_a_cancel_that_comes_too_late_does_not_delete_the_clip(bench: Bench) -> None:
    """vLLM-Omni's DELETE removes a finished clip, so it is not sent then."""
    vllm = bench.serve(VllmOmniEmulator)
    async with bench.client(vllm) as client:
        job = await client.submit("A boat", model="local/gpu", output=bench.output(), **SMALL)
        with pytest.raises(RequestError, match="completed already"):
            await job.cancel()
        result = await job.wait()
    assert not vllm.journal.entries("cancel")
    assert owner(result.path.read_bytes())["job"] == vllm.journal.entries("create")[0].job


async def test_a_lost_create_is_found_by_its_prompt_unless_several_fit(bench: Bench) -> None:
    """Somebody else's job with the same words makes it two, and then a person decides."""
    vllm = bench.serve(VllmOmniEmulator)
    vllm.faults.add(Fault("reset", on="create"))
    async with bench.client(vllm) as client:
        result = await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        assert owner(result.path.read_bytes())["job"] == vllm.journal.entries("create")[0].job
        mine = vllm.orders[vllm.journal.entries("create")[0].job]
        theirs = vllm.vendor.create(mine.clip, body={})
        vllm.orders[theirs.id] = mine
        vllm.faults.add(Fault("reset", on="create"))
        with pytest.raises(SubmissionUnknownError) as caught:
            await client.generate("A boat", model="local/gpu", output=bench.output("b.mp4"), **SMALL)
    assert len(vllm.journal.entries("create")) == 2
    assert caught.value.hint is not None
    assert theirs.id in caught.value.hint


async def test_a_picture_is_no_evidence(bench: Bench) -> None:
    """No record tells which picture a job was given, so a lost create with one waits for a person."""
    vllm = bench.serve(VllmOmniEmulator)
    vllm.faults.add(Fault("reset", on="create"))
    async with bench.client(vllm) as client:
        with pytest.raises(SubmissionUnknownError) as caught:
            await client.generate("A boat", model="local/gpu", image=picture(), output=bench.output(), **SMALL)
        (job,) = await client.jobs()
        made = vllm.journal.entries("create")[0].job
        assert made in str(caught.value.hint)
        await job.settle(attach=made)
        result = await job.wait()
    assert owner(result.path.read_bytes())["job"] == made
    assert told(vllm)["input_reference"].endswith(" bytes")


# --- SGLang


async def test_sglang_gets_json_and_a_form_with_a_picture(bench: Bench) -> None:
    """An old one takes no form without a picture, and a picture in no other way."""
    for old in (False, True):
        sglang = bench.serve(SglangEmulator, old=old)
        options = {"local": {"steps": 8, "guidance_scale": 4.0, "guidance_scale_2": 3.0}}
        async with bench.client(sglang) as client:
            await client.submit("A boat", model="local/gpu", options=options, seed=5, **SMALL)
            await client.submit("A boat", model="local/gpu", image=picture(), options=options, seed=5, **SMALL)
        plain, formed = sglang.journal.entries("create")
        assert plain.headers["content-type"] == "application/json"
        assert formed.headers["content-type"] == "multipart/form-data"
        first, second = sglang.creates
        assert (first.guidance_scale, first.guidance_scale_2) == (4.0, 3.0)
        assert (first.num_frames, first.fps, first.size, first.seed) == (24, 24, "832x480", 5)
        assert (second.num_frames, second.fps, second.size) == (24, 24, "832x480")
        if not old:  # an old one reads no more of a form
            assert (second.guidance_scale, second.guidance_scale_2, second.seed) == (4.0, 3.0, 5)


async def test_sglang_is_told_a_seed_since_its_own_is_always_the_same(bench: Bench) -> None:
    sglang = bench.serve(SglangEmulator)
    async with bench.client(sglang) as client:
        jobs = [await client.submit("A boat", model="local/gpu", **SMALL) for _ in range(3)]
        await client.submit("A boat", model="local/gpu", seed=11, **SMALL)
    drawn = [create.seed for create in sglang.creates]
    assert len({*drawn[:3], 1024}) == 4
    assert drawn[3] == 11
    assert [job.record.attempt.handle["seed"] for job in jobs] == drawn[:3]


async def test_sglang_cannot_stop_a_job_and_is_not_asked_to_forget_it(bench: Bench) -> None:
    sglang = bench.serve(SglangEmulator)
    sglang.vendor.add_scripts(Script(polls=2))
    async with bench.client(sglang) as client:
        job = await client.submit("A boat", model="local/gpu", output=bench.output(), **SMALL)
        with pytest.raises(RequestError, match="SGLang Diffusion cannot stop"):
            await job.cancel()
        result = await job.wait()
    assert result.path.exists()
    assert not sglang.journal.entries("cancel")


async def test_sglang_says_nothing_of_progress_until_the_end(bench: Bench) -> None:
    sglang = bench.serve(SglangEmulator)
    sglang.vendor.add_scripts(Script(polls=3))
    heard: list[tuple[str, float | None]] = []
    async with bench.client(sglang) as client:
        await client.generate(
            "A boat", model="local/gpu", output=bench.output(), on_event=lambda e: heard.append((e.status, e.progress)),
            **SMALL,
        )  # fmt: skip
    assert {progress for status, progress in heard if status in ("queued", "running")} <= {None}


async def test_a_clip_in_sglangs_storage_is_fetched_without_the_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sglang = bench.serve(SglangEmulator, storage=True)
    monkeypatch.setenv("VIDEOGEN_ALLOW_PRIVATE_ADDRESSES", "1")  # the storage is a stranger, and here on loopback
    async with bench.client(sglang) as client:
        await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
    (entry,) = sglang.journal.entries("download")
    assert (entry.origin, entry.credentials) == ("delivery", False)


async def test_what_sglang_lists_is_shown_and_never_taken(bench: Bench) -> None:
    """Its records do not tell the prompt."""
    sglang = bench.serve(SglangEmulator)
    sglang.faults.add(Fault("reset", on="create"))
    async with bench.client(sglang) as client:
        with pytest.raises(SubmissionUnknownError) as caught:
            await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        made = sglang.journal.entries("create")[0].job
        assert f"{made}@" in str(caught.value.hint)
        (job,) = await client.jobs()
        await job.settle(attach=f"{made}@{sglang.api_url.removeprefix('http://')}")
        result = await job.wait()
    assert owner(result.path.read_bytes())["job"] == made
    assert len(sglang.journal.entries("create")) == 1


# --- the plain shape


async def test_the_plain_shape_takes_whole_seconds_and_little_else(bench: Bench) -> None:
    plain = bench.serve(OpenaiEmulator)
    async with bench.client(plain) as client:
        await client.submit("A boat", model="local/gpu", duration=8, aspect_ratio="9:16")
        for wrong in ({"duration": 5}, {"seed": 1}, {"negative_prompt": "rain"}, {"options": {"local": {"steps": 4}}}):
            with pytest.raises(UnsupportedRequestError):
                await client.submit("A boat", model="local/gpu", **wrong)  # type: ignore[arg-type]
    assert told(plain) == {"prompt": "A boat", "model": "emulated/ti2v", "seconds": "8", "size": "720x1280"}
    assert len(plain.journal.entries("create")) == 1


async def test_records_of_the_plain_shape_need_not_tell_the_prompt(bench: Bench) -> None:
    plain = bench.serve(OpenaiEmulator, prompts=False)
    plain.faults.add(Fault("reset", on="create"))
    async with bench.client(plain) as client:
        with pytest.raises(SubmissionUnknownError) as caught:
            await client.generate("A boat", model="local/gpu", output=bench.output(), duration=4)
    assert plain.journal.entries("create")[0].job in str(caught.value.hint)


async def test_a_server_of_ones_own_is_described_by_what_is_different(bench: Bench) -> None:
    plain = bench.serve(OpenaiEmulator)
    dialect = {"like": "openai", "encoding": "json", "reconcile": "none"}
    async with bench.client(plain, dialect=dialect, seconds=[4, 12], sizes=["1280x720"]) as client:
        (spec,) = await client.models(provider="local")
        assert [mode.durations for mode in spec.modes] == [(4.0, 12.0)]
        await client.submit("A boat", model="local/gpu", duration=12)
    (entry,) = plain.journal.entries("create")
    assert entry.headers["content-type"] == "application/json"
    assert json.loads(entry.body) == {
        "prompt": "A boat", "model": "emulated/ti2v", "seconds": "12", "size": "1280x720",
    }  # fmt: skip


# --- several machines


async def test_jobs_go_to_the_shortest_queue(bench: Bench) -> None:
    """What others have put there counts; ids of two machines may be the same, and their jobs are not."""
    busy, idle = (bench.serve(VllmOmniEmulator) for _ in range(2))
    for vllm in (busy, idle):
        vllm.vendor.script = Script(running=1000.0, times=None)
    for _ in range(3):
        async with bench.client(busy) as other:
            await other.submit("Somebody's", model="local/gpu", **SMALL)
    async with bench.client(busy, idle) as client:
        jobs = [await client.submit(f"Boat {number}", model="local/gpu", **SMALL) for number in range(5)]
        created = (busy.journal.created - 3, idle.journal.created)
        assert created == (1, 4)  # until both have four
        assert len({job.provider_job_id for job in jobs}) == 5
        assert (
            {(job.provider_job_id or "").partition("@")[0] for job in jobs} & {*busy.vendor.jobs} & {*idle.vendor.jobs}
        )
        for vllm in (busy, idle):
            vllm.clock.advance(2000.0)
        for number, job in enumerate(jobs):
            result = await job.wait()
            place = busy if job.provider_job_id.endswith(busy.api_url.removeprefix("http://")) else idle  # type: ignore[union-attr]
            assert place.orders[owner(result.path.read_bytes())["job"]].prompt == f"Boat {number}"


async def test_a_machine_that_is_down_gets_no_jobs(bench: Bench) -> None:
    up = bench.serve(VllmOmniEmulator)
    async with bench.client("http://127.0.0.1:9", up, dialect="vllm-omni") as client:
        await client.submit("A boat", model="local/gpu", **SMALL)
        await client.submit("A boat", model="local/gpu", **SMALL)
    assert up.journal.created == 2
    async with bench.client("http://127.0.0.1:9", "http://127.0.0.1:10", model="a/b") as client:
        with pytest.raises(ProviderUnavailableError) as caught:
            await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
    assert "127.0.0.1" in str(caught.value.hint)


async def test_a_job_whose_machine_left_the_settings_says_so(bench: Bench) -> None:
    first, second = (bench.serve(VllmOmniEmulator) for _ in range(2))
    async with bench.client(first) as client:
        job = await client.submit("A boat", model="local/gpu", output=bench.output(), **SMALL)
    async with bench.client(second) as client:
        with pytest.raises(ConfigurationError, match=r"no address 127\.0\.0\.1"):
            await (await client.job(job.id)).wait()
    async with bench.client(second, first) as client:
        result = await (await client.job(job.id)).wait()
    assert owner(result.path.read_bytes())["job"] == first.journal.entries("create")[0].job


# --- what else may happen


async def test_a_server_that_was_restarted_has_forgotten_the_job(bench: Bench) -> None:
    vllm = bench.serve(VllmOmniEmulator)
    vllm.vendor.add_scripts(Script(polls=2))
    async with bench.client(vllm) as client:
        job = await client.submit("A boat", model="local/gpu", output=bench.output(), **SMALL)
        vllm.vendor.clear()
        with pytest.raises(GenerationFailedError, match="does not know the job") as caught:
            await job.wait()
    assert "restarted" in str(caught.value.hint)
    assert job.status == "failed"
    assert len(vllm.journal.entries("poll")) == engine._LOST


async def test_a_page_of_a_proxy_is_not_the_servers_word(bench: Bench) -> None:
    vllm = bench.serve(VllmOmniEmulator)
    vllm.faults.add(Fault("status", on="poll", status=502, body="html", times=2))
    async with bench.client(vllm) as client:
        result = await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
    assert result.path.exists()


async def test_another_model_at_the_address_is_noticed_before_anything_is_sent(bench: Bench) -> None:
    vllm = bench.serve(VllmOmniEmulator)
    async with bench.client(vllm, model="Wan-AI/Wan2.1-T2V-1.3B-Diffusers") as client:
        with pytest.raises(ConfigurationError, match="serves 'emulated/ti2v', not 'Wan-AI/"):
            await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
    assert not vllm.journal.entries("create")


async def test_a_model_that_the_settings_do_not_name_is_asked_for_once(bench: Bench) -> None:
    """By name it is found; from then on it is listed without the network, until it is another one."""
    sglang = bench.serve(SglangEmulator)
    async with bench.client(sglang, model=None) as client:
        assert not await client.models(provider="local")
        result = await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        assert result.attempts[-1].offer == "local/gpu"
    asked = len(sglang.journal.entries("other"))
    async with bench.client(sglang, model=None) as client:
        (spec,) = await client.models(provider="local")
        assert spec.vendor["model"] == "emulated/ti2v"
        assert len(sglang.journal.entries("other")) == asked
        sglang.model = "emulated/t2v"
        with pytest.raises(ConfigurationError, match="serves 'emulated/t2v'"):
            await client.generate("A boat", model="local/gpu", output=bench.output("b.mp4"), **SMALL)
    async with bench.client(sglang, model=None) as client:
        (spec,) = await client.models(provider="local")
    assert spec.vendor["model"] == "emulated/t2v"


async def test_what_clips_have_taken_makes_the_next_estimate(bench: Bench) -> None:
    vllm = bench.serve(VllmOmniEmulator)
    async with bench.client(vllm, usd_per_hour=3.6) as client:
        assert not (await client.estimate("A boat", model="local/gpu", **SMALL)).known
        result = await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        assert result.cost == Decimal("0.01")  # 10 s at 0.001
    async with bench.client(vllm, usd_per_hour=3.6) as client:
        quote = await client.estimate("A boat", model="local/gpu", **{**SMALL, "duration": 5})
        assert (quote.low, quote.high) == (Decimal("0.05"), Decimal("0.05"))
        other = await client.estimate("A boat", model="local/gpu", **{**SMALL, "resolution": "720p"})
        assert not other.known
    async with bench.client(vllm) as client:  # nobody has said what an hour costs
        assert not (await client.estimate("A boat", model="local/gpu", **SMALL)).known


async def test_the_key_is_wanted_by_name_and_goes_to_the_server_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    vllm = bench.serve(VllmOmniEmulator)
    async with bench.client(vllm) as client:
        monkeypatch.setenv("GPU_KEY", "sk-wrong-0key0of0nobody")
        with pytest.raises(AuthenticationError) as caught:
            await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        assert "GPU_KEY" in str(caught.value.hint)
    async with bench.client(vllm) as client:
        monkeypatch.delenv("GPU_KEY")
        with pytest.raises(NoRouteError, match="GPU_KEY is not set"):
            await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
    async with bench.client(vllm, key_env=None) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        assert "key_env" in str(caught.value.hint)
    assert vllm.journal.created == 0


async def test_a_clip_comes_from_the_server_itself_wherever_it_is_but_from_no_other_private_address(
    bench: Bench,
) -> None:
    """The user has named this one; what it redirects to is a stranger and has to be public."""
    vllm = bench.serve(VllmOmniEmulator)
    other = bench.serve(VllmOmniEmulator)
    async with bench.client(vllm) as client:
        await client.generate("A boat", model="local/gpu", output=bench.output(), **SMALL)
        vllm.faults.add(Fault("redirect", on="download", location=f"{other.api_url}/v1/videos/x/content", times=None))
        with pytest.raises(DownloadError, match=r"http|public"):
            await client.generate("A kite", model="local/gpu", output=bench.output("b.mp4"), **SMALL)
    assert not other.journal.entries()


async def test_a_refusal_by_the_servers_filter_costs_nothing(bench: Bench) -> None:
    for kind in (VllmOmniEmulator, SglangEmulator, OpenaiEmulator):
        emulator = bench.serve(kind)
        async with bench.client(emulator) as client:
            with pytest.raises(ContentPolicyError) as caught:
                await client.generate("A forbidden boat", model="local/gpu", output=bench.output())
        assert caught.value.hint
        assert emulator.journal.created == 0


async def test_what_is_wrong_with_a_field_is_told(bench: Bench) -> None:
    """FastAPI lists fields; the plugin says which, and does not send it again."""
    sglang = bench.serve(SglangEmulator)
    async with bench.client(sglang, dialect={"like": "sglang", "fields": {"steps": "no_such_field"}}) as client:
        with pytest.raises(RejectedRequestError, match="no_such_field"):
            await client.generate(
                "A boat", model="local/gpu", output=bench.output(), options={"local": {"steps": 4}}, **SMALL
            )
    assert len(sglang.journal.entries("create")) == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"dialect": "comfy"}, "'comfy' is no dialect"),
        ({"dialect": {"like": "openai", "encoding": "xml"}}, "xml"),
        ({"dialect": {"like": "openai", "shape": "x"}}, "shape"),
        ({"urls": []}, "where is it"),
        ({"urls": ["gpu1:8091"]}, "expected an address"),
        ({"urls": ["http://me:secret@gpu1:8091"]}, "user name or password"),
        ({"urls": ["http://gpu1:8091", "http://gpu1:8091/v1/"]}, "twice"),
        ({"usd_per_hour": -1}, "above 0"),
        ({"usd_per_hour": "much"}, "above 0"),
        ({"pace": [9, 3]}, "least and the most"),
        ({"tasks": ["upscale_video"]}, "text_to_video or image_to_video"),
        ({"sizes": ["832 by 480"]}, "even sides"),
        ({"sizes": ["833x481"]}, "even sides"),
        ({"like": "no-such-model"}, "no model of the catalogue"),
        ({"dialect": "openai", "seconds": [2.5]}, "whole seconds only"),
        ({"prize": 3}, "'prize' is not a setting"),
    ],
)
async def test_a_server_that_is_described_wrongly_is_named(bench: Bench, table: dict[str, Any], said: str) -> None:
    with pytest.raises(VideogenError, match=said) as caught:
        async with bench.client("http://gpu1:8091", **{"model": "a/b", **table}) as client:
            await client.generate("A boat", model="local/gpu", output=bench.output())
    assert "providers.local.servers.gpu" in str(caught.value)


async def test_a_server_in_variables_of_the_environment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``videogen emulate local`` prints them."""
    from videogen_core import AsyncClient

    vllm = bench.serve(VllmOmniEmulator)
    for name, value in vllm.environment().items():
        monkeypatch.setenv(name, value)
    async with AsyncClient(home=bench.home, plugins=[NoCatalogue()]) as client:
        quote = await client.estimate("A boat", model="local/server", **SMALL)
        result = await client.generate("A boat", model="local/server", output=bench.output(), **SMALL)
    assert (quote.high, result.cost) == (Decimal("0.01"), Decimal("0.01"))
    assert KEY not in str(result)


async def test_ping_says_what_each_address_serves_and_how_busy_it_is(bench: Bench) -> None:
    from videogen_core.engine.sessions import Sessions

    vllm = bench.serve(VllmOmniEmulator)
    vllm.vendor.add_scripts(Script(running=1000.0))
    async with bench.client(vllm) as client:
        await client.submit("A boat", model="local/gpu", **SMALL)
        session = Sessions(client.settings, client.workspace.registry).get("local")
        servers: Any = session._named("server")  # type: ignore[attr-defined]
        said = await servers.ping()
        await session.close()
    assert said == f"gpu at {vllm.api_url.removeprefix('http://')}: emulated/ti2v, 1 jobs"


def test_status_words_of_all_dialects_are_known() -> None:
    from videogen_local.emulator import openai, sglang, vllm
    from videogen_local.servers.jobs import _STATUS, ENDED

    for module in (openai, sglang, vllm):
        assert set(module._WORDS.values()) <= set(_STATUS), module.__name__
    ended = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    assert {word for word, status in _STATUS.items() if status in ended} <= ENDED


async def test_the_same_model_is_compared_here_and_on_the_server(bench: Bench) -> None:
    """With the plugin's own catalogue: one name, two offers; frames and sides by the model's rules."""
    vllm = bench.serve(VllmOmniEmulator, model="Wan-AI/Wan2.1-T2V-1.3B-Diffusers")
    async with bench.client(vllm, provider=LocalProvider, usd_per_hour=3.6, pace=[10, 12]) as client:
        (spec,) = [each for each in await client.models(provider="local") if each.id == "local/gpu"]
        route = await client.route("A boat", model=spec.name)
        offers = {each.offer for each in (*route.candidates, *route.rejected)}
        result = await client.generate("A boat", model="local/gpu", duration=5, output=bench.output())
    assert {"local/gpu", next(each for each in offers if each != "local/gpu")} <= offers
    assert spec.license is not None
    said = told(vllm)
    assert (said["num_frames"], said["fps"], said["size"]) == ("81", "16", "832x480")
    assert result.videos[0].width == 832
