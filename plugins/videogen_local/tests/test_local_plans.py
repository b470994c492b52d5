"""Whether a clip fits: the ladder of plans, and what is said when nothing does."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings, strategies as st

from videogen_local.configs import Dimensions
from videogen_local.families import FAMILIES, Nearest
from videogen_local.memory import estimator, footprint
from videogen_local.plans import Device, Footprint, Plan, Refusal, choose, fits, gigabytes, ladder, named, needs
from videogen_local.weights import ComponentWeights

GB = 2**30
WAN = FAMILIES["WanPipeline"]
A14B = Dimensions(compression=WAN.compression, hidden=5120, layers=40)
SMALL = Dimensions(compression=WAN.compression, hidden=1536, layers=30)
CLIP_720P = Nearest(frames=81, width=1280, height=720)
CLIP_480P = Nearest(frames=81, width=832, height=480)


def part(numbers: float, layers: int) -> ComponentWeights:
    each = round(numbers / layers)
    return ComponentWeights(
        size=2 * round(numbers), elements=round(numbers), largest_block=each, largest_leaf=each // 6
    )


SHARED = {"text_encoder": part(5.68e9, 24), "vae": part(0.127e9, 8)}
OF_A14B = {"transformer": part(14.29e9, 40), "transformer_2": part(14.29e9, 40), **SHARED}
OF_SMALL = {"transformer": part(1.42e9, 30), **SHARED}


def card(gigabytes_: float, ram: float = 128, kind: str = "cuda") -> Device:
    return Device(
        kind=kind,
        name=f"card of {gigabytes_} GB",
        total=round(gigabytes_ * GB),
        free=round(gigabytes_ * 0.97 * GB),
        ram_free=round(ram * GB),
    )


@pytest.mark.parametrize(
    ("size", "weights", "clip", "memory", "first"),
    [
        (A14B, OF_A14B, CLIP_720P, 141, "resident"),
        (A14B, OF_A14B, CLIP_720P, 80, "model_offload"),
        (A14B, OF_A14B, CLIP_720P, 48, "group_offload+tiling"),
        (A14B, OF_A14B, CLIP_720P, 24, "group_offload+tiling"),
        (A14B, OF_A14B, CLIP_720P, 16, None),
        (A14B, OF_A14B, CLIP_480P, 16, "group_offload+tiling"),
        (SMALL, OF_SMALL, CLIP_480P, 80, "resident"),
        (SMALL, OF_SMALL, CLIP_480P, 24, "resident+tiling"),
        (SMALL, OF_SMALL, CLIP_480P, 12, "model_offload"),
        (SMALL, OF_SMALL, CLIP_480P, 8, "group_offload+tiling"),
    ],
)
def test_the_table_of_cards(
    size: Dimensions, weights: dict[str, ComponentWeights], clip: Nearest, memory: int, first: str | None
) -> None:
    found = choose(estimator(WAN, size, weights, vae_bytes=4), clip, WAN, card(memory))
    assert (None if isinstance(found, Refusal) else found[0].name) == first


def test_published_peaks_are_met() -> None:
    """Wan 2.2's table: 41.3 GB at 480p and 59.8 GB at 720p with one expert at a time, by Wan's own hungrier code."""
    for clip, published in ((CLIP_480P, 41.3), (CLIP_720P, 59.8)):
        placed = needs(Plan(placement="model_offload", tiling=True), footprint(WAN, A14B, OF_A14B, clip), card(80))
        assert 0.6 < placed.needs / GB / published <= 1.05


def test_a_refusal_names_what_is_missing_and_the_nearest_that_fits() -> None:
    estimate = estimator(WAN, A14B, OF_A14B, vae_bytes=4)
    found = choose(estimate, CLIP_720P, WAN, card(16))
    assert isinstance(found, Refusal)
    assert "81 frames of 1280x720 take" in found.message
    assert "leaf_offload+tiling; 15.5 GB of 16.0 GB are free" in found.message
    assert found.nearest is not None
    assert "num_frames=" in found.hint or "width=" in found.hint
    assert ladder(estimate(found.nearest), card(16))


def test_too_little_memory_of_the_machine_is_said_as_such() -> None:
    found = choose(estimator(WAN, A14B, OF_A14B), CLIP_480P, WAN, card(24, ram=8))
    assert isinstance(found, Refusal)
    assert "of the machine's memory, and 8.0 GB are free" in found.message


def test_when_not_even_the_smallest_fits_that_is_said() -> None:
    found = choose(estimator(WAN, A14B, OF_A14B), CLIP_480P, WAN, card(0.5))
    assert isinstance(found, Refusal)
    assert found.nearest is None
    assert "smallest" in found.hint


def test_the_processor_offloads_nowhere() -> None:
    machine = Device(kind="cpu", name="the processor", total=64 * GB, free=60 * GB, ram_free=60 * GB)
    estimate = estimator(WAN, SMALL, OF_SMALL, number_bytes=4)
    found = choose(estimate, Nearest(frames=5, width=64, height=64), WAN, machine)
    assert not isinstance(found, Refusal)
    assert {plan.placement for plan in found} == {"resident"}
    assert not any(plan.fp8 or plan.ram for plan in found)


@pytest.mark.parametrize("name", ["resident", "model_offload+tiling", "group_offload+tiling+fp8", " Leaf_Offload+FP8 "])
def test_a_plan_is_named_as_it_is_shown(name: str) -> None:
    assert set(named(name).name.split("+")) == set(name.strip().lower().split("+"))


@pytest.mark.parametrize("name", ["", "auto", "fast", "resident+magic", "resident+fp8+fp8", "tiling"])
def test_a_plan_that_does_not_exist_lists_those_that_do(name: str) -> None:
    with pytest.raises(ValueError, match="resident, model_offload, group_offload, leaf_offload"):
        named(name)


footprints = st.builds(
    Footprint,
    components=st.fixed_dictionaries(
        {"transformer": st.integers(1, 60 * GB), "text_encoder": st.integers(0, 30 * GB), "vae": st.integers(0, 3 * GB)}
    ),
    denoise=st.integers(0, 60 * GB),
    decode=st.integers(0, 90 * GB),
    decode_tiled=st.integers(0, 5 * GB),
    largest_group=st.integers(0, 2 * GB),
    largest_leaf=st.integers(0, GB),
).map(lambda made: replace(made, decode_tiled=min(made.decode_tiled, made.decode)))
devices = st.builds(
    Device,
    kind=st.sampled_from(["cuda", "cpu", "mps"]),
    total=st.just(200 * GB),
    free=st.integers(0, 200 * GB),
    ram_free=st.integers(0, 300 * GB),
)


@given(print_=footprints, device=devices)
def test_every_rung_fits_and_needs_less_than_the_one_before(print_: Footprint, device: Device) -> None:
    rungs = ladder(print_, device)
    assert all(fits(plan, device) for plan in rungs)
    assert all(later.needs < earlier.needs for earlier, later in pairwise(rungs))
    assert len({plan.name for plan in rungs}) == len(rungs)


@given(print_=footprints, device=devices, more=st.integers(0, 50 * GB))
def test_more_memory_never_makes_the_first_plan_a_later_one(print_: Footprint, device: Device, more: int) -> None:
    rungs, roomier = ladder(print_, device), ladder(print_, replace(device, free=device.free + more))
    assert not rungs or roomier[0].needs >= rungs[0].needs


@given(print_=footprints, device=devices)
def test_what_changes_a_seed_s_look_comes_after_all_that_does_not(print_: Footprint, device: Device) -> None:
    lossy = [plan.fp8 for plan in ladder(print_, device)]
    assert lossy == sorted(lossy)


@given(print_=footprints, device=devices)
def test_a_plan_never_needs_less_than_the_work_itself(print_: Footprint, device: Device) -> None:
    for plan in ladder(print_, device):
        decode = print_.decode_tiled if plan.tiling else print_.decode
        assert plan.needs >= max(print_.denoise, decode)
        if plan.placement != "resident":
            assert plan.ram >= print_.in_fp8().weights


@settings(deadline=None)  # a refusal looks at hundreds of smaller clips
@given(
    name=st.sampled_from(["WanPipeline", "LTXPipeline", "CogVideoXPipeline", "HunyuanVideo15Pipeline"]),
    memory=st.floats(1, 150),
    frames=st.integers(5, 300),
    width=st.integers(32, 4000),
    height=st.integers(32, 4000),
)
def test_the_nearest_of_a_refusal_fits_and_obeys_the_family(
    name: str, memory: float, frames: int, width: int, height: int
) -> None:
    family = FAMILIES[name]
    size = Dimensions(compression=family.compression, hidden=2048, layers=28)
    weights = {"transformer": part(8e9, 28), **SHARED}
    estimate = estimator(family, size, weights)
    wanted = Nearest(
        frames=family.frames.nearest(frames),
        width=max(1, width // family.multiple) * family.multiple,
        height=max(1, height // family.multiple) * family.multiple,
    )
    found = choose(estimate, wanted, family, card(memory))
    if isinstance(found, Refusal) and found.nearest is not None:
        near = found.nearest
        assert near.frames in family.frames
        assert near.width % family.multiple == near.height % family.multiple == 0
        assert near.frames * near.width * near.height < wanted.frames * wanted.width * wanted.height
        assert ladder(estimate(near), card(memory))


@given(frames=st.integers(0, 60), width=st.integers(1, 100), height=st.integers(1, 100))
def test_a_larger_clip_never_takes_less(frames: int, width: int, height: int) -> None:
    def of(more: int) -> Footprint:
        clip = Nearest(frames=4 * (frames + more) + 5, width=16 * (width + more), height=16 * (height + more))
        return footprint(WAN, SMALL, OF_SMALL, clip)

    small, large = of(0), of(1)
    assert small.denoise < large.denoise
    assert small.decode < large.decode
    assert small.decode_tiled <= large.decode_tiled
    assert small.decode_tiled <= small.decode


def test_guidance_in_one_pass_doubles_activations() -> None:
    ltx = FAMILIES["LTXPipeline"]
    size = Dimensions(compression=ltx.compression, hidden=2048, layers=28)
    clip = Nearest(frames=121, width=768, height=512)
    guided, plain = (footprint(ltx, size, OF_SMALL, clip, guided=guided) for guided in (True, False))
    assert guided.denoise == 2 * plain.denoise
    assert footprint(WAN, SMALL, OF_SMALL, CLIP_480P, guided=True) == footprint(
        WAN, SMALL, OF_SMALL, CLIP_480P, guided=False
    )


def test_eight_bits_halve_the_denoisers_alone() -> None:
    whole = footprint(WAN, A14B, OF_A14B, CLIP_480P)
    small = whole.in_fp8()
    assert small.components["transformer"] / whole.components["transformer"] == pytest.approx(0.51)
    assert small.components["text_encoder"] == whole.components["text_encoder"]


def test_bytes_are_shown_as_on_the_box() -> None:
    assert gigabytes(24 * GB) == "24.0 GB"
    assert gigabytes(5 * 2**20) == "5 MB"
