"""The filters of ``models`` that are about names, and the orders of its table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from videogen_core import Client, ModelSpec, RequestError, Tier

from .words import rates_per_second

__all__ = ["ORDERS", "check_order", "in_order", "narrowed", "usual_seconds"]

ORDERS = ("name", "price", "latency", "provider", "maker", "tier")
_BEST_FIRST = (Tier.PREMIUM, Tier.STANDARD, Tier.ECONOMY)
_NEVER = Decimal("Infinity")  # after all that is known


def check_order(order: str) -> None:
    """Refuse an order that there is not.

    Raises:
        RequestError: It is none of `ORDERS`.
    """
    if order not in ORDERS:
        raise RequestError(f"--sort: there is no {order[:40]!r}.", hint=f"Say one of {', '.join(ORDERS)}.")


def narrowed(
    offers: Iterable[ModelSpec], *, maker: str | None, under: str | None, search: str | None
) -> list[ModelSpec]:
    """The offers that names and words let through; small and capital letters are alike.

    Args:
        offers: All.
        maker: Part of the maker's name.
        under: Part of the licence's name; ``any`` = under some licence, which is to say open.
        search: Words that all are in the names, the title, the maker or the licence.
    """
    words = (search or "").casefold().split()
    return [
        spec
        for spec in offers
        if (maker is None or maker.strip().casefold() in spec.maker.casefold())
        and (under is None or _is_under(spec, under.strip().casefold()))
        and all(word in _described(spec) for word in words)
    ]


def _is_under(spec: ModelSpec, name: str) -> bool:
    return spec.license is not None and (name == "any" or name in spec.license.name.casefold())


def _described(spec: ModelSpec) -> str:
    terms = "" if spec.license is None else spec.license.name
    return " ".join((spec.id, spec.model, *spec.aliases, spec.title, spec.maker, terms)).casefold()


def in_order(client: Client, offers: list[ModelSpec], order: str) -> list[ModelSpec]:
    """The offers sorted; what is not known comes last, and equals stay sorted by name."""
    took = usual_seconds(client, offers) if order == "latency" else {}
    keys: dict[str, Callable[[ModelSpec], Any]] = {
        "price": lambda spec: rates_per_second(spec) or (_NEVER, _NEVER),
        "latency": lambda spec: took.get(spec.id, float("inf")),
        "provider": lambda spec: spec.provider,
        "maker": lambda spec: (not spec.maker, spec.maker.casefold()),
        "tier": lambda spec: _BEST_FIRST.index(spec.tier),
    }
    return sorted(offers, key=keys[order]) if order in keys else offers


def usual_seconds(client: Client, offers: Iterable[ModelSpec]) -> dict[str, float]:
    """Offer -> how long it usually takes: as observed here, else by the catalogue."""
    seen = client.workspace.planner.observations().latency
    known = {spec.id: spec.latency.typical for spec in offers if spec.latency is not None}
    return {**known, **{spec.id: seen[spec.id] for spec in offers if spec.id in seen}}
