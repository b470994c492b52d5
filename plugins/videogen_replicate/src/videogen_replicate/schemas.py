"""A model as Replicate describes it, as an offer: its tasks, values, inputs and options, read off its input schema.

What belongs together ("1080p only at 6 seconds") stands in a schema's prose at most. So a mode that is read here may be
wider than the model; Replicate then refuses the request, at no cost.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from videogen_core import Mode, ModelNotFoundError, ModelSpec, PromptLimits, RequestError, Span, Task, VideoRequest

from .properties import Property, makes_addresses, properties

__all__ = ["spec_of"]

_VIDEO, _OTHER = (".mp4", ".webm", ".mov", ".mkv", ".gif"), (".png", ".jpg", ".jpeg", ".webp", ".wav", ".mp3", ".txt")
_WORDS = re.compile(r"video|animat|motion|film", re.IGNORECASE)
_LENGTHS = ("duration", "seconds", "num_frames", "video_length", "frames_per_second", "fps")
_SIZE = re.compile(r"([1-9]\d{1,4})[*x]([1-9]\d{1,4})")
_VERSION = re.compile(r"[0-9a-f]{64}")
_MOST_IMAGES = 10
_SEED = 2**31 - 1
_INPUTS = ("image", "last_frame", "reference_images", "video")
# Each task with the inputs that it takes; one is possible when the model has those and needs no other.
_TASKS = {
    Task.TEXT_TO_VIDEO: (),
    Task.IMAGE_TO_VIDEO: ("image",),
    Task.FIRST_LAST_FRAME: ("image", "last_frame"),
    Task.REFERENCE_TO_VIDEO: ("reference_images",),
    Task.EDIT_VIDEO: ("video",),
}
_ANIMATE = {"image", "video"}


def spec_of(told: Mapping[str, Any], name: str, *, today: date, row: ModelSpec | None = None) -> ModelSpec:
    """The offer.

    Args:
        told: Replicate's description of the model.
        name: ``owner/name``.
        today: When it was read.
        row: The catalogue's, where it lists the model; parameters that it tells in a way of its own are no options.

    Raises:
        ModelNotFoundError: It makes no videos, or cannot be called.
        ValueError: The description is not what it should be.
    """
    version = told.get("latest_version")
    if not isinstance(version, Mapping):
        raise ModelNotFoundError(f"replicate/{name} has no version that could be called.")
    schemas = version["openapi_schema"]["components"]["schemas"]
    known = properties(schemas)
    if not (makes_addresses(schemas) and _is_video(told, name, known)):
        raise ModelNotFoundError(
            f"replicate/{name} makes no videos.", hint="`videogen models --provider replicate` lists those that do."
        )
    reading = _Reading(name, known, frozenset() if row is None else _told(row))
    vendor = {"fields": reading.fields, "values": reading.values, **reading.vendor}
    if told.get("is_official") is not True and _VERSION.fullmatch(str(version.get("id"))):
        vendor |= {"official": False, "version": version["id"]}  # ids of official ones are hidden
    mode = reading.mode()
    return msgspec.convert(
        {
            "id": f"replicate/{name}",
            "title": name,
            "maker": name.partition("/")[0],
            "aliases": [name],
            "modes": [mode],
            "default": reading.defaults,
            "prompt": reading.prompt(mode.tasks),
            "seed": reading.seed,
            "negative_prompt": "negative_prompt" in reading.fields,
            "options": {key: known[key].option for key in reading.left},
            "vendor": vendor,
            "source": f"https://replicate.com/{name}",
            "as_of": today,
        },
        ModelSpec,
        from_attributes=True,
    )


def _told(row: ModelSpec) -> frozenset[str]:
    """The parameters that a row tells by size, sides or frames."""
    size, frames = row.vendor.get("size", {}), row.vendor.get("frames", {})
    named = [size.get("field"), frames.get("field"), frames.get("fps_field"), *row.vendor.get("sides", ())]
    return frozenset(name for name in named if name)


def _is_video(told: Mapping[str, Any], name: str, known: Mapping[str, Property]) -> bool:
    """Whether what it makes is a video: by its example, else by its words. A schema does not say."""
    example = told.get("default_example")
    made = example.get("output") if isinstance(example, Mapping) else None
    first = made[0] if isinstance(made, list) and made else made
    ending = str(first or "").partition("?")[0].lower()
    if ending.endswith(_VIDEO):
        return True
    if ending.endswith(_OTHER):
        return False
    return bool(_WORDS.search(f"{name} {told.get('description')}")) or any(length in known for length in _LENGTHS)


class _Reading:
    """The parameters of a model, sorted into fields of a request and options.

    Args:
        name: ``owner/name``.
        known: The parameters.
        told: Those that are told in another way.

    Attributes:
        fields: Field of a request -> parameter.
        values: Field -> our value -> the model's.
        vendor: What else the plugin must know to put a request.
        defaults: Field -> default.
        left: Parameters that no field is for.
        seed: Largest seed.
    """

    def __init__(self, name: str, known: Mapping[str, Property], told: frozenset[str]) -> None:
        self._name = name
        self._known = known
        self.fields: dict[str, str] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self.vendor: dict[str, Any] = {}
        self.defaults: dict[str, Any] = {}
        self.seed: int | None = None
        self._allowed: dict[str, Any] = {}
        self._most_images = 0
        self._inputs()
        self._numbers("duration")
        self._numbers("fps")
        self._choices("resolution")
        self._choices("aspect_ratio")
        self._size()
        self._others()
        told |= {*self.fields.values(), "prompt", self.vendor.get("size", {}).get("field")}
        self.left = [each for each in known if each not in told]

    def _named(self, field: str, *kinds: str) -> Property | None:
        """The first parameter that has a name of a field, and a type of those."""
        named = (self._known.get(name) for name in _names()["fields"][field])
        return next((each for each in named if each is not None and each.type in kinds), None)

    # --- one field after the other

    def _inputs(self) -> None:
        for field in _INPUTS:
            found = self._named(field, "string", "array" if field == "reference_images" else "string")
            if found is None or not found.file:
                continue
            self.fields[field] = found.name
            if field == "reference_images":
                several = found.type == "array"
                self._most_images = int(found.high or _MOST_IMAGES) if several else 1
                self.vendor |= {} if several else {"single": [field]}

    def _numbers(self, field: str) -> None:
        found = self._named(field, "integer", "number", "string")
        if found is None:
            return
        values = {float(choice): choice for choice in found.choices if _is_number(choice)}
        if found.choices and len(values) == len(found.choices):
            allowed: Any = tuple(sorted(values))
            if found.type == "string":
                self.values[field] = {f"{number:g}": word for number, word in values.items()}
        elif found.type != "string" and found.high is not None:
            low = max(found.low or 1, 1)  # below it, models have words such as -1 for "as you like"
            if low > found.high:
                return
            allowed = Span(min=low, max=found.high, step=1 if found.type == "integer" else None)
        else:
            return
        default = float(found.default) if _is_number(found.default) else None
        if default is None or default not in allowed:
            default = allowed.min if isinstance(allowed, Span) else allowed[0]
        self.fields[field], self._allowed[field], self.defaults[field] = found.name, allowed, default

    def _choices(self, field: str) -> None:
        found = self._named(field, "string")
        if found is None:
            return
        words = _names()["words"][field]
        values: dict[str, Any] = {}
        for choice in found.choices:
            name = _spelt(field, words.get(str(choice).lower(), choice))
            if name is not None:
                values.setdefault(name, choice)
        if not values or (field == "resolution" and len(values) < len(found.choices)):
            return  # a `mode` may be of something else
        self.fields[field], self._allowed[field] = found.name, tuple(values)
        self.values[field] = {name: choice for name, choice in values.items() if name != choice}
        default = next((name for name, choice in values.items() if choice == found.default), None)
        self.defaults |= {} if default is None else {field: default}

    def _size(self) -> None:
        """Resolution and shape in one parameter."""
        found = self._known.get("size")
        sizes = {choice: _SIZE.fullmatch(str(choice)) for choice in found.choices} if found else {}
        if found is None or not sizes or None in sizes.values() or {"resolution", "aspect_ratio"} & self.fields.keys():
            return
        table: dict[str, Any] = {}
        for choice, match in sizes.items():
            width, height = (int(side) for side in match.groups()) if match else (0, 0)
            table.setdefault(f"{min(width, height)}p", {})[_shape(width, height)] = choice
            if choice == found.default:
                self.defaults |= {"resolution": f"{min(width, height)}p", "aspect_ratio": _shape(width, height)}
        self.vendor["size"] = {"field": "size", **table}
        self._allowed["resolution"] = tuple(table)
        self._allowed["aspect_ratio"] = tuple(dict.fromkeys(shape for shapes in table.values() for shape in shapes))

    def _others(self) -> None:
        audio, seed = self._named("audio", "boolean"), self._named("seed", "integer")
        if audio is not None:
            self.fields["audio"], self._allowed["audio"] = audio.name, (True, False)
            self.defaults |= {"audio": audio.default} if isinstance(audio.default, bool) else {}
        if seed is not None:
            self.fields["seed"], self.seed = seed.name, int(max(seed.high or 0, 0)) or _SEED
        if self._named("negative_prompt", "string") is not None:
            self.fields["negative_prompt"] = "negative_prompt"

    # --- put together

    def mode(self) -> Mode:
        """What it accepts.

        Raises:
            ModelNotFoundError: It needs inputs that no task has.
        """
        has = {field for field in _INPUTS if field in self.fields}
        needs = {field for field in has if self._known[self.fields[field]].required}
        tasks = tuple(task for task, takes in _TASKS.items() if needs <= set(takes) <= has)
        if needs == _ANIMATE:
            tasks = (Task.ANIMATE_CHARACTER,)
        if not tasks:
            raise ModelNotFoundError(
                f"replicate/{self._name} needs {', '.join(sorted(needs))}, which no task takes together."
            )
        return Mode(
            tasks=tasks,
            durations=self._allowed.get("duration", ()),
            resolutions=self._allowed.get("resolution", ()),
            aspect_ratios=self._allowed.get("aspect_ratio", ()),
            audio=self._allowed.get("audio", (False,)),
            fps=self._allowed.get("fps", ()),
            reference_images=self._most_images,
        )

    def prompt(self, tasks: tuple[Task, ...]) -> PromptLimits:
        """How long a prompt may be: not at all where the model takes none."""
        found = self._known.get("prompt")
        if found is None:
            return PromptLimits(max=0, required_for=())
        return PromptLimits(required_for=tasks if found.required else ())


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and float(value) > 0
    except (TypeError, ValueError):
        return False


def _spelt(field: str, value: Any) -> str | None:
    """A value in the spelling of requests; None when it is none of its kind."""
    try:
        found: str | None = getattr(VideoRequest.make(**{field: value}), field)
    except RequestError:
        return None
    return found


def _shape(width: int, height: int) -> str:
    """The usual shape that pixels are nearest to."""
    usual = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21", "3:2", "2:3")
    return min(usual, key=lambda shape: abs(width / height - int(shape.split(":")[0]) / int(shape.split(":")[1])))


@cache
def _names() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("names.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
