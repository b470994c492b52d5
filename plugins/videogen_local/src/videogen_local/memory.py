"""What a clip takes of a device's memory, before anything is loaded: weights from headers, activations by rule.

Both rules count bytes in sixteen-bit numbers, and come from counting every tensor that diffusers 0.42.1 allocates for
the released configurations, on torch's meta device, on 2026-11-21:

- A denoiser's pass holds 22 to 35 bytes per token and unit of width (Wan 1.3B, 5B and 14B, LTX, CogVideoX-5B,
  HunyuanVideo). `Family.denoise_bytes` has a third on top of the most, for what attention kernels take; Wan's own code
  holds 84 by its published peaks. Guidance that runs both prompts at once doubles it.
- A VAE's decoder holds so much per pixel of a frame, or per pixel of the whole clip where it does not work in pieces of
  time: `Family.decode_pixel` and `Family.decode_volume`. With tiles, `Family.tile` instead of the frame counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .configs import Dimensions, dimensions
from .families import Family, Nearest
from .plans import Footprint
from .weights import ComponentWeights, read_weights

__all__ = ["estimator", "footprint", "of_folder"]

_TILED_VOLUME = 20
"""Bytes per pixel and frame of the tiles that are put together, and of the clip that they make."""
_UNKNOWN_WIDTH = 4096
"""Where no configuration says how wide a token is: that of the widest models but one."""


def footprint(
    family: Family,
    size: Dimensions,
    weights: Mapping[str, ComponentWeights],
    clip: Nearest,
    *,
    number_bytes: int = 2,
    vae_bytes: int | None = None,
    guided: bool = True,
) -> Footprint:
    """What one clip takes.

    Args:
        family: For the rules of activations.
        size: Of the denoiser.
        weights: Of each component, as `read_weights` finds them.
        clip: Frames and pixels.
        number_bytes: Bytes of a number on the device: 2 for bfloat16, 4 for float32.
        vae_bytes: The same of the VAE, where it is loaded otherwise.
        guided: Whether the denoiser runs with and without the prompt.
    """
    vae_bytes = number_bytes if vae_bytes is None else vae_bytes
    tokens = size.compression.tokens(clip.frames, clip.width, clip.height)
    batch = 2 if guided and family.batched else 1
    denoise = family.denoise_bytes * (size.hidden or _UNKNOWN_WIDTH) * tokens * batch * number_bytes / 2
    pixels = clip.width * clip.height
    at_once = family.decode_pixel + family.decode_volume * clip.frames
    whole = at_once * pixels
    tiled = at_once * min(family.tile**2, pixels) + _TILED_VOLUME * clip.frames * pixels

    def loaded(name: str, numbers: int) -> int:
        return numbers * (vae_bytes if name == "vae" else number_bytes)

    return Footprint(
        components={name: loaded(name, part.elements) for name, part in weights.items()},
        denoise=round(denoise),
        decode=round(whole * vae_bytes / 2),
        decode_tiled=round(min(tiled, whole) * vae_bytes / 2),
        denoisers=family.denoisers,
        weight_bytes=number_bytes,
        largest_group=max((part.largest_block for part in weights.values()), default=0) * number_bytes,
        largest_leaf=max((part.largest_leaf for part in weights.values()), default=0) * number_bytes,
    )


def estimator(
    family: Family, size: Dimensions, weights: Mapping[str, ComponentWeights], **how: Any
) -> Callable[[Nearest], Footprint]:
    """`footprint` as a function of the clip alone, for `plans.choose`."""

    def estimate(clip: Nearest) -> Footprint:
        return footprint(family, size, weights, clip, **how)

    return estimate


def of_folder(folder: Path, family: Family, **how: Any) -> Callable[[Nearest], Footprint]:
    """What clips of the pipeline in a folder take.

    Args:
        folder: In diffusers' format.
        family: Its rules.
        **how: ``number_bytes``, ``vae_bytes`` and ``guided`` of `footprint`.

    Raises:
        RequestError: A file of weights is damaged, missing or a pickle.
    """
    folders = (part.name for part in folder.iterdir() if part.is_dir() and not part.name.startswith("."))
    parts = sorted(name for name in folders if name not in family.spare)
    return estimator(family, dimensions(family, _configs(folder, parts)), read_weights(folder, parts), **how)


def _configs(folder: Path, parts: list[str]) -> dict[str, Any]:
    """The configurations of a folder's components; one that cannot be read says nothing of memory."""
    found = {}
    for name in parts:
        try:
            config = json.loads((folder / name / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(config, dict):
            found[name] = config
    return found
