"""What a clip costs on the user's own machine: seconds of a device, at what an hour of it costs them.

``[providers.local]`` says what an hour costs, as ``gpu_hourly_usd`` (rented, or what they reckon their own at) or as
``watts`` and ``kwh_usd`` (electricity alone). Neither means that the cost is unknown, never that it is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from videogen_core import ConfigurationError, ModelSpec, VideoRequest, frame_size
from videogen_core.spec import Latency, Mode, Price, Span

from .configs import Dimensions
from .families import Family
from .rows import clip_of, family_of
from .timing import PUBLISHED, Timings, sizes_of, work

__all__ = ["charge", "per_second", "priced", "tailored"]

_LABEL = "this machine"
_SCALED = "the catalogue's, for as much more or less work"
_HOUR = 3600
_NEVER = 10**9  # seconds, which a row cannot hold
_EXACT = Decimal("0.0000000001")


def per_second(settings: Mapping[str, Any]) -> Decimal | None:
    """USD per second of one device; None when the settings do not say.

    Raises:
        ConfigurationError: A figure is no amount, or only half of a pair is there.
    """
    hourly = _amount(settings, "gpu_hourly_usd")
    watts, kwh = _amount(settings, "watts"), _amount(settings, "kwh_usd")
    if hourly is not None:
        return (hourly / _HOUR).quantize(_EXACT)
    if (watts is None) != (kwh is None):
        raise ConfigurationError(
            "providers.local: watts and kwh_usd go together.",
            hint="Write what the device draws under load, and what a kilowatt hour costs in USD.",
        )
    if watts is None or kwh is None:
        return None
    return (watts / 1000 * kwh / _HOUR).quantize(_EXACT)


def _amount(settings: Mapping[str, Any], name: str) -> Decimal | None:
    value = settings.get(name)
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(value, bool) or not amount.is_finite() or not 0 <= amount < 10**6:
        raise ConfigurationError(f"providers.local.{name}: {value!r} is no amount.", hint=f"Write {name} = 0.60.")
    return amount


def charge(seconds: float, settings: Mapping[str, Any]) -> Decimal | None:
    """What so many seconds of one device cost, to a millionth of a dollar; None when nobody knows."""
    rate = per_second(settings)
    return None if rate is None else (rate * Decimal(repr(seconds))).quantize(Decimal("0.000001"))


def priced(spec: ModelSpec, settings: Mapping[str, Any], timings: Timings) -> ModelSpec:
    """An offer with the prices that the user's own figures make; without prices where they are not known.

    Raises:
        ConfigurationError: A figure of the settings is no amount.
    """
    rate = per_second(settings)
    if rate is None or spec.prices:
        return spec
    # a device that would take decades has no price
    prices = tuple(_price(spec, rate, *found) for found in _seconds(spec, settings, timings) if found[2] < _NEVER)
    return msgspec.structs.replace(spec, prices=prices) if prices else spec


def _price(spec: ModelSpec, rate: Decimal, resolution: str | None, low: float, high: float) -> Price:
    return Price(
        amount=rate,
        unit="gpu_second",
        resolutions=(resolution,) if resolution else (),
        gpu_seconds=(Decimal(f"{low:.9f}"), Decimal(f"{high:.9f}")),
        label=_LABEL,
        source="[providers.local], times what jobs took here or what is published",
        as_of=spec.as_of,
    )


def tailored(spec: ModelSpec, request: VideoRequest, settings: Mapping[str, Any], timings: Timings) -> ModelSpec:
    """An offer with the price and the latency of one request: its own steps, frames, size and guidance.

    Args:
        spec: The offer, priced in general.
        request: With every default written out.
        settings: ``[providers.local]``.
        timings: What jobs took here.
    """
    family, sizes, options = family_of(spec), sizes_of(spec.vendor), request.options.get(spec.provider, {})
    if family is None or sizes is None:
        return spec
    clip = clip_of(spec, family, request, options)
    guided = (options.get("guidance_scale", family.guidance) or 0) > 1
    operations = _operations(
        family,
        sizes,
        clip.frames,
        (clip.width, clip.height),
        steps=options.get("steps") or family.steps,
        passes=family.passes if guided else 1,
    )
    low, high = _taking(spec, operations, settings, timings)
    usual = request.duration is not None and _operations(
        family, sizes, family.frames_for(request.duration), frame_size(spec, request) or family.size
    )
    return msgspec.structs.replace(
        spec,
        prices=_own_prices(spec, request, low, high),
        latency=_own_latency(spec, low, high)
        if _known(spec, settings, timings)
        else _as_much_longer(spec, operations / usual if usual else 1.0),
    )


def _own_prices(spec: ModelSpec, request: VideoRequest, low: float, high: float) -> tuple[Price, ...]:
    """Prices that were worked out here, for one request; those that the user wrote stand."""
    if not spec.prices or any(price.label != _LABEL for price in spec.prices) or not request.duration:
        return spec.prices
    if high / request.duration >= _NEVER:
        return ()
    return (_price(spec, spec.prices[0].amount, None, low / request.duration, high / request.duration),)


def _own_latency(spec: ModelSpec, low: float, high: float) -> Latency:
    """Loading left out: a second job does not load."""
    told = "what jobs took here, or what is published of the device"
    return Latency(typical=(low + high) / 2, slow=high, source=told, as_of=spec.as_of)


def _as_much_longer(spec: ModelSpec, factor: float) -> Latency | None:
    """What the row says, which is of the usual steps and frames, for so many times the work."""
    latency = spec.latency
    if latency is None or factor == 1 or latency.source == _SCALED:
        return latency
    slow = None if latency.slow is None else latency.slow * factor
    return Latency(typical=latency.typical * factor, slow=slow, source=_SCALED, as_of=latency.as_of)


def _taking(spec: ModelSpec, operations: float, settings: Mapping[str, Any], timings: Timings) -> tuple[float, float]:
    """Seconds that so much work takes, least and most."""
    speeds = _speeds(spec, settings, timings)
    rest = 1.0 + max((timings.rest(model=spec.id, device=name) for name in speeds), default=0.15)
    slowest, quickest = min(low for low, _ in speeds.values()), max(high for _, high in speeds.values())
    return operations * rest / quickest, operations * rest / slowest


def _known(spec: ModelSpec, settings: Mapping[str, Any], timings: Timings) -> bool:
    """Whether it is known which device will do it, and how quick that is."""
    return _speeds(spec, settings, timings) != dict(PUBLISHED)


def _seconds(spec: ModelSpec, settings: Mapping[str, Any], timings: Timings) -> list[tuple[str | None, float, float]]:
    """Device seconds per second of output, least and most, by resolution; empty where it cannot be worked out."""
    family, sizes = family_of(spec), sizes_of(spec.vendor)
    durations = _durations(spec.modes)
    if family is None or sizes is None or durations is None:
        return []
    found = []
    for resolution, shapes in spec.sizes.items() or {None: {"": family.size}}.items():
        each = [
            _operations(family, sizes, family.frames_for(duration), size) / duration
            for duration in durations
            for size in shapes.values()
        ]
        ends = _taking(spec, min(each), settings, timings)[0], _taking(spec, max(each), settings, timings)[1]
        found.append((resolution, *ends))
    return found


def _speeds(spec: ModelSpec, settings: Mapping[str, Any], timings: Timings) -> dict[str, tuple[float, float]]:
    """The speed of the device that will do it, by its name: the one that is set, else the last one that did a job."""
    named = settings.get("gpu")
    devices = [str(named)] if named else timings.devices()[:1]
    known = {name: speed for name in devices if (speed := timings.speed(model=spec.id, device=name)) is not None}
    return known or dict(PUBLISHED)


def _operations(
    family: Family,
    sizes: tuple[int, int, int],
    frames: int,
    pixels: tuple[int, int],
    *,
    steps: int | None = None,
    passes: int | None = None,
) -> float:
    numbers, hidden, layers = sizes
    size = Dimensions(compression=family.compression, hidden=hidden, layers=layers)
    tokens = family.compression.tokens(frames, *pixels)
    return work(size, numbers, tokens, steps=steps or family.steps, passes=passes or family.passes)


def _durations(modes: tuple[Mode, ...]) -> tuple[float, float] | None:
    """The shortest and the longest clip of all modes; None where the length follows a source."""
    ends = []
    for mode in modes:
        values = mode.durations
        ends += [values.min, values.max] if isinstance(values, Span) else list(values)
    return (min(ends), max(ends)) if ends else None
