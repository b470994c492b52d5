"""The emulated models: what each takes and costs, read from ``models.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

__all__ = ["Model", "Parameter", "Rate", "Rule", "models"]

_WORD = re.compile(r"(?P<kind>.+?)(?: = (?P<default>.+))?")
_SPAN = re.compile(r"(-?\d+)\.\.(-?\d+)")
_FILES = re.compile(r"files (\d+)-(\d+)")
_KINDS = {
    "text": "string",
    "bool": "boolean",
    "int": "integer",
    "number": "number",
    "list": "array",
    "file": "string",
}


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of a model, as JSON Schema has it.

    Attributes:
        type: Of JSON Schema.
        file: Whether it is the address of a file, or a list of them.
        choices: The values that it takes; empty = any.
        low: Least value, or fewest files.
        high: Greatest value, or most files.
        default: None = it has none.
        required: Whether it must be given.
        deprecated: Whether it has been replaced by another.
    """

    type: str
    file: bool = False
    choices: tuple[Any, ...] = ()
    low: int | None = None
    high: int | None = None
    default: Any = None
    required: bool = False
    deprecated: bool = False

    @classmethod
    def of(cls, text: str) -> Parameter:
        """A parameter from its words; see ``models.toml``."""
        found = _WORD.fullmatch(text)
        assert found is not None
        kind, default = found["kind"], found["default"]
        facts: dict[str, Any] = {"required": kind.endswith("*"), "deprecated": kind.endswith("?")}
        kind = kind.rstrip("*?")
        if (span := _SPAN.fullmatch(kind)) is not None:
            facts |= {"type": "integer", "low": int(span[1]), "high": int(span[2])}
        elif (files := _FILES.fullmatch(kind)) is not None:
            facts |= {"type": "array", "file": True, "low": int(files[1]), "high": int(files[2])}
        elif kind in _KINDS:
            facts |= {"type": _KINDS[kind], "file": kind == "file"}
        else:
            choices = tuple(kind.split("|"))
            whole = all(choice.isdecimal() for choice in choices)
            facts |= (
                {"type": "integer", "choices": tuple(map(int, choices))}
                if whole
                else {
                    "type": "string",
                    "choices": choices,
                }
            )
        return cls(**facts, default=_value(default, facts["type"]))


def _value(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    if kind == "boolean":
        return text == "true"
    return int(text) if kind == "integer" else float(text) if kind == "number" else text


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"beside": "with"}):
    """What belongs together.

    Attributes:
        when: Values that make it apply.
        given: A parameter that makes it apply when it is there.
        need: The values that others must then have.
        beside: A parameter that must then be there.
    """

    when: dict[str, Any] = {}
    given: str = ""
    need: dict[str, list[Any]] = {}
    beside: str = ""


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price: USD per ``second`` or ``clip``, when these values are given, and without a parameter."""

    usd: str
    per: str
    when: dict[str, Any] = {}
    without: str = ""


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model; see ``models.toml`` for the fields."""

    name: str
    description: str = ""
    input: dict[str, Parameter]
    version: str = ""
    hardware: str = ""
    several: bool = False
    picture: bool = False
    sound: bool | str = False
    height: int = 720
    heights: dict[str, int] = {}
    seconds: float | None = None
    landscape: dict[str, tuple[int, int]] = {}
    longest_prompt: int | None = None
    rules: tuple[Rule, ...] = ()
    prices: tuple[Rate, ...] = ()

    @property
    def official(self) -> bool:
        """Whether it is called by its name."""
        return not self.version


@cache
def models() -> Mapping[str, Model]:
    """Every model by its name, ``owner/name``."""
    text = resources.files(__package__).joinpath("models.toml").read_text(encoding="utf-8")
    rows = {name: row for name, row in tomllib.loads(text).items() if isinstance(row, dict)}
    found = {}
    for name, row in rows.items():
        full = {**rows[row["like"]], **row} if "like" in row else dict(row)
        full.pop("like", None)
        inputs = {key: Parameter.of(words) for key, words in full.pop("input").items()}
        found[name] = msgspec.convert({**full, "name": name, "input": inputs}, Model)
    return found
