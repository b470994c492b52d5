"""The router: every choice and every refusal explained, the same whatever the order, and never above ``max_cost``."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any, Literal, get_args

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from strategies import TODAY, Dice, catalogs_and_requests, seeds
from videogen_core.budget import BudgetState, make_budget
from videogen_core.capabilities import check
from videogen_core.catalog import Catalog
from videogen_core.errors import (
    BudgetExceededError,
    ModelNotFoundError,
    NoRouteError,
    RequestError,
    UnsupportedRequestError,
    VideogenError,
)
from videogen_core.pricing import bounds
from videogen_core.request import Task, VideoRequest
from videogen_core.routing import Facts, Policy, Prefer, Route, route
from videogen_core.spec import Latency, License, Lifecycle, Mode, ModelSpec, OptionSpec, Price, Stage, Tier

D = Decimal
NOW = Facts(today=TODAY)
REASONS = {
    "provider", "retired", "deprecated", "placeholder", "licence", "quality", "not_ready", "resting", "unsupported",
    "unknown_price", "cost",
}  # fmt: skip


def offer(id_: str, usd: str | None = None, **facts: Any) -> ModelSpec:
    """An offer that makes clips of 4 and 8 seconds at ``usd`` each."""
    known: dict[str, Any] = {
        "modes": (Mode(tasks=(Task.TEXT_TO_VIDEO,), durations=(4, 8)),),
        "prices": () if usd is None else (Price(amount=D(usd), unit="video"),),
    }
    return ModelSpec(id=id_, source="a test", as_of=TODAY, **(known | facts))


def placeholder() -> ModelSpec:
    return offer("sandbox/sandbox", "0", placeholder=True, tier=Tier.ECONOMY)


def asking(offers: list[ModelSpec], policy: Policy | None = None, facts: Facts = NOW, **wanted: Any) -> Route:
    return route(VideoRequest.make("a boat", **wanted), policy or Policy(), Catalog(offers), facts)


def order(catalog: list[ModelSpec], facts: Facts = NOW, **policy: Any) -> list[str]:
    """Ids of the candidates, best first."""
    return [candidate.offer for candidate in asking(catalog, Policy(**policy), facts).candidates]


def refusals(found: Route) -> dict[str, str]:
    return {rejection.offer: rejection.reason for rejection in found.rejected}


def missing_keys(dice: Dice, ids: list[str]) -> dict[str, str]:
    """Of a provider, of single offers, of both or of none."""
    providers = {"acme": "no key"} if dice.chance(0.2) else {}
    return providers | (dict.fromkeys(dice.some(ids), "no key for this one") if dice.chance(0.5) else {})


def policy_and_facts(seed: int, catalog: Catalog) -> tuple[Policy, Facts]:
    dice, ids = Dice(seed), [spec.id for spec in catalog.offers]
    alive = [spec.name for spec in catalog.offers if spec.lifecycle.stage_on(TODAY) is not Stage.RETIRED]
    providers = tuple({spec.provider for spec in catalog.offers})
    policy = Policy(
        models=dice.some(alive, least=1) if alive and dice.chance(0.3) else (),
        providers=dice.some(sorted(providers), least=1) if providers and dice.chance(0.1) else None,
        prefer=dice.one(None, *get_args(Prefer)),
        quality=dice.one(None, None, *Tier),
        max_cost=dice.one(None, D(0), D(1), D(20)),
        allow_unknown_price=dice.chance(0.4),
        fit=dice.one("exact", "exact", "nearest", "at_least"),
        placeholder=dice.chance(0.3),
        commercial=dice.chance(0.2),
        territory=dice.one(None, "de"),
    )
    facts = Facts(
        today=TODAY,
        not_ready=missing_keys(dice, ids),
        resting={"blue": "it keeps failing"} if dice.chance(0.2) else {},
        latency={id_: float(dice.random.randint(1, 300)) for id_ in dice.some(ids)},
        failure_rate={id_: dice.random.random() for id_ in dice.some(ids)},
    )
    return policy, facts


def routed(pair: tuple[Catalog, VideoRequest], seed: int, offers: list[ModelSpec] | None = None) -> Route | None:
    catalog, request = pair
    policy, facts = policy_and_facts(seed, catalog)
    try:
        return route(request, policy, catalog if offers is None else Catalog(offers), facts)
    except RequestError:  # options for an offer that was not asked for
        return None


@settings(max_examples=800)
@given(catalogs_and_requests, seeds)
def test_a_candidate_passes_check_and_stays_within_max_cost(pair: tuple[Catalog, VideoRequest], seed: int) -> None:
    found = routed(pair, seed)
    for candidate in found.candidates if found else ():
        assert check(candidate.spec, candidate.request) == []
        assert bounds(candidate.spec, candidate.request) == (
            None if candidate.high is None else (candidate.low, candidate.high)
        )
        assert (candidate.quote.low, candidate.quote.high) == (candidate.low, candidate.high)
        if found and found.policy.max_cost is not None:
            assert found.policy.allow_unknown_price or candidate.high is not None
            assert candidate.high is None or candidate.high <= found.policy.max_cost


@settings(max_examples=600)
@given(catalogs_and_requests, seeds, st.randoms())
def test_the_order_of_registration_does_not_matter(pair: tuple[Catalog, VideoRequest], seed: int, random: Any) -> None:
    shuffled = list(pair[0].offers)
    random.shuffle(shuffled)
    one, other = routed(pair, seed), routed(pair, seed, shuffled)
    assert (one is None) == (other is None)
    if one and other:
        assert one.to_dict() == other.to_dict()
        assert one.explain() == other.explain()


@settings(max_examples=800)
@given(catalogs_and_requests, seeds)
def test_every_offer_in_question_is_a_candidate_or_refused_for_a_reason(
    pair: tuple[Catalog, VideoRequest], seed: int
) -> None:
    found = routed(pair, seed)
    if found is None:
        return
    accepted, refused = [c.offer for c in found.candidates], [r.offer for r in found.rejected]
    assert len({*accepted, *refused}) == len(accepted) + len(refused)
    if not found.policy.models:
        assert sorted(accepted + refused) == [spec.id for spec in pair[0].offers]
    assert set(refusals(found).values()) <= REASONS
    assert all(r.message for r in found.rejected)
    assert [c.score for c in found.candidates] == sorted(c.score for c in found.candidates)
    table = found.explain().splitlines()
    assert len(table) == 1 + len(accepted) + len(refused)
    assert all(any(f" {id_} " in line for line in table) for id_ in accepted + refused)
    assert json.loads(json.dumps(found.to_dict()))["chosen"] == (accepted[0] if accepted else None)
    if accepted:
        assert found.chosen == found.candidates[0]
    else:
        with pytest.raises(VideogenError):
            _ = found.chosen
        json.dumps(found.failure().to_dict())


@settings(max_examples=500)
@given(catalogs_and_requests, seeds)
def test_the_index_and_asking_one_by_one_agree(pair: tuple[Catalog, VideoRequest], seed: int) -> None:
    catalog, request = pair
    policy, facts = policy_and_facts(seed, catalog)
    policy = msgspec.structs.replace(policy, models=(), providers=None)

    def unmoved(fit: Any) -> set[tuple[str, str, Decimal | None]]:
        found = route(request, msgspec.structs.replace(policy, fit=fit), catalog, facts)
        return {(c.offer, c.request.fingerprint(), c.high) for c in found.candidates if not c.changes}

    # "at_least" moves nothing that is valid already, but takes the other way through the code.
    if not request.options:
        assert unmoved("exact") == unmoved("at_least")


LIFE = Lifecycle(stage=Stage.DEPRECATED, deprecated=date(2026, 1, 1))
GONE = Lifecycle(retired=TODAY, replaced_by="b")
RESEARCH = License(name="Research", commercial=False)
ABROAD = License(name="Abroad", excluded_territories=("DE",))
EDIT = (Mode(tasks=(Task.EDIT_VIDEO,)),)
NO_KEY, TIRED = {"not_ready": {"acme": "set ACME_KEY"}}, {"resting": {"acme": "again in 30 s"}}


@pytest.mark.parametrize(
    ("spec", "policy", "facts", "reason", "words"),
    [
        ({}, {"providers": ("blue",)}, {}, "provider", "only blue allowed"),
        ({"lifecycle": GONE}, {}, {}, "retired", "retired on 2026-11-20; use b"),
        ({"lifecycle": LIFE}, {}, {}, "deprecated", "name it to use it all the same"),
        ({"placeholder": True}, {}, {}, "placeholder", "ask for it by name"),
        ({"license": RESEARCH}, {"commercial": True}, {}, "licence", "Research forbids commercial use"),
        ({"license": ABROAD}, {"territory": "de"}, {}, "licence", "Abroad excludes DE"),
        ({"tier": Tier.ECONOMY}, {"quality": Tier.STANDARD}, {}, "quality", "tier economy, standard asked"),
        ({}, {}, NO_KEY, "not_ready", "set ACME_KEY"),
        ({}, {}, TIRED, "resting", "again in 30 s"),
        ({"modes": EDIT}, {}, {}, "unsupported", "task: it cannot do text_to_video"),
        ({"usd": None}, {"max_cost": D(5)}, {}, "unknown_price", "cannot be held to max_cost"),
        ({"usd": None}, {"prefer": "cheapest"}, {}, "unknown_price", "cannot be ranked by price"),
        ({"usd": None}, {"quality": Tier.ECONOMY}, {}, "unknown_price", "cannot be ranked by price"),
        ({}, {"max_cost": D("1.20")}, {}, "cost", "estimated at $1.50, max_cost is $1.20"),
    ],
)
def test_each_reason_to_refuse(
    spec: dict[str, Any], policy: dict[str, Any], facts: dict[str, Any], reason: str, words: str
) -> None:
    one, other = offer("acme/a", **({"usd": "1.5"} | spec)), offer("blue/b", "1.1", modes=EDIT)
    found = asking([one, other], Policy(**policy), Facts(today=TODAY, **facts))
    rejection = next(r for r in found.rejected if r.offer == "acme/a")
    assert rejection.reason == reason
    assert words in rejection.message
    assert f"{reason}: {rejection.message}" in found.explain()


def test_what_a_user_may_say_to_have_it_all_the_same() -> None:
    assert order([offer("acme/a", lifecycle=LIFE)], models=("a",)) == ["acme/a"]
    assert order([offer("acme/a")], max_cost=D(5), allow_unknown_price=True) == ["acme/a"]
    assert order([offer("acme/a")], prefer="cheapest", allow_unknown_price=True) == ["acme/a"]
    assert order([offer("acme/a")], Facts(today=TODAY, not_ready={"acme": "no key"}), need_ready=False) == ["acme/a"]
    assert order([offer("acme/a")]) == ["acme/a"]


@pytest.mark.parametrize("absent", [("acme/a",), ("acme/b",), ("acme/a", "acme/c"), ("acme/a", "acme/b", "acme/c")])
def test_an_offer_that_is_not_ready_says_nothing_of_the_others(absent: tuple[str, ...]) -> None:
    """Offers that differ in nothing but their readiness, of which the index sees only the first."""
    names = ("acme/a", "acme/b", "acme/c")
    offers, away = [offer(name, "1") for name in names], Facts(today=TODAY, not_ready=dict.fromkeys(absent, "no key"))
    left = [name for name in names if name not in absent]
    assert order(offers, away) == order(offers, away, models=names) == order(offers, away, fit="at_least") == left
    assert order(offers, away, need_ready=False) == list(names)
    found = asking(offers, facts=away)
    assert refusals(found) == dict.fromkeys(absent, "not_ready")
    assert found.explain().count("not_ready: no key") == len(absent)
    with pytest.raises(RequestError, match="no plugin named 'blue'") as caught:
        order(offers, away, providers=("blue",))
    assert caught.value.hint == "Installed: acme."


def test_a_reason_that_nobody_gave_is_one_all_the_same() -> None:
    for name in ("acme", "acme/a"):
        assert order([offer("acme/a", "1")], Facts(today=TODAY, not_ready={name: ""})) == []


FAST = offer("acme/fast", "3", tier=Tier.ECONOMY, latency=Latency(typical=10))
CHEAP = offer("acme/cheap", "0.2", tier=Tier.STANDARD, latency=Latency(typical=400))
BEST = offer("acme/best", "2", tier=Tier.PREMIUM, latency=Latency(typical=100))
VAGUE = offer("acme/vague", tier=Tier.STANDARD)
ALL_FOUR = [FAST, CHEAP, BEST, VAGUE]


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ("cheapest", ["acme/cheap", "acme/best", "acme/fast"]),
        ("fastest", ["acme/fast", "acme/best", "acme/vague", "acme/cheap"]),
        ("best", ["acme/best", "acme/cheap", "acme/vague", "acme/fast"]),
        ("balanced", ["acme/best", "acme/cheap", "acme/vague", "acme/fast"]),
        (None, ["acme/best", "acme/cheap", "acme/vague", "acme/fast"]),
    ],
)
def test_each_preference(prefer: Prefer | None, expected: list[str]) -> None:
    assert order(ALL_FOUR, prefer=prefer) == expected


def test_what_was_observed_counts_more_than_the_catalogue() -> None:
    seen = Facts(today=TODAY, latency={"acme/cheap": 5.0}, failure_rate={"acme/best": 0.9})
    assert order(ALL_FOUR, seen, prefer="fastest")[0] == "acme/cheap"
    assert order(ALL_FOUR, seen, prefer="balanced")[-1] == "acme/best"


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        (Tier.ECONOMY, ["acme/cheap", "acme/best", "acme/fast"]),
        (Tier.STANDARD, ["acme/cheap", "acme/best", "acme/vague"]),
        (Tier.PREMIUM, ["acme/best"]),
    ],
)
def test_quality_presets(quality: Tier, expected: list[str]) -> None:
    assert order(ALL_FOUR, quality=quality) == expected
    assert order(ALL_FOUR, quality=Tier.STANDARD, prefer="cheapest") == ["acme/cheap", "acme/best"]


SHARED = [
    offer("acme/boat", "2", first_party=True),
    offer("blue/boat", "1"),
    offer("coral/boat", "0.5"),
    offer("coral/raft", "0.1"),
    offer("dune/boat"),
]


def test_a_name_means_the_makers_own_first_and_then_the_cheapest() -> None:
    assert order(SHARED, models=("boat",)) == ["acme/boat", "coral/boat", "blue/boat", "dune/boat"]
    by_price = ["coral/boat", "blue/boat", "acme/boat"]
    assert order(SHARED, models=("boat",), prefer="cheapest") == by_price, "a price nobody knows cannot be ranked"
    assert order(SHARED, models=("boat",), prefer="cheapest", allow_unknown_price=True) == [*by_price, "dune/boat"]
    assert order(SHARED, models=("blue/boat",)) == ["blue/boat"]


def test_a_list_of_models_is_the_order_of_fallback() -> None:
    expected = ["coral/raft", "blue/boat", "acme/boat", "coral/boat", "dune/boat"]
    assert order(SHARED, models=("raft", "blue/boat", "boat")) == expected
    with pytest.raises(ModelNotFoundError):
        order(SHARED, models=("raft", "kayak"))


def test_a_placeholder_is_chosen_only_when_asked_for_and_then_last() -> None:
    with_sandbox = [*SHARED, placeholder()]
    assert "sandbox/sandbox" not in order(with_sandbox)
    assert order(with_sandbox, placeholder=True)[-1] == "sandbox/sandbox"
    assert order(with_sandbox, placeholder=True, prefer="cheapest")[-1] == "sandbox/sandbox"
    assert order(with_sandbox, models=("sandbox",)) == ["sandbox/sandbox"]
    assert order(with_sandbox, models=("raft",)) == ["coral/raft"]
    assert order(with_sandbox, models=("raft",), placeholder=True) == ["coral/raft", "sandbox/sandbox"]
    assert order(with_sandbox, placeholder=True, quality=Tier.PREMIUM) == ["sandbox/sandbox"]
    assert "placeholder, not a real model" in asking(with_sandbox, Policy(placeholder=True)).explain()


def test_explain_is_a_table_a_person_can_read() -> None:
    found = asking([BEST, VAGUE, CHEAP], Policy(fit="nearest", max_cost=D(1), allow_unknown_price=True), duration=5)
    assert found.explain().splitlines() == [
        "         offer       price    latency  tier      score  why",
        "chosen   acme/vague  unknown  unknown  standard  0.69   moved duration 5 -> 4",
        "2        acme/cheap  $0.20    400 s    standard  0.8    moved duration 5 -> 4",
        "refused  acme/best                                      cost: estimated at $2.00, max_cost is $1",
    ]


@pytest.mark.parametrize("fit", ["exact", "nearest"])
def test_one_unsupported_offer_says_all_that_is_wrong(fit: Literal["exact", "nearest"]) -> None:
    with pytest.raises(UnsupportedRequestError) as caught:
        _ = asking([CHEAP, placeholder()], Policy(fit=fit), duration=5, seed=7).chosen
    assert {v.field for v in caught.value.violations} == ({"duration", "seed"} if fit == "exact" else {"seed"})


def test_too_dear_names_the_offer_that_comes_nearest() -> None:
    with pytest.raises(BudgetExceededError, match=r"acme/cheap: estimated at \$0\.20, max_cost is \$0\.10"):
        _ = asking(ALL_FOUR, Policy(max_cost=D("0.10"))).chosen
    with pytest.raises(BudgetExceededError, match="acme/vague: its price is unknown"):
        _ = asking([VAGUE], Policy(max_cost=D(9))).chosen
    with pytest.raises(NoRouteError, match="cannot be ranked by price"):
        _ = asking([VAGUE], Policy(prefer="cheapest")).chosen


def test_no_route_says_why_and_what_to_do() -> None:
    with pytest.raises(NoRouteError, match="No plugin offers any model") as caught:
        _ = asking([]).chosen
    away = Facts(today=TODAY, not_ready={"acme": "set ACME_KEY"})
    with pytest.raises(NoRouteError, match=r"acme/best, acme/cheap, acme/fast, acme/vague: set ACME_KEY\.") as caught:
        _ = asking([*ALL_FOUR, placeholder()], facts=away).chosen
    assert caught.value.hint == (
        "Set up a provider (`videogen doctor` says how), or pass model='sandbox' for a placeholder clip."
    )
    assert len(caught.value.rejected) == 5
    apart = Facts(today=TODAY, not_ready={spec.id: f"no key for {spec.name}" for spec in ALL_FOUR})
    with pytest.raises(NoRouteError, match=r"acme/best: no key for best; .* \(and 1 more\)\."):
        _ = asking([*ALL_FOUR, placeholder()], facts=apart).chosen


def test_providers_and_options_that_cannot_be_meant_are_refused() -> None:
    spec = offer("acme/a", "1", options={"turbo": OptionSpec(type="boolean")})
    both = [spec, offer("blue/b", "1")]
    with pytest.raises(RequestError, match="no plugin named 'coral' is installed"):
        order(both, providers=("coral",))
    assert order(both, Facts(today=TODAY, not_ready={"coral": "broken"}), providers=("coral",)) == []
    with pytest.raises(RequestError, match="options: 'coral' cannot be chosen: no plugin of that name"):
        asking(both, options={"coral": {"x": 1}})
    with pytest.raises(RequestError, match="'acme' cannot be chosen: it does not offer the model asked for; blue does"):
        asking(both, Policy(models=("b",)), options={"acme": {"turbo": True}})
    with pytest.raises(RequestError, match="'acme' cannot be chosen: it is not among the providers asked for"):
        asking(both, Policy(providers=("blue",)), options={"acme": {"turbo": True}})
    assert asking(both, options={"acme": {"turbo": True}}).chosen.offer == "acme/a"


def test_what_else_is_installed_makes_an_empty_budget_no_other_error() -> None:
    empty = BudgetState(
        budget=make_budget("daily", limit=1, period="day"), starts=None, ends=None, settled=D(1), held=D(0)
    )
    offers = [offer("acme/one", "0.50"), offer("other/two", "0.10"), offer("third/gone", lifecycle=GONE)]
    other = {"other": "set OTHER_KEY"}
    with pytest.raises(BudgetExceededError, match="daily"):
        raise asking(offers, facts=Facts(today=TODAY, not_ready=other, budgets=[empty])).failure()
    with pytest.raises(BudgetExceededError, match="acme/one: estimated at"):
        raise asking(offers, Policy(max_cost=D("0.20")), Facts(today=TODAY, not_ready=other)).failure()
    with pytest.raises(NoRouteError, match="resting") as caught:  # that one may take it in a minute
        raise asking(offers, facts=Facts(today=TODAY, resting={"other": "it is resting"}, budgets=[empty])).failure()
    assert not isinstance(caught.value, BudgetExceededError)
    with pytest.raises(NoRouteError, match="set OTHER_KEY"):
        raise asking(offers[1:], Policy(max_cost=D("0.20")), Facts(today=TODAY, not_ready=other)).failure()


def test_many_offers_of_one_provider_are_counted_and_not_named() -> None:
    offers = [offer(f"acme/m{number}", "1") for number in range(9)] + [offer("bee/m", "1")]
    with pytest.raises(NoRouteError, match=r"request\. 9 offers of acme, bee/m: no key\.\n"):
        raise asking(offers, facts=Facts(today=TODAY, not_ready={"acme": "no key.", "bee": "no key."})).failure()
