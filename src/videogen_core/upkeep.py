"""What whoever keeps a catalogue wants to know: what is wrong in it, what is old, and what a change changes. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import msgspec

from .pricing import STALE_AFTER_DAYS, bounds
from .request import VideoRequest
from .spec import Mode, ModelSpec, Price, Span, Stage

__all__ = ["STALE_AFTER_DAYS", "Difference", "Fact", "Remark", "differences", "facts", "lint"]

_GENERAL = ("source", "as_of")


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """Something about an offer that its keeper should mend (``error``) or know (``warning``).

    Attributes:
        offer: ``provider/name``.
        rule: A word for programs.
        level: Whether it is wrong, or only worth a look.
        message: What it is, and what to do.
    """

    offer: str
    rule: str
    level: Literal["error", "warning"]
    message: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was read somewhere, on a day.

    Attributes:
        offer: ``provider/name``.
        what: Which part of the row.
        source: Where.
        as_of: When.
    """

    offer: str
    what: str
    source: str
    as_of: date

    def age(self, today: date) -> int:
        """Days since."""
        return (today - self.as_of).days


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is otherwise in the second of two catalogues.

    Attributes:
        offer: ``provider/name``.
        kind: ``added``, ``removed``, or the kind of thing that changed.
        field: Which key of the row; empty for a whole offer.
        message: For people.
        old: As it was; None = it was not there.
        new: As it is; None = it is gone.
    """

    offer: str
    kind: Literal["added", "removed", "price", "lifecycle", "capability", "fact"]
    field: str
    message: str
    old: Any = None
    new: Any = None


# --- facts ------------------------------------------------------------------------------------------------------


def facts(specs: Iterable[ModelSpec]) -> list[Fact]:
    """Every dated statement of some offers, oldest first: the row, and each part that has a date of its own."""
    found = []
    for spec in specs:
        found.append(_fact(spec, "the row", spec))
        parts: list[tuple[str, Any]] = [("latency", spec.latency), ("lifecycle", spec.lifecycle)]
        parts += [(f"mode {number}", mode) for number, mode in enumerate(spec.modes, 1)]
        parts += [(f"the price {_price_words(price)}", price) for price in spec.prices]
        found += [_fact(spec, what, part) for what, part in parts if part is not None and _dated(part)]
    return sorted(found, key=lambda fact: (fact.as_of, fact.offer, fact.what))


def _dated(part: Any) -> bool:
    return part.source is not None or part.as_of is not None


def _fact(spec: ModelSpec, what: str, part: Any) -> Fact:
    return Fact(offer=spec.id, what=what, source=part.source or spec.source, as_of=part.as_of or spec.as_of)


# --- lint -------------------------------------------------------------------------------------------------------


def lint(specs: Sequence[ModelSpec], *, today: date, days: int = STALE_AFTER_DAYS) -> list[Remark]:
    """What is wrong, or worth a look, in the offers of one catalogue, in their order.

    Args:
        specs: The offers, as they were read; what `parse_catalog` refuses is not looked for again.
        today: UTC date.
        days: Older facts than that are warned of.
    """
    names = {name for spec in specs for name in (spec.id, spec.name, spec.id.partition("/")[2], *spec.aliases)}
    found = []
    for spec in specs:
        for rule, level, message in (
            *_of_sources(spec, today, days),
            *_of_lifecycle(spec, today, names),
            *(_of_live(spec) if spec.lifecycle.stage_on(today) is not Stage.RETIRED else ()),
        ):
            found.append(Remark(offer=spec.id, rule=rule, level=level, message=message))
    return found + list(_of_names(specs))


_Found = Iterator[tuple[str, Literal["error", "warning"], str]]


def _of_sources(spec: ModelSpec, today: date, days: int) -> _Found:
    vague: dict[str, list[str]] = {}
    for fact in facts([spec]):
        if not fact.source.strip():
            yield "source", "error", f"{fact.what} has no source: where was it read?"
        elif "." not in fact.source and fact.what != "latency" and not spec.placeholder:
            vague.setdefault(fact.source, []).append(fact.what)
        if fact.as_of > today:
            yield "date", "error", f"{fact.what} was read on {fact.as_of}, which is yet to come."
        elif fact.age(today) > days:
            yield "stale", "warning", f"{fact.what} was read {fact.age(today)} days ago; look again at {fact.source}."
    for source, parts in vague.items():
        more = f" and {len(parts) - 1} more" if len(parts) > 1 else ""
        yield "source", "warning", f"{parts[0]}{more}: nobody can look up {source!r}. Is there an address?"


def _of_lifecycle(spec: ModelSpec, today: date, names: set[str]) -> _Found:
    life = spec.lifecycle
    dates = [each for each in (life.released, life.deprecated, life.retired) if each is not None]
    if dates != sorted(dates):
        yield "lifecycle", "error", "released, deprecated and retired are not in that order."
    stage = life.stage_on(today)
    if stage is Stage.RETIRED and life.retired is None:
        yield "lifecycle", "error", "it is retired: since when? Write lifecycle.retired."
    if stage in (Stage.RETIRED, Stage.DEPRECATED) and not (life.replaced_by or life.note):
        level: Literal["error", "warning"] = "error" if stage is Stage.RETIRED else "warning"
        yield "lifecycle", level, f"it is {stage.value}: what instead? Write replaced_by, or a note that nothing is."
    if life.retired is not None and life.retired > today:
        left, instead = (life.retired - today).days, f"; use {life.replaced_by}" if life.replaced_by else ""
        yield "retires", "warning", f"it retires on {life.retired}, in {left} days{instead}."
    if life.replaced_by and life.replaced_by not in names and "/" not in life.replaced_by:
        yield "replacement", "warning", f"replaced_by = {life.replaced_by!r} is no model of this catalogue."


def _of_live(spec: ModelSpec) -> _Found:
    for name in ("title", "maker"):
        if not getattr(spec, name):
            yield name, "error", f"it has no {name}."
    if spec.latency is None and not spec.placeholder:
        yield "latency", "error", "it has no latency: write latency = { typical = SECONDS }."
    bases = [price for price in spec.prices if price.kind == "base"]
    if spec.prices and not bases:
        yield "price", "error", "it has surcharges and no base price."
    if any(price.amount == 0 for price in bases) and not spec.placeholder:
        yield "price", "warning", "a base price is zero. Leave prices out where they are not known."
    gaps = list(dict.fromkeys(_gaps(spec))) if bases else []
    if gaps:
        more = f", and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        yield "gap", "warning", f"a mode lists {'; '.join(gaps[:3])}{more}, and no price fits: is it not known?"


def _of_names(specs: Sequence[ModelSpec]) -> Iterator[Remark]:
    owners: dict[str, str] = {}
    for spec in specs:
        for name in dict.fromkeys((spec.id, spec.id.partition("/")[2], *spec.aliases)):
            key = f"{spec.provider} {name.lower()}"
            other = owners.setdefault(key, spec.id)
            if other != spec.id:
                said = f"the name {name!r} means {other} as well."
                yield Remark(offer=spec.id, rule="name", level="error", message=said)


def _gaps(spec: ModelSpec) -> Iterator[str]:
    """Settings that a mode lists and no price rule fits, in words; only of clips whose length can be set."""
    for mode in spec.modes:
        if not mode.durations:
            continue
        for task, duration, resolution, audio in itertools.product(
            mode.tasks, _ends(mode), mode.resolutions or (None,), mode.audio
        ):
            request = VideoRequest(task=task, duration=duration, resolution=resolution, audio=audio)
            if bounds(spec, _filled(spec, request)) is None:
                sound = "with sound" if audio else "silent"
                yield ", ".join(filter(None, (task.value, f"{duration:g} s", resolution, sound)))


def _ends(mode: Mode) -> Sequence[float]:
    span = mode.durations
    return (span.min, span.max) if isinstance(span, Span) else span


def _filled(spec: ModelSpec, request: VideoRequest) -> VideoRequest:
    """With the defaults that a price may depend on: its frame size and rate."""
    default = spec.default
    return msgspec.structs.replace(
        request,
        fps=default.fps or spec.output_fps,
        aspect_ratio=default.aspect_ratio,
        resolution=request.resolution or default.resolution,
    )


# --- differences ------------------------------------------------------------------------------------------------


def differences(old: Iterable[ModelSpec], new: Iterable[ModelSpec]) -> list[Difference]:
    """What is otherwise in ``new``, by offer: prices with the change in percent, lifecycles, and the rest by key."""
    before, after = {spec.id: spec for spec in old}, {spec.id: spec for spec in new}
    found: list[Difference] = []
    for offer in sorted(before.keys() | after.keys()):
        if offer not in after:
            found.append(Difference(offer=offer, kind="removed", field="", message="gone"))
        elif offer not in before:
            found.append(Difference(offer=offer, kind="added", field="", message="new"))
        else:
            found += _changes(before[offer], after[offer])
    return found


def _changes(old: ModelSpec, new: ModelSpec) -> Iterator[Difference]:
    yield from _price_changes(old, new)
    for field in ModelSpec.__struct_fields__:
        if field == "prices":
            continue
        was, now = _plain(getattr(old, field)), _plain(getattr(new, field))
        if was == now:
            continue
        if field == "lifecycle":
            for key in sorted(was.keys() | now.keys()):
                if was.get(key) != now.get(key):
                    yield _changed(new.id, "lifecycle", f"lifecycle.{key}", was.get(key), now.get(key))
        elif field in _GENERAL:
            yield _changed(new.id, "fact", field, was, now)
        elif field == "modes":
            yield from _mode_changes(new.id, was, now)
        else:
            yield _changed(new.id, "capability", field, was, now)


def _mode_changes(offer: str, was: list[Any], now: list[Any]) -> Iterator[Difference]:
    gone, come = [mode for mode in was if mode not in now], [mode for mode in now if mode not in was]
    if len(gone) == len(come) == 1:
        for key in sorted(gone[0].keys() | come[0].keys()):
            if gone[0].get(key) != come[0].get(key):
                yield _changed(offer, "capability", f"modes.{key}", gone[0].get(key), come[0].get(key))
    elif gone or come:
        said = f"modes: {len(come)} new, {len(gone)} gone"
        yield Difference(offer=offer, kind="capability", field="modes", message=said, old=gone, new=come)


def _changed(offer: str, kind: Any, field: str, was: Any, now: Any) -> Difference:
    said = f"{field}: {_said(was)} -> {_said(now)}"
    return Difference(offer=offer, kind=kind, field=field, message=said, old=was, new=now)


def _price_changes(old: ModelSpec, new: ModelSpec) -> Iterator[Difference]:
    before, after = _by_condition(old.prices), _by_condition(new.prices)
    for words in dict.fromkeys((*before, *after)):
        was, now = before.get(words), after.get(words)
        if was is None or now is None:
            price, verb = (now, "new") if was is None else (was, "gone")
            assert price is not None
            said = f"the price {words} is {verb}: {_amount(price)}"
        elif _costs(was) != _costs(now):
            said = f"the price {words}: {_amount(was)} -> {_amount(now)}{_percent(was, now)}"
        elif (was.source, was.as_of) != (now.source, now.as_of):
            yield _changed(new.id, "fact", f"the price {words}", str(was.as_of), str(now.as_of))
            continue
        else:
            continue
        plain = (None if price is None else _plain(price) for price in (was, now))
        yield Difference(offer=new.id, kind="price", field=words, message=said, old=next(plain), new=next(plain))


def _by_condition(prices: Sequence[Price]) -> dict[str, Price]:
    """The rules by what they are for; the first of equal ones counts."""
    found: dict[str, Price] = {}
    for price in prices:
        found.setdefault(_price_words(price), price)
    return found


def _price_words(price: Price) -> str:
    """What a rule is for: the unit and its conditions."""
    audio = None if price.audio is None else "with sound" if price.audio else "silent"
    conditions = [
        *(task.value for task in price.tasks),
        *price.resolutions,
        *(f"{seconds:g} s" for seconds in price.durations),
        *([audio] if audio else []),
        *(f"{name}={value}" for name, value in sorted(price.options.items())),
    ]
    kind = "" if price.kind == "base" else f" on top ({price.label})" if price.label else " on top"
    return f"per {price.unit.replace('_', ' ')}{kind}{' for ' if conditions else ''}{', '.join(conditions)}"


def _costs(price: Price) -> tuple[Any, ...]:
    return price.amount, price.low, price.credit_usd, price.free, price.minimum, price.round_up, price.gpu_seconds


def _amount(price: Price) -> str:
    unit = "credits" if price.currency == "credit" else "USD"
    rate = f" at ${price.credit_usd:f}" if price.credit_usd is not None else ""
    low = f"{price.low:f} to " if price.low is not None else ""
    return f"{low}{price.amount:f} {unit}{rate}"


def _percent(was: Price, now: Price) -> str:
    before, after = (price.amount * (price.credit_usd or Decimal(1)) for price in (was, now))
    return f" ({(after - before) / before * 100:+.1f} %)" if before and before != after else ""


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=str) if not isinstance(value, Mapping) else dict(value)


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    text = "nothing" if value is None or value == "" else str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
