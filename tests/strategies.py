"""Hypothesis strategies for offers, catalogues and requests that often fit each other and often do not.

Each is built from one drawn seed: drawing every value would cost a hundred times as much, and the properties need
many examples more than they need small ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from random import Random
from typing import Any, TypeVar

import msgspec
from hypothesis import strategies as st

from videogen_core.capabilities import Resolved
from videogen_core.catalog import Catalog
from videogen_core.request import Media, Task, VideoRequest
from videogen_core.spec import (
    REQUIRED_INPUTS,
    Camera,
    Defaults,
    Latency,
    License,
    Lifecycle,
    MediaLimits,
    Mode,
    ModelSpec,
    OptionSpec,
    Price,
    PromptLimits,
    Span,
    Stage,
    Tier,
)

T = TypeVar("T")

TODAY = date(2026, 11, 20)
DURATIONS = (4.0, 5.0, 6.0, 8.0, 10.0)
RESOLUTIONS = ("480p", "720p", "1080p", "4k")
SHAPES = ("16:9", "9:16", "1:1")
FPS = (24.0, 30.0)
PROVIDERS = ("acme", "blue", "coral")
TASKS = (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.FIRST_LAST_FRAME, Task.REFERENCE_TO_VIDEO, Task.EDIT_VIDEO)

IMAGE = Media(path="boat.png", mime_type="image/png", size=2_000, width=1280, height=720)
CLIP = Media(path="boat.mp4", mime_type="video/mp4", size=9_000, width=1280, height=720, duration=6.5)
UNSEEN_CLIP = Media(url="https://a.example/boat.mp4")


class Dice:
    """Chances, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def one(self, *values: T) -> T:
        return self.random.choice(values)

    def some(self, values: Sequence[T], *, least: int = 0) -> tuple[T, ...]:
        """An ordered part of ``values``."""
        chosen = self.random.sample(range(len(values)), self.random.randint(least, min(3, len(values))))
        return tuple(values[i] for i in sorted(chosen))


def a_span(dice: Dice) -> Span:
    low, steps, step = dice.one(1.0, 2.0, 4.0), dice.random.randint(1, 12), dice.one(None, 0.5, 1.0)
    return Span(min=low, max=low + steps * (step or 1.0), step=step)


def a_mode(dice: Dice) -> Mode:
    tasks = (Task.TEXT_TO_VIDEO, *dice.some(TASKS[1:])) if dice.chance(0.6) else dice.some(TASKS, least=1)
    allows = dice.some(("image", "last_frame", "reference_images", "video")) if dice.chance(0.3) else ()
    durations = a_span(dice) if dice.chance(0.3) else dice.some(DURATIONS, least=dice.one(0, 1, 1, 1))
    resolutions = dice.some(RESOLUTIONS, least=dice.one(0, 1, 1, 1))
    takes_references = "reference_images" in {*allows, *(name for task in tasks for name in REQUIRED_INPUTS[task])}
    return Mode(
        tasks=tasks,
        allows=allows,
        durations=durations,
        resolutions=resolutions,
        aspect_ratios=dice.some(SHAPES, least=dice.one(0, 1, 1, 1)),
        audio=dice.one((False,), (True,), (True, False)),
        fps=dice.some(FPS) if dice.chance(0.3) else (),
        count=dice.one(1, 1, 4),
        reference_images=dice.one(1, 3) if takes_references else 0,
        default=Defaults(
            duration=durations.min if isinstance(durations, Span) else None,
            resolution=dice.one(*resolutions) if resolutions and dice.chance(0.3) else None,
        ),
    )


def a_price(dice: Dice, options: Sequence[str]) -> Price:
    amount = Decimal(dice.random.randint(0, 2_000)) / 1000
    unit: Any = dice.one("second", "second", "second", "video", "image", "input_second", "megapixel", "gpu_second")
    credit = dice.one(None, None, Decimal("0.01"))
    return Price(
        amount=amount,
        low=dice.one(None, None, amount / 2),
        unit=unit,
        currency="USD" if credit is None else "credit",
        credit_usd=credit,
        kind="surcharge" if dice.chance(0.3) else "base",
        tasks=dice.some(TASKS) if dice.chance(0.3) else (),
        resolutions=dice.some(RESOLUTIONS) if dice.chance(0.3) else (),
        durations=dice.some(DURATIONS) if dice.chance(0.2) else (),
        audio=dice.one(None, None, None, True, False),
        options={name: dice.chance(0.5) for name in options if dice.chance(0.3)},
        free=dice.one(0, 0, 0, 2),
        minimum=dice.one(None, None, None, Decimal("0.5")),
        round_up=dice.chance(0.2),
        gpu_seconds=dice.one((Decimal(2), Decimal(5)), None) if unit == "gpu_second" else None,
    )


def a_lifecycle(dice: Dice) -> Lifecycle:
    if dice.chance(0.7):
        return Lifecycle()
    return Lifecycle(
        stage=dice.one(*Stage),
        deprecated=dice.one(None, date(2026, 1, 1), date(2027, 1, 1)),
        retired=dice.one(None, None, date(2026, 11, 20), date(2027, 6, 1)),
        replaced_by=dice.one(None, "boat-2"),
    )


LICENCES = (
    License(name="open"),
    License(name="research", commercial=False),
    License(name="abroad", excluded_territories=("DE",)),
)


def a_spec(dice: Dice, id_: str | None = None) -> ModelSpec:
    modes = tuple(a_mode(dice) for _ in range(dice.one(1, 2, 3)))
    options = {"turbo": OptionSpec(type="boolean", default=False)} if dice.chance(0.5) else {}
    prices = tuple(a_price(dice, tuple(options)) for _ in range(dice.one(0, 1, 1, 2, 3)))
    if dice.chance(0.6):
        prices += (Price(amount=Decimal(dice.random.randint(1, 60)) / 100),)
    negative_prompt = dice.one(False, True, "fold")
    if negative_prompt == "fold":
        options["fold"] = OptionSpec(type="boolean", default=dice.one(False, None))
    if dice.chance(0.1):
        options["style"] = OptionSpec(type="string", choices=("calm", "wild"), required=True)
    common = sorted({resolution for mode in modes for resolution in mode.resolutions})
    return ModelSpec(
        id=id_ or f"{dice.one(*PROVIDERS)}/m{dice.random.randint(0, 30)}",
        model=dice.one("", "boat", "reed"),
        first_party=dice.chance(0.4),
        modes=modes,
        default=Defaults(resolution=dice.one(None, *common)),
        prompt=PromptLimits(max=dice.one(None, 10, 2000)),
        image=MediaLimits(formats=dice.one((), (), ("image/png",), ("image/webp",))),
        video=MediaLimits(max_duration=dice.one(None, 5.0, 30.0)),
        output_fps=dice.one(None, 24.0),
        seed=dice.one(None, 2**32 - 1),
        negative_prompt=negative_prompt,
        camera=dice.one(None, Camera(moves=("push in", "pan left"))),
        options=options,
        lifecycle=a_lifecycle(dice),
        latency=dice.one(None, Latency(typical=30), Latency(typical=90)),
        tier=dice.one(*Tier),
        license=dice.one(*LICENCES) if dice.chance(0.3) else None,
        prices=prices,
        placeholder=dice.chance(0.1),
        source="a strategy",
        as_of=date(2026, 10, 1),
    )


def a_request(dice: Dice, spec: ModelSpec | None = None) -> VideoRequest:
    """Aimed at some mode of ``spec``, then now and then spoiled."""
    mode = dice.one(*spec.modes) if spec and spec.modes else a_mode(dice)
    task = dice.one(*mode.tasks)
    inputs = {*mode.required(task), *(name for name in mode.allows if dice.chance(0.2))}
    wanted: dict[str, Any] = {"prompt": "a boat", "task": task}
    for field in Defaults.__struct_fields__:
        values = mode.settable(field)
        if values and dice.chance(0.4):
            wanted[field] = values.snap(dice.random.uniform(1, 12)) if isinstance(values, Span) else dice.one(*values)
    for name in inputs:
        media = dice.one(CLIP, UNSEEN_CLIP) if name == "video" else IMAGE
        wanted[name] = [media] * dice.random.randint(1, mode.reference_images) if name == "reference_images" else media
    spoiled: dict[str, Any] = {
        "prompt": dice.one("", "a paper boat in the rain"),
        "duration": dice.one(*DURATIONS, 3.5, 7.0, 60.0),
        "resolution": dice.one(*RESOLUTIONS, "360p"),
        "aspect_ratio": dice.one(*SHAPES, "21:9"),
        "audio": dice.chance(0.5),
        "fps": dice.one(24.0, 60.0),
        "seed": dice.one(7, 2**40),
        "count": dice.one(3, 9),
        "image": IMAGE,
        "reference_images": [IMAGE] * 4,
        "negative_prompt": "blur",
        "camera": dice.one(["push in"], ["push in", "shake"]),
        "options": {
            spec.provider if spec else PROVIDERS[0]: dice.one({"turbo": True}, {"style": "odd"}, {"style": "wild"})
        },
    }
    for name in dice.some(tuple(spoiled), least=1) if dice.chance(0.5) else ():
        wanted[name] = spoiled[name]
    if dice.chance(0.15):  # in place of one it does not have
        provider = spec.provider if spec and dice.chance(0.8) else dice.one(*PROVIDERS)
        wanted |= {"negative_prompt": "blur", "options": {provider: {"fold": dice.one(True, True, False, "yes")}}}
    return VideoRequest.make(**wanted)


seeds = st.integers(0, 2**48)
specs = seeds.map(lambda seed: a_spec(Dice(seed)))


_LIMITS = ("prompt", "image", "video", "seed", "negative_prompt", "camera", "options", "prices")


def _offer_and_request(seed: int) -> tuple[ModelSpec, VideoRequest]:
    dice = Dice(seed)
    spec = a_spec(dice)
    return spec, a_request(dice, spec)


def _catalog_and_request(seed: int) -> tuple[Catalog, VideoRequest]:
    dice = Dice(seed)
    ids = {f"{dice.one(*PROVIDERS)}/m{dice.random.randint(0, 9)}" for _ in range(dice.random.randint(0, 8))}
    offers = [a_spec(dice, id_) for id_ in sorted(ids)]
    for place in range(1, len(offers)):  # several that can do the same
        if dice.chance(0.6):
            offers[place] = msgspec.structs.replace(offers[place], modes=offers[0].modes, default=offers[0].default)
            if dice.chance(0.5):
                offers[place] = msgspec.structs.replace(
                    offers[place], **{name: getattr(offers[0], name) for name in _LIMITS}
                )
    return Catalog(offers), a_request(dice, dice.one(*offers) if offers else None)


offers_and_requests = seeds.map(_offer_and_request)
catalogs_and_requests = seeds.map(_catalog_and_request)


def settable_fields_are_set(resolved: Resolved) -> bool:
    """Whether every field that the mode lets one choose has one of its values, and every other none."""
    for field in Defaults.__struct_fields__:
        values, value = resolved.mode.settable(field), getattr(resolved.request, field)
        if (value is not None) != bool(values) or (values and value not in values):
            return False
    return True
