"""How long a clip takes on a device: learnt from the jobs that ran here, and until then from published figures.

What a denoiser works is counted in floating-point operations; a device then has one number, its effective speed, which
differs by model and plan less than seconds do by size and length. Decoding and the rest are learnt as a share on top.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from .configs import Dimensions

__all__ = ["PUBLISHED", "Measured", "Timings", "published", "work"]

PUBLISHED: Mapping[str, tuple[float, float]] = {
    "H200": (160e12, 700e12),
    "H100": (370e12, 525e12),
    "H800": (370e12, 525e12),
    "A100": (185e12, 205e12),
    "H20": (130e12, 135e12),
    "4090": (100e12, 110e12),
}
"""Effective operations per second, lowest and highest, worked out from the tables of Wan 2.1, Wan 2.2 and vLLM-Omni's
pull request 1516 (read on 2026-11-20) with the same count of operations. Parts of the devices' names."""

_REST = 0.15
"""Of the time of the steps, for text, decoding and writing, until jobs have shown it."""
_LAST = 20
"""Jobs that a speed is the median of."""
_LONGEST_FILE = 256 * 1024


def work(size: Dimensions, numbers: int, tokens: int, *, steps: int, passes: int) -> float:
    """Floating-point operations of all denoising steps of a clip.

    Args:
        size: Of the denoiser.
        numbers: Parameters of one denoiser; of two experts each step runs one.
        tokens: Of the clip.
        steps: Denoising steps.
        passes: Of the denoiser in each step.
    """
    return float(steps * passes) * (2.0 * numbers * tokens + 4.0 * size.layers * float(tokens) ** 2 * size.hidden)


def published(device: str) -> tuple[float, float] | None:
    """Lowest and highest speed of a device by its name; None when nothing is published of it."""
    name = device.upper().replace(" ", "")
    return next((speed for part, speed in PUBLISHED.items() if part in name), None)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One job that ran to its end.

    Attributes:
        model: Offer id.
        device: The device's name.
        plan: Name of the plan.
        work: Operations of its steps.
        steps: Seconds of all steps.
        rest: Seconds of text, decoding and writing; loading is not in it.
        peak: Most bytes on the device, where it says; 0 = it does not.
    """

    model: str
    device: str
    plan: str
    work: float
    steps: float
    rest: float = 0.0
    peak: int = 0


class Timings:
    """What jobs took on this machine, in a file that processes share.

    Lines are appended whole; one that is damaged is skipped, and figures that are lost are learnt again.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def learn(self, measured: Measured) -> None:
        """Write down what a job took; a disk that is full or read-only takes nothing and stops nothing."""
        if not (measured.work > 0 and measured.steps > 0):
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._shorten()
            with self._path.open("ab") as file:
                file.write(msgspec.json.encode(measured) + b"\n")
        except OSError:
            return

    def _shorten(self) -> None:
        """Keep the later half of a file that has grown long."""
        if not self._path.exists() or self._path.stat().st_size < _LONGEST_FILE:
            return
        lines = self._path.read_bytes().splitlines(keepends=True)
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(b"".join(lines[len(lines) // 2 :]))
        draft.replace(self._path)

    def measured(self) -> list[Measured]:
        """Every job that is written down, oldest first."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return []
        decoder = msgspec.json.Decoder(Measured)
        found = []
        for line in lines:
            try:
                found.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
        return [one for one in found if one.work > 0 and one.steps > 0]

    def devices(self) -> list[str]:
        """Names of the devices that jobs ran on, the latest first."""
        return list(dict.fromkeys(one.device for one in reversed(self.measured())))

    def speed(self, *, model: str, device: str, plan: str | None = None) -> tuple[float, float] | None:
        """Lowest and highest expected speed in operations per second; None when nothing is known of the device.

        Jobs of the same model and plan count first, then of the same model, then of any on the device, and then what is
        published.
        """
        here = [one for one in self.measured() if one.device == device]
        choices: tuple[Callable[[Measured], bool], ...] = (
            lambda one: one.model == model and one.plan == plan,
            lambda one: one.model == model,
            lambda one: True,
        )
        for fits in choices:
            speeds = [one.work / one.steps for one in here if fits(one)][-_LAST:]
            if speeds:
                middle = statistics.median(speeds)
                return middle, middle
        return published(device)

    def rest(self, *, model: str, device: str) -> float:
        """What comes on top of the steps, as a share of their time."""
        shares = [one.rest / one.steps for one in self.measured() if one.model == model and one.device == device]
        return statistics.median(shares[-_LAST:]) if shares else _REST

    def seconds(
        self, operations: float, *, model: str, device: str, plan: str | None = None
    ) -> tuple[float, float] | None:
        """Shortest and longest expected seconds of a clip, loading left out; None for a device unheard of."""
        speed = self.speed(model=model, device=device, plan=plan)
        if speed is None:
            return None
        whole = operations * (1.0 + self.rest(model=model, device=device))
        return whole / speed[1], whole / speed[0]


def sizes_of(vendor: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """Parameters of one denoiser, width and layers, as a catalogue row has them; None when it has not."""
    numbers = vendor.get("parameters")
    denoiser = numbers.get("transformer") if isinstance(numbers, Mapping) else None
    found = (denoiser, vendor.get("hidden"), vendor.get("layers"))
    if not all(isinstance(number, int) and number > 0 for number in found):
        return None
    return found  # type: ignore[return-value]
