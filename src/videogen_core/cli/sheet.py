"""The contact sheet of a ``compare``: a row of frames for each clip, with the name and the price above it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from videogen_core.sandbox.scene import drawable, font, shortened, wrapped

from .frames import pictures

__all__ = ["FRAMES", "Strip", "save_sheet"]

FRAMES = 5
_CELL = (304, 304)  # room for a frame: upright ones are as high as wide ones are wide
_GAP = 10
_MARGIN = 24
_WIDTH = FRAMES * _CELL[0] + (FRAMES - 1) * _GAP + 2 * _MARGIN
_INNER = _WIDTH - 2 * _MARGIN
_TITLE, _NAME, _SMALL = 28, 22, 18
_MOST_LINES = 2  # of the prompt

_PAPER = (27, 22, 42)
_WHITE = (255, 255, 255)
_GREY = (176, 170, 200)
_AMBER = (255, 193, 69)
_RED = (255, 118, 128)


@dataclass(frozen=True)
class Strip:
    """One row.

    Attributes:
        name: Of the offer.
        price: As it is to be read.
        remark: Time, size, seed; or why there is no clip.
        clip: Where it is; None = there is none.
    """

    name: str
    price: str
    remark: str
    clip: Path | None


def save_sheet(path: Path, prompt: str, strips: Sequence[Strip]) -> None:
    """Paint the sheet and store it as PNG.

    Raises:
        OSError: It cannot be written.
    """
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(_row, strips))
    title = _title(prompt)
    height = _MARGIN + title.height + sum(row.height + _MARGIN for row in rows) + _MARGIN // 2
    sheet = Image.new("RGB", (_WIDTH, height), _PAPER)
    top = _MARGIN
    for part in (title, *rows):
        sheet.paste(part, (_MARGIN, top))
        top += part.height + _MARGIN
    partial = path.with_name(f".{path.name}.part")
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(partial, format="PNG", optimize=True)
    partial.replace(path)


def _title(prompt: str) -> Image.Image:
    letters = font(_TITLE)
    lines = wrapped(drawable(prompt[:1000]) or "(no prompt)", letters, _INNER)
    if len(lines) > _MOST_LINES:
        # two lines run together are too long for one, so that the ellipsis shows that words are missing
        last = shortened(" ".join(lines[_MOST_LINES - 1 : _MOST_LINES + 1]), letters, _INNER)
        lines = [*lines[: _MOST_LINES - 1], last]
    step = round(_TITLE * 1.3)
    picture = Image.new("RGB", (_INNER, step * len(lines)), _PAPER)
    pen = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        pen.text((0, number * step), line, font=letters, fill=_WHITE)
    return picture


def _row(strip: Strip) -> Image.Image:
    """The caption, and the frames below it."""
    frames = pictures(strip.clip, FRAMES, *_CELL) if strip.clip is not None else []
    head = round(_NAME * 1.5)
    height = head + (max(frame.height for frame in frames) if frames else round(_SMALL * 1.8))
    row = Image.new("RGB", (_INNER, height), _PAPER)
    pen = ImageDraw.Draw(row)
    price = shortened(drawable(strip.price), font(_NAME), _INNER // 3)
    room = _INNER - round(font(_NAME).getlength(price)) - _GAP * 2
    name = shortened(drawable(strip.name), font(_NAME), room)
    pen.text((0, 0), name, font=font(_NAME), fill=_WHITE)
    used = round(font(_NAME).getlength(name)) + _GAP * 2
    pen.text((used, 0), price, font=font(_NAME), fill=_AMBER)
    used += round(font(_NAME).getlength(price)) + _GAP * 2
    remark, small = drawable(strip.remark), font(_SMALL)
    if not frames:
        why = remark if strip.clip is None else "Its frames cannot be shown."
        pen.text((0, head), shortened(why, small, _INNER), font=small, fill=_RED)
    elif _INNER - used > 100:
        pen.text((used, _NAME - _SMALL), shortened(remark, small, _INNER - used), font=small, fill=_GREY)
    for number, frame in enumerate(frames):
        row.paste(frame, (number * (_CELL[0] + _GAP) + (_CELL[0] - frame.width) // 2, head))
    return row
