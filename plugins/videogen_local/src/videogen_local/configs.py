"""What the configuration files of a checkpoint say of its size, without its weights.

Each component's ``config.json`` is plain JSON; diffusers names the same thing differently from class to class, and here
is where that is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .families import Compression, Family, FrameRule, Sections

__all__ = ["Dimensions", "dimensions", "fitted"]

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


def fitted(family: Family, configs: Mapping[str, Config]) -> Family:
    """A family as one checkpoint is: what its VAE and patches shrink, and what its denoiser was trained to see.

    Args:
        family: As the class is.
        configs: The ``config.json`` of each component, by the component's name.
    """
    denoiser = next((configs[name] for name in family.denoisers if name in configs), {})
    family = family.with_compression(dimensions(family, configs).compression)
    # HunyuanVideo's first image to video model lays the picture beside the noise, and diffusers cuts off the latent
    # frame that shows it
    if family.name.startswith("HunyuanVideoImage") and denoiser.get("image_condition_type") == "latent_concat":
        family = msgspec.structs.replace(family, dropped=family.compression.temporal)
    # AnyFlow FAR has its latent frames shared out among chunks by the checkpoint, so that there is one count that works
    partition = denoiser.get("chunk_partition")
    if (
        family.progress == "callback"
        and isinstance(partition, list | tuple)
        and all(isinstance(n, int) for n in partition)
    ):
        count = (sum(partition) - 1) * family.compression.temporal + 1
        family = msgspec.structs.replace(
            family,
            frames=FrameRule(step=family.frames.step, offset=family.frames.offset, minimum=count, maximum=count),
            default_frames=count,
            sections=Sections(first=count - len(partition) + 1, more=1),
        )
    # where sound is asked for in the call, a checkpoint may have come without what makes it
    if family.audio and "audio" in family.parameters and not {"vocoder", "sound_tokenizer"} & configs.keys():
        told = {field: keyword for field, keyword in family.parameters.items() if field != "audio"}
        silent = {**family.fixed, family.parameters["audio"]: False}
        family = msgspec.structs.replace(family, audio=False, parameters=told, fixed=silent)
    # Wan's denoisers that look at pictures look at one, or at two if they have places for two
    if "first_last_frame" in family.tasks and denoiser.get("image_dim") is not None:
        unseen = "first_last_frame" if denoiser.get("pos_embed_seq_len") is None else "image_to_video"
        family = msgspec.structs.replace(family, tasks=tuple(task for task in family.tasks if task != unseen))
    return family


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
