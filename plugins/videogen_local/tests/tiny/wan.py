"""Tiny pipelines of the Wan architecture, and of those that took it over: SkyReels, AnyFlow, Lucy, Helios."""

from __future__ import annotations

from typing import Any

import diffusers

from . import parts

_WAN: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "out_channels": 16,
    "text_dim": 32,
    "freq_dim": 256,
    "ffn_dim": 32,
    "num_layers": 2,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 32,
}
_ANYFLOW = {key: value for key, value in _WAN.items() if key != "qk_norm"} | {
    "in_channels": 16,
    "gate_value": 0.25,
    "deltatime_type": "r",
}
_HELIOS = {key: value for key, value in _WAN.items() if key != "rope_max_seq_len"} | {
    "in_channels": 16,
    "rope_dim": (4, 4, 4),
}


def _alike(kind: Any, transformer: Any, scheduler: Any = None, **more: Any) -> Any:
    """A pipeline with the components that all of these have."""
    return kind(
        tokenizer=parts.word_tokenizer(),
        text_encoder=parts.umt5(),
        vae=parts.wan_vae(),
        scheduler=scheduler or parts.flow(),
        transformer=transformer,
        **more,
    )


def _vision() -> dict[str, Any]:
    return {"image_encoder": parts.clip_vision(), "image_processor": parts.clip_processor()}


def wan_transformer(channels: int = 16, **more: Any) -> Any:
    return diffusers.WanTransformer3DModel(**_WAN, in_channels=channels, **more).eval()


def wan(**more: Any) -> Any:
    """Wan 2.1, text to video."""
    return _alike(diffusers.WanPipeline, wan_transformer(), **more)


def wan_pair() -> Any:
    """Wan 2.2: one expert for noisy steps, another for the last ones."""
    return wan(transformer_2=wan_transformer(), boundary_ratio=0.875)


def wan_image() -> Any:
    """Wan 2.1, image to video."""
    return _alike(diffusers.WanImageToVideoPipeline, wan_transformer(36, image_dim=32), **_vision())


def wan_frames() -> Any:
    """Wan 2.2, image to video, and from a first to a last frame: no image encoder."""
    second = wan_transformer(36)
    return _alike(diffusers.WanImageToVideoPipeline, wan_transformer(36), transformer_2=second, boundary_ratio=0.9)


def wan_modular() -> Any:
    """Wan 2.1 as a modular pipeline, whose guidance is a component and whose blocks tick the bar."""
    return modular("WanModularPipeline", wan())


def wan_video() -> Any:
    """Wan 2.1, a clip made anew from another one."""
    return _alike(diffusers.WanVideoToVideoPipeline, wan_transformer(), _unipc())


def _unipc() -> Any:
    return diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )


def _vace_transformer() -> Any:
    return diffusers.WanVACETransformer3DModel(**_WAN, in_channels=16, vace_layers=[0], vace_in_channels=96).eval()


def wan_vace(**more: Any) -> Any:
    """Wan 2.1 VACE: control, inpainting and reference images."""
    return _alike(diffusers.WanVACEPipeline, _vace_transformer(), **more)


def wan_vace_pair() -> Any:
    """The same with two experts."""
    return wan_vace(transformer_2=_vace_transformer(), boundary_ratio=0.875)


def lucy() -> Any:
    """Lucy Edit: a clip changed by a sentence."""
    return _alike(diffusers.LucyEditPipeline, wan_transformer(32))


def _skyreels_transformer(channels: int = 16, **more: Any) -> Any:
    return diffusers.SkyReelsV2Transformer3DModel(**_WAN, in_channels=channels, **more).eval()


def _skyreels_scheduler() -> Any:
    return diffusers.UniPCMultistepScheduler(flow_shift=8.0, use_flow_sigmas=True, prediction_type="flow_prediction")


def skyreels() -> Any:
    return _alike(diffusers.SkyReelsV2Pipeline, _skyreels_transformer(), _skyreels_scheduler())


def skyreels_image() -> Any:
    transformer = _skyreels_transformer(36, image_dim=32)
    return _alike(diffusers.SkyReelsV2ImageToVideoPipeline, transformer, _skyreels_scheduler(), **_vision())


def skyreels_forcing() -> Any:
    """SkyReels V2 with diffusion forcing, for long clips in windows."""
    return _alike(diffusers.SkyReelsV2DiffusionForcingPipeline, _skyreels_transformer(), _skyreels_scheduler())


def skyreels_forcing_image() -> Any:
    return _alike(
        diffusers.SkyReelsV2DiffusionForcingImageToVideoPipeline, _skyreels_transformer(), _skyreels_scheduler()
    )


def anyflow() -> Any:
    """AnyFlow: Wan distilled to any number of steps."""
    transformer = diffusers.AnyFlowTransformer3DModel(**_ANYFLOW).eval()
    return _alike(diffusers.AnyFlowPipeline, transformer, _flow_map())


def anyflow_far() -> Any:
    """The same, chunk by chunk, each seeing those before it."""
    transformer = diffusers.AnyFlowFARTransformer3DModel(
        **_ANYFLOW, compressed_patch_size=(1, 4, 4), full_chunk_limit=3, chunk_partition=(1, 1, 1)
    ).eval()
    return _alike(diffusers.AnyFlowFARPipeline, transformer, _flow_map())


def _flow_map() -> Any:
    return diffusers.FlowMapEulerDiscreteScheduler(num_train_timesteps=1000, shift=5.0)


def _helios_transformer() -> Any:
    return diffusers.HeliosTransformer3DModel(
        **_HELIOS,
        has_multi_term_memory_patch=True,
        guidance_cross_attn=True,
        zero_history_timestep=True,
        is_amplify_history=False,
    ).eval()


def helios() -> Any:
    """Helios: chunks of 33 frames."""
    scheduler = diffusers.HeliosScheduler(stage_range=[0, 1], stages=1, use_dynamic_shifting=True)
    return _alike(diffusers.HeliosPipeline, _helios_transformer(), scheduler)


def helios_pyramid() -> Any:
    """The same, from coarse to fine within each chunk."""
    scheduler = diffusers.HeliosScheduler(stages=3, gamma=0.3, use_dynamic_shifting=True)
    return _alike(diffusers.HeliosPyramidPipeline, _helios_transformer(), scheduler)


def modular(kind: str, pipe: Any) -> Any:
    """A modular pipeline with the components of another one."""
    made = getattr(diffusers, kind)()
    made.update_components(**{name: part for name, part in pipe.components.items() if part is not None})
    return made
