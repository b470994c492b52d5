"""What is laid over a pipeline for one clip and taken off again: adaptations and step caches.

What lasts as long as the pipeline (compiled blocks, another attention) is set when it is loaded; see `lasting`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from videogen_core import ConfigurationError

from ..orders import Lora, Order
from .errors import JobError
from .loading import denoisers

__all__ = ["check_switches", "compiler", "extras", "lasting"]


_ATTENTION = r"[a-z_]*blocks\.\d+\.\w*att\w*"
"""Names of the attentions within a denoiser; diffusers' own patterns for TaylorSeer miss those that end in a number."""


@contextmanager
def extras(pipe: Any, order: Order) -> Iterator[None]:
    """Lay adaptations and a step cache over a pipeline within the block.

    Raises:
        JobError: The pipeline cannot have them.
    """
    with ExitStack() as stack:
        if order.loras:
            stack.callback(_unload, pipe)
            _load_loras(pipe, order.loras)
        if order.cache is not None:
            for module in denoisers(pipe, order):
                _enable_cache(module, order, pipe)
                stack.callback(module.disable_cache)
        yield


def lasting(pipe: Any, order: Order) -> None:
    """Set what lasts as long as the pipeline.

    Raises:
        JobError: The pipeline, or this machine, cannot have it.
    """
    for module in denoisers(pipe, order):
        if order.attention is not None:
            _exchange_attention(module, order.attention)
        if order.devices > 1:
            _share_out(module, order.devices)
        if order.compile:
            try:
                module.compile_repeated_blocks()
            except (AttributeError, ValueError) as error:
                raise JobError(
                    f"{type(module).__name__} cannot be compiled block by block: {error}", code="bad_option"
                ) from error


def _share_out(module: Any, count: int) -> None:
    """Let the processes that have met work on every step together."""
    import diffusers

    try:
        module.enable_parallelism(config=diffusers.ContextParallelConfig(ulysses_degree=count))
    except Exception as error:
        raise JobError(
            f"{type(module).__name__} cannot be shared out among {count} devices: {error}", code="bad_option"
        ) from error


def check_switches(order: Order) -> None:
    """Return when what a clip asks for besides its model is there. Imports diffusers.

    Raises:
        ConfigurationError: The package of an attention backend, or a compiler, is missing.
    """
    if order.attention is not None:
        from diffusers.models import attention_dispatch as dispatch

        try:
            dispatch._check_attention_backend_requirements(dispatch.AttentionBackendName(order.attention))
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"attention {order.attention!r} cannot be used here: {' '.join(str(error).split())}",
                hint="Nothing has been loaded. Without the option, torch's own attention is used.",
            ) from error
    if order.compile and compiler() is None:
        raise ConfigurationError(
            "The option compile needs a C++ compiler, and none is on this machine's path.",
            hint="Install g++ or clang, or set the environment variable CXX; or leave compile out.",
        )


def compiler() -> str | None:
    """The C++ compiler that torch would use; None when there is none."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX") or "c++", "g++", "clang++", "cl"))), None)


def _exchange_attention(module: Any, name: str) -> None:
    """Set another attention in one denoiser, and in no other: diffusers would make it the default of the process."""
    from diffusers.models.attention_dispatch import _AttentionBackendRegistry as Registry

    usual, _ = Registry.get_active_backend()
    try:
        module.set_attention_backend(name)
    except Exception as error:
        raise JobError(f"attention {name!r} cannot be used here: {error}", code="bad_option") from error
    finally:
        Registry.set_active_backend(usual)
    processors = (getattr(each, "processor", None) for each in module.modules())
    if not any(hasattr(processor, "_attention_backend") for processor in processors):
        raise JobError(f"The attention of {type(module).__name__} cannot be exchanged.", code="bad_option")


def _load_loras(pipe: Any, loras: tuple[Lora, ...]) -> None:
    if not hasattr(pipe, "load_lora_weights"):
        raise JobError(f"{type(pipe).__name__} takes no adaptations (LoRA).", code="bad_option")
    for number, lora in enumerate(loras):
        path = Path(lora.path).expanduser()
        if not path.is_file():
            raise JobError(f"There is no file {path}.", code="bad_option")
        where = {"load_into_transformer_2": True} if lora.component == "transformer_2" else {}
        try:
            pipe.load_lora_weights(
                str(path.parent),
                weight_name=path.name,
                adapter_name=f"videogen_{number}",
                local_files_only=True,
                use_safetensors=True,
                **where,
            )
        except Exception as error:
            raise JobError(
                f"{path.name} does not fit this model: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                "An adaptation works only with the architecture that it was trained on.",
                "bad_lora",
            ) from error
    names = [f"videogen_{number}" for number in range(len(loras))]
    pipe.set_adapters(names, [lora.scale for lora in loras])


def _unload(pipe: Any) -> None:
    if hasattr(pipe, "unload_lora_weights"):
        pipe.unload_lora_weights()


def _enable_cache(module: Any, order: Order, pipe: Any) -> None:
    import diffusers

    threshold = order.cache_threshold
    more = {} if threshold is None else {"threshold": threshold}
    timestep = {"current_timestep_callback": lambda: pipe.current_timestep}
    try:
        match order.cache:
            case "first_block":
                config: Any = diffusers.FirstBlockCacheConfig(**more)
            case "taylor_seer":
                config = diffusers.TaylorSeerCacheConfig(cache_identifiers=[_ATTENTION])
            case "pyramid_attention":
                config = diffusers.PyramidAttentionBroadcastConfig(spatial_attention_block_skip_range=2, **timestep)
            case "faster":
                shape = "BFCHW" if "CogVideoX" in type(module).__name__ else "BCFHW"
                config = diffusers.FasterCacheConfig(
                    spatial_attention_block_skip_range=2, tensor_format=shape, **timestep
                )
            case _:
                raise ValueError(f"there is no cache {order.cache}")
        module.enable_cache(config)
    except Exception as error:
        raise JobError(
            f"The step cache {order.cache!r} does not work with {type(module).__name__}: {error}", code="bad_option"
        ) from error
