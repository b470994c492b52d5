"""What a model can do with a request: check it, fill in its defaults, move it to the nearest that works.

All functions are pure. A request is valid when one mode admits it and no limit is broken; `check` reports every
broken rule at once, and `resolve` writes out every value that the provider will be told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from .errors import UnsupportedRequestError
from .request import Media, Task, VideoRequest
from .spec import MediaLimits, Mode, ModelSpec, OptionSpec, Span, resolution_height

__all__ = [
    "Change",
    "Fit",
    "Resolved",
    "Violation",
    "check",
    "frame_size",
    "nearest_request",
    "offer_violations",
    "present_inputs",
    "resolve",
]

Fit = Literal["exact", "nearest", "at_least"]
"""How far a request may be moved: not at all, to the nearest duration and resolution, or only upwards."""

Values = Sequence[Any] | Span


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One broken rule.

    Attributes:
        field: Which field of the request.
        value: What was asked.
        allowed: What the model allows there, as a sentence or list; None where the field may not be used at all.
        nearest: The closest value that works, or None.
        message: All of it as one sentence.
        nearest_request: The changes that make the whole request valid, or None when no change of values can.
    """

    field: str
    value: Any
    allowed: Any
    nearest: Any
    message: str
    nearest_request: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A value that ``fit`` moved."""

    field: str
    asked: Any
    used: Any


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """A request with every default written out, the mode that admits it, and what was moved on the way."""

    request: VideoRequest
    mode: Mode
    changes: tuple[Change, ...] = ()


# --- the dimensions of a mode -----------------------------------------------------------------------------------


class Dimension(msgspec.Struct, frozen=True):
    """How one field of a request meets the allowed values of a mode."""

    field: str
    allowed: Callable[[Mode], Values]
    rank: Callable[[Any], float]

    def admits(self, mode: Mode, value: Any) -> bool:
        return value is None or value in self.allowed(mode)

    def nearest(self, values: Values, wanted: Any, *, up: bool = False) -> Any:
        """The closest allowed value; with ``up`` the smallest that is not below, or None."""
        if isinstance(values, Span):
            return values.snap(wanted, up=up)
        target = self.rank(wanted)
        pool = [v for v in values if not up or self.rank(v) >= target]
        return min(pool, key=lambda v: abs(self.rank(v) - target), default=None)

    def distance(self, wanted: Any, used: Any) -> float:
        low, high = sorted((self.rank(wanted), self.rank(used)))
        return abs(math.log(max(high, 1e-9) / max(low, 1e-9))) if self.field != "audio" else 2.0 * (wanted != used)


def _shape(aspect_ratio: str) -> float:
    width, _, height = aspect_ratio.partition(":")
    return float(width) / float(height) if height else 1.0


_DURATION = Dimension("duration", lambda mode: mode.durations, float)
_RESOLUTION = Dimension("resolution", lambda mode: mode.resolutions, resolution_height)
DIMENSIONS = (
    _DURATION,
    _RESOLUTION,
    Dimension("aspect_ratio", lambda mode: mode.aspect_ratios, _shape),
    Dimension("audio", lambda mode: mode.audio, float),
    Dimension("fps", lambda mode: mode.fps, float),
)
_FIT = (_DURATION, _RESOLUTION)


def present_inputs(request: VideoRequest) -> frozenset[str]:
    """Names of the media inputs that a request has."""
    names = {name.partition("[")[0] for name, _ in request.media()}
    return frozenset(names)


def inputs_admitted(mode: Mode, task: Task, present: frozenset[str]) -> bool:
    required = set(mode.required(task))
    return required <= present <= required | set(mode.allows)


def _takes_inputs(mode: Mode, request: VideoRequest, present: frozenset[str]) -> bool:
    """Task, inputs, counts: what no change of a value can mend."""
    return (
        request.task in mode.tasks
        and inputs_admitted(mode, request.task, present)
        and len(request.reference_images) <= mode.reference_images
    )


def _admits(mode: Mode, request: VideoRequest, present: frozenset[str]) -> bool:
    return (
        _takes_inputs(mode, request, present)
        and request.count <= mode.count
        and all(dim.admits(mode, getattr(request, dim.field)) for dim in DIMENSIONS)
    )


# --- resolve ----------------------------------------------------------------------------------------------------


def default_of(spec: ModelSpec, mode: Mode, field: str, values: Values) -> Any:
    """The value that a field left out takes in a mode; None where the field cannot be set."""
    if not isinstance(values, Span) and not values:
        return None
    for default in (getattr(mode.default, field), getattr(spec.default, field)):
        if default is not None and default in values:
            return default
    return values.min if isinstance(values, Span) else values[0]


def fill_defaults(spec: ModelSpec, mode: Mode, request: VideoRequest) -> VideoRequest:
    filled = {
        dim.field: default_of(spec, mode, dim.field, dim.allowed(mode))
        for dim in DIMENSIONS
        if getattr(request, dim.field) is None
    }
    return msgspec.structs.replace(request, **filled) if filled else request


def kept_defaults(spec: ModelSpec, mode: Mode, request: VideoRequest) -> int:
    """How many of the model's defaults a mode can keep; the mode that keeps most is the one meant."""
    kept = 0
    for dim in DIMENSIONS:
        default = getattr(spec.default, dim.field)
        if getattr(request, dim.field) is None and default is not None and default in dim.allowed(mode):
            kept += 1
    return kept


def resolve(spec: ModelSpec, request: VideoRequest, fit: Fit = "exact") -> Resolved:
    """Write out every default, moving duration and resolution as far as ``fit`` allows.

    Raises:
        UnsupportedRequestError: The model cannot do it; ``.violations`` says why, all at once.
    """
    moved = _moved(spec, request, fit)
    violations = check(spec, moved)
    if violations:
        raise unsupported(spec, violations)
    present = present_inputs(moved)
    modes = [mode for mode in spec.modes if _admits(mode, moved, present)]
    mode = max(modes, key=lambda mode: kept_defaults(spec, mode, moved))
    changes = tuple(
        Change(field=dim.field, asked=asked, used=used)
        for dim in _FIT
        if (asked := getattr(request, dim.field)) != (used := getattr(moved, dim.field))
    )
    return Resolved(request=fill_defaults(spec, mode, moved), mode=mode, changes=changes)


def _moved(spec: ModelSpec, request: VideoRequest, fit: Fit) -> VideoRequest:
    """The request with duration and resolution moved as far as ``fit`` allows, or as it was."""
    if fit == "exact":
        return request
    moved = _closest(spec, request, _FIT, up=fit == "at_least")
    return request if moved is None else moved


def _closest(
    spec: ModelSpec, request: VideoRequest, movable: Iterable[Dimension], *, up: bool = False
) -> VideoRequest | None:
    """The admitted request nearest to this one when only ``movable`` fields may change; None when there is none."""
    present = present_inputs(request)
    movable = tuple(movable)
    best: tuple[float, VideoRequest] | None = None
    for mode in spec.modes:
        if not _takes_inputs(mode, request, present):
            continue
        new: dict[str, Any] = {}
        cost = 0.0
        for dim in movable:
            wanted = getattr(request, dim.field)
            if wanted is None or dim.admits(mode, wanted):
                continue
            values = dim.allowed(mode)
            if not isinstance(values, Span) and not values:
                if up:
                    break
                new[dim.field], cost = None, cost + 4.0
                continue
            used = dim.nearest(values, wanted, up=up)
            if used is None:
                break
            new[dim.field] = used
            cost += dim.distance(wanted, used)
        else:
            moved = msgspec.structs.replace(request, **new) if new else request
            if len(movable) == len(DIMENSIONS) and moved.count > mode.count:
                moved = msgspec.structs.replace(moved, count=mode.count)
                cost += 1.0
            if _admits(mode, moved, present) and (best is None or cost < best[0]):
                best = (cost, moved)
    return None if best is None else best[1]


def nearest_request(spec: ModelSpec, request: VideoRequest) -> VideoRequest | None:
    """The nearest request that this model accepts, changing values but never inputs; None when there is none."""
    moved = _closest(spec, request, DIMENSIONS)
    if moved is None:
        return None
    drop: dict[str, Any] = {}
    for violation in offer_violations(spec, moved):
        name = violation.field
        if name in ("seed", "negative_prompt"):
            drop[name] = violation.nearest
        elif name == "camera":
            drop["camera"] = tuple(violation.nearest or ())
        elif name.startswith("options."):
            provider_options = dict(drop.get("options", moved.options).get(spec.provider, {}))
            key = name.split(".", 2)[2]
            if violation.nearest is None:
                provider_options.pop(key, None)
            else:
                provider_options[key] = violation.nearest
            drop["options"] = {**drop.get("options", moved.options), spec.provider: provider_options}
        else:
            return None
    moved = msgspec.structs.replace(moved, **drop) if drop else moved
    return moved if not list(_violations(spec, moved)) else None


# --- check ------------------------------------------------------------------------------------------------------


def check(spec: ModelSpec, request: VideoRequest) -> list[Violation]:
    """Every rule of ``spec`` that ``request`` breaks; empty when it is valid."""
    violations = list(_violations(spec, request))
    if not violations:
        return []
    near = nearest_request(spec, request)
    if near is None:
        return violations
    before, after = request.given(), near.given()
    changes = {key: after.get(key) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return [msgspec.structs.replace(v, nearest_request=changes) for v in violations]


def unsupported(spec: ModelSpec, violations: Sequence[Violation]) -> UnsupportedRequestError:
    """The error that carries ``violations``, with the nearest valid request as its hint."""
    near = violations[0].nearest_request
    hint = None
    if near is not None:
        hint = "The nearest request that works: " + ", ".join(f"{k}={shown(v)}" for k, v in sorted(near.items())) + "."
    return UnsupportedRequestError(
        f"{spec.id} cannot do this: " + " ".join(violation.message for violation in violations),
        violations=violations,
        hint=hint,
    )


def shown(value: Any) -> str:
    """A value as messages write it: 8 rather than 8.0, quotes around text."""
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return repr(value)


def describe(values: Values) -> str:
    """Allowed values as a phrase."""
    if isinstance(values, Span):
        step = "" if values.step is None else f" in steps of {values.step:g}"
        return f"{values.min:g} to {values.max:g}{step}"
    return ", ".join(
        f"{v:g}" if isinstance(v, float) else str(v).lower() if isinstance(v, bool) else str(v) for v in values
    )


def _violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
    yield from _mode_violations(spec, request)
    yield from offer_violations(spec, request)


def _mode_violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
    present = present_inputs(request)
    if any(_admits(mode, request, present) for mode in spec.modes):
        return
    of_task = [mode for mode in spec.modes if request.task in mode.tasks]
    if not of_task:
        yield Violation(
            field="task",
            value=request.task.value,
            allowed=[task.value for task in spec.tasks],
            nearest=None,
            message=f"task: it cannot do {request.task.value}; it does {', '.join(spec.tasks) or 'nothing any more'}.",
        )
        return
    fitting = [mode for mode in of_task if _takes_inputs(mode, request, present)]
    if not fitting:
        yield _input_violation(of_task, request, present)
        fitting = of_task
    # Blame the mode that is left with the fewest broken fields; what is allowed is said given the other fields.
    yield from min((list(_field_violations(mode, fitting, request)) for mode in fitting), key=len)


def _input_violation(modes: list[Mode], request: VideoRequest, present: frozenset[str]) -> Violation:
    most = max(mode.reference_images for mode in modes)
    if request.reference_images and len(request.reference_images) > most > 0:
        return Violation(
            field="reference_images",
            value=len(request.reference_images),
            allowed=most,
            nearest=None,
            message=f"reference_images: {len(request.reference_images)} given, at most {most} allowed.",
        )
    wanted = sorted({" and ".join(mode.required(request.task)) or "no media" for mode in modes})
    extra = sorted({name for mode in modes for name in mode.allows})
    given = " and ".join(sorted(present)) or "no media"
    optional = f" (optionally with {', '.join(extra)})" if extra else ""
    return Violation(
        field="inputs",
        value=sorted(present),
        allowed=wanted,
        nearest=None,
        message=f"inputs: {request.task.value} takes {' or '.join(wanted)}{optional}, got {given}.",
    )


def _field_violations(mode: Mode, modes: list[Mode], request: VideoRequest) -> Iterable[Violation]:
    for dim in DIMENSIONS:
        value = getattr(request, dim.field)
        if dim.admits(mode, value):
            continue
        values = dim.allowed(mode)
        if not isinstance(values, Span) and not values:
            yield Violation(
                field=dim.field,
                value=value,
                allowed=None,
                nearest=None,
                message=f"{dim.field}: it cannot be set for {request.task.value}; leave it out.",
            )
            continue
        others = [o for o in DIMENSIONS if o is not dim]
        condition = _condition(dim, modes, request, others)
        near = dim.nearest(values, value)
        yield Violation(
            field=dim.field,
            value=value,
            allowed=msgspec.to_builtins(values),
            nearest=near,
            message=f"{dim.field}: {shown(value)} is not possible{condition}; allowed: {describe(values)}.",
        )
    if request.count > mode.count:
        yield Violation(
            field="count",
            value=request.count,
            allowed=mode.count,
            nearest=mode.count,
            message=f"count: {request.count} clips in one call, at most {mode.count} allowed.",
        )


def _condition(dim: Dimension, modes: list[Mode], request: VideoRequest, others: list[Dimension]) -> str:
    """ " with resolution='1080p'" when another mode would allow the value but for that field."""
    value = getattr(request, dim.field)
    for mode in modes:
        if not dim.admits(mode, value):
            continue
        clash = [o for o in others if not o.admits(mode, getattr(request, o.field))]
        if clash:
            return " with " + ", ".join(f"{o.field}={shown(getattr(request, o.field))}" for o in clash)
    return ""


def offer_violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
    """Broken rules that hold in every mode: prompt, seed, negative prompt, camera, options, media limits."""
    yield from _prompt_violations(spec, request)
    if request.seed is not None and (spec.seed is None or request.seed > spec.seed):
        allowed = None if spec.seed is None else f"0 to {spec.seed}"
        yield Violation(
            field="seed",
            value=request.seed,
            allowed=allowed,
            nearest=None if spec.seed is None else spec.seed,
            message="seed: it takes no seed." if allowed is None else f"seed: {request.seed} is not in {allowed}.",
        )
    if request.negative_prompt is not None and not spec.negative_prompt:
        yield Violation(
            field="negative_prompt",
            value=request.negative_prompt,
            allowed=None,
            nearest=None,
            message="negative_prompt: it has none; say in the prompt what to show instead.",
        )
    known = spec.camera.moves if spec.camera else ()
    unknown = [move for move in request.camera if move not in known]
    if unknown:
        yield Violation(
            field="camera",
            value=unknown,
            allowed=list(known),
            nearest=[move for move in request.camera if move in known],
            message=f"camera: {', '.join(map(repr, unknown))} not understood; "
            + (f"it knows {', '.join(known)}." if known else "it takes no camera moves; describe them in the prompt."),
        )
    yield from _option_violations(spec, request)
    for name, media in request.media():
        yield from _media_violations(name, media, spec.video if name == "video" else spec.image)


_MEASURE: dict[str, Callable[[str], int]] = {
    "characters": len,
    "utf16": lambda text: len(text.encode("utf-16-le")) // 2,
    "bytes": lambda text: len(text.encode()),
    "tokens": lambda text: len(text.split()),
}


def _prompt_violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
    limits = spec.prompt
    if not request.prompt.strip():
        if request.task in limits.required_for:
            yield Violation(
                field="prompt",
                value="",
                allowed="some text",
                nearest=None,
                message=f"prompt: {request.task.value} needs one.",
            )
        return
    for field in ("prompt", "negative_prompt"):
        text = getattr(request, field)
        if not text:
            continue
        length = _MEASURE[limits.unit](text)
        if (limits.max is not None and length > limits.max) or (field == "prompt" and length < limits.min):
            bounds = f"{limits.min} to {limits.max}" if limits.min else f"at most {limits.max}"
            yield Violation(
                field=field,
                value=length,
                allowed=f"{bounds} {limits.unit}",
                nearest=None,
                message=f"{field}: {length} {limits.unit}, {bounds} allowed.",
            )


_OPTION_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def _option_violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
    given = request.options.get(spec.provider, {})
    for name, value in given.items():
        field = f"options.{spec.provider}.{name}"
        if name not in spec.options:
            yield Violation(
                field=field,
                value=value,
                allowed=sorted(spec.options),
                nearest=None,
                message=f"{field}: unknown option; it has {', '.join(sorted(spec.options)) or 'none'}.",
            )
        elif (problem := _option_problem(spec.options[name], value)) is not None:
            allowed, nearest = problem
            yield Violation(
                field=field,
                value=value,
                allowed=allowed,
                nearest=nearest,
                message=f"{field}: {shown(value)} is not possible; allowed: {allowed}.",
            )
    for name, option in spec.options.items():
        if option.required and name not in given:
            field = f"options.{spec.provider}.{name}"
            yield Violation(
                field=field, value=None, allowed=option.type, nearest=None, message=f"{field}: it must be given."
            )


def _option_problem(option: OptionSpec, value: Any) -> tuple[str, Any] | None:
    """What is allowed and the nearest value, when ``value`` breaks ``option``; None when it does not."""
    types = _OPTION_TYPES[option.type]
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return f"a value of type {option.type}", None
    if option.choices and value not in option.choices:
        return ", ".join(shown(choice) for choice in option.choices), None
    low, high = option.min, option.max
    measured = len(value) if isinstance(value, (str, list, dict)) else value
    if (low is None or measured >= low) and (high is None or measured <= high):
        return None
    bounds = " and ".join(
        text for bound, text in ((low, f"at least {low or 0:g}"), (high, f"at most {high or 0:g}")) if bound is not None
    )
    if option.type in ("string", "array", "object"):
        return f"{bounds} long", None
    clamped = min(max(value, low if low is not None else value), high if high is not None else value)
    return bounds, int(clamped) if option.type == "integer" else clamped


def _media_violations(name: str, media: Media, limits: MediaLimits) -> Iterable[Violation]:
    def broken(what: str, value: Any, allowed: str) -> Violation:
        return Violation(
            field=name,
            value=value,
            allowed=allowed,
            nearest=None,
            message=f"{name}: {what} {value}, allowed: {allowed}.",
        )

    if media.url is not None:
        scheme = media.url.partition("://")[0].lower()
        if scheme not in limits.schemes:
            yield broken("address scheme", scheme, ", ".join(limits.schemes) or "no addresses")
    if media.mime_type is not None and limits.formats and media.mime_type not in limits.formats:
        yield broken("format", media.mime_type, ", ".join(limits.formats))
    if media.size is not None and limits.max_bytes is not None and media.size > limits.max_bytes:
        yield broken("bytes", media.size, f"at most {limits.max_bytes}")
    if media.width and media.height:
        sides = sorted((media.width, media.height))
        if limits.min_side is not None and sides[0] < limits.min_side:
            yield broken("shorter side", sides[0], f"at least {limits.min_side} pixels")
        if limits.max_side is not None and sides[1] > limits.max_side:
            yield broken("longer side", sides[1], f"at most {limits.max_side} pixels")
        ratio = media.width / media.height
        low, high = limits.min_ratio or 0.0, limits.max_ratio or math.inf
        if not low <= ratio <= high:
            yield broken("width / height", round(ratio, 3), f"{low:g} to {high:g}")
    if media.duration is not None:
        shortest, longest = limits.min_duration or 0.0, limits.max_duration or math.inf
        if not shortest <= media.duration <= longest:
            yield broken("seconds", round(media.duration, 2), f"{shortest:g} to {longest:g}")


def frame_size(spec: ModelSpec, request: VideoRequest) -> tuple[int, int] | None:
    """Width and height in pixels of what a resolved request will give; None where only the provider knows.

    The resolution names the shorter side; sides are rounded to even numbers.
    """
    if request.resolution is None or request.aspect_ratio in (None, "auto"):
        return None
    listed = spec.sizes.get(request.resolution, {}).get(request.aspect_ratio or "")
    if listed is not None:
        return listed
    short = resolution_height(request.resolution)
    if not short:
        return None
    shape = _shape(request.aspect_ratio or "")
    long_side = 2 * round(short * max(shape, 1 / shape) / 2)
    return (long_side, short) if shape >= 1 else (short, long_side)
