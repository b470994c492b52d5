"""The sandbox provider: honest clips, asked-for trouble, and jobs that any process can take up."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import av
import msgspec
import pytest
from PIL import Image, ImageChops, ImageStat

from videogen_core.capabilities import check, frame_size, resolve
from videogen_core.errors import (
    ContentPolicyError,
    GenerationFailedError,
    ProviderError,
    RateLimitError,
    RejectedRequestError,
)
from videogen_core.pricing import estimate
from videogen_core.provider import ProviderJob, Snapshot, Submission, SubmitCall
from videogen_core.request import Media, Task, VideoRequest
from videogen_core.sandbox.plugin import FAILURES, SandboxProvider, SandboxSession, videogen_provider
from videogen_core.sandbox.render import RenderSpec, render
from videogen_core.sandbox.scene import drawable
from videogen_core.spec import CAMERA_MOVES, ModelSpec
from videogen_core.states import JobStatus

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
(SPEC,) = SandboxProvider().models()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def session(clock: FakeClock) -> SandboxSession:
    return SandboxSession(clock)


async def read(media: Media) -> bytes:
    return media.data if media.data is not None else await anyio.Path(media.path or "").read_bytes()


def call_for(prompt: str = "A paper boat", *, spec: ModelSpec = SPEC, **fields: Any) -> SubmitCall:
    """A call as the engine makes it; small and short unless the test says otherwise."""
    options = {name.removeprefix("o_"): fields.pop(name) for name in list(fields) if name.startswith("o_")}
    small: dict[str, Any] = {"resolution": "144p", "fps": 8}
    if fields.get("task") not in ("edit_video", "upscale_video"):
        small["duration"] = 0.5
    request = VideoRequest.make(prompt, options={"sandbox": options}, **{**small, **fields})
    return SubmitCall(spec=spec, request=resolve(spec, request).request, client_ref="vg-1-a1", timeout=30.0, read=read)


def job_of(call: SubmitCall, submission: Submission) -> ProviderJob:
    """The job as another process finds it in the ledger: the handle has been through JSON."""
    return ProviderJob(
        spec=call.spec,
        request=call.request,
        client_ref=call.client_ref,
        provider_job_id=submission.provider_job_id,
        handle=msgspec.json.decode(msgspec.json.encode(submission.handle)),
        submitted_at=NOW,
    )


async def run(session: SandboxSession, call: SubmitCall) -> Snapshot:
    return await session.poll(job_of(call, await session.submit(call)))


async def clip_of(session: SandboxSession, call: SubmitCall) -> bytes:
    snapshot = await run(session, call)
    assert snapshot.status is JobStatus.SUCCEEDED, snapshot.error
    (output,) = snapshot.outputs
    assert output.data is not None
    return output.data


def pictures(clip: bytes) -> list[Image.Image]:
    with av.open(io.BytesIO(clip), mode="r") as container:
        return [frame.to_image() for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]


def distance(a: Image.Image, b: Image.Image) -> float:
    """Mean difference per channel, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(a, b)).mean) / 3


def pixel(frame: Image.Image, at: tuple[int, int]) -> tuple[int, int, int]:
    red, green, blue = frame.crop((*at, at[0] + 1, at[1] + 1)).tobytes()
    return red, green, blue


def picture(colour: str, size: tuple[int, int] = (320, 240), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def middle(frame: Image.Image) -> Image.Image:
    """The part of a frame between the marks above and the words below."""
    width, height = frame.size
    return frame.crop((0, round(height * 0.3), width, round(height * 0.45)))


def plain(colour: str, frame: Image.Image) -> Image.Image:
    return Image.new("RGB", frame.size, colour)


# --- the catalogue ----------------------------------------------------------------------------------------------


def test_catalogue_says_placeholder_and_costs_nothing() -> None:
    assert (SPEC.id, SPEC.name, SPEC.placeholder) == ("sandbox/sandbox", "sandbox", True)
    assert "placeholder" in SPEC.title.lower()
    assert SPEC.camera is not None
    assert SPEC.camera.moves == CAMERA_MOVES
    assert set(SPEC.options["fail"].choices) == set(FAILURES)
    assert all(option.description for option in SPEC.options.values())
    assert set(Task) - set(SPEC.tasks) == {Task.ANIMATE_CHARACTER, Task.CHANGE_FRAME_RATE, Task.CONVERT_TO_HDR}
    quote = estimate(SPEC, call_for(duration=8).request)
    assert (quote.low, quote.high) == (Decimal(0), Decimal(0))


def test_defaults() -> None:
    request = resolve(SPEC, VideoRequest.make("A paper boat")).request
    assert (request.duration, request.resolution, request.aspect_ratio) == (4, "360p", "16:9")
    assert (request.audio, request.fps) == (False, 24)


@pytest.mark.parametrize(
    ("field", "value"),
    [("duration", 0.4), ("duration", 60.5), ("fps", 23), ("resolution", "4k"), ("aspect_ratio", "2:1"), ("count", 5)],
)
def test_what_it_cannot_render_is_refused(field: str, value: Any) -> None:
    assert [violation.field for violation in check(SPEC, VideoRequest.make("x", **{field: value}))] == [field]


def test_a_source_clip_by_address_is_refused() -> None:
    request = VideoRequest.make("x", video="https://example.com/a.mp4")
    assert [violation.field for violation in check(SPEC, request)] == ["video"]


def test_provider() -> None:
    provider = videogen_provider()
    assert (provider.name, provider.reconcile, provider.concurrency) == ("sandbox", "by_list", 1000)
    provider.check_ready({}, {})


# --- honest clips -----------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("fields", "frames"),
    [
        ({"duration": 1, "fps": 8}, 8),
        ({"duration": 0.5, "fps": 60, "audio": True, "resolution": "240p"}, 30),
        ({"duration": 2.5, "fps": 15, "audio": True, "aspect_ratio": "9:16"}, 38),
        ({"duration": 0.7, "fps": 25, "aspect_ratio": "21:9", "resolution": "360p"}, 18),
        ({"duration": 0.5, "fps": 24, "aspect_ratio": "4:3", "resolution": "1080p"}, 12),
    ],
)
async def test_clip_is_what_was_asked(session: SandboxSession, fields: dict[str, Any], frames: int) -> None:
    call = call_for(**fields)
    clip = await clip_of(session, call)
    seconds = frames / fields["fps"]
    with av.open(io.BytesIO(clip), mode="r") as container:
        video = container.streams.video[0]
        assert (video.width, video.height) == frame_size(SPEC, call.request)
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (video.average_rate, video.frames) == (fields["fps"], frames)
        assert video.duration
        assert video.time_base
        assert float(video.duration * video.time_base) == pytest.approx(seconds)
        assert len(container.streams.audio) == bool(fields.get("audio"))
        assert len(list(container.decode(video))) == frames
        assert (container.duration or 0) / 1e6 == pytest.approx(seconds, abs=0.01)


@pytest.mark.anyio
async def test_tone(session: SandboxSession) -> None:
    clip = await clip_of(session, call_for(audio=True, duration=1))
    with av.open(io.BytesIO(clip), mode="r") as container:
        sound = container.streams.audio[0]
        assert (sound.codec_context.name, sound.rate, sound.layout.name) == ("aac", 48_000, "stereo")
        samples: list[float] = []
        for frame in container.decode(sound):
            samples += memoryview(frame.planes[0]).cast("f")[: frame.samples]
    assert len(samples) == pytest.approx(48_000, abs=2048)
    assert 0.15 < max(samples[20_000:30_000]) < 0.25
    assert max(map(abs, samples[:50])) < 0.02  # faded in: no click


@pytest.mark.anyio
async def test_index_is_at_the_front_and_metadata_says_placeholder(session: SandboxSession) -> None:
    clip = await clip_of(session, call_for(seed=77))
    assert 0 < clip.index(b"moov") < clip.index(b"mdat")
    with av.open(io.BytesIO(clip), mode="r") as container:
        assert container.metadata["title"] == "videogen sandbox placeholder"
        assert "videogen sandbox placeholder" in container.metadata["comment"]
        assert "seed 77" in container.metadata["comment"]


@pytest.mark.anyio
async def test_seed_decides(session: SandboxSession) -> None:
    clips = {seed: await clip_of(session, call_for(seed=seed)) for seed in (1, 2)}
    assert clips[1] == await clip_of(session, call_for(seed=1))
    assert clips[1] != clips[2]
    assert await clip_of(session, call_for("a")) == await clip_of(session, call_for("a"))


@pytest.mark.anyio
async def test_clips_of_one_job_differ(session: SandboxSession) -> None:
    snapshot = await run(session, call_for(count=3))
    assert len({output.data for output in snapshot.outputs}) == 3
    for output in snapshot.outputs:
        assert output.data is not None
        assert output.sha256 == hashlib.sha256(output.data).hexdigest()
        assert output.size == len(output.data)


@pytest.mark.anyio
async def test_pictures_move(session: SandboxSession) -> None:
    frames = [middle(frame) for frame in pictures(await clip_of(session, call_for(duration=2)))]
    assert distance(frames[0], frames[-1]) > 2
    assert all(distance(a, b) > 0.1 for a, b in itertools.pairwise(frames))


@pytest.mark.parametrize("move", CAMERA_MOVES)
def test_camera_moves_the_picture(move: str) -> None:
    base: dict[str, Any] = {"width": 256, "height": 144, "fps": 8, "duration": 1.0, "seed": 3}
    still = pictures(render(RenderSpec(**base, camera=("static shot",))))
    moved = pictures(render(RenderSpec(**base, camera=(move,))))
    changed = max(distance(a, b) for a, b in zip(still, moved, strict=True))
    assert changed == 0 if move == "static shot" else changed > 0.3


@pytest.mark.anyio
async def test_prompt_is_legible_and_mark_is_there_in_every_frame(session: SandboxSession) -> None:
    for seed in range(6):
        frames = pictures(await clip_of(session, call_for("A paper boat drifting", seed=seed, resolution="360p")))
        for frame in frames:
            panel = frame.crop((36, 270, 400, 340)).convert("L")
            levels = sorted(panel.tobytes())
            dark, bright = levels[0], levels[-1]
            assert bright > 235
            assert ImageStat.Stat(panel).median[0] < 110
            assert dark < 60
            red, green, blue = pixel(frame, (26, 33))
            assert red > 220
            assert 150 < green < 220
            assert blue < 120


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain  text\nhere", "plain text here"),
        ("Café Łódź", "Cafe Lodz"),
        ("雨 ok", "\\u96e8 ok"),
        ("🎬", "\\U0001f3ac"),
        ("a\u200bb\u0007", "a\\u200bb\\x07"),
        ("e\u0301", "e"),
        ("1920\u00d71080 \u2014 x", "1920x1080 - x"),
    ],
)
def test_characters_that_the_font_lacks_are_spelt_out(text: str, shown: str) -> None:
    assert drawable(text) == shown


@pytest.mark.parametrize("prompt", ["x" * 20_000, "雨" * 3000, "word " * 4000, "", "\\", "a\\u12"])
@pytest.mark.parametrize("size", [(144, 336), (336, 144)])
def test_any_prompt_fits(prompt: str, size: tuple[int, int]) -> None:
    captions = ("one " * 30, "camera: shake", "avoid: blur")
    spec = RenderSpec(prompt=prompt, width=size[0], height=size[1], fps=8, duration=0.5, captions=captions)
    assert len(pictures(render(spec))) == 4


def test_same_bytes_in_another_process() -> None:
    fields: dict[str, Any] = {
        "prompt": "A boat",
        "width": 256,
        "height": 144,
        "fps": 8.0,
        "duration": 0.5,
        "audio": True,
        "seed": 5,
    }
    code = (
        "import sys, hashlib; from videogen_core.sandbox.render import RenderSpec, render;"
        f"print(hashlib.sha256(render(RenderSpec(**{fields!r}))).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == hashlib.sha256(render(RenderSpec(**fields))).hexdigest()


def test_equal_clips_are_rendered_once() -> None:
    ticks: list[int] = []
    for _ in range(2):
        render(RenderSpec(prompt="once", width=64, height=64, fps=8, duration=1), tick=lambda: ticks.append(1))
    assert len(ticks) == 8


# --- inputs -----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_first_frame_is_shown_whole(session: SandboxSession) -> None:
    frames = pictures(await clip_of(session, call_for(image=picture("red"), duration=1)))
    below = frames[0].crop((0, 40, 256, 140))
    assert distance(below, plain("red", below)) < 6
    assert distance(frames[0], frames[-1]) > 5  # the words came in


@pytest.mark.anyio
async def test_last_frame_is_reached(session: SandboxSession) -> None:
    frames = pictures(await clip_of(session, call_for(image=picture("red"), last_frame=picture("blue"), duration=1)))
    ends = [frame.crop((0, 40, 256, 140)) for frame in (frames[0], frames[-1])]
    assert distance(ends[0], plain("red", ends[0])) < 6
    assert distance(ends[1], plain("blue", ends[1])) < 6
    half = middle(frames[4])
    assert min(distance(half, plain("red", half)), distance(half, plain("blue", half))) > 20


@pytest.mark.anyio
async def test_references_are_shown(session: SandboxSession) -> None:
    reference = picture("lime", kind="JPEG")
    call = call_for(reference_images=[reference, reference], resolution="360p", seed=4)
    frames = pictures(await clip_of(session, call))
    red, green, blue = pixel(frames[0], (54, 97))
    assert green > 200 > max(red, blue)


@pytest.mark.anyio
async def test_handle_keeps_small_pictures(session: SandboxSession) -> None:
    noise = Image.effect_noise((2400, 1800), 90).convert("RGB")
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    submission = await session.submit(call_for(image=buffer.getvalue(), resolution="1080p"))
    kept = base64.b64decode(submission.handle["image"])
    assert len(kept) <= 256 * 1024
    assert Image.open(io.BytesIO(kept)).size == (1280, 720)


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["image", "video"])
async def test_unreadable_input_is_refused_before_the_job_exists(session: SandboxSession, field: str) -> None:
    given: dict[str, Any] = {field: b"not a picture at all"}
    with pytest.raises(RejectedRequestError, match="cannot read") as caught:
        await session.submit(call_for(duration=None, **given))
    assert caught.value.accepted is False


def source_clip() -> bytes:
    """Half a second of red, then half a second of blue."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 128, "yuv420p"
        for number in range(8):
            picture = Image.new("RGB", (96, 128), "red" if number < 4 else "blue")
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))  # type: ignore[no-untyped-call]
        container.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.anyio
@pytest.mark.parametrize("task", ["edit_video", "upscale_video"])
async def test_edit_keeps_the_source(session: SandboxSession, tmp_path: Path, task: str) -> None:
    path = tmp_path / "source.mp4"
    path.write_bytes(source_clip())
    frames = pictures(await clip_of(session, call_for(task=task, video=path, fps=16, resolution="240p")))
    assert [frame.size for frame in frames] == [(240, 320)] * 16
    for number, colour in ((0, "red"), (7, "red"), (9, "blue"), (15, "blue")):
        part = middle(frames[number])
        assert distance(part, plain(colour, part)) < 12, number


@pytest.mark.anyio
async def test_extend_goes_on_from_the_last_frame(session: SandboxSession) -> None:
    call = call_for(task="extend_video", video=source_clip(), aspect_ratio="3:4")
    part = middle(pictures(await clip_of(session, call))[0])
    assert distance(part, plain("blue", part)) < 12


@pytest.mark.anyio
async def test_source_that_is_gone_fails_honestly(session: SandboxSession, tmp_path: Path) -> None:
    path = tmp_path / "source.mp4"
    path.write_bytes(source_clip())
    call = call_for(video=path, task="edit_video")
    submission = await session.submit(call)
    path.unlink()
    snapshot = await session.poll(job_of(call, submission))
    assert snapshot.status is JobStatus.FAILED
    assert isinstance(snapshot.error, GenerationFailedError)
    assert (snapshot.error.charged, snapshot.cost) == (False, Decimal(0))


# --- time -------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_stages_and_progress_follow_the_clock(session: SandboxSession, clock: FakeClock) -> None:
    call = call_for(o_queue=5, o_delay=10)
    submission = await session.submit(call)
    assert submission.poll_after == 0.5
    job = job_of(call, submission)
    seen = []
    for _ in range(16):
        snapshot = await session.poll(job)
        seen.append((snapshot.status, snapshot.progress))
        if snapshot.status is not JobStatus.SUCCEEDED:
            assert snapshot.poll_after is not None
            assert 0 < snapshot.poll_after <= 5
        clock.now += 1
    assert [status for status, _ in seen] == [JobStatus.QUEUED] * 5 + [JobStatus.RUNNING] * 10 + [JobStatus.SUCCEEDED]
    progress = [share for _, share in seen if share is not None]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert all(share < 1 for share in progress[:-1])


@pytest.mark.anyio
async def test_any_process_can_take_a_job_up(session: SandboxSession, clock: FakeClock) -> None:
    call = call_for(image=picture("red"), o_delay=3, seed=9)
    submission = await session.submit(call)
    assert submission.provider_job_id == "sb-vg-1-a1"
    clock.now += 4
    there = await SandboxSession(clock).poll(job_of(call, submission))
    assert there.outputs == (await session.poll(job_of(call, submission))).outputs
    assert there.status is JobStatus.SUCCEEDED


@pytest.mark.anyio
async def test_cancel(session: SandboxSession, clock: FakeClock) -> None:
    call = call_for(o_delay=10)
    job = job_of(call, await session.submit(call))
    stopped = await session.cancel(job)
    assert (stopped.accepted, stopped.gone, stopped.cost) == (True, True, Decimal(0))
    clock.now += 10
    assert (await session.cancel(job)).accepted is False


@pytest.mark.anyio
async def test_a_cancelled_poll_stops_rendering() -> None:
    session = SandboxSession()
    call = call_for(duration=60, resolution="1080p", fps=60)
    with anyio.fail_after(10):
        with anyio.move_on_after(0.3) as scope:
            await run(session, call)
    assert scope.cancelled_caught


# --- trouble ----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("kind", FAILURES)
async def test_failure_at_submit(session: SandboxSession, kind: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await session.submit(call_for(o_fail=kind))
    error = caught.value
    assert type(error) is FAILURES[kind][0]
    assert (error.accepted, error.charged) == (False, False)
    assert (error.provider, error.model, error.code) == ("sandbox", "sandbox/sandbox", kind)
    assert error.hint
    assert pickle.loads(pickle.dumps(error)).code == kind
    assert (error.retry_after is not None) == isinstance(error, RateLimitError)
    assert await session.find(call_for(o_fail=kind), NOW) == ()


@pytest.mark.anyio
@pytest.mark.parametrize("charged", [True, False])
@pytest.mark.parametrize("kind", FAILURES)
async def test_failure_at_poll(session: SandboxSession, kind: str, charged: bool) -> None:
    snapshot = await run(session, call_for(o_fail=kind, o_fail_at="poll", o_charged=charged, o_cost=0.35))
    assert snapshot.status is JobStatus.FAILED
    assert type(snapshot.error) is FAILURES[kind][0]
    assert snapshot.error.charged is charged
    assert snapshot.cost == (Decimal("0.35") if charged else Decimal(0))


@pytest.mark.anyio
async def test_refusal_comes_after_acceptance(session: SandboxSession, clock: FakeClock) -> None:
    call = call_for(o_refuse=True, o_delay=2)
    job = job_of(call, await session.submit(call))
    assert (await session.poll(job)).status is JobStatus.RUNNING
    clock.now += 2
    assert isinstance((await session.poll(job)).error, ContentPolicyError)


@pytest.mark.anyio
async def test_lost_reply_can_be_found(session: SandboxSession, clock: FakeClock) -> None:
    call = call_for(o_lose_reply=True, image=picture("red"))
    with pytest.raises(ConnectionResetError):
        await session.submit(call)
    (found,) = await SandboxSession(clock).find(call, NOW)
    assert (found.ours, found.age) == (True, clock() - NOW.timestamp())
    assert found.submission.handle["submitted_at"] == NOW.timestamp()
    assert (await session.poll(job_of(call, found.submission))).status is JobStatus.SUCCEEDED
    assert await session.find(call_for(o_lose_reply=True, o_findable=False), NOW) == ()


@pytest.mark.anyio
async def test_partial_success_and_cost(session: SandboxSession) -> None:
    snapshot = await run(session, call_for(count=3, o_outputs=2, o_cost=0.1))
    assert (len(snapshot.outputs), snapshot.cost) == (2, Decimal("0.1"))
    assert "2 of 3" in snapshot.message


# --- weight -----------------------------------------------------------------------------------------------------


def test_importing_and_listing_load_no_media_library() -> None:
    code = (
        "import sys; from videogen_core.sandbox.plugin import videogen_provider;"
        "p = videogen_provider(); p.models(); p.check_ready({}, {});"
        "print(sorted({'av', 'PIL', 'httpx', 'apsw'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
