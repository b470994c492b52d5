"""What a task of V2 cost: the seconds and images that MiniMax counted, at the catalogue's prices. Pure."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any

import msgspec

from videogen_core import ModelSpec, Price, VideoRequest

__all__ = ["Usage", "billed"]


class Usage(msgspec.Struct):
    """What MiniMax counted for a task."""

    total_seconds: float | None = None
    input_seconds: float | None = None
    output_seconds: float | None = None
    input_image_count: int | None = None


def billed(spec: ModelSpec, request: VideoRequest, counted: Any) -> Decimal | None:
    """USD; None when MiniMax has counted no seconds or said so unreadably, or the price is not known.

    Args:
        spec: The offer, with its prices as the user has them.
        request: What was asked.
        counted: ``usage`` of the task, as it came.
    """
    try:
        usage = msgspec.convert(counted, Usage, strict=False)
    except msgspec.ValidationError:
        return None
    if not usage.output_seconds:
        return None
    prices = [price for price in spec.prices if _applies(price, request)]
    base = next((price for price in prices if price.kind == "base"), None)
    charged = [price for price in prices if price.kind == "surcharge"]
    if base is None or base.unit != "second" or any(price.unit not in ("image", "input_second") for price in charged):
        return None
    return _charge(base, usage.output_seconds) + sum((_extra(price, usage) for price in charged), Decimal(0))


def _applies(price: Price, request: VideoRequest) -> bool:
    return (not price.tasks or request.task in price.tasks) and (
        not price.resolutions or request.resolution in price.resolutions
    )


def _extra(price: Price, usage: Usage) -> Decimal:
    return _charge(price, (usage.input_image_count if price.unit == "image" else usage.input_seconds) or 0)


def _charge(price: Price, quantity: float) -> Decimal:
    units = Decimal(int(quantity)) if quantity == int(quantity) else Decimal(repr(quantity))
    if price.round_up:
        units = units.to_integral_value(ROUND_CEILING)
    return max(units - price.free, Decimal(0)) * price.amount * (price.credit_usd or 1)
