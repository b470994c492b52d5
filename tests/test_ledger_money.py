"""Budgets in the ledger: what is settled and held never goes over a limit by a reservation, and no cent is counted
twice or lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import videogen_core.ledger.sqlite as sqlite_module
from ledgers import (
    FAILED,
    LOST,
    NOW,
    accept,
    accepted,
    begun,
    budget,
    created,
    event,
    fail,
    finished,
    money,
    sent,
    succeed,
    usd,
)
from videogen_core import BudgetExceededError, RequestError, transitions
from videogen_core.ledger import Ledger, open_ledger

# --- reserving


@pytest.mark.promise("B1", "S2")
def test_a_hold_is_reserved_with_the_intent_or_not_at_all(ledger: Ledger) -> None:
    budget(ledger, limit="0.25")
    sent(ledger, 1)
    sent(ledger, 2)
    job = created(ledger, 3)
    with pytest.raises(BudgetExceededError, match=r"\$0.05 of \$0.25 left this month; \$0.1 are needed") as caught:
        ledger.begin(begun(job), event(job, "submitting"), fence=None)
    assert caught.value.job_id == "vg-3"
    assert caught.value.hint
    assert ledger.get("vg-3") == job
    assert [e.type for e in ledger.events("vg-3")] == ["created"]
    assert money(ledger) == usd(0, "0.2")
    assert ledger.check() == []


@pytest.mark.promise("B1")
def test_every_budget_that_covers_it_holds_it_and_one_refusal_holds_nothing(ledger: Ledger) -> None:
    budget(ledger, "everything", "10")
    budget(ledger, "acme", "10", provider="acme", period="day")
    budget(ledger, "model", "10", model="paper", period="week")
    budget(ledger, "offer", "10", model="acme/paper", period="total")
    budget(ledger, "team", "10", tags={"team": "ads"})
    budget(ledger, "others", "10", provider="blue")
    budget(ledger, "z-tight", "0.15", tags={"team": "ads", "tight": "yes"})
    sent(ledger, 1, tags={"team": "ads"})
    sent(ledger, 2, tags={"team": "ads", "tight": "yes"})
    held = {state.budget.name: state.held for state in ledger.budgets()}
    covering = {"everything", "acme", "model", "offer", "team"}
    assert {name for name, amount in held.items() if amount == Decimal("0.2")} == covering
    assert (held["others"], held["z-tight"]) == usd(0, "0.1")
    with pytest.raises(BudgetExceededError, match="z-tight"):
        sent(ledger, 3, tags={"team": "ads", "tight": "yes"})
    assert {state.budget.name: state.held for state in ledger.budgets()} == held
    assert [state.budget.name for state in ledger.budgets()] == sorted(held)
    assert ledger.check() == []


@pytest.mark.promise("B2")
def test_without_a_price_nothing_is_bought_under_a_budget(ledger: Ledger) -> None:
    sent(ledger, 1, hold=None)
    budget(ledger, provider="acme")
    with pytest.raises(BudgetExceededError, match=r"price of acme/paper is unknown, so the budget 'all'") as caught:
        sent(ledger, 2, hold=None)
    assert "max_cost" in (caught.value.hint or "")
    sent(ledger, 3, hold=None, offer="blue/boat")
    assert money(ledger) == usd(0, 0)


@pytest.mark.promise("B1")
def test_what_is_free_always_fits(ledger: Ledger) -> None:
    budget(ledger, limit="0")
    finished(ledger, 1, cost="0", hold="0")
    with pytest.raises(BudgetExceededError):
        sent(ledger, 2, hold="0.000001")
    budget(ledger, limit="0.1")
    ledger.save(succeed(accepted(ledger, 3), "0.5"))
    finished(ledger, 4, cost="0", hold="0")


@pytest.mark.promise("B4")
def test_no_amount_below_zero_and_no_nonsense_is_booked(ledger: Ledger) -> None:
    budget(ledger)
    job = accepted(ledger)
    for cost in ("-1", "NaN", "Infinity"):
        with pytest.raises(RequestError):
            ledger.save(succeed(job, cost))
    with pytest.raises(RequestError):
        sent(ledger, 2, hold="-5")
    assert money(ledger) == usd(0, "0.1")
    ledger.save(succeed(job, "1E400"))
    assert money(ledger)[0] == 10**12
    assert ledger.check() == []


@pytest.mark.promise("B4")
def test_many_tiny_amounts_are_not_nothing(ledger: Ledger) -> None:
    budget(ledger, limit="0.000003")
    for number in range(3):
        sent(ledger, number, hold="1E-12")
    with pytest.raises(BudgetExceededError):
        sent(ledger, 3, hold="1E-12")


# --- settling


@pytest.mark.promise("B5")
@pytest.mark.parametrize(("cost", "settled"), [("0.04", "0.04"), ("0", "0"), ("0.1", "0.1"), (None, "0.1")])
def test_a_hold_is_settled_once_at_what_it_cost(ledger: Ledger, cost: str | None, settled: str) -> None:
    budget(ledger)
    job = accepted(ledger)
    done = succeed(job, cost, "assumed")
    saved = ledger.save(done)
    assert money(ledger) == usd(settled, 0)
    assert ledger.save(done) == saved
    ledger.save(transitions.request_cancel(saved, NOW))
    assert money(ledger) == usd(settled, 0)
    assert ledger.check() == []


@pytest.mark.promise("B8")
def test_each_attempt_has_a_hold_of_its_own_and_a_lost_one_keeps_it(ledger: Ledger) -> None:
    budget(ledger, limit="0.35")
    job = ledger.save(transitions.reject(sent(ledger), NOW, FAILED))
    assert money(ledger) == usd(0, 0)
    job = ledger.save(accept(ledger.begin(begun(job), fence=None)[0], "pj"))
    job = ledger.save(transitions.fail_attempt(job, NOW, FAILED, cost=Decimal("0.05"), origin="provider"))
    assert money(ledger) == usd("0.05", 0)
    lost = ledger.save(transitions.lose(ledger.begin(begun(job), fence=None)[0], NOW, LOST))
    assert money(ledger) == usd("0.05", "0.1")
    again = ledger.save(transitions.resubmit(lost, NOW))
    assert money(ledger) == usd("0.15", 0), "a person accepts that it may be charged: it is booked"
    job, _ = ledger.begin(begun(again), fence=None)
    assert money(ledger) == usd("0.15", "0.1")
    ledger.save(fail(job, "0"))
    assert [attempt.money for attempt in ledger.get("vg-1").attempts] == ["released", "settled", "settled", "released"]
    assert ledger.check() == []


@pytest.mark.promise("B8", "S5")
def test_what_becomes_of_the_hold_of_a_lost_create(ledger: Ledger) -> None:
    budget(ledger)
    lost = [ledger.save(transitions.lose(sent(ledger, number), NOW, LOST)) for number in range(4)]
    assert money(ledger) == usd(0, "0.4")
    ledger.save(accept(lost[0], "pj"))
    assert money(ledger) == usd(0, "0.4")
    once = ledger.save(transitions.absent(lost[1], NOW, lag=0))
    ledger.save(transitions.absent(once, NOW + timedelta(minutes=10), lag=0))
    assert money(ledger) == usd(0, "0.3")
    ledger.save(transitions.abandon(lost[2], NOW, LOST, cost=Decimal("0.02")))
    assert money(ledger) == usd("0.02", "0.2")
    ledger.save(transitions.resend(lost[3], NOW, deadline=NOW))
    assert money(ledger) == usd("0.02", "0.2")
    assert ledger.check() == []


@pytest.mark.promise("B6")
def test_a_correction_moves_the_counters(ledger: Ledger) -> None:
    budget(ledger)
    job = ledger.save(fail(accepted(ledger), "0.1", "assumed"))
    assert ledger.costs(by="total")[0].assumed == Decimal("0.1")
    for cost in ("0.03", "0", "0.07"):
        job = ledger.save(transitions.correct(job, NOW, number=1, cost=Decimal(cost)))
        assert money(ledger) == usd(cost, 0)
        assert ledger.check() == []
    assert ledger.costs(by="total")[0].assumed == 0


@pytest.mark.promise("S6", "B5")
def test_money_follows_when_a_provider_takes_its_failure_back(ledger: Ledger) -> None:
    budget(ledger)
    job = ledger.save(fail(accepted(ledger), "0"))
    assert money(ledger) == usd(0, 0)
    ledger.save(transitions.revive(job, NOW, cost=Decimal("0.08"), origin="provider"))
    assert money(ledger) == usd("0.08", 0)
    assert ledger.check() == []


@pytest.mark.promise("B3")
def test_an_overrun_is_booked_as_it_is_and_blocks_until_somebody_has_looked(ledger: Ledger) -> None:
    budget(ledger, limit="10")
    budget(ledger, "blue", "10", provider="blue")
    ledger.save(succeed(accepted(ledger, 1), "0.25"))
    (state, blue) = ledger.budgets()
    assert (state.settled, state.held, state.left) == usd("0.25", 0, 0)
    assert "vg-1 cost $0.25, although at most $0.1" in state.blocked
    assert not blue.blocked
    with pytest.raises(BudgetExceededError, match="is blocked: job vg-1"):
        sent(ledger, 2)
    assert budget(ledger, limit="20").blocked, "another limit is no answer"
    assert ledger.acknowledge("all")
    sent(ledger, 2)
    assert not ledger.acknowledge("none")
    assert ledger.check() == []


@pytest.mark.promise("B3")
def test_an_overrun_without_a_hold_to_speak_of(ledger: Ledger) -> None:
    job = accepted(ledger, 1, hold=None)
    budget(ledger)
    ledger.save(succeed(job, "0.5"))
    assert "at most $0 " in ledger.budgets()[0].blocked
    assert money(ledger) == usd("0.5", 0)


@pytest.mark.promise("B3", "B6")
def test_a_person_who_says_what_it_cost_has_looked(ledger: Ledger) -> None:
    budget(ledger, limit="10")
    lost = ledger.save(transitions.lose(sent(ledger, 1), NOW, LOST))
    ledger.save(transitions.abandon(lost, NOW, LOST, cost=Decimal(3)))
    ledger.save(transitions.correct(finished(ledger, 2), NOW, number=1, cost=Decimal(4)))
    assert money(ledger) == usd(7, 0)
    assert not ledger.budgets()[0].blocked


# --- warnings


def test_a_warning_is_told_once_for_each_share(ledger: Ledger) -> None:
    budget(ledger, warn=(0.3, 0.5, 0.8))
    told = []
    for number in range(10):
        job = created(ledger, number)
        _, warnings = ledger.begin(begun(job), event(job, "submitting"), fence=None)
        told += [(number + 1, e.data["share"]) for e in warnings]
        assert [e.type for e in ledger.events(job.id)][2:] == ["warning"] * len(warnings)
    assert told == [(3, 0.3), (5, 0.5), (8, 0.8)]
    assert warnings == ()
    budget(ledger, warn=(0.3, 0.5, 0.8))
    ledger.save(fail(ledger.save(accept(ledger.get("vg-0"), "pj-0")), "0"))
    assert ledger.begin(begun(created(ledger, 20)), fence=None)[1] == (), (
        "the same definition again tells nothing again"
    )
    budget(ledger, limit="2", warn=(0.3, 0.5, 0.8))
    ((warning,),) = (ledger.begin(begun(created(ledger, 21)), fence=None)[1],)
    assert "'all' has passed 50%: $1.1 of $2" in warning.message


def test_one_big_step_tells_the_highest_share_alone(ledger: Ledger) -> None:
    budget(ledger, warn=(0.3, 0.5, 0.8))
    _, warnings = ledger.begin(begun(created(ledger), hold="0.9"), fence=None)
    assert [e.data["share"] for e in warnings] == [0.8]


# --- definitions


@pytest.mark.promise("B7")
def test_a_budget_that_begins_in_mid_period_counts_what_was_before(ledger: Ledger) -> None:
    finished(ledger, 1, cost="0.06")
    sent(ledger, 2)
    ledger.save(transitions.lose(sent(ledger, 3, tags={"team": "ads"}), NOW, LOST))
    ledger.save(fail(accepted(ledger, 4), "0"))
    finished(ledger, 5, offer="blue/boat", model="boat", cost="0.01")
    sent(ledger, 6, now=NOW - timedelta(days=40))
    scopes: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
        "all": ({}, ("0.07", "0.2")),
        "acme": ({"provider": "acme"}, ("0.06", "0.2")),
        "model": ({"model": "boat"}, ("0.01", "0")),
        "offer": ({"model": "acme/paper"}, ("0.06", "0.2")),
        "team": ({"tags": {"team": "ads"}}, ("0", "0.1")),
        "ever": ({"period": "total"}, ("0.07", "0.3")),
    }
    for name, (scope, counted) in scopes.items():
        state = budget(ledger, name, **scope)
        assert (state.settled, state.held) == money(ledger, name) == usd(*counted)
    ledger.save(succeed(ledger.save(accept(ledger.get("vg-2"), "pj-2")), "0.1"))
    assert money(ledger, "acme") == usd("0.16", "0.1")
    assert ledger.check() == []


@pytest.mark.promise("B7")
def test_changing_what_a_budget_covers_counts_anew_and_changing_its_limit_does_not(ledger: Ledger) -> None:
    budget(ledger)
    finished(ledger, 1)
    sent(ledger, 2, offer="blue/boat")
    assert money(ledger) == usd("0.1", "0.1")
    budget(ledger, provider="blue")
    assert money(ledger) == usd(0, "0.1")
    budget(ledger, limit="0.05", provider="blue")
    assert ledger.budgets()[0].left == 0
    budget(ledger)
    assert money(ledger) == usd("0.1", "0.1")
    assert ledger.remove_budget("all")
    assert not ledger.remove_budget("all")
    assert ledger.budgets() == []
    ledger.save(succeed(ledger.save(accept(ledger.get("vg-2"), "pj-2"))))
    assert ledger.check() == []


@pytest.mark.promise("B7")
def test_what_was_reserved_in_a_period_is_settled_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger("memory")
    late = datetime(2026, 3, 28, 22, 59, tzinfo=UTC)  # one minute before midnight in Berlin
    clock = [late.timestamp()]
    monkeypatch.setattr(sqlite_module._Sqlite, "now", lambda _: clock[0])
    for period in ("day", "week", "month", "total"):
        budget(ledger, period, period=period, timezone="Europe/Berlin")
    first = sent(ledger, 1, now=late)
    for minutes, expected in (
        (1, {"day": "0", "week": "0.1", "month": "0.1", "total": "0.1"}),  # Sunday, of 23 hours
        (1 + 23 * 60, {"day": "0", "week": "0", "month": "0.1", "total": "0.1"}),
        (1 + 71 * 60, {"day": "0", "week": "0", "month": "0", "total": "0.1"}),
    ):
        clock[0] = (late + timedelta(minutes=minutes)).timestamp()
        assert {s.budget.name: str(s.held) for s in ledger.budgets()} == expected
    ledger.save(succeed(ledger.save(accept(first, "pj"))))
    assert {s.budget.name: str(s.settled) for s in ledger.budgets()}["day"] == "0"
    clock[0] = late.timestamp()
    assert {str(s.settled) for s in ledger.budgets()} == {"0.1"}
    assert ledger.check() == []


def test_a_period_begins_anew_with_its_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger("memory")
    clock = [NOW.timestamp()]
    monkeypatch.setattr(sqlite_module._Sqlite, "now", lambda _: clock[0])
    budget(ledger, limit="0.1", period="day")
    for day in range(3):
        clock[0] = (NOW + timedelta(days=day)).timestamp()
        _, warnings = ledger.begin(begun(created(ledger, day)), fence=None)
        assert len(warnings) == 1
        with pytest.raises(BudgetExceededError):
            sent(ledger, f"more-{day}")
