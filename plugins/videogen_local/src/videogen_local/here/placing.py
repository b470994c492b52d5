"""A plan carried out on a loaded pipeline: where its weights lie, and in which precision."""

from __future__ import annotations

import gc
from typing import Any

from ..orders import Order
from ..plans import Plan
from .loading import decoder, denoisers, precision

__all__ = ["free", "place"]


def place(pipe: Any, plan: Plan, order: Order, device: str) -> None:
    """Put a pipeline where the plan says; what its classes cannot do is left as it was.

    Args:
        pipe: Fresh from its folder: a plan is never changed, a new one begins with loading.
        plan: Where to.
        order: Whose pipeline.
        device: As torch calls it.
    """
    import torch

    if plan.fp8:
        for module in denoisers(pipe, order):
            module.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=precision(device))
    if (plan.tiling or order.family.tiled) and hasattr(decoder(pipe), "enable_tiling"):
        decoder(pipe).enable_tiling()
    if plan.placement == "resident":
        pipe.to(device)
    elif plan.placement == "model_offload":
        if device != "cpu":  # from the processor there is nothing to move away
            pipe.enable_model_cpu_offload(device=device)
    else:
        _in_groups(pipe, plan, device)


def _in_groups(pipe: Any, plan: Plan, device: str) -> None:
    import torch

    leaves = plan.placement == "leaf_offload"
    streams = device.startswith("cuda")
    pipe.enable_group_offload(
        onload_device=torch.device(device),
        offload_device=torch.device("cpu"),
        offload_type="leaf_level" if leaves else "block_level",
        num_blocks_per_group=None if leaves else 1,
        use_stream=streams,
        record_stream=streams,
    )


def free(device: str) -> None:
    """Give memory back that nobody holds any more."""
    import torch

    gc.collect()
    if device.startswith("cuda"):
        with torch.cuda.device(device):
            torch.cuda.empty_cache()
    elif device.startswith("xpu"):
        torch.xpu.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
