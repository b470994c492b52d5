"""What an offer is: the data that a catalogue row holds, and nothing that acts on it.

An offer (`ModelSpec`) is one model at one provider. What it accepts is a list of `Mode`: each mode is a product of
allowed values, and a request is valid when one mode admits it. Interplay such as "1080p only at 8 seconds" is
therefore two modes in a data file, never a rule in code. The rules that read this data are in ``capabilities``
(check, fit) and ``pricing`` (estimate).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

import msgspec

from .errors import RequestError
from .request import Task, aspect_ratio_name, resolution_name

__all__ = [
    "CAMERA_MOVES",
    "Camera",
    "Defaults",
    "Latency",
    "License",
    "Lifecycle",
    "MediaLimits",
    "Mode",
    "ModelSpec",
    "OptionSpec",
    "Outline",
    "Price",
    "PromptLimits",
    "Span",
    "Stage",
    "Tier",
    "resolution_height",
]

CAMERA_MOVES = (
    "truck left", "truck right", "pan left", "pan right", "push in", "pull out", "pedestal up", "pedestal down",
    "tilt up", "tilt down", "zoom in", "zoom out", "shake", "tracking shot", "static shot",
)  # fmt: skip
"""The provider-neutral words for camera moves."""

REQUIRED_INPUTS: dict[Task, tuple[str, ...]] = {
    Task.TEXT_TO_VIDEO: (),
    Task.IMAGE_TO_VIDEO: ("image",),
    Task.FIRST_LAST_FRAME: ("image", "last_frame"),
    Task.REFERENCE_TO_VIDEO: ("reference_images",),
    Task.EXTEND_VIDEO: ("video",),
    Task.EDIT_VIDEO: ("video",),
    Task.UPSCALE_VIDEO: ("video",),
    Task.ANIMATE_CHARACTER: ("image", "video"),
    Task.CHANGE_FRAME_RATE: ("video",),
    Task.CONVERT_TO_HDR: ("video",),
}
"""What each task cannot do without, unless a mode's ``requires`` says otherwise."""

_NAMED_HEIGHTS = {"1k": 1080, "2k": 1440, "3k": 1620, "4k": 2160, "5k": 2880, "6k": 3384, "8k": 4320}


def resolution_height(name: str) -> int:
    """Lines of the shorter side that a resolution name means: 720 for ``720p``, 2160 for ``4k``, 0 for ``auto``."""
    if name.endswith("p") and name[:-1].isdigit():
        return int(name[:-1])
    return _NAMED_HEIGHTS.get(name, 0)


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Base of the catalogue's records: immutable, and an unknown key in a data file is an error.

    They are trees, so the garbage collector need not walk them; with ten thousand offers that shows.
    """


class Span(Struct, frozen=True, kw_only=True):
    """Every value from ``min`` to ``max``, in steps of ``step`` from ``min``, or continuously without a step."""

    min: float
    max: float
    step: float | None = None

    def __post_init__(self) -> None:
        bounds = (self.min, self.max) if self.step is None else (self.min, self.max, self.step)
        if not all(map(math.isfinite, bounds)) or self.min > self.max or (self.step is not None and self.step <= 0):
            raise ValueError(f"not a span: min={self.min}, max={self.max}, step={self.step}")

    def __contains__(self, value: float) -> bool:
        if not self.min <= value <= self.max:
            return False
        if self.step is None:
            return True
        steps = (value - self.min) / self.step
        return abs(steps - round(steps)) < 1e-6

    def snap(self, value: float, *, up: bool = False) -> float | None:
        """The nearest member; with ``up`` the smallest member that is not below ``value``, or None."""
        if up and value > self.max:
            return None
        clamped = min(max(value, self.min), self.max)
        if self.step is None:
            return clamped
        steps = (clamped - self.min) / self.step
        count = math.ceil(steps - 1e-9) if up else math.ceil(steps - 0.5)  # half way goes down
        last = math.floor((self.max - self.min) / self.step + 1e-9)
        if up and count > last:
            return None
        return round(self.min + min(count, last) * self.step, 9)


def _need_canonical(field: str, names: tuple[str, ...], spelling: Callable[[str], str | None]) -> None:
    """Requests are normalised, so a row that spells a name otherwise could never be reached."""
    for name in names:
        try:
            canonical = spelling(name)
        except RequestError as error:
            raise ValueError(error.message) from error
        if canonical != name:
            raise ValueError(f"{field}: write {canonical!r} for {name!r}")


class Defaults(Struct, frozen=True, kw_only=True):
    """What the provider does when a field is left out; each is sent explicitly all the same."""

    duration: float | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    audio: bool | None = None
    fps: float | None = None


_PLURAL = {"duration": "durations", "resolution": "resolutions", "aspect_ratio": "aspect_ratios"}


class Mode(Struct, frozen=True, kw_only=True):
    """One product of allowed values. An empty list means that the field cannot be set in this mode.

    Attributes:
        tasks: Kinds of work.
        durations: Seconds, listed or as a `Span`. Empty: the length follows the source.
        resolutions: Names, in rising order. Empty: no choice.
        aspect_ratios: Names. Empty: the shape follows the input.
        audio: ``[true, false]`` = a switch, ``[true]`` = always on, ``[false]`` = silent.
        fps: Frames per second that can be asked for.
        count: Most clips in one call.
        requires: Inputs that must be present; None = what the task needs.
        allows: Inputs that may be present as well.
        reference_images: Most reference images.
        default: Overrides the model's defaults within this mode.
        source: Where it was read, when not the model's source.
        as_of: When it was read, when not the model's date.
    """

    tasks: tuple[Task, ...]
    durations: tuple[float, ...] | Span = ()
    resolutions: tuple[str, ...] = ()
    aspect_ratios: tuple[str, ...] = ()
    audio: tuple[bool, ...] = (False,)
    fps: tuple[float, ...] | Span = ()
    count: int = 1
    requires: tuple[str, ...] | None = None
    allows: tuple[str, ...] = ()
    reference_images: int = 0
    default: Defaults = Defaults()
    source: str | None = None
    as_of: date | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("a mode needs at least one task")
        if not self.audio:
            raise ValueError("audio: write [false] for a silent mode")
        if self.count < 1:
            raise ValueError("count: at least 1")
        _need_canonical("resolutions", self.resolutions, resolution_name)
        _need_canonical("aspect_ratios", self.aspect_ratios, aspect_ratio_name)
        for field in ("duration", "fps"):
            values = self.settable(field)
            numbers = (values.min,) if isinstance(values, Span) else values
            if not all(0 < number < math.inf for number in numbers):
                raise ValueError(f"{field}: {min(numbers)} is not a positive number")
        for field in Defaults.__struct_fields__:
            value = getattr(self.default, field)
            if value is not None and value not in self.settable(field):
                raise ValueError(f"default.{field}: {value} is not among the mode's own values")
        takes_references = any("reference_images" in (*self.required(task), *self.allows) for task in self.tasks)
        if takes_references and self.reference_images < 1:
            raise ValueError("reference_images: say how many at most")

    def settable(self, field: str) -> tuple[Any, ...] | Span:
        """The values that a field of `Defaults` may take in this mode."""
        values: tuple[Any, ...] | Span = getattr(self, _PLURAL.get(field, field))
        return values

    def required(self, task: Task) -> tuple[str, ...]:
        """The inputs that ``task`` needs in this mode."""
        return REQUIRED_INPUTS[task] if self.requires is None else self.requires


class PromptLimits(Struct, frozen=True, kw_only=True):
    """How long a prompt may be.

    Attributes:
        max: Most units; None = not documented.
        min: Fewest units.
        unit: ``characters`` (code points), ``utf16`` (code units), ``bytes`` (UTF-8), or ``tokens``. Tokens cannot
            be counted without the vendor's tokenizer: whitespace-separated words are counted, so that only a prompt
            that is certainly too long is refused.
        required_for: Tasks that cannot do without a prompt.
    """

    max: int | None = None
    min: int = 0
    unit: Literal["characters", "utf16", "bytes", "tokens"] = "characters"
    required_for: tuple[Task, ...] = (Task.TEXT_TO_VIDEO,)


class MediaLimits(Struct, frozen=True, kw_only=True):
    """What an input file may be. Sizes in bytes, sides in pixels, ratios as width / height, durations in seconds."""

    formats: tuple[str, ...] = ()
    max_bytes: int | None = None
    min_side: int | None = None
    max_side: int | None = None
    min_ratio: float | None = None
    max_ratio: float | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    schemes: tuple[str, ...] = ("https", "http")


class Camera(Struct, frozen=True, kw_only=True):
    """Camera moves that a model understands, in the neutral words of `CAMERA_MOVES`.

    Attributes:
        moves: Moves it knows.
        style: How the provider takes them, for its plugin to read.
        advised: More than this many at once work badly; a warning, not an error.
        option: The name of a boolean option: only where that option is true, which lets the plugin say them in the
            prompt instead. None = always.
    """

    moves: tuple[str, ...]
    style: str = "native"
    advised: int | None = None
    option: str | None = None


class OptionSpec(Struct, frozen=True, kw_only=True):
    """A provider-specific option: type, allowed values and default.

    Attributes:
        type: JSON's name of its type.
        choices: The only values; empty = any.
        min, max: Bounds of a number, or of the length of anything else.
        step: Only ``min`` (0 where there is none) and so many steps more, as in 81, 85, 89 frames.
        default: What applies when it is left out.
        required: Whether it must be given.
        description: For people.
    """

    type: Literal["boolean", "integer", "number", "string", "array", "object"]
    choices: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None
    step: float | None = None
    default: Any = None
    required: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if self.step is not None and (self.type not in ("integer", "number") or not 0 < self.step < math.inf):
            raise ValueError(f"step: {self.step} is no step of a {self.type}")


class Stage(StrEnum):
    """Where in its life an offer is."""

    PREVIEW = "preview"
    GA = "ga"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


class Lifecycle(Struct, frozen=True, kw_only=True):
    """When an offer came, and when it goes.

    Attributes:
        stage: As of the fact's date; ``stage_on`` says what it is on a given day.
        released: First day.
        deprecated: Day from which it should not be started with.
        retired: Day from which calls fail; may lie ahead.
        replaced_by: Model name to use instead.
        note: One sentence for the user.
    """

    stage: Stage = Stage.GA
    released: date | None = None
    deprecated: date | None = None
    retired: date | None = None
    replaced_by: str | None = None
    note: str | None = None
    source: str | None = None
    as_of: date | None = None

    def stage_on(self, day: date) -> Stage:
        """The stage on ``day``: dates that have passed count even if the row was written before them."""
        if self.stage is Stage.RETIRED or (self.retired is not None and self.retired <= day):
            return Stage.RETIRED
        if self.stage is Stage.DEPRECATED or (self.deprecated is not None and self.deprecated <= day):
            return Stage.DEPRECATED
        return self.stage


class Latency(Struct, frozen=True, kw_only=True):
    """How long a clip takes, in seconds from submit to done: typical, and in a bad hour."""

    typical: float
    slow: float | None = None
    source: str | None = None
    as_of: date | None = None


class License(Struct, frozen=True, kw_only=True):
    """Terms of an open model that decide who may use it and its output.

    Attributes:
        name: Short; a user who says yes to the licence writes it.
        commercial: Whether clips may be used in business.
        revenue_limit_usd: Yearly revenue from which it no longer holds.
        excluded_territories: ISO country codes, and ``EU`` for all of its members.
        note: One more thing to know, as a phrase: that the clips fall under it too, say.
        url: Where it can be read.
    """

    name: str
    commercial: bool = True
    revenue_limit_usd: int | None = None
    excluded_territories: tuple[str, ...] = ()
    note: str = ""
    url: str | None = None

    @property
    def limits(self) -> tuple[str, ...]:
        """What it limits, as phrases; empty when it lets everybody use the model for everything."""
        limits = [] if self.commercial else ["no commercial use"]
        if self.revenue_limit_usd is not None:
            limits.append(f"not for who earns ${self.revenue_limit_usd:,} a year or more")
        if self.excluded_territories:
            limits.append(f"not in {', '.join(self.excluded_territories)}")
        return tuple(limits)


class Tier(StrEnum):
    """Quality tier."""

    ECONOMY = "economy"
    STANDARD = "standard"
    PREMIUM = "premium"


class Price(Struct, frozen=True, kw_only=True):
    """One rule of a price list.

    The first ``base`` rule whose conditions hold is the price; every ``surcharge`` whose conditions hold is added.

    Attributes:
        amount: Per unit, in ``currency``; the upper end where ``low`` is given.
        low: Lower end, where the price depends on what the model does.
        unit: ``second`` and ``video`` of output, ``image`` (input images), ``input_second`` (source video),
            ``prompt_token`` (of the prompt, which only the vendor can count: at least its words, at most its bytes),
            ``megapixel`` (of output frames: width x height x frames / 10^6), ``gpu_second``.
        currency: ``USD``, or ``credit`` with ``credit_usd`` the price of one.
        kind: ``base`` or ``surcharge``.
        tasks, resolutions, durations, audio: Conditions; empty or None = any.
        options: Conditions on provider options, compared with the value that applies.
        free: Units of a whole call that cost nothing.
        minimum: Least charge of this line for a whole call, in ``currency``.
        round_up: Whether a part of a unit counts as a whole one, for each clip.
        gpu_seconds: For ``gpu_second``: GPU seconds per second of output, lowest and highest seen.
        label: What the quote's line is called.
        source: Where it was read, when not the model's source.
        as_of: When it was read, when not the model's date.
    """

    amount: Decimal
    low: Decimal | None = None
    unit: Literal["second", "video", "image", "input_second", "prompt_token", "megapixel", "gpu_second"] = "second"
    currency: Literal["USD", "credit"] = "USD"
    credit_usd: Decimal | None = None
    kind: Literal["base", "surcharge"] = "base"
    tasks: tuple[Task, ...] = ()
    resolutions: tuple[str, ...] = ()
    durations: tuple[float, ...] = ()
    audio: bool | None = None
    options: dict[str, Any] = {}
    free: int = 0
    minimum: Decimal | None = None
    round_up: bool = False
    gpu_seconds: tuple[Decimal, Decimal] | None = None
    label: str = ""
    source: str | None = None
    as_of: date | None = None

    def __post_init__(self) -> None:
        numbers = [self.amount, *(n for n in (self.low, self.minimum, self.credit_usd) if n is not None)]
        numbers += self.gpu_seconds or ()
        if not all(number.is_finite() and 0 <= number < 10**9 for number in numbers):
            raise ValueError("prices are not negative and below 10^9")
        if self.low is not None and self.low > self.amount:
            raise ValueError("low is above amount")
        if self.gpu_seconds is not None and self.gpu_seconds[0] > self.gpu_seconds[1]:
            raise ValueError("gpu_seconds: lowest first")
        if self.free < 0:
            raise ValueError("free is negative")
        _need_canonical("resolutions", self.resolutions, resolution_name)
        if (self.currency == "credit") != (self.credit_usd is not None):
            raise ValueError("credit_usd goes with currency = 'credit', and only with it")


class Outline(Struct, frozen=True, kw_only=True):
    """Marks a row that knows what a model is called and costs, and not what it takes.

    Its provider is asked for the rest when the model is named. Until then it can be listed and nothing else.

    Attributes:
        tasks: Kinds of work that it is known for.
        note: What else is known, for people.
    """

    tasks: tuple[Task, ...] = ()
    note: str | None = None


class ModelSpec(Struct, frozen=True, kw_only=True):
    """One offer: one model at one provider.

    Attributes:
        id: ``provider/name``, unique.
        model: The name that all offers of one model share; the part after the slash unless given.
        title: For people.
        maker: Who made the model.
        first_party: Whether the provider is the maker.
        aliases: Old and vendor names.
        modes: What it accepts.
        outline: Instead of all that it accepts, where only its provider can say that.
        default: What the provider does when a field is left out.
        prompt, image, video: Input limits.
        sizes: Pixels per resolution and aspect ratio, where they are not simply the short side and the shape.
        output_fps: Frames per second of what it makes, where that cannot be set.
        seed: Largest seed; None = no seed.
        negative_prompt: Whether it has one. The name of a boolean option: only where that option is true, which lets
            the plugin say it in the prompt instead.
        camera: Camera moves it understands.
        options: Provider-specific options by name.
        lifecycle: Preview, GA, deprecated, retired.
        latency: Typical seconds.
        tier: Quality tier.
        license: For open models.
        marks: What the vendor says to put into every clip so that it can be told for a made one, such as ``SynthID``.
        prices: Price rules.
        placeholder: True when it makes no real video, such as a toy or the sandbox; never chosen unless asked for.
        vendor: Free data for the plugin (wire id, endpoint), ignored by the core.
        source: Where the facts were read.
        as_of: When.
    """

    id: str
    model: str = ""
    title: str = ""
    maker: str = ""
    first_party: bool = False
    aliases: tuple[str, ...] = ()
    modes: tuple[Mode, ...] = ()
    outline: Outline | None = None
    default: Defaults = Defaults()
    prompt: PromptLimits = PromptLimits()
    image: MediaLimits = MediaLimits()
    video: MediaLimits = MediaLimits()
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    output_fps: float | None = None
    seed: int | None = None
    negative_prompt: bool | str = False
    camera: Camera | None = None
    options: dict[str, OptionSpec] = {}
    lifecycle: Lifecycle = Lifecycle()
    latency: Latency | None = None
    tier: Tier = Tier.STANDARD
    license: License | None = None
    marks: tuple[str, ...] = ()
    prices: tuple[Price, ...] = ()
    placeholder: bool = False
    vendor: dict[str, Any] = {}
    source: str
    as_of: date

    def __post_init__(self) -> None:
        provider, slash, name = self.id.partition("/")
        if not (provider and slash and name) or self.id != self.id.strip().lower():
            raise ValueError(f"id {self.id!r}: expected provider/name in lower case")
        if not self.modes and self.outline is None and self.lifecycle.stage is not Stage.RETIRED:
            raise ValueError(f"{self.id}: a model that is not retired needs at least one mode, or an outline")
        if self.outline is not None and (said := [name for name in _TAKEN if getattr(self, name) not in _NOTHING]):
            raise ValueError(f"{self.id}: an outline leaves {said[0]} for its provider to say")
        for mode in self.modes:
            for field in ("duration", "fps"):
                allowed = mode.settable(field)
                default = getattr(mode.default, field) or getattr(self.default, field)
                if isinstance(allowed, Span) and (default is None or default not in allowed):
                    raise ValueError(f"{self.id}: a span of {field} needs a default inside it")
        for field in Defaults.__struct_fields__:
            default = getattr(self.default, field)
            if default is not None and self.modes and not any(default in mode.settable(field) for mode in self.modes):
                raise ValueError(f"{self.id}: default.{field} {default} is a value of no mode")
        camera = self.camera.option if self.camera else None
        for field, option in (("negative_prompt", self.negative_prompt), ("camera.option", camera)):
            switch = self.options.get(option) if isinstance(option, str) else None
            if isinstance(option, str) and (switch is None or switch.type != "boolean" or switch.default):
                raise ValueError(f"{self.id}: {field} names no boolean option that is off by default")
        for price in self.prices:
            if unknown := price.options.keys() - self.options.keys():
                raise ValueError(f"{self.id}: a price depends on the unknown option {min(unknown)!r}")

    @property
    def provider(self) -> str:
        """The adapter id: the part of ``id`` before the first slash."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """The shared model name."""
        return self.model or self.id.partition("/")[2]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Every task that some mode has, or that an outline is known for, in the order of `Task`."""
        have = {task for mode in self.modes for task in mode.tasks}
        have |= set(self.outline.tasks if self.outline else ())
        return tuple(task for task in Task if task in have)

    @property
    def unknown(self) -> str:
        """Why nothing can be asked of an outline, and what to do about that; empty for any other offer."""
        if self.outline is None:
            return ""
        return f"what it takes is not in the catalogue; naming {self.id}, with a key, has {self.provider} asked for it"


_TAKEN = (
    *("modes", "default", "prompt", "image", "video", "sizes", "output_fps", "seed", "negative_prompt", "camera"),
    "options",
)
_NOTHING: tuple[Any, ...] = ((), {}, None, False, Defaults(), PromptLimits(), MediaLimits())
