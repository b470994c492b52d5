"""Offers made of a family: its frame and size rules as modes, and its parameters as options.

A folder or a repository that no catalogue lists becomes an offer in this way, and the rows of the catalogue get their
options here, so that a model has the same ones wherever it is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from videogen_core import ModelSpec, VideoRequest, frame_size
from videogen_core.request import Task
from videogen_core.spec import Defaults, Mode, OptionSpec, Span

from .families import FAMILIES, Family, Nearest
from .plans import Placement

__all__ = ["LARGEST_SIDE", "clip_of", "completed", "family_of", "offer_fields", "options"]

LARGEST_SIDE = 4096
"""Pixels of the longest side that can be asked for; whether it fits is a matter of memory."""
MOST_STEPS = 1000
MOST_REFERENCES = 4

_SHAPES = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3")


def family_of(spec: ModelSpec) -> Family | None:
    """The family that an offer's ``vendor`` table names, for its own checkpoint; None for an offer of a server.

    Raises:
        KeyError: It names a class that is no family.
    """
    name = spec.vendor.get("pipeline")
    if name is None:
        return None
    changes: dict[str, Any] = spec.vendor.get("family", {})
    family = FAMILIES[str(name)]
    return msgspec.convert({**msgspec.to_builtins(family), **changes}, Family) if changes else family


def clip_of(spec: ModelSpec, family: Family, request: VideoRequest, options: Mapping[str, Any]) -> Nearest:
    """Frames and size of a request: what the options say, else what duration, resolution and shape come to.

    Args:
        spec: The offer.
        family: Its rules.
        request: With every default written out.
        options: This provider's.
    """
    frames = family.default_frames or family.frames.minimum
    if request.duration is not None:
        frames = family.frames_for(request.duration, request.fps)
    width, height = frame_size(spec, request) or family.size
    return Nearest(
        frames=options.get("num_frames") or frames,
        width=options.get("width") or width,
        height=options.get("height") or height,
    )


def completed(spec: ModelSpec) -> ModelSpec:
    """A row of the catalogue with the options of its family; what the row says itself stands."""
    family = family_of(spec)
    if family is None:
        return spec
    return msgspec.structs.replace(spec, options={**options(family), **spec.options})


def offer_fields(family: Family) -> dict[str, Any]:
    """What a `ModelSpec` of this family says when nothing but its class is known: modes, sizes, defaults, options."""
    resolution, sizes = _sizes(family)
    shaped = "width" in family.parameters
    timed = "frames" in family.parameters
    frames = family.default_frames or family.frames.minimum
    shapes = tuple(sizes)
    fps: Span | tuple[float, ...] = ()
    if family.fps_range is not None and "fps" in family.parameters:
        fps = Span(min=family.fps_range[0], max=family.fps_range[1])
    common: dict[str, Any] = {
        "durations": _durations(family) if timed else (),
        "resolutions": (resolution,) if shaped else (),
        "aspect_ratios": shapes if shaped else (),
        "audio": (True, False) if family.audio else (False,),
        "fps": fps,
    }
    defaults = Defaults(
        duration=family.nominal(frames) if timed else None,
        resolution=resolution if shaped else None,
        aspect_ratio=shapes[0] if shaped else None,
        audio=family.audio,
        fps=family.fps if fps else None,
    )
    return {
        "modes": tuple(_modes(family, common)),
        "sizes": {resolution: sizes} if shaped else {},
        "default": defaults,
        "output_fps": None if fps else family.fps,
        "seed": 2**63 - 1,
        "negative_prompt": "negative_prompt" in family.parameters,
        "options": options(family),
    }


def _modes(family: Family, common: dict[str, Any]) -> list[Mode]:
    modes = []
    for name in family.tasks:
        task = Task(name)
        allows = family.inputs if task is Task.EDIT_VIDEO else ()
        takes = task is Task.REFERENCE_TO_VIDEO or "reference_images" in allows
        modes.append(Mode(tasks=(task,), allows=allows, reference_images=MOST_REFERENCES if takes else 0, **common))
    return modes


def _durations(family: Family) -> Span:
    """The frame rule in seconds."""
    rule = family.frames
    first, last = family.nominal(rule.minimum), family.nominal(rule.maximum)
    return Span(min=first, max=last, step=rule.step / family.fps if last > first else None)


def _sizes(family: Family) -> tuple[str, dict[str, tuple[int, int]]]:
    """The name of the resolution, and the pixels of each shape: the family's own first, the others as large as that."""
    width, height = family.size

    def far(shape: str) -> float:
        return abs(math.log(_ratio(shape) * height / width))

    own = min(_SHAPES, key=far)
    sizes = {own: (width, height)}
    for shape in _SHAPES:
        if shape == own:
            continue
        across = math.sqrt(width * height * _ratio(shape))
        sizes[shape] = (_multiple(across, family.multiple), _multiple(across / _ratio(shape), family.multiple))
    return f"{min(width, height)}p", sizes


def _ratio(shape: str) -> float:
    width, _, height = shape.partition(":")
    return int(width) / int(height)


def _multiple(value: float, of: int) -> int:
    return max(of, of * round(value / of))


def options(family: Family) -> dict[str, OptionSpec]:
    """What can be set beside the neutral fields, with the family's own rules and defaults."""
    return {**_shape_options(family), **_pace_options(family), **_other_options(family)}


def _shape_options(family: Family) -> dict[str, OptionSpec]:
    """Frames and pixels."""
    found: dict[str, OptionSpec] = {}
    if "frames" in family.parameters:
        rule = family.frames
        found["num_frames"] = OptionSpec(
            type="integer",
            min=rule.minimum,
            max=rule.maximum,
            step=rule.step,
            description=f"Frames, instead of those that the duration comes to: {rule.describe()}.",
        )
    for side in ("width", "height"):
        if side in family.parameters:
            found[side] = OptionSpec(
                type="integer",
                min=family.multiple,
                max=LARGEST_SIDE // family.multiple * family.multiple,
                step=family.multiple,
                description=f"Pixels of the {side}, instead of those of resolution and aspect ratio.",
            )
    return found


_GUIDANCE = {
    "guidance_2": ("guidance_scale_2", "Guidance of the second expert, for the last steps; else the first one's."),
    "true_guidance": ("true_guidance_scale", "Guidance by a second pass with the negative prompt; 1 = no such pass."),
}


def _pace_options(family: Family) -> dict[str, OptionSpec]:
    """Steps and guidance."""
    told = family.parameters
    found: dict[str, OptionSpec] = {}
    if "steps" in told:
        found["steps"] = OptionSpec(
            type="integer",
            min=1,
            max=MOST_STEPS,
            default=family.steps,
            description="Denoising steps; time grows with them.",
        )
    if family.guidance is not None and ("guidance" in told or family.guider):
        text = "How strictly the prompt is followed."
        found["guidance_scale"] = OptionSpec(type="number", min=0, max=100, default=family.guidance, description=text)
    for field, (name, text) in _GUIDANCE.items():
        if field in told:
            found[name] = OptionSpec(type="number", min=0, max=100, description=text)
    return found


def _other_options(family: Family) -> dict[str, OptionSpec]:
    """How much of its inputs counts, and where the model lies."""
    found: dict[str, OptionSpec] = {}
    if "strength" in family.parameters:
        text = "How far the result may leave its source; 1 = as far as it likes."
        found["strength"] = OptionSpec(type="number", min=0, max=1, description=text)
    if "max_tokens" in family.parameters:
        text = "Tokens of the prompt that are read; the rest is cut off."
        found["max_sequence_length"] = OptionSpec(type="integer", min=1, max=4096, description=text)
    text = "How the model is placed in memory; auto = the quickest way that fits."
    found["plan"] = OptionSpec(type="string", choices=("auto", *_plan_names()), default="auto", description=text)
    return found


def _plan_names() -> list[str]:
    return [
        placement + tiling + fp8
        for placement in get_args(Placement)
        for tiling in ("", "+tiling")
        for fp8 in ("", "+fp8")
    ]
