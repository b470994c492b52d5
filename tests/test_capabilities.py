"""Checking and moving requests: all that is wrong at once, with the nearest request that works, and nothing silent."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from strategies import CLIP, IMAGE, TODAY, offers_and_requests, settable_fields_are_set
from videogen_core.capabilities import check, frame_size, nearest_request, resolve
from videogen_core.errors import UnsupportedRequestError
from videogen_core.limits import Violation, advice
from videogen_core.matching import ModeIndex
from videogen_core.request import Media, Task, VideoRequest
from videogen_core.spec import (
    Camera,
    Defaults,
    MediaLimits,
    Mode,
    ModelSpec,
    OptionSpec,
    PromptLimits,
    Span,
    resolution_height,
)

make = VideoRequest.make
TEXT, REFERENCE, WIDE_OR_TALL = (Task.TEXT_TO_VIDEO,), (Task.REFERENCE_TO_VIDEO,), ("16:9", "9:16")


def model(*modes: Mode, **facts: Any) -> ModelSpec:
    return ModelSpec(id="acme/boat", modes=modes, source="a test", as_of=TODAY, **facts)


# "1080p only at 8 s", "reference images only at 8 s and 16:9": interplay as rows.
BOAT = model(
    Mode(tasks=TEXT, durations=(4, 6, 8), resolutions=("720p",), aspect_ratios=WIDE_OR_TALL, audio=(True, False)),
    Mode(tasks=TEXT, durations=(8,), resolutions=("1080p",), aspect_ratios=WIDE_OR_TALL, audio=(True, False)),
    Mode(tasks=REFERENCE, durations=(8,), resolutions=("720p", "1080p"), aspect_ratios=("16:9",), reference_images=3),
    default=Defaults(duration=8, resolution="720p", aspect_ratio="16:9", audio=True),
)


def broken(spec: ModelSpec, **arguments: Any) -> dict[str, Violation]:
    """The violations of a request by field."""
    return {violation.field: violation for violation in check(spec, make(**({"prompt": "a boat"} | arguments)))}


def test_1080p_only_at_8_seconds() -> None:
    assert check(BOAT, make("a boat", duration=6, resolution="720p", aspect_ratio="9:16", audio=False)) == []
    assert resolve(BOAT, make("a boat", resolution="1080p")).request.duration == 8
    found = broken(BOAT, resolution="1080p", duration=4)
    assert list(found) == ["resolution"]
    assert found["resolution"].nearest_request == {"resolution": "720p"}
    assert "with duration=4" in found["resolution"].message


def test_reference_images_only_at_8_seconds_and_wide() -> None:
    found = broken(BOAT, reference_images=["a.png"], duration=6, aspect_ratio="9:16")
    assert {field: (v.value, v.allowed, v.nearest) for field, v in found.items()} == {
        "duration": (6, [8], 8),
        "aspect_ratio": ("9:16", ["16:9"], "16:9"),
    }
    assert found["duration"].nearest_request == {"duration": 8, "aspect_ratio": "16:9"}


def test_every_violation_comes_at_once_and_is_complete() -> None:
    found = broken(
        BOAT, duration=5, resolution="4k", aspect_ratio="1:1", fps=30, count=2, seed=7, negative_prompt="blur",
        camera=["push in"], options={"acme": {"turbo": True}},
    )  # fmt: skip
    assert set(found) == {
        "duration", "resolution", "aspect_ratio", "fps", "count", "seed", "negative_prompt", "camera",
        "options.acme.turbo",
    }  # fmt: skip
    assert (found["duration"].value, found["duration"].allowed, found["duration"].nearest) == (5, [4, 6, 8], 4)
    assert (found["fps"].value, found["fps"].allowed, found["fps"].nearest) == (30, None, None)
    assert (found["count"].value, found["count"].allowed, found["count"].nearest) == (2, 1, 1)
    near = found["duration"].nearest_request
    assert all(violation.nearest_request == near for violation in found.values())
    assert near == {
        "duration": 4, "resolution": "720p", "aspect_ratio": "16:9", "fps": None, "count": 1, "seed": None,
        "negative_prompt": None, "camera": [], "options": {"acme": {}},
    }  # fmt: skip
    assert all(json.loads(json.dumps(violation.to_dict())) for violation in found.values())


def test_the_error_says_all_of_it_and_the_nearest_request() -> None:
    with pytest.raises(UnsupportedRequestError) as caught:
        resolve(BOAT, make("a boat", duration=5, seed=7))
    assert caught.value.message.startswith("acme/boat cannot do this: duration: 5 is not possible; allowed: 4, 6, 8.")
    assert "seed: it takes no seed." in caught.value.message
    assert caught.value.hint == "The nearest request that works: duration=4, seed=None."
    assert len(caught.value.violations) == 2


def test_blame_falls_on_the_nearest_mode_and_only_on_what_is_wrong_there() -> None:
    spec = model(
        Mode(tasks=TEXT, durations=(4, 6, 8), resolutions=("720p",)),
        Mode(tasks=TEXT, durations=(8,), resolutions=("1080p",)),
    )
    far, near = broken(spec, resolution="1080p", duration=4, audio=True), broken(spec, resolution="1080p", duration=7)
    assert set(far) == {"resolution", "audio"}
    assert far["resolution"].message == "resolution: '1080p' is not possible with duration=4; allowed: 720p."
    assert "with" not in far["audio"].message
    assert [violation.message for violation in near.values()] == ["duration: 7 is not possible; allowed: 8."]


def test_a_task_that_it_cannot_do() -> None:
    found = broken(BOAT, video=CLIP)
    assert found["task"].value == "edit_video"
    assert found["task"].allowed == ["text_to_video", "reference_to_video"]
    assert found["task"].nearest_request is None


def test_inputs_that_no_mode_takes() -> None:
    found = broken(BOAT, reference_images=["a.png"] * 4, image="a.png", duration=6)
    assert set(found) == {"inputs", "reference_images", "duration"}
    assert found["inputs"].value == ["image", "reference_images"]
    assert (found["reference_images"].value, found["reference_images"].allowed) == (4, 3)


def test_equally_near_values_go_down_whatever_the_order_of_rows() -> None:
    for durations in ((4, 6, 8), (8, 6, 4)):
        assert broken(model(Mode(tasks=TEXT, durations=durations)), duration=5)["duration"].nearest == 4
    split = [Mode(tasks=TEXT, durations=(6,)), Mode(tasks=TEXT, durations=(4,))]
    for rows in (split, split[::-1]):
        assert resolve(model(*rows), make("a boat", duration=5), "nearest").request.duration == 4
    span = model(Mode(tasks=TEXT, durations=Span(min=3, max=9, step=2)), default=Defaults(duration=3))
    for asked, near in ((4, 3), (6, 5), (8, 7), (8.1, 9), (1, 3), (50, 9)):
        assert resolve(span, make("a boat", duration=asked), "nearest").request.duration == near


@settings(max_examples=500)
@given(offers_and_requests)
def test_the_nearest_request_is_valid_and_keeps_the_inputs(pair: tuple[ModelSpec, VideoRequest]) -> None:
    spec, request = pair
    near = nearest_request(spec, request)
    if near is not None:
        assert check(spec, near) == []
        assert near.media() == request.media()
        assert near.prompt == request.prompt
    for violation in check(spec, request):
        assert (violation.nearest_request is None) == (near is None)
        if violation.nearest_request is not None:
            changes = {k: v for k, v in violation.nearest_request.items() if k != "camera"}
            camera = violation.nearest_request.get("camera", request.camera)
            assert msgspec.structs.replace(request, camera=tuple(camera), **changes) == near


@settings(max_examples=500)
@given(offers_and_requests)
def test_a_resolved_request_is_valid_and_has_every_settable_value_written_out(
    pair: tuple[ModelSpec, VideoRequest],
) -> None:
    spec, request = pair
    if check(spec, request):
        with pytest.raises(UnsupportedRequestError):
            resolve(spec, request)
        return
    resolved = resolve(spec, request)
    assert check(spec, resolved.request) == []
    assert settable_fields_are_set(resolved)
    assert resolved.changes == ()
    for name in request.__struct_fields__:
        if getattr(request, name) is not None:
            assert getattr(resolved.request, name) == getattr(request, name)


def test_a_field_left_out_takes_the_mode_that_keeps_most_of_the_models_defaults() -> None:
    resolved = resolve(BOAT, make("a boat"))
    assert resolved.request.given() == {
        "task": "text_to_video",
        "prompt": "a boat", "duration": 8, "resolution": "720p", "aspect_ratio": "16:9", "audio": True,
    }  # fmt: skip
    assert resolved.mode is BOAT.modes[0]


@settings(max_examples=1000)
@given(offers_and_requests, st.sampled_from(["nearest", "at_least"]))
def test_fit_moves_only_duration_and_resolution_and_says_so(pair: tuple[ModelSpec, VideoRequest], fit: Any) -> None:
    spec, request = pair
    try:
        resolved = resolve(spec, request, fit)
    except UnsupportedRequestError:
        return
    asked, used = request, resolved.request
    changed = {
        name
        for name in request.__struct_fields__
        if getattr(asked, name) is not None and getattr(asked, name) != getattr(used, name)
    }
    assert changed == {change.field for change in resolved.changes} <= {"duration", "resolution"}
    assert all((c.asked, c.used) == (getattr(asked, c.field), getattr(used, c.field)) for c in resolved.changes)
    assert check(spec, used) == []
    assert settable_fields_are_set(resolved)
    if not check(spec, request):
        assert resolved == resolve(spec, request)
    if fit == "at_least":
        assert asked.duration is None or (used.duration or 0) >= asked.duration
        assert resolution_height(used.resolution or "") >= resolution_height(asked.resolution or "")


def test_a_value_that_is_given_up_is_not_replaced_by_a_default() -> None:
    """A resolution that is nearest to "none to choose" must not come back as the largest there is."""
    large = Mode(tasks=TEXT, durations=(4,), resolutions=("4k",))
    fixed = Mode(tasks=(*TEXT, Task.FIRST_LAST_FRAME), durations=(4, 8))
    resolved = resolve(model(large, fixed), make("a boat", resolution="360p"), "nearest")
    assert (resolved.request.resolution, resolved.mode) == (None, fixed)
    assert [(change.field, change.asked, change.used) for change in resolved.changes] == [("resolution", "360p", None)]


def test_fit_in_figures() -> None:
    def used(fit: Any, **arguments: Any) -> tuple[float | None, str | None]:
        request = resolve(BOAT, make("a boat", **arguments), fit).request
        return request.duration, request.resolution

    assert used("nearest", duration=5.5) == (6, "720p")
    assert used("at_least", duration=4.1) == (6, "720p")
    assert used("at_least", duration=4, resolution="900p") == (8, "1080p")
    assert used("nearest", resolution="900p", duration=8) == (8, "720p")
    assert used("nearest", resolution="4k") == (8, "1080p")
    for impossible in ({"duration": 9}, {"resolution": "4k"}):
        with pytest.raises(UnsupportedRequestError):
            used("at_least", **impossible)
    with pytest.raises(UnsupportedRequestError):
        used("exact", duration=5)


def test_fit_keeps_off_the_other_fields() -> None:
    with pytest.raises(UnsupportedRequestError) as caught:
        resolve(BOAT, make("a boat", duration=5, aspect_ratio="1:1"), "nearest")
    assert {violation.field for violation in caught.value.violations} == {"duration", "aspect_ratio"}


@pytest.mark.parametrize(
    ("unit", "text", "length"),
    [
        ("characters", "👩‍👩‍👧", 5),
        ("utf16", "👩‍👩‍👧", 8),
        ("utf16", "a" * 10, 10),
        ("bytes", "é🚤", 6),
        ("tokens", "three  plain words", 3),
        ("tokens", "supercalifragilisticexpialidocious", 1),
    ],
)
def test_prompts_are_measured_in_the_vendors_unit(unit: Any, text: str, length: int) -> None:
    exact = model(Mode(tasks=TEXT), negative_prompt=True, prompt=PromptLimits(max=length, unit=unit))
    assert broken(exact, prompt=text, negative_prompt=text) == {}
    tight = msgspec.structs.replace(exact, prompt=PromptLimits(max=length - 1, unit=unit))
    found = broken(tight, prompt=text, negative_prompt=text)
    assert {name: v.value for name, v in found.items()} == {"prompt": length, "negative_prompt": length}
    assert found["prompt"].allowed == f"at most {length - 1} {unit}"


def test_prompts_that_are_missing_or_too_short() -> None:
    spec = model(Mode(tasks=(*TEXT, Task.IMAGE_TO_VIDEO)), negative_prompt=True, prompt=PromptLimits(min=3, max=5))
    assert set(broken(spec, prompt="  ", negative_prompt="too long")) == {"prompt", "negative_prompt"}
    assert broken(spec, prompt="", image=IMAGE) == {}
    assert broken(spec, prompt="ab")["prompt"].allowed == "at least 3 and at most 5 characters"
    assert broken(msgspec.structs.replace(spec, prompt=PromptLimits(min=3)), prompt="ab")["prompt"].allowed == (
        "at least 3 characters"
    )


LIMITS = MediaLimits(
    formats=("image/png",), max_bytes=1_000, min_side=300, max_side=4_000, min_ratio=0.4, max_ratio=2.5,
    min_duration=2, max_duration=10,
)  # fmt: skip
GOOD: dict[str, Any] = {"path": "a", "mime_type": "image/png", "size": 1_000, "width": 1_000, "height": 400}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"size": 1_001}, "bytes 1001, allowed: at most 1000"),
        ({"mime_type": "image/gif"}, "format image/gif, allowed: image/png"),
        ({"width": 250, "height": 299}, "shorter side 250, allowed: at least 300 pixels"),
        ({"width": 4_001, "height": 2_000}, "longer side 4001, allowed: at most 4000 pixels"),
        ({"width": 1_001}, "width / height 2.502, allowed: 0.4 to 2.5"),
        ({"duration": 1.9}, "seconds 1.9, allowed: 2 to 10"),
        ({"duration": 10.0}, ""),
        ({"path": None, "url": "https://a.example/b.png"}, ""),
        ({"path": None, "url": "gs://bucket/b.png"}, "address scheme gs, allowed: https, http"),
    ],
)
def test_input_limits(change: dict[str, Any], words: str) -> None:
    spec = model(
        Mode(tasks=(Task.IMAGE_TO_VIDEO, Task.EDIT_VIDEO), requires=(), allows=("image", "video")), image=LIMITS
    )
    spec = msgspec.structs.replace(spec, video=LIMITS)
    media = Media(**(GOOD | change))
    for field in ("image", "video"):
        found = broken(spec, **{field: media})
        assert list(found) == ([field] if words else [])
        assert not words or words in found[field].message


OPTIONS = {
    "turbo": OptionSpec(type="boolean"),
    "steps": OptionSpec(type="integer", min=1.5, max=2_147_483_647),
    "scale": OptionSpec(type="number", min=0.5),
    "num_frames": OptionSpec(type="integer", min=5, max=81, step=4),
    "width": OptionSpec(type="integer", step=16),
    "style": OptionSpec(type="string", choices=("calm", "wild")),
    "tags": OptionSpec(type="array", max=2),
    "extra": OptionSpec(type="object"),
}


@pytest.mark.parametrize(
    ("name", "value", "allowed", "nearest"),
    [
        ("turbo", 1, "a value of type boolean", None),
        ("steps", True, "a value of type integer", None),
        ("steps", 2.0, "a value of type integer", None),
        ("steps", 0, "at least 1.5 and at most 2147483647", 2),
        ("steps", 2**40, "at least 1.5 and at most 2147483647", 2_147_483_647),
        ("scale", 0.1, "at least 0.5", 0.5),
        ("scale", "1", "a value of type number", None),
        ("style", "odd", "'calm', 'wild'", None),
        ("tags", [1, 2, 3], "at most 2 long", None),
        ("extra", [], "a value of type object", None),
        ("num_frames", 8, "5 and steps of 4 from there", 9),
        ("num_frames", 80, "5 and steps of 4 from there", 81),
        ("num_frames", 90, "at least 5 and at most 81", 81),
        ("width", 100, "0 and steps of 16 from there", 96),
        ("bogus", 1, ["extra", "num_frames", "scale", "steps", "style", "tags", "turbo", "width"], None),
    ],
)
def test_options_are_typed(name: str, value: Any, allowed: Any, nearest: Any) -> None:
    spec = model(Mode(tasks=TEXT), options=OPTIONS)
    violation = broken(spec, options={"acme": {name: value}})[f"options.acme.{name}"]
    assert (violation.value, violation.allowed, violation.nearest) == (value, allowed, nearest)
    assert violation.nearest_request == {"options": {"acme": {} if nearest is None else {name: nearest}}}


def test_a_value_on_a_step_is_fine_and_only_numbers_have_steps() -> None:
    spec = model(Mode(tasks=TEXT), options=OPTIONS)
    for count in (5, 9, 81):
        assert broken(spec, options={"acme": {"num_frames": count, "width": 160}}) == {}
    for wrong in ({"type": "string", "step": 2}, {"type": "integer", "step": 0}):
        with pytest.raises(ValueError, match="step"):
            OptionSpec(**wrong)


def test_options_of_others_are_not_ours_and_required_ones_are_missed() -> None:
    spec = model(Mode(tasks=TEXT), options={"voice": OptionSpec(type="string", required=True)})
    found = broken(spec, options={"blue": {"anything": 1}})
    assert list(found) == ["options.acme.voice"]
    assert found["options.acme.voice"].nearest_request is None
    assert broken(spec, options={"acme": {"voice": "low"}}) == {}


FOLDING = model(
    Mode(tasks=TEXT, durations=(4, 8)),
    options={"fold": OptionSpec(type="boolean"), "turbo": OptionSpec(type="boolean", default=False)},
    negative_prompt="fold",
    prompt=PromptLimits(max=20),
)


@pytest.mark.parametrize("options", [{}, {"acme": {}}, {"acme": {"fold": False}}, {"acme": {"turbo": True}}])
def test_a_negative_prompt_that_has_to_be_allowed(options: dict[str, Any]) -> None:
    found = broken(FOLDING, negative_prompt="blur", options=options)
    assert list(found) == ["negative_prompt"]
    violation = found["negative_prompt"]
    assert (violation.value, violation.allowed, violation.nearest) == ("blur", None, None)
    assert violation.message == (
        "negative_prompt: it has none; say in the prompt what to show instead, "
        "or allow options={'acme': {'fold': True}} to fold it in."
    )
    assert violation.nearest_request == {"negative_prompt": None}
    near = nearest_request(FOLDING, make("a boat", negative_prompt="blur", options=options))
    assert near == make("a boat", negative_prompt=None, options=options)
    with pytest.raises(UnsupportedRequestError, match="allow options="):
        resolve(FOLDING, make("a boat", negative_prompt="blur", options=options))


def test_a_negative_prompt_that_is_allowed() -> None:
    request = make("a boat", negative_prompt="blur", options={"acme": {"fold": True}})
    assert check(FOLDING, request) == []
    assert resolve(FOLDING, request).request.negative_prompt == "blur"
    assert broken(FOLDING, options={"acme": {"fold": True}}) == {}, "there need not be one"
    long = broken(FOLDING, negative_prompt="b" * 21, options={"acme": {"fold": True}})
    assert long["negative_prompt"].message == "negative_prompt: it has 21; allowed: at most 20 characters."


def test_a_word_that_is_no_boolean_allows_no_negative_prompt() -> None:
    request = make("a boat", negative_prompt="blur", options={"acme": {"fold": "yes"}})
    assert {v.field for v in check(FOLDING, request)} == {"negative_prompt", "options.acme.fold"}
    near = nearest_request(FOLDING, request)
    assert near is not None
    assert (near.negative_prompt, near.options) == (None, {"acme": {}})


def test_what_another_provider_was_told_allows_no_negative_prompt() -> None:
    other = msgspec.structs.replace(FOLDING, id="blue/boat")
    request = make("a boat", negative_prompt="blur", options={"acme": {"fold": True}})
    assert [v.field for v in check(other, request)] == ["negative_prompt"]
    assert "options={'blue': {'fold': True}}" in check(other, request)[0].message
    assert [position for position, _ in ModeIndex([FOLDING, other]).admitting(request)] == [0]
    assert [position for position, _ in ModeIndex([other, FOLDING]).admitting(request)] == [1]


def test_camera_moves() -> None:
    spec = model(Mode(tasks=TEXT), camera=Camera(moves=("push in", "shake")))
    assert broken(spec, camera=["shake", "push in"]) == {}
    found = broken(spec, camera=["shake", "fly"])["camera"]
    assert (found.value, found.allowed, found.nearest) == (["fly"], ["push in", "shake"], ["shake"])
    assert found.nearest_request == {"camera": ["shake"]}


@pytest.mark.parametrize(
    ("resolution", "shape", "size"),
    [
        ("720p", "16:9", (1280, 720)), ("1080p", "9:16", (1080, 1920)), ("480p", "21:9", (1120, 480)),
        ("4k", "1:1", (2160, 2160)), ("512p", "16:9", (900, 512)), ("auto", "16:9", None), ("720p", "auto", None),
        (None, None, None),
    ],
)  # fmt: skip
def test_frame_sizes(resolution: Any, shape: Any, size: tuple[int, int] | None) -> None:
    spec = model(Mode(tasks=TEXT), sizes={"512p": {"16:9": (900, 512)}})
    assert frame_size(spec, make(resolution=resolution, aspect_ratio=shape)) == size


# --- camera -----------------------------------------------------------------------------------------------------

_WORDS = Camera(moves=("push in", "pan left"), style="words", option="in_words")
_SWITCH = OptionSpec(type="boolean", default=False)


def test_camera_moves_in_words_need_the_option_that_allows_them() -> None:
    spec = model(Mode(tasks=TEXT), camera=_WORDS, options={"in_words": _SWITCH})
    found = broken(spec, camera=["push in"])
    assert "allow options={'acme': {'in_words': True}} to have them said there" in found["camera"].message
    assert found["camera"].nearest_request == {"camera": []}
    assert broken(spec, camera=["push in"], options={"acme": {"in_words": True}}) == {}
    assert set(broken(spec, camera=["moonwalk"], options={"acme": {"in_words": True}})) == {"camera"}
    assert broken(spec) == {}


def test_the_option_of_camera_moves_has_to_be_a_switch_that_is_off() -> None:
    wrong = (OptionSpec(type="string"), OptionSpec(type="boolean", default=True))
    for options in ({}, *({"in_words": option} for option in wrong)):
        with pytest.raises(ValueError, match=r"camera\.option names no boolean option that is off by default"):
            model(Mode(tasks=TEXT), camera=_WORDS, options=options)


def test_more_camera_moves_than_advised_are_allowed_and_advised_against() -> None:
    spec = model(Mode(tasks=TEXT), title="Boat 1", camera=Camera(moves=("a", "b", "c"), advised=2))
    assert broken(spec, camera=["a", "b", "c"]) == {}
    assert advice(spec, make("x", camera=["a", "b", "c"])) == (
        "camera: 3 moves at once; Boat 1 works well with up to 2.",
    )
    assert advice(spec, make("x", camera=["a", "b"])) == ()
    assert advice(model(Mode(tasks=TEXT)), make("x")) == ()
