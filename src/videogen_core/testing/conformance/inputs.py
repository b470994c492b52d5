"""Media that an offer takes: pictures and clips within its limits, made here."""

from __future__ import annotations

import io
import math
from functools import lru_cache

from videogen_core import MediaLimits

from ..clips import Clip, make_clip

__all__ = ["clip_within", "picture_within"]

_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
_SIDES = (640, 360)
_COLOURS = ((0, 128, 128), (255, 127, 80), (142, 69, 133), (90, 90, 90))


def picture_within(limits: MediaLimits, number: int = 0) -> bytes:
    """A small picture of one colour; each number has another."""
    kind = next((_FORMATS[each] for each in limits.formats or _FORMATS if each in _FORMATS), "PNG")
    return _picture(kind, _size(limits), number)


@lru_cache(maxsize=64)
def _picture(kind: str, size: tuple[int, int], number: int) -> bytes:
    from PIL import Image

    red, green, blue = _COLOURS[number % len(_COLOURS)]
    buffer = io.BytesIO()
    Image.new("RGB", size, (red, green, (blue + number // len(_COLOURS)) % 256)).save(buffer, format=kind)
    return buffer.getvalue()


def clip_within(limits: MediaLimits, number: int = 0) -> bytes:
    """A small MP4, of about two seconds where that is allowed."""
    shortest, longest = limits.min_duration or 0.0, limits.max_duration or math.inf
    duration = float(math.ceil(min(max(2.0, shortest), longest)))
    if not shortest <= duration <= longest:
        duration = (shortest + min(longest, shortest + 1.0)) / 2
    width, height = _size(limits)
    return make_clip(Clip(duration=duration, width=width, height=height, fps=24, seed=number), source=number)


def _size(limits: MediaLimits) -> tuple[int, int]:
    """Width and height, even, within the limits of sides and of shape."""
    ratio = min(max(_SIDES[0] / _SIDES[1], limits.min_ratio or 0.0), limits.max_ratio or math.inf)
    short: float = max(_SIDES[1], limits.min_side or 0)
    if limits.max_side is not None:
        short = min(short, limits.max_side / max(ratio, 1 / ratio))
    long = short * max(ratio, 1 / ratio)
    sides = 2 * round(long / 2), 2 * math.ceil(short / 2)
    return sides if ratio >= 1 else (sides[1], sides[0])
