"""Synthetic catalogues that are varied on purpose: the same number gives the same catalogue."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from random import Random

from videogen_core.catalog import Catalog
from videogen_core.request import Task, VideoRequest
from videogen_core.routing import Facts
from videogen_core.spec import Defaults, Latency, Lifecycle, Mode, ModelSpec, Price, PromptLimits, Span, Stage, Tier

TODAY = date(2026, 11, 20)

_PROVIDERS = 20
_DURATIONS: tuple[tuple[float, ...] | Span, ...] = (
    (4, 6, 8),
    (5, 10),
    (6, 10),
    (5,),
    Span(min=2, max=10, step=1),
    Span(min=1, max=20),
)
_RESOLUTIONS = (("720p",), ("720p", "1080p"), ("480p", "720p"), ("768p", "1080p"), ("540p", "720p", "1080p", "4k"))
_SHAPES = (("16:9", "9:16"), ("16:9",), ("16:9", "9:16", "1:1"), ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9"))
_AUDIO = ((True, False), (False,), (True,))
_TASKS = (
    (Task.TEXT_TO_VIDEO,),
    (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO),
    (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO, Task.FIRST_LAST_FRAME),
)


def catalogue(offers: int) -> Catalog:
    """A catalogue of so many offers at twenty providers, with one to three modes each."""
    dice = Random(offers)
    return Catalog(_offer(number, dice) for number in range(offers))


def _offer(number: int, dice: Random) -> ModelSpec:
    modes = [_mode(dice) for _ in range(dice.choice((1, 1, 2, 3)))]
    first = modes[0]
    return ModelSpec(
        id=f"p{number % _PROVIDERS}/model-{number}",
        model=f"model-{number // 3}",
        maker=f"maker-{number % 37}",
        first_party=dice.random() < 0.3,
        aliases=(f"model-{number}-001",),
        modes=tuple(modes),
        default=Defaults(resolution=dice.choice(first.resolutions), aspect_ratio="16:9"),
        prompt=PromptLimits(max=dice.choice((None, 1000, 2000, 4000))),
        seed=dice.choice((None, 2**32 - 1)),
        negative_prompt=dice.random() < 0.5,
        lifecycle=Lifecycle(stage=dice.choice((Stage.GA, Stage.GA, Stage.GA, Stage.PREVIEW, Stage.DEPRECATED))),
        latency=dice.choice((None, Latency(typical=dice.randint(20, 240)))),
        tier=dice.choice(tuple(Tier)),
        prices=_prices(dice),
        source="synthetic",
        as_of=TODAY,
    )


def _mode(dice: Random) -> Mode:
    durations = dice.choice(_DURATIONS)
    usual = 5.0 if isinstance(durations, Span) else dice.choice(durations)
    return Mode(
        tasks=dice.choice(_TASKS),
        durations=durations,
        resolutions=dice.choice(_RESOLUTIONS),
        aspect_ratios=dice.choice(_SHAPES),
        audio=dice.choice(_AUDIO),
        fps=dice.choice(((), (24,), (24, 30))),
        count=dice.choice((1, 1, 4)),
        default=Defaults(duration=usual),
    )


def _prices(dice: Random) -> tuple[Price, ...]:
    """None for some; for others by resolution or audio, by the clip, in credits, or with a range."""

    def amount(low: int, high: int) -> Decimal:
        return Decimal(dice.randint(low, high)) / 1000

    match dice.randrange(6):
        case 0:
            return ()
        case 1:
            return (Price(amount=amount(200, 900), resolutions=("1080p", "4k")), Price(amount=amount(20, 400)))
        case 2:
            return (Price(amount=amount(100, 750), audio=True), Price(amount=amount(20, 300), audio=False))
        case 3:
            return (Price(amount=amount(100, 3000), unit="video"),)
        case 4:
            return (Price(amount=Decimal(dice.randint(2, 40)), currency="credit", credit_usd=Decimal("0.01")),)
        case _:
            return (Price(low=amount(10, 90), amount=amount(90, 500)),)


def facts(offers: int) -> Facts:
    """Two providers of twenty are not ready, one rests, and every seventh offer has been observed."""
    seen = {f"p{n % _PROVIDERS}/model-{n}": 30.0 + n % 90 for n in range(0, offers, 7)}
    return Facts(
        today=TODAY,
        not_ready={"p3": "P3_API_KEY is not set", "p7": "P7_API_KEY is not set"},
        resting={"p11": "it keeps failing; it is tried again in 20 s"},
        latency=seen,
        failure_rate=dict.fromkeys(list(seen)[::5], 0.1),
    )


def requests() -> list[VideoRequest]:
    """Requests of different shapes, from one that leaves nearly all open to one that fixes nearly all."""
    prompt = "A paper boat drifting down a rainy street"
    return [
        VideoRequest.make(prompt),
        VideoRequest.make(prompt, duration=5),
        VideoRequest.make(prompt, resolution="720p"),
        VideoRequest.make(prompt, duration=8, audio=True),
        VideoRequest.make(prompt, duration=6, resolution="1080p", aspect_ratio="16:9"),
        VideoRequest.make(prompt, resolution="720p", aspect_ratio="9:16", audio=False, seed=7),
        VideoRequest.make(prompt, duration=10, resolution="720p", aspect_ratio="16:9", audio=False),
        VideoRequest.make(prompt, aspect_ratio="1:1", negative_prompt="blur"),
    ]
