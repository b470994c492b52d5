"""Tiny pipelines of CogVideoX and of others with a denoiser of their own: Mochi, Allegro, Latte, EasyAnimate."""

from __future__ import annotations

from typing import Any

import diffusers

from . import parts


def _cogvideox(kind: Any, channels: int = 4) -> Any:
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=channels,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=32,
        num_layers=2,
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
    return kind(
        tokenizer=parts.word_tokenizer(),
        text_encoder=parts.t5(),
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=diffusers.CogVideoXDDIMScheduler(),
    )


def cogvideox() -> Any:
    return _cogvideox(diffusers.CogVideoXPipeline)


def cogvideox_image() -> Any:
    return _cogvideox(diffusers.CogVideoXImageToVideoPipeline, 8)


def cogvideox_video() -> Any:
    return _cogvideox(diffusers.CogVideoXVideoToVideoPipeline)


def mochi() -> Any:
    """Mochi: six frames to a latent one."""
    transformer = diffusers.MochiTransformer3DModel(
        patch_size=2,
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        pooled_projection_dim=16,
        in_channels=12,
        text_embed_dim=32,
        time_embed_dim=4,
        max_sequence_length=16,
    )
    vae = diffusers.AutoencoderKLMochi(
        latent_channels=12,
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    return diffusers.MochiPipeline(
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=parts.flow(1.0),
        text_encoder=parts.t5(),
        tokenizer=parts.word_tokenizer(256),
    )


def allegro() -> Any:
    """Allegro, whose decoder works in tiles only."""
    transformer = diffusers.AllegroTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=4,
        out_channels=4,
        num_layers=2,
        cross_attention_dim=24,
        sample_width=8,
        sample_height=8,
        sample_frames=8,
        caption_channels=24,
    )
    vae = diffusers.AutoencoderKLAllegro(
        down_block_types=("AllegroDownBlock3D",) * 4,
        up_block_types=("AllegroUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
        sample_size=32,
    )
    return diffusers.AllegroPipeline(
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=diffusers.DDIMScheduler(),
        text_encoder=parts.t5(24),
        tokenizer=parts.word_tokenizer(512),
    )


def latte() -> Any:
    """Latte: every frame is decoded as a picture of its own."""
    transformer = diffusers.LatteTransformer3DModel(
        sample_size=8,
        num_layers=2,
        patch_size=2,
        attention_head_dim=8,
        num_attention_heads=3,
        caption_channels=32,
        in_channels=4,
        cross_attention_dim=24,
        out_channels=8,
        attention_bias=True,
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
        video_length=16,
    )
    return diffusers.LattePipeline(
        transformer=transformer.eval(),
        vae=image_vae(),
        scheduler=diffusers.DDIMScheduler(),
        text_encoder=parts.t5(),
        tokenizer=parts.word_tokenizer(512),
    )


def image_vae(count: int = 4) -> Any:
    """A decoder of single pictures, which shrinks them by 8."""
    return diffusers.AutoencoderKL(
        block_out_channels=(8,) * count,
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        latent_channels=4,
        norm_num_groups=2,
    ).eval()


def easyanimate() -> Any:
    """EasyAnimate: a language and vision model reads the prompt."""
    transformer = diffusers.EasyAnimateTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=2,
        text_embed_dim=32,
        num_layers=2,
        sample_width=16,
        sample_height=16,
        patch_size=2,
    )
    vae = diffusers.AutoencoderKLMagvit(
        down_block_types=("SpatialDownBlock3D", *("SpatialTemporalDownBlock3D",) * 3),
        up_block_types=("SpatialUpBlock3D", *("SpatialTemporalUpBlock3D",) * 3),
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        spatial_group_norm=False,
    )
    return diffusers.EasyAnimatePipeline(
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=parts.flow(1.0),
        text_encoder=parts.qwen2(),
        tokenizer=parts.byte_tokenizer(512, template=parts.CHAT),
    )


def animatediff() -> Any:
    """AnimateDiff: a model of still pictures, with layers of motion put in."""
    widths = (8, 8)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=widths,
        layers_per_block=1,
        sample_size=8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        norm_num_groups=2,
    )
    motion = diffusers.MotionAdapter(
        block_out_channels=widths, motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=2
    )
    return diffusers.AnimateDiffPipeline(
        unet=unet.eval(),
        motion_adapter=motion.eval(),
        vae=image_vae(),
        scheduler=diffusers.DDIMScheduler(beta_schedule="linear", clip_sample=False),
        text_encoder=parts.clip_text(),
        tokenizer=parts.byte_tokenizer(77),
    )


def stable_video() -> Any:
    """Stable Video Diffusion: a still image and no words."""
    unet = diffusers.UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 32),
        layers_per_block=1,
        sample_size=32,
        in_channels=8,
        out_channels=4,
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        cross_attention_dim=32,
        num_attention_heads=2,
        projection_class_embeddings_input_dim=96,
        addition_time_embed_dim=32,
    )
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        sigma_max=700.0,
        sigma_min=0.002,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
    vae = diffusers.AutoencoderKLTemporalDecoder(
        block_out_channels=(32,) * 4, down_block_types=("DownEncoderBlock2D",) * 4, latent_channels=4
    )
    return diffusers.StableVideoDiffusionPipeline(
        unet=unet.eval(),
        vae=vae.eval(),
        scheduler=scheduler,
        image_encoder=parts.clip_vision(side=224, patch=56),
        feature_extractor=parts.clip_processor(),
    )
