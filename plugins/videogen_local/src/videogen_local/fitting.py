"""How an offer would fit this machine, told without torch: for ``videogen route`` before anything is loaded.

What devices there are is known from the last time that the engine looked at them, which it writes down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from videogen_core import ModelSpec, RequestError
from videogen_core.request import VideoRequest

from .configs import Dimensions
from .families import Family, Nearest
from .memory import estimator, of_folder
from .plans import Device, Footprint, Refusal, choose, gigabytes
from .rows import clip_of, family_of
from .weights import ComponentWeights

__all__ = ["known_devices", "notes", "remark", "remember_devices"]

_FILE = "devices.json"


def remember_devices(folder: Path, devices: Iterable[Device]) -> None:
    """Write down what devices there are; a disk that takes nothing stops nothing.

    Args:
        folder: The provider's own.
        devices: As the engine sees them.
    """
    draft = folder / f"{_FILE}.new"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.encode(list(devices)))
        draft.replace(folder / _FILE)
    except OSError:
        return


def known_devices(folder: Path) -> list[Device]:
    """The devices that the engine has seen, as if nothing ran on them; none before its first job."""
    try:
        found = msgspec.json.decode((folder / _FILE).read_bytes(), type=list[Device])
    except (OSError, msgspec.DecodeError):
        return []
    return [replace(one, free=one.total) for one in found]


def notes(offers: Iterable[ModelSpec], folder: Path) -> tuple[str, ...]:
    """Each device with its memory and the models that fit it, as far as it was ever looked at.

    Args:
        offers: The models.
        folder: The provider's own.
    """
    devices = known_devices(folder)
    if not devices:
        return ("no device was looked at yet; `videogen doctor --online` does, with torch, and so does the first job.",)
    seen = datetime.fromtimestamp((folder / _FILE).stat().st_mtime, UTC)
    ways = list(_ways(offers))
    return tuple(_note(device, ways, seen) for device in devices)


def _ways(offers: Iterable[ModelSpec]) -> Iterator[tuple[str, Family, Callable[[Nearest], Footprint], Nearest]]:
    """Of each model whose memory can be told: its name, and its usual clip."""
    for spec in offers:
        with suppress(RequestError, KeyError):  # its files are damaged, which naming it says
            family = family_of(spec)
            estimate = None if family is None else _estimate(spec, family)
            if family is not None and estimate is not None:
                yield spec.id.partition("/")[2], family, estimate, _usual(spec, family)


def _usual(spec: ModelSpec, family: Family) -> Nearest:
    usual = spec.default
    shapes = spec.sizes.get(usual.resolution or "", {})
    width, height = shapes.get(usual.aspect_ratio or "", family.size)
    frames = family.default_frames or family.frames.minimum
    return Nearest(frames=family.frames_for(usual.duration) if usual.duration else frames, width=width, height=height)


def _note(
    device: Device, ways: Iterable[tuple[str, Family, Callable[[Nearest], Footprint], Nearest]], seen: datetime
) -> str:
    fits: dict[str, list[str]] = {"as a whole": [], "in parts": [], "not": []}
    for name, family, estimate, clip in ways:
        found = choose(estimate, clip, family, device)
        if isinstance(found, Refusal):
            fits["not"].append(name)
        else:
            fits["as a whole" if found[0].placement == "resident" else "in parts"].append(name)
    told = [f"{how}: {', '.join(names)}" for how, names in fits.items() if names]
    where = device.name or device.kind
    return f"{where}, {gigabytes(device.total)}, seen on {seen:%Y-%m-%d %H:%M} UTC. Fits {'; '.join(told)}."


def remark(spec: ModelSpec, request: VideoRequest, folder: Path) -> str:
    """The plan that a clip would be made by, and the memory that it takes; empty where that cannot be told.

    Args:
        spec: The offer.
        request: With every default written out.
        folder: The provider's own.

    Raises:
        RequestError: A file of weights is damaged.
    """
    family = family_of(spec)
    estimate = None if family is None else _estimate(spec, family)
    if family is None or estimate is None:
        return ""
    clip = clip_of(spec, family, request, request.options.get(spec.provider, {}))
    told = [_on(device, estimate, clip, family) for device in known_devices(folder)]
    if told:
        return "; ".join(told)
    parts = estimate(clip)
    return f"needs {gigabytes(parts.weights + max(parts.denoise, parts.decode))} to stay in memory as a whole"


def _on(device: Device, estimate: Callable[[Nearest], Footprint], clip: Nearest, family: Family) -> str:
    found = choose(estimate, clip, family, device)
    where = device.name or device.kind
    if isinstance(found, Refusal):
        return f"does not fit {where}: {found.hint.rstrip('.')}"
    return f"{found[0].name} on {where}, {gigabytes(found[0].needs)} of {gigabytes(device.total)}"


def _estimate(spec: ModelSpec, family: Family) -> Callable[[Nearest], Footprint] | None:
    """From the folder where the model is here, else from what the catalogue says of it."""
    how = {"vae_bytes": 4 if family.name.startswith("Wan") else 2}
    folder = spec.vendor.get("folder")
    if folder is not None and Path(str(folder)).is_dir():
        return of_folder(Path(str(folder)), family, **how)
    numbers, hidden, layers = (spec.vendor.get(key) for key in ("parameters", "hidden", "layers"))
    if not isinstance(numbers, Mapping) or not isinstance(hidden, int) or not isinstance(layers, int):
        return None
    size = Dimensions(compression=family.compression, hidden=hidden, layers=layers)
    return estimator(family, size, {name: _part(name, count, layers, family) for name, count in numbers.items()}, **how)


_USUAL_LAYERS = 24
"""Of text encoders, where only a number of parameters is known."""


def _part(name: str, numbers: Any, layers: int, family: Family) -> ComponentWeights:
    each = int(numbers) // (layers if name in family.denoisers else _USUAL_LAYERS)
    return ComponentWeights(size=2 * int(numbers), elements=int(numbers), largest_block=each, largest_leaf=each // 6)
