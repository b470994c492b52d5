"""The run of a batch: every row is looked at before the first is made, and then all are made, so many at a time."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

import anyio
import msgspec
from anyio import to_thread

from ..budget import make_budget
from ..engine import Engine
from ..engine.record import Listener
from ..errors import (
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    InsufficientCreditsError,
    InvalidRowsError,
    JobTimeoutError,
    LedgerError,
    NoRouteError,
    PluginError,
    ResultExpiredError,
    VideogenError,
)
from ..states import Event, JobRecord, JobStatus, Result
from .looking import TAG, Looked, Looker
from .report import BatchReport, BatchRow
from .results import Results
from .rows import Row

__all__ = ["AHEAD", "Outcome", "Rows", "Run", "Watch"]

AHEAD = 256
"""Rows that are begun or wait for their provider at a time; those behind them are not even read."""
_CHUNK = 16  # rows that are looked at in one go
_MOST_FAULTS = 100  # that are kept of the rows that are wrong
_LONGEST = 100  # characters of a budget's name
_REST = 5.0  # seconds between looks at a provider that rests
_BEGUN = frozenset({"submitting", "accepted", "unknown", "rejected", "cached"})
# What every further row would run into as well.
_STOPS = (AuthenticationError, InsufficientCreditsError, ConfigurationError, LedgerError)

Rows = Callable[[], Iterator[Row]]
Watch = Callable[[BatchReport], object]
Outcome = Callable[[int, Result | VideogenError], None]


@dataclass
class Counts:
    """How far it is, while it runs."""

    rows: int = 0
    succeeded: int = 0
    failed: int = 0
    before: int = 0
    begun: int = 0
    estimate: Decimal = Decimal(0)
    unpriced: int = 0
    spent: Decimal = Decimal(0)
    waiting: str = ""


class Run:
    """One run of one batch, on one event loop.

    Args:
        engine: Makes the clips.
        looker: Looks at rows.
        rows: Reads them from the first on, each time that it is called.
        results: Where the rows are written that have come to an end.
        budget: USD for the whole batch, in all its runs; None = none of its own.
        max_concurrency: Clips that are made at a time, at all providers together; None = what the providers take.
        listener: Told of every event of every job.
        watch: Told how far it is, after the check and after each row.
        outcome: Told what each row gave, by its number.
    """

    def __init__(
        self,
        engine: Engine,
        looker: Looker,
        rows: Rows,
        results: Results,
        *,
        budget: Decimal | None = None,
        max_concurrency: int | None = None,
        listener: Listener | None = None,
        watch: Watch | None = None,
        outcome: Outcome | None = None,
    ) -> None:
        self._engine = engine
        self._looker = looker
        self._rows = rows
        self._results = results
        self._budget = budget
        self._listener = listener
        self._watch = watch
        self._outcome = outcome or (lambda number, answer: None)
        self._counts = Counts()
        self._ahead = anyio.Semaphore(AHEAD)
        self._at_once = anyio.Semaphore(max_concurrency or AHEAD)
        self._not_begun: dict[str, anyio.CancelScope] = {}
        self._stop: VideogenError | None = None

    # --- before anything is spent

    async def check(self) -> None:
        """Look at every row.

        Raises:
            InvalidRowsError: Some cannot be made; which, and why.
        """
        counts, faults, wrong = self._counts, list[dict[str, Any]](), 0

        def one(row: Row) -> None:
            nonlocal wrong
            counts.rows += 1
            try:
                looked = self._looker.look(row)
                if looked.job is None:
                    self._add_price(self._looker.check(looked))
                elif looked.job.done:
                    counts.before += 1
            except VideogenError as error:
                wrong += 1
                if len(faults) < _MOST_FAULTS:
                    faults.append({"row": row.number, **error.to_dict()})

        def all_of(chunk: list[Row]) -> None:
            for row in chunk:
                one(row)

        async for chunk in self._chunks():
            await to_thread.run_sync(all_of, chunk)
        self._looker.tally.start_over()
        if wrong:
            raise InvalidRowsError(_said(faults, wrong, counts.rows), faults=tuple(faults), hint=_hint(faults))

    def _add_price(self, high: Decimal | None) -> None:
        if high is None:
            self._counts.unpriced += 1
        else:
            self._counts.estimate += high

    async def _chunks(self) -> AsyncIterator[list[Row]]:
        """The rows, so few at a time that memory stays small, and read in a thread."""
        rows = self._rows()
        while chunk := await to_thread.run_sync(lambda: list(islice(rows, _CHUNK))):
            yield chunk

    # --- making

    async def make(self, timeout: float | None = None) -> None:
        """Make every row that is not made yet.

        Args:
            timeout: Seconds, after which the rest is left.

        Raises:
            ConfigurationError: The results file cannot be written; nothing was sent.
        """
        await to_thread.run_sync(self._results.open)
        if self._budget is not None:
            await self._engine.recorder.run(self._engine.recorder.ledger.set_budget, self._as_budget(self._budget))
        with anyio.move_on_after(timeout) as scope:
            async with anyio.create_task_group() as group:
                async for looked in self._looked():
                    await self._ahead.acquire()
                    job = await self._job(looked)
                    if job is None:
                        self._ahead.release()
                    else:
                        group.start_soon(self._one, looked, job)
        if scope.cancelled_caught and timeout is not None:
            self._stop = JobTimeoutError(
                f"The batch is not done after {timeout:g} seconds; what providers have accepted goes on there.",
                hint="Run it again: it goes on where it was.",
            )

    def _as_budget(self, limit: Decimal) -> Any:
        return make_budget(self._budget_name, limit=limit, period="total", tags={TAG: self._looker.name})

    @property
    def _budget_name(self) -> str:
        """What the batch's budget is called in the ledger; no two batches have the same."""
        name = f"{TAG} {self._looker.name}"
        if len(name) <= _LONGEST:
            return name
        return f"{name[:30]}…{name[-55:]} {hashlib.sha256(name.encode()).hexdigest()[:12]}"

    async def forget_budget(self) -> None:
        """Remove the budget of a batch that nobody can run again, unless something is left that it has to bound."""
        if self._budget is None:
            return
        recorder, name = self._engine.recorder, self._budget_name
        left = await recorder.run(recorder.ledger.jobs, tags={TAG: self._looker.name}, unfinished=True, limit=1)
        states = await recorder.run(recorder.ledger.budgets)
        if not left and any(state.budget.name == name and not state.blocked for state in states):
            await recorder.run(recorder.ledger.remove_budget, name)

    async def _looked(self) -> AsyncIterator[Looked]:
        async for chunk in self._chunks():
            # looked at in their order, since of rows that are alike each has its number
            for row in chunk:
                if self._stop is not None:
                    return
                try:
                    yield await to_thread.run_sync(self._looker.look, row)
                except VideogenError as error:  # the file has changed since it was checked
                    await self._ended(BatchRow(row=row.number, id=row.name, status="refused", error=error.to_dict()))
                    self._outcome(row.number, error)

    async def _job(self, looked: Looked) -> JobRecord | None:
        """The row's job, made if need be; None = it has none, since it was refused or no more rows are begun.

        While the only provider that could take it rests, the rows wait here: each would fail like the one before.
        """
        if looked.job is not None:
            return looked.job
        while self._stop is None:
            try:
                job = await self._engine.create(looked.request, looked.policy, looked.delivery)
            except NoRouteError as error:
                resting = [r for r in error.rejected if r.reason == "resting"]
                if not resting:
                    await self._refused(looked, error)
                    return None
                self._tell(waiting=f"{resting[0].offer}: {resting[0].message}")
                await self._engine.recorder.clock.sleep(_REST)
                self._counts.waiting = ""
            except VideogenError as error:
                await self._refused(looked, error)
                return None
            else:
                return job
        return None

    async def _refused(self, looked: Looked, error: VideogenError) -> None:
        if isinstance(error, BudgetExceededError) or _stops(error):
            self._halt(error)
            return
        row = looked.row
        await self._ended(_row(looked, None, error))
        self._outcome(row.number, error)

    async def _one(self, looked: Looked, job: JobRecord) -> None:
        """See one row through to its end."""
        try:
            answer: Result | VideogenError = await self._driven(job)
        except VideogenError as error:
            answer = error
        finally:
            self._not_begun.pop(job.id, None)
            self._ahead.release()
        job = await self._engine.recorder.get(job.id)
        out_of_budget = isinstance(answer, BudgetExceededError) and not job.attempts
        if isinstance(answer, VideogenError) and (_stops(answer) or out_of_budget):
            self._halt(answer)
        if not out_of_budget and (job.attempts or job.done):
            await self._ended(_row(looked, job, answer))
        self._outcome(looked.row.number, answer)

    async def _driven(self, job: JobRecord) -> Result | VideogenError:
        engine = self._engine
        if not job.done:
            async with self._at_once:
                if job.status is JobStatus.CREATED:
                    with anyio.CancelScope() as scope:
                        self._not_begun[job.id] = scope
                        if self._stop is None:
                            job = await engine.drive(job, listener=self._hear)
                    if scope.cancelled_caught or job.status is JobStatus.CREATED:
                        job = await engine.recorder.get(job.id)
                        if job.status is JobStatus.CREATED and self._stop is not None:
                            return self._stop
                if not job.done:
                    job = await engine.drive(job, listener=self._hear)
        result = engine.result(job)
        lost = [str(video.path) for video in result.videos if video.path is not None and not video.path.exists()]
        if lost:
            return ResultExpiredError(
                f"The clip was stored as {lost[0]}, which is not there any more.",
                hint="Bring it back; or, to make and pay for it again, run the rows under another name or into another "
                "folder.",
                job_id=job.id,
            )
        return result

    async def _hear(self, event: Event) -> None:
        if event.type in _BEGUN:
            self._not_begun.pop(event.job_id, None)
        if self._listener is not None:
            answer = self._listener(event)
            if inspect.isawaitable(answer):
                await answer

    def _halt(self, error: VideogenError) -> None:
        """Begin no more rows; those that were begun are seen through."""
        if self._stop is None:
            if isinstance(error, BudgetExceededError) and f"{self._budget_name!r}" in error.message:
                error.hint = "Raise the batch's own budget (`--budget`, or `budget=`) and run it again."
            self._stop = error
            for scope in list(self._not_begun.values()):
                scope.cancel()

    async def _ended(self, row: BatchRow) -> None:
        counts = self._counts
        counts.succeeded += row.outcome == "succeeded"
        counts.failed += row.outcome == "failed"
        counts.begun += row.outcome == "unfinished"
        counts.spent += row.cost or 0
        if row.outcome != "unfinished" or row.status == JobStatus.UNKNOWN:
            try:
                await to_thread.run_sync(self._results.add, row)
            except ConfigurationError as error:  # a full disk, say; the ledger has it all
                self._halt(error)
        self._tell()

    # --- telling

    def _tell(self, waiting: str = "") -> None:
        self._counts.waiting = waiting
        if self._watch is not None:
            self._watch(self.report())

    def report(self) -> BatchReport:
        """How far it is."""
        counts = self._counts
        return BatchReport(
            name=self._looker.name,
            rows=counts.rows,
            succeeded=counts.succeeded,
            failed=counts.failed,
            unfinished=counts.begun,
            left=counts.rows - counts.succeeded - counts.failed - counts.begun,
            before=counts.before,
            estimate=counts.estimate,
            unpriced=counts.unpriced,
            spent=counts.spent,
            budget=self._budget,
            waiting=counts.waiting,
            stopped=None if self._stop is None else self._stop.to_dict(),
        )

    @property
    def stopped(self) -> VideogenError | None:
        """Why rows are left; None = nothing stopped it."""
        return self._stop

    async def booked(self) -> BatchReport:
        """The same, with the money that the ledger has booked for the batch in all its runs."""
        ledger = self._engine.recorder.ledger
        lines = await self._engine.recorder.run(ledger.costs, by=f"tag:{TAG}")
        line = next((line for line in lines if line.key == self._looker.name), None)
        report = self.report()
        return report if line is None else msgspec.structs.replace(report, spent=line.spent, held=line.held)


def _stops(error: VideogenError) -> bool:
    return isinstance(error, _STOPS) and not isinstance(error, PluginError)


def _row(looked: Looked, job: JobRecord | None, answer: Result | VideogenError) -> BatchRow:
    error = answer.to_dict() if isinstance(answer, VideogenError) else None
    row = BatchRow(
        row=looked.row.number,
        id=looked.row.name,
        key=looked.key,
        status="refused",
        prompt=looked.request.prompt[:200],
        error=error,
    )
    if job is None:
        return row
    return msgspec.structs.replace(
        row,
        status=job.status.value,
        job_id=job.id,
        model=answer.model if isinstance(answer, Result) else job.attempts[-1].model if job.attempts else "",
        provider=job.provider,
        paths=() if error else tuple(str(video.path or video.url) for video in job.videos),
        cost=job.cost,
        seconds=(job.updated_at - job.created_at).total_seconds() if job.done else None,
    )


def _said(faults: list[dict[str, Any]], wrong: int, rows: int) -> str:
    shown = "; ".join(f"row {fault['row']}: {str(fault['message']).rstrip('.')}" for fault in faults[:5])
    more = f"; and {wrong - 5} more" if wrong > 5 else ""
    return f"{wrong} of {rows} rows cannot be made, so nothing was sent: {shown}{more}."


def _hint(faults: list[dict[str, Any]]) -> str:
    hints = dict.fromkeys(str(fault["hint"]) for fault in faults if fault.get("hint"))
    return next(iter(hints)) if len(hints) == 1 else "Correct them and run it again."
