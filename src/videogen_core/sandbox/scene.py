"""Paints the frames of a placeholder clip with Pillow alone: a backdrop that moves, and the words on top of it.

What does not change is painted once; a frame is then a handful of pastes. The default backdrop is a landscape whose
colours and hills come from the seed.
"""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

from .clip import RenderSpec
from .inputs import clip_frames, open_picture

__all__ = ["drawable", "font", "frames", "shortened", "wrapped"]

Colour = tuple[int, int, int]

_WHITE: Colour = (255, 255, 255)
_GREY: Colour = (190, 200, 222)
_INK: Colour = (9, 11, 22)
_AMBER: Colour = (255, 193, 69)
_PANEL_OPACITY = 0.70
_FADE_SECONDS = 0.5
_PROMPT_SIZES = (0.082, 0.072, 0.062, 0.053, 0.045)
"""Heights of the prompt's letters to try, as shares of the shorter side."""

_PROMPT_CHARS = 1200
"""More of a prompt than fits into any frame."""

_ATOM = re.compile(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|.")
"""What a word may be broken into: characters, and escapes as `drawable` writes them."""

_PALETTES: tuple[tuple[str, str, str, str, str, str], ...] = (
    # sky above, sky in the middle, sky at the horizon, sun, farthest hills, nearest hills
    ("#2a1a4f", "#b5537f", "#ffb37a", "#ffe9b8", "#99507f", "#1a0f2e"),
    ("#2f64b0", "#8fb8e0", "#ffe0c2", "#fff8e2", "#8aa5cb", "#1b3050"),
    ("#0c4257", "#3d9a9c", "#c9f0d2", "#fbffe6", "#4d9a98", "#08252e"),
    ("#52264d", "#c8604f", "#f9be66", "#fff3cb", "#bd664a", "#331321"),
    ("#060920", "#1d2763", "#5364b8", "#f3f5ff", "#2c3881", "#05081a"),
    ("#46296b", "#b06596", "#f9b9c1", "#fff4ee", "#a0628f", "#26122f"),
)

_PLAIN = {
    "\u2014": "-", "\u2013": "-", "\u2192": "->", "\u2022": "·", "\u00d7": "x",
    "\u2018": "'", "\u201e": '"', "\u00ab": '"', "\u00bb": '"', "\u00df": "ss",
    "\u0142": "l", "\u0141": "L", "\u00f8": "o", "\u00d8": "O", "\u0111": "d", "\u00e6": "ae", "\u0153": "oe",
}  # fmt: skip
"""What stands in for common characters that the font lacks."""


# --- words ------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own scalable font, ``size`` pixels high, so that no machine's fonts change the picture."""
    loaded = ImageFont.load_default(size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; install one of its wheels")
    return loaded


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    mask, missing = font(16).getmask(character), font(16).getmask("\uffff")
    return mask.size != missing.size or bytes(mask) != bytes(missing)


def drawable(text: str) -> str:
    """``text`` on one line, in characters that the font has.

    An accented letter loses its accent; what has no likeness is written as ``\\uXXXX``, never as an empty box.
    """
    return "".join(_stand_in(character) for character in " ".join(text.split()))


def _stand_in(character: str) -> str:
    if character == " " or (character.isprintable() and _has_glyph(character)):
        return character
    if character in _PLAIN:
        return _PLAIN[character]
    likeness = "".join(part for part in unicodedata.normalize("NFKD", character) if not unicodedata.combining(part))
    if likeness != character and all(_has_glyph(part) for part in likeness):
        return likeness
    return character.encode("unicode_escape").decode()


def wrapped(text: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines of at most ``width`` pixels; a word that is too long for a line is broken."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        for piece in _pieces(word, letters, width):
            longer = f"{line} {piece}" if line else piece
            if letters.getlength(longer) <= width:
                line = longer
            else:
                lines.append(line)
                line = piece
    return [*lines, line] if line else lines


def _pieces(word: str, letters: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """The word, or parts of it that fit, never broken within an escape."""
    if letters.getlength(word) <= width:
        return [word]
    pieces = [""]
    for atom in _ATOM.findall(word):
        if letters.getlength(pieces[-1] + atom) > width:
            pieces.append("")
        pieces[-1] += atom
    return [piece for piece in pieces if piece]


def shortened(line: str, letters: ImageFont.FreeTypeFont, width: int) -> str:
    """A line of at most ``width`` pixels, cut with an ellipsis when it is longer."""
    if letters.getlength(line) <= width:
        return line
    while line and letters.getlength(line + "…") > width:
        line = line[:-1]
    return line.rstrip() + "…"


# --- what lies on top -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sticker:
    """A picture with its own transparency, at a place in the frame."""

    picture: Image.Image
    mask: Image.Image
    at: tuple[int, int]

    def put(self, frame: Image.Image, opacity: float = 1.0) -> None:
        """Paste it, more or less transparent."""
        if opacity > 0:
            mask = self.mask if opacity >= 1 else self.mask.point([round(level * opacity) for level in range(256)])
            frame.paste(self.picture, self.at, mask)


def _rounded(size: tuple[int, int], radius: int, opacity: float = 1.0) -> Image.Image:
    """A mask with smooth round corners."""
    large = Image.new("L", (size[0] * 4, size[1] * 4))
    box = (0, 0, size[0] * 4 - 1, size[1] * 4 - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius * 4, fill=round(255 * opacity))
    return large.reduce(4)


@dataclass(frozen=True)
class Paragraph:
    """Lines of one size, ready to be drawn."""

    lines: tuple[str, ...] = ()
    size: int = 9

    @property
    def step(self) -> int:
        """Pixels from one line to the next."""
        return round(self.size * 1.28)

    @property
    def height(self) -> int:
        """Pixels of all lines."""
        return self.step * len(self.lines)

    def draw(self, canvas: Image.Image, left: int, top: int, fill: Colour | int) -> None:
        """Draw onto ``canvas``, the first line's top at ``top``."""
        pen = ImageDraw.Draw(canvas)
        for number, line in enumerate(self.lines):
            pen.text((left, top + number * self.step), line, font=font(self.size), fill=fill)


def _prompt_paragraph(prompt: str, short: int, width: int, height: int) -> Paragraph:
    """The prompt as large as fits into the box, cut with an ellipsis when even the smallest letters do not."""
    text = drawable(prompt[:_PROMPT_CHARS])
    if max(len(prompt), len(text)) > _PROMPT_CHARS:
        text = text[:_PROMPT_CHARS] + "…"
    size, lines = 9, [""]
    for share in _PROMPT_SIZES:
        size = max(9, round(short * share))
        lines = wrapped(text, font(size), width)
        if len(lines) * round(size * 1.28) <= height:
            return Paragraph(tuple(lines), size)
    keep = max(1, height // round(size * 1.28))
    # two lines run together are too long for one, so that the ellipsis shows that words are missing
    cut = shortened(" ".join(lines[keep - 1 : keep + 1]), font(size), width)
    return Paragraph((*lines[: keep - 1], cut), size)


def _panel(spec: RenderSpec) -> Sticker:
    """The dark panel at the bottom with the prompt and, smaller, the captions."""
    short, margin = min(spec.width, spec.height), _margin(spec)
    pad = max(4, round(short * 0.04))
    width = spec.width - 2 * margin
    inner = width - 2 * pad
    small = max(8, round(short * 0.036))
    captions = tuple(shortened(drawable(line), font(small), inner) for line in spec.captions)
    notes = Paragraph(captions, small)
    room = round(spec.height * 0.52) - notes.height - 2 * pad
    prompt = _prompt_paragraph(spec.prompt, short, inner, room) if spec.prompt.strip() else Paragraph()
    gap = round(small * 0.5) if prompt.lines and notes.lines else 0
    height = prompt.height + gap + notes.height + 2 * pad
    picture = Image.new("RGB", (width, height), _INK)
    mask = _rounded((width, height), pad, _PANEL_OPACITY)
    for paragraph, top, colour in ((prompt, pad, _WHITE), (notes, pad + prompt.height + gap, _GREY)):
        paragraph.draw(picture, pad, top, colour)
        paragraph.draw(mask, pad, top, 255)
    return Sticker(picture, mask, (margin, spec.height - margin - height))


def _margin(spec: RenderSpec) -> int:
    return max(6, round(min(spec.width, spec.height) * 0.05))


def _badge(spec: RenderSpec) -> Sticker:
    """The mark that no one can overlook, top left in every frame."""
    margin = _margin(spec)
    text = drawable(spec.mark)
    size = max(8, round(min(spec.width, spec.height) * 0.05))
    while size > 6 and font(size).getlength(text) + 1.3 * size > spec.width - 2 * margin:
        size -= 1
    box = (round(font(size).getlength(text) + 1.3 * size), round(size * 1.75))
    picture = Image.new("RGB", box, _AMBER)
    pen = ImageDraw.Draw(picture)
    pen.text((box[0] / 2, box[1] / 2), text, font=font(size), fill=_INK, anchor="mm")
    return Sticker(picture, _rounded(box, box[1] // 2), (margin, margin))


def _thumbnails(spec: RenderSpec) -> Iterator[Sticker]:
    """The reference images in a row under the badge, each in a white frame."""
    margin = _margin(spec)
    side = round(min(spec.width, spec.height) * 0.2)
    edge = max(1, side // 24)
    inner = side - 2 * edge
    for number, data in enumerate(spec.references):
        card = Image.new("RGB", (side, side), _WHITE)
        thumbnail = ImageOps.fit(open_picture(data, (inner, inner)), (inner, inner), Image.Resampling.LANCZOS)
        card.paste(thumbnail, (edge, edge))
        at = (margin + number * (side + margin // 2), margin + round(side * 0.6))
        yield Sticker(card, _rounded((side, side), max(2, side // 12)), at)


@dataclass(frozen=True)
class Clock:
    """The seconds top right, or under the badge where the frame is narrow, and the bar along the bottom."""

    spec: RenderSpec
    pill: Sticker
    size: int

    @classmethod
    def beside(cls, spec: RenderSpec, badge: Sticker) -> Clock:
        """A clock that does not touch ``badge``."""
        margin = _margin(spec)
        size = max(8, round(min(spec.width, spec.height) * 0.045))
        box = (round(font(size).getlength("00.00 s") + 1.2 * size), round(size * 1.75))
        left = spec.width - margin - box[0]
        below = badge.at[1] + badge.picture.height + margin // 2
        top = margin if left > badge.at[0] + badge.picture.width + margin // 2 else below
        pill = Sticker(Image.new("RGB", box, _INK), _rounded(box, box[1] // 2, _PANEL_OPACITY), (left, top))
        return cls(spec, pill, size)

    def put(self, frame: Image.Image, seconds: float, progress: float) -> None:
        """Show the time of this frame."""
        spec, pen = self.spec, ImageDraw.Draw(frame)
        self.pill.put(frame)
        at = (self.pill.at[0] + 0.6 * self.size, self.pill.at[1] + self.pill.picture.height / 2)
        pen.text(at, f"{seconds:05.2f} s", font=font(self.size), fill=_WHITE, anchor="lm")
        top = spec.height - max(2, round(min(spec.width, spec.height) * 0.012))
        pen.rectangle((0, top, spec.width, spec.height), fill=_INK)
        pen.rectangle((0, top, round(spec.width * progress), spec.height), fill=_AMBER)


# --- what lies beneath ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class View:
    """Where the camera looks: shifts as shares of the frame, and magnification."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0


_SHIFTS: dict[str, tuple[float, float]] = {
    "truck left": (-0.9, 0.0),
    "truck right": (0.9, 0.0),
    "pan left": (-0.6, 0.0),
    "pan right": (0.6, 0.0),
    "tracking shot": (1.4, 0.0),
    "pedestal up": (0.0, -0.16),
    "tilt up": (0.0, -0.2),
    "pedestal down": (0.0, 0.12),
    "tilt down": (0.0, 0.16),
}
_ZOOMS = {"push in": (1.0, 1.45), "zoom in": (1.0, 1.6), "pull out": (1.45, 1.0), "zoom out": (1.6, 1.0)}


def _view(camera: Sequence[str], progress: float) -> View:
    """Where ``camera`` has got to at ``progress``, 0 to 1, of the clip."""
    x = sum(_SHIFTS[move][0] for move in camera if move in _SHIFTS) * progress
    y = sum(_SHIFTS[move][1] for move in camera if move in _SHIFTS) * progress
    zoom = math.prod(_ZOOMS[m][0] + (_ZOOMS[m][1] - _ZOOMS[m][0]) * progress for m in camera if m in _ZOOMS)
    if "shake" in camera:
        x += 0.02 * math.sin(progress * 61)
        y += 0.02 * math.sin(progress * 83)
    return View(x, y, zoom)


def _cropped(picture: Image.Image, view: View) -> Image.Image:
    """The part of a picture that a view sees, in the picture's own size; never more than there is."""
    if view.zoom <= 1:
        return picture.copy()
    width, height = picture.size
    free = (1 - 1 / view.zoom) / 2
    left = (free + min(free, max(-free, view.x))) * width
    top = (free + min(free, max(-free, view.y))) * height
    box = (left, top, left + width / view.zoom, top + height / view.zoom)
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box=box)


def _rgb(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(one + (other - one) * share) for one, other in zip(a, b, strict=True))
    return red, green, blue


@dataclass(frozen=True)
class Hills:
    """One range of hills: a wavy mask that repeats sideways, and how near it is (0 far, 1 near)."""

    mask: Image.Image
    colour: Colour
    top: int
    near: float

    @classmethod
    def grown(cls, size: tuple[int, int], near: float, colour: Colour, dice: random.Random) -> Hills:
        """A range whose waves ``dice`` decides."""
        width, height = size
        rise = round(height * (0.13 + 0.05 * near))
        waves = [(count, dice.uniform(0, math.tau), 1 / count) for count in (2, 3, 5, 9, 17)]
        total = sum(weight for _, _, weight in waves)
        mask = Image.new("L", (2 * width * 3, rise * 2))
        step = max(2, mask.width // 320)
        line = []
        for x in range(0, mask.width + step, step):
            turn = math.tau * x / (2 * width * 2)  # the pattern repeats after two frame widths, at twice the size
            level = sum(weight * math.sin(count * turn + phase) for count, phase, weight in waves) / total
            line.append((x, (0.5 - 0.5 * level) * mask.height))
        ImageDraw.Draw(mask).polygon([(0, mask.height), *line, (mask.width, mask.height)], fill=255)
        return cls(mask.reduce(2), colour, round(height * (0.38 + 0.38 * near)), near)

    def put(self, frame: Image.Image, view: View) -> None:
        """Paste the part that a view sees; nearer hills pass faster."""
        width, height = frame.size
        left = round((0.15 + self.near) * view.x * width) % (2 * width)
        top = self.top - round((0.5 + 0.5 * self.near) * view.y * height)
        frame.paste(self.colour, (0, top), self.mask.crop((left, 0, left + width, self.mask.height)))
        bottom = top + self.mask.height
        if bottom < height:
            frame.paste(self.colour, (0, max(0, bottom), width, height))


class Landscape:
    """Hills under a moving sun, in colours that the seed picks."""

    def __init__(self, spec: RenderSpec) -> None:
        dice = random.Random(spec.seed)
        # neighbouring seeds, which the clips of one job have, never share a palette
        above, middle, horizon, sun, far, near = (_rgb(colour) for colour in _PALETTES[spec.seed % len(_PALETTES)])
        self._spec = spec
        self._size = spec.width, spec.height
        self._sky = _sky(self._size, above, middle, horizon)
        self._sun = _sun(round(min(self._size) * 0.9), sun)
        self._hills = [
            Hills.grown(self._size, step / 4, _mixed(far, near, (step / 4) ** 0.8), dice) for step in range(5)
        ]
        self._start = dice.uniform(0, 2)

    def at(self, seconds: float, progress: float) -> Image.Image:
        """The backdrop of one frame."""
        spec = self._spec
        view = _view(spec.camera, progress)
        drift = 0.0 if "static shot" in spec.camera else 0.06 * seconds
        seen = View(self._start + drift + view.x, view.y, view.zoom)
        width, height = self._size
        spare = height // 8
        rise = min(spare, max(-spare, round(0.4 * seen.y * height)))
        frame = self._sky.crop((0, spare + rise, width, spare + rise + height))
        self._put_sun(frame, progress, view)
        for hills in self._hills:
            hills.put(frame, seen)
        return _cropped(frame, View(zoom=view.zoom)) if view.zoom > 1 else frame

    def _put_sun(self, frame: Image.Image, progress: float, view: View) -> None:
        width, height = self._size
        x = (0.30 + 0.42 * progress - 0.1 * view.x) * width - self._sun.picture.width / 2
        y = (0.43 - 0.16 * math.sin(math.pi * (0.15 + 0.7 * progress)) - 0.5 * view.y) * height
        at = round(x), round(y - self._sun.picture.height / 2)
        Sticker(self._sun.picture, self._sun.mask, at).put(frame)


def _sky(size: tuple[int, int], above: Colour, middle: Colour, horizon: Colour) -> Image.Image:
    """A gradient down to the hills, with an eighth of the height to spare at both ends for a camera that tilts."""
    width, height = size
    ramp = ImageOps.colorize(Image.linear_gradient("L"), above, horizon, mid=middle)
    sky = Image.new("RGB", (width, height * 5 // 4), horizon)
    sky.paste(ramp.resize((width, round(height * 0.64)), Image.Resampling.BILINEAR))
    return sky


def _sun(side: int, colour: Colour) -> Sticker:
    """A disc with a glow around it."""
    glow = ImageOps.invert(Image.radial_gradient("L")).resize((side, side), Image.Resampling.BILINEAR)
    # the gradient's corners are its ends; what is left of it at the edges of the square is taken off
    soft = glow.point([round(150 * (max(0, level - 76) / 179) ** 2) for level in range(256)])
    disc = Image.new("L", (side, side))
    disc_side = side // 6
    at = (side - disc_side) // 2
    disc.paste(255, (at, at), _rounded((disc_side, disc_side), disc_side // 2))
    return Sticker(Image.new("RGB", (side, side), colour), ImageChops.lighter(soft, disc), (0, 0))


def _still(data: bytes, spec: RenderSpec, *, ending: bool) -> Callable[[float], Image.Image]:
    """An image that is whole at its own end of the clip and slowly magnified towards the other."""
    size = spec.width, spec.height
    picture = open_picture(data, size)
    if picture.size != size:
        picture = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
    held = {"pull out", "zoom out", "static shot"} & set(spec.camera)

    def at(progress: float) -> Image.Image:
        away = 1 - progress if ending else progress
        view = _view([move for move in spec.camera if move not in _ZOOMS], away)
        return _cropped(picture, View(view.x, view.y, 1.0 if held else 1 + 0.14 * away))

    return at


# --- the frames -------------------------------------------------------------------------------------------------


def frames(spec: RenderSpec) -> Iterator[Image.Image]:
    """Every frame of a clip, each painted when it is asked for.

    Raises:
        UnreadableInputError: An image or the source clip cannot be decoded.
    """
    badge = _badge(spec)
    clock = Clock.beside(spec, badge)
    words = [*_thumbnails(spec), *([_panel(spec)] if spec.prompt.strip() or spec.captions else [])]
    last = max(1, spec.frame_count - 1)
    for number, frame in enumerate(_backdrop(spec)):
        shown = _opacity(spec, number)
        for sticker in words:
            sticker.put(frame, shown)
        badge.put(frame)
        clock.put(frame, number / spec.fps, number / last)
        yield frame


def _opacity(spec: RenderSpec, number: int) -> float:
    """How visible the words are: not at all on the user's own first and last frame."""
    fade = max(1.0, min(_FADE_SECONDS * spec.fps, spec.frame_count / 4))
    start = number / fade if spec.first_frame is not None else 1.0
    end = (spec.frame_count - 1 - number) / fade if spec.last_frame is not None else 1.0
    return min(1.0, start, end)


def _backdrop(spec: RenderSpec) -> Iterator[Image.Image]:
    """What lies beneath the words, crossed over to the last frame where there is one."""
    last = None if spec.last_frame is None else _still(spec.last_frame, spec, ending=True)
    for progress, frame in zip(_progress(spec), _ground(spec), strict=False):
        crossed = min(1.0, max(0.0, (progress - 0.3) / 0.4))
        yield frame if last is None or crossed == 0 else Image.blend(frame, last(progress), crossed)


def _progress(spec: RenderSpec) -> Iterator[float]:
    """From 0 to 1 over the frames."""
    return (number / max(1, spec.frame_count - 1) for number in range(spec.frame_count))


def _ground(spec: RenderSpec) -> Iterator[Image.Image]:
    """The source clip, the first frame, or a landscape; each picture may be painted on."""
    if spec.source is not None:
        yield from (picture.copy() for picture in clip_frames(spec.source, (spec.width, spec.height), spec.fps))
    elif spec.first_frame is not None:
        yield from map(_still(spec.first_frame, spec, ending=False), _progress(spec))
    else:
        landscape = Landscape(spec)
        for number, progress in enumerate(_progress(spec)):
            yield landscape.at(number / spec.fps, progress)
