"""Pipelines that stay loaded on one device; those that were used longest ago go when room is needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..orders import Order
from ..plans import Device, Plan
from .placing import free

__all__ = ["Kept", "Key", "Warm", "key_of"]

Key = tuple[object, ...]


@dataclass
class Kept:
    """A loaded pipeline.

    Attributes:
        pipe: The pipeline.
        plan: How it is placed.
        size: Bytes of its weights.
    """

    pipe: Any
    plan: Plan
    size: int

    def on(self, device: str) -> int:
        """Bytes that it holds on the device while it is not at work."""
        return self.size if device == "cpu" or self.plan.placement == "resident" else 0

    def in_ram(self, device: str) -> int:
        """Bytes that it holds in the machine's memory."""
        return self.size if device == "cpu" or self.plan.placement != "resident" else 0


def key_of(order: Order) -> Key:
    """What two clips must share to be made by one loaded pipeline."""
    folder = Path(order.folder)
    index = max((path.stat().st_mtime_ns for path in folder.glob("*.json")), default=0)
    workflow = order.family.workflow.get(order.task) if order.family.kind == "modular" else None
    return (order.folder, order.revision, index, order.family.name, workflow, order.compile, order.attention)


class Warm:
    """The loaded pipelines of one device; used by its thread alone.

    Args:
        device: As torch calls it.
        limit: Most bytes of weights to keep; None = as many as fit.
    """

    def __init__(self, device: str, limit: int | None = None) -> None:
        self.device = device
        self._limit = limit
        self._kept: OrderedDict[Key, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Key) -> Kept | None:
        """A pipeline that is loaded; it becomes the last to go."""
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def put(self, key: Key, kept: Kept) -> None:
        """Keep a pipeline, and let the oldest go that are over the limit."""
        self._kept[key] = kept
        self._kept.move_to_end(key)
        while self._limit is not None and len(self._kept) > 1 and self._size > self._limit:
            self._evict_oldest()

    def drop(self, key: Key) -> None:
        """Let one go, and give its memory back."""
        if self._kept.pop(key, None) is not None:
            free(self.device)

    def clear(self) -> None:
        """Let all go."""
        self._kept.clear()
        free(self.device)

    def reclaimable(self, device: Device) -> Device:
        """The device as it would be if nothing were kept."""
        held = sum(kept.on(self.device) for kept in self._kept.values())
        ram = sum(kept.in_ram(self.device) for kept in self._kept.values())
        return replace(device, free=min(device.free + held, device.total), ram_free=device.ram_free + ram)

    def make_room(self, plan: Plan, measure: Callable[[], Device], keep: Key | None = None) -> None:
        """Let the oldest go until what a plan needs is free.

        Args:
            plan: What is needed.
            measure: Says how much is free now.
            keep: One that stays: it is about to be used, so what it holds is part of what is needed.
        """
        while any(key != keep for key in self._kept):
            now, own = measure(), self._kept.get(keep) if keep is not None else None
            held = own.on(self.device) if own else 0
            ram = own.in_ram(self.device) if own else 0
            if plan.needs <= now.free + held and plan.ram <= now.ram_free + ram:
                return
            self._evict_oldest(keep)

    def _evict_oldest(self, keep: Key | None = None) -> None:
        self.drop(next(key for key in self._kept if key != keep))

    @property
    def _size(self) -> int:
        return sum(kept.size for kept in self._kept.values())
