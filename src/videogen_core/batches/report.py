"""What a batch tells: of each row, and of all of them. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import msgspec

__all__ = ["BatchReport", "BatchRow"]


class BatchRow(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of one row; a line of the results file.

    Attributes:
        row: Its line in the file, or its place in the list, from 1.
        id: What the row calls itself; empty = it does not.
        key: What tells it from the other rows, in every run.
        status: Of its job; ``refused`` = the job could not even be made.
        prompt: The first 200 characters.
        job_id: Our id of the job; None = there is none.
        model: Shared model name.
        provider: Adapter id.
        paths: Where its clips are.
        cost: USD of its job; None when it is not known.
        seconds: From the job's making to its end; None while it has not ended.
        error: Why there is no clip, as `VideogenError.to_dict` gives it.
    """

    row: int
    id: str = ""
    key: str = ""
    status: str
    prompt: str = ""
    job_id: str | None = None
    model: str = ""
    provider: str = ""
    paths: tuple[str, ...] = ()
    cost: Decimal | None = None
    seconds: float | None = None
    error: dict[str, Any] | None = None

    @property
    def outcome(self) -> Literal["succeeded", "failed", "unfinished"]:
        """What it counts as; ``unfinished`` = the next run goes on with it."""
        if self.status == "succeeded" and (self.paths or self.error is None):
            return "succeeded"
        return "failed" if self.status in ("failed", "cancelled", "refused") else "unfinished"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; the cost is text."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class BatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is.

    Attributes:
        name: What tells it from other batches.
        rows: How many there are.
        succeeded: Rows whose clips are here, from earlier runs too.
        failed: Rows that ended without one.
        unfinished: Rows that were begun; running the batch again goes on with them.
        left: Rows that were not begun.
        before: Rows that had succeeded or failed before this run.
        estimate: USD that the rows which were still to be made cost at most, where prices are known.
        unpriced: Rows of no known price among those.
        spent: USD booked for the whole batch, whatever became of its rows.
        held: USD reserved for what is under way or unknown.
        budget: USD for the whole batch; None = no limit of its own.
        waiting: Why no row is begun at the moment; empty = nothing stands in the way.
        stopped: Why rows are left, as `VideogenError.to_dict` gives it; None = nothing stopped it.
        results: Path of the results file.
    """

    name: str
    rows: int
    succeeded: int = 0
    failed: int = 0
    unfinished: int = 0
    left: int = 0
    before: int = 0
    estimate: Decimal = Decimal(0)
    unpriced: int = 0
    spent: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    budget: Decimal | None = None
    waiting: str = ""
    stopped: dict[str, Any] | None = None
    results: str | None = None

    @property
    def done(self) -> bool:
        """Whether every row has come to its end."""
        return self.succeeded + self.failed == self.rows

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data; amounts are text."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain
