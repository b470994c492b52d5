"""The facts of pipeline classes: frames, sizes, offers made of them, and the installed diffusers beside them."""

from __future__ import annotations

import inspect
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from videogen_core import Client, ModelSpec, UnsupportedRequestError
from videogen_core.capabilities import check, frame_size, resolve
from videogen_core.request import Task, VideoRequest
from videogen_local.configs import dimensions, fitted
from videogen_local.families import FAMILIES, Compression, Family, FrameRule, nearest
from videogen_local.plugin import LocalProvider
from videogen_local.rows import completed, family_of, offer_fields

ROWS = {spec.id: spec for spec in LocalProvider().models() if "repo" in spec.vendor}
families = pytest.mark.parametrize("name", sorted(FAMILIES))
rows = pytest.mark.parametrize("name", sorted(ROWS))

rules = st.builds(
    lambda step, offset, first, count: FrameRule(
        step=step,
        offset=offset % step,
        minimum=offset % step + step * first,
        maximum=offset % step + step * (first + count),
    ),
    st.integers(1, 33),
    st.integers(0, 32),
    st.integers(1, 5),
    st.integers(0, 50),
)


# --- rules


@given(rule=rules, asked=st.floats(-100, 10_000))
def test_the_nearest_count_is_one_of_the_rule_and_none_is_nearer(rule: FrameRule, asked: float) -> None:
    members = range(rule.minimum, rule.maximum + 1, rule.step)
    assert rule.nearest(asked) in rule
    assert abs(rule.nearest(asked) - asked) <= min(abs(member - asked) for member in members) + 1e-9
    enough = [member for member in members if member >= asked - 1e-6 * rule.step]
    assert rule.at_least(asked) == (enough[0] if enough else rule.maximum)


@given(rule=rules, count=st.integers(-50, 3000))
def test_a_count_is_of_the_rule_when_it_is_its_own_nearest(rule: FrameRule, count: int) -> None:
    assert (count in rule) == (rule.nearest(count) == count)


@pytest.mark.parametrize(
    ("name", "asked", "near"),
    [
        ("WanPipeline", 8, 9),
        ("WanPipeline", 10, 9),
        ("WanPipeline", 11, 13),
        ("LTXPipeline", 100, 97),
        ("LTXPipeline", 1, 9),
        ("MochiPipeline", 84, 85),
        ("MiniMaxH3ModularPipeline", 130, 124),
        ("MiniMaxH3ModularPipeline", 133, 141),
        ("MiniMaxH3ModularPipeline", 999, 345),
        ("HeliosPipeline", 100, 99),
    ],
)
def test_the_table_of_snapping(name: str, asked: int, near: int) -> None:
    assert FAMILIES[name].frames.nearest(asked) == near


@pytest.mark.parametrize(
    ("name", "seconds", "frames"),
    [
        ("WanPipeline", 5, 81),
        ("LTX2Pipeline", 5, 121),
        ("CogVideoXPipeline", 6, 49),
        ("HunyuanVideo15Pipeline", 5, 121),
        ("MiniMaxH3ModularPipeline", 5, 124),
        ("AllegroPipeline", 88 / 15, 88),
    ],
)
def test_seconds_become_the_frames_that_the_makers_name(name: str, seconds: float, frames: int) -> None:
    assert FAMILIES[name].frames_for(seconds) == frames


@given(name=st.sampled_from(sorted(FAMILIES)), seconds=st.floats(0.01, 100))
def test_a_clip_is_never_shorter_than_asked_while_the_rule_allows(name: str, seconds: float) -> None:
    family = FAMILIES[name]
    frames = family.frames_for(seconds)
    assert frames in family.frames
    assert family.seconds_of(frames) >= seconds - 0.01 or frames == family.frames.maximum


@given(
    name=st.sampled_from(sorted(FAMILIES)),
    frames=st.floats(-10, 5000),
    width=st.floats(-10, 9000),
    height=st.floats(1, 9000),
)
def test_the_nearest_clip_obeys_the_family(name: str, frames: float, width: float, height: float) -> None:
    family = FAMILIES[name]
    near = nearest(family, frames=frames, width=width, height=height)
    assert near.frames in family.frames
    assert near.width % family.multiple == 0 < near.width
    assert near.height % family.multiple == 0 < near.height


@pytest.mark.parametrize("wrong", [{"step": 0}, {"minimum": 0}, {"step": 4, "minimum": 6, "offset": 1, "maximum": 9}])
def test_a_rule_that_contradicts_itself_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"rule|4k"):
        FrameRule(**{"maximum": 9, **wrong})


# --- checkpoints that are not the released ones


def test_a_vae_that_does_not_compress_time_changes_the_rule() -> None:
    wan = FAMILIES["WanPipeline"]
    told = {
        "vae": {"scale_factor_temporal": 1, "scale_factor_spatial": 16},
        "transformer": {"patch_size": [3, 1, 1], "num_attention_heads": 4, "attention_head_dim": 32, "num_layers": 4},
    }
    size = dimensions(wan, told)
    assert (size.hidden, size.layers) == (128, 4)
    mine = wan.with_compression(size.compression)
    assert 9 in mine.frames  # three tokens of three frames
    assert 10 not in mine.frames
    assert mine.multiple == 16
    assert mine.told(9) == 8  # the pipeline adds one by itself


@pytest.mark.parametrize(
    ("name", "configs", "expected"),
    [
        ("WanPipeline", {"vae": {"scale_factor_temporal": 4, "scale_factor_spatial": 16}}, (4, 16, 2)),
        ("LTXPipeline", {"vae": {"spatio_temporal_scaling": [True, True, True, False], "patch_size": 4}}, (8, 32, 1)),
        (
            "CogVideoXPipeline",
            {"vae": {"temporal_compression_ratio": 4, "block_out_channels": [1, 2, 3, 4]}, "transformer": {}},
            (4, 8, 2),
        ),
        ("HunyuanVideoPipeline", {"vae": {"temporal_compression_ratio": 4, "spatial_compression_ratio": 8}}, (4, 8, 2)),
        ("WanPipeline", {"vae": {"scale_factor_temporal": "four"}, "transformer": {"patch_size": True}}, (4, 8, 2)),
        ("WanPipeline", {}, (4, 8, 2)),
    ],
)
def test_configurations_of_each_kind_are_understood(
    name: str, configs: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    found = dimensions(FAMILIES[name], configs).compression
    assert (found.temporal, found.spatial, found.patch) == expected


def test_tokens_are_those_of_the_dossier_of_wan_and_hunyuan() -> None:
    wan = Compression(temporal=4, spatial=8, patch=2)
    assert wan.tokens(81, 1280, 720) == 75_600
    assert wan.tokens(81, 832, 480) == 32_760
    assert Compression(temporal=4, spatial=16, patch=2).tokens(121, 1280, 704) == 27_280
    assert Compression(temporal=4, spatial=16, patch=1).tokens(121, 832, 480) == 48_360


# --- offers


def spec_of(family: Family) -> ModelSpec:
    return ModelSpec(
        id=f"local/{family.name.lower()}",
        vendor={"engine": "here", "pipeline": family.name},
        source="test",
        as_of=date(2026, 11, 20),
        **offer_fields(family),
    )


def request_of(spec: ModelSpec, task: Task, **values: Any) -> VideoRequest:
    clip = {"image": b"i", "last_frame": b"l", "video": b"v", "reference_images": [b"r"]}
    mode = next(mode for mode in spec.modes if task in mode.tasks)
    return VideoRequest.make("a boat", task=task, **{k: clip[k] for k in mode.required(task)}, **values)


@families
def test_every_family_makes_an_offer_whose_defaults_obey_its_rules(name: str) -> None:
    family = FAMILIES[name]
    spec = spec_of(family)
    assert [task.value for task in spec.tasks] == sorted(family.tasks, key=[task.value for task in Task].index)
    for task in spec.tasks:
        request = resolve(spec, request_of(spec, task)).request
        if request.duration is not None:
            assert family.frames_for(request.duration, request.fps or family.fps) in family.frames
        width, height = frame_size(spec, request) or family.size
        assert width % family.multiple == height % family.multiple == 0


@families
def test_a_wrong_count_or_size_is_a_violation_with_the_nearest(name: str) -> None:
    family = FAMILIES[name]
    spec = spec_of(family)
    for option, wrong, near in (
        ("num_frames", family.frames.maximum + 3, family.frames.maximum),
        ("num_frames", family.frames.minimum - 1, family.frames.minimum),
        ("width", family.multiple * 20 + 1, family.multiple * 20),
    ):
        if option not in spec.options:
            continue
        request = request_of(spec, spec.tasks[0], options={"local": {option: wrong}})
        (violation,) = check(spec, request)
        assert violation.field == f"options.local.{option}"
        assert violation.nearest == near
        assert violation.nearest_request is not None


def test_a_duration_between_two_counts_is_a_violation_with_the_nearest() -> None:
    spec = ROWS["local/wan-2.1-t2v-1.3b"]
    (violation,) = check(spec, VideoRequest.make("a boat", duration=2.6))
    assert (violation.field, violation.nearest) == ("duration", 2.5)


def test_a_wrong_count_is_refused_with_a_hint_of_the_nearest(tmp_path: Path) -> None:
    with (
        Client(home=tmp_path, plugins=[]) as client,
        pytest.raises(UnsupportedRequestError, match="num_frames: 10 is not possible") as caught,
    ):
        client.route("a boat", model="local/wan-2.1-t2v-1.3b", options={"local": {"num_frames": 10}})
    assert caught.value.hint == "The nearest request that works: options={'local': {'num_frames': 9}}."


@rows
def test_the_rows_agree_with_their_families(name: str) -> None:
    spec = completed(ROWS[name])
    family = family_of(spec)
    assert family is not None
    assert spec.license is not None
    assert spec.license.url
    assert spec.latency is not None
    assert spec.latency.source
    assert {task.value for task in spec.tasks} <= set(family.tasks)
    for shapes in spec.sizes.values():
        for width, height in shapes.values():
            assert width % family.multiple == height % family.multiple == 0
    request = resolve(spec, request_of(spec, spec.tasks[0])).request
    assert request.duration is not None
    fps = request.fps or spec.output_fps
    assert fps == family.fps
    frames = family.frames_for(request.duration, fps)
    assert frames in family.frames
    assert abs(frames / fps - request.duration) < 0.75  # what the core lets a clip differ by
    numbers = spec.vendor["parameters"]
    assert set(numbers) & set(family.denoisers)
    assert spec.vendor["download_bytes"] == pytest.approx(2 * sum(numbers.values()), rel=0.1)
    assert spec.options["steps"].default == family.steps


@rows
def test_every_duration_of_a_row_lands_within_what_the_core_tolerates(name: str) -> None:
    spec = ROWS[name]
    family = family_of(spec)
    assert family is not None
    for mode in spec.modes:
        span = mode.durations
        assert not isinstance(span, tuple)
        count = 1 if span.step is None else round((span.max - span.min) / span.step) + 1
        for index in range(count):
            seconds = span.min + index * (span.step or 0)
            frames = family.frames_for(seconds)
            assert frames in family.frames
            assert -1e-6 <= frames / family.fps - seconds < 0.75


def test_licences_with_limits_are_marked() -> None:
    limited = {spec.license.name for spec in ROWS.values() if spec.license is not None and spec.license.limits}
    assert {"tencent-hunyuan-community", "ltx-2-community", "minimax-h3-community"} <= limited
    assert "apache-2.0" not in limited


# --- clips made piece by piece


@pytest.mark.parametrize(
    ("name", "frames", "sections", "told"),
    [
        ("HeliosPipeline", 33, 1, 33),
        ("HeliosPipeline", 132, 4, 132),
        ("HunyuanVideoFramepackPipeline", 37, 1, 33),
        ("HunyuanVideoFramepackPipeline", 145, 4, 132),
        ("SkyReelsV2DiffusionForcingPipeline", 97, 1, 97),
        ("SkyReelsV2DiffusionForcingPipeline", 101, 2, 101),
        ("SkyReelsV2DiffusionForcingPipeline", 257, 3, 257),
    ],
)
def test_sections_of_a_clip(name: str, frames: int, sections: int, told: int) -> None:
    family = FAMILIES[name]
    assert family.sections is not None
    assert frames in family.frames
    assert (family.sections.count(frames), family.told(frames)) == (sections, told)


def test_another_size_of_patch_does_not_change_how_many_frames_a_section_has() -> None:
    changed = FAMILIES["HeliosPipeline"].with_compression(Compression(temporal=4, spatial=8, patch=1))
    assert changed.frames == FAMILIES["HeliosPipeline"].frames


@pytest.mark.parametrize(
    ("name", "config", "tasks", "dropped"),
    [
        ("WanImageToVideoPipeline", {"image_dim": 1280}, ("image_to_video",), 0),
        ("WanImageToVideoPipeline", {"image_dim": 1280, "pos_embed_seq_len": 514}, ("first_last_frame",), 0),
        ("WanImageToVideoPipeline", {"image_dim": None}, ("image_to_video", "first_last_frame"), 0),
        ("HunyuanVideoImageToVideoPipeline", {"image_condition_type": "latent_concat"}, ("image_to_video",), 4),
        ("HunyuanVideoImageToVideoPipeline", {"image_condition_type": "token_replace"}, ("image_to_video",), 0),
    ],
)
def test_a_checkpoint_says_what_it_was_trained_to_see(
    name: str, config: dict[str, Any], tasks: tuple[str, ...], dropped: int
) -> None:
    family = fitted(FAMILIES[name], {"transformer": config})
    assert (family.tasks, family.dropped) == (tasks, dropped)
    assert family.told(9) == 9 + dropped


# --- the installed diffusers


@families
def test_the_installed_signature_has_every_keyword(name: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    family = FAMILIES[name]
    kind = getattr(diffusers, name)
    if family.kind == "modular":
        blocks = getattr(diffusers, kind.default_blocks_name)()
        inputs = {one.name: one.default for one in blocks.inputs if one.name}
        workflows = set(getattr(blocks, "_workflow_map", None) or {})
        assert set(family.workflow.values()) <= workflows
        assert set(family.outputs) <= {one.name for one in blocks.outputs} | {"videos"}
    else:
        inputs = {key: one.default for key, one in inspect.signature(kind.__call__).parameters.items()}
        ticks = "self.progress_bar(" in inspect.getsource(kind.__call__)
        assert family.progress == ("bar" if ticks else "callback")
        assert ticks or "callback_on_step_end" in inputs
        assert "output_type" in inputs
    assert set(family.parameters.values()) <= set(inputs)
    assert set(family.fixed) <= set(inputs)
    for field, ours in (
        ("steps", family.steps),
        ("guidance", family.guidance),
        ("width", family.size[0]),
        ("height", family.size[1]),
        ("frames", family.default_frames),
    ):
        theirs = inputs.get(family.parameters.get(field, ""))
        if theirs is None or theirs is inspect.Parameter.empty:
            continue
        if field == "frames" and family.sections is not None and family.sections.told is not None:
            assert -(-theirs // family.sections.told) == family.sections.count(family.default_frames or 0)
        else:
            assert theirs == ours, field


@families
def test_what_a_pipeline_must_have_is_what_the_task_brings(name: str) -> None:
    """A keyword without a default that no field of ours fills would fail on every call."""
    diffusers = pytest.importorskip("diffusers")
    family = FAMILIES[name]
    if family.kind == "modular":
        return
    needed = {
        key
        for key, one in inspect.signature(getattr(diffusers, name).__call__).parameters.items()
        if one.default is inspect.Parameter.empty and key != "self" and one.kind is not inspect.Parameter.VAR_KEYWORD
    }
    assert needed <= set(family.parameters.values())
