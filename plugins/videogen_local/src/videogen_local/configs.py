"""What the configuration files of a checkpoint say of its size, without its weights.

Each component's ``config.json`` is plain JSON; diffusers names the same thing differently from class to class, and here
is where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .families import Compression, Family

__all__ = ["Dimensions", "dimensions", "tasks"]

Config = Mapping[str, Any]


class Dimensions(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a denoiser.

    Attributes:
        compression: From pixels to tokens.
        hidden: Width of a token.
        layers: Blocks of attention.
    """

    compression: Compression
    hidden: int
    layers: int


def dimensions(family: Family, configs: Mapping[str, Config]) -> Dimensions:
    """What a checkpoint's configurations say.

    Args:
        family: What holds where they are silent.
        configs: The ``config.json`` of each component, by the component's name.
    """
    denoiser = next((configs[name] for name in family.denoisers if name in configs), {})
    usual = family.compression
    temporal, spatial = _compression(configs.get("vae", {}), usual)
    patch_frames, patch = _patches(denoiser, usual)
    compression = Compression(temporal=temporal, spatial=spatial, patch=patch, patch_frames=patch_frames)
    return Dimensions(compression=compression, hidden=_hidden(denoiser), layers=_layers(denoiser))


def tasks(family: Family, configs: Mapping[str, Config]) -> tuple[str, ...]:
    """The kinds of work that a checkpoint is made for, of those that its class does.

    Wan 2.1 looks at pictures through an encoder whose tokens have positions of their own: a checkpoint without them
    (``pos_embed_seq_len``) has room for one picture, and fails on a second.
    """
    denoiser = next((configs[name] for name in family.denoisers if name in configs), {})
    if _number(denoiser, "image_dim") is None or _number(denoiser, "pos_embed_seq_len") is not None:
        return family.tasks
    return tuple(task for task in family.tasks if task != "first_last_frame") or family.tasks


def _number(config: Config, *names: str) -> int | None:
    """The first of these keys that holds a whole number above zero."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _compression(vae: Config, usual: Compression) -> tuple[int, int]:
    """Frames and pixels per latent one."""
    temporal = _number(vae, "scale_factor_temporal", "temporal_compression_ratio")
    spatial = _number(vae, "scale_factor_spatial", "spatial_compression_ratio")
    halvings = vae.get("spatio_temporal_scaling")
    if isinstance(halvings, list | tuple):  # LTX: the blocks that halve, after patches
        times = 2 ** sum(map(bool, halvings))
        temporal = temporal or (_number(vae, "patch_size_t") or 1) * times
        spatial = spatial or (_number(vae, "patch_size") or 1) * times
    channels = vae.get("block_out_channels")
    if spatial is None and "temporal_compression_ratio" in vae and isinstance(channels, list | tuple):  # CogVideoX
        spatial = 2 ** (len(channels) - 1)
    return temporal or usual.temporal, spatial or usual.spatial


def _patches(denoiser: Config, usual: Compression) -> tuple[int, int]:
    """Latent frames, and latent pixels along a side, per token."""
    patch = denoiser.get("patch_size")
    if isinstance(patch, list | tuple) and len(patch) == 3 and all(isinstance(n, int) and n > 0 for n in patch):
        return patch[0], patch[1]
    return _number(denoiser, "patch_size_t") or usual.patch_frames, _number(denoiser, "patch_size") or usual.patch


def _hidden(denoiser: Config) -> int:
    heads = _number(denoiser, "num_attention_heads", "num_heads")
    width = _number(denoiser, "attention_head_dim", "head_dim")
    if heads is not None and width is not None:
        return heads * width
    direct = _number(denoiser, "hidden_size", "model_dim", "inner_dim", "dim")
    if direct is not None:
        return direct
    channels = denoiser.get("block_out_channels")  # a U-Net: its widest block
    numbers = [n for n in channels if isinstance(n, int)] if isinstance(channels, list | tuple) else []
    return max(numbers, default=0)


def _layers(denoiser: Config) -> int:
    known = ("num_layers", "num_single_layers", "num_visual_blocks", "num_text_blocks", "num_hidden_layers")
    return sum(_number(denoiser, name) or 0 for name in known)
