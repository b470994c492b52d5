"""Which modes admit a request, answered for thousands of offers at once.

Many offers share the same allowed values, so each distinct set of values is asked once per request, and the answers
are combined as bit masks over all modes. The result is the same as asking every mode in turn (a property test says
so); it is what lets a router look at ten thousand offers in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .capabilities import (
    DIMENSIONS,
    default_of,
    fill_defaults,
    inputs_admitted,
    present_inputs,
)
from .limits import offer_violations
from .request import VideoRequest
from .spec import Mode, ModelSpec

__all__ = ["ModeIndex"]


class ModeIndex:
    """An index over the modes and limits of a fixed list of offers."""

    def __init__(self, offers: Sequence[ModelSpec]) -> None:
        self._offers = offers
        self._modes: list[tuple[int, Mode]] = [(i, mode) for i, spec in enumerate(offers) for mode in spec.modes]
        # What each mode fills in for fields left out, worked out when first needed: the number of its set of values
        # in `_defaults`, and a bit for each that is the model's own default.
        self._filling: list[tuple[int, int] | None] = [None] * len(self._modes)
        self._defaults: dict[tuple[Any, ...], int] = {}
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
        options = (spec.negative_prompt, spec.camera.option if spec.camera else None)
        # what hangs on an option is given for one provider
        whose = spec.provider if any(isinstance(option, str) for option in options) else None
        return spec.prompt, spec.image, spec.video, spec.seed, spec.negative_prompt, spec.camera, whose

    def _mask(self, positions: list[int]) -> int:
        bits = bytearray(len(self._modes) // 8 + 1)
        for position in positions:
            bits[position >> 3] |= 1 << (position & 7)
        return int.from_bytes(bits, "little")

    def _matching_modes(self, request: VideoRequest) -> int:
        """A bit mask of the modes that admit the request."""
        task, present = request.task, present_inputs(request)
        representative = {
            key: Mode(tasks=(task,), requires=key[0], allows=key[1], reference_images=1)
            for key in self._masks.get("inputs", {})
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
        return ((position, mode) for position, mode, _ in self.resolving(request))

    def masks(self, group_of: Sequence[int]) -> dict[int, int]:
        """For each group of offers a bit mask of their modes, for `resolving` to look among.

        Args:
            group_of: The group of each offer, by position.
        """
        members: dict[int, list[int]] = {}
        for position, (offer, _) in enumerate(self._modes):
            members.setdefault(group_of[offer], []).append(position)
        return {group: self._mask(positions) for group, positions in members.items()}

    def resolving(self, request: VideoRequest, *, among: int = -1) -> Iterator[tuple[int, Mode, VideoRequest]]:
        """Each offer that accepts the request, by position, with the mode and the resolved request that are meant.

        Offers that fill in the same values share one resolved request.

        Args:
            request: What is wanted.
            among: Only the modes in this bit mask; -1 = all.
        """
        modes, filling = self._modes, self._filling
        filled: dict[int, VideoRequest] = {}
        for position in self._meant(request, among):
            offer, mode = modes[position]
            number = (filling[position] or self._fill(position))[0]
            if number not in filled:
                filled[number] = fill_defaults(self._offers[offer], mode, request)
            yield offer, mode, filled[number]

    def _meant(self, request: VideoRequest, among: int) -> Iterator[int]:
        """For each offer that accepts the request the admitting mode that keeps most of the offer's defaults."""
        unset = sum(1 << bit for bit, dim in enumerate(DIMENSIONS) if getattr(request, dim.field) is None)
        modes, filling = self._modes, self._filling
        limits_hold: dict[int, bool] = {}
        current = best = -1  # the offer being looked at, and its best mode so far
        for position in _set_bits(self._matching_modes(request) & among):
            offer = modes[position][0]
            if offer != current:
                if best >= 0:
                    yield best
                current = offer
                best = position if self._limits_admit(offer, request, limits_hold) else -1
            elif best >= 0:
                kept = (filling[position] or self._fill(position))[1] & unset
                most = (filling[best] or self._fill(best))[1] & unset
                if kept.bit_count() > most.bit_count():
                    best = position
        if best >= 0:
            yield best

    def _fill(self, position: int) -> tuple[int, int]:
        offer, mode = self._modes[position]
        spec = self._offers[offer]
        values = tuple(default_of(spec, mode, dim.field, dim.allowed(mode)) for dim in DIMENSIONS)
        own = 0
        for bit, dim in enumerate(DIMENSIONS):
            default = getattr(spec.default, dim.field)
            own |= (default is not None and default in dim.allowed(mode)) << bit
        filling = self._filling[position] = self._defaults.setdefault(values, len(self._defaults)), own
        return filling

    def _limits_admit(self, offer: int, request: VideoRequest, known: dict[int, bool]) -> bool:
        if (request.options or self._has_required_options) and (
            self._offers[offer].provider in request.options or offer in self._has_required_options
        ):
            return next(iter(offer_violations(self._offers[offer], request)), None) is None
        group = self._limits[offer]
        if group not in known:
            # Options play no part here: neither given for this provider nor required by it.
            problems = (v for v in offer_violations(self._offers[group], request) if not v.field.startswith("options."))
            known[group] = next(problems, None) is None
        return known[group]


_BITS = [tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256)]


def _set_bits(mask: int) -> Iterator[int]:
    """Positions of the set bits, in rising order."""
    for index, byte in enumerate(mask.to_bytes((mask.bit_length() + 7) // 8, "little")):
        if byte:
            for bit in _BITS[byte]:
                yield (index << 3) + bit
