"""Which plans fit a clip on a device, and the refusal when none does."""

from __future__ import annotations

from ..orders import Order
from ..plans import Device, Plan

__all__ = ["plans_for"]


def plans_for(order: Order, device: Device) -> tuple[Plan, ...]:
    return (Plan(placement="resident"),)
