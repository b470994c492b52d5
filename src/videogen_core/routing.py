"""Which offer to use: filter, rank, explain. Pure: every fact that it weighs is passed in.

The same request, policy, catalogue and facts give the same route, whatever order plugins were registered in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import msgspec

from .budget import BudgetState
from .capabilities import Change, Fit, resolve
from .catalog import Catalog
from .errors import RequestError, UnsupportedRequestError, VideogenError
from .explaining import failure, readable_score, table
from .licensing import license_refusal
from .pricing import Quote, Tailor, bounds, quote
from .request import VideoRequest
from .spec import Mode, ModelSpec, Stage, Tier

__all__ = ["Candidate", "Facts", "Policy", "Prefer", "Rejection", "Route", "route"]

Prefer = Literal["cheapest", "fastest", "best", "balanced"]

_RANK = {tier: rank for rank, tier in enumerate(Tier)}
# What a quality preset means: the least tier, and how to rank when the user does not say.
_PRESETS: dict[Tier, tuple[int, Prefer]] = {
    Tier.ECONOMY: (0, "cheapest"),
    Tier.STANDARD: (1, "balanced"),
    Tier.PREMIUM: (2, "best"),
}
_UNKNOWN_LATENCY = 180.0  # ranks a model of unknown speed behind the usual one or two minutes


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """How an offer is to be chosen.

    Attributes:
        models: Names in order of preference; empty = any model.
        providers: Only these adapter ids; None = all.
        prefer: What to rank by. None: by the order of ``models``, the maker's own first, then by price; balanced when
            no model is named.
        quality: Preset: economy (any tier, cheapest), standard (that tier or better, balanced), premium (best).
        max_cost: USD; an offer whose high estimate is above it is refused.
        allow_unknown_price: Whether an offer without a price may be used all the same.
        fit: How far duration and resolution may be moved.
        placeholder: Whether the sandbox may be the last resort.
        commercial: Only models whose licence allows commercial use.
        territory: ISO country code that the licence must not exclude.
        revenue_usd: Yearly revenue that the licence must allow.
        accept_licenses: Names of licences with limits that the user has said yes to; ``*`` = all.
        need_ready: Whether an offer whose provider has no credentials is refused.
        tags: The job's labels, which decide what budgets cover it.
    """

    models: tuple[str, ...] = ()
    providers: tuple[str, ...] | None = None
    prefer: Prefer | None = None
    quality: Tier | None = None
    max_cost: Decimal | None = None
    allow_unknown_price: bool = False
    fit: Fit = "exact"
    placeholder: bool = False
    commercial: bool = False
    territory: str | None = None
    revenue_usd: Decimal | None = None
    accept_licenses: tuple[str, ...] = ()
    need_ready: bool = True
    tags: dict[str, str] = {}


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of the world at the moment of routing.

    Attributes:
        today: UTC date.
        not_ready: Adapter id, or id of a single offer -> why it cannot be used (no key, broken plugin).
        resting: Adapter id -> why its circuit is open.
        latency: Offer id -> observed median seconds.
        failure_rate: Offer id -> share of recent attempts that failed, 0 to 1.
        budgets: Every budget and what it has left.
        remark: Says how a provider would go about a resolved request, for `Route.explain`.
        tailoring: Adapter id -> gives an offer the prices and latency that it has for a resolved request.
    """

    today: date
    not_ready: Mapping[str, str] = {}
    resting: Mapping[str, str] = {}
    latency: Mapping[str, float] = {}
    failure_rate: Mapping[str, float] = {}
    budgets: Sequence[BudgetState] = ()
    remark: Callable[[ModelSpec, VideoRequest], str] | None = None
    tailoring: Mapping[str, Tailor] = {}

    def tailored(self, spec: ModelSpec, request: VideoRequest) -> ModelSpec:
        """An offer as it is for a resolved request."""
        tailor = self.tailoring.get(spec.provider) if self.tailoring else None
        return spec if tailor is None else tailor(spec, request)

    def seconds(self, spec: ModelSpec, tailored: ModelSpec) -> float | None:
        """How long an offer is expected to take: as observed, unless its provider can tell it for the very request."""
        usual = self.latency.get(spec.id)
        own = tailored.latency.typical if tailored.latency else None
        return own if usual is None or (tailored.latency != spec.latency and own is not None) else usual


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that can do it.

    Attributes:
        spec: The offer.
        request: The request as it would be sent, every default written out.
        mode: The mode that admits it.
        low, high: Estimate in USD; None when unknown.
        latency: Expected seconds; None when unknown.
        score: What it was ranked by; smaller is better.
        changes: What ``fit`` moved.
        today: For the quote.
    """

    spec: ModelSpec
    request: VideoRequest
    mode: Mode
    low: Decimal | None
    high: Decimal | None
    latency: float | None
    score: tuple[Any, ...]
    changes: tuple[Change, ...]
    today: date

    @property
    def offer(self) -> str:
        """``provider/name``."""
        return self.spec.id

    @property
    def quote(self) -> Quote:
        """The itemised estimate."""
        return quote(self.spec, self.request, today=self.today)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "offer": self.spec.id,
            "model": self.spec.name,
            "provider": self.spec.provider,
            "tier": self.spec.tier.value,
            "placeholder": self.spec.placeholder,
            "low": None if self.low is None else str(self.low),
            "high": None if self.high is None else str(self.high),
            "latency": self.latency,
            "score": readable_score(self.score),
            "request": self.request.given(),
            "changes": msgspec.to_builtins(self.changes),
        }


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """An offer that was refused: ``reason`` is a word for programs, ``message`` a sentence for people."""

    offer: str
    reason: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {"offer": self.offer, "reason": self.reason, "message": self.message}


class _Standing(msgspec.Struct, frozen=True, gc=False):
    """What ranking asks about an offer, apart from price and speed; the same object for offers of equal standing."""

    placeholder: bool
    quality: int  # rank of its tier
    reseller: bool  # not the maker


class _Survivor(msgspec.Struct, frozen=True, gc=False):
    """An offer that nothing speaks against. Ranking reads the first four; the rest waits for a `Candidate`."""

    place: int  # in order of id
    standing: _Standing
    dollars: float  # the high end, infinite when unknown; a float tells millionths apart up to 9 * 10^9
    seconds: float
    spec: ModelSpec
    mode: Mode
    request: VideoRequest
    changes: tuple[Change, ...]
    latency: float | None


_Rank = Callable[[_Survivor], tuple[Any, ...]]


class Route:
    """The router's answer. Candidates after the first, and refusals, are worked out when they are looked at.

    ``prepared`` says what extensions have changed of the request, ``ranked_by`` which one has ordered the candidates.
    """

    def __init__(
        self,
        survivors: Sequence[_Survivor],
        *,
        rank: _Rank,
        scope: tuple[ModelSpec, ...],
        request: VideoRequest,
        policy: Policy,
        facts: Facts,
    ) -> None:
        self.request = request
        self.policy = policy
        self.facts = facts
        self.prepared: tuple[str, ...] = ()
        self.ranked_by = ""
        self._survivors = survivors
        self._rank = rank
        self._scope = scope

    def _candidate(self, survivor: _Survivor) -> Candidate:
        cost = bounds(survivor.spec, survivor.request)
        return Candidate(
            spec=survivor.spec,
            request=survivor.request,
            mode=survivor.mode,
            low=None if cost is None else cost[0],
            high=None if cost is None else cost[1],
            latency=survivor.latency,
            score=self._rank(survivor),
            changes=survivor.changes,
            today=self.facts.today,
        )

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every offer that can do it, best first."""
        return tuple(map(self._candidate, sorted(self._survivors, key=self._rank)))

    @cached_property
    def chosen(self) -> Candidate:
        """The best candidate.

        Raises:
            VideogenError: There is none; see `failure`.
        """
        if not self._survivors:
            raise self.failure()
        return self._candidate(min(self._survivors, key=self._rank))

    @cached_property
    def rejected(self) -> tuple[Rejection, ...]:
        """Every offer that was refused, with its reason, in order of id."""
        accepted = {survivor.spec.id for survivor in self._survivors}
        return tuple(
            _rejection(spec, self.request, self.policy, self.facts) for spec in self._scope if spec.id not in accepted
        )

    def failure(self) -> VideogenError:
        """The error that says best why there is no candidate."""
        return failure(self, self._scope)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {
            "chosen": self.chosen.offer if self._survivors else None,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "rejected": [rejection.to_dict() for rejection in self.rejected],
            "prepared": list(self.prepared),
            "ranked_by": self.ranked_by or None,
        }

    def explain(self) -> str:
        """The choice as a table that a person can read."""
        return table(self)

    def reordered(self, places: Mapping[str, int], *, by: str) -> Route:
        """The same route with candidates in another order.

        Args:
            places: Offer id -> its place; those without one follow as they were. Placeholders stay last.
            by: Who wants it so.
        """
        rank, last = self._rank, len(places)

        def placed(s: _Survivor) -> tuple[Any, ...]:
            return s.standing.placeholder, places.get(s.spec.id, last), *rank(s)

        route = copy(self)
        for name in ("candidates", "chosen"):
            vars(route).pop(name, None)  # worked out anew
        route._rank, route.ranked_by = placed, by
        return route


# --- filters ----------------------------------------------------------------------------------------------------


def _refusal(spec: ModelSpec, policy: Policy, facts: Facts) -> tuple[str, str] | None:
    """Why an offer is out before its capability is looked at; None when it is not."""
    provider = spec.provider
    if policy.providers is not None and provider not in policy.providers:
        return "provider", f"only {', '.join(policy.providers)} allowed"
    life = spec.lifecycle
    if life.stage is not Stage.GA or life.retired or life.deprecated:
        stage = life.stage_on(facts.today)
        if stage is Stage.RETIRED:
            instead = f"; use {life.replaced_by}" if life.replaced_by else ""
            return "retired", f"retired{f' on {life.retired}' if life.retired else ''}{instead}"
        if stage is Stage.DEPRECATED and not policy.models:
            return "deprecated", "deprecated; name it to use it all the same"
    if spec.placeholder and not (policy.placeholder or policy.models):
        return "placeholder", "makes placeholders; ask for it by name"
    if spec.license is not None and (forbidden := license_refusal(spec.license, policy)) is not None:
        return "licence", forbidden
    if policy.quality is not None and not spec.placeholder and _RANK[spec.tier] < _PRESETS[policy.quality][0]:
        return "quality", f"tier {spec.tier}, {policy.quality} asked"
    if policy.need_ready and (missing := [name for name in (provider, spec.id) if name in facts.not_ready]):
        return "not_ready", facts.not_ready[missing[0]]
    if spec.outline is not None:
        return "outline", spec.unknown
    if provider in facts.resting:
        return "resting", facts.resting[provider]
    return None


def _prefer(policy: Policy) -> Prefer | None:
    return policy.prefer or (_PRESETS[policy.quality][1] if policy.quality else None)


def _affordable(high: Decimal | None, policy: Policy) -> bool:
    if high is not None:
        return policy.max_cost is None or high <= policy.max_cost
    by_price = policy.max_cost is not None or _prefer(policy) == "cheapest"
    return policy.allow_unknown_price or not by_price


def _cost_refusal(cost: tuple[Decimal, Decimal] | None, policy: Policy) -> tuple[str, str]:
    """Why an offer that is not affordable is refused."""
    if cost is not None:
        return "cost", f"estimated at ${cost[1]:f}, max_cost is ${policy.max_cost:f}"
    use = "ranked by price" if policy.max_cost is None else "held to max_cost"
    return "unknown_price", f"its price is unknown, so it cannot be {use}"


def _over_budget(spec: ModelSpec, high: Decimal | None, policy: Policy, facts: Facts) -> str | None:
    """Why a budget forbids an offer; what is reserved for an unknown price is the limit that the user has set."""
    amount = policy.max_cost if high is None else high
    for state in facts.budgets:
        if state.budget.covers(offer=spec.id, model=spec.name, tags=policy.tags):
            if amount is None:
                return f"its price is unknown, so the budget {state.budget.name!r} cannot be kept; give a max_cost"
            if (refusal := state.refusal(amount)) is not None:
                return refusal
    return None


def _rejection(spec: ModelSpec, request: VideoRequest, policy: Policy, facts: Facts) -> Rejection:
    reason = _refusal(spec, policy, facts)
    if reason is None:
        try:
            resolved = resolve(spec, request, policy.fit)
        except UnsupportedRequestError as error:
            reason = "unsupported", " ".join(violation.message for violation in error.violations)
        else:
            cost = bounds(facts.tailored(spec, resolved.request), resolved.request)
            high = None if cost is None else cost[1]
            over = _over_budget(spec, high, policy, facts) if _affordable(high, policy) else None
            reason = ("budget", over) if over else _cost_refusal(cost, policy)
    return Rejection(offer=spec.id, reason=reason[0], message=reason[1])


# --- route ------------------------------------------------------------------------------------------------------


def route(request: VideoRequest, policy: Policy, catalog: Catalog, facts: Facts, *, hint: str | None = None) -> Route:
    """Choose among the offers of a catalogue.

    Args:
        request: What is wanted.
        policy: How to choose.
        catalog: All offers.
        facts: Readiness, health, observed latency, the date.
        hint: What to add when a model name is unknown.

    Returns:
        The route; it may have no candidate, and then says why.

    Raises:
        ModelNotFoundError: A named model does not exist or is retired.
        RequestError: A provider in ``providers`` or ``options`` does not exist.
    """
    scope, wish = _scope(policy, catalog, facts, hint)
    _check_option_names(request, policy, facts, scope)
    if policy.fit == "exact" and len(scope) == len(catalog):
        survivors = _survivors_of_all(request, policy, catalog, facts)
    else:
        survivors = _survivors_among(scope, request, policy, facts)
    if facts.budgets:
        survivors = [s for s in survivors if _over_budget(s.spec, _exact(s.dollars), policy, facts) is None]
    return Route(
        survivors,
        rank=_ranking(policy, facts, wish, survivors),
        scope=scope,
        request=request,
        policy=policy,
        facts=facts,
    )


def _scope(
    policy: Policy, catalog: Catalog, facts: Facts, hint: str | None
) -> tuple[tuple[ModelSpec, ...], dict[str, int]]:
    """The offers in question, and for named models each offer's place in the user's list."""
    if policy.providers is not None:
        known = {spec.provider for spec in catalog.offers} | {name for name in facts.not_ready if "/" not in name}
        for provider in policy.providers:
            if provider not in known:
                raise RequestError(
                    f"providers: no plugin named {provider!r} is installed.",
                    hint=f"Installed: {', '.join(sorted(known)) or 'none'}.",
                )
    if not policy.models:
        return catalog.offers, {}
    wish: dict[str, int] = {}
    named: dict[str, ModelSpec] = {}
    for place, name in enumerate(policy.models):
        for spec in catalog.lookup(name, today=facts.today, hint=hint):
            wish.setdefault(spec.id, place)
            named[spec.id] = spec
    if policy.placeholder:
        for spec in catalog.offers:
            if spec.placeholder:
                wish.setdefault(spec.id, len(policy.models))
                named[spec.id] = spec
    return tuple(named[key] for key in sorted(named)), wish


def _check_option_names(request: VideoRequest, policy: Policy, facts: Facts, scope: tuple[ModelSpec, ...]) -> None:
    """Options for a provider that could never be chosen are a mistake, not something to drop."""
    asked = {spec.provider for spec in scope} if request.options else set()
    for provider in request.options:
        if policy.providers is not None and provider not in policy.providers:
            why = f"it is not among the providers asked for ({', '.join(policy.providers)})"
        elif provider in asked:
            continue
        elif policy.models:
            why = f"it does not offer the model asked for; {' and '.join(sorted(asked))} does"
        else:
            why = facts.not_ready.get(provider, "no plugin of that name is installed")
        raise RequestError(f"options: {provider!r} cannot be chosen: {why}.", hint="Leave its options out.")


def _survivors_among(
    scope: tuple[ModelSpec, ...], request: VideoRequest, policy: Policy, facts: Facts
) -> list[_Survivor]:
    """The offers that nothing speaks against, each one asked by itself; knows how to move a request."""
    survivors = []
    for place, spec in enumerate(scope):
        if _refusal(spec, policy, facts) is not None:
            continue
        try:
            resolved = resolve(spec, request, policy.fit)
        except UnsupportedRequestError:
            continue
        offered = facts.tailored(spec, resolved.request)
        cost = bounds(offered, resolved.request)
        if not _affordable(None if cost is None else cost[1], policy):
            continue
        latency = facts.seconds(spec, offered)
        survivors.append(
            _Survivor(
                place,
                _standing(spec),
                math.inf if cost is None else float(cost[1]),
                _UNKNOWN_LATENCY if latency is None else latency,
                offered,
                resolved.mode,
                resolved.request,
                resolved.changes,
                latency,
            )
        )
    return survivors


def _survivors_of_all(request: VideoRequest, policy: Policy, catalog: Catalog, facts: Facts) -> list[_Survivor]:
    """The same for a whole catalogue and no moving, through its indexes: thousands of offers in milliseconds."""
    offers, group_of, typical = catalog.offers, catalog.standing, catalog.typical_latency
    positions = catalog.positions
    observed = {positions[offer]: seconds for offer, seconds in facts.latency.items() if offer in positions}
    # offers of one standing share everything but their own readiness, which says nothing of the others
    shared = msgspec.structs.replace(facts, not_ready={k: v for k, v in facts.not_ready.items() if "/" not in k})
    unready = {positions.get(name) for name in facts.not_ready} if policy.need_ready else set()
    standings: dict[int, _Standing] = {}  # of the groups that are not refused
    among = 0
    for group, modes in catalog.standing_masks.items():
        if _refusal(offers[group], policy, shared) is None:
            standings[group] = _standing(offers[group])
            among |= modes
    priced: dict[int, Callable[[int], int | None]] = {}  # by identity of the resolved request
    cap = math.inf if policy.max_cost is None else int(policy.max_cost.scaleb(6))
    unknown_is_fine, tailoring = _affordable(None, policy), facts.tailoring
    survivors = []
    for position, mode, filled in catalog.index.resolving(request, among=among):
        if position in unready:
            continue
        if id(filled) not in priced:
            priced[id(filled)] = catalog.prices.asking(filled)
        spec = offers[position]
        latency = observed.get(position, typical[position])
        if tailoring and spec.provider in tailoring:
            offered = facts.tailored(spec, filled)
            latency, cost = facts.seconds(spec, offered), bounds(offered, filled)
            spec, micro = offered, None if cost is None else int(cost[1].scaleb(6))
        else:
            micro = priced[id(filled)](position)
        if not unknown_is_fine if micro is None else micro > cap:
            continue
        dollars = math.inf if micro is None else micro / 1_000_000
        seconds = _UNKNOWN_LATENCY if latency is None else latency
        standing = standings[group_of[position]]
        survivors.append(_Survivor(position, standing, dollars, seconds, spec, mode, filled, (), latency))
    return survivors


def _exact(dollars: float) -> Decimal | None:
    return None if dollars == math.inf else Decimal(round(dollars * 1_000_000)).scaleb(-6)


def _standing(spec: ModelSpec) -> _Standing:
    return _Standing(spec.placeholder, _RANK[spec.tier], not spec.first_party)


def _ranking(policy: Policy, facts: Facts, wish: Mapping[str, int], survivors: Sequence[_Survivor]) -> _Rank:
    """The sort key of a survivor; ties end with the maker's own, the price and the id."""
    prefer = _prefer(policy)

    def tail(s: _Survivor) -> tuple[bool, float, int]:
        return s.standing.reseller, s.dollars, s.place

    if prefer is None and wish:
        return lambda s: (s.standing.placeholder, wish[s.spec.id], *tail(s))
    if prefer == "cheapest":
        # flat rather than with tail(): this is the key of the hottest ranking
        return lambda s: (s.standing.placeholder, s.dollars, s.standing.reseller, s.place)
    if prefer == "fastest":
        return lambda s: (s.standing.placeholder, s.seconds, *tail(s))
    if prefer == "best":
        return lambda s: (s.standing.placeholder, -s.standing.quality, *tail(s))

    dearest = max((s.dollars for s in survivors if s.dollars != math.inf), default=0.0) or 1.0
    slowest = max((s.seconds for s in survivors), default=0.0) or 1.0
    failure_rate = facts.failure_rate
    # Equal shares of price and quality, a smaller one of speed, and failures count against it in full.
    per_dollar, per_second = 0.4 / dearest, 0.2 / slowest
    of_quality = [0.4 * (1 - rank / (len(_RANK) - 1)) for rank in range(len(_RANK))]

    def balanced(s: _Survivor) -> tuple[Any, ...]:
        standing, dollars = s.standing, s.dollars
        price = 0.4 if dollars == math.inf else dollars * per_dollar
        score = price + of_quality[standing.quality] + s.seconds * per_second
        if failure_rate:
            score += failure_rate.get(s.spec.id, 0.0)
        return standing.placeholder, round(score, 6), standing.reseller, dollars, s.place

    return balanced
