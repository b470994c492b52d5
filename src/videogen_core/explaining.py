"""A route in words: the table of its offers, and the error that says best why there is none."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .capabilities import describe, resolve
from .errors import BudgetExceededError, NoRouteError, UnsupportedRequestError, VideogenError
from .pricing import bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .routing import Candidate, Route
    from .spec import ModelSpec

__all__ = ["failure", "readable_score", "table"]

_NO_NEWS = frozenset({"placeholder", "retired", "deprecated"})
"""Reasons that are not worth a sentence while there are others."""
_FEW = 4  # offers of one provider that are worth naming
_STANDING = _NO_NEWS | {"provider", "quality", "licence", "not_ready", "outline"}
"""Reasons that hold whatever is asked for: what else is installed does not make an empty budget another error."""
_PRICED_OUT = {"cost", "unknown_price", "unsupported"}


def table(route: Route) -> str:
    """A row for each offer, and below it what extensions have had to do with it."""
    rows: list[tuple[str, ...]] = [("", "offer", "price", "latency", "tier", "score", "why")]
    rows += [_row(route, position, candidate) for position, candidate in enumerate(route.candidates)]
    rows += [("refused", r.offer, "", "", "", "", f"{r.reason}: {r.message}") for r in route.rejected]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    lines += [f"{note}." for note in route.prepared]
    lines += [f"Ranked by the plugin {route.ranked_by!r}."] if route.ranked_by else []
    return "\n".join(line.rstrip() for line in lines)


def _row(route: Route, position: int, candidate: Candidate) -> tuple[str, ...]:
    moved = ", ".join(f"{c.field} {describe([c.asked])} -> {describe([c.used])}" for c in candidate.changes)
    notes = ["placeholder, not a real model"] if candidate.spec.placeholder else []
    notes += [f"moved {moved}"] if moved else []
    remark = route.facts.remark
    notes += [said] if remark is not None and (said := remark(candidate.spec, candidate.request)) else []
    return (
        "chosen" if position == 0 else str(position + 1),
        candidate.offer,
        str(candidate.quote),
        "unknown" if candidate.latency is None else f"{candidate.latency:.0f} s",
        candidate.spec.tier.value,
        readable_score(candidate.score),
        "; ".join(notes),
    )


def failure(route: Route, scope: Sequence[ModelSpec]) -> VideogenError:
    """The error that says best why there is no candidate."""
    rejected = route.rejected
    if not rejected:
        return NoRouteError("No plugin offers any model.", hint="`videogen plugins` lists what is installed.")
    serious = [r for r in rejected if r.reason not in _NO_NEWS] or list(rejected)
    reasons = {rejection.reason for rejection in serious}
    if reasons == {"unsupported"} and (route.policy.models or len(serious) == 1):
        return _unsupported(route, scope, {rejection.offer for rejection in serious})
    hint = "`videogen route` shows every refusal."
    able = reasons - _STANDING
    if "budget" in able and able <= {"budget", *_PRICED_OUT}:
        over = next(r for r in serious if r.reason == "budget")
        return BudgetExceededError(f"{over.offer}: {over.message}", hint="`videogen budgets` lists what is left.")
    if route.policy.max_cost is not None and able & {"cost", "unknown_price"} and able <= _PRICED_OUT:
        return _over_budget(route, scope, hint)
    if reasons <= {"not_ready", "placeholder"}:
        hint = "Set up a provider (`videogen doctor` says how)"
        for spec in scope:
            hint += f", or pass model={spec.name!r} for a placeholder clip" if spec.placeholder else ""
        hint += "."
    alike: dict[str, list[str]] = {}  # said once for all offers that it is true of
    for rejection in serious:
        alike.setdefault(rejection.message.rstrip("."), []).append(rejection.offer)
    first = "; ".join(f"{_whose(offers)}: {message}" for message, offers in [*alike.items()][:3])
    left = sum(len(offers) for offers in [*alike.values()][3:])
    more = f" (and {left} more)" if left else ""
    return NoRouteError(f"No offer can take this request. {first}{more}.", rejected=rejected, hint=hint)


def _whose(offers: Sequence[str]) -> str:
    """Offers by name; of a provider that has many of them, how many."""
    found: dict[str, list[str]] = {}
    for offer in offers:
        found.setdefault(offer.partition("/")[0], []).append(offer)
    named = (some if len(some) <= _FEW else [f"{len(some)} offers of {provider}"] for provider, some in found.items())
    return ", ".join(name for names in named for name in names)


def _unsupported(route: Route, scope: Sequence[ModelSpec], offers: set[str]) -> VideogenError:
    """Of the offers of the model that was named, the one that comes nearest says what is wrong."""
    errors = []
    for spec in scope:
        if spec.id in offers:
            try:
                resolve(spec, route.request, route.policy.fit)
            except UnsupportedRequestError as error:
                errors.append(error)
    return min(errors, key=lambda error: len(error.violations))


def _over_budget(route: Route, scope: Sequence[ModelSpec], hint: str) -> BudgetExceededError:
    """Names the offer that comes nearest to ``max_cost``."""
    specs = {spec.id: spec for spec in scope}
    prices = []
    for rejection in route.rejected:
        if rejection.reason == "cost":
            spec = specs[rejection.offer]
            resolved = resolve(spec, route.request, route.policy.fit).request
            cost = bounds(route.facts.tailored(spec, resolved), resolved)
            prices.append((cost[1] if cost else Decimal(0), rejection))
    if prices:
        cheapest = min(prices, key=lambda pair: pair[0])[1]
    else:
        cheapest = next(r for r in route.rejected if r.reason == "unknown_price")
    return BudgetExceededError(f"No offer fits the budget. {cheapest.offer}: {cheapest.message}", hint=hint)


def readable_score(score: tuple[Any, ...]) -> str:
    """The number that an offer was ranked by, as text; empty where there is none."""
    number = next((part for part in score if isinstance(part, (float, Decimal))), None)
    return "" if number is None or number == math.inf else f"{number:.3f}".rstrip("0").rstrip(".")
