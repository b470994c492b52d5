"""The scorer of `local/shapes` reads what drawn clips show, and is not taken in by wrong ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shapes_rig import scorer, world

np = pytest.importorskip("numpy")

SCENE = world.Scene("square", "green", "right", "white")
Clip = Any  # frames, height, width, 3


def blurred(clip: Clip) -> Clip:
    """As a decoder that is no master leaves it: edges over five pixels, and noise on all of it."""
    for axis in (1, 2):
        clip = sum(np.roll(clip, shift, axis) for shift in (-2, -1, 0, 1, 2)) / 5
    return np.clip(clip + np.random.default_rng(3).normal(0, 0.04, clip.shape), 0, 1)


@pytest.mark.parametrize("made", [lambda clip: clip, blurred, lambda clip: (clip * 255).astype(np.uint8)])
def test_every_scene_is_read_as_it_was_drawn(made: Callable[[Clip], Clip]) -> None:
    dice = random.Random(11)
    for scene in world.SCENES:
        reading = scorer.read(made(world.draw(scene, world.Staging.drawn(dice))))
        assert reading == scorer.Reading(scene.shape, scene.colour, scene.direction, scene.background)


@pytest.mark.parametrize(
    ("point", "other"),
    [("shape", "circle"), ("shape", "triangle"), ("colour", "blue"), ("direction", "left"), ("background", "black")],
)
def test_what_differs_from_the_sentence_is_wrong_and_nothing_else(point: str, other: str) -> None:
    right = scorer.read(world.draw(replace(SCENE, **{point: other}))).right(SCENE)
    assert right == {each: each != point for each in scorer.POINTS}


def still(clip: Clip) -> Clip:
    return np.repeat(clip[4:5], len(clip), axis=0)


def trembling(clip: Clip) -> Clip:
    return clip[[0, 8, 1, 7, 2, 6, 3, 5, 4]]


def askew(clip: Clip) -> Clip:
    return np.stack([np.roll(frame, 3 * index - 12, axis=0) for index, frame in enumerate(clip)])


@pytest.mark.parametrize("move", [still, trembling, askew])
def test_a_shape_that_goes_nowhere_in_particular_has_no_direction(move: Callable[[Clip], Clip]) -> None:
    right = scorer.read(move(world.draw(SCENE))).right(SCENE)
    assert right == {"shape": True, "colour": True, "direction": False, "background": True}


def test_backwards_is_the_other_direction() -> None:
    assert scorer.read(world.draw(SCENE)[::-1]).direction == "left"


def ring(clip: Clip) -> Clip:
    small = world.draw(SCENE, world.Staging(radius=7))
    return np.where(small < 0.9, 1, clip)


def bar(clip: Clip) -> Clip:
    return np.concatenate([clip[:, ::2], np.ones_like(clip[:, ::2])], axis=1)


def two(clip: Clip) -> Clip:
    return np.minimum(np.roll(clip, 20, axis=1), np.roll(clip, -18, axis=1))


@pytest.mark.parametrize("spoil", [ring, bar, two])
def test_another_outline_is_no_shape_of_ours(spoil: Callable[[Clip], Clip]) -> None:
    assert scorer.read(spoil(world.draw(SCENE))).shape is None


def test_other_colours_are_not_taken_for_the_nearest() -> None:
    clip = world.draw(SCENE)
    inside = (clip[..., :1] < 0.5).astype(np.float32)
    assert scorer.read(1 - inside * 0.5 + np.zeros(3)).colour is None  # grey
    assert scorer.read(0.5 * (1 - inside) + inside * np.asarray([1.0, 0, 0])).background is None


def vanishing(clip: Clip) -> Clip:
    return np.concatenate([clip[:6], np.ones_like(clip[6:])])


@pytest.mark.parametrize(
    "clip",
    [
        np.ones((9, 64, 64, 3)),
        vanishing(world.draw(SCENE)),
        np.random.default_rng(1).random((9, 64, 64, 3)),
        np.full((9, 64, 64, 3), np.nan),
        world.draw(SCENE)[:, ::2, ::2],
        world.draw(SCENE)[:1],
    ],
    ids=["blank", "vanishing", "noise", "not numbers", "half the size", "one frame"],
)
def test_a_clip_that_shows_nothing_of_it_is_wrong(clip: Clip) -> None:
    right = scorer.read(clip).right(SCENE)
    assert not right["shape"]
    assert not right["colour"]
    assert not right["direction"]


def test_the_tally_counts_what_is_right() -> None:
    total = scorer.tally([(SCENE, world.draw(SCENE)), (SCENE, still(world.draw(replace(SCENE, colour="red"))))])
    assert str(total) == "clips 2, shape 2, colour 1, direction 1, background 2"
    assert total.share("colour") == 0.5
    assert scorer.Tally().share("colour") == 0


def test_the_scenes_held_out_are_a_fifth_and_every_word_is_among_them_equally_often() -> None:
    held_out = [scene for scene in world.SCENES if scene.held_out]
    assert len(world.SCENES) == 120
    assert len(held_out) == 24
    for point, words in (("shape", 8), ("colour", 24 / 5), ("direction", 6), ("background", 12)):
        found = [getattr(scene, point) for scene in held_out]
        assert all(abs(found.count(word) - words) <= 1 for word in found), point


def test_every_sentence_names_all_four_points() -> None:
    for template in range(len(world.SENTENCES)):
        assert all(getattr(SCENE, point) in SCENE.sentence(template) for point in scorer.POINTS)


def test_what_a_scene_does_not_name_is_nothing_that_has_a_name() -> None:
    dice = random.Random(12)
    for scene in world.LOOSE:
        reading = scorer.read(world.draw(scene, world.Staging.drawn(dice, scene=scene)))
        for point in scorer.POINTS:
            named = getattr(scene, point)
            assert getattr(reading, point) == (None if named == world.UNNAMED else named)
