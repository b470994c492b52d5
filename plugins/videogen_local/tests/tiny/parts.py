"""What several tiny pipelines share: tokenizers of a few words, small text and vision encoders, and two decoders."""

from __future__ import annotations

from typing import Any

import diffusers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
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
CHAT = "{% for m in messages %}{{ m['content'] if m['content'] is string else m['content'][0]['text'] }}{% endfor %}"
"""A chat template that only puts the words one after another."""


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


def byte_tokenizer(
    length: int = 64, *, side: str = "right", template: str | None = None, more: tuple[str, ...] = ()
) -> PreTrainedTokenizerFast:
    """A tokenizer of the kind that Llama, Qwen, CLIP and Gemma have, with one token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: number for number, sign in enumerate(("<pad>", "<s>", "</s>", *alphabet, *more))}
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
    if more:
        made.add_special_tokens({"additional_special_tokens": list(more)})
    if template is not None:
        made.chat_template = template
    return made


def t5(width: int = 32, words: int = 128) -> T5EncoderModel:
    config = T5Config(d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=words)
    return T5EncoderModel(config).eval()


def umt5(width: int = 32) -> UMT5EncoderModel:
    config = UMT5Config(d_model=width, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=128)
    return UMT5EncoderModel(config).eval()


def llama_config(width: int = 16) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=300,
    )


def llama(width: int = 16) -> LlamaModel:
    return LlamaModel(llama_config(width)).eval()


def _qwen_text(width: int) -> dict[str, Any]:
    """The language part of either Qwen."""
    return {
        "hidden_size": width,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": _sections(width // 4), "rope_theta": 1e6},
    }


def qwen(width: int = 32) -> Qwen2_5_VLForConditionalGeneration:
    """Qwen 2.5 VL, language and vision, as the text encoder of a pipeline."""
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": width}
    config = Qwen2_5_VLConfig(
        text_config=_qwen_text(width),
        vision_config=vision,
        image_token_id=297,
        video_token_id=298,
        vision_start_token_id=296,
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def _sections(half: int) -> list[int]:
    """Halves of a head's width for time, height and width."""
    return [half // 4, half // 4, half - 2 * (half // 4)]


def clip_text(width: int = 8) -> CLIPTextModel:
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=300,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        projection_dim=width,
    )
    return CLIPTextModel(config).eval()


def clip_vision(width: int = 32, side: int = 32, patch: int = 1) -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        intermediate_size=16,
        patch_size=patch,
    )
    return CLIPVisionModelWithProjection(config).eval()


def clip_processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(crop_size=32, size=32)


def wan_vae() -> Any:
    return diffusers.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    ).eval()


def hunyuan_vae(channels: int = 4) -> Any:
    return diffusers.AutoencoderKLHunyuanVideo(
        in_channels=3,
        out_channels=3,
        latent_channels=channels,
        down_block_types=("HunyuanVideoDownBlock3D",) * 4,
        up_block_types=("HunyuanVideoUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        spatial_compression_ratio=8,
        temporal_compression_ratio=4,
    ).eval()


def flow(shift: float = 3.0, **more: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(shift=shift, **more)


def qwen2(width: int = 32) -> Qwen2VLForConditionalGeneration:
    """Qwen 2 VL, likewise."""
    vision = {"depth": 1, "embed_dim": 16, "hidden_size": width, "num_heads": 2}
    config = Qwen2VLConfig(
        text_config=_qwen_text(width),
        vision_config=vision,
        image_token_id=297,
        video_token_id=298,
        vision_start_token_id=296,
    )
    return Qwen2VLForConditionalGeneration(config).eval()
