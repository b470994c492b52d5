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
from .limits import Violation, number, offer_violations, plain, shown
from .request import Task, VideoRequest
from .spec import Mode, ModelSpec, Span, resolution_height

__all__ = [
    "Change",
    "Fit",
    "Resolved",
    "check",
    "frame_size",
    "nearest_request",
    "present_inputs",
    "resolve",
]

Fit = Literal["exact", "nearest", "at_least"]
"""How far a request may be moved: not at all, to the nearest duration and resolution, or only upwards."""

Values = Sequence[Any] | Span


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A value that ``fit`` moved."""

    field: str
    asked: Any
    used: Any


class Resolved(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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
        """The closest allowed value; with ``up`` the smallest that is not below, or None.

        Of two that are equally close the smaller is meant, of two shapes the one listed first.
        """
        if isinstance(values, Span):
            return values.snap(wanted, up=up)
        pool = [v for v in values if not up or self.rank(v) >= self.rank(wanted)]
        if self.field != "aspect_ratio":
            pool.sort(key=self.rank)
        return min(pool, key=lambda v: round(self.distance(wanted, v), 9), default=None)

    def distance(self, wanted: Any, used: Any) -> float:
        """How far a value was moved, as a share of what was asked, so that fields can be added up."""
        if self.field == "audio":
            return 2.0 * bool(wanted != used)
        low, high = self.rank(wanted), 0.0 if used is None else self.rank(used)
        if not (low and high):
            return 4.0 * bool(wanted != used)
        return abs(math.log(high / low)) if self.field == "aspect_ratio" else abs(high - low) / low


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
    return frozenset(name.partition("[")[0] for name, _ in request.media())


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
    if not values:
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
        kept += getattr(request, dim.field) is None and default is not None and default in dim.allowed(mode)
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
    # A value that was given up is left to a mode that has none; a default must not take its place.
    dropped = [d for d in _FIT if getattr(moved, d.field) is None and getattr(request, d.field) is not None]
    modes = [m for m in spec.modes if _admits(m, moved, present) and not any(d.allowed(m) for d in dropped)]
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
    spec: ModelSpec, request: VideoRequest, movable: tuple[Dimension, ...], *, up: bool = False
) -> VideoRequest | None:
    """The admitted request nearest to this one when only ``movable`` fields may change; None when there is none."""
    present = present_inputs(request)
    moves = [_move(mode, request, movable, up) for mode in spec.modes if _takes_inputs(mode, request, present)]
    return min((m for m in moves if m is not None), key=lambda m: m[0], default=(None, None))[1]


_PER_FIELD = 0.25  # two small moves surprise more than one that is a little larger


def _move(
    mode: Mode, request: VideoRequest, movable: tuple[Dimension, ...], up: bool = False
) -> tuple[tuple[float, ...], VideoRequest] | None:
    """The nearest request whose values a mode admits, with a sort key of how far it was moved."""
    new: dict[str, Any] = {}
    cost = 0.0
    ranks = []
    for dim in DIMENSIONS:
        wanted, values = getattr(request, dim.field), dim.allowed(mode)
        if dim.admits(mode, wanted):
            continue
        used = dim.nearest(values, wanted, up=up) if values else None
        if dim not in movable or (up and used is None):
            return None
        new[dim.field] = used
        cost += _PER_FIELD + dim.distance(wanted, used)
        ranks.append(0.0 if used is None else dim.rank(used))
    if request.count > mode.count:
        if movable is not DIMENSIONS:
            return None
        new["count"] = mode.count
        cost += 1.0
    return (round(cost, 9), *ranks), msgspec.structs.replace(request, **new) if new else request


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
            key = name.removeprefix(f"options.{spec.provider}.")
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
    if spec.outline is not None:
        return [Violation(field="model", value=spec.id, allowed=None, message=f"model: {spec.unknown}.")]
    violations = list(_violations(spec, request))
    if not violations:
        return []
    near = nearest_request(spec, request)
    if near is None:
        return violations
    changes = {
        name: plain(getattr(near, name))
        for name in request.__struct_fields__
        if getattr(near, name) != getattr(request, name)
    }
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


def describe(values: Values) -> str:
    """Allowed values as a phrase."""
    if isinstance(values, Span):
        step = "" if values.step is None else f" in steps of {number(values.step)}"
        return f"{number(values.min)} to {number(values.max)}{step}"
    return ", ".join(v if isinstance(v, str) else shown(v) for v in values)


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
            message=f"task: it cannot do {request.task.value}; it does {', '.join(spec.tasks) or 'nothing any more'}.",
        )
        return
    fitting = [mode for mode in of_task if _takes_inputs(mode, request, present)]
    if not fitting:
        yield from _input_violations(of_task, request, present)
        fitting = [mode for mode in of_task if inputs_admitted(mode, request.task, present)] or of_task
    # Blame the mode that is left with the fewest broken fields, then the one nearest to the request; what is allowed
    # is said given the other fields.
    broken = [(list(_field_violations(mode, fitting, request)), _move(mode, request, DIMENSIONS)) for mode in fitting]
    yield from min(broken, key=lambda pair: (len(pair[0]), pair[1][0] if pair[1] else ()))[0]


def _input_violations(modes: list[Mode], request: VideoRequest, present: frozenset[str]) -> Iterable[Violation]:
    admitting = [mode for mode in modes if inputs_admitted(mode, request.task, present)]
    if not admitting:
        wanted = sorted({" and ".join(mode.required(request.task)) or "no media" for mode in modes})
        extra = sorted({name for mode in modes for name in mode.allows})
        given = " and ".join(sorted(present)) or "no media"
        optional = f" (optionally with {', '.join(extra)})" if extra else ""
        yield Violation(
            field="inputs",
            value=sorted(present),
            allowed=wanted,
            message=f"inputs: {request.task.value} takes {' or '.join(wanted)}{optional}, got {given}.",
        )
    most, given_count = max(mode.reference_images for mode in admitting or modes), len(request.reference_images)
    if given_count > most > 0:
        yield Violation(
            field="reference_images",
            value=given_count,
            allowed=most,
            nearest=most,
            message=f"reference_images: {given_count} given, at most {most} allowed.",
        )


def _field_violations(mode: Mode, modes: list[Mode], request: VideoRequest) -> Iterable[Violation]:
    for dim in DIMENSIONS:
        value = getattr(request, dim.field)
        if dim.admits(mode, value):
            continue
        values = dim.allowed(mode)
        if values:
            allowed, near = plain(values), dim.nearest(values, value)
            condition = _condition(dim, mode, modes, request)
            why = f"{shown(value)} is not possible{condition}; allowed: {describe(values)}."
        else:
            allowed, near, why = None, None, f"it cannot be set for {request.task.value}; leave it out."
        yield Violation(field=dim.field, value=value, allowed=allowed, nearest=near, message=f"{dim.field}: {why}")
    if request.count > mode.count:
        yield Violation(
            field="count",
            value=request.count,
            allowed=mode.count,
            nearest=mode.count,
            message=f"count: {request.count} clips in one call, at most {mode.count} allowed.",
        )


def _condition(dim: Dimension, kept: Mode, modes: list[Mode], request: VideoRequest) -> str:
    """ " with resolution='1080p'" when another mode would take the value, but not that field as ``kept`` does."""
    value = getattr(request, dim.field)
    for mode in modes:
        if not dim.admits(mode, value):
            continue
        given = [(other, getattr(request, other.field)) for other in DIMENSIONS]
        clash = [(other, v) for other, v in given if other.admits(kept, v) and not other.admits(mode, v)]
        if clash:
            return " with " + ", ".join(f"{other.field}={shown(v)}" for other, v in clash)
    return ""


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
