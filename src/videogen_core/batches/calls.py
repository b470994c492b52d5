"""The two calls: a batch from a list, with its answers, and one from a file, with a report."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ..engine import Engine
from ..engine.record import Listener
from ..errors import RequestError, VideogenError
from ..pricing import money
from ..states import Result
from .looking import Looker
from .report import BatchReport
from .results import Results
from .rows import rows_of_file, rows_of_list
from .run import AHEAD, Outcome, Rows, Run, Watch
from .tally import Tally

__all__ = ["Options", "make_file", "make_list"]


@dataclass(frozen=True)
class Options:
    """What both calls take, as the user gave it.

    Attributes:
        name: What tells the batch from others.
        max_concurrency: Clips that are made at a time.
        budget: USD for all of it.
        retry_failed: Whether rows that failed in an earlier run are made again.
        listener: Told of every event of every job.
        watch: Told how far it is.
    """

    name: str | None
    max_concurrency: int | None
    budget: Any
    retry_failed: bool
    listener: Listener | None
    watch: Watch | None = None

    def run(self, engine: Engine, looker: Looker, rows: Rows, results: Results, outcome: Outcome | None = None) -> Run:
        """One run of it.

        Raises:
            RequestError: An option has a wrong value.
        """
        return Run(
            engine,
            looker,
            rows,
            results,
            budget=money(self.budget, field="budget"),
            max_concurrency=_at_once(self.max_concurrency),
            listener=self.listener,
            watch=self.watch,
            outcome=outcome,
        )


async def make_list(
    engine: Engine, requests: Iterable[Any], defaults: Mapping[str, Any], options: Options
) -> list[Result | VideogenError]:
    """Answers in the order of the requests."""
    if isinstance(requests, str | bytes | Mapping) or not isinstance(requests, Iterable):
        raise RequestError(f"requests: expected a list of requests, got {type(requests).__name__}.")
    kept = list(requests)
    answers: list[Result | VideogenError | None] = [None] * len(kept)
    name, keyed = _name(options.name) or f"list {secrets.token_hex(6)}", options.name is not None
    with closing(Tally()) as tally:
        looker = Looker(engine, name, keyed, defaults, None, options.retry_failed, tally)

        def outcome(number: int, answer: Result | VideogenError) -> None:
            answers[number - 1] = answer

        run = options.run(engine, looker, lambda: rows_of_list(kept), Results(None, tally), outcome)
        await run.check()
        await run.make()
        if not keyed:
            await run.forget_budget()
    stop = run.stopped or VideogenError("The request was not begun.")
    return [stop if answer is None else answer for answer in answers]


async def make_file(
    engine: Engine,
    path: Any,
    folder: Any,
    defaults: Mapping[str, Any],
    options: Options,
    *,
    results: Any,
    dry_run: bool,
    limit: float | None,
) -> BatchReport:
    """How it ended."""
    into, rows = _path("folder", folder), rows_of_file(_path("path", path))
    if into.exists() and not into.is_dir():
        raise RequestError(f"folder: {into} is a file.", hint="Name a folder.")
    kept = into / "results.jsonl" if results is None else _path("results", results)
    with closing(Tally()) as tally, closing(Results(kept, tally)) as lines:
        looker = Looker(engine, _name(options.name) or str(into), True, defaults, into, options.retry_failed, tally)
        run = options.run(engine, looker, rows, lines)
        await run.check()
        if options.watch is not None:
            options.watch(run.report())
        if not dry_run:
            await run.make(limit)
        return msgspec.structs.replace(await run.booked(), results=str(kept))


def _path(field: str, value: Any) -> Path:
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise RequestError(f"{field}: expected a path, got {value!r}.")
    return Path(os.fspath(value)).expanduser().absolute()


def _name(name: Any) -> str | None:
    if name is not None and not (isinstance(name, str) and name.strip() and name.isprintable() and len(name) <= 500):
        raise RequestError("name: expected 1 to 500 printable characters.")
    return name


def _at_once(number: Any) -> int | None:
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not number >= 1:
        raise RequestError(f"max_concurrency: expected a number of clips, from 1, got {number!r}.")
    return min(number, AHEAD)
