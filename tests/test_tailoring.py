"""Offers whose prices and latency follow the options of a request, in every place where a price is told."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from test_readiness import Picky, client
from videogen_core import BudgetExceededError, ModelSpec, VideoRequest
from videogen_core.spec import Latency, Price


class Stepwise(Picky):
    """A hundredth of a dollar and two seconds for each point, of which a script has fifty."""

    def check_offer(self, spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        return

    def tailored(
        self,
        spec: ModelSpec,
        request: VideoRequest,
        environment: Mapping[str, str],
        settings: Mapping[str, Any],
        folder: Path,
    ) -> ModelSpec:
        if spec.name == "pro":
            raise RuntimeError("a bug")
        if spec.name != "paper":
            return spec
        points = 50 if request.options.get("acme", {}).get("script") else 1
        prices = (Price(amount=Decimal(points) / 100, unit="video"),)
        return msgspec.structs.replace(
            spec, id="acme/stolen", prices=prices, latency=Latency(typical=2.0 * points, source="its own")
        )


MUCH = {"acme": {"script": {"polls": 2}}}


def test_estimates_and_routes_follow_the_options(tmp_path: Path) -> None:
    with client(tmp_path, Stepwise(tmp_path)) as videogen:
        assert videogen.estimate("a boat", model="acme/paper").high == Decimal("0.01")
        assert videogen.estimate("a boat", model="acme/paper", options=MUCH).high == Decimal("0.50")
        for named in ({"model": "acme/paper"}, {"providers": "acme"}):
            for options, high, seconds in (({}, "0.01", 2), (MUCH, "0.50", 100)):
                route = videogen.route("a boat", options=options, allow_unknown_price=True, **named)
                paper = next(each for each in route.candidates if each.offer == "acme/paper")
                assert (paper.high, paper.latency) == (Decimal(high), seconds)
                assert str(paper.quote) == f"${high}"
        (refused,) = (
            each
            for each in videogen.route("a boat", options=MUCH, max_cost="0.10", model="acme/paper").rejected
            if each.offer == "acme/paper"
        )
        assert refused.reason == "cost"
        with pytest.raises(BudgetExceededError, match="No offer fits"):
            videogen.generate("a boat", model="acme/paper", options=MUCH, max_cost="0.10")
        assert videogen.max_duration("a boat", model="acme/paper", max_cost="0.02") is not None
        assert videogen.max_duration("a boat", model="acme/paper", max_cost="0.02", options=MUCH) is None


def test_a_provider_that_breaks_while_it_is_asked_keeps_its_catalogue_s_price(tmp_path: Path) -> None:
    with client(tmp_path, Stepwise(tmp_path)) as videogen:
        route = videogen.route("a boat", providers="acme", allow_unknown_price=True)
        assert {each.offer for each in route.candidates} >= {"acme/paper", "acme/pro"}
