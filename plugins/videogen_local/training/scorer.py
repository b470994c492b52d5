"""Says what a clip shows, without having been told: shape, colour, direction and background, each or "cannot tell".

It measures pixels and knows no model. What it reads is then compared with what was asked, so a clip that shows nothing,
or something else, is wrong in each point. `tests/test_shapes_scorer.py` holds it against drawn clips and wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

import world

POINTS: Final = ("shape", "colour", "direction", "background")

SAME_COLOUR: Final = 0.3  # largest distance from a colour of the list that still counts; each of its parts is 0 to 1
IN_FRONT: Final = 0.35  # distance from the background from which a pixel belongs to the shape
SMALLEST: Final = 0.03  # of the picture; the drawn shapes cover 0.09 to 0.14
SHORTEST: Final = 12.0  # pixels gone from the first frame to the last; drawn: 23 to 29
STRAIGHT: Final = 0.35  # largest drift to the side, as a share of the way
FIT: Final = 0.8  # least overlap with the outline of the shape, 1 = the same


@dataclass(frozen=True, slots=True)
class Reading:
    """What a clip shows; None where that cannot be told."""

    shape: str | None = None
    colour: str | None = None
    direction: str | None = None
    background: str | None = None

    def right(self, scene: world.Scene) -> dict[str, bool]:
        """Which points are as they were asked for."""
        return {point: getattr(self, point) == getattr(scene, point) for point in POINTS}


def read(frames: npt.NDArray[Any]) -> Reading:
    """What the clip shows: frames (n, height, width, 3), from 0 to 1 or in bytes."""
    clip = frames.astype(np.float32) / (255 if frames.dtype == np.uint8 else 1)
    if clip.shape[1:] != (world.SIZE, world.SIZE, 3) or len(clip) < 3 or not np.isfinite(clip).all():
        return Reading()
    rim = (0, 1, -2, -1)
    ground = np.median(np.concatenate([clip[:, rim].reshape(-1, 3), clip[:, :, rim].reshape(-1, 3)]), axis=0)
    background = _named(ground, world.BACKGROUNDS)
    front = np.linalg.norm(clip - ground, axis=-1) > IN_FRONT
    if front.mean(axis=(1, 2)).min() < SMALLEST:
        return Reading(background=background)
    paint = np.median(clip[front], axis=0)
    # How far each pixel is on the way from the colour behind to the colour in front: the shape with its soft edges.
    cover = np.clip((clip - ground) @ (paint - ground) / ((paint - ground) @ (paint - ground)), 0, 1)
    cover[~front & (cover < 0.2)] = 0  # faint noise far away would move the centre
    centres = np.stack([_centre(frame) for frame in cover])
    return Reading(_shape(cover, centres), _named(paint, world.COLOURS), _direction(centres), background)


def _named(colour: npt.NDArray[np.float32], names: dict[str, tuple[int, int, int]]) -> str | None:
    far = {name: float(np.linalg.norm(colour - np.divide(value, 255))) for name, value in names.items()}
    best = min(far, key=far.__getitem__)
    return best if far[best] < SAME_COLOUR else None


def _centre(cover: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    pixels = np.arange(world.SIZE, dtype=np.float32) + 0.5
    return np.asarray([cover.sum(0) @ pixels, cover.sum(1) @ pixels], dtype=np.float32) / cover.sum()


def _direction(centres: npt.NDArray[np.float32]) -> str | None:
    """Where the centre goes, if it goes far enough, straight enough, and never turns back."""
    time = np.linspace(-0.5, 0.5, len(centres), dtype=np.float32)
    way = (time @ (centres - centres.mean(0))) / (time @ time)  # pixels from first to last, by least squares
    length = float(np.linalg.norm(way))
    if length < SHORTEST or (np.diff(centres @ way) / length < -1.5).any():
        return None
    name, axis = max(world.DIRECTIONS.items(), key=lambda item: float(way @ np.asarray(item[1])))
    aside = abs(float(way @ np.asarray(axis[::-1])))
    return name if aside < STRAIGHT * length else None


def _shape(cover: npt.NDArray[np.float32], centres: npt.NDArray[np.float32]) -> str | None:
    """The outline that fits best, each tried at the same place and size."""
    fits = {}
    for shape in world.SHAPES:
        overlap = []
        for frame, centre in zip(cover, centres, strict=True):
            radius = float(np.sqrt(frame.sum() / UNIT_AREA[shape]))
            outline = world.cover(shape, centre[None], radius)[0]
            overlap.append(np.minimum(frame, outline).sum() / np.maximum(frame, outline).sum())
        fits[shape] = float(np.mean(overlap))
    best = max(fits, key=fits.__getitem__)
    return best if fits[best] > FIT else None


UNIT_AREA: Final = {  # of the shape with radius 1
    shape: float(world.cover(shape, np.full((1, 2), world.SIZE / 2, dtype=np.float32), 16.0).sum()) / 16.0**2
    for shape in world.SHAPES
}


@dataclass(slots=True)
class Tally:
    """How many clips were right in each point."""

    clips: int = 0
    shape: int = 0
    colour: int = 0
    direction: int = 0
    background: int = 0

    def add(self, right: dict[str, bool]) -> None:
        self.clips += 1
        for point, is_right in right.items():
            setattr(self, point, getattr(self, point) + is_right)

    def share(self, point: str) -> float:
        return getattr(self, point) / self.clips if self.clips else 0.0

    def __str__(self) -> str:
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))


def tally(clips: Iterable[tuple[world.Scene, npt.NDArray[Any]]]) -> Tally:
    """The sum over clips, each with the scene that was asked for."""
    total = Tally()
    for scene, frames in clips:
        total.add(read(frames).right(scene))
    return total
