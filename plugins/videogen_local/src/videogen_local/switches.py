"""Options that every model has on this machine, whatever its family: adaptations, and what makes it quicker.

None of them is on unless it is asked for: compiling takes a minute before the first step, and a step cache changes what
is drawn.
"""

from __future__ import annotations

import msgspec

from videogen_core import ModelSpec
from videogen_core.spec import OptionSpec

__all__ = ["CACHES", "switched"]

CACHES = ("first_block", "taylor_seer", "pyramid_attention", "faster")
"""Step caches of diffusers that need nothing measured beforehand."""

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
    "attention": OptionSpec(
        type="string", description="diffusers' name of an attention backend, such as native, flash or sage."
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
    """An offer of this machine with these options; those that it has itself stand."""
    return msgspec.structs.replace(spec, options={**_SWITCHES, **spec.options})
