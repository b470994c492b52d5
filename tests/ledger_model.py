"""What must be true of money, leases and ids, kept in integers and sets beside the ledger: the model of the state
machine test. It knows nothing of SQL."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from videogen_core.budget import Budget, micro, window

LEASE = 60.0


@dataclass
class Try:
    """One attempt: what it holds or has cost, and in which period of which budget."""

    offer: str
    tags: dict[str, str]
    hold: int
    started: float
    money: str = "held"
    amount: int = 0
    counted: dict[str, float] = field(default_factory=dict)
    purged: bool = False

    def end(self, cost: Decimal | None, *, succeeded: bool) -> None:
        self.amount = self.hold if cost is None else micro(cost)
        self.money = "released" if cost == 0 and not succeeded else "settled"


class Money:
    """Budgets as sums over attempts."""

    def __init__(self) -> None:
        self.budgets: dict[str, Budget] = {}
        self.blocked: set[str] = set()
        self.tries: list[Try] = []

    def starts(self, name: str, now: float) -> float:
        first, _ = window(self.budgets[name], datetime.fromtimestamp(now, UTC))
        return -1.0e12 if first is None else first.timestamp()

    def taken(self, name: str, starts: float) -> tuple[int, int]:
        """What is settled and what is held in a period."""
        sums = {"held": 0, "settled": 0, "released": 0}
        for one in self.tries:
            if one.counted.get(name) == starts:
                sums[one.money] += one.amount
        return sums["settled"], sums["held"]

    def covering(self, one: Try) -> list[str]:
        model = one.offer.rpartition("/")[2]
        return [n for n, b in sorted(self.budgets.items()) if b.covers(offer=one.offer, model=model, tags=one.tags)]

    def fits(self, one: Try, now: float) -> bool:
        return all(
            not one.hold
            or (
                name not in self.blocked
                and sum(self.taken(name, self.starts(name, now))) + one.hold <= micro(self.budgets[name].limit)
            )
            for name in self.covering(one)
        )

    def reserve(self, one: Try, now: float) -> None:
        one.amount = one.hold
        one.counted = {name: self.starts(name, now) for name in self.covering(one)}
        self.tries.append(one)

    def overrun(self, one: Try) -> None:
        if one.amount > one.hold:
            self.blocked |= one.counted.keys()

    def define(self, budget: Budget, now: float) -> None:
        old = self.budgets.get(budget.name)
        self.budgets[budget.name] = budget
        if old is not None and _extent(old) == _extent(budget):
            return
        starts = self.starts(budget.name, now)
        for one in self.tries:
            one.counted.pop(budget.name, None)
            counts = one.money in ("held", "settled") and one.started >= starts and not one.purged
            if counts and budget.name in self.covering(one):
                one.counted[budget.name] = starts

    def remove(self, name: str) -> bool:
        self.blocked.discard(name)
        for one in self.tries:
            one.counted.pop(name, None)
        return self.budgets.pop(name, None) is not None


def _extent(budget: Budget) -> tuple[object, ...]:
    return budget.period, budget.timezone, budget.provider, budget.model, sorted(budget.tags.items())


class Leases:
    """Who drives what."""

    def __init__(self) -> None:
        self.alive: dict[str, float] = {}
        self.dead: set[str] = set()
        self.holder: dict[str, tuple[str, str]] = {}  # job -> worker, driver
        self.fence: Counter[str] = Counter()

    def claim(self, job: str, worker: str, driver: str, now: float) -> bool:
        held = self.holder.get(job)
        if held is None or held[1] != driver:
            if held is not None and self._lives(held[0], now):
                return False
            self.fence[job] += 1
        self.holder[job] = worker, driver
        self.alive[worker] = now + LEASE
        return True

    def _lives(self, worker: str, now: float) -> bool:
        until = self.alive.get(worker)
        if until is None or until < now:
            return False
        self.alive[worker] = min(until, now + LEASE)  # no lease is longer than that, whatever the clock says
        return worker not in self.dead

    def drop(self, job: str, driver: str | None = None) -> None:
        if driver is None or self.holder.get(job, ("", ""))[1] == driver:
            self.holder.pop(job, None)


class Vendor:
    """The other side: what it has made for each create, whether or not anybody has heard of it."""

    def __init__(self) -> None:
        self.posts: Counter[str] = Counter()
        self.made: dict[str, list[str]] = {}
        self.unheard: list[tuple[str, str]] = []  # our reference, its id

    def create(self, ref: str, number: int) -> None:
        self.posts[ref] += 1
        names = [f"pj-{ref}-{n}" for n in range(number)]
        self.made[ref] = names
        self.unheard += [(ref, name) for name in names]

    def hears(self, ref: str) -> str | None:
        """One id of a create that nobody has heard of."""
        for pair in self.unheard:
            if pair[0] == ref:
                self.unheard.remove(pair)
                return pair[1]
        return None
