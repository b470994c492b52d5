"""The money side of a transaction: a hold is reserved once, then settled or released once, in each of its budgets.

The counters of a period are sums over its holds. They are kept beside them so that one conditional update can refuse
what would go over a limit, however many processes ask at the same time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from ..budget import Budget, BudgetState, Crossing, dollars, micro, window
from ..errors import BudgetExceededError
from ..states import Attempt, JobRecord, Money
from .documents import encoded, read_budget
from .transaction import Row, Transaction

__all__ = ["acknowledge", "faults", "post", "remove", "reserve", "restate", "states"]

_BUDGETS = "SELECT name, limit_micro, blocked, doc FROM budgets ORDER BY name"  # in order, so that no two deadlock
_BEFORE_ALL = -1.0e12  # the beginning of a period that has none


def _starts(budget: Budget, now: float) -> tuple[float, datetime | None, datetime | None]:
    first, end = window(budget, datetime.fromtimestamp(now, UTC))
    return _BEFORE_ALL if first is None else first.timestamp(), first, end


def reserve(tx: Transaction, job: JobRecord) -> tuple[Crossing, ...]:
    """Hold what the last attempt of a job may cost, in every budget that covers it.

    Raises:
        BudgetExceededError: One has too little left, or the price is unknown.
    """
    attempt = job.attempt
    crossings = []
    tx.lock_budgets(alone=False)
    now = tx.now()
    for name, limit, blocked, doc in tx.rows(_BUDGETS):
        budget = read_budget(doc)
        if not budget.covers(offer=attempt.offer, model=attempt.model, tags=job.tags):
            continue
        if attempt.hold is None:
            raise BudgetExceededError(
                f"The price of {attempt.offer} is unknown, so the budget {name!r} cannot be kept.",
                hint="Give a max_cost, which is then held in its place.",
                job_id=job.id,
            )
        starts = _starts(budget, now)[0]
        amount = micro(attempt.hold)
        if not _hold(tx, name, starts, amount, limit, blocked):
            state = _state(tx, (name, limit, blocked, doc), now)
            raise BudgetExceededError(
                state.refusal(attempt.hold) or f"The budget {name!r} is taken.",
                hint="Wait for the next period, raise it with `videogen budgets set`, or choose a cheaper model.",
                job_id=job.id,
            )
        tx.change(
            "INSERT INTO holds (job_id, number, budget, starts, money, amount_micro) "
            "VALUES (:job, :number, :budget, :starts, 'held', :amount)",
            job=job.id,
            number=attempt.number,
            budget=name,
            starts=starts,
            amount=amount,
        )
        crossings += _crossed(tx, budget, starts)
    return tuple(crossings)


def _hold(tx: Transaction, name: str, starts: float, amount: int, limit: int, blocked: str) -> bool:
    """Add to what a period holds, if its limit allows it. What is free always fits."""
    tx.change(
        "INSERT INTO periods (budget, starts) VALUES (:budget, :starts) ON CONFLICT DO NOTHING",
        budget=name,
        starts=starts,
    )
    if amount == 0:
        return True
    return not blocked and bool(
        tx.change(
            "UPDATE periods SET held_micro = held_micro + :amount WHERE budget = :budget AND starts = :starts "
            "AND settled_micro + held_micro + :amount <= :limit",
            amount=amount,
            budget=name,
            starts=starts,
            limit=limit,
        )
    )


def _crossed(tx: Transaction, budget: Budget, starts: float) -> list[Crossing]:
    """The highest share that has just been passed, told once in a period."""
    ((held, settled, warned),) = tx.rows(
        "SELECT held_micro, settled_micro, warned FROM periods WHERE budget = :budget AND starts = :starts",
        budget=budget.name,
        starts=starts,
    )
    taken = dollars(held + settled)
    passed = [share for share in budget.warn if warned < share and taken >= Decimal(repr(share)) * budget.limit]
    if not passed or not budget.limit:
        return []
    tx.change(
        "UPDATE periods SET warned = :share WHERE budget = :budget AND starts = :starts",
        share=passed[-1],
        budget=budget.name,
        starts=starts,
    )
    return [Crossing(budget=budget.name, share=passed[-1], taken=taken, limit=budget.limit)]


def post(tx: Transaction, job_id: str, attempt: Attempt) -> None:
    """Settle or release what an attempt holds, once it is over; book the difference when its cost is corrected."""
    if attempt.open:
        return
    amount = micro(attempt.booked)
    rows = tx.rows(
        "SELECT budget, starts, money, amount_micro FROM holds WHERE job_id = :job AND number = :number "
        "ORDER BY budget",
        job=job_id,
        number=attempt.number,
    )
    for budget, starts, money, before in rows:
        if (money, before) == (attempt.money.value, amount):
            continue
        tx.change(
            "UPDATE holds SET money = :money, amount_micro = :amount "
            "WHERE job_id = :job AND number = :number AND budget = :budget",
            money=attempt.money.value,
            amount=amount,
            job=job_id,
            number=attempt.number,
            budget=budget,
        )
        tx.change(
            "UPDATE periods SET held_micro = held_micro - :unheld, settled_micro = settled_micro + :settled "
            "WHERE budget = :budget AND starts = :starts",
            unheld=before if money == Money.HELD else 0,
            settled=amount - (before if money == Money.SETTLED else 0),
            budget=budget,
            starts=starts,
        )
        if money == Money.HELD and amount > before:
            _block(tx, budget, job_id, dollars(amount), dollars(before))


def _block(tx: Transaction, budget: str, job_id: str, cost: Decimal, held: Decimal) -> None:
    """A provider has charged more than could be: nothing more is reserved until somebody has looked."""
    tx.change(
        "UPDATE budgets SET blocked = :why WHERE name = :budget",
        why=f"job {job_id} cost ${cost:f}, although at most ${held:f} had been expected",
        budget=budget,
    )


def acknowledge(tx: Transaction, name: str) -> bool:
    """Unblock a budget."""
    return bool(tx.change("UPDATE budgets SET blocked = '' WHERE name = :name", name=name))


# --- definitions


def states(tx: Transaction) -> list[BudgetState]:
    """Every budget in its present period."""
    now = tx.now()
    return [_state(tx, row, now) for row in tx.rows(_BUDGETS)]


def _state(tx: Transaction, row: Row, now: float) -> BudgetState:
    name, _, blocked, doc = row
    budget = read_budget(doc)
    starts, first, end = _starts(budget, now)
    found = tx.rows(
        "SELECT held_micro, settled_micro FROM periods WHERE budget = :budget AND starts = :starts",
        budget=name,
        starts=starts,
    )
    held, settled = found[0] if found else (0, 0)
    return BudgetState(
        budget=budget, starts=first, ends=end, settled=dollars(settled), held=dollars(held), blocked=blocked
    )


def restate(tx: Transaction, budget: Budget) -> BudgetState:
    """Store a budget, and count in its present period what has been spent and held since that began."""
    tx.lock_budgets(alone=True)
    now = tx.now()
    _forget(tx, budget.name)
    tx.change(
        "INSERT INTO budgets (name, limit_micro, doc) VALUES (:name, :limit, :doc) "
        "ON CONFLICT (name) DO UPDATE SET limit_micro = :limit, doc = :doc",
        name=budget.name,
        limit=micro(budget.limit),
        doc=encoded(budget),
    )
    starts = _starts(budget, now)[0]
    held = settled = 0
    for job_id, number, money, amount in _covered(tx, budget, starts):
        tx.change(
            "INSERT INTO holds (job_id, number, budget, starts, money, amount_micro) "
            "VALUES (:job, :number, :budget, :starts, :money, :amount)",
            job=job_id,
            number=number,
            budget=budget.name,
            starts=starts,
            money=money,
            amount=amount,
        )
        held += amount if money == Money.HELD else 0
        settled += amount if money == Money.SETTLED else 0
    tx.change(
        "INSERT INTO periods (budget, starts, held_micro, settled_micro) VALUES (:budget, :starts, :held, :settled)",
        budget=budget.name,
        starts=starts,
        held=held,
        settled=settled,
    )
    ((_, limit, blocked, doc),) = tx.rows(
        "SELECT name, limit_micro, blocked, doc FROM budgets WHERE name = :name", name=budget.name
    )
    return _state(tx, (budget.name, limit, blocked, doc), now)


def _covered(tx: Transaction, budget: Budget, starts: float) -> list[Row]:
    """The attempts of a period that a budget covers."""
    where = ["a.started_at >= :starts", "a.money IN ('held', 'settled')"]
    values: dict[str, object] = {"starts": starts}
    if budget.provider is not None:
        where.append("a.provider = :provider")
        values["provider"] = budget.provider
    if budget.model is not None:
        where.append("(a.model = :model OR a.offer = :model)")
        values["model"] = budget.model
    for number, (key, value) in enumerate(sorted(budget.tags.items())):
        where.append(
            f"EXISTS (SELECT 1 FROM tags WHERE job_id = a.job_id AND key = :key{number} AND value = :value{number})"
        )
        values |= {f"key{number}": key, f"value{number}": value}
    query = f"SELECT a.job_id, a.number, a.money, a.booked_micro FROM attempts AS a WHERE {' AND '.join(where)}"
    return tx.rows(query, **values)


def remove(tx: Transaction, name: str) -> bool:
    """Remove a budget with its counters."""
    tx.lock_budgets(alone=True)
    _forget(tx, name)
    return bool(tx.change("DELETE FROM budgets WHERE name = :name", name=name))


def _forget(tx: Transaction, name: str) -> None:
    tx.change("DELETE FROM holds WHERE budget = :name", name=name)
    tx.change("DELETE FROM periods WHERE budget = :name", name=name)


# --- what must be true


def faults(tx: Transaction) -> list[str]:
    """Where a counter is not the sum of its holds, or a hold is not what its attempt says."""
    found = []
    sums = tx.rows(
        "SELECT p.budget, p.starts, p.held_micro, p.settled_micro, "
        "COALESCE(SUM(CASE WHEN h.money = 'held' THEN h.amount_micro END), 0), "
        "COALESCE(SUM(CASE WHEN h.money = 'settled' THEN h.amount_micro END), 0) "
        "FROM periods AS p LEFT JOIN holds AS h ON h.budget = p.budget AND h.starts = p.starts "
        "GROUP BY p.budget, p.starts, p.held_micro, p.settled_micro"
    )
    for budget, _, held, settled, true_held, true_settled in sums:
        if (held, settled) != (int(true_held), int(true_settled)):
            found.append(
                f"The budget {budget!r} counts ${dollars(held):f} held and ${dollars(settled):f} settled; its holds "
                f"are ${dollars(int(true_held)):f} and ${dollars(int(true_settled)):f}."
            )
    strays = tx.rows(
        "SELECT h.job_id, h.number, h.budget FROM holds AS h JOIN attempts AS a "
        "ON a.job_id = h.job_id AND a.number = h.number "
        "WHERE h.money <> a.money OR h.amount_micro <> a.booked_micro"
    )
    return found + [
        f"Attempt {number} of job {job} is booked otherwise in {budget!r}." for job, number, budget in strays
    ]
