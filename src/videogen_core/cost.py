"""What was spent, summed up. Pure; the ledger does the counting."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["GROUPS", "CostLine"]

GROUPS = ("model", "offer", "provider", "day", "tag:KEY", "total")
"""What costs can be summed by."""


class CostLine(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts of one group.

    Attributes:
        key: Name of the model, offer, provider, day (``2026-11-21``) or tag value; empty = jobs without that tag.
        attempts: How many were made, whatever came of them.
        succeeded: How many gave a clip.
        failed: How many failed, were refused or were cancelled.
        unknown: How many nobody knows the outcome of.
        spent: USD booked.
        spent_on_failures: USD of it that gave no clip.
        assumed: USD of it that no provider has confirmed: a whole hold, booked because nobody said what it cost.
        held: USD reserved for what is under way or unknown.
        unpriced: Attempts whose cost nobody knows at all; they count as nothing in the sums.
    """

    key: str
    attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    spent: Decimal = Decimal(0)
    spent_on_failures: Decimal = Decimal(0)
    assumed: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    unpriced: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; amounts are strings."""
        return {name: str(v) if isinstance(v := getattr(self, name), Decimal) else v for name in self.__struct_fields__}
