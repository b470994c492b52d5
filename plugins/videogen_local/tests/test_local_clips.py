"""Tiny pipelines of every family, from their folder to a clip that plays: the real path, on the processor."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_rig import client, look, model, need_torch, steps
from videogen_core import (
    Event,
    GenerationFailedError,
    JobCancelledError,
    JobStatus,
    NoRouteError,
    UnsupportedRequestError,
)

need_torch()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries, about themselves
    import numpy as np
    import torch
    from PIL import Image

    import tiny
    from tiny.worlds import LetsAllPass
    from videogen_local.families import Nearest
    from videogen_local.here import devices, lanes, loading, running, working
    from videogen_local.here.encoding import write_mp4
    from videogen_local.memory import of_folder
    from videogen_local.plans import Plan

pytestmark = pytest.mark.filterwarnings("ignore")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny pipeline by name, made when it is first wanted."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        for package in tiny.TINY[name].needs:
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{name} needs {package}, which is not installed")
        if name not in made:
            made[name] = tiny.save(name, tmp_path_factory.mktemp("pipelines") / name)
        return made[name]

    return folder


RED = Image.new("RGB", (50, 30), "red")
BLUE = Image.new("RGB", (20, 30), "blue")


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What clips begin from, by the field of the request."""
    video = tmp_path_factory.mktemp("inputs") / "noise.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), dtype=np.uint8)
    write_mp4(video, noise, 16, about={})
    return {"image": RED, "last_frame": BLUE, "video": video, "reference_images": [RED]}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The steps and phases that are told, and the pipeline that was loaded last."""
    found: dict[str, Any] = {"steps": [], "phases": []}
    step, phase, load = working.Reporter.step, working.Reporter.phase, loading.load

    def stepped(self: Any, done: int, total: int) -> None:
        found["steps"].append((done, total))
        step(self, done, total)

    def entered(self: Any, name: str) -> None:
        found["phases"].append(name)
        phase(self, name)

    def loaded(order: Any, device: str) -> Any:
        found["pipe"], found["order"] = load(order, device), order
        return found["pipe"]

    monkeypatch.setattr(working.Reporter, "step", stepped)
    monkeypatch.setattr(working.Reporter, "phase", entered)
    monkeypatch.setattr(loading, "load", loaded)
    return found


@pytest.fixture
def no_guardrail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cosmos judges every clip with gigabytes of models; here all pass."""
    from diffusers.pipelines.cosmos import (
        pipeline_cosmos2_5_predict,
        pipeline_cosmos2_video2world,
        pipeline_cosmos_text2world,
        pipeline_cosmos_video2world,
    )

    for module in (
        pipeline_cosmos2_5_predict,
        pipeline_cosmos2_video2world,
        pipeline_cosmos_text2world,
        pipeline_cosmos_video2world,
    ):
        monkeypatch.setattr(module, "CosmosSafetyChecker", LetsAllPass)


@pytest.mark.usefixtures("no_guardrail")
@pytest.mark.parametrize("name", tiny.TINY)
def test_every_family_makes_a_clip_that_plays(
    name: str, pipelines: Any, given: dict[str, Any], seen: dict[str, Any], tmp_path: Path
) -> None:
    events: list[Event] = []
    pipeline = tiny.TINY[name]
    folder = pipelines(name)
    inputs = {field: given[field] for field in pipeline.given}

    def make(seed: int, **more: Any) -> Any:
        output = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}.mp4"
        return videogen.generate("a red circle", model=model(folder), seed=seed, output=output, **inputs, **more)

    with client(tmp_path / "home") as videogen:
        (spec,) = [videogen.workspace.registry.discovery.find(model(folder))]
        assert spec is not None
        result = make(7, on_event=events.append)
        steps_told = list(seen["steps"])
        again = make(7)
    clip = look(result.path)
    assert (clip.width, clip.height, clip.frames) == (pipeline.side, pipeline.side, pipeline.frames)
    assert (clip.codec, clip.pixels, clip.index_first) == ("h264", "yuv420p", True)
    assert clip.fps == pytest.approx(spec.output_fps or spec.default.fps)
    assert (clip.sound == "aac") is pipeline.sound
    if clip.sound:
        assert clip.sound_seconds == pytest.approx(clip.seconds, abs=1 / clip.fps + 0.05)
    assert clip.about["seed"] == 7
    assert clip.about["versions"]["diffusers"]
    assert again.videos[0].sha256 == result.videos[0].sha256, "a seed makes the same clip on one device"
    assert event_order(events)
    assert in_order(steps_told)
    assert_switches(seen["pipe"], seen["order"])


def in_order(told: list[tuple[int, int]]) -> bool:
    """Every step once, through all sections of the clip, to the last one of those that were promised."""
    done, totals = [step for step, _ in told], {total for _, total in told}
    return done == sorted(set(done)) and len(totals) == 1 and done[-1] in totals


def assert_switches(pipe: Any, order: Any) -> None:
    """The file of families says what the denoisers of this diffusers can do."""
    family = order.family
    for module in loading.denoisers(pipe, order):
        processors = [getattr(each, "processor", None) for each in module.modules()]
        assert family.compiles == bool(getattr(module, "_repeated_blocks", None))
        assert family.attends == any(hasattr(each, "_attention_backend") for each in processors)
        assert not family.caches or hasattr(module, "enable_cache")
        assert not family.parallel or getattr(module, "_cp_plan", None)


def event_order(events: list[Event]) -> bool:
    """Progress only rises, and ends at 1."""
    shares = [event.progress for event in events if event.progress is not None]
    return shares == sorted(shares) and shares[-1] == 1.0


def test_each_step_is_told_with_the_time_that_is_left(pipelines: Any, tmp_path: Path, slow: Any) -> None:
    slow(0.25)
    events: list[Event] = []
    with client(tmp_path / "home") as videogen:
        videogen.generate(
            "a boat", model=model(pipelines("wan")), on_event=events.append, options={"local": {"steps": 4}}
        )
    assert steps(events)[:3] == ["1/4", "2/4", "3/4"], "what comes after the last one may be quicker than a poll"
    left = [event.data["remaining"] for event in events if event.message.startswith("denoising 1/4")]
    assert 0.5 < left[0] < 3, "three steps of a quarter of a second"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every denoising step take its time."""
    usual = working.Reporter.step

    def by(seconds: float) -> None:
        def step(self: Any, done: int, total: int) -> None:
            time.sleep(seconds)
            usual(self, done, total)

        monkeypatch.setattr(working.Reporter, "step", step)

    return by


def test_without_a_seed_one_is_drawn_and_told(pipelines: Any, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        results = [videogen.generate("a boat", model=model(pipelines("wan"))) for _ in range(2)]
        seeds = {look(result.path).about["seed"] for result in results if result.path}
        assert len(seeds) == 2
        again = videogen.generate("a boat", model=model(pipelines("wan")), seed=look(results[0].path).about["seed"])
    assert again.videos[0].sha256 == results[0].videos[0].sha256


def test_a_second_job_loads_nothing_and_a_changed_folder_is_loaded_again(
    pipelines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    usual = loading.load
    monkeypatch.setattr(loading, "load", lambda order, device: (loads.append(order.folder), usual(order, device))[1])
    folder = tiny.save("wan", tmp_path / "Pipeline")
    with client(tmp_path / "home") as videogen:
        for prompt in ("a boat", "a cat"):
            videogen.generate(prompt, model=model(folder), seed=1)
    with client(tmp_path / "home") as videogen:
        videogen.generate("a boat", model=model(folder), seed=1)
        assert len(loads) == 1, "another client of the same process finds it loaded"
        tiny.save("wan", folder)
        videogen.generate("a boat", model=model(folder), seed=1)
    assert len(loads) == 2


def test_the_oldest_pipeline_goes_when_there_is_too_little_room(
    pipelines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    usual = loading.load
    monkeypatch.setattr(loading, "load", lambda order, device: (loads.append(order.folder), usual(order, device))[1])
    with client(tmp_path / "home", warm_gb=0.0004) as videogen:
        for name in ("wan", "wan", "ltx", "ltx", "wan"):
            videogen.generate("a boat", model=model(pipelines(name)))
    assert [Path(folder).name for folder in loads] == ["wan", "ltx", "wan"]


def test_cancel_stops_at_the_next_step_and_the_next_job_is_fine(
    pipelines: Any, tmp_path: Path, slow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    boat, cat = pipelines("wan"), pipelines("ltx")  # none can be made while another one loads
    decoded: list[int] = []
    usual = diffusers.AutoencoderKLWan.decode
    monkeypatch.setattr(
        diffusers.AutoencoderKLWan, "decode", lambda self, *a, **k: (decoded.append(1), usual(self, *a, **k))[1]
    )
    slow(0.1)
    with client(tmp_path / "home") as videogen:
        job = videogen.submit("a boat", model=model(boat), options={"local": {"steps": 500}})
        waiting = videogen.submit("a cat", model=model(cat))
        until(lambda: _denoising(tmp_path / "home"))
        waiting.cancel()
        job.cancel()
        for each in (waiting, job):
            with pytest.raises(JobCancelledError):
                each.wait(timeout=20)
            assert each.status == JobStatus.CANCELLED
        assert decoded == []
        result = videogen.generate("a boat", model=model(pipelines("wan")), options={"local": {"steps": 2}})
    assert result.path is not None
    assert look(result.path).frames == 9
    assert decoded == [1]


def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def _denoising(home: Path) -> bool:
    return any(b'"denoising"' in path.read_bytes() for path in home.glob("providers/local/jobs/*/state.json"))


@pytest.mark.parametrize("kind", ["twice", "once"])
def test_memory_that_runs_out_costs_one_rung_and_then_the_job(
    pipelines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    plans = (Plan(placement="resident"), Plan(placement="resident", tiling=True), Plan(placement="leaf_offload"))
    monkeypatch.setattr(working, "plans_for", lambda order, device: plans)
    usual, tries = running.run, []

    def run(*args: Any) -> Any:
        tries.append(args[0].vae.use_tiling)
        if len(tries) == 1 or kind == "twice":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return usual(*args)

    monkeypatch.setattr(working, "run", run)
    with client(tmp_path / "home") as videogen:
        if kind == "twice":
            with pytest.raises(GenerationFailedError, match="Memory ran out on cpu") as caught:
                videogen.generate("a boat", model=model(pipelines("wan")))
            assert caught.value.charged is False
            assert "fewer frames" in (caught.value.hint or "")
        else:
            result = videogen.generate("a boat", model=model(pipelines("wan")))
            assert result.path is not None
            assert look(result.path).about["plan"] == "resident+tiling"
    assert tries == [False, True], "one step down, not more"


def test_numbers_that_are_no_colours_fail_the_job(pipelines: Any, tmp_path: Path) -> None:
    folder = tiny.save("wan", tmp_path / "broken", spoil=True)
    with client(tmp_path / "home") as videogen, pytest.raises(GenerationFailedError, match="NaN"):
        videogen.generate("a boat", model=model(folder))


@pytest.mark.parametrize(
    "plan", ["resident+tiling", "model_offload", "group_offload+tiling", "leaf_offload", "resident+fp8"]
)
def test_every_plan_makes_a_clip(plan: str, pipelines: Any, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        found = {}
        for name in ("resident", plan):
            options = {"local": {"plan": name}}
            result = videogen.generate("a boat", model=model(pipelines("wan")), seed=1, options=options)
            assert result.path is not None
            found[name] = look(result.path)
            assert found[name].about["plan"] == name
    assert found[plan].frames == found["resident"].frames


def test_a_decoder_besides_the_vae_is_the_one_that_is_told_and_tiled(
    pipelines: Any, seen: dict[str, Any], tmp_path: Path
) -> None:
    with client(tmp_path / "home") as videogen:
        options = {"local": {"plan": "resident+tiling"}}
        videogen.generate("a boat", model=model(pipelines("ltx-2.5-modular")), options=options)
    assert seen["phases"][seen["phases"].index("denoising") :][:2] == ["denoising", "decoding"]
    assert seen["pipe"].diffusion_decoder.use_tiling
    assert not seen["pipe"].vae.use_tiling


def test_weights_that_no_task_loads_are_not_counted_either(
    pipelines: Any, seen: dict[str, Any], tmp_path: Path
) -> None:
    folder = pipelines("h3")
    with client(tmp_path / "home") as videogen:
        videogen.generate("a boat", model=model(folder))
    assert (folder / "transformer_ref").is_dir()
    assert getattr(seen["pipe"], "transformer_ref", None) is None
    clip = Nearest(frames=124, width=32, height=32)
    counted = of_folder(folder, seen["order"].family)(clip).components
    assert "transformer" in counted
    assert "transformer_ref" not in counted


def test_an_adaptation_is_laid_over_and_taken_off(pipelines: Any, tmp_path: Path) -> None:
    folder = pipelines("wan")
    style = tiny.lora(folder, tmp_path / "style.safetensors")
    with client(tmp_path / "home") as videogen:

        def sha(**options: Any) -> str:
            return videogen.generate("a boat", model=model(folder), seed=1, options={"local": options}).videos[0].sha256

        plain = sha()
        adapted = sha(loras=[{"path": str(style), "scale": 1.0}])
        assert adapted != plain
        assert sha(loras=[{"path": str(style), "scale": 0.0}]) not in (adapted,)
        assert sha() == plain, "the next job has none"
        with pytest.raises(GenerationFailedError, match="does not fit this model"):
            sha(loras=[str(tiny.lora(pipelines("ltx"), tmp_path / "other.safetensors"))])
        assert sha() == plain


def test_wrong_counts_and_sizes_are_violations_with_the_nearest_that_works(pipelines: Any, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        name = model(pipelines("wan"))
        (frames,) = videogen.check("a boat", model=name, options={"local": {"num_frames": 8}})
        assert (frames.field, frames.nearest) == ("options.local.num_frames", 9)
        (width,) = videogen.check("a boat", model=name, options={"local": {"width": 30}})
        assert width.nearest == 32
        with pytest.raises(UnsupportedRequestError):
            videogen.generate("a boat", model=name, options={"local": {"num_frames": 8}})
        clip = videogen.generate("a boat", model=name, options={"local": {"num_frames": 13, "width": 32, "height": 48}})
        assert clip.path is not None
        seen = look(clip.path)
    assert (seen.frames, seen.width, seen.height) == (13, 32, 48)


def test_the_guidance_of_a_component_is_put_back(pipelines: Any, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        name = model(pipelines("hunyuan-1.5"))
        shas = [
            videogen.generate("a boat", model=name, seed=1, options={"local": {"guidance_scale": scale}})
            .videos[0]
            .sha256
            for scale in (1.5, 9.0, 1.5)
        ]
    assert shas[0] == shas[2] != shas[1]


def test_several_devices_take_several_jobs_and_others_wait_in_order(
    pipelines: Any, tmp_path: Path, slow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "chosen", lambda settings: ("cpu", "cpu:1"))
    usual, at = working.work, []

    def work(reporter: Any, warm: Any) -> None:
        at.append((reporter.job, reporter.state.device))
        usual(reporter, warm)

    monkeypatch.setattr(working, "work", work)
    slow(0.2)
    with client(tmp_path / "home", warm_gb=1) as videogen:
        jobs = [videogen.submit(f"boat {n}", model=model(pipelines("wan"))) for n in range(4)]
        for job in jobs:
            job.wait()
    order = [job for job, _ in at]
    assert order == [job.provider_job_id for job in jobs]
    assert {device for _, device in at} == {"cpu", "cpu:1"}


@pytest.mark.parametrize("name", ["ltx-2", "kandinsky-6"])
def test_sound_can_be_left_out(name: str, pipelines: Any, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        silent = videogen.generate("a boat", model=model(pipelines(name)), audio=False)
    assert silent.path is not None
    assert look(silent.path).sound is None


def test_a_long_clip_is_made_in_windows_and_counted_through(
    pipelines: Any, seen: dict[str, Any], tmp_path: Path
) -> None:
    name, options = model(pipelines("skyreels-forcing")), {"local": {"steps": 2}}
    with client(tmp_path / "home") as videogen:
        result = videogen.generate("a boat", model=name, duration=100 / 24, options=options)
    assert result.path is not None
    assert look(result.path).frames == 101
    assert [told for told in seen["steps"] if told[0] == told[1]] == [(4, 4)], "two windows of two steps"


def test_a_package_that_only_one_family_needs_is_asked_for_before_anything_is_loaded(
    tmp_path: Path, seen: dict[str, Any]
) -> None:
    folder = tiny.save("cosmos", tmp_path / "cosmos")
    corrections = folder / "videogen.toml"
    corrections.write_text(corrections.read_text().replace("needs = []", 'needs = ["no_such_guardrail"]'))
    with client(tmp_path / "home") as videogen, pytest.raises(NoRouteError, match="no_such_guardrail"):
        videogen.generate("a boat", model=model(folder))
    assert "pipe" not in seen


def test_frames_of_odd_sides_are_made_even(tmp_path: Path) -> None:
    from videogen_local.here.encoding import Sound

    frames = np.zeros((5, 33, 31, 3), np.uint8)
    short = Sound(np.zeros(800), 16_000)
    write_mp4(tmp_path / "odd.mp4", frames, 23.976, sound=short, about={"seed": 2**62})
    clip = look(tmp_path / "odd.mp4")
    assert (clip.width, clip.height, clip.frames, clip.about) == (32, 34, 5, {"seed": 2**62})
    assert clip.fps == pytest.approx(24000 / 1001, abs=1e-3)
    assert clip.sound_seconds == pytest.approx(clip.seconds, abs=0.1)


def test_lanes_are_shared_within_a_process(tmp_path: Path) -> None:
    assert lanes.lanes(tmp_path, {"devices": ["cpu"]}) is lanes.lanes(tmp_path, {"devices": ["cpu"]})
    assert lanes.lanes(tmp_path, {"devices": ["cpu"]}) is not lanes.lanes(tmp_path / "other", {"devices": ["cpu"]})


def test_the_same_frames_are_the_same_file_each_time(tmp_path: Path) -> None:
    """Looking ahead, x264 decides otherwise in one of a hundred clips that are as small as this."""
    frames = np.random.default_rng(1).integers(0, 255, (9, 16, 16, 3)).astype(np.uint8)
    made = set()
    for _ in range(250):
        write_mp4(tmp_path / "clip.mp4", frames, 9, about={"seed": 1})
        made.add((tmp_path / "clip.mp4").read_bytes())
    assert len(made) == 1
