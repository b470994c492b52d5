"""The provider's facts: each has a source and a date, and an offer that is history says what came after it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from videogen_core import ModelNotFoundError, ModelSpec, Provider
from videogen_core.catalog import Catalog

from .rig import Rig
from .suite import Suite, each

__all__ = ["Catalogue"]


class Catalogue(Suite):
    """What the provider says about itself and its offers."""

    def test_the_provider_introduces_itself(self) -> None:
        """Title, what to set up, and where a person can look for a job."""
        provider = self.new_provider()
        for name in ("title", "setup", "console", *(() if self.workshop is not None else ("emulator",))):
            assert getattr(provider, name).strip(), f"{type(provider).__name__}.{name} is empty."
        assert provider.concurrency >= 1, "Provider.concurrency: at least one job at once."

    @each("spec", lambda suite: suite.specs())
    def test_a_fact_has_a_source_and_a_date(self, spec: ModelSpec) -> None:
        """The row, its modes and its prices: read somewhere, on a day that has been."""
        today = datetime.now(UTC).date()
        facts: list[Any] = [spec, *spec.modes, *spec.prices]
        for fact in facts:
            source, as_of = fact.source or spec.source, fact.as_of or spec.as_of
            assert source.strip(), f"{spec.id}: a {type(fact).__name__} has no source."
            assert as_of <= today, f"{spec.id}: a {type(fact).__name__} was read on {as_of}, which is yet to come."
        assert spec.title, f"{spec.id} has no title."
        assert spec.maker, f"{spec.id} does not say who made the model."

    @each("spec", lambda suite: suite.live(), instead="no offer is live")
    def test_a_price_is_real_or_unknown(self, spec: ModelSpec) -> None:
        """Never zero: a price that nobody knows has no row."""
        if spec.placeholder or self.free:
            return
        bases = [price for price in spec.prices if price.kind == "base"]
        assert not spec.prices or bases, f"{spec.id} has surcharges and no base price."
        for price in bases:
            assert price.amount > 0, (
                f"{spec.id}: a base price of zero. Leave prices out where they are not known; set free = True in the "
                "suite where clips cost nothing."
            )

    @each("spec", lambda suite: suite.live(), instead="no offer is live")
    def test_a_live_offer_says_how_long_it_takes(self, spec: ModelSpec) -> None:
        """The wait between polls and the router's choice rest on it."""
        assert spec.latency is not None, f"{spec.id} has no latency; write latency = {{ typical = SECONDS }}."
        assert spec.latency.typical > 0, f"{spec.id}: a latency of {spec.latency.typical:g} s."

    @each("spec", lambda suite: _retired(suite), instead="no offer is retired")
    def test_a_retired_offer_says_since_when_and_what_instead(self, spec: ModelSpec, rig: Rig) -> None:
        """Naming it, by any of its names, says so too."""
        life = spec.lifecycle
        assert life.retired is not None, f"{spec.id}: lifecycle.retired: since when?"
        assert life.replaced_by or life.note, f"{spec.id}: lifecycle.replaced_by, or a note that nothing did."
        with rig.sync_client() as client:
            for name in (spec.id, *spec.aliases):
                with pytest.raises(ModelNotFoundError) as caught:
                    client.route(model=name)
                said = str(caught.value)
                assert str(life.retired) in said, f"{name}: the error does not say since when: {said}"
                assert (life.replaced_by or life.note or "") in said, f"{name}: the error does not say what now: {said}"

    def test_names_are_unique(self) -> None:
        """No alias means two offers of the provider, or is the name of another."""
        owners: dict[str, str] = {}
        for spec in self.specs():
            for name in dict.fromkeys((spec.id, spec.id.partition("/")[2], *spec.aliases)):
                other = owners.setdefault(name.lower(), spec.id)
                assert other == spec.id, f"The name {name!r} means both {other} and {spec.id}."

    @each("spec", lambda suite: _described(suite), instead="no offer is live")
    def test_every_name_of_an_offer_finds_it(self, spec: ModelSpec, rig: Rig) -> None:
        """Its id, its shared name, and each alias."""
        with rig.sync_client() as client:
            for name in (spec.id, spec.name, *spec.aliases):
                found = {candidate.offer for candidate in _offers(client, name)}
                assert spec.id in found, f"{name!r} does not lead to {spec.id} but to {sorted(found) or 'nothing'}."

    @each("spec", lambda suite: _outlines(suite), instead="no offer is known in outline only")
    def test_an_outline_can_be_completed(self, spec: ModelSpec) -> None:
        """Its names find it, and the provider describes its models; without that nobody could ever use it."""
        provider, catalog = type(self.new_provider()), Catalog(self.specs())
        assert provider.discover is not Provider.discover, f"{spec.id}: {provider.__name__}.discover completes nothing."
        for name in (spec.id, spec.name, *spec.aliases):
            found = {each.id for each in catalog.lookup(name, today=datetime.now(UTC).date())}
            assert spec.id in found, f"{name!r} does not lead to {spec.id} but to {sorted(found)}."


def _offers(client: Any, name: str) -> list[Any]:
    route = client.route(model=name)
    return [*route.candidates, *route.rejected]


def _described(suite: type[Suite]) -> list[ModelSpec]:
    return [spec for spec in suite.live() if not spec.outline]


def _outlines(suite: type[Suite]) -> list[ModelSpec]:
    return [spec for spec in suite.live() if spec.outline]


def _retired(suite: type[Suite]) -> list[ModelSpec]:
    alive = {spec.id for spec in suite.live()}
    return [spec for spec in suite.specs() if spec.id not in alive]
