"""The models of this machine as offers: the catalogue's rows, what was pulled, and folders that the settings name.

All of it is read from files; nothing here asks the network or imports torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from videogen_core import ConfigurationError, ModelNotFoundError, ModelSpec

from . import folders
from .costs import priced
from .library import Library
from .rows import completed
from .switches import switched
from .timing import Timings

__all__ = ["check_here", "discovered", "missing_packages", "offers", "timings_in"]

_NEEDED = ("torch", "diffusers", "transformers", "accelerate")


def offers(
    rows: Iterable[ModelSpec], environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path
) -> tuple[ModelSpec, ...]:
    """Every model that can be named without looking for it.

    Args:
        rows: The catalogue.
        environment: Says where the hub's cache is.
        settings: ``[providers.local]``; ``models`` is a table of names and folders.
        folder: The provider's own.

    Raises:
        ConfigurationError: A folder that the settings name cannot be used.
    """
    library = Library(folder, environment)
    found = {spec.id: _placed(switched(completed(spec)), library) for spec in rows}
    for name, path in _named(settings).items():
        found[f"local/{name}"] = _configured(name, path)
    listed = {str(spec.vendor.get("repo", "")).lower() for spec in found.values()}
    for pulled in library.pulled():
        if pulled.repo.lower() not in listed:
            spec = _quiet(Path(pulled.folder), f"local/{pulled.repo.lower()}", pulled.repo, pulled.revision)
            found.update({} if spec is None else {spec.id: spec})
    timings = timings_in(folder)
    return tuple(priced(spec, settings, timings) for spec in found.values())


def timings_in(folder: Path) -> Timings:
    """What jobs took on this machine."""
    return Timings(folder / "timings.jsonl")


def _placed(spec: ModelSpec, library: Library) -> ModelSpec:
    """A row with the folder that it lies in; without one as long as it is not here."""
    package = spec.vendor.get("package")  # ships with the plugin
    if package is not None:
        return _with(spec, folder=str(Path(__file__).parent / str(package)))
    pulled = library.find(str(spec.vendor.get("repo", "")))
    return spec if pulled is None else _with(spec, folder=pulled.folder, revision=pulled.revision)


def _with(spec: ModelSpec, **more: Any) -> ModelSpec:
    return msgspec.structs.replace(spec, vendor={**spec.vendor, **more})


def _named(settings: Mapping[str, Any]) -> Mapping[str, str]:
    table = settings.get("models", {})
    if not isinstance(table, Mapping) or not all(isinstance(path, str) for path in table.values()):
        raise ConfigurationError(
            "providers.local.models: it is no table of names and folders.",
            hint='Write [providers.local.models] and then my-model = "/path/to/the/folder".',
        )
    return {str(name).lower(): path for name, path in table.items()}


def _configured(name: str, path: str) -> ModelSpec:
    try:
        return folders.look(Path(path).expanduser().absolute(), f"local/{name}")
    except ModelNotFoundError as error:
        raise ConfigurationError(f"providers.local.models.{name}: {error.message}", hint=error.hint) from error


def _quiet(folder: Path, offer: str, repo: str, revision: str) -> ModelSpec | None:
    """What was pulled and is broken by now must not take the others away; naming it says what is wrong."""
    try:
        return folders.look(folder, offer, repo=repo, revision=revision)
    except ModelNotFoundError:
        return None


def discovered(
    name: str, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path
) -> ModelSpec | None:
    """The offer of a folder, or of a pulled repository, that no catalogue lists; None when it is on no disk here.

    Raises:
        ModelNotFoundError: There is such a folder, and it cannot be used.
    """
    offer = f"local/{name}"
    if name.startswith(("/", "./", "../", "~")):
        found = folders.resolve(name)
        if found is None:
            raise ModelNotFoundError(
                f"There is no folder {name}.",
                hint="Write local/ and then the path: local//data/model or local/./model.",
            )
        return priced(folders.look(found, offer), settings, timings_in(folder))
    pulled = Library(folder, environment).find(name)
    if pulled is None:
        return None
    spec = folders.look(Path(pulled.folder), offer, repo=pulled.repo, revision=pulled.revision)
    return priced(spec, settings, timings_in(folder))


def missing_packages() -> list[str]:
    """Which of the packages that run a model are not installed; nothing is imported to find out."""
    return list(_missing(int(time.monotonic())))


@lru_cache(maxsize=1)
def _missing(second: int) -> tuple[str, ...]:
    """Looked for once a second: a search of every folder of the path takes long, and there are many models."""
    return tuple(name for name in _NEEDED if find_spec(name) is None)


def check_here(spec: ModelSpec) -> None:
    """Return when a model can run on this machine, as far as files tell.

    Raises:
        ConfigurationError: torch or diffusers is missing, or the model is not here.
    """
    if missing := missing_packages():
        raise ConfigurationError(
            f"{spec.id} runs on this machine, and {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not "
            "installed. Run: pip install 'videogen-local[torch]'.",
        )
    folder = spec.vendor.get("folder")
    if folder is None:
        raise ConfigurationError(absent(spec))
    if not Path(str(folder)).is_dir():
        raise ConfigurationError(f"{spec.id}: its folder {folder} is gone.")


def absent(spec: ModelSpec) -> str:
    """Why a model that is not on this machine cannot be used: what to download, how large it is, and its licence."""
    repo = spec.vendor.get("repo", spec.id.partition("/")[2])
    size = spec.vendor.get("download_bytes")
    large = f", {float(size) / 1e9:.0f} GB," if isinstance(size, int | float) else ""
    terms = f" under {spec.license.name}" if spec.license else ""
    return f"{spec.id} is not on this machine. Run: videogen local pull {repo}; it downloads {repo}{large}{terms}."
