"""Whether a model takes an input; as strict as its schema, and stricter: what it does not name is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from videogen_core.testing import Refusal

from .models import Model, Parameter, Rule

__all__ = ["InvalidInput", "checked"]

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
}


class InvalidInput(Refusal):
    """422, with the fields that are wrong.

    Args:
        fields: Name and what is wrong with it.
    """

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        super().__init__(422, "invalid_input", "".join(f"- {name}: {why}\n" for name, why in fields))
        self.fields = fields


def checked(model: Model, given: Mapping[str, Any], known_file: Callable[[str], bool]) -> dict[str, Any]:
    """The input with the model's defaults filled in.

    Args:
        model: Which.
        given: As it came.
        known_file: Whether an address leads to something.

    Raises:
        InvalidInput: The model does not take it.
    """
    wrong = [*_wrong(model, given, known_file)]
    filled = {name: each.default for name, each in model.input.items() if each.default is not None} | dict(given)
    if not wrong:
        wrong = [problem for rule in model.rules for problem in _broken(rule, filled, given)]
    if wrong:
        raise InvalidInput(wrong)
    return filled


def _wrong(model: Model, given: Mapping[str, Any], known_file: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    for name, each in model.input.items():
        if each.required and name not in given:
            yield "input", f"{name} is required"
    for name, value in given.items():
        if name not in model.input:
            yield f"input.{name}", "Additional property is not allowed"
        elif (why := _misfit(model.input[name], value, known_file)) is not None:
            yield f"input.{name}", why
    longest = model.longest_prompt
    if longest is not None and len(str(given.get("prompt", ""))) > longest:
        yield "input.prompt", f"String length must be less than or equal to {longest}"


def _misfit(each: Parameter, value: Any, known_file: Callable[[str], bool]) -> str | None:
    if not isinstance(value, _TYPES[each.type]) or isinstance(value, bool) != (each.type == "boolean"):
        return f"Invalid type. Expected: {each.type}, given: {type(value).__name__}"
    if each.choices and value not in each.choices:
        return f"must be one of the following: {', '.join(map(str, each.choices))}"
    measured: Any = len(value) if isinstance(value, list) else value
    if each.low is not None and measured < each.low:
        return f"Must be greater than or equal to {each.low}"
    if each.high is not None and measured > each.high:
        return f"Must be less than or equal to {each.high}"
    addresses = value if isinstance(value, list) else [value]
    if each.file and not all(isinstance(one, str) and known_file(one) for one in addresses):
        return "Does not match format 'uri', or leads to no file"
    return None


def _broken(rule: Rule, filled: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if rule.given and rule.given not in given:
        return
    if any(filled.get(name) != value for name, value in rule.when.items()):
        return
    said = rule.given or " and ".join(f"{name}={value}" for name, value in rule.when.items())
    for name, values in rule.need.items():
        if filled.get(name) not in values:
            yield f"input.{name}", f"must be {' or '.join(map(str, values))} with {said}"
    if rule.beside and rule.beside not in given:
        yield f"input.{rule.given}", f"needs {rule.beside}"
