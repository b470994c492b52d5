"""What the clients of one configuration share: settings, offers, the ledger, the planner."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .budget import BudgetState
from .ledger import Ledger, Observations, open_ledger
from .planning import Planner
from .registry import Registry
from .settings import Settings, load_settings

__all__ = ["Workspace"]


class Workspace:
    """Settings, offers and ledger; nothing is opened before it is needed.

    Args:
        settings: The configuration; None = read it from its usual places.
        plugins: Providers, and modules or objects with hooks, passed in; they need no packaging.
        **overrides: Settings that win over every other source.

    Raises:
        ConfigurationError: The configuration is wrong.
    """

    def __init__(self, settings: Settings | None = None, *, plugins: Iterable[object] = (), **overrides: Any) -> None:
        self.settings = settings or load_settings(**overrides)
        self.registry = Registry(self.settings, extra=plugins)
        self.planner = Planner(self.settings, self.registry, self._observe, budgets=self._budgets)
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        self._pid = os.getpid()

    def ledger(self) -> Ledger:
        """The ledger, opened on first use, and again in a forked child: a connection must not cross a fork.

        Raises:
            LedgerError: It cannot be opened.
        """
        with self._lock:
            if self._ledger is None or self._pid != os.getpid():
                self._ledger = open_ledger(self.settings.ledger_path)
                self._pid = os.getpid()
            return self._ledger

    def _observe(self) -> Observations:
        """The recent past, where there is one: looking must not create a ledger."""
        return self.ledger().observations(datetime.now(UTC)) if self.has_ledger else Observations()

    def _budgets(self) -> list[BudgetState]:
        return self.ledger().budgets() if self.has_ledger else []

    @property
    def has_ledger(self) -> bool:
        """Whether there is something to look at."""
        location = self.settings.ledger_path
        if self._ledger is not None:
            return True
        return "://" in location or (location != "memory" and Path(location).exists())

    def close(self) -> None:
        """Close the ledger."""
        with self._lock:
            if self._ledger is not None and self._pid == os.getpid():
                self._ledger.close()
            self._ledger = None
