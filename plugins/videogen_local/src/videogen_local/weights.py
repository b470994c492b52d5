"""How large the weights of a checkpoint are, read from the headers of its safetensors files; no torch, no tensor.

A header is eight bytes of length and JSON with the place of each tensor, so sizes are exact and a file that was cut off
is found before gigabytes of it are loaded. Files that hold pickles are refused: loading one runs code.
"""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from videogen_core import RequestError

__all__ = ["ComponentWeights", "Tensor", "read_component", "read_header", "read_weights"]

_LONGEST_HEADER = 100_000_000
"""What the format itself allows."""
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".msgpack", ".h5", ".onnx")
_SAFE_HINT = "Get the model with safetensors files; `videogen local pull` takes nothing else."


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a file, as its header tells of it."""

    name: str
    elements: int
    size: int


@dataclass(frozen=True, kw_only=True)
class ComponentWeights:
    """The weights of one component.

    Attributes:
        size: Bytes on disk, headers left out.
        elements: Numbers in all tensors.
        largest_block: Numbers in the largest of the repeated blocks; all of them where nothing repeats.
        largest_leaf: Numbers in the largest layer.
        files: File names below the component's folder.
    """

    size: int
    elements: int
    largest_block: int
    largest_leaf: int
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, tensors: Iterable[Tensor], files: tuple[str, ...] = ()) -> ComponentWeights:
        """Added up from single tensors."""
        size = elements = 0
        blocks: defaultdict[str, int] = defaultdict(int)
        leaves: defaultdict[str, int] = defaultdict(int)
        for tensor in tensors:
            size += tensor.size
            elements += tensor.elements
            blocks[_block(tensor.name)] += tensor.elements
            leaves[tensor.name.rpartition(".")[0]] += tensor.elements
        repeated = [count for name, count in blocks.items() if name]
        return cls(
            size=size,
            elements=elements,
            largest_block=max(repeated, default=elements),
            largest_leaf=max(leaves.values(), default=0),
            files=files,
        )


def _block(name: str) -> str:
    """The repeated block that a tensor is in: ``blocks.7`` of ``blocks.7.attn.to_q.weight``; empty = none."""
    parts = name.split(".")
    first = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return "" if first is None else ".".join(parts[: first + 1])


def read_weights(folder: Path, components: Iterable[str], *, variant: str | None = None) -> dict[str, ComponentWeights]:
    """The weights of the components of a pipeline folder; those without weights (tokenizers, schedulers) are left out.

    Args:
        folder: The pipeline's folder.
        components: Names of the subfolders to look in.
        variant: Take ``….fp16.safetensors`` and the like where there are such files.

    Raises:
        RequestError: A file is corrupt, missing or a pickle.
    """
    found = {name: read_component(folder / name, variant=variant) for name in components if (folder / name).is_dir()}
    return {name: weights for name, weights in found.items() if weights is not None}


def read_component(folder: Path, *, variant: str | None = None) -> ComponentWeights | None:
    """The weights in one folder; None when it holds none.

    Raises:
        RequestError: A file is corrupt, missing or a pickle.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    safe = _chosen([name for name in names if name.endswith(".safetensors")], variant)
    index = _chosen([name for name in names if name.endswith(".safetensors.index.json")], variant)
    if index:
        safe = _shards(folder / index[0])
    if not safe:
        pickled = [name for name in names if name.endswith(_PICKLES)]
        if pickled:
            raise RequestError(
                f"{folder.name}/{pickled[0]} is no safetensors file; such files can run code when they are loaded.",
                hint=_SAFE_HINT,
            )
        return None
    tensors = [tensor for name in safe for tensor in read_header(folder / name)]
    return ComponentWeights.of(tensors, files=tuple(safe))


def _chosen(names: list[str], variant: str | None) -> list[str]:
    """Of files that hold the same weights in several precisions, those of the variant, else the plain ones."""
    wanted = [name for name in names if variant is not None and f".{variant}." in name]
    plain = [name for name in names if not _has_variant(name)]
    return wanted or plain or names


def _has_variant(name: str) -> bool:
    stem = name.removesuffix(".index.json").removesuffix(".safetensors")
    return stem.rpartition(".")[2] in ("fp16", "bf16", "fp32", "fp8", "non_ema") or ".fp16-" in name or ".bf16-" in name


def _shards(index: Path) -> list[str]:
    """The files that an index names, each of which must be there."""
    where = f"{index.parent.name}/{index.name}"
    try:
        mapping: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(mapping.values()))
        safe = all(isinstance(name, str) and name.endswith(".safetensors") for name in names)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise RequestError(f"{where} is no index of safetensors files.", hint=_SAFE_HINT) from error
    if not names or not safe or any(Path(name).name != name for name in names):
        raise RequestError(f"{where} names files that are no safetensors files beside it.", hint=_SAFE_HINT)
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise RequestError(
            f"{index.parent.name}/{missing[0]} is missing, one of {len(names)} files that {index.name} names.",
            hint="Download the model again; what is already there is not downloaded twice.",
        )
    return names


def read_header(path: Path) -> list[Tensor]:
    """The tensors of a safetensors file.

    Raises:
        RequestError: It is not one, or not whole.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(_LONGEST_HEADER, size - 8):
            raise _corrupt(path, "its header does not fit into it")
        return parse_header(file.read(length), whole=size - 8 - length, path=path)


def parse_header(text: bytes, *, whole: int, path: Path) -> list[Tensor]:
    """The tensors that the JSON of a header tells of.

    Args:
        text: The JSON.
        whole: Bytes that follow the header.
        path: For messages.

    Raises:
        RequestError: It is no header, or tells of another size.
    """
    try:
        header: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _corrupt(path, "its header is no JSON") from error
    if not isinstance(header, dict):
        raise _corrupt(path, "its header is no table")
    tensors = [_tensor(path, name, entry) for name, entry in header.items() if name != "__metadata__"]
    told = sum(tensor.size for tensor in tensors)
    if told != whole:
        state = "cut off" if told > whole else "too long"
        raise _corrupt(path, f"it is {state}: {told} bytes of tensors are announced, {whole} are there")
    return tensors


def _tensor(path: Path, name: str, entry: Any) -> Tensor:
    match entry:
        case {"shape": list(shape), "data_offsets": [int(start), int(end)]} if 0 <= start <= end:
            if all(isinstance(n, int) and n >= 0 for n in shape):
                return Tensor(name=name, elements=math.prod(shape), size=end - start)
    raise _corrupt(path, f"the entry of {name[:80]!r} is wrong")


def _corrupt(path: Path, why: str) -> RequestError:
    return RequestError(f"{path.parent.name}/{path.name} is damaged: {why}.", hint="Download the model again.")


def total_size(components: Mapping[str, ComponentWeights]) -> int:
    """Bytes of all components on disk."""
    return sum(weights.size for weights in components.values())
