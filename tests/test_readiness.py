"""A provider that is ready may have offers that are not: each is told apart, wherever readiness is looked at."""

from __future__ import annotations

import importlib.metadata
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import videogen_core.plugins
from test_cli import Run, here, run
from vendor import Acme, offer
from videogen_core import Client, MissingCredentialsError, ModelSpec, NoRouteError, Provider, VideogenError
from videogen_core.catalog import Catalog
from videogen_core.registry import Registry
from videogen_core.settings import load_settings

__all__ = ["here", "run"]  # fixtures

NO_KEY = "ACME_PRO_KEY is not set; acme/paper works without it."


class Picky(Acme):
    """Acme, some of whose offers are asked about: by default, those named ``pro`` want another key."""

    def __init__(self, folder: Path, check: Callable[[ModelSpec], None] | None = None, **known: Any) -> None:
        offers = tuple(offer("acme", name) for name in ("paper", "pro", "pro-max"))
        super().__init__(folder, **({"offers": offers} | known))
        self.check = check or self._wants_a_key
        self.asked_about: list[str] = []
        self.given: dict[str, Any] = {}

    @staticmethod
    def _wants_a_key(spec: ModelSpec) -> None:
        if spec.name.startswith("pro"):
            raise MissingCredentialsError(NO_KEY)

    def check_offer(self, spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.asked_about.append(spec.id)
        self.given = {"environment": environment, "settings": settings}
        self.check(spec)


def client(tmp_path: Path, *plugins: Provider, **changes: Any) -> Client:
    return Client(home=tmp_path / "home", plugins=plugins, **changes)


def registry(tmp_path: Path, *providers: Provider, **settings: Any) -> Registry:
    return Registry(load_settings(home=tmp_path / "home", **settings), extra=providers)


def ids(offers: list[ModelSpec]) -> list[str]:
    return [spec.id for spec in offers]


# --- in Python --------------------------------------------------------------------------------------------------


def test_an_offer_is_not_ready_and_the_others_of_its_provider_are(tmp_path: Path) -> None:
    with client(tmp_path, Picky(tmp_path)) as videogen:
        assert ids(videogen.models(ready=True)) == ["acme/paper", "sandbox/sandbox"]
        assert ids(videogen.models(ready=False)) == ["acme/pro", "acme/pro-max"]
        assert len(videogen.models()) == 4
        for models in ((), ("paper", "pro", "pro-max")):
            route = videogen.route("a boat", model=models or None)
            assert [candidate.offer for candidate in route.candidates] == ["acme/paper"]
            refused = {
                rejection.offer: rejection for rejection in route.rejected if rejection.offer != "sandbox/sandbox"
            }
            assert {name: r.reason for name, r in refused.items()} == dict.fromkeys(
                ("acme/pro", "acme/pro-max"), "not_ready"
            )
            assert refused["acme/pro"].message == NO_KEY
            assert f"not_ready: {NO_KEY}" in route.explain()


def test_a_pinned_offer_that_is_not_ready_says_why(tmp_path: Path) -> None:
    vendor = Picky(tmp_path)
    with client(tmp_path, vendor) as videogen:
        with pytest.raises(NoRouteError, match="ACME_PRO_KEY is not set") as caught:
            videogen.generate("a boat", model="acme/pro")
        assert "videogen doctor" in (caught.value.hint or "")
        assert videogen.generate("a boat", model="acme/paper").model == "paper"
    assert len(vendor.creates) == 1


def test_a_price_is_told_without_the_key(tmp_path: Path) -> None:
    with client(tmp_path, Picky(tmp_path)) as videogen:
        assert str(videogen.estimate("a boat", model="acme/pro", duration=2)) == "$0.20"
        assert videogen.check("a boat", model="acme/pro", duration=2) == []
    dear = tuple(offer("acme", name, price) for name, price in (("paper", "0.90"), ("pro", "0.10")))
    with client(tmp_path, Picky(tmp_path, offers=dear)) as videogen:
        assert str(videogen.estimate("a boat", prefer="cheapest", duration=1)) == "$0.10", "ready or not"
        assert videogen.route("a boat", prefer="cheapest", duration=1).chosen.offer == "acme/paper"


def test_a_chain_leaves_out_what_is_not_ready(tmp_path: Path) -> None:
    with client(tmp_path, Picky(tmp_path)) as videogen:
        job = videogen.submit("a boat", model=["acme/pro", "acme/paper"])
        assert job.wait().attempts[0].offer == "acme/paper"


@pytest.mark.promise("G1")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
        (SystemExit(3), "SystemExit"),
        (KeyError("https://acme.example/v1?key=canary"), "KeyError"),
        (VideogenError(""), "VideogenError"),
        (MissingCredentialsError(""), "MissingCredentialsError"),
    ],
)
def test_a_check_that_breaks_takes_no_other_offer_down(tmp_path: Path, error: BaseException, words: str) -> None:
    def check(spec: ModelSpec) -> None:
        if spec.name == "pro":
            raise error

    with client(tmp_path, Picky(tmp_path, check)) as videogen:
        route = videogen.route("a boat")
        assert [candidate.offer for candidate in route.candidates] == ["acme/paper", "acme/pro-max"]
        (refused,) = (rejection for rejection in route.rejected if rejection.offer == "acme/pro")
        assert (refused.reason, words in refused.message) == ("not_ready", True)
        assert "canary" not in refused.message


def test_it_is_asked_with_the_settings_of_its_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PRO_KEY", "sk-1")
    vendor = Picky(tmp_path, check=lambda spec: None)
    assert registry(tmp_path, vendor, providers={"acme": {"tier": "pro"}}).not_ready(Catalog(vendor.models())) == {}
    assert vendor.given["environment"]["ACME_PRO_KEY"] == "sk-1"
    assert vendor.given["settings"] == {"tier": "pro"}


def test_only_providers_that_are_ready_and_have_a_rule_are_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A catalogue may have ten thousand offers, and most plugins need one key."""

    def never(self: Provider, *given: object) -> None:
        raise AssertionError("the default answer was asked for")

    monkeypatch.setattr(Provider, "check_offer", never)
    many = tuple(msgspec.structs.replace(offer("zenith"), id=f"zenith/m{number}") for number in range(10_000))
    picky, plain = Picky(tmp_path), Acme(tmp_path, name="zenith", offers=many)
    found = registry(tmp_path, picky, plain)
    catalog = found.catalog()
    assert found.not_ready(catalog) == {"acme/pro": NO_KEY, "acme/pro-max": NO_KEY}
    assert picky.asked_about == ["acme/paper", "acme/pro", "acme/pro-max"], "each once, and nobody else's"
    assert found.not_ready().keys() == set(), "without a catalogue no offer is in question"

    away = Picky(tmp_path)
    keyless = registry(tmp_path, away, providers={"acme": {"key": "missing"}})
    assert keyless.not_ready(keyless.catalog()) == {"acme": "ACME_KEY is not set."}
    assert away.asked_about == []


def test_an_offer_of_the_user_s_own_file_is_asked_about_too(tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text(
        'source = "me"\nas_of = 2026-11-01\n[[models]]\nid = "acme/pro-mine"\n'
        'modes = [{ tasks = ["text_to_video"], durations = [1] }]\n'
    )
    with client(tmp_path, Picky(tmp_path), catalog=tmp_path / "more.toml") as videogen:
        assert ids(videogen.models(ready=False)) == ["acme/pro", "acme/pro-max", "acme/pro-mine"]


# --- on the command line ----------------------------------------------------------------------------------------

PLUGIN = """
    from datetime import date
    from videogen_core import MissingCredentialsError, Mode, ModelSpec, Provider, Session, Task, hookimpl

    class Acme(Provider):
        name, setup = "acme", "Set ACME_KEY."

        def models(self):
            modes = (Mode(tasks=(Task.TEXT_TO_VIDEO,), durations=(4.0,)),)
            return tuple(
                ModelSpec(id=f"acme/{name}", modes=modes, source="a test", as_of=date(2026, 11, 20))
                for name in ("card", "pro", "pro-max", "relic")
            )

        def check_offer(self, spec, environment, settings):
            if spec.name.startswith("pro") and "ACME_PRO_KEY" not in environment:
                raise MissingCredentialsError("ACME_PRO_KEY is not set.")
            if spec.name == "relic" or "ACME_DOWN" in environment:
                raise ValueError("it was dug up")

        def connect(self, context): raise AssertionError

    @hookimpl
    def videogen_provider(): return Acme()
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installed beside the sandbox."""
    (tmp_path / "picky_acme.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("acme", "picky_acme", videogen_core.plugins.GROUP)
    installed = (*videogen_core.plugins._entry_points(), point)
    monkeypatch.setattr(videogen_core.plugins, "_entry_points", lambda: installed)
    yield
    sys.modules.pop("picky_acme", None)


@pytest.mark.usefixtures("acme")
def test_the_table_has_one_remark_for_all_that_lack_the_same(run: Run) -> None:
    answer = run("models")
    ready = {line.split()[0]: line.split()[-1] for line in answer.out.splitlines() if " acme " in line}
    assert ready == {"card": "yes", "pro": "no", "pro-max": "no", "relic": "no"}
    remarks = [line for line in answer.err.splitlines() if "not ready" in line]
    assert remarks == [
        "acme/pro, acme/pro-max are not ready: ACME_PRO_KEY is not set.",
        "acme/relic is not ready: its readiness check failed: ValueError: it was dug up",
    ]
    one = run("models", "--provider", "sandbox")
    assert "not ready" not in one.err, "only what is shown is remarked on"


@pytest.mark.usefixtures("acme")
def test_filters_card_and_json(run: Run) -> None:
    assert "acme/pro" not in {row["id"] for row in run("models", "--ready", "--json").json["models"]}
    assert {row["id"] for row in run("models", "--not-ready", "--json").json["models"]} == {
        "acme/pro", "acme/pro-max", "acme/relic",
    }  # fmt: skip
    reasons = run("models", "--json").json["not_ready"]
    assert reasons.keys() == {"acme/pro", "acme/pro-max", "acme/relic"}
    assert reasons["acme/pro"] == "ACME_PRO_KEY is not set."

    def card(name: str) -> str:
        (line,) = (line for line in run("models", name).out.splitlines() if line.startswith("ready"))
        return " ".join(line.split()[1:])

    assert card("acme/card") == "yes"
    assert card("acme/pro") == "no: ACME_PRO_KEY is not set."


@pytest.mark.usefixtures("acme")
def test_a_provider_none_of_whose_offers_is_ready_is_as_good_as_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "would make a placeholder" not in run("route").err
    monkeypatch.setenv("ACME_DOWN", "1")
    said = run("route").err
    assert "would make a placeholder" in said
    assert "acme/pro, acme/pro-max: ACME_PRO_KEY is not set." in said
