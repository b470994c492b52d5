"""Tiny pipelines with Wan's decoder and a denoiser of their own: Cosmos, SANA video, Motif."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from transformers import Gemma2Config, Gemma2Model, SiglipImageProcessor, SiglipVisionConfig
from transformers.models.t5gemma2.configuration_t5gemma2 import T5Gemma2EncoderConfig, T5Gemma2TextConfig
from transformers.models.t5gemma2.modeling_t5gemma2 import T5Gemma2Encoder

from . import parts


class LetsAllPass(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """In the place of NVIDIA's guardrail, gigabytes of models that judge words and pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_where", torch.zeros(1), persistent=False)

    def check_text_safety(self, prompt: str) -> bool:
        return True

    def check_video_safety(self, frames: Any) -> Any:
        return frames


_SHAPE = {
    "out_channels": 16,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "mlp_ratio": 2,
    "text_embed_dim": 32,
    "adaln_lora_dim": 4,
    "max_size": (4, 32, 32),
    "patch_size": (1, 2, 2),
    "rope_scale": (2.0, 1.0, 1.0),
    "concat_padding_mask": False,  # adding it needs torchvision
    "extra_pos_embed_type": "learnable",
}


def _cosmos(kind: Any, vae: Any, scheduler: Any, shape: dict[str, Any], **more: Any) -> Any:
    transformer = diffusers.CosmosTransformer3DModel(**{**_SHAPE, **shape})
    usual = {"text_encoder": parts.t5(), "tokenizer": parts.word_tokenizer(512)}
    pipe = kind(
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=scheduler,
        safety_checker=LetsAllPass(),
        **{**usual, **more},
    )
    pipe.safety_checker = None  # folders do not have it: the pipeline makes its own when it is loaded
    return pipe


def _cosmos_vae() -> Any:
    return diffusers.AutoencoderKLCosmos(
        latent_channels=4,
        encoder_block_out_channels=(8, 8, 8, 8),
        decode_block_out_channels=(8, 8, 8, 8),
        attention_resolutions=(8,),
        resolution=64,
        num_layers=1,
        patch_size=4,
        patch_type="haar",
        scaling_factor=1.0,
        spatial_compression_ratio=4,
        temporal_compression_ratio=4,
    )


def _edm() -> Any:
    return diffusers.EDMEulerScheduler(
        sigma_min=0.002, sigma_max=80, sigma_data=0.5, rho=7.0, final_sigmas_type="sigma_min"
    )


def cosmos() -> Any:
    """Cosmos 1, text to video."""
    shape = {"in_channels": 4, "out_channels": 4}
    return _cosmos(diffusers.CosmosTextToWorldPipeline, _cosmos_vae(), _edm(), shape)


def cosmos_video() -> Any:
    """Cosmos 1, on from a still image or a clip."""
    shape = {"in_channels": 5, "out_channels": 4}
    return _cosmos(diffusers.CosmosVideoToWorldPipeline, _cosmos_vae(), _edm(), shape)


def cosmos2() -> Any:
    """Cosmos Predict 2."""
    scheduler = parts.flow(1.0, use_karras_sigmas=True)
    return _cosmos(diffusers.Cosmos2VideoToWorldPipeline, parts.wan_vae(), scheduler, {"in_channels": 17})


def cosmos2_5() -> Any:
    """Cosmos Predict 2.5, whose text encoder gives all its layers side by side."""
    shape = {
        "in_channels": 17,
        "concat_padding_mask": True,
        "extra_pos_embed_type": None,
        "use_crossattn_projection": True,
        "crossattn_proj_in_channels": 2 * 32,
        "encoder_hidden_states_channels": 32,
    }
    return _cosmos(
        diffusers.Cosmos2_5_PredictBasePipeline,
        parts.wan_vae(),
        diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"),
        shape,
        text_encoder=parts.qwen(),
        tokenizer=parts.byte_tokenizer(512, template=parts.CHAT),
    )


def cosmos3() -> Any:
    """Cosmos 3: words and pictures in one sequence."""
    transformer = diffusers.Cosmos3OmniTransformer(
        head_dim=6,
        hidden_act="relu2",
        hidden_size=6,
        intermediate_size=12,
        latent_channel=16,
        latent_patch_size=1,
        num_attention_heads=1,
        num_hidden_layers=1,
        num_key_value_heads=1,
        patch_latent_dim=16,
        qk_norm_for_text=False,
        rms_norm_eps=1e-5,
        rope_axes_dim=[1, 1, 1],
        vocab_size=300,
    )
    return diffusers.Cosmos3OmniPipeline(
        transformer=transformer.eval(),
        text_tokenizer=parts.byte_tokenizer(2048, template=parts.CHAT, more=("<|vision_start|>", "<|vision_end|>")),
        vae=parts.wan_vae(),
        scheduler=diffusers.UniPCMultistepScheduler(),
        sound_tokenizer=None,
        enable_safety_checker=False,
    )


def _sana(kind: Any, scheduler: Any) -> Any:
    transformer = diffusers.SanaVideoTransformer3DModel(
        in_channels=16,
        out_channels=16,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=12,
        cross_attention_dim=24,
        caption_channels=8,
        sample_size=8,
        patch_size=(1, 2, 2),
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=32,
    )
    language = Gemma2Config(
        head_dim=16,
        hidden_size=8,
        intermediate_size=64,
        num_attention_heads=2,
        num_hidden_layers=1,
        num_key_value_heads=2,
        vocab_size=300,
        attn_implementation="eager",
    )
    return kind(
        transformer=transformer.eval(),
        vae=parts.wan_vae(),
        scheduler=scheduler,
        text_encoder=Gemma2Model(language).eval(),
        tokenizer=parts.byte_tokenizer(2048, side="right"),
    )


def sana() -> Any:
    """SANA video."""
    scheduler = diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
    return _sana(diffusers.SanaVideoPipeline, scheduler)


def sana_image() -> Any:
    """SANA video, from a still image."""
    return _sana(diffusers.SanaImageToVideoPipeline, parts.flow())


def _motif(kind: Any, **more: Any) -> Any:
    transformer = diffusers.MotifVideoTransformer3DModel(
        in_channels=33,
        out_channels=16,
        num_attention_heads=2,
        attention_head_dim=12,
        num_layers=1,
        num_single_layers=1,
        patch_size=1,
        patch_size_t=1,
        qk_norm="rms_norm",
        text_embed_dim=32,
        rope_axes_dim=(4, 4, 4),
        **more,
    )
    words = T5Gemma2TextConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=128,
        max_position_embeddings=128,
        head_dim=16,
        num_key_value_heads=2,
        dropout_rate=0.0,
    )
    eyes = SiglipVisionConfig(
        hidden_size=4, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    return kind(
        transformer=transformer.eval(),
        vae=parts.wan_vae(),
        scheduler=parts.flow(7.0),
        text_encoder=T5Gemma2Encoder(T5Gemma2EncoderConfig(text_config=words, vision_config=eyes)).eval(),
        tokenizer=parts.word_tokenizer(512),
        feature_extractor=SiglipImageProcessor(size={"height": 32, "width": 32}),
        guider=diffusers.AdaptiveProjectedGuidance(),
    )


def motif() -> Any:
    """Motif: guidance is a component."""
    return _motif(diffusers.MotifVideoPipeline)


def motif_image() -> Any:
    """The same, from a still image."""
    return _motif(diffusers.MotifVideoImage2VideoPipeline, image_embed_dim=4)
