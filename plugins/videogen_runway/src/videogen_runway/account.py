"""What Runway tells of an account: what is left, and how much may run at once."""

from __future__ import annotations

from typing import Any

from videogen_core.outcomes import Answer

from .tasks import usd

__all__ = ["at_once", "summary"]


def at_once(answer: Answer, model: str) -> int | None:
    """How many tasks of a model the account may have at once; None = no limit, or Runway says nothing of it.

    Args:
        answer: What ``GET /v1/organization`` said.
        model: Runway's id of the model.

    Raises:
        ProviderProtocolError: The answer is no JSON object.
    """
    limits = _table(_table(_table(answer.json(dict[str, Any]).get("tier")).get("models")).get(model))
    most = limits.get("maxConcurrentGenerations")
    return most if isinstance(most, int) else None


def summary(answer: Answer) -> str:
    """Balance and limits in one line; what Runway does not say is left out.

    Raises:
        ProviderProtocolError: The answer is no JSON object.
    """
    told = answer.json(dict[str, Any])
    tier = _table(told.get("tier"))
    said = ["the key works", _balance(told.get("creditBalance")), _spend(tier.get("maxMonthlyCreditSpend"))]
    models = [_table(limits) for limits in _table(tier.get("models")).values()]
    running = _range("at once", [limits.get("maxConcurrentGenerations") for limits in models])
    a_day = _range("a day", [limits.get("maxDailyGenerations") for limits in models])
    limits = " and ".join(filter(None, (running, a_day)))
    return ", ".join(filter(None, (*said, limits and f"{limits} of each model")))


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _balance(left: object) -> str:
    amount = usd(left)
    return "" if amount is None else f"{left:,} credits (${amount:,.2f}) are left"


def _spend(most: object) -> str:
    amount = usd(most)
    return "" if amount is None else f"at most ${amount:,.0f} a month"


def _range(what: str, limits: list[object]) -> str:
    """How many tasks of a model, from the tightest limit to the widest; None among them is no limit."""
    numbers = sorted({limit for limit in limits if isinstance(limit, int)})
    if not numbers:
        return ""
    ends = f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"
    return f"{ends} {what}"
