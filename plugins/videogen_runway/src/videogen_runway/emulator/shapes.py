"""From a body to what is made: the clip, and what it costs."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, NamedTuple

from videogen_core.testing import Clip

from .assets import Assets, Measure
from .kinds import Sight
from .rules import rules, table

__all__ = ["Made", "made", "sizes"]

_FPS = 8.0
"""Of what is made. Runway's own clips have more; these are made in a moment."""
_HEIGHTS = {"1k": 1080, "2k": 1440, "4k": 2160}
_RATES = {"23_98": 23.976, "29_97": 29.97, "59_94": 59.94}
_TIERS = ((400, "360p"), (560, "480p"), (800, "720p"), (1300, "1080p"))  # of a source, by its shorter side
_UNKNOWN = {"all": 10}
_USUAL_SECONDS = 5.0
_MEGAPIXELS = 4_000_000


class Made(NamedTuple):
    """What a create leads to.

    Attributes:
        clip: What its clip is like.
        credits: What it costs.
    """

    clip: Clip
    credits: Decimal


def sizes() -> dict[str, frozenset[str]]:
    """The groups of sizes."""
    return {name: frozenset(group["sizes"].split()) for name, group in table()["ratios"].items()}


def made(endpoint: str, body: dict[str, Any], sight: Sight, assets: Assets) -> Made:
    """What a body that keeps to the rules leads to."""
    source = _first(sight, assets, "video")
    width, height, tier = _size(endpoint, body, source, _first(sight, assets, "image"))
    clip = Clip(
        duration=_seconds(body, source),
        width=width,
        height=height,
        fps=_fps(body, source),
        audio=_audio(endpoint, body, source),
        seed=int(body.get("seed", 0)) % 1000,
    )
    return Made(clip, _credits(body, clip, tier, source, len(sight.asked.get("image", ()))))


def _first(sight: Sight, assets: Assets, family: str) -> Measure | None:
    found = sight.asked.get(family)
    return assets.measure(found[0], family) if found else None


# --- the clip


def _seconds(body: dict[str, Any], source: Measure | None) -> float:
    asked = body.get("duration")
    if isinstance(asked, int):
        return float(asked)
    return source.seconds if source is not None else _USUAL_SECONDS


def _fps(body: dict[str, Any], source: Measure | None) -> float:
    asked = body.get("targetFramerate")
    if asked is not None:
        return _RATES.get(asked) or float(asked)
    tool = body["model"] in ("magnific_video_upscaler_creative", "ruby")
    return source.fps if tool and source is not None else _FPS


def _audio(endpoint: str, body: dict[str, Any], source: Measure | None) -> bool:
    if endpoint == "video_to_hdr":
        return source is not None and source.sound
    if body["model"] in table()["sound"]["always"]:
        return True
    if "audio" in rules(endpoint)[body["model"]]:
        return bool(body.get("audio", True))
    settings = body.get("providerSettings") or {}
    return bool(settings.get("keepOriginalSound", False))


def _size(endpoint: str, body: dict[str, Any], source: Measure | None, image: Measure | None) -> tuple[int, int, str]:
    """Width, height, and the resolution that it is priced as."""
    ratio, resolution = body.get("ratio"), str(body.get("resolution", "")).lower()
    pixels = str(ratio or "").partition(":")
    if len(pixels[0]) > 2 and pixels[2].isdecimal():
        return int(pixels[0]), int(pixels[2]), _tier_of(endpoint, body["model"], str(ratio))
    given = source or image or Measure(1280, 720)
    shape = given.width / given.height
    if ratio in (None, "adaptive") and not resolution:
        target = body.get("targetAspectRatio")
        if target is None:
            return given.width, given.height, _tier(min(given.width, given.height))
        return (*_scaled(min(given.width, given.height), _shape(target)), "720p")
    if str(ratio).startswith("auto_"):
        resolution = str(ratio).removeprefix("auto_")
    elif ratio not in (None, "adaptive"):
        shape = _shape(str(ratio))
    name = resolution or "720p"
    return (*_scaled(_HEIGHTS.get(name) or int(name.rstrip("p")), shape), name)


def _shape(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return int(width) / int(height)


def _scaled(short: int, shape: float) -> tuple[int, int]:
    long = 2 * round(short * max(shape, 1 / shape) / 2)
    short -= short % 2
    return (long, short) if shape >= 1 else (short, long)


def _tier_of(endpoint: str, model: str, ratio: str) -> str:
    groups = rules(endpoint)[model]["ratio"].split()[1:]
    known = table()["ratios"]
    tiers = (known[name]["tier"] for name in groups if name != "!" and ratio in known[name]["sizes"].split())
    return str(next(tiers))


def _tier(short: int) -> str:
    return next((name for least, name in _TIERS if short <= least), "4k")


# --- what it costs


def _credits(body: dict[str, Any], clip: Clip, tier: str, source: Measure | None, images: int) -> Decimal:
    prices = table()["prices"].get(body["model"], _UNKNOWN)
    seconds = Decimal(str(clip.duration))
    if "frame" in prices:
        rate = Decimal(prices["frame"][tier])
        return Decimal(max(math.ceil(rate * round(clip.duration * clip.fps)), prices["least"]))
    rate = prices.get("sound" if clip.audio else "silent", prices.get(tier, prices.get("all")))
    if rate is None:  # the source is of a size that the model does not make
        rate = prices["720p"]
    total = max(Decimal(rate) * seconds, Decimal(prices.get("least", 0)))
    total += Decimal(prices.get("image", 0)) * images
    total += Decimal(prices.get("reference", 0)) * len(body.get("references") or ())
    if source is not None and "source" in prices:
        total += Decimal(prices["source"].get(tier, prices["source"]["720p"])) * Decimal(str(source.seconds))
    return total + _more(body, clip) * seconds


def _more(body: dict[str, Any], clip: Clip) -> Decimal:
    """What another format costs a second."""
    formats, form = table()["formats"], body.get("outputFormat")
    if body["model"] not in formats["models"] or form is None:
        return Decimal(0)
    if form in formats["edit"]["names"]:
        return Decimal(formats["edit"]["credits"])
    twice = 2 if clip.width * clip.height > _MEGAPIXELS else 1
    return Decimal(formats["deep"]["credits"] * twice) if form in formats["deep"]["names"] else Decimal(0)
