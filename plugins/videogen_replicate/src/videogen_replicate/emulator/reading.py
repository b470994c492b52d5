"""What an input means: the clip that it asks for, and what that costs; read off the parameters' names."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from videogen_core.testing import Clip

from .models import Model

__all__ = ["clip_of", "price_of"]

_FPS = 4.0  # of clips whose rate nobody asks for: it is quick to render
_INTERPOLATED = 30.0
_FRAMES = (("num_frames", "frames_per_second"), ("num_frames", "fps"), ("video_length", "fps"))
_FRAMES_ALONE = 24.0  # a second, where the rate cannot be told
_AUTO_SECONDS = 5.0


def clip_of(model: Model, values: Mapping[str, Any], number: int = 0) -> Clip:
    """The clip that an input asks for.

    Args:
        model: Which.
        values: Its input, defaults filled in.
        number: Decides how it looks, where no seed does.
    """
    width, height = _size(model, values)
    seconds, fps = _length(model, values)
    sound = bool(values.get(model.sound)) if isinstance(model.sound, str) else model.sound
    seed = values.get("seed", number)
    return Clip(duration=seconds, width=width, height=height, fps=fps, audio=sound, seed=seed % 1000)


def _length(model: Model, values: Mapping[str, Any]) -> tuple[float, float]:
    """Seconds and frames per second. What is told in frames lasts from the first to the last of them."""
    for frames, rate in _FRAMES:
        if frames in values and rate in values:
            fps = _INTERPOLATED if values.get("interpolate_output") else float(values[rate])
            return max((values[frames] - 1) / values[rate], 1 / values[rate]), fps
    if "length" in values:
        return values["length"] / _FRAMES_ALONE, _FPS
    seconds = values.get("duration", model.seconds or _AUTO_SECONDS)
    return float(seconds if seconds > 0 else _AUTO_SECONDS), float(values.get("fps", _FPS))


def _size(model: Model, values: Mapping[str, Any]) -> tuple[int, int]:
    if "width" in values and "height" in values:
        return values["width"] // 2 * 2, values["height"] // 2 * 2
    if "size" in values:
        across, _, down = str(values["size"]).partition("*")
        return int(across), int(down)
    word = next((str(values[name]) for name in ("resolution", "quality", "mode") if name in values), "")
    short = model.heights.get(word) or (int(word[:-1]) if word.endswith("p") and word[:-1].isdigit() else model.height)
    across, _, down = str(values.get("aspect_ratio", "")).partition(":")
    shape = int(across) / int(down) if across.isdigit() and down.isdigit() else 16 / 9
    if word in model.landscape and shape in (16 / 9, 9 / 16):
        width, height = model.landscape[word]
        return (width, height) if shape > 1 else (height, width)
    long = 2 * round(short * max(shape, 1 / shape) / 2)
    return (long, short) if shape >= 1 else (short, long)


def price_of(model: Model, values: Mapping[str, Any], seconds: float) -> Decimal:
    """USD for one clip; nothing where no price is known."""
    for rate in model.prices:
        if rate.without not in values and all(values.get(name) == value for name, value in rate.when.items()):
            return Decimal(rate.usd) * (Decimal(str(seconds)) if rate.per == "second" else 1)
    return Decimal(0)
