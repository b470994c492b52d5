"""Seconds learnt from jobs, published speeds until then, and what the seconds cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from videogen_core import ConfigurationError, VideoRequest
from videogen_core.capabilities import resolve
from videogen_core.pricing import bounds
from videogen_local.configs import Dimensions
from videogen_local.costs import charge, per_second, priced, tailored
from videogen_local.families import FAMILIES
from videogen_local.plugin import LocalProvider
from videogen_local.rows import completed
from videogen_local.timing import Measured, Timings, published, work

ROWS = {spec.id: spec for spec in LocalProvider().models()}
WAN = FAMILIES["WanPipeline"]


@pytest.fixture
def timings(tmp_path: Path) -> Timings:
    return Timings(tmp_path / "deep" / "timings.jsonl")


def job(**changes: Any) -> Measured:
    return Measured(
        **{"model": "local/a", "device": "Card", "plan": "resident", "work": 100.0, "steps": 10.0, **changes}
    )


@pytest.mark.parametrize(
    ("name", "tokens", "steps", "device", "seconds"),
    [
        ("local/wan-2.1-t2v-1.3b", 32_760, 50, "NVIDIA GeForce RTX 4090", 261),
        ("local/wan-2.2-ti2v-5b", 27_280, 50, "NVIDIA GeForce RTX 4090", 535),
        ("local/wan-2.2-t2v-a14b", 32_760, 40, "NVIDIA A100-SXM4-80GB", 786),
        ("local/wan-2.2-t2v-a14b", 75_600, 40, "NVIDIA A100-SXM4-80GB", 2736),
        ("local/wan-2.2-t2v-a14b", 32_760, 40, "NVIDIA H100 80GB HBM3", 327),
        ("local/wan-2.1-t2v-14b", 75_600, 50, "NVIDIA A100-SXM4-80GB", 3343),
        ("local/wan-2.1-t2v-14b", 75_600, 50, "NVIDIA H100 80GB HBM3", 1838),
        ("local/hunyuan-video-1.5", 48_360, 50, "NVIDIA H200", 1136),
    ],
)
def test_published_tables_are_met_within_two_fifths(
    timings: Timings, name: str, tokens: int, steps: int, device: str, seconds: float
) -> None:
    vendor = ROWS[name].vendor
    size = Dimensions(compression=WAN.compression, hidden=vendor["hidden"], layers=vendor["layers"])
    operations = work(size, vendor["parameters"]["transformer"], tokens, steps=steps, passes=2)
    found = timings.seconds(operations, model=name, device=device)
    assert found is not None
    assert found[0] * 0.6 <= seconds <= found[1] * 1.4


def test_a_device_that_nobody_has_measured_is_unknown(timings: Timings) -> None:
    assert published("Arc B580") is None
    assert timings.seconds(1e15, model="local/a", device="Arc B580") is None


def test_what_jobs_took_counts_more_than_what_is_published(timings: Timings) -> None:
    timings.learn(job(device="H100", work=1e15, steps=10.0, rest=1.0))
    assert timings.seconds(2e15, model="local/a", device="H100") == pytest.approx((22.0, 22.0))
    # of another model on the device, its speed, with the usual share for the rest
    assert timings.seconds(2e15, model="local/b", device="H100") == pytest.approx((23.0, 23.0))


def test_the_same_plan_counts_most_and_the_middle_of_the_last_ones(timings: Timings) -> None:
    for steps in (5.0, 10.0, 1000.0):
        timings.learn(job(steps=steps))
    timings.learn(job(plan="leaf_offload", steps=100.0))
    assert timings.speed(model="local/a", device="Card", plan="resident") == (10.0, 10.0)
    assert timings.speed(model="local/a", device="Card", plan="leaf_offload") == (1.0, 1.0)
    for _ in range(20):
        timings.learn(job(steps=50.0))
    assert timings.speed(model="local/a", device="Card", plan="resident") == (2.0, 2.0)
    assert timings.devices() == ["Card"]


def test_a_damaged_line_is_skipped_and_nonsense_is_not_learnt(timings: Timings, tmp_path: Path) -> None:
    timings.learn(job(work=0.0))
    timings.learn(job(steps=-1.0))
    assert timings.measured() == []
    timings.learn(job())
    path = tmp_path / "deep" / "timings.jsonl"
    path.write_bytes(b"\xff\xfe{\n[]\n" + path.read_bytes() + b'{"model": "cut of')
    assert timings.measured() == [job()]


def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    timings = Timings(tmp_path / "file" / "timings.jsonl")
    timings.learn(job())
    assert timings.measured() == []


def test_the_file_does_not_grow_for_ever(timings: Timings, tmp_path: Path) -> None:
    for number in range(2500):
        timings.learn(job(work=float(number + 1)))
    path = tmp_path / "deep" / "timings.jsonl"
    assert path.stat().st_size < 300_000
    assert timings.measured()[-1].work == 2500.0
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


# --- money


@pytest.mark.parametrize(
    ("settings", "hourly"),
    [
        ({"gpu_hourly_usd": 3.6}, "3.6"),
        ({"gpu_hourly_usd": "0.60"}, "0.60"),
        ({"watts": 450, "kwh_usd": Decimal("0.40")}, "0.18"),
        ({"gpu_hourly_usd": 0}, "0"),
        ({}, None),
    ],
)
def test_what_an_hour_costs(settings: dict[str, Any], hourly: str | None) -> None:
    rate = per_second(settings)
    assert rate == (None if hourly is None else (Decimal(hourly) / 3600).quantize(Decimal("1e-10")))
    cost = charge(3600.0, settings)
    assert cost == (None if hourly is None else pytest.approx(Decimal(hourly), abs=Decimal("0.000001")))


@pytest.mark.parametrize(
    "settings",
    [
        {"gpu_hourly_usd": "much"},
        {"gpu_hourly_usd": -1},
        {"gpu_hourly_usd": True},
        {"gpu_hourly_usd": float("nan")},
        {"gpu_hourly_usd": 10**7},
        {"watts": 450},
        {"kwh_usd": 0.4},
    ],
)
def test_a_figure_that_is_none_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"providers\.local"):
        per_second(settings)


def test_without_a_price_the_cost_is_unknown_and_never_zero(timings: Timings) -> None:
    spec = priced(ROWS["local/wan-2.1-t2v-1.3b"], {}, timings)
    assert bounds(spec, resolve(spec, VideoRequest.make("a boat")).request) is None


def cost_of(name: str, settings: dict[str, Any], timings: Timings, **values: Any) -> tuple[Decimal, Decimal]:
    spec = priced(ROWS[name], settings, timings)
    found = bounds(spec, resolve(spec, VideoRequest.make("a boat", **values)).request)
    assert found is not None
    return found


def test_the_published_example_costs_what_it_should(timings: Timings) -> None:
    low, high = cost_of("local/wan-2.1-t2v-1.3b", {"gpu_hourly_usd": 0.6, "gpu": "RTX 4090"}, timings)
    assert low < Decimal("0.0435") < high  # 261 s
    assert high < 2 * low


def test_a_device_unknown_by_name_costs_what_the_slowest_and_the_quickest_would(timings: Timings) -> None:
    known = cost_of("local/wan-2.1-t2v-14b", {"gpu_hourly_usd": 2, "gpu": "H100"}, timings)
    unknown = cost_of("local/wan-2.1-t2v-14b", {"gpu_hourly_usd": 2}, timings)
    assert unknown[0] <= known[0] <= known[1] <= unknown[1]


def test_a_larger_clip_costs_more(timings: Timings) -> None:
    settings = {"gpu_hourly_usd": 2, "gpu": "H100"}
    small = cost_of("local/wan-2.1-t2v-14b", settings, timings, resolution="480p")
    large = cost_of("local/wan-2.1-t2v-14b", settings, timings, resolution="720p")
    assert small[0] < large[0]
    assert small[1] < large[1]


def test_jobs_that_ran_here_set_the_price(timings: Timings) -> None:
    name = "local/wan-2.1-t2v-1.3b"
    size = Dimensions(compression=WAN.compression, hidden=1536, layers=30)
    operations = work(size, 1_420_000_000, 32_760, steps=50, passes=2)
    timings.learn(Measured(model=name, device="Card", plan="resident", work=operations, steps=100.0, rest=20.0))
    low, high = cost_of(name, {"gpu_hourly_usd": 36}, timings)
    assert low < Decimal("1.20") == high.quantize(Decimal("0.01"))  # the longest clip, which is the one that ran


def of_request(name: str, timings: Timings, steps: int = 50, **values: Any) -> tuple[Decimal, Decimal, Any]:
    """Low and high price of one request, and the latency that the offer then has."""
    settings = {"gpu_hourly_usd": 36}
    options = {"local": {"steps": steps, **values.pop("options", {})}}
    spec = completed(priced(ROWS[name], settings, timings))
    request = resolve(spec, VideoRequest.make("a boat", options=options, **values)).request
    own = tailored(spec, request, settings, timings)
    assert tailored(own, request, settings, timings) == own, "asked again with its own answer"
    found = bounds(own, request)
    assert found is not None
    return *found, own.latency


def test_a_request_costs_and_takes_what_its_own_steps_and_frames_do(timings: Timings) -> None:
    name = "local/wan-2.1-t2v-1.3b"
    size = Dimensions(compression=WAN.compression, hidden=1536, layers=30)
    whole = work(size, 1_420_000_000, 32_760, steps=50, passes=2)
    timings.learn(Measured(model=name, device="Card", plan="resident", work=whole, steps=100.0, rest=20.0))
    low, high, latency = of_request(name, timings, duration=5)
    assert low == high, "one device, one speed, one length: one price"
    assert high.quantize(Decimal("0.01")) == Decimal("1.20"), "120 s at a cent each"
    assert latency.typical == pytest.approx(120, rel=0.01)
    _, half, quick = of_request(name, timings, steps=25, duration=5)
    assert (half * 2, quick.typical * 2) == (pytest.approx(high, abs=Decimal("0.00001")), pytest.approx(120, rel=0.01))
    _, fewer, _ = of_request(name, timings, duration=5, options={"num_frames": 73})
    tokens = WAN.compression.tokens(73, 832, 480)
    share = work(size, 1_420_000_000, tokens, steps=50, passes=2) / whole
    assert float(fewer) == pytest.approx(1.2 * share, rel=0.01)
    assert fewer < high, "frames are not in proportion: attention grows with their square"
    _, unguided, _ = of_request(name, timings, duration=5, options={"guidance_scale": 1})
    assert float(unguided) == pytest.approx(0.6, rel=0.01), "one pass in each step"


def test_on_a_device_that_nobody_knows_the_catalogue_s_seconds_grow_with_the_steps(timings: Timings) -> None:
    name = "local/wan-2.1-t2v-1.3b"
    row = ROWS[name].latency
    assert row is not None
    for steps, factor in ((50, 1.0), (100, 2.0), (10, 0.2)):
        *_, latency = of_request(name, timings, steps=steps, duration=5)
        assert latency.typical == pytest.approx(row.typical * factor)


def test_a_price_that_the_user_wrote_stands(timings: Timings) -> None:
    import msgspec

    from videogen_core.spec import Price

    own = msgspec.structs.replace(ROWS["local/cogvideox-2b"], prices=(Price(amount=Decimal(1), unit="video"),))
    assert priced(own, {"gpu_hourly_usd": 1}, timings) is own
    request = resolve(own, VideoRequest.make("a boat")).request
    assert tailored(own, request, {"gpu_hourly_usd": 1}, timings).prices == own.prices
