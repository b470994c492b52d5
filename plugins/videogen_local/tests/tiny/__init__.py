"""Tiny pipelines with random weights in diffusers' own folder format: the real classes, made from configurations.

They draw noise. What they prove is the path: loading, denoising, decoding, encoding, for every family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from . import cogvideox, hunyuan, ltx, minimax, wan, worlds

__all__ = ["TINY", "Tiny", "lora", "save"]


@dataclass(frozen=True)
class Tiny:
    """One of them.

    Attributes:
        make: Builds the pipeline.
        side: Pixels of either side of its clip.
        frames: Frames of its clip.
        given: What a clip of it begins from: ``image``, ``last_frame``, ``video``, ``reference_images``.
        sound: Whether its clip has sound.
        family: More lines of ``[family]`` in its ``videogen.toml``: what its tiny size needs.
        needs: Packages that it needs besides torch, diffusers and transformers.
    """

    make: Callable[[], Any]
    side: int = 16
    frames: int = 9
    given: tuple[str, ...] = ()
    sound: bool = False
    family: str = ""
    needs: tuple[str, ...] = ()


_SHORT = "fixed = { max_sequence_length = 16 }"
_PLAIN = 'fixed = { prompt_template = { template = "{}", crop_start = 0 }, max_sequence_length = 16 }'
_UNGUARDED = "needs = []"
_PICTURES = ("torchvision",)

TINY = {
    "wan": Tiny(wan.wan),
    "wan-pair": Tiny(wan.wan_pair),
    "wan-image": Tiny(wan.wan_image, given=("image",)),
    "wan-frames": Tiny(wan.wan_frames, given=("image", "last_frame")),
    "wan-video": Tiny(wan.wan_video, given=("video",)),
    "wan-vace": Tiny(wan.wan_vace, given=("reference_images",)),
    "wan-modular": Tiny(wan.wan_modular),
    "wan-pair-modular": Tiny(lambda: wan.modular("Wan22ModularPipeline", wan.wan_pair())),
    "wan-image-modular": Tiny(lambda: wan.modular("WanImage2VideoModularPipeline", wan.wan_image()), given=("image",)),
    "wan-frames-modular": Tiny(
        lambda: wan.modular("Wan22Image2VideoModularPipeline", wan.wan_frames()), given=("image",)
    ),
    "wan-vace-modular": Tiny(lambda: wan.modular("Wan22VaceModularPipeline", wan.wan_vace_pair())),
    "ltx-modular": Tiny(lambda: wan.modular("LTXModularPipeline", ltx.ltx()), side=32),
    "ltx-2-modular": Tiny(lambda: wan.modular("LTX2ModularPipeline", ltx.ltx2()), side=32, sound=True),
    "ltx-2.5-modular": Tiny(ltx.ltx25, side=32, sound=True),
    "ltx-2.5-image-modular": Tiny(ltx.ltx25, side=32, given=("image",), sound=True),
    "h3": Tiny(minimax.h3, side=32, frames=124, sound=True, needs=_PICTURES),
    "h3-image": Tiny(minimax.h3, side=32, frames=124, given=("image",), sound=True, needs=_PICTURES),
    "h3-frames": Tiny(minimax.h3, side=32, frames=124, given=("image", "last_frame"), sound=True, needs=_PICTURES),
    "hunyuan-1.5-modular": Tiny(lambda: wan.modular("HunyuanVideo15ModularPipeline", hunyuan.hunyuan_15())),
    "helios-modular": Tiny(lambda: wan.modular("HeliosModularPipeline", wan.helios()), frames=33),
    "lucy": Tiny(wan.lucy, given=("video",)),
    "skyreels": Tiny(wan.skyreels),
    "skyreels-image": Tiny(wan.skyreels_image, given=("image",)),
    "skyreels-forcing": Tiny(wan.skyreels_forcing),
    "skyreels-forcing-image": Tiny(wan.skyreels_forcing_image, given=("image",)),
    "anyflow": Tiny(wan.anyflow),
    "anyflow-far": Tiny(wan.anyflow_far),
    "helios": Tiny(wan.helios, frames=33),
    "helios-pyramid": Tiny(wan.helios_pyramid, side=64, frames=33),
    "ltx": Tiny(ltx.ltx, side=32),
    "ltx-image": Tiny(ltx.ltx_image, side=32, given=("image",)),
    "ltx-condition": Tiny(ltx.ltx_condition, side=32, given=("image",)),
    "ltx-2": Tiny(
        ltx.ltx2,
        side=32,
        sound=True,
        family="fixed = { spatio_temporal_guidance_blocks = [1], max_sequence_length = 64 }",
    ),
    "ltx-2-image": Tiny(
        ltx.ltx2_image,
        side=32,
        given=("image",),
        sound=True,
        family="fixed = { spatio_temporal_guidance_blocks = [1], max_sequence_length = 64 }",
    ),
    "hunyuan": Tiny(hunyuan.hunyuan, family=_PLAIN),
    "hunyuan-image": Tiny(
        hunyuan.hunyuan_image,
        given=("image",),
        family=(
            'fixed = { prompt_template = { template = "{}", crop_start = 0, image_emb_len = 16, image_emb_start = 5, '
            "image_emb_end = 21 }, max_sequence_length = 64 }"
        ),
    ),
    "skyreels-v1": Tiny(hunyuan.skyreels_v1, given=("image",), family=_PLAIN),
    "framepack": Tiny(
        hunyuan.framepack,
        side=32,
        frames=25,
        given=("image",),
        family=(
            "frames = { step = 12, offset = 1, minimum = 13, maximum = 601 }\n"
            "sections = { first = 13, more = 12, told = 9 }\n"
            'fixed = { prompt_template = { template = "{}", crop_start = 0 }, latent_window_size = 3 }'
        ),
    ),
    "hunyuan-1.5": Tiny(hunyuan.hunyuan_15),
    "hunyuan-1.5-image": Tiny(hunyuan.hunyuan_15_image, given=("image",)),
    "kandinsky-5": Tiny(hunyuan.kandinsky5, side=32),
    "kandinsky-5-image": Tiny(hunyuan.kandinsky5_image, side=32, frames=17, given=("image",)),
    "kandinsky-6": Tiny(hunyuan.kandinsky6, side=32, sound=True),
    "kandinsky-6-silent": Tiny(lambda: hunyuan.kandinsky6(sound=False), side=32),
    "cogvideox": Tiny(cogvideox.cogvideox, family=_SHORT),
    "cogvideox-image": Tiny(cogvideox.cogvideox_image, given=("image",), family=_SHORT),
    "cogvideox-video": Tiny(cogvideox.cogvideox_video, given=("video",), family=_SHORT),
    "mochi": Tiny(cogvideox.mochi, frames=7),
    "allegro": Tiny(cogvideox.allegro, frames=8),
    "latte": Tiny(cogvideox.latte, side=64, frames=16),
    "easyanimate": Tiny(cogvideox.easyanimate, frames=5),
    "animatediff": Tiny(cogvideox.animatediff, side=64, frames=4),
    "stable-video": Tiny(cogvideox.stable_video, side=64, frames=4, given=("image",)),
    "cosmos": Tiny(worlds.cosmos, side=32, family=_UNGUARDED),
    "cosmos-video": Tiny(worlds.cosmos_video, side=32, given=("image",), family=_UNGUARDED),
    "cosmos-2": Tiny(worlds.cosmos2, side=32, given=("image",), family=_UNGUARDED),
    "cosmos-2.5": Tiny(worlds.cosmos2_5, side=32, family=_UNGUARDED, needs=_PICTURES),
    "cosmos-2.5-image": Tiny(worlds.cosmos2_5, side=32, given=("image",), family=_UNGUARDED, needs=_PICTURES),
    "cosmos-3": Tiny(worlds.cosmos3, family=_UNGUARDED),
    "sana": Tiny(worlds.sana, side=32),
    "sana-image": Tiny(worlds.sana_image, side=32, given=("image",)),
    "motif": Tiny(worlds.motif),
    "motif-image": Tiny(worlds.motif_image, given=("image",)),
}
"""All of them, by a short name."""


def save(name: str, folder: Path, *, more: str = "", spoil: bool = False) -> Path:
    """Put a tiny pipeline into a folder; the same weights every time.

    Args:
        name: One of `TINY`.
        folder: Where to.
        more: More lines of its ``videogen.toml``.
        spoil: Whether its weights are to give no numbers.
    """
    tiny = TINY[name]
    torch.manual_seed(0)
    pipe = tiny.make()
    if spoil:
        torch.nn.init.constant_(next(iter(pipe.transformer.parameters())), float("nan"))
    pipe.save_pretrained(str(folder), safe_serialization=True)
    family = f"size = [{tiny.side}, {tiny.side}]\ndefault_frames = {tiny.frames}\nsteps = 3\n{tiny.family}"
    (folder / "videogen.toml").write_text(f'title = "Tiny {name}"\n{more}\n[family]\n{family}\n')
    return folder


def lora(folder: Path, path: Path) -> Path:
    """An adaptation with random weights for the pipeline of a folder."""
    from peft import LoraConfig, get_peft_model_state_dict

    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    torch.manual_seed(1)
    config = LoraConfig(r=2, lora_alpha=2, init_lora_weights=False, target_modules=["to_q", "to_k", "to_v"])
    pipe.transformer.add_adapter(config)
    state = {name: 5 * value for name, value in get_peft_model_state_dict(pipe.transformer).items()}
    type(pipe).save_lora_weights(path.parent, transformer_lora_layers=state, weight_name=path.name)
    return path
