"""What one clip takes, worked out from a request by the rules of its family: all that a pipeline is told.

An order is plain data. It is written to disk before a job is accepted, and whoever runs it needs nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from videogen_core import ConfigurationError, ModelSpec, RequestError, Task, VideoRequest
from videogen_core.spec import Span

from .families import Family
from .rows import clip_of, family_of
from .timing import sizes_of
from .weights import read_header

__all__ = ["Lora", "Order", "order"]


class Lora(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A low-rank adaptation that is laid over the model for one clip.

    Attributes:
        path: A file ``*.safetensors`` on this machine.
        scale: How strongly; 1 = as trained, 0 = not at all.
        component: For models with two denoisers: the one that it is for.
    """

    path: str
    scale: float = 1.0
    component: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One clip.

    Attributes:
        offer: Id of the offer.
        family: Its rules, for its own checkpoint.
        folder: Where the pipeline lies.
        revision: The commit that it was pulled at.
        task: Kind of work.
        prompt, negative_prompt: As given.
        frames, width, height: By the family's rules.
        fps: Frames per second of the clip.
        steps: Denoising steps.
        guidance: Guidance scale; None = the family takes none.
        told: More parameters, by the family's neutral names.
        seed: Of the noise; drawn when none was asked for.
        audio: Whether the clip is to have sound.
        plan: How to place the model; ``auto`` = the quickest way that fits.
        loras: Laid over the model.
        compile: Whether the denoiser's blocks are compiled.
        attention: Name of diffusers' attention backend; None = its default.
        cache: Name of a step cache; None = every step is worked out.
        cache_threshold: How unlike two steps may be for one to stand for both; None = the cache's own.
        devices: How many make it together.
        sizes: Parameters, width and layers of the denoiser, to learn how quick the device is; None = not known.
    """

    offer: str
    family: Family
    folder: str
    revision: str | None = None
    task: str
    prompt: str = ""
    negative_prompt: str | None = None
    frames: int
    width: int
    height: int
    fps: float
    steps: int
    guidance: float | None = None
    told: dict[str, Any] = {}
    seed: int
    audio: bool = True
    plan: str = "auto"
    loras: tuple[Lora, ...] = ()
    compile: bool = False
    attention: str | None = None
    cache: str | None = None
    cache_threshold: float | None = None
    devices: int = 1
    sizes: tuple[int, int, int] | None = None


_LEEWAY = 0.1, 0.75
"""By how much frames and duration may differ: a share of the duration, and seconds; the larger counts."""
_MORE = {
    "guidance_scale_2": "guidance_2",
    "true_guidance_scale": "true_guidance",
    "strength": "strength",
    "max_sequence_length": "max_tokens",
}
"""Our options -> the family's names for them, where nothing else is done with them."""


def order(spec: ModelSpec, request: VideoRequest, options: Mapping[str, Any]) -> Order:
    """What a request comes to at an offer.

    Args:
        spec: The offer.
        request: With every default written out.
        options: This provider's, defaults filled in.

    Raises:
        ConfigurationError: The row does not say what is needed.
        RequestError: An option is wrong in a way that its type does not tell.
    """
    family = _family(spec)
    fps = request.fps or family.fps
    _check_length(spec, family, request, fps, options.get("num_frames"))
    clip = clip_of(spec, family, request, options)
    seed = request.seed if request.seed is not None else secrets.randbelow(2**63)
    return Order(
        offer=spec.id,
        family=family,
        folder=str(spec.vendor["folder"]),
        revision=spec.vendor.get("revision"),
        task=request.task.value,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        frames=clip.frames,
        width=clip.width,
        height=clip.height,
        fps=fps,
        steps=options.get("steps") or family.steps,
        guidance=options.get("guidance_scale", family.guidance),
        told={ours: options[name] for name, ours in _MORE.items() if options.get(name) is not None},
        seed=seed,
        audio=family.audio and request.audio is not False,
        plan=str(options.get("plan", "auto")),
        loras=_loras(options.get("loras", ())),
        compile=bool(options.get("compile", False)),
        attention=options.get("attention"),
        cache=options.get("cache"),
        cache_threshold=options.get("cache_threshold"),
        devices=options.get("devices") or 1,
        sizes=sizes_of(spec.vendor),
    )


def _family(spec: ModelSpec) -> Family:
    try:
        family = family_of(spec)
    except (KeyError, ValueError, msgspec.ValidationError) as error:
        raise ConfigurationError(f"{spec.id}: its row describes no pipeline that is known: {error}.") from error
    if family is None or "folder" not in spec.vendor:
        raise ConfigurationError(
            f"{spec.id}: its row does not say which pipeline it is, or where it lies.",
            hint='Write vendor = { engine = "here", pipeline = "WanPipeline", folder = "/…" } there.',
        )
    return family


def _check_length(spec: ModelSpec, family: Family, request: VideoRequest, fps: float, frames: int | None) -> None:
    """Refuse frames that contradict the duration: the clip would not be the one that was asked for."""
    duration = request.duration
    if frames is None or duration is None or _agree(frames / fps, duration):
        return
    seconds = family.nominal(frames) * family.fps / fps
    others = (mode.durations for mode in spec.modes if request.task in mode.tasks)
    nearest = min((_nearest(allowed, seconds) for allowed in others if allowed), key=lambda one: abs(one - seconds))
    raise RequestError(
        f"options.local.num_frames: {frames} frames at {fps:g} a second last {frames / fps:.2f} s, and duration is "
        f"{duration:g} s.",
        hint=f"Give duration={nearest:g} as well."
        if _agree(frames / fps, nearest)
        else f"No duration of {spec.id} is near that; the nearest is {nearest:g} s. Give other frames, or none.",
    )


def _agree(seconds: float, duration: float) -> bool:
    return abs(seconds - duration) <= max(duration * _LEEWAY[0], _LEEWAY[1])


def _nearest(allowed: Span | tuple[float, ...], seconds: float) -> float:
    """The duration that a mode allows next to a number of seconds."""
    if not isinstance(allowed, Span):
        return min(allowed, key=lambda one: abs(one - seconds))
    inside = min(max(seconds, allowed.min), allowed.max)
    return allowed.min + round((inside - allowed.min) / allowed.step) * allowed.step if allowed.step else inside


def _loras(given: Any) -> tuple[Lora, ...]:
    """The adaptations of a request; a path alone is one at its full scale.

    Raises:
        RequestError: Not a list of paths and tables, or one is no file of safetensors.
    """
    rows = [{"path": row} if isinstance(row, str) else row for row in given]
    try:
        loras = msgspec.convert(rows, tuple[Lora, ...])
    except msgspec.ValidationError as error:
        raise RequestError(
            f"options.local.loras: {error}.", hint='Give paths, or tables {"path": "style.safetensors", "scale": 0.8}.'
        ) from error
    return tuple(map(_looked_at, loras))


def _looked_at(lora: Lora) -> Lora:
    """With the path as any process finds it, whatever folder that is in."""
    if not lora.path.lower().endswith(".safetensors"):
        raise RequestError(
            f"options.local.loras: {lora.path} is no .safetensors file.",
            hint="Other formats may be pickles, which can run any program when they are read.",
        )
    path = Path(lora.path).expanduser().absolute()
    if not path.is_file():
        raise RequestError(f"options.local.loras: there is no file {path}.", hint="Check its name; nothing was made.")
    try:
        read_header(path)
    except RequestError as error:
        raise RequestError(f"options.local.loras: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise RequestError(f"options.local.loras: {path} cannot be read: {error.strerror}.") from error
    return msgspec.structs.replace(lora, path=str(path))


def takes_picture(task: str) -> bool:
    """Whether a kind of work begins from a still image."""
    return task in (Task.IMAGE_TO_VIDEO, Task.FIRST_LAST_FRAME)
