"""Tiny pipelines of MiniMax-H3: video and sound in one sequence."""

from __future__ import annotations

from typing import Any

import diffusers
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

from . import parts

_SIGNS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def _text_encoder(tokenizer: Any) -> Any:
    """Qwen 3 VL with one layer more than the fifty after which the pipeline reads it."""
    start, end, image, video = tokenizer.convert_tokens_to_ids(list(_SIGNS))
    text = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 51,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "vocab_size": 300,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e6},
    }
    vision = {
        "depth": 1,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
        "num_position_embeddings": 16,
        "deepstack_visual_indexes": [0],
    }
    config = Qwen3VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    return Qwen3VLForConditionalGeneration(config).eval()


def _processor(tokenizer: Any) -> Any:
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    size = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    pictures = Qwen2VLImageProcessor(size=size, patch_size=16)
    return Qwen3VLProcessor(pictures, tokenizer, Qwen3VLVideoProcessor(size=size))


def _transformer() -> Any:
    return diffusers.MiniMaxH3Transformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        hidden_size=32,
        num_layers=2,
        num_refiner_layers=1,
        ffn_dim=32,
        in_channels=4,
        audio_in_channels=4,
        text_dim=16,
        freq_dim=16,
        time_embed_hidden_dim=16,
        time_embed_dim=16,
        rope_freq_dim=2,
    ).eval()


def h3() -> Any:
    """The workflow of text, and that of a first and a last frame: both work with the same weights.

    As in the released folder, those of a third workflow, which nobody here asks for, lie beside them.
    """
    vae = diffusers.AutoencoderKLMiniMaxH3(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        decoder_num_layers=1,
        decoder_num_attention_heads=2,
        decoder_attention_head_dim=16,
        decoder_num_register_tokens=1,
        decoder_ffn_mult=1,
        latents_mean=(0.0,) * 4,
        latents_std=(1.0,) * 4,
    )
    audio_vae = diffusers.AutoencoderKLMiniMaxH3Audio(
        encoder_dim=4,
        encoder_rates=(2, 4, 5, 5),
        latent_dim=16,
        latent_channels=4,
        num_attention_heads=2,
        decoder_dim=32,
        decoder_rates=(5, 5, 4, 2),
        decoder_kernel_sizes=(9, 9, 8, 4),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3, 5),),
        sampling_rate=8000,  # a fortieth of it is what one latent stands for
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    tokenizer = parts.byte_tokenizer(512, more=_SIGNS)
    pipe = diffusers.MiniMaxH3ModularPipeline()
    pipe.update_components(
        text_encoder=_text_encoder(tokenizer),
        tokenizer=tokenizer,
        processor=_processor(tokenizer),
        transformer=_transformer(),
        transformer_ref=_transformer(),
        vae=vae.eval(),
        audio_vae=audio_vae.eval(),
        scheduler=diffusers.MiniMaxH3Scheduler(shift=12.0),
        audio_scheduler=diffusers.MiniMaxH3Scheduler(shift=3.0),
    )
    return pipe
