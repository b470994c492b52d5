"""Which modes admit a request, answered for thousands of offers at once.

Many offers share the same allowed values, so each distinct set of values is asked once per request, and the answers
are combined as bit masks over all modes. The result is the same as asking every mode in turn (a property test says
so); it is what lets a router look at ten thousand offers in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .capabilities import DIMENSIONS, inputs_admitted, kept_defaults, offer_violations, present_inputs
from .request import VideoRequest
from .spec import Mode, ModelSpec

__all__ = ["ModeIndex"]


class ModeIndex:
    """An index over the modes and limits of a fixed list of offers."""

    def __init__(self, offers: Sequence[ModelSpec]) -> None:
        self._offers = offers
        self._modes: list[tuple[int, Mode]] = [(i, mode) for i, spec in enumerate(offers) for mode in spec.modes]
        groups: dict[tuple[str, Any], list[int]] = {}
        for position, (_, mode) in enumerate(self._modes):
            for key in self._keys(mode):
                groups.setdefault(key, []).append(position)
        self._masks: dict[str, dict[Any, int]] = {}
        for (name, values), positions in groups.items():
            self._masks.setdefault(name, {})[values] = self._mask(positions)
        # Offers with equal limits are checked once per request, through any one of them.
        limits: dict[Any, int] = {}
        self._limits = [limits.setdefault(self._limits_key(spec), i) for i, spec in enumerate(offers)]
        self._has_required_options = {i for i, s in enumerate(offers) if any(o.required for o in s.options.values())}

    @staticmethod
    def _keys(mode: Mode) -> Iterator[tuple[str, Any]]:
        yield "tasks", mode.tasks
        yield "inputs", (mode.requires, mode.allows)
        yield "count", mode.count
        yield "reference_images", mode.reference_images
        for dim in DIMENSIONS:
            yield dim.field, dim.allowed(mode)

    @staticmethod
    def _limits_key(spec: ModelSpec) -> Any:
        return spec.prompt, spec.image, spec.video, spec.seed, spec.negative_prompt, spec.camera

    def _mask(self, positions: list[int]) -> int:
        bits = bytearray(len(self._modes) // 8 + 1)
        for position in positions:
            bits[position >> 3] |= 1 << (position & 7)
        return int.from_bytes(bits, "little")

    def _matching_modes(self, request: VideoRequest) -> int:
        """A bit mask of the modes that admit the request."""
        task, present = request.task, present_inputs(request)
        representative = {
            key: Mode(tasks=(task,), requires=key[0], allows=key[1]) for key in self._masks.get("inputs", {})
        }
        tests: dict[str, Any] = {
            "tasks": lambda tasks: task in tasks,
            "inputs": lambda key: inputs_admitted(representative[key], task, present),
            "count": lambda most: request.count <= most,
            "reference_images": lambda most: len(request.reference_images) <= most,
        }
        for dim in DIMENSIONS:
            value = getattr(request, dim.field)
            if value is not None:
                tests[dim.field] = lambda values, value=value: value in values
        mask = (1 << len(self._modes)) - 1
        for name, test in tests.items():
            admitted = 0
            for values, bits in self._masks.get(name, {}).items():
                if test(values):
                    admitted |= bits
            mask &= admitted
            if not mask:
                break
        return mask

    def admitting(self, request: VideoRequest) -> Iterator[tuple[int, Mode]]:
        """Each offer that accepts the request, by position, with the mode that is meant."""
        mask = self._matching_modes(request)
        limits_hold: dict[int, bool] = {}
        best: tuple[int, Mode] | None = None
        for position in _set_bits(mask):
            offer, mode = self._modes[position]
            if best is not None and best[0] == offer:
                spec = self._offers[offer]
                if kept_defaults(spec, mode, request) > kept_defaults(spec, best[1], request):
                    best = offer, mode
                continue
            if best is not None:
                yield best
            best = (offer, mode) if self._limits_admit(offer, request, limits_hold) else None
        if best is not None:
            yield best

    def _limits_admit(self, offer: int, request: VideoRequest, known: dict[int, bool]) -> bool:
        spec = self._offers[offer]
        if spec.provider in request.options or offer in self._has_required_options:
            return next(iter(offer_violations(spec, request)), None) is None
        group = self._limits[offer]
        if group not in known:
            # Options play no part here: neither given for this provider nor required by it.
            problems = (v for v in offer_violations(self._offers[group], request) if not v.field.startswith("options."))
            known[group] = next(problems, None) is None
        return known[group]


def _set_bits(mask: int) -> Iterator[int]:
    """Positions of the set bits, in rising order."""
    for index, byte in enumerate(mask.to_bytes((mask.bit_length() + 7) // 8, "little")):
        while byte:
            low = byte & -byte
            yield (index << 3) + low.bit_length() - 1
            byte ^= low
