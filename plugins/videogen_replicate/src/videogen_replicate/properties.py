"""The parameters of a model, read from the OpenAPI document of its version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from videogen_core import OptionSpec

__all__ = ["Property", "makes_addresses", "properties"]

_PYTHON: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}
_TYPES = tuple(_PYTHON)
_MOST_PARTS = 100  # schemas that one parameter is put together from; a document may be built to have millions
_MOST = 1e300


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
    """The parameters of a model by name, but for those that have been replaced, and for those that make no sense.

    Args:
        schemas: ``components.schemas`` of the document.

    Raises:
        ValueError: It is none, or a parameter that must be given makes no sense.
    """
    table = _table(schemas.get("Input"))
    required = _list(table.get("required"))
    found = {}
    for name, told in _table(table.get("properties")).items():
        try:
            facts = _resolved(_table(told), schemas)
            if name in required or facts.get("deprecated") is not True:
                found[name] = _property(name, facts, schemas, name in required)
        except ValueError:
            if name in required:
                raise
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


def _list(told: Any) -> list[Any]:
    return told if isinstance(told, list) else []


def _resolved(told: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with what it refers to in its place; of alternatives the first that is not null. Its own words win.

    Raises:
        ValueError: It refers to nothing, to itself, or to more than any parameter needs.
    """
    return _joined(told, schemas, iter(range(_MOST_PARTS)))


def _joined(told: Mapping[str, Any], schemas: Mapping[str, Any], left: Iterator[int]) -> dict[str, Any]:
    if next(left, None) is None:
        raise ValueError("references in a circle, or too many")
    found: dict[str, Any] = {}
    for part in _parts(told, schemas):
        found |= _joined(part, schemas, left)
    own = {name: value for name, value in told.items() if name not in ("$ref", "allOf", "anyOf", "oneOf")}
    return {**found, **own}


def _parts(told: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    reference = told.get("$ref")
    if isinstance(reference, str):
        yield _table(schemas.get(reference.rpartition("/")[2]))
    for part in _list(told.get("allOf")):
        yield _table(part)
    for name in ("anyOf", "oneOf"):
        real = [part for part in _list(told.get(name)) if _table(part).get("type") != "null"]
        yield from real[:1]


def _property(name: str, facts: Mapping[str, Any], schemas: Mapping[str, Any], required: bool) -> Property:
    choices = tuple(value for value in _list(facts.get("enum")) or [facts.get("const")] if value is not None)
    kind = _kind(facts.get("type"), choices)
    items = facts.get("items")
    several = kind == "array"
    one = _resolved(items, schemas) if several and isinstance(items, Mapping) else facts
    ends = [_number(facts.get(key)) for key in (("minItems", "maxItems") if several else ("minimum", "maximum"))]
    found = Property(
        name=name,
        type=kind,
        file=one.get("format") == "uri",
        choices=choices,
        low=ends[0],
        high=ends[1],
        required=required,
        description=str(facts.get("description") or "")[:500],
    )
    default = facts.get("default")
    return replace(found, default=default) if default not in (None, "") and _takes(found, default) else found


def _kind(told: Any, choices: tuple[Any, ...]) -> str:
    """The type of a parameter: as it is told, else that of its choices; text where neither says."""
    for word in told if isinstance(told, list) else [told]:
        if word in _TYPES:
            return str(word)
    found = {type(choice) for choice in choices}
    if found and found <= {int, float}:
        return "integer" if found == {int} else "number"
    return "boolean" if found == {bool} else "string"


def _takes(parameter: Property, value: Any) -> bool:
    """Whether a parameter takes a value; schemas have defaults that are of no use."""
    if parameter.choices:
        return value in parameter.choices
    if not isinstance(value, _PYTHON[parameter.type]) or (isinstance(value, bool) and parameter.type != "boolean"):
        return False
    if not isinstance(value, int | float):
        return True
    return (parameter.low is None or value >= parameter.low) and (parameter.high is None or value <= parameter.high)


def _number(value: Any) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool) and -_MOST < value < _MOST
    return value if plain else None
