"""Batches: thousands of requests in one run, under one budget, and as often as need be until all are made.

What a row is and which job it has is decided anew in every run, from the row and the ledger alone. So a run may end at
any instant, and the next one goes on.
"""

from __future__ import annotations

from .report import BatchReport, BatchRow

__all__ = ["BatchReport", "BatchRow"]
