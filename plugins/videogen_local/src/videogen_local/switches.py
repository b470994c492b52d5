"""Options that models have on this machine besides those of their family: adaptations, and what makes them quicker.

None of them is on unless it is asked for: compiling takes a minute before the first step, and a step cache changes what
is drawn.
"""

from __future__ import annotations

import msgspec

from videogen_core import ModelSpec
from videogen_core.spec import OptionSpec

from .families import Family
from .rows import family_of

__all__ = ["ATTENTIONS", "CACHES", "switched"]

CACHES = ("first_block", "taylor_seer", "pyramid_attention", "faster")
"""Step caches of diffusers that need nothing measured beforehand."""

ATTENTIONS = (
    "native",
    "_native_cudnn",
    "_native_efficient",
    "_native_flash",
    "_native_math",
    "_native_npu",
    "_native_xla",
    "flex",
    "flash",
    "flash_varlen",
    "_flash_3",
    "_flash_varlen_3",
    "sage",
    "sage_varlen",
    "_sage_qk_int8_pv_fp8_cuda",
    "_sage_qk_int8_pv_fp8_cuda_sm90",
    "_sage_qk_int8_pv_fp16_cuda",
    "_sage_qk_int8_pv_fp16_triton",
    "xformers",
)
"""Attention backends of diffusers, but for those that it downloads as programs (``…_hub``), which are never run."""

_SWITCHES = {
    "loras": OptionSpec(
        type="array",
        max=8,
        description="Adaptations: paths of .safetensors files, or tables with path, scale (1 = as trained) and "
        "component (transformer_2 for the second of two experts).",
    ),
    "compile": OptionSpec(
        type="boolean",
        default=False,
        description="Compile the denoiser's blocks: quicker steps after a minute of compiling, once per loaded model.",
    ),
    "devices": OptionSpec(
        type="integer",
        min=1,
        max=8,
        default=1,
        description="How many devices make one clip together: quicker, and the model is loaded anew on each of them.",
    ),
    "attention": OptionSpec(
        type="string",
        choices=ATTENTIONS,
        description="diffusers' name of an attention backend; most need a GPU of some kind and a package of their own.",
    ),
    "cache": OptionSpec(
        type="string",
        choices=CACHES,
        description="Skip work that changes little from step to step; quicker, and another clip than without.",
    ),
    "cache_threshold": OptionSpec(
        type="number",
        min=0,
        max=1,
        description="For cache first_block: how unlike two steps may be. 0.05 to 0.2 is usual.",
    ),
}


def switched(spec: ModelSpec) -> ModelSpec:
    """An offer of this machine with those of these options that work with it; those that it has itself stand."""
    family = family_of(spec)
    return msgspec.structs.replace(spec, options={**(_options(family) if family else _SWITCHES), **spec.options})


def _options(family: Family) -> dict[str, OptionSpec]:
    """The options that work with a family."""
    works = {
        "compile": family.compiles,
        "devices": family.parallel,
        "attention": family.attends,
        "cache": bool(family.caches),
        "cache_threshold": "first_block" in family.caches,
    }
    found = {name: option for name, option in _SWITCHES.items() if works.get(name, True)}
    if family.caches:
        found["cache"] = msgspec.structs.replace(found["cache"], choices=family.caches)
    return found
