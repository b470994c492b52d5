"""Pipelines in folders: what one is, whether it may be loaded, and the offer that it makes.

A folder is a pipeline when it has diffusers' ``model_index.json`` or ``modular_model_index.json``. It is read as plain
JSON; nothing of it is executed, here or later: weights have to be safetensors, and a folder that brings Python of its
own is refused. A file ``videogen.toml`` beside the index may correct what its class says of it (frames, size, defaults,
title, licence).
"""

from __future__ import annotations

import json
import tomllib
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from videogen_core import License, ModelNotFoundError, ModelSpec, PromptLimits

from .configs import dimensions, fitted
from .families import FAMILIES, Family
from .rows import offer_fields
from .switches import switched
from .weights import read_weights

__all__ = ["INDEXES", "Pipeline", "describe", "family_of_folder", "look", "read", "resolve"]

INDEXES = {"model_index.json": "pipeline", "modular_model_index.json": "modular"}
_CORRECTIONS = "videogen.toml"
_PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}
_OURS = ("diffusers", "transformers")
_WEIGHTLESS = ("Feature", "Guid", "Processor", "Scheduler", "Tokenizer")
"""What names of classes without weights hold, in diffusers and transformers."""


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder says of itself.

    Attributes:
        folder: Where it lies.
        name: Its class, such as ``WanPipeline``.
        kind: ``pipeline`` or ``modular``.
        components: Name -> library and class, as the index has them.
        corrections: Its ``videogen.toml``.
    """

    folder: Path
    name: str
    kind: str
    components: dict[str, tuple[str, str]]
    corrections: dict[str, Any] = {}


class _Corrections(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file ``videogen.toml``: ``family`` has keys of `Family`, the others are those of a catalogue row."""

    title: str = ""
    maker: str = ""
    license: License | None = None
    prompt: PromptLimits = PromptLimits()
    family: dict[str, Any] = {}


def resolve(name: str) -> Path | None:
    """The folder that a name in lower case means, whatever the case of the letters on disk; None when there is none.

    Args:
        name: An absolute path, or one that begins with ``./``, ``../`` or ``~``.

    Raises:
        ModelNotFoundError: Several folders differ only in case.
    """
    path = Path(name).expanduser()
    found = Path(path.anchor) if path.anchor else Path()
    for part in path.parts[1:] if path.anchor else path.parts:
        if part == ".." or (found / part).exists():
            found = found / part
            continue
        try:
            alike = [entry for entry in found.iterdir() if entry.name.lower() == part.lower()]
        except OSError:
            return None
        if len(alike) > 1:
            raise ModelNotFoundError(
                f"{found} has {' and '.join(sorted(entry.name for entry in alike))}, and names of models do not tell "
                "small letters from capital ones.",
                hint="Name the folder in [providers.local.models] of your videogen.toml.",
            )
        if not alike:
            return None
        found = alike[0]
    return found.absolute() if found.is_dir() else None


def read(folder: Path) -> Pipeline:
    """What a folder says of itself.

    Raises:
        ModelNotFoundError: It is no pipeline, or one that cannot be used.
    """
    index = next((folder / name for name in INDEXES if (folder / name).is_file()), None)
    if index is None:
        raise ModelNotFoundError(
            f"{folder} is no pipeline: it has neither {' nor '.join(INDEXES)}.",
            hint="Give a folder in diffusers' format. Single-file checkpoints have to be converted first.",
        )
    table = _json(index)
    name = table.get("_class_name")
    if not isinstance(name, str):
        raise ModelNotFoundError(f"{index} names no pipeline class.", hint="Its _class_name is missing.")
    components = {
        key: (str(value[0]), str(value[1]))
        for key, value in table.items()
        if not key.startswith("_") and isinstance(value, list) and len(value) >= 2 and value[0] and value[1]
    }
    corrections = _corrections(folder / _CORRECTIONS)
    return Pipeline(folder=folder, name=name, kind=INDEXES[index.name], components=components, corrections=corrections)


def family_of_folder(pipeline: Pipeline) -> Family:
    """The rules of a folder's class, for its own sizes, with its own corrections.

    Raises:
        ModelNotFoundError: The class is none that makes video, or the corrections are wrong.
    """
    family = FAMILIES.get(pipeline.name)
    if family is None:
        raise ModelNotFoundError(
            f"{pipeline.folder} is a {pipeline.name}, which is no pipeline that makes video, or a newer one than this "
            "version of videogen-local knows.",
            hint=f"It knows {', '.join(sorted(FAMILIES))}.",
        )
    family = fitted(family, _configs(pipeline))
    changes = pipeline.corrections.get("family", {})
    try:
        return msgspec.convert({**msgspec.to_builtins(family), **changes}, Family) if changes else family
    except (msgspec.ValidationError, ValueError) as error:
        raise ModelNotFoundError(f"{pipeline.folder / _CORRECTIONS}: [family]: {error}.") from error


def describe(pipeline: Pipeline, offer: str, *, repo: str | None = None, revision: str | None = None) -> ModelSpec:
    """The offer that a folder makes.

    Args:
        pipeline: What `read` found.
        offer: The id that it gets.
        repo: Where it was pulled from.
        revision: The commit there.

    Raises:
        ModelNotFoundError: It cannot be used.
    """
    family = family_of_folder(pipeline)
    check(pipeline, family)
    base = msgspec.to_builtins(FAMILIES[pipeline.name])
    changed = {key: value for key, value in msgspec.to_builtins(family).items() if value != base[key]}
    corrections = msgspec.convert(pipeline.corrections, _Corrections)
    fields = offer_fields(family)
    spec = ModelSpec(
        id=offer,
        title=corrections.title or (repo or pipeline.folder.name),
        maker=corrections.maker or (repo or "").partition("/")[0],
        prompt=corrections.prompt,
        license=corrections.license,
        vendor={
            "engine": "here",
            "pipeline": pipeline.name,
            "folder": str(pipeline.folder),
            **_measures(pipeline, family),
            **({"family": changed} if changed else {}),
            **({"repo": repo} if repo else {}),
            **({"revision": revision} if revision else {}),
        },
        source=f"https://huggingface.co/{repo}" if repo else str(pipeline.folder),
        as_of=date.fromtimestamp((pipeline.folder / _index_name(pipeline)).stat().st_mtime),  # noqa: DTZ012 - a day is enough
        **fields,
    )
    return switched(spec)


def _measures(pipeline: Pipeline, family: Family) -> dict[str, Any]:
    """The size of the denoiser, which time and cost follow from, in the words of a catalogue row.

    Raises:
        RequestError: A file of weights is damaged.
    """
    size = dimensions(family, _configs(pipeline))
    weights = read_weights(pipeline.folder, pipeline.components)
    denoiser = next((weights[name] for name in family.denoisers if name in weights), None)
    if denoiser is None or not (size.hidden and size.layers):
        return {}
    return {"parameters": {"transformer": denoiser.elements}, "hidden": size.hidden, "layers": size.layers}


def _configs(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    return {name: _json(path) for name in pipeline.components if (path := _config(pipeline, name)).is_file()}


def look(folder: Path, offer: str, *, repo: str | None = None, revision: str | None = None) -> ModelSpec:
    """The offer of the pipeline in a folder; see `read` and `describe`."""
    return describe(read(folder), offer, repo=repo, revision=revision)


# --- what may be loaded


def check(pipeline: Pipeline, family: Family) -> None:
    """Refuse a folder that would execute code, or that lacks weights.

    Raises:
        ModelNotFoundError: Saying which file is the matter.
    """
    for name, (library, kind) in pipeline.components.items():
        _refuse_code(pipeline.folder, name, library, kind)
        folder = pipeline.folder / name
        if pipeline.kind == "modular" and not folder.is_dir():
            continue  # its index may name components that lie in another repository; loading says what is missing
        files = list(folder.glob("*")) if folder.is_dir() else []
        if not files:
            raise ModelNotFoundError(
                f"{folder} is missing or empty: the {name} ({kind}) that {_index_name(pipeline)} lists.",
                hint="Copy or pull the model again.",
            )
        if any(word in kind for word in _WEIGHTLESS):
            continue
        if any(path.suffix == ".safetensors" for path in files):
            continue
        pickles = [path.name for path in files if path.suffix in _PICKLES]
        if pickles:
            raise ModelNotFoundError(
                f"{folder} has its weights as {pickles[0]}, a pickle, which can run any program when it is read.",
                hint="Only safetensors are loaded. Save the pipeline with save_pretrained(…, safe_serialization=True) "
                "where you trust it.",
            )
        raise ModelNotFoundError(
            f"{folder} has no weights: {kind} needs a file *.safetensors there.", hint="Copy or pull it again."
        )


def _refuse_code(folder: Path, name: str, library: str, kind: str) -> None:
    if _is_known(library) and not list(folder.glob("*.py")) and not list((folder / name).glob("*.py")):
        return
    raise ModelNotFoundError(
        f"{folder} brings Python code of its own (component {name}: {library}.{kind}), which is never run.",
        hint="Use a checkpoint whose components are classes of diffusers and transformers.",
    )


def _is_known(library: str) -> bool:
    """Whether classes of a library may be loaded: those of diffusers, of its pipelines, and of transformers.

    diffusers imports whatever an index names, and importing is running.
    """
    if library in _OURS:
        return True
    spec = find_spec("diffusers")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:  # nothing can be loaded without it
        return library.isidentifier()
    return library.isidentifier() and any((Path(place) / "pipelines" / library).is_dir() for place in places)


# --- files


def _index_name(pipeline: Pipeline) -> str:
    return next(name for name, kind in INDEXES.items() if kind == pipeline.kind)


def _config(pipeline: Pipeline, component: str) -> Path:
    return pipeline.folder / component / "config.json"


def _json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelNotFoundError(f"{path} cannot be read: {error}.", hint="Copy or pull the model again.") from error
    if not isinstance(table, dict):
        raise ModelNotFoundError(f"{path} holds no table.", hint="Copy or pull the model again.")
    return table


def _corrections(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        msgspec.convert(table, _Corrections)
    except (OSError, ValueError, RecursionError, msgspec.ValidationError) as error:
        raise ModelNotFoundError(f"{path}: {error}.") from error
    return table
