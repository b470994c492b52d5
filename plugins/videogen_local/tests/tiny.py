"""Tiny pipelines with random weights in diffusers' own folder format: the real classes, made from configurations.

They draw noise. What they prove is the path: loading, denoising, decoding, encoding, for every family.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    ByT5Tokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    SiglipVisionConfig,
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
    """Wan 2.1, image to video."""
    vision = CLIPVisionConfig(
        hidden_size=32,
        projection_dim=32,
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
        transformer=wan_transformer(36, image_dim=32),
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        image_processor=CLIPImageProcessor(crop_size=32, size=32),
    )


def wan_frames() -> Any:
    """Wan 2.2, image to video, and from a first to a last frame: no image encoder."""
    return diffusers.WanImageToVideoPipeline(
        tokenizer=word_tokenizer(),
        text_encoder=umt5(),
        vae=wan_vae(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=wan_transformer(36),
        transformer_2=wan_transformer(36),
        boundary_ratio=0.9,
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


def hunyuan_15() -> Any:
    """HunyuanVideo 1.5: guidance is a component of its own, and nothing calls back."""
    transformer = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        patch_size=1,
        patch_size_t=1,
        text_embed_dim=16,
        text_embed_2_dim=32,
        image_embed_dim=12,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type="t2v",
    )
    vae = diffusers.AutoencoderKLHunyuanVideo15(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(16, 16),
        layers_per_block=1,
        spatial_compression_ratio=4,
        temporal_compression_ratio=4,
        downsample_match_channel=False,
        upsample_match_channel=False,
    )
    language = Qwen2_5_VLTextConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=300,
        rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
    )
    template = (
        "{% for m in messages %}{{ m['content'] if m['content'] is string else m['content'][0]['text'] }}{% endfor %}"
    )
    return diffusers.HunyuanVideo15Pipeline(
        text_encoder=Qwen2_5_VLTextModel(language).eval(),
        tokenizer=byte_tokenizer(1200, template=template),
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=T5EncoderModel(
            T5Config(d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4, vocab_size=400)
        ).eval(),
        tokenizer_2=ByT5Tokenizer(),
        guider=diffusers.ClassifierFreeGuidance(guidance_scale=1.0),
    )


def ltx2() -> Any:
    """LTX-2: video and sound."""
    from diffusers.pipelines.ltx2 import LTX2TextConnectors
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

    text = Gemma3TextConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        vocab_size=300,
    )
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    encoder = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=4)
    )
    transformer = diffusers.LTX2VideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        patch_size=1,
        patch_size_t=1,
        num_attention_heads=2,
        attention_head_dim=8,
        cross_attention_dim=16,
        audio_in_channels=4,
        audio_out_channels=4,
        audio_num_attention_heads=2,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=8,
        num_layers=2,
        qk_norm="rms_norm_across_heads",
        caption_channels=32,
        rope_double_precision=False,
        rope_type="split",
    )
    connectors = LTX2TextConnectors(
        caption_channels=32,
        text_proj_in_factor=3,
        video_connector_num_attention_heads=4,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=4,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None,
        connector_rope_base_seq_len=32,
        rope_theta=10000.0,
        rope_double_precision=False,
        causal_temporal_positioning=False,
        rope_type="split",
    )
    vae = diffusers.AutoencoderKLLTX2Video(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        block_out_channels=(8,),
        decoder_block_out_channels=(8,),
        layers_per_block=(1,),
        decoder_layers_per_block=(1, 1),
        spatio_temporal_scaling=(True,),
        decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False),
        downsample_type=("spatial",),
        upsample_residual=(False,),
        upsample_factor=(1,),
        timestep_conditioning=False,
        patch_size=1,
        patch_size_t=1,
        encoder_causal=True,
        decoder_causal=False,
    )
    vae.use_framewise_encoding = vae.use_framewise_decoding = False
    audio_vae = diffusers.AutoencoderKLLTX2Audio(
        base_channels=4,
        output_channels=2,
        ch_mult=(1,),
        num_res_blocks=1,
        attn_resolutions=None,
        in_channels=2,
        resolution=32,
        latent_channels=2,
        norm_type="pixel",
        causality_axis="height",
        dropout=0.0,
        mid_block_add_attention=False,
        sample_rate=16000,
        mel_hop_length=160,
        is_causal=True,
        mel_bins=8,
    )
    vocoder = LTX2Vocoder(
        in_channels=16,
        hidden_channels=32,
        out_channels=2,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
        leaky_relu_negative_slope=0.1,
        output_sampling_rate=16000,
    )
    return diffusers.LTX2Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae.eval(),
        audio_vae=audio_vae.eval(),
        text_encoder=encoder.eval(),
        tokenizer=byte_tokenizer(64, side="left"),
        connectors=connectors.eval(),
        transformer=transformer.eval(),
        vocoder=vocoder.eval(),
    )


def wan_modular() -> Any:
    """Wan 2.1 as a modular pipeline, whose guidance is a component and whose blocks tick the bar."""
    with tempfile.TemporaryDirectory() as folder:
        wan().save_pretrained(folder, safe_serialization=True)
        pipe = diffusers.ModularPipeline.from_pretrained(folder, local_files_only=True)
        pipe.load_components(local_files_only=True)
    return pipe


MAKERS = {
    "wan-modular": wan_modular,
    "wan": wan,
    "wan-pair": wan_pair,
    "wan-image": wan_image,
    "wan-frames": wan_frames,
    "ltx": ltx,
    "ltx-image": ltx_image,
    "ltx-condition": ltx_condition,
    "ltx-2": ltx2,
    "hunyuan-1.5": hunyuan_15,
    "cogvideox": cogvideox,
}
WITH_SOUND = {"ltx-2"}

_MORE = {
    "cogvideox": "fixed = { max_sequence_length = 16 }",
    "ltx-2": "fixed = { spatio_temporal_guidance_blocks = [1], max_sequence_length = 64 }",
}


def side(name: str) -> int:
    """Pixels of either side of a clip."""
    return 32 if name.startswith("ltx") else 16


def frames(name: str) -> int:
    """Frames of a clip."""
    return 9


def save(name: str, folder: Path, *, more: str = "", spoil: bool = False) -> Path:
    """Put a tiny pipeline into a folder; the same weights every time.

    Args:
        name: One of `MAKERS`.
        folder: Where to.
        more: More lines of its ``videogen.toml``.
        spoil: Whether its weights are to give no numbers.
    """
    torch.manual_seed(0)
    pipe = MAKERS[name]()
    if spoil:
        torch.nn.init.constant_(next(iter(pipe.transformer.parameters())), float("nan"))
    pipe.save_pretrained(str(folder), safe_serialization=True)
    family = f"size = [{side(name)}, {side(name)}]\ndefault_frames = {frames(name)}\nsteps = 3\n{_MORE.get(name, '')}"
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
