"""Licences of open models: what they forbid, and the yes that those with limits need."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import videogen_core as vg
from videogen_core.catalog import Catalog, read_catalog
from videogen_core.cli import main
from videogen_core.licensing import is_excluded, license_key, license_refusal
from videogen_core.routing import Facts, Policy, route
from videogen_core.spec import License

FREE = License(name="apache-2.0")
TERRITORIAL = License(
    name="Hunyuan Community",
    excluded_territories=("EU", "UK", "KR"),
    note="also for its clips",
    url="https://example.com/licence",
)
CAPPED = License(name="ltx-2-community", revenue_limit_usd=10_000_000)
RESEARCH = License(name="research", commercial=False)


def refusal(terms: License, **policy: object) -> str | None:
    return license_refusal(terms, Policy(**policy))  # type: ignore[arg-type]


def test_a_licence_without_limits_needs_no_yes() -> None:
    assert refusal(FREE, commercial=True, territory="DE", revenue_usd=Decimal(10**9)) is None


@pytest.mark.parametrize("terms", [TERRITORIAL, CAPPED, RESEARCH], ids=lambda terms: terms.name)
def test_a_licence_with_limits_needs_a_yes_by_its_name(terms: License) -> None:
    assert terms.limits
    said = refusal(terms)
    assert said is not None
    assert license_key(terms.name) in said
    assert all(limit in said for limit in terms.limits)
    assert refusal(terms, accept_licenses=("another",)) == said
    assert refusal(terms, accept_licenses=("another", terms.name)) is None
    assert refusal(terms, accept_licenses=(license_key(terms.name),)) is None


def test_the_refusal_says_what_is_limited_where_to_read_it_and_how_to_say_yes() -> None:
    assert refusal(TERRITORIAL) == (
        "its licence, Hunyuan Community, has limits: not in EU, UK, KR; also for its clips. Read it "
        "(https://example.com/licence), and if you may use the model, say accept_licenses='hunyuan-community'"
    )


@pytest.mark.parametrize(
    ("terms", "policy", "says"),
    [
        (RESEARCH, {"commercial": True}, "forbids commercial use"),
        (TERRITORIAL, {"territory": "de"}, "excludes DE"),
        (CAPPED, {"revenue_usd": Decimal(10_000_000)}, "less than $10,000,000"),
    ],
)
def test_what_the_settings_require_is_not_overruled_by_a_yes(
    terms: License, policy: dict[str, object], says: str
) -> None:
    said = refusal(terms, accept_licenses=(terms.name,), **policy)
    assert said is not None
    assert says in said


def test_who_earns_less_may_say_yes() -> None:
    assert refusal(CAPPED, revenue_usd=Decimal(9_999_999), accept_licenses=("ltx-2-community",)) is None


@pytest.mark.parametrize("country", ["DE", "fr", " it ", "GR", "EL", "GB", "uk", "KR", "EU"])
def test_countries_that_are_left_out(country: str) -> None:
    assert is_excluded(TERRITORIAL, country)


@pytest.mark.parametrize("country", ["US", "CH", "NO", "JP", "IS"])
def test_countries_that_are_not(country: str) -> None:
    assert not is_excluded(TERRITORIAL, country)


def test_a_part_of_the_union_leaves_somebody_of_it_out() -> None:
    assert is_excluded(License(name="x", excluded_territories=("FR",)), "EU")
    assert not is_excluded(License(name="x", excluded_territories=("US",)), "EU")


@given(
    commercial=st.booleans(),
    limit=st.none() | st.integers(1, 10**9),
    territories=st.lists(st.sampled_from(["EU", "DE", "US", "UK", "KR"]), max_size=3).map(tuple),
    territory=st.none() | st.sampled_from(["DE", "US", "GB", "CH", "EU"]),
    revenue=st.none() | st.integers(0, 2 * 10**9).map(Decimal),
    business=st.booleans(),
    yes=st.booleans(),
)
def test_a_yes_only_ever_removes_the_need_for_one(
    commercial: bool,
    limit: int | None,
    territories: tuple[str, ...],
    territory: str | None,
    revenue: Decimal | None,
    business: bool,
    yes: bool,
) -> None:
    terms = License(name="t", commercial=commercial, revenue_limit_usd=limit, excluded_territories=territories)
    user = {"commercial": business, "territory": territory, "revenue_usd": revenue}
    said = refusal(terms, accept_licenses=("T",) if yes else (), **user)
    required = (
        (business and not commercial)
        or (territory is not None and is_excluded(terms, territory))
        or (revenue is not None and limit is not None and revenue >= limit)
    )
    assert (said is None) == (not required and (yes or not terms.limits))


# --- through the router and the client


def offer(name: str, terms: License | None) -> dict[str, object]:
    row: dict[str, object] = {"id": f"acme/{name}", "modes": [{"tasks": ["text_to_video"], "durations": [5]}]}
    if terms is not None:
        row["license"] = {"name": terms.name, "revenue_limit_usd": terms.revenue_limit_usd}
    return row


def test_the_router_takes_a_limited_model_only_with_a_yes() -> None:
    table = {"source": "s", "as_of": date(2026, 11, 20), "models": [offer("free", FREE), offer("capped", CAPPED)]}
    catalog = Catalog(read_catalog(table, origin="test").models)
    facts = Facts(today=date(2026, 11, 21))
    request = vg.VideoRequest.make("a boat")
    found = route(request, Policy(allow_unknown_price=True), catalog, facts)
    assert [candidate.offer for candidate in found.candidates] == ["acme/free"]
    assert [(r.offer, r.reason) for r in found.rejected] == [("acme/capped", "licence")]
    named = route(request, Policy(models=("capped",), allow_unknown_price=True), catalog, facts)
    with pytest.raises(vg.NoRouteError, match="say accept_licenses='ltx-2-community'"):
        _ = named.chosen
    both = route(request, Policy(accept_licenses=("ltx-2-community",), allow_unknown_price=True), catalog, facts)
    assert {candidate.offer for candidate in both.candidates} == {"acme/capped", "acme/free"}


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """The sandbox, as if it were for research alone."""
    path = tmp_path / "catalog.toml"
    path.write_text('[override."sandbox/sandbox"]\nlicense = { name = "Research only", commercial = false }\n')
    return path


def test_estimating_needs_no_yes_and_generating_does(tmp_path: Path, catalog: Path) -> None:
    with vg.Client(home=tmp_path, catalog=catalog) as client:
        assert client.estimate("a boat", model="sandbox", duration=1).amount == 0
        assert client.check("a boat", model="sandbox", duration=1) == []
        with pytest.raises(vg.NoRouteError, match="accept_licenses='research-only'"):
            client.generate("a boat", model="sandbox", duration=1)
        assert client.jobs() == []  # nothing was begun
        chosen = client.route("a boat", model="sandbox", duration=1, accept_licenses=["Research only"]).chosen
        assert chosen.offer == "sandbox/sandbox"


@pytest.mark.parametrize("setting", ["research-only", "other, research-only", ("other", "Research Only")])
def test_the_settings_can_say_yes(tmp_path: Path, catalog: Path, setting: object) -> None:
    with vg.Client(home=tmp_path, catalog=catalog, accept_licenses=setting) as client:
        assert client.route("a boat", model="sandbox", duration=1).chosen.offer == "sandbox/sandbox"


def test_the_environment_can_say_yes(tmp_path: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOGEN_ACCEPT_LICENSES", "x,research-only")
    with vg.Client(home=tmp_path, catalog=catalog) as client:
        assert client.route("a boat", model="sandbox", duration=1).chosen.offer == "sandbox/sandbox"


def test_what_one_earns_is_no_negative_number(tmp_path: Path) -> None:
    with pytest.raises(vg.ConfigurationError, match="revenue_usd"):
        vg.Client(home=tmp_path, revenue_usd=-1)


def test_a_yes_is_a_name(tmp_path: Path) -> None:
    with vg.Client(home=tmp_path) as client, pytest.raises(vg.RequestError, match="accept_licenses"):
        client.route("a boat", model="sandbox", accept_licenses=[3])  # type: ignore[list-item]


def test_the_command_line_shows_the_limits_and_takes_the_yes(
    tmp_path: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path))
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(catalog))
    assert main(["models", "sandbox"]) == 0
    assert "Research only; no commercial use" in " ".join(capsys.readouterr().out.split())
    asked = ["route", "a boat", "-m", "sandbox", "-d", "1", "--json"]
    main(asked)
    assert "research-only" in capsys.readouterr().out
    assert main([*asked, "--accept-license", "research-only"]) == 0
