"""``budgets``: how much may be spent, what has been, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

import typer

from videogen_core import BudgetState, Client, RequestError

from . import completion
from .options import pairs, takes
from .screen import Screen
from .tables import Column, facts, show_table
from .words import dollars, moment

__all__ = ["acknowledge_budget", "budgets", "remove_budget", "set_budget"]

_BATCH = "batch"  # the tag of a batch's jobs, and how the name of its budget begins
_Some = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Show one budget.", autocompletion=completion.budgets_and_verbs),
]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the budget.", autocompletion=completion.budgets)]
_Limit = Annotated[str | None, typer.Option("--limit", metavar="USD", help="Most that may be spent in each period.")]
_Period = Annotated[
    str | None,
    typer.Option(
        "--period",
        metavar="WHICH",
        help="day, week, month or total; a new one is by month.",
        autocompletion=completion.words("day", "week", "month", "total"),
    ),
]
_Zone = Annotated[
    str | None, typer.Option("--timezone", metavar="ZONE", help="Where its days begin, such as Europe/Berlin.")
]
_Provider = Annotated[
    str | None,
    typer.Option("--provider", metavar="NAME", help="Only for this provider.", autocompletion=completion.providers),
]
_Model = Annotated[
    str | None,
    typer.Option(
        "--model", "-m", metavar="NAME", help="Only for this model, or offer.", autocompletion=completion.models
    ),
]
_Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Only for jobs with this label; may be repeated.")
]
_Warn = Annotated[
    list[float] | None,
    typer.Option("--warn", metavar="SHARE", help="Warn at this share of the limit, such as 0.8; may be repeated."),
]


_All = Annotated[bool, typer.Option("--all", help="Those of batches that are over, too; --json always has them.")]


@takes()
def budgets(screen: Screen, name: _Some = None, everything: _All = False) -> None:
    """List the budgets: what each covers, and what is spent, held and left in its present period.

    The budget of a batch is kept when the batch is over, since it holds for every further run of it.
    """
    with Client() as client:
        found = _found(client)
        over = [] if everything or screen.json or name is not None else [s for s in found if _is_over(client, s)]
    if name is not None:
        found = [_one(found, name)]
    if screen.json:
        screen.emit({"budgets": [budget_facts(state) for state in found]})
    elif name is not None:
        _show_one(screen, found[0])
    elif found:
        if shown := [state for state in found if state not in over]:
            _show_table(screen, shown)
        if over:
            whose = "budget of a batch that is" if len(over) == 1 else f"budgets of {len(over)} batches that are"
            screen.say(f"Left out: the {whose} over. --all shows all.", "dim")
    else:
        screen.say("No budgets. `videogen budgets set daily --limit 25 --period day` makes one.")


@takes()
def set_budget(
    screen: Screen,
    name: _Name,
    limit: _Limit = None,
    period: _Period = None,
    timezone: _Zone = None,
    provider: _Provider = None,
    model: _Model = None,
    tag: _Tags = None,
    warn: _Warn = None,
) -> None:
    """Make a budget, or change what you name of one. What was spent in its present period counts at once."""
    given: dict[str, Any] = {
        "limit": limit,
        "period": period,
        "timezone": timezone,
        "provider": provider,
        "model": model,
        "tags": pairs("--tag", tag) if tag else None,
        "warn": tuple(warn) if warn else None,
    }
    with Client() as client:
        before = next((state.budget for state in _found(client) if state.budget.name == name.strip()), None)
        if before is None and limit is None:
            raise RequestError(f"There is no budget {name!r} yet, so it needs a limit.", hint="Add --limit 25.")
        kept = {} if before is None else {key: getattr(before, key) for key in given}
        state = client.set_budget(name, **{**kept, **{key: value for key, value in given.items() if value is not None}})
    if screen.json:
        screen.emit(budget_facts(state))
    else:
        _show_one(screen, state)


@takes()
def remove_budget(screen: Screen, name: _Name) -> None:
    """Remove a budget. What has been spent stays on record."""
    with Client() as client:
        client.remove_budget(name)
    if screen.json:
        screen.emit({"removed": name})
    else:
        screen.say(f"The budget {name!r} is removed.")


@takes()
def acknowledge_budget(screen: Screen, name: _Name) -> None:
    """Unblock a budget after a provider has charged more than was held: you have seen it."""
    with Client() as client:
        client.acknowledge_budget(name)
        state = _one(client.budgets(), name)
    if screen.json:
        screen.emit(budget_facts(state))
    else:
        _show_one(screen, state)


def _found(client: Client) -> list[BudgetState]:
    """Every budget; looking must not create a ledger."""
    return client.budgets() if client.workspace.has_ledger else []


def _is_over(client: Client, state: BudgetState) -> bool:
    """Whether it is a batch's own, nothing of the batch is under way, and nobody has to look at it."""
    tags = state.budget.tags
    if set(tags) != {_BATCH} or not state.budget.name.startswith(f"{_BATCH} ") or state.blocked:
        return False
    return not client.jobs(tags=tags, unfinished=True, limit=1)


def _one(found: Sequence[BudgetState], name: str) -> BudgetState:
    """The budget of a name.

    Raises:
        RequestError: There is none.
    """
    for state in found:
        if state.budget.name == name.strip():
            return state
    names = ", ".join(state.budget.name for state in found)
    raise RequestError(f"There is no budget {name!r}.", hint=f"Budgets: {names or 'none'}.")


def budget_facts(state: BudgetState) -> dict[str, Any]:
    """A budget as JSON, with its state in one word."""
    return {**state.to_dict(), "state": _state(state)}


def _state(state: BudgetState) -> str:
    """One word: ok, warning, exhausted or blocked."""
    if state.blocked:
        return "blocked"
    limit, taken = state.budget.limit, state.settled + state.held
    if taken >= limit:
        return "exhausted"
    warned = any(taken >= Decimal(repr(share)) * limit for share in state.budget.warn)
    return "warning" if warned else "ok"


_COLOURS = {"ok": "green", "warning": "yellow", "exhausted": "red", "blocked": "bold red"}


def _show_table(screen: Screen, found: Sequence[BudgetState]) -> None:
    words = [_state(state) for state in found]
    styles = [_COLOURS[word] for word in words]
    complete = show_table(
        screen,
        [
            Column("budget", [state.budget.name for state in found], wrap=12),
            Column("scope", [state.budget.scope for state in found], wrap=12, spare=2),
            Column("period", [state.budget.period.value for state in found], spare=1),
            Column("limit", [_usd(state.budget.limit) for state in found], right=True),
            Column("spent", [_usd(state.settled) for state in found], right=True, spare=3),
            Column("held", [_usd(state.held) for state in found], right=True, spare=4),
            Column("left", [_usd(state.left) for state in found], right=True),
            Column("state", words, styles=styles),
            Column("starts over", [moment(state.ends) for state in found], spare=5),
        ],
    )
    for state in found:
        if state.blocked:
            screen.say(f"{state.budget.name}: {_blocked(state)}", "red")
    if not complete:
        screen.say("`videogen budgets NAME` shows all of one.", "dim")


def _blocked(state: BudgetState) -> str:
    return f"{state.blocked}. `videogen budgets acknowledge {state.budget.name}` unblocks it."


def _show_one(screen: Screen, state: BudgetState) -> None:
    budget = state.budget
    facts(
        screen,
        [
            ("budget", budget.name),
            ("scope", budget.scope),
            ("period", budget.period.value if state.ends is None else f"{budget.period.value}, {budget.timezone}"),
            ("limit", _usd(budget.limit)),
            ("spent", _usd(state.settled)),
            ("held", _usd(state.held)),
            ("left", _usd(state.left)),
            ("state", _state(state)),
            ("why", _blocked(state) if state.blocked else ""),
            ("warns at", ", ".join(f"{share:.0%}" for share in budget.warn)),
            ("starts over", moment(state.ends)),
        ],
    )


def _usd(amount: Decimal) -> str:
    """Nothing is $0.00 here: what is left of a budget is not free."""
    return dollars(amount) if amount else "$0.00"
