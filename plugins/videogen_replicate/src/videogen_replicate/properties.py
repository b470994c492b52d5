"""The parameters of a model, read from the OpenAPI document of its version."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from videogen_core import OptionSpec

__all__ = ["Property", "makes_addresses", "properties"]

_TYPES = ("boolean", "integer", "number", "string", "array", "object")


@dataclass(frozen=True, kw_only=True)
class Property:
    """One parameter.

    Attributes:
        name: The model's own.
        type: Of JSON Schema.
        file: Whether it is the address of a file, or a list of them.
        choices: The values that it takes; empty = any.
        low: Least value, or fewest members.
        high: Greatest value, or most members.
        default: None = it has none.
        required: Whether it must be given.
        description: For people.
    """

    name: str
    type: str
    file: bool = False
    choices: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    default: Any = None
    required: bool = False
    description: str = ""

    @property
    def option(self) -> OptionSpec:
        """The same as an option of the provider's."""
        kind: Any = self.type
        return OptionSpec(
            type=kind,
            choices=self.choices,
            min=self.low,
            max=self.high,
            default=self.default,
            required=self.required and self.default is None,
            description=self.description,
        )


def properties(schemas: Mapping[str, Any]) -> dict[str, Property]:
    """The parameters of a model by name, those that have been replaced left out.

    Args:
        schemas: ``components.schemas`` of the document.

    Raises:
        ValueError: It is none.
    """
    table = _table(schemas.get("Input"))
    required = table.get("required", [])
    found = {}
    for name, told in _table(table.get("properties")).items():
        facts = _resolved(_table(told), schemas)
        if facts.get("deprecated") is True and name not in required:
            continue
        found[name] = _property(name, facts, name in required)
    return found


def makes_addresses(schemas: Mapping[str, Any]) -> bool:
    """Whether what a model makes is a file, or a list of them."""
    told = _resolved(_table(schemas.get("Output")), schemas)
    if told.get("type") == "array":
        told = _resolved(_table(told.get("items")), schemas)
    return told.get("type") == "string" and told.get("format") == "uri"


def _table(told: Any) -> Mapping[str, Any]:
    if not isinstance(told, Mapping):
        raise ValueError(f"expected an object, got {type(told).__name__}")
    return told


def _resolved(told: Mapping[str, Any], schemas: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """A schema with what it refers to in its place; of alternatives the first that is not null. Its own words win."""
    found: dict[str, Any] = {}
    for part in _parts(told, schemas):
        if depth > 5:
            raise ValueError("references in a circle")
        found |= _resolved(part, schemas, depth + 1)
    own = {name: value for name, value in told.items() if name not in ("$ref", "allOf", "anyOf", "oneOf")}
    return {**found, **own}


def _parts(told: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    reference = told.get("$ref")
    if isinstance(reference, str):
        yield _table(schemas.get(reference.rpartition("/")[2]))
    for part in told.get("allOf", ()):
        yield _table(part)
    for name in ("anyOf", "oneOf"):
        real = [part for part in told.get(name, ()) if _table(part).get("type") != "null"]
        yield from real[:1]


def _property(name: str, facts: Mapping[str, Any], required: bool) -> Property:
    kind = facts.get("type")
    if kind not in _TYPES:
        kind = "string"
    items = facts.get("items")
    several = kind == "array"
    file = (items if several and isinstance(items, Mapping) else facts).get("format") == "uri"
    ends = [_number(facts.get(key)) for key in (("minItems", "maxItems") if several else ("minimum", "maximum"))]
    choices = tuple(value for value in facts.get("enum", ()) if value is not None)
    default = facts.get("default")
    if default in (None, "") or (choices and default not in choices):
        default = None
    return Property(
        name=name,
        type=str(kind),
        file=file,
        choices=choices,
        low=ends[0],
        high=ends[1],
        default=default,
        required=required,
        description=str(facts.get("description") or "")[:500],
    )


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if plain else None
