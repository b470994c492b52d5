"""The mode index gives the answers that asking every offer in turn would give."""

from __future__ import annotations

from hypothesis import given, settings

from strategies import TODAY, catalogs_and_requests
from videogen_core.capabilities import check, resolve
from videogen_core.catalog import Catalog
from videogen_core.matching import ModeIndex
from videogen_core.pricing import PriceIndex, bounds
from videogen_core.request import Task, VideoRequest
from videogen_core.spec import Camera, Defaults, Mode, ModelSpec, OptionSpec

TEXT = (Task.TEXT_TO_VIDEO,)


@settings(max_examples=800)
@given(catalogs_and_requests)
def test_the_index_admits_exactly_the_offers_whose_check_is_empty(pair: tuple[Catalog, VideoRequest]) -> None:
    catalog, request = pair
    admitted = [position for position, _ in ModeIndex(catalog.offers).admitting(request)]
    assert admitted == [position for position, spec in enumerate(catalog.offers) if not check(spec, request)]


@settings(max_examples=800)
@given(catalogs_and_requests)
def test_mode_and_defaults_are_those_that_resolve_picks(pair: tuple[Catalog, VideoRequest]) -> None:
    catalog, request = pair
    for position, mode, filled in ModeIndex(catalog.offers).resolving(request):
        resolved = resolve(catalog.offers[position], request)
        assert mode is resolved.mode
        assert filled == resolved.request


@settings(max_examples=800)
@given(catalogs_and_requests)
def test_the_price_index_gives_the_same_high_end_as_asking_each_offer(pair: tuple[Catalog, VideoRequest]) -> None:
    catalog, request = pair
    prices = PriceIndex(catalog.offers)
    for position, _, filled in ModeIndex(catalog.offers).resolving(request):
        micro = prices.asking(filled)(position)
        cost = bounds(catalog.offers[position], filled)
        assert micro == (None if cost is None else cost[1] * 1_000_000)


def offer(id_: str, *modes: Mode, **facts: object) -> ModelSpec:
    return ModelSpec(id=id_, modes=modes, source="a test", as_of=TODAY, **facts)  # type: ignore[arg-type]


def test_one_index_serves_many_requests() -> None:
    short, long = Mode(tasks=TEXT, durations=(4, 6)), Mode(tasks=TEXT, durations=(8, 10))
    index = ModeIndex([offer("acme/a", short, long), offer("acme/b", long), offer("acme/c", short)])
    assert list(index.admitting(VideoRequest.make("a boat", duration=4))) == [(0, short), (2, short)]
    assert list(index.admitting(VideoRequest.make("a boat", duration=10))) == [(0, long), (1, long)]
    assert [position for position, _ in index.admitting(VideoRequest.make("a boat"))] == [0, 1, 2]
    assert list(index.admitting(VideoRequest.make("a boat", duration=5))) == []
    assert list(ModeIndex([]).admitting(VideoRequest.make("a boat"))) == []


def test_offers_that_fill_in_the_same_share_one_request() -> None:
    mode = Mode(tasks=TEXT, durations=(4, 8))
    eight, four = Defaults(duration=8), Defaults(duration=4)
    index = ModeIndex(
        [
            offer("acme/a", mode, default=eight),
            offer("acme/b", mode, default=eight),
            offer("acme/c", mode, default=four),
        ]
    )
    first, second, third = (filled for _, _, filled in index.resolving(VideoRequest.make("a boat")))
    assert first is second
    assert (first.duration, third.duration) == (8, 4)


def test_required_options_are_missed_by_the_offer_that_needs_them_and_by_no_other() -> None:
    mode = Mode(tasks=TEXT)
    voice = {"voice": OptionSpec(type="string", required=True)}
    index = ModeIndex(
        [offer("acme/a", mode), offer("acme/b", mode, options=voice), offer("blue/c", mode, options=voice)]
    )

    def admitted(options: dict[str, dict[str, object]]) -> list[int]:
        return [position for position, _ in index.admitting(VideoRequest.make("a boat", options=options))]

    assert admitted({}) == [0]
    assert admitted({"acme": {"voice": "low"}}) == [1]
    assert admitted({"blue": {"voice": "low"}}) == [0, 2]


def test_an_option_that_allows_a_field_is_that_of_the_offer_itself() -> None:
    switch = {"say": OptionSpec(type="boolean", default=False)}
    camera = Camera(moves=("push in",), option="say")
    offers = [
        offer(f"{name}/x", Mode(tasks=TEXT), camera=camera, negative_prompt="say", options=switch) for name in "ab"
    ]
    for asked in ({"camera": ["push in"]}, {"negative_prompt": "rain"}):
        request = VideoRequest.make("x", options={"b": {"say": True}}, **asked)  # type: ignore[arg-type]
        assert [position for position, _ in ModeIndex(offers).admitting(request)] == [1]
