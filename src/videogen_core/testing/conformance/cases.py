"""What there is to try of a provider, read off its offers: the kinds of clips, and every value that a mode lists."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from videogen_core import Mode, ModelSpec, OptionSpec, Span, Stage, Task, resolution_height

__all__ = ["Case", "OptionValues", "Value", "clips", "live", "modes", "retired", "values"]

OptionValues = Callable[[ModelSpec, str, OptionSpec], Sequence[Any]]
"""Gives the values to try of an option."""
FIELDS = ("duration", "resolution", "aspect_ratio", "audio", "fps")
PROMPT = "A paper boat drifting down a rainy street"


@dataclass(frozen=True)
class Case:
    """A request that one mode of one offer admits.

    Attributes:
        spec: The offer.
        mode: One of its modes.
        task: One of that mode's.
        arguments: Of ``generate``, but for the prompt and the media.
        number: Position of the mode, from 1.
        extra: Inputs beyond what the task needs.
        references: How many reference images, where it takes any.
        prompt: What to show.
    """

    spec: ModelSpec
    mode: Mode
    task: Task
    arguments: dict[str, Any]
    number: int = 1
    extra: tuple[str, ...] = ()
    references: int = 1
    prompt: str = PROMPT

    @property
    def model(self) -> str:
        """The offer's name at its provider."""
        return self.spec.id.partition("/")[2]

    @property
    def id(self) -> str:
        """For people, and for pytest."""
        return f"{self.model}-{self.task.value}"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the media that it takes along."""
        return (*self.mode.required(self.task), *self.extra)

    def changed(self, **arguments: Any) -> Case:
        """The same with other arguments."""
        return replace(self, arguments={**self.arguments, **arguments})

    @property
    def size(self) -> float:
        """How much work its clip is, for the choice of small ones."""
        height = resolution_height(str(self.arguments.get("resolution", "720p")))
        return height**2 * float(self.arguments.get("duration", 8)) * float(self.arguments.get("fps", 24))


@dataclass(frozen=True)
class Value:
    """One value of one field, in a request whose other fields are the mode's cheapest.

    Attributes:
        field: Which field, as violations name it.
        value: As messages show it.
        case: The request.
    """

    field: str
    value: Any
    case: Case = dataclasses.field(repr=False)

    @property
    def said(self) -> str:
        """For messages."""
        return f"{self.field}={str(self.value)[:60]!r} ({self.case.id})"


def stage(spec: ModelSpec) -> Stage:
    """Where in its life an offer is today."""
    return spec.lifecycle.stage_on(datetime.now(UTC).date())


def live(specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Offers that can be used."""
    return [spec for spec in specs if stage(spec) is not Stage.RETIRED]


def retired(specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Offers that are history."""
    return [spec for spec in specs if stage(spec) is Stage.RETIRED]


def modes(specs: Sequence[ModelSpec], option_values: OptionValues) -> list[Case]:
    """A cheapest request for each task of each mode of each live offer."""
    return [
        Case(spec, mode, task, _cheapest(spec, mode, task, option_values), number)
        for spec in live(specs)
        for number, mode in enumerate(spec.modes, 1)
        for task in mode.tasks
    ]


def clips(specs: Sequence[ModelSpec], option_values: OptionValues) -> list[Case]:
    """A cheapest request for each task of each live offer."""
    found: dict[str, Case] = {}
    for case in modes(specs, option_values):
        if case.id not in found or case.size < found[case.id].size:
            found[case.id] = case
    return list(found.values())


def _cheapest(spec: ModelSpec, mode: Mode, task: Task, option_values: OptionValues) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": spec.id, "task": task.value}
    for name in FIELDS:
        chosen = _smallest(name, mode)
        if chosen is not None:
            arguments[name] = chosen
    needed = {name: option for name, option in spec.options.items() if option.required}
    if needed:
        options = {name: option_values(spec, name, option)[0] for name, option in needed.items()}
        arguments["options"] = {spec.provider: options}
    return arguments


def _smallest(name: str, mode: Mode) -> Any:
    allowed = mode.settable(name)
    if isinstance(allowed, Span):
        return allowed.min
    if not allowed:
        return None
    if name == "resolution":
        return min(allowed, key=lambda each: resolution_height(each) or 720)
    if name == "aspect_ratio":
        return "16:9" if "16:9" in allowed else next((each for each in allowed if each != "auto"), allowed[0])
    return min(allowed)


# --- every value


def values(case: Case, option_values: OptionValues) -> Iterator[Value]:
    """Each value of each field that the case's mode lists: both ends of a span, every choice of an option."""
    spec, mode = case.spec, case.mode
    for name in FIELDS:
        allowed = mode.settable(name)
        ends = (allowed.min, allowed.max) if isinstance(allowed, Span) else allowed
        for value in ends:
            yield Value(name, value, case.changed(**{name: value}))
    for count in range(1, mode.count + 1):
        yield Value("count", count, case.changed(count=count))
    yield from _inputs(case)
    if spec.seed is not None:
        for seed in (0, 1, spec.seed):
            yield Value("seed", seed, case.changed(seed=seed))
    yield from _words(case)
    switches = (spec.negative_prompt, spec.camera.option if spec.camera else None)
    for name, option in spec.options.items():
        if name in switches:
            continue  # it says nothing by itself; it is tried with what it allows
        for value in option_values(spec, name, option):
            yield Value(f"options.{spec.provider}.{name}", value, with_option(case, name, value))


def _inputs(case: Case) -> Iterator[Value]:
    mode = case.mode
    for name in mode.allows:
        yield Value("inputs", name, replace(case, extra=(name,)))
    if "reference_images" in case.inputs:
        for references in range(1, mode.reference_images + 1):
            yield Value("reference_images", references, replace(case, references=references))


def _words(case: Case) -> Iterator[Value]:
    spec = case.spec
    for move in spec.camera.moves if spec.camera else ():
        changed = case.changed(camera=[move])
        allowed = spec.camera.option if spec.camera else None
        yield Value("camera", move, with_option(changed, allowed, True) if allowed else changed)
    if spec.negative_prompt:
        folding = {} if spec.negative_prompt is True else {str(spec.negative_prompt): True}
        for words in ("rain", "snow"):
            changed = case.changed(negative_prompt=words)
            for name, value in folding.items():
                changed = with_option(changed, name, value)
            yield Value("negative_prompt", words, changed)
    if spec.prompt.max is not None:
        yield Value("prompt", f"{spec.prompt.max} {spec.prompt.unit}", replace(case, prompt=prompt_of(spec)))


def prompt_of(spec: ModelSpec, more: int = 0) -> str:
    """A prompt of the greatest length that an offer takes, or of so many units more."""
    length = (spec.prompt.max or 0) + more
    return " ".join(["a"] * length) if spec.prompt.unit == "tokens" else "a" * length


def with_option(case: Case, name: str, value: Any) -> Case:
    """The same with one more option of the provider's."""
    provider = case.spec.provider
    known = case.arguments.get("options", {}).get(provider, {})
    return case.changed(options={provider: {**known, name: value}})


def default_option_values(name: str, option: OptionSpec) -> Sequence[Any]:
    """What can be tried of an option whose catalogue row says enough; nothing for free text, lists and objects."""
    if option.choices:
        return option.choices
    if option.type == "boolean":
        return (True, False)
    if option.type not in ("integer", "number"):
        return ()
    ends = [end for end in (option.min, option.max) if end is not None] or [1.0]
    return tuple(int(end) for end in ends) if option.type == "integer" else tuple(ends)
