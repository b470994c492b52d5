"""Which plans fit a clip on a device, and the refusal when none does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from videogen_core import ConfigurationError, RequestError

from .. import memory, plans
from ..families import Nearest
from ..orders import Order
from ..plans import Device, Footprint, Plan, Refusal
from . import devices
from .errors import JobError

__all__ = ["check_attention", "check_fit", "plans_for"]

_PATIENT = 4 << 30
"""Bytes of weights up to which a clip may be made on the processor unasked; beyond, it takes hours."""


def plans_for(order: Order, device: Device) -> tuple[Plan, ...]:
    """The plans for a clip, the quickest first; the one that the user names, alone.

    Raises:
        JobError: None fits; it says what would.
    """
    estimate = _estimate(order, device)
    clip = Nearest(frames=order.frames, width=order.width, height=order.height)
    if order.plan != "auto":
        return (plans.needs(plans.named(order.plan), estimate(clip), device),)
    found = plans.choose(estimate, clip, order.family, device)
    if isinstance(found, Refusal):
        raise JobError(found.message, found.hint, "no_memory")
    return found


def _estimate(order: Order, device: Device) -> Any:
    on_cpu = device.kind == "cpu"
    fine_vae = on_cpu or order.family.name.startswith("Wan")  # as `loading` has it
    return memory.of_folder(
        Path(order.folder),
        order.family,
        number_bytes=4 if on_cpu else 2,
        vae_bytes=4 if fine_vae else 2,
        guided=(order.guidance or 0) > 1,
    )


def check_fit(order: Order, settings: Mapping[str, Any]) -> None:
    """Return when a device of this machine could make a clip if nothing else ran on it. Imports torch.

    Raises:
        ConfigurationError: None could, or there is no GPU for a model that wants one.
        RequestError: A file of weights is damaged.
    """
    refusals = []
    for name in devices.chosen(settings):
        device = devices.measure(name)
        empty = replace(device, free=device.total, ram_free=devices.ram())
        footprint: Footprint = _estimate(order, empty)(
            Nearest(frames=order.frames, width=order.width, height=order.height)
        )
        if name == "cpu" and settings.get("devices") is None and footprint.weights > _PATIENT:
            raise ConfigurationError(
                f"torch sees no GPU on this machine, and {order.offer} has {plans.gigabytes(footprint.weights)} of "
                "weights: on the processor a clip takes hours.",
                hint="Install the build of torch for your GPU, or set devices = ['cpu'] in [providers.local] to have "
                "it made on the processor all the same.",
            )
        try:
            plans_for(order, empty)
        except JobError as error:
            refusals.append(error.failure)
        else:
            return
    raise ConfigurationError(f"{order.offer}: {refusals[0].message}", hint=refusals[0].hint)


def check_attention(order: Order) -> None:
    """Return when diffusers has the attention backend of an order, if it names one. Imports diffusers then.

    Raises:
        RequestError: It has none of that name.
    """
    if order.attention is None:
        return
    from diffusers.models.attention_dispatch import AttentionBackendName

    names = sorted(backend.value for backend in AttentionBackendName)
    if order.attention not in names:
        usual = ", ".join(name for name in names if not name.startswith("_"))
        raise RequestError(
            f"options.local.attention: diffusers has no attention backend {order.attention!r}.", hint=f"It has {usual}."
        )
