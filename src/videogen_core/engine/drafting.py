"""The record of a new job, from what the caller wants and the route that was found. Pure but for the minted id and
the caller's trace."""

from __future__ import annotations

from datetime import datetime

import msgspec

from .. import states, tracing
from ..delivery import Delivery
from ..extensions import Prepared
from ..routing import Policy, Route
from ..states import JobRecord

__all__ = ["draft"]

_LONGEST_CHAIN = 5


def draft(prepared: Prepared, route: Route, policy: Policy, delivery: Delivery, *, at: datetime) -> JobRecord:
    """A job as it begins; raises why there is none when the route has no candidate."""
    chosen = route.chosen
    return JobRecord(
        id=states.new_job_id(at),
        created_at=at,
        updated_at=at,
        request=prepared.request,
        chain=_chain(route) if delivery.fallback else (chosen.offer,),
        max_cost=policy.max_cost,
        fit=policy.fit,
        allow_unknown_price=policy.allow_unknown_price,
        fallback_on_policy=delivery.fallback_on_policy,
        output=delivery.output,
        overwrite=delivery.overwrite,
        tags=dict(delivery.tags),
        idempotency_key=delivery.idempotency_key,
        cache=delivery.cache,
        provenance=delivery.provenance,
        on_unknown=delivery.on_unknown,
        changes=(*prepared.changes, *msgspec.to_builtins(chosen.changes)),
        rewrites=delivery.rewrites,
        trace=tracing.current(),
    )


def _chain(route: Route) -> tuple[str, ...]:
    """The offers to try: the best few, and behind them the placeholder where it is wanted as a last resort."""
    best, rest = route.candidates[:_LONGEST_CHAIN], route.candidates[_LONGEST_CHAIN:]
    last = [candidate for candidate in rest if candidate.spec.placeholder][:1] if route.policy.placeholder else []
    return tuple(candidate.offer for candidate in (*best, *last))
