"""One model in detail: what it takes, what it costs, where that was read."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from videogen_core import MediaLimits, Mode, ModelSpec, OptionSpec, Price, Span

from .screen import Screen
from .tables import Column, facts, show_table
from .words import dollars, plain, seconds, size

__all__ = ["show_model"]


def show_model(screen: Screen, offers: Sequence[ModelSpec], not_ready: dict[str, str]) -> None:
    """Print every offer of a model."""
    for number, spec in enumerate(offers):
        if number:
            screen.line("")
        _heading(screen, f"{spec.id}  {spec.title}".rstrip())
        facts(screen, _facts(spec, not_ready.get(spec.provider, not_ready.get(spec.id))))
        _modes(screen, spec)
        _prices(screen, spec)
        _options(screen, spec)


def _heading(screen: Screen, text: str) -> None:
    screen.out.print(text, style="bold", markup=False, highlight=False)


def _facts(spec: ModelSpec, not_ready: str | None) -> list[tuple[str, str]]:
    life, prompt, latency = spec.lifecycle, spec.prompt, spec.latency
    stage = life.stage_on(datetime.now(UTC).date()).value
    dates = [("released", life.released), ("deprecated", life.deprecated), ("retired", life.retired)]
    history = [f"{word} {day}" for word, day in dates if day is not None]
    history += [f"replaced by {life.replaced_by}"] if life.replaced_by else []
    return [
        ("model", spec.name),
        ("maker", f"{spec.maker}{', the provider itself' if spec.first_party else ''}"),
        ("aliases", ", ".join(spec.aliases)),
        ("tier", spec.tier.value),
        ("stage", ", ".join([stage, *history])),
        ("known", _outline(spec)),
        ("note", life.note or ("makes placeholders, no real video" if spec.placeholder else "")),
        ("ready", _ready(spec, not_ready)),
        ("takes", _latency(latency.typical, latency.slow) if latency else "unknown"),
        ("prompt", "" if prompt.max is None else f"at most {prompt.max:,} {prompt.unit}"),
        ("image", _media(spec.image)),
        ("video", _media(spec.video)),
        *([] if spec.outline else _extras(spec)),
        ("defaults", ", ".join(f"{key} {value}" for key, value in _defaults(spec))),
        ("licence", _licence(spec)),
        ("source", f"{spec.source}, read on {spec.as_of}"),
    ]


def _outline(spec: ModelSpec) -> str:
    """What is known of a model that is known in outline only."""
    if spec.outline is None:
        return ""
    known = [", ".join(task.value for task in spec.tasks), spec.outline.note or ""]
    return "; ".join(["in outline only", *(each for each in known if each)])


def _ready(spec: ModelSpec, not_ready: str | None) -> str:
    reasons = [reason for reason in (spec.unknown, not_ready) if reason]
    return f"no: {'; '.join(reasons)}" if reasons else "yes"


def _extras(spec: ModelSpec) -> list[tuple[str, str]]:
    return [
        ("seed", "no" if spec.seed is None else f"0 to {spec.seed:,}"),
        ("negative prompt", _negative_prompt(spec)),
        ("camera", _camera(spec)),
    ]


def _licence(spec: ModelSpec) -> str:
    if spec.license is None:
        return ""
    terms = [spec.license.name, *spec.license.limits, spec.license.note, spec.license.url or ""]
    return "; ".join(term for term in terms if term)


def _camera(spec: ModelSpec) -> str:
    if spec.camera is None:
        return "no"
    option = spec.camera.option
    return ", ".join(spec.camera.moves) + (f"; in words, with {spec.provider}.{option}=true" if option else "")


def _negative_prompt(spec: ModelSpec) -> str:
    if isinstance(spec.negative_prompt, str):
        return f"folded into the prompt, with {spec.provider}.{spec.negative_prompt}=true"
    return "yes" if spec.negative_prompt else "no"


def _latency(typical: float, slow: float | None) -> str:
    return f"about {seconds(typical)}" + (f", in a bad hour {seconds(slow)}" if slow else "")


def _defaults(spec: ModelSpec) -> list[tuple[str, str]]:
    values = ((name, getattr(spec.default, name)) for name in spec.default.__struct_fields__)
    return [(name.replace("_", " "), plain(value)) for name, value in values if value is not None]


def _media(limits: MediaLimits) -> str:
    parts = [", ".join(name.partition("/")[2] for name in limits.formats)]
    parts += [f"at most {size(limits.max_bytes)}"] if limits.max_bytes else []
    parts += [f"sides {limits.min_side or 1} to {limits.max_side or 'any'} px"] * bool(
        limits.min_side or limits.max_side
    )
    parts += [f"shape {limits.min_ratio or 0:g} to {limits.max_ratio or 'any'}"] * bool(
        limits.min_ratio or limits.max_ratio
    )
    parts += [f"at most {seconds(limits.max_duration)}"] if limits.max_duration else []
    return "; ".join(part for part in parts if part)


def _modes(screen: Screen, spec: ModelSpec) -> None:
    if not spec.modes:
        return
    screen.line("")
    modes = spec.modes
    show_table(
        screen,
        [
            Column("modes", [" ".join(task.value for task in mode.tasks) for mode in modes], wrap=18),
            Column("seconds", [_values(mode.durations) for mode in modes], wrap=8),
            Column("resolutions", [" ".join(mode.resolutions) for mode in modes], wrap=11),
            Column("shapes", [" ".join(mode.aspect_ratios) for mode in modes], wrap=9, spare=1),
            Column("audio", [_audio(mode) for mode in modes]),
            Column("fps", [_values(mode.fps) for mode in modes], wrap=8, spare=2),
            Column("clips", [str(mode.count) for mode in modes], spare=4),
            Column("inputs", [_inputs(mode) for mode in modes], wrap=12, spare=3),
        ],
    )


def _values(values: tuple[float, ...] | Span) -> str:
    if isinstance(values, Span):
        step = f" by {values.step:g}" if values.step else ""
        return f"{values.min:g}-{values.max:g}{step}"
    return " ".join(f"{value:g}" for value in values)


def _audio(mode: Mode) -> str:
    return "optional" if len(mode.audio) > 1 else "always" if mode.audio[0] else "no"


def _inputs(mode: Mode) -> str:
    names = dict.fromkeys(name for task in mode.tasks for name in (*mode.required(task), *mode.allows))
    most = {"reference_images": f"reference_images (up to {mode.reference_images})"}
    return " ".join(most.get(name, name) for name in names)


def _prices(screen: Screen, spec: ModelSpec) -> None:
    screen.line("")
    prices = spec.prices
    if not prices:
        screen.line("No price is known. You can add one in videogen.toml.")
        return
    show_table(
        screen,
        [
            Column("prices", [price.label or price.kind for price in prices], wrap=12),
            Column("amount", [_amount(price) for price in prices], right=True),
            Column("unit", [price.unit.replace("_", " ") for price in prices]),
            Column("when", [_condition(price) for price in prices], wrap=16),
            Column("read on", [str(price.as_of or spec.as_of) for price in prices], spare=1),
            Column("source", [price.source or spec.source for price in prices], wrap=24, spare=2),
        ],
    )


def _amount(price: Price) -> str:
    if price.currency == "credit":
        low = "" if price.low is None else f"{price.low}-"
        return f"{low}{price.amount} credits at {dollars(price.credit_usd)}"
    return dollars(price.amount) if price.low is None else f"{dollars(price.low)}-{dollars(price.amount)}"


def _condition(price: Price) -> str:
    parts = [*(task.value for task in price.tasks), *price.resolutions]
    parts += [f"{length:g} s" for length in price.durations]
    parts += [] if price.audio is None else ["with audio" if price.audio else "silent"]
    parts += [f"{name}={value}" for name, value in price.options.items()]
    parts += [f"{price.free} free"] * bool(price.free)
    return ", ".join(parts) or "always"


def _options(screen: Screen, spec: ModelSpec) -> None:
    if not spec.options:
        return
    screen.line("")
    options = list(spec.options.items())
    show_table(
        screen,
        [
            Column("options", [f"{spec.provider}.{name}" for name, _ in options]),
            Column("type", [option.type for _, option in options], spare=1),
            Column("values", [_allowed(option) for _, option in options], wrap=16),
            Column("default", ["" if o.default is None else plain(o.default) for _, o in options], spare=2),
            Column("meaning", [option.description for _, option in options], wrap=24),
        ],
    )


def _allowed(option: OptionSpec) -> str:
    if option.choices:
        return " ".join(str(choice) for choice in option.choices)
    if option.min is None and option.max is None:
        return ""
    low = "any" if option.min is None else plain(option.min)
    return f"{low} to {'any' if option.max is None else plain(option.max)}"
