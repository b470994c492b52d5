"""Values as people read them, short enough for a table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from videogen_core import ModelSpec, Span, Task, Video, VideoRequest, resolution_height

__all__ = [
    "age",
    "audio_of",
    "clock",
    "dollars",
    "durations_of",
    "fields",
    "moment",
    "plain",
    "price_per_second",
    "rates_per_second",
    "resolutions_of",
    "seconds",
    "size",
    "tasks_of",
    "video_facts",
]

_TASKS = {
    Task.TEXT_TO_VIDEO: "text",
    Task.IMAGE_TO_VIDEO: "image",
    Task.FIRST_LAST_FRAME: "frames",
    Task.REFERENCE_TO_VIDEO: "refs",
    Task.EXTEND_VIDEO: "extend",
    Task.EDIT_VIDEO: "edit",
    Task.UPSCALE_VIDEO: "upscale",
    Task.ANIMATE_CHARACTER: "animate",
    Task.CHANGE_FRAME_RATE: "fps",
    Task.CONVERT_TO_HDR: "hdr",
}


def dollars(amount: Decimal | None) -> str:
    """An amount of US dollars."""
    if amount is None:
        return "unknown"
    if amount == 0:
        return "free"
    exact = amount.normalize()
    return f"${exact:f}" if exact != exact.quantize(Decimal("0.01")) else f"${amount:.2f}"


def seconds(number: float) -> str:
    """A length of time."""
    if number < 60:
        return f"{number:.1f} s" if number < 10 and number != int(number) else f"{number:.0f} s"
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def clock(number: float) -> str:
    """A length of time as a stopwatch shows it."""
    minutes, rest = divmod(int(number), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def age(moment: datetime) -> str:
    """How long ago something was; the date when it is more than a day."""
    passed = (datetime.now(UTC) - moment).total_seconds()
    if passed < 60:
        return f"{max(passed, 0):.0f} s ago"
    if passed < 3600:
        return f"{passed / 60:.0f} min ago"
    return f"{passed / 3600:.0f} h ago" if passed < 86_400 else f"{moment:%Y-%m-%d}"


def moment(when: datetime | None) -> str:
    """A point in time; empty when there is none."""
    return "" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"


def size(count: int) -> str:
    """A number of bytes."""
    number, units = float(count), ["B", "kB", "MB", "GB"]
    while number >= 1000 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.1f} {units[0]}" if number < 10 and units[0] != "B" else f"{number:.0f} {units[0]}"


def tasks_of(spec: ModelSpec) -> str:
    """The kinds of work of an offer, a word each."""
    return " ".join(_TASKS[task] for task in spec.tasks)


def durations_of(spec: ModelSpec) -> str:
    """The lengths of an offer over all its modes."""
    lengths: set[float] = set()
    spans = False
    for mode in spec.modes:
        if isinstance(mode.durations, Span):
            spans = True
            lengths |= {mode.durations.min, mode.durations.max}
        else:
            lengths |= set(mode.durations)
    return _several([f"{length:g}" for length in sorted(lengths)], only_ends=spans)


def resolutions_of(spec: ModelSpec) -> str:
    """The resolutions of an offer over all its modes."""
    names = {name for mode in spec.modes for name in mode.resolutions}
    return _several(sorted(names, key=resolution_height), most=2)


def _several(values: list[str], *, only_ends: bool = False, most: int = 4) -> str:
    if len(values) > most or (only_ends and len(values) > 1):
        return f"{values[0]}-{values[-1]}"
    return " ".join(values)


def audio_of(spec: ModelSpec) -> str:
    """Whether an offer makes sound."""
    kinds = {sound for mode in spec.modes for sound in mode.audio}
    return "optional" if len(kinds) == 2 else "always" if kinds == {True} else "no"


def rates_per_second(spec: ModelSpec) -> tuple[Decimal, Decimal] | None:
    """US dollars per second of output at the cheapest and the dearest setting, without surcharges; None = unknown."""
    rates: list[Decimal] = []
    for price in spec.prices:
        usd = price.credit_usd or Decimal(1)
        if price.kind == "base" and price.unit == "second":
            rates += [(price.low or price.amount) * usd, price.amount * usd]
        elif price.kind == "base" and price.unit == "video":
            rates += [price.amount * usd / Decimal(repr(length)) for length in price.durations]
    return (min(rates), max(rates)) if rates else None


def price_per_second(spec: ModelSpec) -> str:
    """What `rates_per_second` says."""
    rates = rates_per_second(spec)
    if rates is None:
        return "unknown"
    low, high = (rate.quantize(Decimal("0.0001")) for rate in rates)
    return dollars(low) if low == high else f"{dollars(low)}-{dollars(high).removeprefix('$')}"


def plain(value: object) -> str:
    """A value of a catalogue."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:g}"
    return str(value)


def fields(request: VideoRequest) -> list[tuple[str, str]]:
    """What a request asks for, without the prompt."""
    return [(name, _shown(value)) for name, value in request.given().items() if name != "prompt"]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):  # options of providers
        return ", ".join(f"{name}.{key}={item}" for name, table in value.items() for key, item in table.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def video_facts(video: Video) -> str:
    """A file in one line, without its path."""
    facts: Iterable[str | None] = (
        None if video.duration is None else f"{video.duration:g} s",
        None if video.width is None else f"{video.width}x{video.height}",
        None if video.fps is None else f"{video.fps:g} fps",
        "with sound" if video.has_audio else "silent",
        size(video.size),
    )
    return ", ".join(fact for fact in facts if fact is not None)
