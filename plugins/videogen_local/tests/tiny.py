"""Tiny pipelines with random weights in diffusers' own folder format: the real classes, made from configurations.

They draw noise. What they prove is the path: loading, denoising, decoding, encoding, for every family.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

WORDS = (
    "a",
    "red",
    "green",
    "blue",
    "circle",
    "square",
    "boat",
    "moving",
    "left",
    "right",
    "on",
    "white",
    "the",
    "cat",
)


def word_tokenizer(length: int = 16) -> PreTrainedTokenizerFast:
    """A tokenizer of the kind that T5 has, with a dozen words."""
    vocabulary = {word: number for number, word in enumerate(("<pad>", "</s>", "<unk>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=length,
    )


def byte_tokenizer(length: int = 64, *, side: str = "right", template: str | None = None) -> PreTrainedTokenizerFast:
    """A tokenizer of the kind that Llama, Qwen, CLIP and Gemma have, with one token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: number for number, sign in enumerate(("<pad>", "<s>", "</s>", *alphabet))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=length,
        padding_side=side,
    )
    if template is not None:
        made.chat_template = template
    return made


def t5(width: int = 32) -> T5EncoderModel:
    config = T5Config(d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=128)
    return T5EncoderModel(config).eval()


def umt5(width: int = 32) -> UMT5EncoderModel:
    config = UMT5Config(d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=128)
    return UMT5EncoderModel(config).eval()


def wan_vae() -> Any:
    return diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    ).eval()


def wan_transformer(channels: int = 16, **more: Any) -> Any:
    return diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=channels,
        out_channels=16,
        text_dim=32,
        freq_dim=256,
        ffn_dim=32,
        num_layers=2,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
        **more,
    ).eval()


def wan(**more: Any) -> Any:
    """Wan 2.1, text to video."""
    return diffusers.WanPipeline(
        tokenizer=word_tokenizer(),
        text_encoder=umt5(),
        vae=wan_vae(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=wan_transformer(),
        **more,
    )


def wan_pair() -> Any:
    """Wan 2.2: one expert for noisy steps, another for the last ones."""
    return wan(transformer_2=wan_transformer(), boundary_ratio=0.875)


def wan_image() -> Any:
    """Wan 2.1, image to video, first and last frame."""
    vision = CLIPVisionConfig(
        hidden_size=4,
        projection_dim=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        intermediate_size=16,
        patch_size=1,
    )
    return diffusers.WanImageToVideoPipeline(
        tokenizer=word_tokenizer(),
        text_encoder=umt5(),
        vae=wan_vae(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=wan_transformer(36, image_dim=4, added_kv_proj_dim=None),
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        image_processor=CLIPImageProcessor(crop_size=32, size=32),
    )


def ltx_parts() -> dict[str, Any]:
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=32,
    )
    vae = diffusers.AutoencoderKLLTXVideo(
        in_channels=3,
        out_channels=3,
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        decoder_inject_noise=(False, False, False, False, False),
        upsample_residual=(False, False, False, False),
        upsample_factor=(1, 1, 1, 1),
        timestep_conditioning=False,
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    return {
        "tokenizer": word_tokenizer(),
        "text_encoder": t5(),
        "vae": vae.eval(),
        "transformer": transformer.eval(),
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
    }


def ltx() -> Any:
    return diffusers.LTXPipeline(**ltx_parts())


def ltx_image() -> Any:
    return diffusers.LTXImageToVideoPipeline(**ltx_parts())


def ltx_condition() -> Any:
    return diffusers.LTXConditionPipeline(**ltx_parts())


def cogvideox() -> Any:
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=32,
        num_layers=1,
        sample_width=2,
        sample_height=2,
        sample_frames=9,
        patch_size=2,
        temporal_compression_ratio=4,
        max_text_seq_length=16,
    )
    vae = diffusers.AutoencoderKLCogVideoX(
        in_channels=3,
        out_channels=3,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    return diffusers.CogVideoXPipeline(
        tokenizer=word_tokenizer(),
        text_encoder=t5(),
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=diffusers.CogVideoXDDIMScheduler(),
    )


MAKERS = {
    "wan": wan,
    "wan-pair": wan_pair,
    "wan-image": wan_image,
    "ltx": ltx,
    "ltx-image": ltx_image,
    "ltx-condition": ltx_condition,
    "cogvideox": cogvideox,
}

SMALL = {
    "wan": "size = [16, 16]\ndefault_frames = 9\nsteps = 3",
    "wan-pair": "size = [16, 16]\ndefault_frames = 9\nsteps = 3",
    "wan-image": "size = [16, 16]\ndefault_frames = 9\nsteps = 3",
    "ltx": "size = [32, 32]\ndefault_frames = 9\nsteps = 3",
    "ltx-image": "size = [32, 32]\ndefault_frames = 9\nsteps = 3",
    "ltx-condition": "size = [32, 32]\ndefault_frames = 9\nsteps = 3",
    "cogvideox": "size = [16, 16]\ndefault_frames = 9\nsteps = 3",
}
"""What a folder's ``videogen.toml`` says, so that a clip takes a moment."""


def save(name: str, folder: Path, *, more: str = "") -> Path:
    """Put a tiny pipeline into a folder; the same weights every time."""
    torch.manual_seed(0)
    pipe = MAKERS[name]()
    pipe.save_pretrained(folder, safe_serialization=True)
    (folder / "videogen.toml").write_text(f'title = "Tiny {name}"\n{more}\n[family]\n{SMALL[name]}\n')
    return folder
