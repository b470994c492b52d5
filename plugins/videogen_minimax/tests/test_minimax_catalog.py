"""The catalogue against MiniMax's own matrix and prices, worked out by hand; nothing here touches the network."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from videogen_core import Client, Task, UnsupportedRequestError, VideoRequest
from videogen_core.capabilities import check, resolve
from videogen_core.request import Media
from videogen_core.spec import CAMERA_MOVES, ModelSpec
from videogen_core.testing import Clip, make_clip
from videogen_minimax.plugin import MinimaxProvider

SPECS = {spec.name: spec for spec in MinimaxProvider().models()}
IMAGE = Media(url="https://pictures.example/a.png")


def broken(model: str, **arguments: Any) -> set[str]:
    prompt = arguments.pop("prompt", "A boat")
    return {violation.field for violation in check(SPECS[model], VideoRequest.make(prompt, **arguments))}


# What V1 can do, as its pages have it: inputs, resolution, seconds.
TEXT, FIRST, BOTH = {}, {"image": IMAGE}, {"image": IMAGE, "last_frame": IMAGE}
ALLOWED: dict[str, list[tuple[dict[str, Any], str, tuple[int, ...]]]] = {
    "hailuo-2.3": [(inputs, *rest) for inputs in (TEXT, FIRST) for rest in (("768p", (6, 10)), ("1080p", (6,)))],
    "hailuo-2.3-fast": [(FIRST, "768p", (6, 10)), (FIRST, "1080p", (6,))],
    "hailuo-02": [
        (FIRST, "512p", (6, 10)),
        *[(inputs, *rest) for inputs in (TEXT, FIRST, BOTH) for rest in (("768p", (6, 10)), ("1080p", (6,)))],
    ],
    "t2v-01": [(TEXT, "720p", (6,))],
    "t2v-01-director": [(TEXT, "720p", (6,))],
    "i2v-01": [(FIRST, "720p", (6,))],
    "i2v-01-director": [(FIRST, "720p", (6,))],
    "i2v-01-live": [(FIRST, "720p", (6,))],
}


@pytest.mark.parametrize("model", ALLOWED)
def test_the_matrix_of_v1(model: str) -> None:
    for inputs in (TEXT, FIRST, BOTH):
        for resolution in ("512p", "720p", "768p", "1080p"):
            for duration in (5, 6, 10):
                listed = any((inputs, resolution) == row[:2] and duration in row[2] for row in ALLOWED[model])
                found = broken(model, **inputs, resolution=resolution, duration=duration)
                assert (not found) == listed, (model, list(inputs), resolution, duration, found)


def test_fast_needs_a_picture() -> None:
    assert broken("hailuo-2.3-fast") == {"task"}


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("hailuo-2.3", {"resolution": "1080p", "duration": 10}),
        ("hailuo-02", {**BOTH, "resolution": "512p"}),
        ("hailuo-02", {"resolution": "512p"}),
    ],
)
def test_what_does_not_go_together(model: str, arguments: dict[str, Any]) -> None:
    assert broken(model, **arguments) in ({"resolution"}, {"duration"})


@pytest.mark.parametrize(
    ("model", "most"), [("hailuo-2.3", 2000), ("s2v-01", 2000), ("hailuo-3", 7000), ("hailuo-3-max", 50_000)]
)
def test_prompts_are_as_long_as_the_model_takes(model: str, most: int) -> None:
    inputs = {"reference_images": [IMAGE]} if model == "s2v-01" else {}
    assert broken(model, prompt="a" * most, **inputs) == set()
    assert broken(model, prompt="a" * (most + 1), **inputs) == {"prompt"}


def test_images_are_checked() -> None:
    good = {"mime_type": "image/png", "size": 1000, "width": 640, "height": 360}
    for model, wrong in (
        ("hailuo-2.3", {"mime_type": "image/gif"}),
        ("hailuo-2.3", {"size": 20_000_000}),
        ("hailuo-2.3", {"height": 300}),
        ("hailuo-2.3", {"width": 1000, "height": 399}),
        ("hailuo-3", {"mime_type": "image/gif"}),
        ("hailuo-3", {"size": 30_000_001}),
        ("hailuo-3", {"height": 255}),
        ("hailuo-3", {"width": 5761, "height": 5000}),
    ):
        assert broken(model, image=Media(data=b"x", **good)) == set()  # type: ignore[arg-type]
        assert broken(model, image=Media(data=b"x", **{**good, **wrong})) == {"image"}, wrong  # type: ignore[arg-type]
    assert broken("hailuo-3", image=Media(data=b"x", **{**good, "mime_type": "image/heic"})) == set()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "arguments", "amount"),
    [
        ("hailuo-2.3", {"duration": 6, "resolution": "768p"}, "0.28"),
        ("hailuo-2.3-fast", {**FIRST, "duration": 10, "resolution": "768p"}, "0.32"),
        ("hailuo-3", {"duration": 6, "resolution": "2k"}, "0.78"),
        ("hailuo-3", {"duration": 5, "resolution": "768p"}, "0.40"),
        ("hailuo-3", {"duration": 5, "resolution": "768p", "reference_images": [IMAGE] * 7}, "0.48"),
        ("hailuo-3-max", {"duration": 10, "resolution": "480p"}, "0.50"),
        ("i2v-01", FIRST, None),
        ("s2v-01", {"reference_images": [IMAGE]}, None),
        (
            "hailuo-3",  # 5 s, and 2.5 s of the reference, which count as 3
            {
                "duration": 5,
                "task": "reference_to_video",
                "video": make_clip(Clip(duration=2.5, width=320, height=180)),
            },
            "0.64",
        ),
    ],
)
def test_what_it_costs(model: str, arguments: dict[str, Any], amount: str | None) -> None:
    with Client(plugins=[MinimaxProvider()]) as videogen:
        quote = videogen.estimate("A boat", model=model, **arguments)
    assert quote.amount == (None if amount is None else Decimal(amount))
    assert quote.known == (amount is not None)


def test_a_reference_of_unknown_length_has_a_range() -> None:
    with Client(plugins=[MinimaxProvider()]) as videogen:
        quote = videogen.estimate(
            "A boat", model="hailuo-3", duration=5, task="reference_to_video", video="https://clips.example/a.mp4"
        )
    assert (quote.low, quote.high) == (Decimal("0.56"), Decimal("1.68"))


def test_defaults_are_minimax_own() -> None:
    h3, hailuo = (resolve(SPECS[name], VideoRequest.make("A boat")).request for name in ("hailuo-3", "hailuo-2.3"))
    assert (h3.duration, h3.resolution, h3.aspect_ratio, h3.audio) == (5, "768p", "16:9", True)
    assert (hailuo.duration, hailuo.resolution, hailuo.aspect_ratio, hailuo.audio) == (6, "768p", "16:9", False)


def test_sound_is_always_on_or_never() -> None:
    assert broken("hailuo-3", audio=False) == {"audio"}
    assert broken("hailuo-2.3", audio=True) == {"audio"}
    assert broken("hailuo-2.3", seed=1) == {"seed"}


def brackets(spec: ModelSpec) -> bool:
    return spec.camera is not None and spec.camera.style == "brackets"


def test_who_knows_camera_commands() -> None:
    assert all(spec.camera is not None and spec.camera.moves == CAMERA_MOVES for spec in SPECS.values())
    known = {name for name, spec in SPECS.items() if brackets(spec)}
    assert known == {"hailuo-2.3", "hailuo-2.3-fast", "hailuo-02", "t2v-01-director", "i2v-01-director"}
    assert all(spec.camera.option == "camera_in_words" for spec in SPECS.values() if not brackets(spec) and spec.camera)


def test_the_old_ones_say_that_they_are_old() -> None:
    old = {name for name, spec in SPECS.items() if spec.lifecycle.stage == "deprecated"}
    assert old == {"t2v-01", "t2v-01-director", "i2v-01", "i2v-01-director", "i2v-01-live", "s2v-01"}
    assert all(SPECS[name].lifecycle.replaced_by in SPECS for name in old)


def test_a_clip_of_the_first_and_last_frame_is_that_task() -> None:
    request = VideoRequest.make("A boat", **BOTH)
    assert request.task is Task.FIRST_LAST_FRAME
    with pytest.raises(UnsupportedRequestError, match="first_last_frame"):
        resolve(SPECS["hailuo-2.3"], request)
