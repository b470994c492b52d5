"""Mistakes that somebody might make one day, each of which a named test must notice.

A mutant is applied when ``VIDEOGEN_TEST_MUTANT`` names it: by ``pytest -p mutants``, and by every module that imports
``rig``. `test_mutants` runs the tests that must fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

__all__ = ["MUTANTS", "VARIABLES", "Mutant", "apply"]

_NAME = os.environ.get("VIDEOGEN_TEST_MUTANT", "")  # read at import: no test sees the machine's VIDEOGEN_ variables
VARIABLES = {"VIDEOGEN_TEST_MUTANT": _NAME}
"""For the processes that a test starts."""


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
        apply: Makes it.
        killers: Tests, at least one of which must fail.
    """

    apply: Callable[[], None]
    killers: tuple[str, ...]


def apply() -> None:
    """Make the mistake that is asked for, if one is, once."""
    if _NAME and not _applied:
        _applied.add(_NAME)
        MUTANTS[_NAME].apply()


_applied: set[str] = set()


class _Instead:
    """A session whose creates are answered by a function."""

    def __init__(self, session: Any, submit: Callable[..., Any]) -> None:
        self._session = session
        self.submit = submit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def _commit_after_post() -> None:
    from videogen_core.engine.submission import Submitter

    original = Submitter._ask

    async def ask(self: Any, job: Any, session: Any, plan: Any, log: Any) -> Any:
        found: list[Any] = []
        try:
            found.append(await session.submit(plan.call))
        except Exception as error:
            found.append(error)

        async def told(call: Any) -> Any:
            if isinstance(found[0], Exception):
                raise found[0]
            return found[0]

        return await original(self, job, _Instead(session, told), plan, log)  # type: ignore[arg-type]

    Submitter._ask = ask  # type: ignore[method-assign]


def _retry_post() -> None:
    from videogen_core.engine.submission import Submitter

    original = Submitter._send

    async def send(self: Any, job: Any, session: Any, call: Any, log: Any, **more: Any) -> Any:
        async def twice(call: Any) -> Any:
            try:
                return await session.submit(call)
            except Exception:
                return await session.submit(call)

        return await original(self, job, _Instead(session, twice), call, log, **more)  # type: ignore[arg-type]

    Submitter._send = send  # type: ignore[method-assign]


def _no_lag_wait() -> None:
    from videogen_core import transitions
    from videogen_core.engine.reconciling import Reconciler

    original = transitions.absent
    transitions.absent = partial(_sooner, original)
    Reconciler._proof = property(lambda self: 0.0)  # type: ignore[method-assign, assignment]


def _sooner(original: Any, job: Any, now: Any, *, lag: float) -> Any:
    return original(job, now, lag=-1e9)


def _believe_the_clock() -> None:
    """Absence is proven by the wall clock alone."""
    from videogen_core.engine.reconciling import Reconciler

    Reconciler._proof = property(lambda self: 0.0)  # type: ignore[method-assign, assignment]


def _release_unknown() -> None:
    from decimal import Decimal

    import msgspec

    from videogen_core import transitions

    original = transitions.lose

    def lose(job: Any, now: Any, error: Any) -> Any:
        new = original(job, now, error)
        attempts = transitions._with_attempt(new, finished_at=now, cost=Decimal(0), cost_origin="computed")
        return msgspec.structs.replace(new, attempts=attempts, money=transitions._money(attempts))

    transitions.lose = lose


def _fence_blocks_id() -> None:
    from videogen_core.engine.record import Log

    original = Log.write

    async def write(self: Any, job: Any, change: Any, kind: str, *args: Any, late: bool = False, **data: Any) -> Any:
        return await original(self, job, change, kind, *args, late=late and kind != "accepted", **data)

    Log.write = write  # type: ignore[method-assign]


def _settle_twice() -> None:
    from videogen_core.ledger import postings

    original = postings.post

    def post(tx: Any, job_id: str, attempt: Any) -> None:
        original(tx, job_id, attempt)
        if attempt.money == "settled":
            tx.change("UPDATE periods SET settled_micro = settled_micro + 1 WHERE budget = 'all'")

    postings.post = post


def _plain_begin() -> None:
    from videogen_core.ledger.sqlite import SqliteLedger

    def write(self: Any, work: Any) -> Any:
        with self._lock, self._errors("written"):
            return self._run("BEGIN", work)

    SqliteLedger._write = write  # type: ignore[method-assign]


def _keys_cross_redirects() -> None:
    from videogen_core import _guard

    _guard.origin = lambda url: ("", "", 0)


def _probe_only() -> None:
    """A clip is whole if a player would open it."""
    from pathlib import Path

    import av

    from videogen_core import partials
    from videogen_core.states import Video

    def probe(path: Path, **more: Any) -> Video:
        with av.open(str(path)) as clip:
            seconds = clip.duration / av.time_base if clip.duration else None
        return Video(path=path, size=path.stat().st_size, duration=seconds)

    partials.probe = probe  # type: ignore[attr-defined]


def _no_fsync() -> None:
    from videogen_core.ledger.sqlite import SqliteLedger

    original = SqliteLedger._prepare

    def prepare(self: Any, db: Any) -> None:
        original(self, db)
        db.pragma("synchronous", "off")

    SqliteLedger._prepare = prepare  # type: ignore[method-assign]
    os.fsync = lambda descriptor: None


_EVIDENCE, _POINTS = "tests/test_evidence.py::", "tests/test_kill_points.py::test_killed_at_a_commit"
_HERE = "tests/test_mutants.py::"
MUTANTS = {
    "commit_after_post": Mutant(_commit_after_post, (f"{_POINTS}[N-before-submitting-1]",)),
    "retry_post": Mutant(_retry_post, (f"{_EVIDENCE}test_one_create_is_one_post[500]",)),
    "no_lag_wait": Mutant(_no_lag_wait, (f"{_EVIDENCE}test_our_own_id_finds_it_once_it_shows",)),
    "believe_the_clock": Mutant(
        _believe_the_clock, ("tests/test_clock_jumps.py::test_no_clock_proves_that_a_create_was_lost[two hours on]",)
    ),
    "release_unknown": Mutant(
        _release_unknown,
        (f"{_EVIDENCE}test_any_other_answer_leaves_it_open[500-after]", f"{_POINTS}[N-after-unknown-1]"),
    ),
    "fence_blocks_id": Mutant(
        _fence_blocks_id, (f"{_EVIDENCE}test_a_handle_that_comes_after_its_lease_was_lost_is_kept",)
    ),
    "settle_twice": Mutant(_settle_twice, (f"{_POINTS}[N-after-settled-1]",)),
    "plain_begin": Mutant(_plain_begin, (f"{_HERE}test_processes_that_read_before_they_write_wait_for_each_other",)),
    "keys_cross_redirects": Mutant(
        _keys_cross_redirects, ("tests/test_downloads.py::test_keys_go_to_the_first_origin_only",)
    ),
    "probe_only": Mutant(_probe_only, ("tests/test_downloads.py::test_a_faulty_transfer_leaves_nothing",)),
    "no_fsync": Mutant(_no_fsync, (f"{_HERE}test_what_is_on_record_is_on_the_disk",)),
}

apply()
