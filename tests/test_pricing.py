"""Prices: worked examples by hand, exact to the cent, never a guess, and never above the quote's high end."""

from __future__ import annotations

import itertools
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from strategies import IMAGE, TODAY, UNSEEN_CLIP, offers_and_requests
from videogen_core.capabilities import check, resolve
from videogen_core.errors import RequestError, UnsupportedRequestError
from videogen_core.pricing import bounds, estimate, max_duration, money, quote, tidy
from videogen_core.request import Media, Task, VideoRequest
from videogen_core.spec import Defaults, MediaLimits, Mode, ModelSpec, OptionSpec, Price, Span

make = VideoRequest.make
D = Decimal
ALL = tuple(Task)


def usd(amount: str, **facts: Any) -> Price:
    return Price(amount=D(amount), **facts)


def in_credits(amount: str, **facts: Any) -> Price:
    return Price(amount=D(amount), currency="credit", credit_usd=D("0.01"), **facts)


def offer(*prices: Price, durations: Any = (4, 5, 6, 8, 10), **facts: Any) -> ModelSpec:
    mode = Mode(
        tasks=ALL, requires=(), allows=("image", "last_frame", "reference_images", "video"), reference_images=9,
        durations=durations, resolutions=("480p", "720p", "768p", "1080p", "2k", "4k"), aspect_ratios=("16:9", "9:16"),
        audio=(True, False), fps=(24, 30), count=4,
    )  # fmt: skip
    known: dict[str, Any] = {"default": Defaults(duration=5, resolution="720p")} | facts
    return ModelSpec(id="acme/boat", modes=(mode,), prices=prices, source="https://acme.example", as_of=TODAY, **known)


VEO = offer(
    usd("0.60", resolutions=("4k",), audio=True),
    usd("0.40", resolutions=("4k",)),
    usd("0.40", audio=True),
    usd("0.20"),
)
VEO_FAST = offer(
    usd("0.10", low=D("0.08"), resolutions=("720p",), audio=False),
    usd("0.10", resolutions=("720p",)),
    usd("0.12", resolutions=("1080p",)),
)
HAILUO = offer(
    *(
        usd(amount, unit="video", resolutions=(resolution,), durations=(seconds,))
        for resolution, seconds, amount in (("768p", 6, "0.28"), ("768p", 10, "0.56"), ("1080p", 6, "0.49"))
    )
)
H3 = offer(
    usd("0.08", resolutions=("768p",)),
    usd("0.13", resolutions=("2k",)),
    usd("0.04", unit="image", kind="surcharge", free=5),
    usd("0.08", unit="input_second", kind="surcharge", round_up=True, resolutions=("768p",)),
)
GEN45 = offer(
    in_credits("12"),
    in_credits("5", kind="surcharge", options={"output_format": "prores"}, label="ProRes"),
    options={"output_format": OptionSpec(type="string", choices=("mp4", "prores"), default="mp4")},
)
ALEPH = offer(in_credits("28", minimum=D(56)), durations=(), default=Defaults(), video=MediaLimits(max_duration=30))
MINI = offer(in_credits("16", minimum=D(64)), durations=Span(min=1, max=15, step=1), default=Defaults(duration=5))
SEEDANCE = offer(
    in_credits("20", resolutions=("480p",), minimum=D(80)),
    in_credits("30", resolutions=("720p",), minimum=D(80)),
    in_credits("10", unit="input_second", kind="surcharge", resolutions=("480p",)),
)
PIXELS = offer(usd("0.002", unit="megapixel"), output_fps=24)
GPU = offer(usd("0.001525", unit="gpu_second", gpu_seconds=(D(10), D(20))))
CLIP = Media(path="clip.mp4", duration=2)
FIVE_AND_A_HALF = Media(path="clip.mp4", duration=5.5)

SEVEN = {"reference_images": [IMAGE] * 5, "image": IMAGE, "last_frame": IMAGE}

WORKED: list[tuple[str, ModelSpec, dict[str, Any], str | None]] = [
    ("veo 1080p 8 s audio x2", VEO, {"resolution": "1080p", "duration": 8, "audio": True, "count": 2}, "6.40"),
    ("veo 720p 8 s audio", VEO, {"duration": 8, "audio": True}, "3.20"),
    ("veo 720p 8 s silent", VEO, {"duration": 8, "audio": False}, "1.60"),
    ("veo 4k 8 s silent", VEO, {"resolution": "4k", "duration": 8, "audio": False}, "3.20"),
    ("veo fast 720p 4 s", VEO_FAST, {"duration": 4, "audio": True}, "0.40"),
    ("veo fast 720p 4 s silent, price unsure", VEO_FAST, {"duration": 4, "audio": False}, "0.32 to 0.40"),
    ("veo fast 4k: not on the list", VEO_FAST, {"resolution": "4k", "duration": 8}, None),
    ("hailuo 768p 6 s", HAILUO, {"resolution": "768p", "duration": 6}, "0.28"),
    ("hailuo 768p 10 s x2", HAILUO, {"resolution": "768p", "duration": 10, "count": 2}, "1.12"),
    ("hailuo 1080p 10 s: not on the list", HAILUO, {"resolution": "1080p", "duration": 10}, None),
    ("h3 2k 6 s", H3, {"resolution": "2k", "duration": 6}, "0.78"),
    ("h3 768p 5 s", H3, {"resolution": "768p", "duration": 5}, "0.40"),
    ("h3 768p 5 s, 7 images", H3, {"resolution": "768p", "duration": 5, "reference_images": [IMAGE] * 7}, "0.48"),
    ("h3 768p 5 s, frames count as images", H3, {"resolution": "768p", "duration": 5} | SEVEN, "0.48"),
    ("h3, source seconds rounded up", H3, {"resolution": "768p", "duration": 5, "video": FIVE_AND_A_HALF}, "0.88"),
    ("gen4.5 5 s", GEN45, {"duration": 5}, "0.60"),
    ("gen4.5 5 s prores", GEN45, {"duration": 5, "options": {"acme": {"output_format": "prores"}}}, "0.85"),
    ("aleph2 of a 2 s clip", ALEPH, {"video": CLIP}, "0.56"),
    ("aleph2 of a 5.5 s clip", ALEPH, {"video": FIVE_AND_A_HALF}, "1.54"),
    ("aleph2 of a clip not seen yet", ALEPH, {"video": UNSEEN_CLIP}, "0.56 to 8.40"),
    ("aleph2 of nothing", ALEPH, {}, None),
    ("seedance mini 4 s", MINI, {"duration": 4}, "0.64"),
    ("seedance mini 1 s, least charge", MINI, {"duration": 1}, "0.64"),
    ("seedance mini 3 s x2, least charge once", MINI, {"duration": 3, "count": 2}, "0.96"),
    ("seedance 2.5 4 s 480p", SEEDANCE, {"duration": 4, "resolution": "480p"}, "0.80"),
    ("seedance 2.5 10 s 480p of 2 s", SEEDANCE, {"duration": 10, "resolution": "480p", "video": CLIP}, "2.20"),
    ("1280x720, 24 fps, 5 s", PIXELS, {"duration": 5, "aspect_ratio": "16:9", "fps": 24}, "0.221184"),
    ("1280x720, 30 fps, 5 s x2", PIXELS, {"duration": 5, "aspect_ratio": "16:9", "fps": 30, "count": 2}, "0.55296"),
    ("gpu seconds, 5 s", GPU, {"duration": 5}, "0.07625 to 0.1525"),
    ("no list at all", offer(), {"duration": 5}, None),
    ("a surcharge without a price", offer(usd("1", kind="surcharge")), {"duration": 5}, None),
    ("gpu seconds nobody measured", offer(usd("0.001", unit="gpu_second")), {"duration": 5}, None),
    ("free", offer(usd("0")), {"duration": 5}, "0.00"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted", "cost"), [row[1:] for row in WORKED], ids=[row[0] for row in WORKED])
def test_worked_examples(spec: ModelSpec, wanted: dict[str, Any], cost: str | None) -> None:
    priced = estimate(spec, make("a boat", **wanted), today=TODAY)
    if cost is None:
        assert (priced.amount, priced.low, priced.high, priced.known) == (None, None, None, False)
        assert (str(priced), priced.lines) == ("unknown", ())
        assert "is unknown" in priced.notes[0]
    else:
        assert str(priced) == f"${cost}".replace("to ", "to $")
        assert priced.amount == priced.high


def test_a_quote_is_itemised_with_source_and_date() -> None:
    read = {"as_of": date(2026, 9, 1), "source": "https://x.example"}
    spec = offer(usd("0.08"), usd("0.04", unit="image", kind="surcharge", free=1, label="extra images", **read))
    priced = estimate(spec, make("a boat", duration=5, reference_images=[IMAGE] * 3), today=TODAY)
    assert [(line.label, line.quantity, line.unit, line.unit_price, line.high) for line in priced.lines] == [
        ("720p with audio", D(5), "s", D("0.08"), D("0.40")),
        ("extra images", D(2), "input image", D("0.04"), D("0.08")),
    ]
    assert (priced.offer, priced.currency, priced.as_of, priced.source) == (
        "acme/boat", "USD", date(2026, 9, 1), "https://x.example",
    )  # fmt: skip
    assert json.loads(json.dumps(priced.to_dict()))["high"] == "0.48"


def test_stale_prices_warn() -> None:
    for days, notes in ((180, 0), (181, 1)):
        assert len(estimate(VEO, make("a boat"), today=TODAY + timedelta(days)).notes) == notes
    assert estimate(VEO, make("a boat"), today=TODAY + timedelta(181)).notes[0] == (
        "The price was read on 2026-11-20, 181 days ago; check it at https://acme.example."
    )
    assert len(estimate(offer(), make("a boat"), today=TODAY + timedelta(999)).notes) == 1


def test_an_unseen_source_clip_is_noted_only_where_it_matters() -> None:
    notes = [estimate(spec, make("a boat", video=UNSEEN_CLIP), today=TODAY).notes for spec in (ALEPH, VEO)]
    assert [len(found) for found in notes] == [1, 0]
    unseen = offer(usd("0.1"), usd("0.1", unit="input_second", kind="surcharge"), video=MediaLimits(max_duration=9))
    assert "source clip" in estimate(unseen, make("a boat", video=UNSEEN_CLIP), today=TODAY).notes[0]


@settings(max_examples=1000)
@given(offers_and_requests)
def test_lines_add_up_and_stay_within_low_and_high(pair: tuple[ModelSpec, VideoRequest]) -> None:
    spec, request = pair
    if check(spec, request):
        return
    resolved = resolve(spec, request).request
    priced, ends = quote(spec, resolved, today=TODAY), bounds(spec, resolved)
    if priced.low is None or priced.high is None or priced.amount is None:
        assert ends is None
        return
    assert ends == (priced.low, priced.high)
    assert 0 <= priced.low <= priced.amount <= priced.high
    assert sum(line.low for line in priced.lines) == priced.low
    assert sum(line.high for line in priced.lines) == priced.high
    assert all(type(number) is Decimal for number in (priced.low, priced.high))
    for line in priced.lines:
        assert all(type(n) is Decimal for n in (line.quantity, line.unit_price, line.low, line.high))
        assert line.low <= line.high


def lengths(spec: ModelSpec) -> list[float]:
    """Every length that one could ask for, near enough."""
    found: set[float] = set()
    for mode in spec.modes:
        if isinstance(mode.durations, Span):
            found |= {mode.durations.min, mode.durations.max}
            found |= {t / 10 for t in range(200) if t / 10 in mode.durations}
        else:
            found |= set(mode.durations)
    return sorted(found)


def cost_of(spec: ModelSpec, request: VideoRequest, seconds: float) -> Decimal | None:
    try:
        cost = bounds(spec, resolve(spec, msgspec.structs.replace(request, duration=seconds)).request)
    except UnsupportedRequestError:
        return None
    return None if cost is None else cost[1]


@settings(max_examples=300)
@given(offers_and_requests, st.integers(0, 500).map(lambda cents: D(cents) / 100))
def test_max_duration_is_what_the_budget_buys(pair: tuple[ModelSpec, VideoRequest], budget: Decimal) -> None:
    spec, request = pair
    costs = {seconds: cost for seconds in lengths(spec) if (cost := cost_of(spec, request, seconds)) is not None}
    try:
        longest = max_duration(spec, request, budget)
    except RequestError:
        assert costs == {}
        return
    affordable = [seconds for seconds, cost in costs.items() if cost <= budget]
    assert longest == (max(affordable) if affordable else None)


def test_max_duration_at_its_edges() -> None:
    steps = offer(usd("0.10"), durations=Span(min=2, max=10, step=0.5), default=Defaults(duration=2))
    for budget, longest in (("0.19", None), ("0.20", 2), ("0.249", 2), ("0.25", 2.5), ("1", 10), ("99", 10)):
        assert max_duration(steps, make("a boat"), D(budget)) == longest
    free_length = offer(usd("0.10"), durations=Span(min=2, max=10.05), default=Defaults(duration=2))
    for budget, longest in (("0.57", 5.7), ("1.004", 10.0), ("1.005", 10.05)):
        assert max_duration(free_length, make("a boat"), D(budget)) == longest
    assert max_duration(HAILUO, make("a boat", resolution="768p", duration=4), D("0.28")) == 6


def test_max_duration_says_why_it_cannot_say() -> None:
    with pytest.raises(RequestError, match="price of acme/boat is unknown"):
        max_duration(offer(), make("a boat"), D(1))
    with pytest.raises(RequestError, match="takes no duration for edit_video: the length follows its input"):
        max_duration(ALEPH, make("a boat", video=CLIP), D(1))
    with pytest.raises(UnsupportedRequestError, match="seed"):
        max_duration(VEO, make("a boat", seed=1, duration=7), D(1))


NO_AMOUNTS = ["NaN", float("nan"), "inf", float("-inf"), -1, "-0.01", "a lot", "", True, [], "1e13", D("sNaN"), 1j]


@pytest.mark.parametrize("value", [*NO_AMOUNTS, object(), pytest.param(10**5000, id="huge")])
def test_a_budget_is_an_amount(value: Any) -> None:
    with pytest.raises(RequestError, match="max_cost: expected an amount"):
        money(value)
    with pytest.raises(RequestError, match="max_cost"):
        max_duration(VEO, make("a boat"), value)


def test_money_is_exact() -> None:
    for value, amount in ((0, "0"), ("$1.50", "1.50"), (0.1, "0.1"), (D("2.5"), "2.5"), (" 3 ", "3")):
        assert money(value) == D(amount)
    assert money(None) is None


def test_amounts_are_rounded_up_and_readable() -> None:
    shown = {"0": "0.00", "0.8": "0.80", "0.805": "0.805", "1E+3": "1000.00", "0.0000001": "0.000001"}
    assert {value: str(tidy(D(value))) for value in shown} == shown
    assert str(tidy(D("1.23456789"))) == "1.234568"


@pytest.mark.parametrize(
    "facts",
    [{"amount": D(-1)}, {"amount": D("NaN")}, {"amount": D(10**9)}, {"low": D(2)}, {"minimum": D("inf")}, {"free": -1},
     {"currency": "credit"}, {"credit_usd": D(1)}, {"unit": "gpu_second", "gpu_seconds": (D(2), D(1))},
     {"resolutions": ("768P",)}],
)  # fmt: skip
def test_impossible_price_rules_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Price(**({"amount": D(1)} | facts))


def test_the_first_rule_that_holds_is_the_price() -> None:
    for rules in itertools.permutations([usd("1", resolutions=("720p",)), usd("2", audio=True), usd("3")]):
        priced = estimate(offer(*rules), make("a boat", duration=5, audio=True), today=TODAY)
        assert priced.high == 5 * rules[0].amount
