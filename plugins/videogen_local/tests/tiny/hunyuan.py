"""Tiny pipelines of HunyuanVideo and of those that use its decoder: FramePack, SkyReels V1 and Kandinsky 5."""

from __future__ import annotations

from typing import Any

import diffusers
from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioVAE
from diffusers.models.autoencoders.mmaudio_vocoder import MMAudioVocoder
from transformers import (
    ByT5Tokenizer,
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from . import parts

_DENOISER: dict[str, Any] = {
    "out_channels": 4,
    "num_attention_heads": 2,
    "attention_head_dim": 10,
    "num_layers": 1,
    "num_single_layers": 1,
    "num_refiner_layers": 1,
    "patch_size_t": 1,
    "text_embed_dim": 16,
    "pooled_projection_dim": 8,
    "rope_axes_dim": (2, 4, 4),
}


def _alike(kind: Any, transformer: Any, **more: Any) -> Any:
    """A pipeline with the components that all of these have; the first text encoder may be another one."""
    usual = {"text_encoder": parts.llama(), "tokenizer": parts.byte_tokenizer(512)}
    return kind(
        transformer=transformer.eval(),
        vae=parts.hunyuan_vae(),
        scheduler=parts.flow(7.0),
        text_encoder_2=parts.clip_text(),
        tokenizer_2=parts.byte_tokenizer(77),
        **{**usual, **more},
    )


def hunyuan() -> Any:
    """HunyuanVideo, text to video."""
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        **_DENOISER, in_channels=4, patch_size=1, guidance_embeds=True
    )
    return _alike(diffusers.HunyuanVideoPipeline, transformer)


def hunyuan_image() -> Any:
    """HunyuanVideo, image to video: its language model sees the picture."""
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        **_DENOISER, in_channels=9, patch_size=1, guidance_embeds=False, image_condition_type="latent_concat"
    )
    vision = CLIPVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        projection_dim=16,
        num_attention_heads=2,
        num_hidden_layers=2,
        image_size=32,
        patch_size=8,
    )
    language = LlavaConfig(
        vision_config=vision,
        text_config=parts.llama_config(),
        image_token_index=259,
        pad_token_id=0,
        vision_feature_layer=-1,
    )
    return _alike(
        diffusers.HunyuanVideoImageToVideoPipeline,
        transformer,
        text_encoder=LlavaForConditionalGeneration(language).eval(),
        tokenizer=parts.byte_tokenizer(512, more=("<image>",)),
        image_processor=parts.clip_processor(),
    )


def skyreels_v1() -> Any:
    """SkyReels V1: HunyuanVideo with the first frame beside the noise."""
    transformer = diffusers.HunyuanVideoTransformer3DModel(
        **_DENOISER, in_channels=8, patch_size=1, guidance_embeds=True
    )
    return _alike(diffusers.HunyuanSkyreelsImageToVideoPipeline, transformer)


def _siglip() -> SiglipVisionModel:
    config = SiglipVisionConfig(
        hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    return SiglipVisionModel(config).eval()


def framepack() -> Any:
    """FramePack: sections of the clip, the last one first."""
    transformer = diffusers.HunyuanVideoFramepackTransformer3DModel(
        **_DENOISER,
        in_channels=4,
        patch_size=2,
        guidance_embeds=True,
        image_condition_type=None,
        has_image_proj=True,
        image_proj_dim=32,
        has_clean_x_embedder=True,
    )
    return _alike(
        diffusers.HunyuanVideoFramepackPipeline,
        transformer,
        image_encoder=_siglip(),
        feature_extractor=SiglipImageProcessor(size={"height": 32, "width": 32}),
    )


def hunyuan_15_parts(task: str = "t2v") -> dict[str, Any]:
    """HunyuanVideo 1.5: guidance is a component of its own, and nothing calls back."""
    transformer = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        num_refiner_layers=1,
        mlp_ratio=2.0,
        patch_size=1,
        patch_size_t=1,
        text_embed_dim=16,
        text_embed_2_dim=32,
        image_embed_dim=32 if task == "i2v" else 12,
        rope_axes_dim=(2, 2, 4),
        target_size=16,
        task_type=task,
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
    return {
        "text_encoder": Qwen2_5_VLTextModel(language).eval(),
        "tokenizer": parts.byte_tokenizer(1200, template=parts.CHAT),
        "transformer": transformer.eval(),
        "vae": vae.eval(),
        "scheduler": parts.flow(7.0),
        "text_encoder_2": parts.t5(words=400),
        "tokenizer_2": ByT5Tokenizer(),
        "guider": diffusers.ClassifierFreeGuidance(guidance_scale=1.0),
    }


def hunyuan_15() -> Any:
    return diffusers.HunyuanVideo15Pipeline(**hunyuan_15_parts())


def hunyuan_15_image() -> Any:
    """The same, from a still image, which also says how large the clip is."""
    return diffusers.HunyuanVideo15ImageToVideoPipeline(
        **hunyuan_15_parts("i2v"),
        image_encoder=_siglip(),
        feature_extractor=SiglipImageProcessor(size={"height": 32, "width": 32}),
    )


def _kandinsky5(kind: Any, *, image: bool) -> Any:
    transformer = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=4,
        in_text_dim=32,
        in_text_dim2=8,
        time_dim=16,
        out_visual_dim=4,
        patch_size=(1, 2, 2),
        model_dim=16,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=2,
        axes_dims=(1, 1, 2),
        visual_cond=image,
        attention_type="regular",
    )
    return kind(
        vae=parts.hunyuan_vae(),
        text_encoder=parts.qwen(32),
        tokenizer=parts.byte_tokenizer(2048),
        text_encoder_2=parts.clip_text(),
        tokenizer_2=parts.byte_tokenizer(77),
        transformer=transformer.eval(),
        scheduler=parts.flow(5.0),
    )


def kandinsky5() -> Any:
    return _kandinsky5(diffusers.Kandinsky5T2VPipeline, image=False)


def kandinsky5_image() -> Any:
    return _kandinsky5(diffusers.Kandinsky5I2VPipeline, image=True)


def kandinsky6(*, sound: bool = True) -> Any:
    """Kandinsky 6: video, and sound unless what makes it is left out."""
    transformer = diffusers.Kandinsky6Transformer3DModel(
        in_visual_dim=4,
        out_visual_dim=4,
        in_text_dim=32,
        in_text_dim2=8,
        time_dim=16,
        model_dim=16,
        ff_dim=32,
        num_text_blocks=1,
        num_visual_blocks=2,
        axes_dims=(4, 6, 6),
        in_audio_dim=4,
        out_audio_dim=4,
        text_token_padding=True,
        ca_rope=True,
        cross_gates=True,
        fix_modulation=True,
    )
    audio_vae = MMAudioVAE(
        mel_bins=8,
        latent_channels=4,
        hidden_channels=8,
        channel_multipliers=(1, 2),
        layers_per_block=1,
        sample_rate=16_000,
        n_fft=64,
        hop_length=16,
    )
    vocoder = MMAudioVocoder(
        num_mels=8,
        upsample_initial_channel=16,
        upsample_rates=(4, 4),
        upsample_kernel_sizes=(8, 8),
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3, 5),),
    )
    return diffusers.Kandinsky6TI2VAPipeline(
        transformer=transformer.eval(),
        vae=parts.hunyuan_vae(),
        text_encoder=parts.qwen(32),
        tokenizer=parts.byte_tokenizer(2048),
        text_encoder_2=parts.clip_text(),
        tokenizer_2=parts.byte_tokenizer(77),
        scheduler=parts.flow(5.0),
        audio_vae=audio_vae.eval() if sound else None,
        vocoder=vocoder.eval() if sound else None,
    )
