"""The money side of a transaction: a hold is reserved once, then settled or released once, in each of its budgets.

The counters of a period are sums over its holds. They are kept beside them so that one conditional update can refuse
what would go over a limit, however many processes ask at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from ..budget import Budget, BudgetState, Crossing, Period, dollars, micro, window
from ..errors import BudgetExceededError, LedgerError
from ..states import Attempt, JobRecord, Money
from .documents import encoded, read_budget
from .transaction import Row, Transaction

__all__ = ["acknowledge", "faults", "post", "remove", "reserve", "restate", "states"]

_BUDGETS = "SELECT name, limit_micro, blocked, doc FROM budgets ORDER BY name"  # in order, so that no two deadlock
_DOC = "SELECT doc FROM budgets WHERE name = :name"
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
        budget = read_budget(bytes(doc))
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
        counters = _hold(tx, name, starts, amount, -1 if blocked else limit)
        if counters is None:
            state = _state(tx, (name, limit, blocked, doc), now)
            wait = "" if budget.period is Period.TOTAL else "Wait for the next period. "
            raise BudgetExceededError(
                state.refusal(attempt.hold) or f"The budget {name!r} is taken.",
                hint=f"{wait}Raise it with `videogen budgets set`, or choose a cheaper model.",
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
        crossings += _crossed(tx, budget, starts, counters)
    return tuple(crossings)


def _hold(tx: Transaction, name: str, starts: float, amount: int, limit: int) -> Row | None:
    """Add to what a period holds, if its limit allows it; its counters then. What is free always fits."""
    query = (
        "UPDATE periods SET held_micro = held_micro + :amount WHERE budget = :budget AND starts = :starts "
        "AND (:amount = 0 OR settled_micro + held_micro + :amount <= :limit) "
        "RETURNING held_micro, settled_micro, warned"
    )
    values = {"amount": amount, "budget": name, "starts": starts, "limit": limit}
    found = tx.rows(query, **values)
    if not found:
        begin = "INSERT INTO periods (budget, starts) VALUES (:budget, :starts) ON CONFLICT DO NOTHING"
        tx.change(begin, budget=name, starts=starts)
        found = tx.rows(query, **values)
    return found[0] if found else None


def _crossed(tx: Transaction, budget: Budget, starts: float, counters: Row) -> list[Crossing]:
    """The highest share that has just been passed, told once in a period."""
    held, settled, warned = counters
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
    tx.lock_budgets(alone=False)
    amount = micro(attempt.booked)
    rows = tx.rows(
        "SELECT budget, starts, money, amount_micro FROM holds WHERE job_id = :job AND number = :number "
        "ORDER BY budget",
        job=job_id,
        number=attempt.number,
    )
    for budget, starts, money, before in rows:
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
            "UPDATE periods SET held_micro = held_micro + :held, settled_micro = settled_micro + :settled "
            "WHERE budget = :budget AND starts = :starts",
            held=_counted(Money.HELD, attempt.money, amount) - _counted(Money.HELD, money, before),
            settled=_counted(Money.SETTLED, attempt.money, amount) - _counted(Money.SETTLED, money, before),
            budget=budget,
            starts=starts,
        )
    if rows and _is_overrun(attempt, amount):
        _block(tx, [budget for budget, *_ in rows], job_id, attempt)


def _counted(counter: Money, money: str, amount: int) -> int:
    return amount if money == counter else 0


def _is_overrun(attempt: Attempt, amount: int) -> bool:
    """Whether more is charged than could be; what a person has entered, a person has looked at."""
    held = Decimal(0) if attempt.hold is None else attempt.hold
    return not attempt.open and attempt.cost_origin != "person" and amount > micro(held)


def _block(tx: Transaction, budgets: list[str], job_id: str, attempt: Attempt) -> None:
    """A provider has charged more than could be: nothing more is reserved until somebody has looked."""
    expected = Decimal(0) if attempt.hold is None else attempt.hold
    why = f"job {job_id} cost ${attempt.booked:f}, although at most ${expected:f} had been expected"
    for budget in budgets:
        tx.change("UPDATE budgets SET blocked = :why WHERE name = :budget", why=why, budget=budget)


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
    budget = read_budget(bytes(doc))
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
    """Store a budget. When it is new, or covers something else, what has been spent and held in its present period is
    counted anew; otherwise its counters go on."""
    tx.lock_budgets(alone=True)
    now = tx.now()
    before = [read_budget(bytes(doc)) for (doc,) in tx.rows(_DOC, name=budget.name)]
    tx.change(
        "INSERT INTO budgets (name, limit_micro, doc) VALUES (:name, :limit, :doc) "
        "ON CONFLICT (name) DO UPDATE SET limit_micro = :limit, doc = :doc",
        name=budget.name,
        limit=micro(budget.limit),
        doc=encoded(budget),
    )
    if not before or _extent(before[0]) != _extent(budget):
        _forget(tx, budget.name)
        _recount(tx, budget, _starts(budget, now)[0])
    elif before[0].limit != budget.limit:  # shares of it are other amounts now
        tx.change("UPDATE periods SET warned = 0 WHERE budget = :name", name=budget.name)
    (row,) = (row for row in tx.rows(_BUDGETS) if row[0] == budget.name)
    return _state(tx, row, now)


def _extent(budget: Budget) -> tuple[object, ...]:
    """What a budget counts."""
    return budget.period, budget.timezone, budget.provider, budget.model, budget.tags


def _recount(tx: Transaction, budget: Budget, starts: float) -> None:
    """Count the attempts of a period that a budget covers."""
    counted = {Money.HELD.value: 0, Money.SETTLED.value: 0}
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
        counted[money] += amount
    tx.change(
        "INSERT INTO periods (budget, starts, held_micro, settled_micro) VALUES (:budget, :starts, :held, :settled)",
        budget=budget.name,
        starts=starts,
        held=counted[Money.HELD],
        settled=counted[Money.SETTLED],
    )


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
    """Where a counter is not the sum of its holds, a hold is not what its attempt says, or a limit not its budget's."""
    return [*_sum_faults(tx), *_hold_faults(tx), *_budget_faults(tx)]


def _sum_faults(tx: Transaction) -> Iterator[str]:
    kept = {(b, s): (h, c) for b, s, h, c in tx.rows("SELECT budget, starts, held_micro, settled_micro FROM periods")}
    true = {
        (budget, starts): (int(held), int(settled))
        for budget, starts, held, settled in tx.rows(
            "SELECT budget, starts, SUM(CASE WHEN money = 'held' THEN amount_micro ELSE 0 END), "
            "SUM(CASE WHEN money = 'settled' THEN amount_micro ELSE 0 END) FROM holds GROUP BY budget, starts"
        )
    }
    for place in sorted({*kept, *true}):
        (held, settled), (true_held, true_settled) = kept.get(place, (0, 0)), true.get(place, (0, 0))
        if (held, settled) != (true_held, true_settled):
            yield (
                f"The budget {place[0]!r} counts ${dollars(held):f} held and ${dollars(settled):f} settled; its holds "
                f"are ${dollars(true_held):f} and ${dollars(true_settled):f}."
            )


def _hold_faults(tx: Transaction) -> Iterator[str]:
    # a job that has been purged leaves its holds behind: what it cost was spent
    strays = tx.rows(
        "SELECT h.job_id, h.number, h.budget FROM holds AS h JOIN jobs ON jobs.id = h.job_id "
        "LEFT JOIN attempts AS a ON a.job_id = h.job_id AND a.number = h.number "
        "WHERE a.job_id IS NULL OR h.money <> a.money OR h.amount_micro <> a.booked_micro"
    )
    for job, number, budget in strays:
        yield f"Attempt {number} of job {job} is booked otherwise in {budget!r}."


def _budget_faults(tx: Transaction) -> Iterator[str]:
    for name, limit, _, doc in tx.rows(_BUDGETS):
        try:
            budget = read_budget(bytes(doc))
        except LedgerError as error:
            yield f"Budget {name!r}: {error.message}"
            continue
        if (name, limit) != (budget.name, micro(budget.limit)):
            yield f"Budget {name!r}: its columns are not those of its record."
