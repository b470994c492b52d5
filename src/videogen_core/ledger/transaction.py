"""What a database gives to the statements of the ledger: one transaction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["Row", "Transaction"]

Row = tuple[Any, ...]


class Transaction(ABC):
    """An open transaction. Queries name their values ``:name``."""

    for_update = ""
    """What a query ends in that reads rows of ``jobs`` to change them."""

    @abstractmethod
    def rows(self, query: str, **values: Any) -> list[Row]:
        """Every row of a query."""

    @abstractmethod
    def change(self, query: str, **values: Any) -> int:
        """Run a statement; returns how many rows it changed."""

    @abstractmethod
    def now(self) -> float:
        """Seconds since 1970 by the clock that all who share the store go by."""

    @abstractmethod
    def lock_budgets(self, *, alone: bool) -> None:
        """Wait until no budget is being redefined; ``alone``: until none is being reserved from, either."""
