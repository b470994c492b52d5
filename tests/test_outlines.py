"""Rows that know what a model is called and costs, and not what it takes: their provider completes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest

from vendor import Acme, install, offer
from videogen_core import (
    AsyncClient,
    Client,
    ConfigurationError,
    Context,
    MissingCredentialsError,
    ModelNotFoundError,
    ModelSpec,
    NoRouteError,
    ProviderUnavailableError,
    Task,
)
from videogen_core.catalog import completed, parse_catalog
from videogen_core.cli import main
from videogen_core.pricing import unfit
from videogen_core.spec import _TAKEN, Latency, License, Lifecycle, Mode, Outline, Price, Stage, Tier

NAME = "acme/owner/new-1"
SURVEYED = date(2026, 9, 1)


def outline(name: str = "owner/new-1", **changes: Any) -> ModelSpec:
    facts: dict[str, Any] = {
        "model": "new-1",
        "title": "New 1",
        "maker": "Owner",
        "aliases": ("newest",),
        "tier": Tier.PREMIUM,
        "outline": Outline(tasks=(Task.TEXT_TO_VIDEO,), note="up to 4 s"),
        "latency": Latency(typical=0.2),
        "prices": (Price(amount=Decimal("0.30")),),
        "source": "a survey",
        "as_of": SURVEYED,
    }
    return ModelSpec(id=f"acme/{name}", **(facts | changes))


class Describing(Acme):
    """Describes whatever it is asked for; ``says`` is an error instead, or None for a model that is gone."""

    names: ClassVar[list[str]] = []
    says: ClassVar[Any] = ...

    async def discover(self, name: str, context: Context) -> ModelSpec | None:
        self.names.append(name)
        said = type(self).says
        if isinstance(said, BaseException):
            raise said
        return offer("acme", name, None, latency=None) if said is ... else said  # type: ignore[no-any-return]


class Locked(Describing):
    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        raise MissingCredentialsError("ACME_KEY is not set.", hint="Set it.")


@pytest.fixture(autouse=True)
def _forget() -> None:
    Describing.names.clear()
    Describing.says = ...


def client(folder: Path, *offers: ModelSpec, kind: type[Acme] = Describing, **changes: Any) -> Client:
    rows = offers or (outline(), offer("acme"))
    return Client(**{"home": folder / "home", "plugins": [kind(folder, offers=rows)], **changes})


# --- the row


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("outline = {}\nseed = 7", "an outline leaves seed for its provider to say"),
        ("outline = {}\ndefault = { duration = 4 }", "an outline leaves default"),
        ('outline = {}\n[[models.modes]]\ntasks = ["text_to_video"]', "an outline leaves modes"),
        ("outline = {}\nprices = [{ amount = 1, options = { draft = true } }]", "unknown option 'draft'"),
        ('outline = { seconds = "4" }', "unknown field `seconds`"),
        ('title = "x"', "at least one mode, or an outline"),
    ],
)
def test_a_row_says_what_it_knows_or_leaves_it(line: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse_catalog(f'source = "s"\nas_of = 2026-11-20\n[[models]]\nid = "acme/a"\n{line}\n', origin="here")


def test_completed_it_keeps_names_and_prices_with_where_they_were_read() -> None:
    live = offer("acme", "owner/new-1", "9.99", aliases=("owner/new-1",), title="owner/new-1")
    spec = completed(outline(), live)
    assert (spec.name, spec.title, spec.tier, spec.aliases) == ("new-1", "New 1", "premium", ("newest", "owner/new-1"))
    assert (spec.modes, spec.options, spec.outline) == (live.modes, live.options, None)
    assert (spec.source, spec.as_of) == (live.source, live.as_of)
    (price,) = spec.prices
    assert (price.amount, price.source, price.as_of) == (Decimal("0.30"), "a survey", SURVEYED)


def test_whatever_an_outline_may_say_is_kept() -> None:
    said: dict[str, Any] = {
        "lifecycle": Lifecycle(stage=Stage.PREVIEW),
        "license": License(name="MIT"),
        "first_party": True,
        "placeholder": True,
        "marks": ("SynthID",),
        "vendor": {"own": 1},
    }
    row = outline(**said, latency=Latency(typical=7))
    spec = completed(row, offer("acme", "owner/new-1", vendor={"live": 1}))
    free = set(row.__struct_fields__) - {*_TAKEN, "id", "source", "as_of", "outline", "aliases", "prices", "vendor"}
    assert {name for name in free if getattr(spec, name) != getattr(row, name)} == set()
    assert {name for name in free if getattr(row, name) == getattr(offer("acme"), name)} == set()  # all were tried
    assert spec.vendor == {"live": 1, "own": 1}


# --- from the name to a clip


def test_naming_it_has_it_completed_and_then_it_is_like_any_other(tmp_path: Path) -> None:
    with client(tmp_path) as videogen:
        (violation,) = videogen.check("a boat", model="newest", duration=3)
        assert violation.field == "duration"
        quote = videogen.estimate("a boat", model="new-1", duration=2)
        assert (quote.amount, quote.source, quote.as_of) == (Decimal("0.60"), "a survey", SURVEYED)
        assert videogen.route("a boat", model="ACME/new-1").chosen.offer == NAME
        result = videogen.generate("a boat", model=NAME, duration=1, options={"acme": {"script": {}}})
    assert (result.model, result.provider) == ("new-1", "acme")
    assert Describing.names == ["owner/new-1"]


def test_once_completed_it_counts_for_whoever_does_not_name_it(tmp_path: Path) -> None:
    with client(tmp_path, outline()) as videogen:
        refused = videogen.route("a boat").rejected[0]
        assert (refused.reason, Describing.names) == ("outline", [])
        assert f"naming {NAME}, with a key, has acme asked" in refused.message
        videogen.route("a boat", model=NAME)
        assert videogen.route("a boat").chosen.offer == NAME
    Describing.says = ProviderUnavailableError("no network")
    with client(tmp_path, outline()) as videogen:  # another process, say
        assert videogen.route("a boat").chosen.offer == NAME
    assert Describing.names == ["owner/new-1"]


def test_a_name_that_others_have_as_well_asks_nobody(tmp_path: Path) -> None:
    other = offer("acme", "another", model="new-1")
    with client(tmp_path, outline(), other) as videogen:
        route = videogen.route("a boat", model="new-1")
        assert route.chosen.offer == "acme/another"
        assert [(each.offer, each.reason) for each in route.rejected] == [(NAME, "outline")]
        assert videogen.check("a boat", model="new-1", duration=3)[0].field == "duration"
        assert Describing.names == []
        videogen.route("a boat", model=NAME)  # pinned
        assert len(videogen.route("a boat", model="new-1").candidates) == 2


def test_listing_and_filters(tmp_path: Path) -> None:
    with client(tmp_path) as videogen:

        def names(**filters: Any) -> set[str]:
            return {spec.name for spec in videogen.models(provider="acme", **filters)}

        assert names() == names(task="text_to_video") == {"new-1", "paper"}
        assert names(task="image_to_video") == set()
        assert names(task="text_to_video", duration=2) == names(ready=True) == {"paper"}
        assert names(ready=False) == {"new-1"}
    assert Describing.names == []


def test_a_whole_catalogue_is_routed_past_it(tmp_path: Path) -> None:
    """It has the standing of its neighbours, and comes first."""
    rows = (outline("a", tier=Tier.STANDARD), offer("acme", "b"))
    with client(tmp_path, *rows) as videogen:
        assert videogen.route("a boat").chosen.offer == "acme/b"


def test_options_of_a_model_that_is_not_known_are_not_judged(tmp_path: Path) -> None:
    with client(tmp_path, outline(), kind=Acme) as videogen:
        route = videogen.route("a boat", model=NAME, options={"acme": {"anything": 1}})
    assert [each.reason for each in route.rejected] == ["outline"]


# --- what can be in the way


def test_without_a_key_the_user_is_told_what_is_missing(tmp_path: Path) -> None:
    provider = Locked(tmp_path, offers=(outline(),))
    with Client(home=tmp_path / "home", plugins=[provider]) as videogen:
        asked: list[Any] = [videogen.check, videogen.estimate, videogen.route, videogen.generate]
        for ask in asked:
            with pytest.raises(MissingCredentialsError, match=rf"What {NAME} takes .*ACME_KEY is not set") as caught:
                ask("a boat", model=NAME)
            assert caught.value.hint == "Set it."
    assert (Describing.names, provider.asked) == ([], 0)


def test_a_model_that_is_gone_says_so_and_nothing_is_spent(tmp_path: Path) -> None:
    Describing.says = None
    provider = Describing(tmp_path, offers=(outline(),))
    with Client(home=tmp_path / "home", plugins=[provider]) as videogen:
        for ask in (videogen.route, videogen.generate):
            with pytest.raises(ModelNotFoundError, match="is in the catalogue, and acme has no model of that name"):
                ask("a boat", model=NAME)
    assert provider.asked == 0


def test_a_provider_that_describes_nothing_leaves_it_as_it_is(tmp_path: Path) -> None:
    with client(tmp_path, outline(), kind=Acme) as videogen:
        (violation,) = videogen.check("a boat", model=NAME)
        assert violation.field == "model"
        for ask in (videogen.estimate, videogen.submit, videogen.generate):
            with pytest.raises(NoRouteError, match="what it takes is not in the catalogue"):
                ask("a boat", model=NAME)


def test_what_was_said_before_will_do_while_it_cannot_be_asked(tmp_path: Path, monkeypatch: Any) -> None:
    with client(tmp_path) as videogen:
        videogen.route("a boat", model=NAME)
    monkeypatch.setattr(Describing, "discovery_seconds", 1e-9)
    Describing.says = ProviderUnavailableError("no network")
    with client(tmp_path) as videogen:
        assert videogen.route("a boat", model=NAME).chosen.offer == NAME
    assert len(Describing.names) == 2


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((outline(),), None),
        ((offer("acme"),), None),
        ((offer("acme"),), ModelNotFoundError("it makes no videos.")),
    ],
)
def test_a_job_is_finished_though_its_model_is_gone(
    tmp_path: Path, monkeypatch: Any, rows: tuple[ModelSpec, ...], says: Any
) -> None:
    """It was paid for. What is known of the model from before is enough to poll it and to fetch its clip."""

    async def submitted() -> str:
        async with AsyncClient(home=tmp_path / "home", plugins=[Describing(tmp_path, offers=rows)]) as videogen:
            return (await videogen.submit("a boat", model=NAME, options={"acme": {"script": {}}})).id

    job_id = asyncio.run(submitted())
    monkeypatch.setattr(Describing, "discovery_seconds", 1e-9)
    Describing.says = says
    with client(tmp_path, *rows) as videogen:
        with pytest.raises(ModelNotFoundError):
            videogen.route("a boat", model=NAME)
        (result,) = videogen.resume()
    assert not isinstance(result, BaseException), result
    assert (result.job_id, len(result.videos)) == (job_id, 1)


def test_one_that_is_gone_is_an_outline_again(tmp_path: Path, monkeypatch: Any) -> None:
    with client(tmp_path) as videogen:
        videogen.route("a boat", model=NAME)
    monkeypatch.setattr(Describing, "discovery_seconds", 1e-9)
    Describing.says = None
    with client(tmp_path) as videogen, pytest.raises(ModelNotFoundError):
        videogen.route("a boat", model=NAME)
    with client(tmp_path) as videogen:
        assert (NAME, "outline") in [(each.offer, each.reason) for each in videogen.route("a boat").rejected]


# --- prices


def test_a_price_that_does_not_fit_what_was_learned_is_unknown_and_that_is_said(tmp_path: Path) -> None:
    (mode,) = offer("acme").modes
    live = offer("acme", "owner/new-1", None)
    endless = Mode(tasks=mode.tasks, resolutions=mode.resolutions)
    for modes, price, says in (
        ((endless,), Price(amount=Decimal(1)), "how much of what is paid for"),
        ((mode,), Price(amount=Decimal(1), resolutions=("2k",)), "none for this request"),
        ((mode,), Price(amount=Decimal(1), audio=True), "none for this request"),
        ((mode,), Price(amount=Decimal(1), durations=(30.0,)), "none for this request"),
        ((mode,), Price(amount=Decimal(1), tasks=(Task.EDIT_VIDEO,)), "none for this request"),
    ):
        changes: dict[str, Any] = {"modes": modes} | ({} if mode in modes else {"default": type(live.default)()})
        Describing.says = type(live)(**({f: getattr(live, f) for f in live.__struct_fields__} | changes))
        row = outline(prices=(price,))
        assert [why for _, why in unfit(completed(row, Describing.says))]
        home = tmp_path / says.replace(" ", "-") / str(price.tasks) / str(price.audio) / str(price.durations)
        with client(tmp_path, row, home=home) as videogen:
            quote = videogen.estimate("a boat", model=NAME)
            assert (quote.amount, quote.known) == (None, False)
            assert says in quote.notes[0]
    fits = completed(outline(), live)
    assert list(unfit(fits)) == []


# --- what the user says of it


def test_the_user_may_price_it_or_complete_it_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[override."{NAME}"]\nprices = [{{ amount = 0.25 }}]\nseed = 7\n')
    with client(tmp_path, catalog=path) as videogen:
        assert {spec.name for spec in videogen.models()} >= {"new-1"}
        assert videogen.estimate("a boat", model=NAME, duration=2, seed=7).amount == Decimal("0.50")
    path.write_text(f'[override."{NAME}"]\nmodes = [{{ tasks = ["text_to_video"], durations = [3] }}]\n')
    Describing.names.clear()
    with client(tmp_path, catalog=path, home=tmp_path / "new") as videogen:
        assert videogen.estimate("a boat", model=NAME, duration=3).amount == Decimal("0.90")
    assert Describing.names == []


def test_an_outline_in_the_users_own_file_is_completed_as_well(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'source = "me"\nas_of = 2026-11-20\n[[models]]\nid = "acme/owner/own"\noutline = {}\n'
        "prices = [{ amount = 2 }]\n"
    )
    with client(tmp_path, catalog=path) as videogen:
        for _ in range(2):
            assert videogen.estimate("a boat", model="acme/owner/own", duration=1).amount == 2
    assert Describing.names == ["owner/own"]


# --- the commands


def test_it_is_listed_as_what_it_is(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, Locked(tmp_path, offers=(outline(), offer("acme"))))
    monkeypatch.setenv("COLUMNS", "150")
    assert main(["models", "--provider", "acme"]) == 0
    told = capsys.readouterr()
    (line,) = [line for line in told.out.splitlines() if line.startswith("new-1")]
    words = line.split()
    assert words[:2] == ["new-1", "acme"]
    assert words[words.index("text") + 1 :][:3] == ["?", "?", "?"]
    assert "$0.30" in line
    assert "What is not known (?)" in told.err
    assert main(["models", "new-1"]) == 0
    told = capsys.readouterr()
    assert "in outline only; text_to_video; up to 4 s" in told.out
    assert "ACME_KEY is not set" in told.err
    assert "seed" not in told.out
    assert main(["models", NAME, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert row["outline"] == {"tasks": ["text_to_video"], "note": "up to 4 s"}


def test_showing_it_completes_it(tmp_path: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, Describing(tmp_path, offers=(outline(), offer("acme"))))
    assert main(["models", "new-1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert (row["outline"], row["modes"][0]["durations"]) == (None, [1.0, 2.0, 4.0])
    assert main(["models", "--provider", "acme", "--json"]) == 0
    assert [row["outline"] for row in json.loads(capsys.readouterr().out)["models"]] == [None, None]
    assert Describing.names == ["owner/new-1"]
