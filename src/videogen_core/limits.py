"""Rules that hold in every mode of an offer: prompt, seed, negative prompt, camera, options, input files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from .request import Media, VideoRequest
from .spec import MediaLimits, ModelSpec, OptionSpec, Span

__all__ = ["Violation", "advice", "number", "offer_violations", "plain", "shown"]


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
    nearest: Any = None
    message: str
    nearest_request: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


def plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else msgspec.to_builtins(value)


def shown(value: Any) -> str:
    """A value as messages write it: 8 rather than 8.0, quotes around text, never very long."""
    text = number(value) if isinstance(value, float) else repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def number(value: float) -> str:
    """A number without a needless fraction or exponent."""
    return f"{value:.15g}"


def offer_violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
    """Broken rules that hold in every mode: prompt, seed, negative prompt, camera, options, media limits."""
    yield from _prompt_violations(spec, request)
    if request.seed is not None and (spec.seed is None or request.seed > spec.seed):
        allowed = None if spec.seed is None else f"0 to {spec.seed}"
        yield Violation(
            field="seed",
            value=request.seed,
            allowed=allowed,
            nearest=spec.seed,
            message="seed: it takes no seed." if allowed is None else f"seed: {request.seed} is not in {allowed}.",
        )
    if request.negative_prompt is not None and not _allowed(spec.negative_prompt, spec, request):
        yield Violation(
            field="negative_prompt",
            value=request.negative_prompt,
            allowed=None,
            message="negative_prompt: it has none; say in the prompt what to show instead"
            f"{_permission(spec.negative_prompt, spec, 'fold it in')}.",
        )
    yield from _camera_violations(spec, request)
    yield from _option_violations(spec, request)
    for name, media in request.media():
        yield from _media_violations(name, media, spec.video if name == "video" else spec.image)


def _allowed(takes: bool | str, spec: ModelSpec, request: VideoRequest) -> bool:
    """Whether the model takes a field, or the option that is named lets the plugin say it in the prompt."""
    return request.options.get(spec.provider, {}).get(takes) is True if isinstance(takes, str) else takes


def _permission(takes: bool | str, spec: ModelSpec, what: str) -> str:
    return f", or allow options={{{spec.provider!r}: {{{takes!r}: True}}}} to {what}" if isinstance(takes, str) else ""


def _camera_violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
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
    takes = spec.camera.option if spec.camera else None
    if request.camera and takes is not None and not _allowed(takes, spec, request):
        yield Violation(
            field="camera",
            value=list(request.camera),
            allowed=None,
            message="camera: it has no commands for camera moves; describe them in the prompt"
            f"{_permission(takes, spec, 'have them said there')}.",
        )


def advice(spec: ModelSpec, request: VideoRequest) -> tuple[str, ...]:
    """What is allowed and yet unwise, as sentences: more camera moves at once than work well."""
    most = spec.camera.advised if spec.camera else None
    if most is None or len(request.camera) <= most:
        return ()
    return (f"camera: {len(request.camera)} moves at once; {spec.title or spec.id} works well with up to {most}.",)


_MEASURE: dict[str, Callable[[str], int]] = {
    "characters": len,
    "utf16": lambda text: len(text.encode("utf-16-le")) // 2,
    "bytes": lambda text: len(text.encode()),
    "tokens": lambda text: len(text.split()),
}


def _prompt_violations(spec: ModelSpec, request: VideoRequest) -> Iterable[Violation]:
    limits = spec.prompt
    blank = not request.prompt.strip()
    if blank and request.task in limits.required_for:
        yield Violation(
            field="prompt",
            value="",
            allowed="some text",
            message=f"prompt: {request.task.value} needs one.",
        )
    for field, text, least in (
        ("prompt", "" if blank else request.prompt, limits.min),
        ("negative_prompt", request.negative_prompt if spec.negative_prompt else None, 0),
    ):
        if not text:
            continue
        length = _MEASURE[limits.unit](text)
        if length < least or (limits.max is not None and length > limits.max):
            ends = (f"at least {least}" if least else "", f"at most {limits.max}" if limits.max is not None else "")
            allowed = " and ".join(end for end in ends if end) + f" {limits.unit}"
            yield Violation(
                field=field,
                value=length,
                allowed=allowed,
                message=f"{field}: it has {length}; allowed: {allowed}.",
            )


def _length(value: Any) -> Any:
    return len(value) if isinstance(value, (str, list, dict)) else value


_SIZED = ("string", "array", "object")
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
            yield Violation(field=field, value=None, allowed=option.type, message=f"{field}: it must be given.")


def _option_problem(option: OptionSpec, value: Any) -> tuple[str, Any] | None:
    """What is allowed and the nearest value, when ``value`` breaks ``option``; None when it does not."""
    if isinstance(value, bool) != (option.type == "boolean") or not isinstance(value, _OPTION_TYPES[option.type]):
        return f"a value of type {option.type}", None
    if option.choices and value not in option.choices:
        return ", ".join(shown(choice) for choice in option.choices), None
    low, high = option.min, option.max
    measured: float = _length(value)
    if (low is None or measured >= low) and (high is None or measured <= high):
        return None if option.step is None else _step_problem(option, option.step, measured)
    ends = (low is not None and f"at least {number(low)}", high is not None and f"at most {number(high)}")
    bounds = " and ".join(end for end in ends if end)
    if option.type in _SIZED:
        return f"{bounds} long", None
    if low is not None and measured < low:
        return bounds, math.ceil(low) if option.type == "integer" else low
    return bounds, math.floor(high or 0) if option.type == "integer" else high


def _step_problem(option: OptionSpec, step: float, value: float) -> tuple[str, Any] | None:
    """As `_option_problem`, for a number within its bounds that may lie between two steps."""
    low = option.min or 0.0
    high = option.max if option.max is not None else low + step * math.ceil((value - low) / step + 1)
    span = Span(min=low, max=high, step=step)
    if value in span:
        return None
    nearest = span.snap(value)
    allowed = f"{number(low)} and steps of {number(step)} from there"
    return allowed, int(nearest) if option.type == "integer" and nearest is not None else nearest


def _media_violations(name: str, media: Media, limits: MediaLimits) -> Iterable[Violation]:
    def broken(what: str, value: Any, allowed: str) -> Violation:
        message = f"{name}: {what} {value}, allowed: {allowed}."
        return Violation(field=name, value=value, allowed=allowed, message=message)

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
            yield broken("width / height", round(ratio, 3), _range(low, high))
    if media.duration is not None:
        shortest, longest = limits.min_duration or 0.0, limits.max_duration or math.inf
        if not shortest <= media.duration <= longest:
            yield broken("seconds", round(media.duration, 2), _range(shortest, longest))


def _range(low: float, high: float) -> str:
    return f"at least {number(low)}" if high == math.inf else f"{number(low)} to {number(high)}"
