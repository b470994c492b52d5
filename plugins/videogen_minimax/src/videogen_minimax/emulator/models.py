"""The models as the vendor has them: what they take, what they cost, how large their clips are."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from importlib import resources

import msgspec

__all__ = ["FIXED", "RATIOS", "V1Mode", "V1Model", "V2Model", "size", "v1_models", "v2_models"]

FIXED = ("720P", 6)
"""Resolution and seconds of the models of V1 that take neither."""
RATIOS = {"21:9": 21 / 9, "16:9": 16 / 9, "4:3": 4 / 3, "1:1": 1.0, "3:4": 3 / 4, "9:16": 9 / 16}
"""Shapes of V2 but ``adaptive``: width / height."""
_SHORT = {"480P": 480, "512P": 512, "720P": 720, "768P": 768, "1080P": 1080, "2K": 1440}
_EXACT = {("480P", "16:9"): (832, 480), ("768P", "16:9"): (1344, 768)}  # V2's, whose sides are divisible by 32
_ZERO = Decimal(0)


class V1Mode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Inputs that come together, and what is allowed then."""

    inputs: tuple[str, ...]
    durations: tuple[int, ...] = ()
    resolutions: tuple[str, ...] = ()


class V1Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of V1.

    Attributes:
        modes: What it takes.
        usd: Per video, by resolution and seconds; nothing where no price is known.
        fixed: Whether it refuses to be told a resolution and a duration.
    """

    modes: tuple[V1Mode, ...]
    usd: dict[str, Decimal] = {}
    fixed: bool = False

    def price(self, resolution: str, duration: int) -> Decimal:
        """USD of a video; 0 where no price is known."""
        return self.usd.get(f"{resolution} {duration}", _ZERO)


class V2Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of V2.

    Attributes:
        usd: Per second, by resolution.
        prompt: Characters at most.
        shortest: Seconds; the longest clip has 15.
        references: Whether it takes references.
        watermark: Whether it takes ``aigc_watermark``.
        expansion: Whether it takes ``extra.prompt_expansion_mode``.
        regeneration: USD per second of making a clip once more in 2K.
    """

    usd: dict[str, Decimal]
    prompt: int
    shortest: int
    references: bool = False
    watermark: bool = False
    expansion: bool = False
    regeneration: Decimal | None = None


class _Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    v1: dict[str, V1Model]
    v2: dict[str, V2Model]


@cache
def _models() -> _Models:
    text = resources.files(__package__).joinpath("models.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Models)


def v1_models() -> dict[str, V1Model]:
    """The models of V1 by id."""
    return _models().v1


def v2_models() -> dict[str, V2Model]:
    """The models of V2 by id."""
    return _models().v2


def size(resolution: str, shape: float, *, ratio: str = "") -> tuple[int, int]:
    """Width and height of a clip, even.

    Args:
        resolution: As the API writes it.
        shape: Width / height.
        ratio: Its name on V2, for the sizes that are not simply the short side and the shape.
    """
    if (resolution, ratio) in _EXACT:
        return _EXACT[resolution, ratio]
    short = _SHORT[resolution]
    long = 2 * round(short * max(shape, 1 / shape) / 2)
    return (long, short) if shape >= 1 else (short, long)
