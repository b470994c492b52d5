"""The directory of models: a page of the documentation, written from the catalogues of the installed plugins.

mkdocs runs it as a hook. In ``models.md`` it puts tables in the place of ``<!-- directory: shared -->``, ``current`` and
``leaving``. It reads no configuration and asks no vendor, so the page is the same wherever it is built.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from html import escape
from itertools import groupby
from typing import Any

from videogen_core import Camera, MediaLimits, Mode, ModelSpec, Price, Span, Stage, resolution_height
from videogen_core.cli.words import dollars, durations_of, price_per_second, resolutions_of, seconds, size, tasks_of
from videogen_core.plugins import Plugins

__all__ = ["filled", "offers", "on_page_markdown"]

PAGE = "models.md"
_LEAVING = (Stage.DEPRECATED, Stage.RETIRED)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The hook: mkdocs hands over every page before it becomes HTML."""
    if page.file.src_uri != PAGE:
        return markdown
    return filled(markdown, offers(), datetime.now(UTC).date())


def offers() -> list[ModelSpec]:
    """Every row of every installed plugin's catalogue, by model and provider."""
    plugins = Plugins()
    rows = [spec for name in plugins.names() for spec in plugins.provider(name).models()]
    return sorted(rows, key=lambda spec: (spec.placeholder, spec.name, not spec.first_party, spec.id))


def filled(markdown: str, rows: Sequence[ModelSpec], today: date) -> str:
    """The page's text with its tables in place."""
    current = [spec for spec in rows if spec.lifecycle.stage_on(today) not in _LEAVING]
    leaving = [spec for spec in rows if spec.lifecycle.stage_on(today) in _LEAVING]
    leaving.sort(key=lambda spec: spec.lifecycle.stage_on(today) is Stage.RETIRED)  # keeps the order of names
    tables = {"shared": _shared(current), "current": _table(current, today), "leaving": _table(leaving, today)}
    for name, table in tables.items():
        place = f"<!-- directory: {name} -->"
        if markdown.count(place) != 1:
            raise ValueError(f"{PAGE} needs {place} once")
        markdown = markdown.replace(place, table)
    return markdown


# --- models x providers ------------------------------------------------------------------------------------------


def _shared(rows: Iterable[ModelSpec]) -> str:
    """A row for each model that several providers have: what a second costs at each."""
    models = [(name, list(group)) for name, group in groupby(rows, key=lambda spec: spec.name)]
    several = [(name, group) for name, group in models if len(group) > 1]
    providers = sorted({spec.provider for _, group in several for spec in group})
    head = "".join(f"<th>{provider}</th>" for provider in providers)
    body = []
    for name, group in several:
        at = {spec.provider: spec for spec in group}
        cells = "".join(f"<td>{_price_link(at[p]) if p in at else ''}</td>" for p in providers)
        body.append(f"<tr><td><code>{escape(name)}</code></td>{cells}</tr>")
    return (
        '<div class="vg-wide"><table class="vg-shared">'
        f"<thead><tr><th>Model</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _price_link(spec: ModelSpec) -> str:
    return f'<a href="#{_anchor(spec)}">{escape(_price(spec))}</a>'


# --- one row for each offer --------------------------------------------------------------------------------------


def _table(rows: Iterable[ModelSpec], today: date) -> str:
    heads = ("Model", "Provider", "Tasks", "Seconds", "Sizes", "Price a second", "Stage", "Read")
    body = "".join(_row(spec, heads, today) for spec in rows)
    head = "".join(f"<th>{head}</th>" for head in heads)
    return f'<table class="vg-models"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _row(spec: ModelSpec, heads: Sequence[str], today: date) -> str:
    cells = (
        (spec.name, f"<strong>{escape(spec.title or spec.name)}</strong><code>{escape(spec.id)}</code>{_limits(spec)}"),
        (spec.provider, escape(spec.provider)),
        (str(len(spec.tasks)), " ".join(f"<span>{word}</span>" for word in tasks_of(spec).split())),
        (str(_longest(spec)), escape(durations_of(spec).replace("-", "\N{EN DASH}") or _not_said(spec))),
        (str(_lines(spec)), escape(resolutions_of(spec).replace("-", "\N{EN DASH}") or _not_said(spec))),
        (_price(spec), escape(_price(spec)) + _price_list(spec)),
        (spec.lifecycle.stage_on(today).value, _stage(spec, today)),
        (str(spec.as_of), f"{_source(spec.source)}<br>{spec.as_of}"),
    )
    tds = "".join(
        f'<td data-label="{head}" data-sort="{escape(key, quote=True)}">{shown}</td>'
        for head, (key, shown) in zip(heads, cells, strict=True)
    )
    tasks = " ".join(task.value for task in spec.tasks)
    return f'<tr id="{_anchor(spec)}" data-tasks="{tasks}" data-provider="{spec.provider}">{tds}</tr>'


def _anchor(spec: ModelSpec) -> str:
    return escape(spec.id.replace("/", "--"), quote=True)


def _not_said(spec: ModelSpec) -> str:
    return "?" if spec.outline else ""


def _longest(spec: ModelSpec) -> float:
    ends = (m.durations.max if isinstance(m.durations, Span) else max(m.durations, default=0) for m in spec.modes)
    return max(ends, default=0)


def _lines(spec: ModelSpec) -> int:
    return max((resolution_height(name) for mode in spec.modes for name in mode.resolutions), default=0)


def _stage(spec: ModelSpec, today: date) -> str:
    life = spec.lifecycle
    dates = [("since", life.released), ("deprecated", life.deprecated), ("ends", life.retired)]
    lines = [escape(life.stage_on(today).value), *(f"{word} {day}" for word, day in dates if day is not None)]
    lines += [f"instead: <code>{escape(life.replaced_by)}</code>"] if life.replaced_by else []
    lines += [escape(life.note)] if life.note else []
    return "<br>".join(lines)


def _source(source: str) -> str:
    """Where facts were read, as a link when it is an address and as words when not."""
    if not source.startswith("https://"):
        return escape(source)
    address = escape(source.split()[0].rstrip(",;"), quote=True)
    return f'<a href="{address}">{address.split("/")[2].removeprefix("www.")}</a>'


# --- what it takes -----------------------------------------------------------------------------------------------


def _limits(spec: ModelSpec) -> str:
    known = [f"<li>{escape(line)}</li>" for line in _lines_of_limits(spec)]
    return f"<details><summary>limits</summary><ul>{''.join(known)}</ul></details>" if known else ""


def _lines_of_limits(spec: ModelSpec) -> Iterable[str]:
    yield f"by {spec.maker}" if spec.maker else "maker unknown"
    if spec.outline is not None:
        yield "known in outline only; its provider is asked for the rest when it is named"
        if spec.outline.note:
            yield spec.outline.note
    yield from dict.fromkeys(map(_mode, spec.modes))
    if spec.prompt.max is not None:
        yield f"prompt: at most {spec.prompt.max:,} {spec.prompt.unit}"
    for name, limits in (("image", spec.image), ("clip", spec.video)):
        if shown := _media(limits):
            yield f"{name}: {shown}"
    if spec.seed is not None:
        yield "takes a seed"
    if spec.negative_prompt:
        yield "takes a negative prompt"
    if spec.camera is not None:
        yield _camera(spec.camera)
    if spec.latency is not None:
        yield f"takes about {seconds(spec.latency.typical)}"
    if spec.license is not None:
        yield "licence: " + "; ".join((spec.license.name, *spec.license.limits))
    if spec.marks:
        yield f"marked with {', '.join(spec.marks)}"


def _mode(mode: Mode) -> str:
    parts = [", ".join(task.value for task in mode.tasks)]
    if shown := _numbers(mode.durations):
        parts.append(f"{shown} s")
    parts += [" ".join(values) for values in (mode.resolutions, mode.aspect_ratios) if values]
    parts.append("sound or silent" if len(mode.audio) > 1 else "with sound" if mode.audio[0] else "silent")
    if shown := _numbers(mode.fps):
        parts.append(f"{shown} fps")
    parts += [f"up to {mode.reference_images} reference images"] * bool(mode.reference_images)
    parts += [f"up to {mode.count} clips"] * (mode.count > 1)
    return "; ".join(parts)


def _numbers(values: tuple[float, ...] | Span) -> str:
    if isinstance(values, Span):
        return f"{values.min:g} to {values.max:g}" + (f" by {values.step:g}" if values.step else "")
    return " ".join(f"{value:g}" for value in values)


def _media(limits: MediaLimits) -> str:
    parts = [", ".join(name.partition("/")[2] for name in limits.formats)]
    parts += [f"at most {size(limits.max_bytes)}"] if limits.max_bytes else []
    parts += [f"sides from {limits.min_side} px"] if limits.min_side else []
    parts += [f"sides to {limits.max_side} px"] if limits.max_side else []
    parts += [f"at most {seconds(limits.max_duration)}"] if limits.max_duration else []
    return ", ".join(part for part in parts if part)


def _camera(camera: Camera) -> str:
    shown = ", ".join(camera.moves)
    return f"camera: {shown}" + (f", with the option {camera.option}" if camera.option else "")


# --- what it costs -----------------------------------------------------------------------------------------------


def _price(spec: ModelSpec) -> str:
    """What a second costs, cheapest and dearest; in another unit where there is no price of a second."""
    if spec.prices and all(price.amount == 0 for price in spec.prices):
        return "free"
    per_second = price_per_second(spec)
    if per_second != "unknown":
        return per_second.replace("-", "\N{EN DASH}")
    base = next((price for price in spec.prices if price.kind == "base"), None)
    return "unknown" if base is None else _amount(base)


def _price_list(spec: ModelSpec) -> str:
    rules = [
        f"<li>{escape(_rule(price))} <small>{_source(price.source or spec.source)}, {price.as_of or spec.as_of}</small></li>"
        for price in spec.prices
    ]
    return f"<details><summary>price list</summary><ul>{''.join(rules)}</ul></details>" if rules else ""


def _rule(price: Price) -> str:
    when = [*(task.value for task in price.tasks), *price.resolutions]
    when += [f"{length:g} s" for length in price.durations]
    when += [] if price.audio is None else ["with sound" if price.audio else "silent"]
    when += [f"{name}={value}" for name, value in price.options.items()]
    when += [f"the first {price.free} free"] * bool(price.free)
    more = "plus " if price.kind == "surcharge" else ""
    return f"{more}{_amount(price)}" + (f": {', '.join(when)}" if when else "")


def _amount(price: Price) -> str:
    if price.amount == 0:
        return "free"
    each = price.credit_usd or 1
    low = "" if price.low is None else f"{dollars(price.low * each)}\N{EN DASH}"
    return f"{low}{dollars(price.amount * each)} for a {price.unit.replace('_', ' ')}"
