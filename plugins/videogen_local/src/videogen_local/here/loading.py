"""Pipelines out of folders, with nothing but diffusers' own classes and weights in safetensors."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

from ..orders import Order
from .errors import JobError

__all__ = ["decoder", "denoisers", "load", "precision"]

_one_at_a_time = threading.Lock()  # accelerate makes empty weights by patching torch itself, for all threads
os.environ.setdefault("DIFFUSERS_DISABLE_REMOTE_CODE", "1")  # read when diffusers is imported


def precision(device: str) -> Any:
    """The type of numbers that a device computes with."""
    import torch

    return torch.float32 if device.startswith("cpu") else torch.bfloat16


def load(order: Order, device: str) -> Any:
    """A pipeline with its weights in the machine's memory.

    Raises:
        JobError: This diffusers does not have the class.
        Exception: Whatever diffusers raises for a folder that is damaged.
    """
    with _one_at_a_time:
        return _load(order, device)


def _load(order: Order, device: str) -> Any:
    _be_quiet()
    dtype = _types(order, device)
    if order.family.kind == "modular":
        return _modular(order, dtype)
    import diffusers

    kind = getattr(diffusers, order.family.name, None)
    if kind is None:
        raise JobError(
            f"diffusers {diffusers.__version__} has no {order.family.name}.",
            "Run: pip install --upgrade 'videogen-local[torch]'",
            "no_class",
        )
    return kind.from_pretrained(
        order.folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
    )


def _modular(order: Order, dtype: Any) -> Any:
    from diffusers import ModularPipeline

    pipe = ModularPipeline.from_pretrained(
        order.folder,
        workflow=order.family.workflow.get(order.task),
        local_files_only=True,
        trust_remote_code=False,
    )
    for name, spec in pipe._component_specs.items():
        # an index names the place that it was made at, which is another one after a pull or a move
        if (
            spec.default_creation_method == "from_pretrained"
            and (Path(order.folder) / (spec.subfolder or name)).is_dir()
        ):
            spec.pretrained_model_name_or_path, spec.revision = order.folder, None
    pipe.load_components(dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False)
    missing = [name for name in order.family.denoisers[:1] if getattr(pipe, name, None) is None]
    if missing:
        raise JobError(
            f"{Path(order.folder)} has no {missing[0]}, and components of other repositories are not fetched.",
            "Pull the repository that has all of them.",
            "incomplete",
        )
    return pipe


def _types(order: Order, device: str) -> Any:
    """Wan's VAE loses detail in sixteen bits; everything else is made for them."""
    dtype = precision(device)
    if device.startswith("cpu") or not order.family.name.startswith("Wan"):
        return dtype
    import torch

    return {"default": dtype, "vae": torch.float32}


def denoisers(pipe: Any, order: Order) -> list[Any]:
    """The components that work on every step."""
    found = (getattr(pipe, name, None) for name in order.family.denoisers)
    return [module for module in found if module is not None]


def decoder(pipe: Any) -> Any:
    """The component that makes frames of latents, or None.

    LTX-2.5 has one besides its VAE, which then only encodes what a clip begins from.
    """
    return getattr(pipe, "diffusion_decoder", None) or getattr(pipe, "vae", None)


def _be_quiet() -> None:
    """What is loaded is shown by our own bars, and what a pipeline warns of is nothing that a user can change.

    Somebody who wants to hear it has set ``DIFFUSERS_VERBOSITY``, or a level of their own.
    """
    import diffusers.utils.logging
    import transformers.utils.logging

    if diffusers.utils.logging.get_verbosity() == logging.WARNING and "DIFFUSERS_VERBOSITY" not in os.environ:
        diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
