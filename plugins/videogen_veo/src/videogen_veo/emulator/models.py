"""What each model takes and costs, as data."""

from __future__ import annotations

from decimal import Decimal
from math import ceil
from typing import NamedTuple

import msgspec

from .answers import GoogleRefusal

__all__ = ["OMNI", "RETIRED", "SIZES", "VEO", "OmniModel", "Usage", "VeoModel", "frame_size", "omni_model", "veo_model"]

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
"""Landscape, in pixels."""

ASPECTS = ("16:9", "9:16")
FPS = 24
EXTENSION = 7
"""Seconds that one extension by Veo adds."""

_MILLION = Decimal(1_000_000)
_VIDEO_TOKENS = 5792  # a second at 720p, in and out
_IMAGE_TOKENS = 258
_PER_MILLION_IN, _PER_MILLION_TEXT, _PER_MILLION_VIDEO = Decimal("1.50"), Decimal("9.00"), Decimal("17.50")
# USD a second by the price list; the tokens of other sizes are in proportion to those at 720p
_BY_SIZE = {"360p": Decimal("0.03"), "720p": Decimal("0.10"), "1080p": Decimal("0.15"), "4k": Decimal("0.30")}


class VeoModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the long-running operations.

    Attributes:
        prices: USD for a second with sound and without, by resolution.
        durations: Seconds.
        references: How many reference images it takes.
        location: Where it is served.
    """

    prices: dict[str, tuple[Decimal, Decimal]]
    durations: tuple[int, ...] = (4, 6, 8)
    references: int = 3
    location: str = "us-central1"


class OmniModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the Interactions API.

    Attributes:
        backends: ``gemini`` (API key) and ``vertex`` (project and location).
        longest: Seconds of a clip made from text or one image.
        longest_edit: Seconds of an uploaded clip that is edited.
        location: Where Vertex serves it.
    """

    backends: tuple[str, ...]
    longest: float = 10
    longest_edit: float = 10
    location: str = "global"


def _usd(*pairs: tuple[str, str, str]) -> dict[str, tuple[Decimal, Decimal]]:
    return {size: (Decimal(sound), Decimal(silent)) for size, sound, silent in pairs}


VEO = {
    "veo-3.1-generate-001": VeoModel(
        prices=_usd(("720p", "0.40", "0.20"), ("1080p", "0.40", "0.20"), ("4k", "0.60", "0.40"))
    ),
    "veo-3.1-fast-generate-001": VeoModel(
        prices=_usd(("720p", "0.10", "0.10"), ("1080p", "0.12", "0.12"), ("4k", "0.30", "0.25"))
    ),
    "veo-3.1-lite-generate-001": VeoModel(
        prices=_usd(("720p", "0.05", "0.03"), ("1080p", "0.08", "0.05")), references=0
    ),
}

OMNI = {
    "gemini-omni-1.2-flash": OmniModel(backends=("gemini", "vertex"), longest=15, longest_edit=15),
    "gemini-omni-1.1-flash": OmniModel(backends=("gemini",)),
    "gemini-omni-1.1-flash-preview": OmniModel(backends=("vertex",)),
    "gemini-omni-flash-preview": OmniModel(backends=("vertex",)),
}

# Which ids a backend no longer has, and what Google names in their place.
_OMNI_NOW, _VEO_NOW = "gemini-omni-1.2-flash", "veo-3.1-generate-001"
_PREVIEWS = ("veo-3.1-generate-preview", "veo-3.1-fast-generate-preview", "veo-3.1-lite-generate-preview")
_OLDER = ("veo-3.0-generate-001", "veo-3.0-fast-generate-001", "veo-3.0-generate-preview",
          "veo-3.0-fast-generate-preview", "veo-2.0-generate-001")  # fmt: skip
RETIRED = {
    "gemini": dict.fromkeys((*_PREVIEWS, *_OLDER, *VEO, "gemini-omni-flash-preview"), _OMNI_NOW),
    "vertex": dict.fromkeys((*_PREVIEWS, *_OLDER), _VEO_NOW),
}


def veo_model(name: str, backend: str) -> VeoModel:
    """The row of a model.

    Raises:
        GoogleRefusal: 404: there is none, or no longer; 400: it speaks another protocol.
    """
    _refuse_retired(name, backend)
    if name in OMNI:
        raise GoogleRefusal(400, "invalid_request", only_interactions(name))
    if name not in VEO:
        raise unknown_model(name)
    return VEO[name]


def omni_model(name: str, backend: str) -> OmniModel:
    """The row of a model.

    Raises:
        GoogleRefusal: 404: there is none, or no longer; 400: it speaks another protocol.
    """
    _refuse_retired(name, backend)
    if name in VEO:
        raise GoogleRefusal(400, "invalid_request", f"The model {name} does not support the Interactions API.")
    if name not in OMNI or backend not in OMNI[name].backends:
        raise unknown_model(name)
    return OMNI[name]


def _refuse_retired(name: str, backend: str) -> None:
    if (instead := RETIRED[backend].get(name)) is not None:
        message = f"This model models/{name} is no longer available. Please update your code to use {instead}."
        raise GoogleRefusal(404, "not_found", message)


def unknown_model(name: str) -> GoogleRefusal:
    """404 for a model that this place does not have."""
    return GoogleRefusal(
        404, "not_found", f"The model {name[:80]} was not found, or your project does not have access to it."
    )


def only_interactions(name: str) -> str:
    """What an Omni model says to every other method."""
    return f"The model {name} only supports Interactions API."


def frame_size(resolution: str, aspect: str) -> tuple[int, int]:
    """Width and height."""
    width, height = SIZES[resolution]
    return (height, width) if aspect == "9:16" else (width, height)


class Usage(NamedTuple):
    """The tokens of one interaction."""

    text_in: int = 0
    images_in: int = 0
    video_in: int = 0
    video_out: int = 0
    text_out: int = 0
    thought: int = 0

    @property
    def price(self) -> Decimal:
        """USD."""
        cost = (self.text_in + self.images_in + self.video_in) * _PER_MILLION_IN
        cost += (self.text_out + self.thought) * _PER_MILLION_TEXT + self.video_out * _PER_MILLION_VIDEO
        return cost / _MILLION


def usage_in(*, text: str, images: int, seconds: float) -> Usage:
    """The tokens of what is read: of text one a word at least, so many an image, and clips by the second."""
    words = max(len(text.split()), ceil(len(text) / 4))
    return Usage(text_in=words, images_in=images * _IMAGE_TOKENS, video_in=ceil(seconds * _VIDEO_TOKENS - 1e-6))


def video_tokens(seconds: float, resolution: str) -> int:
    """The tokens of a clip that is made."""
    share = _BY_SIZE[resolution] / _BY_SIZE["720p"]
    return ceil(Decimal(str(seconds)) * _VIDEO_TOKENS * share)
