"""Whether a clip fits into a device, and how: the ladder of ways to place a model, quickest first.

Pure arithmetic on bytes; what a clip takes is worked out in ``memory``, and a plan is carried out by the engine. A rung
that changes what is drawn (fp8 layers) comes after every one that does not, because the free memory of the moment must
not decide how a seed looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from .families import Family, Nearest, nearest

__all__ = [
    "Device",
    "Footprint",
    "Placement",
    "Plan",
    "Refusal",
    "choose",
    "gigabytes",
    "ladder",
    "named",
    "needs",
]

Placement = Literal["resident", "model_offload", "group_offload", "leaf_offload"]

RESERVE = 1 << 30
"""Bytes that the driver's context and libraries take on a device, measured on none exactly: 0.5 to 1 GB is usual."""
MARGIN = 1.1
"""Estimates of activations are short by up to a tenth on Wan's published figures; a plan must hold all the same."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a model may be run on. Sizes in bytes.

    Attributes:
        kind: ``cuda``, ``mps``, ``xpu`` or ``cpu``.
        index: Which of its kind.
        name: As the vendor calls it.
        total: Memory of the device; that of the machine for ``cpu``.
        free: How much of it is free.
        ram_free: Memory of the machine that is free, where weights lie that the device has no room for.
    """

    kind: str
    index: int = 0
    name: str = ""
    total: int
    free: int
    ram_free: int


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a clip takes, in bytes.

    Attributes:
        components: Weights of each component, as they are loaded.
        denoise: Activations while denoising.
        decode: Activations while the whole clip is decoded at once.
        decode_tiled: The same in tiles.
        denoisers: Components whose layers may be kept in fp8.
        decoders: Components that are at work while decoding.
        weight_bytes: Bytes per weight of the denoisers, as they are loaded.
        largest_group: Largest block of any component, which group offload loads at a time.
        largest_leaf: Largest single layer of any component.
    """

    components: Mapping[str, int]
    denoise: int
    decode: int
    decode_tiled: int
    denoisers: tuple[str, ...] = ("transformer",)
    decoders: tuple[str, ...] = ("vae",)
    weight_bytes: int = 2
    largest_group: int
    largest_leaf: int

    @property
    def weights(self) -> int:
        """All components together."""
        return sum(self.components.values())

    def in_fp8(self) -> Footprint:
        """The same with the denoisers' layers in 8 bits; norms and embeddings stay, about a fiftieth."""
        shrunk = {
            name: round(size * (0.98 / self.weight_bytes + 0.02)) if name in self.denoisers else size
            for name, size in self.components.items()
        }
        return replace(self, components=shrunk)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One way to place a model.

    Attributes:
        placement: Where the weights lie while they are not in use.
        tiling: Whether the clip is decoded in tiles.
        fp8: Whether the denoisers' layers are stored in 8 bits.
        needs: Peak bytes on the device.
        ram: Bytes of the machine's memory that the weights take besides.
    """

    placement: Placement
    tiling: bool = False
    fp8: bool = False
    needs: int = 0
    ram: int = 0

    @property
    def name(self) -> str:
        """What a user calls it in the settings and sees in ``explain``: ``model_offload+tiling``."""
        return "+".join([self.placement, *(["tiling"] if self.tiling else []), *(["fp8"] if self.fp8 else [])])


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Nothing fits.

    Attributes:
        message: What is missing, as a sentence.
        hint: What would fit.
        nearest: The frames and size closest to those asked that fit; None when not even the smallest clip does.
    """

    message: str
    hint: str
    nearest: Nearest | None = None


_RUNGS = (
    Plan(placement="resident"),
    Plan(placement="resident", tiling=True),
    Plan(placement="model_offload"),
    Plan(placement="model_offload", tiling=True),
    Plan(placement="group_offload", tiling=True),
    Plan(placement="leaf_offload", tiling=True),
    Plan(placement="resident", tiling=True, fp8=True),
    Plan(placement="model_offload", tiling=True, fp8=True),
    Plan(placement="group_offload", tiling=True, fp8=True),
)


def named(name: str) -> Plan:
    """The plan that a user means by a name such as ``group_offload+tiling+fp8``.

    Raises:
        ValueError: There is no such plan; the message lists the words.
    """
    placement, *switches = name.strip().lower().split("+")
    for known in get_args(Placement):
        if placement == known and set(switches) <= {"tiling", "fp8"} and len(set(switches)) == len(switches):
            return Plan(placement=known, tiling="tiling" in switches, fp8="fp8" in switches)
    raise ValueError(f"{name!r} is no plan: write one of {', '.join(get_args(Placement))}, with +tiling or +fp8")


def needs(plan: Plan, footprint: Footprint, device: Device) -> Plan:
    """The plan with what it takes on the device and of the machine's memory."""
    print_ = footprint.in_fp8() if plan.fp8 else footprint
    parts = print_.components
    decode = print_.decode_tiled if plan.tiling else print_.decode
    busiest = max(print_.denoise, decode)
    if plan.placement == "resident" or device.kind == "cpu":
        peak, ram = print_.weights + MARGIN * busiest, max(parts.values(), default=0)
    elif plan.placement == "model_offload":
        at_work = [
            size + MARGIN * (print_.denoise if name in print_.denoisers else decode if name in print_.decoders else 0)
            for name, size in parts.items()
        ]
        peak, ram = max([*at_work, MARGIN * busiest]), print_.weights
    else:
        piece = print_.largest_group if plan.placement == "group_offload" else print_.largest_leaf
        # the next piece is on its way while one is at work; decoders have few blocks, and count as a whole
        decoders = sum(size for name, size in parts.items() if name in print_.decoders)
        peak = max(2 * piece + MARGIN * print_.denoise, min(decoders, 2 * piece + decoders) + MARGIN * decode)
        ram = print_.weights
    if device.kind == "cpu":
        return replace(plan, needs=round(peak), ram=0)
    return replace(plan, needs=round(peak) + RESERVE, ram=ram)


def fits(plan: Plan, device: Device) -> bool:
    """Whether what a plan needs is free."""
    return plan.needs <= device.free and plan.ram <= device.ram_free


def ladder(footprint: Footprint, device: Device) -> tuple[Plan, ...]:
    """Every plan that fits, the quickest first, each needing less than the one before; empty when none does."""
    found: list[Plan] = []
    for plan in _rungs(footprint, device):
        if fits(plan, device) and (not found or plan.needs < found[-1].needs):
            found.append(plan)
    return tuple(found)


def _rungs(footprint: Footprint, device: Device) -> Iterable[Plan]:
    # on the processor there is nowhere to offload to, and 8 bits save nothing that tiles do not
    usable = [p for p in _RUNGS if p.placement == "resident" and not p.fp8] if device.kind == "cpu" else _RUNGS
    return [needs(plan, footprint, device) for plan in usable]


def choose(
    estimate: Callable[[Nearest], Footprint], wanted: Nearest, family: Family, device: Device
) -> tuple[Plan, ...] | Refusal:
    """The plans for a clip, the quickest first, or why there is none and what would fit.

    Args:
        estimate: What a clip of so many frames and such a size takes.
        wanted: Frames and size that were asked for, by the family's rules.
        family: Whose rules a smaller clip has to obey.
        device: Where it is to run.
    """
    footprint = estimate(wanted)
    plans = ladder(footprint, device)
    if plans:
        return plans
    return _refusal(estimate, wanted, family, device, footprint)


def _refusal(
    estimate: Callable[[Nearest], Footprint], wanted: Nearest, family: Family, device: Device, footprint: Footprint
) -> Refusal:
    rungs = list(_rungs(footprint, device))
    least = min(rungs, key=lambda plan: plan.needs)
    where = device.name or device.kind
    clip = f"{wanted.frames} frames of {wanted.width}x{wanted.height}"
    smaller = next((size for size in _smaller(wanted, family) if ladder(estimate(size), device)), None)
    if not any(plan.ram <= device.ram_free for plan in rungs):
        missing = min(plan.ram for plan in rungs)
        return Refusal(
            message=f"The weights take {gigabytes(missing)} of the machine's memory, and "
            f"{gigabytes(device.ram_free)} are free.",
            hint="Close other programs, or choose a smaller model.",
        )
    message = (
        f"{clip} take {gigabytes(least.needs)} on {where} even with {least.name}; "
        f"{gigabytes(device.free)} of {gigabytes(device.total)} are free."
    )
    if smaller is None:
        hint = "Not even its smallest clip fits: free memory, use a larger device, or choose a smaller model."
        return Refusal(message=message, hint=hint)
    changes = [
        f"{name}={getattr(smaller, field_)}"
        for name, field_ in (("num_frames", "frames"), ("width", "width"), ("height", "height"))
        if getattr(smaller, field_) != getattr(wanted, field_)
    ]
    return Refusal(message=message, hint=f"The nearest that fits: {', '.join(changes)}.", nearest=smaller)


def _smaller(wanted: Nearest, family: Family) -> list[Nearest]:
    """Smaller clips by the family's rules, those that lose least of the clip first.

    Either frames or size shrink, or both by about as much; the shape is kept as far as the multiples allow.
    """
    counts = _counts(family, wanted.frames)
    sizes: list[tuple[int, int]] = []
    for percent in range(100, 0, -5):
        size = nearest(
            family, frames=wanted.frames, width=wanted.width * percent / 100, height=wanted.height * percent / 100
        )
        if (size.width, size.height) not in sizes:
            sizes.append((size.width, size.height))
    whole = wanted.frames * wanted.width * wanted.height
    clips = [
        Nearest(frames=n, width=w, height=h)
        for n in counts
        for w, h in sizes
        if n * w * h < whole and w <= wanted.width and h <= wanted.height
    ]
    return sorted(clips, key=lambda c: -(c.frames * c.width * c.height))


def _counts(family: Family, most: int) -> list[int]:
    """At most about forty frame counts from ``most`` down to the fewest, so that the search stays short."""
    rule = family.frames
    every = max(1, (most - rule.minimum) // rule.step // 40) * rule.step
    return [*range(rule.nearest(most), rule.minimum, -every), rule.minimum]


def gigabytes(size: float) -> str:
    """Bytes as people compare them with what is printed on a card: ``23.9 GB`` of 2^30 bytes; little as ``12 MB``."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MB"
