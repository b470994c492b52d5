"""What is laid over a pipeline for one clip and taken off again: adaptations and step caches.

What lasts as long as the pipeline (compiled blocks, another attention) is set when it is loaded; see `lasting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ..orders import Lora, Order
from .errors import JobError
from .loading import denoisers

__all__ = ["extras", "lasting"]


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
            try:
                module.set_attention_backend(order.attention)
            except Exception as error:
                raise JobError(
                    f"attention {order.attention!r} cannot be used here: {error}", code="bad_option"
                ) from error
        if order.compile:
            if not hasattr(module, "compile_repeated_blocks"):
                raise JobError(f"{type(module).__name__} cannot be compiled block by block.", code="bad_option")
            module.compile_repeated_blocks(fullgraph=True)


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
                config = diffusers.TaylorSeerCacheConfig()
            case "pyramid_attention":
                config = diffusers.PyramidAttentionBroadcastConfig(spatial_attention_block_skip_range=2, **timestep)
            case "faster":
                config = diffusers.FasterCacheConfig(spatial_attention_block_skip_range=2, **timestep)
            case _:
                raise ValueError(f"there is no cache {order.cache}")
        module.enable_cache(config)
    except Exception as error:
        raise JobError(
            f"The step cache {order.cache!r} does not work with {type(module).__name__}: {error}", code="bad_option"
        ) from error
