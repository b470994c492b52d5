"""Any budgets and any jobs: overlapping scopes count what they cover, and never more than they may."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ledgers import (
    FAILED,
    NOW,
    accept,
    begun,
    event,
    record,
    succeed,
)
from videogen_core import BudgetExceededError, transitions
from videogen_core.budget import make_budget, micro
from videogen_core.ledger import Ledger, open_ledger

_AMOUNTS = st.decimals("0", "0.5", places=7)
_SCOPES = st.fixed_dictionaries(
    {"period": st.sampled_from(["day", "week", "month", "total"])},
    optional={
        "provider": st.sampled_from(["acme", "blue"]),
        "model": st.sampled_from(["paper", "acme/paper", "blue/boat"]),
        "tags": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
        "timezone": st.sampled_from(["UTC", "Asia/Kathmandu", "America/Havana"]),
    },
)
_JOBS = st.tuples(
    st.sampled_from([("acme/paper", "paper"), ("blue/boat", "paper"), ("blue/boat", "boat")]),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
    _AMOUNTS,
    st.one_of(st.none(), _AMOUNTS),
    st.sampled_from(["hold", "settle", "release"]),
)


@pytest.mark.promise("B1", "B5", "B7")
@given(st.lists(st.tuples(_AMOUNTS, _SCOPES), max_size=5), st.lists(_JOBS, max_size=12), st.integers(0, 12))
@settings(max_examples=120, deadline=None)
def test_overlapping_budgets_count_what_they_cover_and_never_more_than_they_may(
    budgets: list[tuple[Decimal, dict[str, Any]]], jobs: list[Any], defined: int
) -> None:
    ledger = open_ledger("memory")
    wanted = [
        make_budget(f"b{n}", limit=round(limit, 6), **scope)  # type: ignore[call-overload]
        for n, (limit, scope) in enumerate(budgets)
    ]
    truth: dict[str, list[int]] = {b.name: [0, 0] for b in wanted}
    for number, ((offer, model), tags, hold, cost, fate) in enumerate(jobs):
        if number == defined:  # the later half of the budgets is defined when much is spent already
            for b in wanted[1::2]:
                ledger.set_budget(b)
        if number == 0:
            for b in wanted[::2]:
                ledger.set_budget(b)
        now = {s.budget.name for s in ledger.budgets()}
        covering = [b for b in wanted if b.covers(offer=offer, model=model, tags=tags)]
        fits = all(
            not micro(hold) or sum(truth[b.name]) + micro(hold) <= micro(b.limit) for b in covering if b.name in now
        )
        job = ledger.create(record(number, tags=tags), event(record(number)))
        try:
            job, _ = ledger.begin(begun(job, hold=str(hold), offer=offer, model=model), fence=None)
        except BudgetExceededError:
            assert not fits or any(s.blocked for s in ledger.budgets())
            continue
        assert fits
        booked = _settled(ledger, job, hold, cost, fate)
        for b in covering:
            truth[b.name][fate == "hold"] += booked
        for state in ledger.budgets():
            counted = [micro(state.settled), micro(state.held)]
            assert counted == truth[state.budget.name]
            ledger.acknowledge(state.budget.name)
    assert ledger.check() == []


def _settled(ledger: Ledger, job: Any, hold: Decimal, cost: Decimal | None, fate: str) -> int:
    """Bring a job to its end; what it is booked for."""
    if fate == "hold":
        return micro(hold)
    if fate == "release":
        ledger.save(transitions.reject(job, NOW, FAILED))
        return 0
    ledger.save(succeed(ledger.save(accept(job, job.id)), None if cost is None else str(cost)))
    return micro(hold if cost is None else cost)
