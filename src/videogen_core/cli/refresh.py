"""``models --refresh``: what a provider says of its models today, laid beside the catalogue that was shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from videogen_core import Client, ModelSpec, ProviderError, RequestError, Span, Stage
from videogen_core.catalog import completed
from videogen_core.pricing import unfit

from .screen import Screen

__all__ = ["changes", "refresh", "row_of"]

GONE = "the provider has no model of that name any more"


def refresh(client: Client, screen: Screen, provider: str, found: list[ModelSpec]) -> None:
    """Ask a provider for each of these offers, and show what is no longer as the catalogue has it.

    Args:
        client: Asks.
        screen: Shows.
        provider: Adapter id.
        found: The offers.

    Raises:
        RequestError: The provider does not describe its models.
        ProviderError: It cannot be asked.
    """
    registry = client.workspace.registry
    discovery = registry.discovery
    today = datetime.now(UTC).date()
    alive = [spec for spec in found if spec.lifecycle.stage_on(today) is not Stage.RETIRED]
    if not discovery.knows_how(f"{provider}/any"):
        raise RequestError(f"--refresh: {provider} does not describe its models, so there is nothing to ask it.")
    # an outline is compared as it was shipped, whatever has been learned since
    outlines = {row.id: row for row in registry.plugins.load(provider).models if row.outline}
    told: dict[str, list[str]] = {}
    learned: dict[str, Any] = {}
    for spec in alive:
        row = outlines.get(spec.id, spec)
        said, live = _said(row, discovery.ask)
        if live is not None and row.outline is not None:
            learned[spec.id] = row_of(completed(row, live))
        if said:
            told[spec.id] = said
            if not screen.json:
                screen.line(spec.id)
                for line in said:
                    screen.line(f"  {line}")
    if screen.json:
        screen.emit({"asked": len(alive), "changed": told, "completed": learned})
        return
    screen.say(f"{len(alive)} models asked for, {len(told)} differ from the catalogue. Prices are not told.")
    if learned:
        screen.say(f"{len(learned)} were known in outline only, and can be used now. --json prints their rows.")


def row_of(spec: ModelSpec) -> Any:
    """A catalogue row with every default written out, so that the shape is always the same."""
    return _full(msgspec.structs.replace(spec, model=spec.name))


def _full(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {field: _full(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _full(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_full(item) for item in value]
    return msgspec.to_builtins(value, enc_hook=str)


def _said(spec: ModelSpec, ask: Callable[[str], ModelSpec | None]) -> tuple[list[str], ModelSpec | None]:
    """What is to be told of an offer, and the offer as its provider describes it."""
    try:
        live = ask(spec.id)
    except RequestError as error:  # it is there, and is of no use
        return [error.message], None
    except ProviderError as error:
        if error.retryable or error.status_code in (401, 402, 403):
            raise
        return [error.message], None
    return ([GONE] if live is None else list(changes(spec, live))), live


def changes(shipped: ModelSpec, live: ModelSpec) -> Iterator[str]:
    """What a provider says otherwise than a catalogue row, one sentence each.

    A field is compared where both list values: a row may know more than a schema can say. Of an outline all is new.
    """
    outline = shipped.outline is not None
    for field in ("tasks", "durations", "resolutions", "aspect_ratios", "fps"):
        ours, theirs = _values(shipped, field), _values(live, field)
        if theirs and (ours or outline):
            yield from _compared(field, ours, theirs)
    if (shipped.seed is None) != (live.seed is None):
        yield f"seed: {'new' if shipped.seed is None else 'gone'}"
    if bool(shipped.negative_prompt) != bool(live.negative_prompt):
        yield f"negative_prompt: {'gone' if shipped.negative_prompt else 'new'}"
    yield from _compared("options", list(shipped.options), list(live.options))
    for name in sorted(shipped.options.keys() & live.options.keys()):
        ours, theirs = list(shipped.options[name].choices), list(live.options[name].choices)
        if ours and theirs:
            yield from _compared(f"options.{name}", ours, theirs)
    for price, why in unfit(completed(shipped, live)) if outline else ():
        yield f"prices: {price.amount} {price.currency} per {price.unit} fits nothing: {why}"


def _compared(field: str, ours: list[Any], theirs: list[Any]) -> Iterator[str]:
    new, gone = [each for each in theirs if each not in ours], [each for each in ours if each not in theirs]
    said = [f"{word} {', '.join(map(_shown, values))}" for word, values in (("new:", new), ("gone:", gone)) if values]
    if said:
        yield f"{field}: {'; '.join(said)}"


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _values(spec: ModelSpec, field: str) -> list[Any]:
    """Every value of all modes; the two ends of what is continuous."""
    if field == "tasks":
        return [task.value for task in spec.tasks]
    found: list[Any] = []
    for mode in spec.modes:
        found += _members(getattr(mode, field))
    return list(dict.fromkeys(found))


def _members(values: Iterable[Any] | Span) -> list[Any]:
    if not isinstance(values, Span):
        return list(values)
    if values.step is None:
        return [values.min, values.max]
    return [values.min + number * values.step for number in range(round((values.max - values.min) / values.step) + 1)]
