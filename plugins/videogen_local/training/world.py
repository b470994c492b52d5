"""The world that `local/shapes` knows: one coloured shape moving one way over a plain background, and its sentences.

Everything else in this folder stands on it: training draws its clips, the scorer compares a clip with what it should
show.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

SIZE: Final = 64  # pixels, both ways
FRAMES: Final = 9
FPS: Final = 9  # so that a clip is one second

SHAPES: Final = ("circle", "square", "triangle")
COLOURS: Final = {
    "red": (220, 40, 40),
    "green": (40, 165, 70),
    "blue": (45, 80, 225),
    "yellow": (240, 200, 40),
    "purple": (150, 55, 185),
}
DIRECTIONS: Final = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}  # y grows downwards
BACKGROUNDS: Final = {"white": (255, 255, 255), "black": (0, 0, 0)}

SENTENCES: Final = (  # the first is the one to use; "to the up" is bad English and does no harm
    "a {colour} {shape} moving {direction} on a {background} background",
    "a {colour} {shape} moves {direction} on a {background} background",
    "{colour} {shape} moving {direction}, {background} background",
    "on a {background} background, a {colour} {shape} moves {direction}",
    "a {colour} {shape} on {background}, moving {direction}",
    "the {colour} {shape} goes {direction} across the {background} background.",
    "a video of a {colour} {shape} going {direction} in front of a {background} background",
    "a {colour} {shape} is moving to the {direction} against a {background} background",
    "a {shape} that is {colour} goes to the {direction}, with {background} behind it",
    "an animation of a {colour} {shape} which moves {direction} over {background}",
    "{shape}, {colour}, {direction}, {background}",
)

UNNAMED: Final = "unnamed"
"""In the place of a word: what is shown there is drawn by lot, and is nothing that has a word here."""

Colour = tuple[float, float, float]  # red, green, blue; 0 to 255
Frames = npt.NDArray[np.float32]  # (frames, height, width, 3), values from 0 to 1


@dataclass(frozen=True, slots=True)
class Scene:
    """One of the 120 things that can be asked for."""

    shape: str
    colour: str
    direction: str
    background: str

    def sentence(self, template: int = 0) -> str:
        return SENTENCES[template].format(
            shape=self.shape, colour=self.colour, direction=self.direction, background=self.background
        )

    @property
    def held_out(self) -> bool:
        """Whether training never shows this scene: one in five, each word of it as often as every other of its kind."""
        place = (
            SHAPES.index(self.shape)
            + list(COLOURS).index(self.colour)
            + list(DIRECTIONS).index(self.direction)
            + 2 * list(BACKGROUNDS).index(self.background)
        )
        return place % len(COLOURS) == 0


SCENES: Final = tuple(
    Scene(shape, colour, direction, background)
    for shape, colour, direction, background in itertools.product(SHAPES, COLOURS, DIRECTIONS, BACKGROUNDS)
)

LOOSE: Final = tuple(
    dict.fromkeys(
        replace(scene, **{point: UNNAMED}) for point in ("colour", "direction", "background") for scene in SCENES
    )
)
"""The scenes of which one word is not said. They teach that the other words mean what they mean by themselves."""


@dataclass(frozen=True, slots=True)
class Staging:
    """What a sentence leaves open: how large the shape is, how far it goes, how far off the middle. Pixels.

    And what stands for a word that is not said: the colour, the way as a vector of length 1, the background.
    """

    radius: float = 12.0
    reach: float = 13.0  # from the middle of the picture to either end of the way
    along: float = 0.0
    across: float = 0.0
    paint: Colour | None = None
    way: tuple[float, float] | None = None
    ground: Colour | None = None

    @classmethod
    def drawn(cls, dice: random.Random, spread: float = 1.0, scene: Scene | None = None) -> Staging:
        """One of many; `spread` says how unlike each other they are, `scene` what must be drawn with it."""

        def about(middle: float, width: float) -> float:
            return dice.uniform(middle - width * spread, middle + width * spread)

        plain = cls(about(12.25, 1.25), about(13.0, 1.5), about(0.0, 2.0), about(0.0, 3.0))
        if scene is None:
            return plain
        if scene.colour == UNNAMED:
            return replace(plain, paint=_odd(dice, COLOURS.values(), BACKGROUNDS[scene.background]))
        if scene.background == UNNAMED:
            return replace(plain, ground=_odd(dice, BACKGROUNDS.values(), COLOURS[scene.colour]))
        if scene.direction == UNNAMED:
            angle = math.radians(dice.choice((45, 135, 225, 315)) + dice.uniform(-15, 15))
            return replace(plain, way=(math.cos(angle), math.sin(angle)))
        return plain


def _odd(dice: random.Random, named: Iterable[Colour], beside: Colour) -> Colour:
    """A colour that none of these words would do for, and that stands out beside another."""
    named = tuple(named)
    while True:
        colour = (dice.uniform(0, 255), dice.uniform(0, 255), dice.uniform(0, 255))
        if min(math.dist(colour, other) for other in named) > 0.3 * 255 and math.dist(colour, beside) > 0.6 * 255:
            return colour


def draw(scene: Scene, staging: Staging = Staging()) -> Frames:
    """The clip that shows this scene, with soft edges one pixel wide."""
    way = np.asarray(staging.way or DIRECTIONS[scene.direction], dtype=np.float32)
    side = np.asarray((-way[1], way[0]))
    time = np.linspace(-1, 1, FRAMES, dtype=np.float32)
    centres = SIZE / 2 + (time * staging.reach + staging.along)[:, None] * way + staging.across * side
    inside = cover(scene.shape, centres, staging.radius)[..., None]
    paint = np.asarray(staging.paint or COLOURS[scene.colour], dtype=np.float32) / 255
    ground = np.asarray(staging.ground or BACKGROUNDS[scene.background], dtype=np.float32) / 255
    frames: Frames = ground + inside * (paint - ground)
    return frames


def cover(shape: str, centres: npt.NDArray[np.float32], radius: float) -> npt.NDArray[np.float32]:
    """How much of each pixel a shape at these centres covers, from 0 to 1, with an edge one pixel wide."""
    pixels = np.arange(SIZE, dtype=np.float32) + 0.5
    x = pixels[None, None, :] - centres[:, 0, None, None]
    y = pixels[None, :, None] - centres[:, 1, None, None]
    match shape:
        case "circle":
            outside = np.sqrt(x * x + y * y) - radius
        case "square":
            outside = np.maximum(abs(x), abs(y)) - 0.89 * radius  # about the circle's area
        case "triangle":
            inner = 0.68 * radius  # of the circle inside; the corner above is twice as far
            outside = np.maximum(y, 0.866 * abs(x) - 0.5 * y) - inner
        case _:
            raise ValueError(f"no such shape: {shape}")
    return np.clip(0.5 - outside, 0, 1).astype(np.float32)
