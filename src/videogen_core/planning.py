"""What can be known before anything is spent: models, checks, estimates, routes. No event loop, and no network.

But for one thing: a model that no catalogue lists is looked for at the provider that its name pins; see `discovery`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from .budget import BudgetState
from .capabilities import check, unsupported
from .catalog import Catalog
from .errors import ConfigurationError, RequestError, VideogenError
from .extensions import Prepared
from .ledger import Observations
from .licensing import EVERY_LICENSE
from .limits import Violation, offer_violations
from .pricing import Quote, max_duration, money, quote
from .registry import Registry
from .request import Media, Task, VideoRequest
from .retry import resting_until
from .routing import Facts, Policy, Route, route
from .settings import Settings
from .spec import ModelSpec, Stage, Tier

__all__ = ["Planner", "make_policy", "price_per_second"]

_OBSERVE_EVERY = 5.0  # seconds; the past does not change faster than that
_PREFER = ("cheapest", "fastest", "best", "balanced")
_FIT = ("exact", "nearest", "at_least")


def make_policy(
    settings: Settings,
    *,
    model: str | Iterable[str] | None = None,
    providers: str | Iterable[str] | None = None,
    prefer: Any = None,
    quality: Any = None,
    max_cost: Any = None,
    allow_unknown_price: bool = False,
    accept_licenses: str | Iterable[str] | None = None,
    fit: Any = "exact",
    need_ready: bool = True,
    tags: Mapping[str, str] | None = None,
) -> Policy:
    """Check and normalise the arguments that choose an offer; unset ones come from the settings.

    Raises:
        RequestError: A value is not one of those allowed.
    """
    limit = money(max_cost)
    return Policy(
        models=_names("model", model),
        providers=None if providers is None else tuple(name.lower() for name in _names("providers", providers)),
        prefer=_one_of("prefer", prefer, _PREFER),
        quality=None if quality is None else Tier(_one_of("quality", quality, tuple(Tier))),
        max_cost=settings.max_cost if limit is None else limit,
        allow_unknown_price=allow_unknown_price,
        fit=_one_of("fit", fit, _FIT),
        placeholder=settings.sandbox,
        commercial=settings.commercial,
        territory=settings.territory,
        revenue_usd=settings.revenue_usd,
        accept_licenses=(*settings.accepted_licenses, *_names("accept_licenses", accept_licenses)),
        need_ready=need_ready,
        tags=dict(tags or {}),
    )


def _names(field: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    names: list[Any] = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [None]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise RequestError(f"{field}: expected a name or a list of names, got {value!r}.")
    return tuple(name.strip() for name in names)


def _one_of(field: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value is not None and value not in allowed:
        raise RequestError(f"{field}: {value!r} is not possible.", hint=f"Allowed: {', '.join(allowed)}.")
    return value


class Planner:
    """Answers questions about models, prices and routes.

    Args:
        settings: The configuration.
        registry: The offers.
        observe: Reads what the recent past says of speed and health; called at most every few seconds.
        budgets: Reads what the budgets have left.
        today: The date, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        observe: Callable[[], Observations],
        *,
        budgets: Callable[[], Sequence[BudgetState]] = tuple,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self.settings = settings
        self.registry = registry
        self._observe = observe
        self._budgets = budgets
        self._today = today
        self._lock = threading.Lock()
        self._observed: tuple[float, Observations] | None = None

    def recent(self) -> Observations | None:
        """What `observations` gave a few seconds ago, without a look at the ledger; None when that is longer ago."""
        seen = self._observed
        return seen[1] if seen is not None and time.monotonic() - seen[0] <= _OBSERVE_EVERY else None

    def observations(self) -> Observations:
        """Observed speed and health, at most a few seconds old."""
        with self._lock:
            now = time.monotonic()
            if self._observed is None or now - self._observed[0] > _OBSERVE_EVERY:
                self._observed = (now, self._observe())
            return self._observed[1]

    def usual(self, offer: str) -> float | None:
        """Seconds that an offer usually takes: as last observed, else by its catalogue. Does not touch the ledger."""
        seen = self._observed
        if seen is not None and offer in seen[1].latency:
            return seen[1].latency[offer]
        try:
            offers = self.catalog((offer,)).offers
        except VideogenError:
            return None
        return next((spec.latency.typical for spec in offers if spec.id == offer and spec.latency), None)

    def facts(self, catalog: Catalog, named: Sequence[ModelSpec] = ()) -> Facts:
        """The state of the world that routing weighs, for the offers of a catalogue, or the few that can be chosen."""
        seen, now = self.observations(), time.time()
        resting = {}
        for provider, outcomes in seen.outcomes.items():
            until = resting_until(outcomes)
            if until is not None and until > now and self.registry.rests(provider):
                resting[provider] = f"it keeps failing; it is tried again in {until - now:.0f} s"
        return Facts(
            today=self._today(),
            not_ready=self.registry.not_ready(catalog, named),
            resting=resting,
            latency=seen.latency,
            failure_rate=seen.failure_rate,
            budgets=self._budgets(),
            remark=self.registry.remark,
            tailoring=self.registry.tailoring(named or catalog.offers),
        )

    def prepare(self, request: VideoRequest) -> Prepared:
        """A request as extensions want it sent, before it is inspected.

        Raises:
            RequestError: One refuses it.
        """
        return self.registry.extensions.prepare(request)

    def inspect(self, request: VideoRequest) -> VideoRequest:
        """Open and decode every local input, so that what is wrong with it is said now.

        Raises:
            InvalidMediaError: An input is missing, unreadable, too large or not what it should be.
        """
        if not request.media():
            return request
        from .media import inspect

        changes: dict[str, Any] = {}
        here = self.settings.probe_in_process
        for name in ("image", "last_frame", "video"):
            media: Media | None = getattr(request, name)
            if media is not None:
                changes[name] = inspect(media, field=name, probe_in_process=here)
        if request.reference_images:
            changes["reference_images"] = tuple(
                inspect(media, field=f"reference_images[{i}]", probe_in_process=here)
                for i, media in enumerate(request.reference_images)
            )
        return msgspec.structs.replace(request, **changes)

    def catalog(self, models: Iterable[str] = (), *, latest: bool = True) -> Catalog:
        """The offers, loading no more plugins than the names need; see `Registry.catalog`."""
        return self.registry.catalog(models, latest=latest)

    def route(self, request: VideoRequest, policy: Policy, *, now: bool = True) -> Route:
        """Choose an offer for an inspected request.

        Args:
            request: What is wanted.
            policy: How to choose.
            now: Whether what may be otherwise in a while counts, too: what budgets have left, who rests.

        Raises:
            ModelNotFoundError: A named model does not exist or is retired.
            UnsupportedRequestError: An option of a provider is one that no offer of it takes.
        """
        names = () if policy.placeholder else policy.models
        catalog = self.catalog(names)
        named = self._named(policy.models, catalog)
        self._refuse_wrong_options(request, named or catalog.offers)
        facts = self.facts(catalog, () if policy.placeholder else named)
        if not now:
            facts = msgspec.structs.replace(facts, budgets=(), resting={})
        found = route(request, policy, catalog, facts, hint=self._hint(policy.models))
        return self.registry.extensions.rank(found)

    def _named(self, names: Sequence[str], catalog: Catalog) -> list[ModelSpec]:
        """The offers that these names mean."""
        hint, today = self._hint(names), self._today()
        return [spec for name in names for spec in catalog.lookup(name, today=today, hint=hint)]

    def _refuse_wrong_options(self, request: VideoRequest, among: Sequence[ModelSpec]) -> None:
        """Options that no offer of their provider takes are a mistake, and no reason to choose another provider."""
        for provider in request.options:
            offers = [spec for spec in among if spec.provider == provider and not spec.outline]
            wrong = [(_option_violations(spec, request), spec) for spec in offers]
            if wrong and all(violations for violations, _ in wrong):
                _, spec = min(wrong, key=lambda pair: len(pair[0]))
                raise unsupported(spec, [v for v in check(spec, request) if v.field.startswith("options.")])

    def _hint(self, names: Iterable[str]) -> str | None:
        return next((hint for name in names if (hint := self.registry.hint(name))), None)

    def offers(self, name: str) -> list[ModelSpec]:
        """The offers that a name means, the maker's own first.

        Raises:
            ModelNotFoundError: Nobody offers it, or it is retired.
        """
        return self.catalog((name,)).lookup(name, today=self._today(), hint=self.registry.hint(name))

    def check(self, request: VideoRequest, model: str) -> list[Violation]:
        """Every rule that an inspected request breaks at a model; empty when some offer of it takes the request."""
        offers = self.offers(model)
        # whoever gives a provider's options wants to know whether that provider takes them
        meant = [spec for spec in offers if spec.provider in request.options] or offers
        meant = [spec for spec in meant if not spec.outline] or meant
        return min((check(spec, request) for spec in meant), key=len)

    def estimate(self, request: VideoRequest, policy: Policy) -> Quote:
        """What a request costs at the offer that would be chosen; needs neither credentials nor a yes to its licence.

        Raises:
            UnsupportedRequestError: The model cannot do it.
            NoRouteError: No offer takes it.
        """
        policy = msgspec.structs.replace(
            policy, need_ready=False, max_cost=None, allow_unknown_price=True, accept_licenses=(EVERY_LICENSE,)
        )
        if policy.models and not policy.placeholder:
            catalog = self.catalog(policy.models)
            facts = Facts(today=self._today(), tailoring=self.registry.tailoring(catalog.offers))
            chosen = route(request, policy, catalog, facts, hint=self._hint(policy.models)).chosen
        else:
            chosen = self.route(request, policy).chosen
        return quote(chosen.spec, chosen.request, today=self._today())

    def max_duration(self, request: VideoRequest, model: str, budget: Any) -> float | None:
        """The longest clip, in seconds, that a budget buys at a model; None when it buys none.

        Raises:
            RequestError: No price is known, or the budget is no amount.
        """
        limit = money(budget)
        if limit is None:
            raise RequestError("max_cost: an amount is needed.", hint="Write max_cost='1.50'.")
        spec = self.offers(model)[0]
        return max_duration(spec, request, limit, tailor=self.registry.tailoring((spec,)).get(spec.provider))

    def models(
        self,
        *,
        task: str | None = None,
        provider: str | None = None,
        audio: bool | None = None,
        resolution: str | None = None,
        duration: float | None = None,
        max_price_per_second: Any = None,
        quality: str | None = None,
        ready: bool | None = None,
        retired: bool = False,
    ) -> list[ModelSpec]:
        """Offers that match every filter given, sorted by shared name and id."""
        ceiling = money(max_price_per_second, field="max_price_per_second")
        if provider is not None and provider not in self.registry.plugins.names():
            raise ConfigurationError(
                f"No plugin named {provider!r} is installed.",
                hint=f"Installed: {', '.join(self.registry.plugins.names())}.",
            )
        wanted = VideoRequest.make(task=task, duration=duration, resolution=resolution, audio=audio)
        names = () if provider is None else (f"{provider}/",)
        catalog = self.catalog(names)
        not_ready = self.registry.not_ready(catalog) if ready is not None else {}
        tier = None if quality is None else Tier(_one_of("quality", quality, tuple(Tier)))

        def is_ready(spec: ModelSpec) -> bool:
            return not {spec.provider, spec.id} & not_ready.keys() and spec.outline is None

        def matches(spec: ModelSpec) -> bool:
            return (
                (retired or spec.lifecycle.stage_on(self._today()) is not Stage.RETIRED)
                and (provider is None or spec.provider == provider)
                and (tier is None or spec.tier is tier)
                and (ready is None or ready == is_ready(spec))
                and _has_mode(spec, wanted if task is not None else None, wanted)
                and (ceiling is None or _affordable(spec, ceiling, wanted))
            )

        offers = [spec for spec in catalog.offers if matches(spec)]
        return sorted(offers, key=lambda spec: (spec.placeholder, spec.name, not spec.first_party, spec.id))


def _option_violations(spec: ModelSpec, request: VideoRequest) -> list[Violation]:
    return [violation for violation in offer_violations(spec, request) if violation.field.startswith("options.")]


def _has_mode(spec: ModelSpec, task: VideoRequest | None, wanted: VideoRequest) -> bool:
    """Whether some mode has the task, and the duration, resolution and audio asked for."""
    if not spec.modes:
        known = task is None or Task(task.task) in spec.tasks
        return known and wanted.duration is None and wanted.resolution is None and wanted.audio is None
    return any(
        (task is None or Task(task.task) in mode.tasks)
        and (wanted.duration is None or wanted.duration in mode.durations)
        and (wanted.resolution is None or wanted.resolution in mode.resolutions)
        and (wanted.audio is None or wanted.audio in mode.audio)
        for mode in spec.modes
    )


def _affordable(spec: ModelSpec, ceiling: Decimal, wanted: VideoRequest) -> bool:
    per_second = price_per_second(spec, audio=wanted.audio, resolution=wanted.resolution)
    return per_second is not None and per_second[0] <= ceiling


def price_per_second(
    spec: ModelSpec, *, audio: bool | None = None, resolution: str | None = None
) -> tuple[Decimal, Decimal] | None:
    """Cheapest and dearest USD per second of output over all its settings, without surcharges; None when unknown."""
    rates = []
    for price in spec.prices:
        if price.kind != "base" or (price.audio is not None and audio is not None and price.audio != audio):
            continue
        if resolution is not None and price.resolutions and resolution not in price.resolutions:
            continue
        usd = price.credit_usd or Decimal(1)
        if price.unit == "second":
            rates += [(price.low or price.amount) * usd, price.amount * usd]
        elif price.unit == "video" and price.durations:
            rates += [price.amount * usd / Decimal(repr(seconds)) for seconds in price.durations]
    return (min(rates), max(rates)) if rates else None
