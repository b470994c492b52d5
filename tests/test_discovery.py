"""Models that no catalogue lists: asked for once, kept with their date, and then like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.lowlevel
import pytest

from vendor import Acme, offer
from videogen_core import (
    AsyncClient,
    Client,
    Context,
    MissingCredentialsError,
    ModelNotFoundError,
    ModelSpec,
    PluginError,
    ProviderUnavailableError,
    discovery,
)
from videogen_core.discovery import Discovery

pytestmark = pytest.mark.anyio
NAME = "acme/owner/new-1"


class Describing(Acme):
    """A vendor that describes its models; ``says`` is what, and ``names`` what it was asked for."""

    names: ClassVar[list[str]] = []
    says: ClassVar[Any] = None

    async def discover(self, name: str, context: Context) -> ModelSpec | None:
        self.names.append(name)
        await anyio.lowlevel.checkpoint()
        said = type(self).says
        if isinstance(said, BaseException):
            raise said
        return offer("acme", name, None) if said is None else said  # type: ignore[no-any-return]


class Nameless(Describing):
    async def discover(self, name: str, context: Context) -> ModelSpec | None:
        self.names.append(name)
        return None


class Locked(Describing):
    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        raise MissingCredentialsError("ACME_KEY is not set.")


@pytest.fixture(autouse=True)
def _forget() -> None:
    Describing.names.clear()
    Describing.says = None


def client(folder: Path, kind: type[Acme] = Describing, **changes: Any) -> Client:
    return Client(**{"home": folder / "home", "plugins": [kind(folder)], **changes})


def kept(folder: Path) -> Path:
    return folder / "home" / "discovered" / "acme" / "owner%2Fnew-1.json"


def test_it_is_asked_once_and_then_like_any_other(tmp_path: Path) -> None:
    with client(tmp_path) as videogen:
        (violation,) = videogen.check("a boat", model=NAME, duration=3)
        assert violation.field == "duration"
        quote = videogen.estimate("a boat", model=NAME, duration=2)
        assert (quote.known, quote.offer) == (False, NAME)
        assert videogen.route("a boat", model="ACME/owner/New-1").chosen.offer == NAME
    with client(tmp_path) as videogen:  # another process, say
        assert videogen.route("a boat", model=NAME).chosen.offer == NAME
    assert Describing.names == ["owner/new-1"]
    assert json.loads(kept(tmp_path).read_bytes())["spec"]["id"] == NAME


async def test_a_clip_is_made_and_its_job_resumed_by_another_process(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"home": tmp_path / "home"}
    async with AsyncClient(plugins=[Describing(tmp_path)], **arguments) as videogen:
        job = await videogen.submit("a boat", model=NAME, options={"acme": {"script": {}}})
    Describing.says = ProviderUnavailableError("no network")
    async with AsyncClient(plugins=[Describing(tmp_path)], **arguments) as videogen:
        (result,) = await videogen.resume()
    assert result.job_id == job.id  # type: ignore[union-attr]
    assert result.model == "owner/new-1"  # type: ignore[union-attr]


def test_nothing_else_asks(tmp_path: Path) -> None:
    with client(tmp_path) as videogen:
        videogen.models()
        videogen.route("a boat", model="acme/paper")
        videogen.route("a boat", model=["paper"])
        for name in ("owner/new-1", "new-1", "nobody/new-1", "acme/", "acme/" + "x" * 200):
            with pytest.raises(ModelNotFoundError):
                videogen.route("a boat", model=name)
    assert Describing.names == []


def test_a_name_among_others_is_asked_for(tmp_path: Path) -> None:
    with client(tmp_path) as videogen:
        route = videogen.route("a boat", model=["paper", NAME])
    assert [candidate.offer for candidate in route.candidates] == ["acme/paper", NAME]


def test_a_provider_that_cannot_be_asked_is_not(tmp_path: Path) -> None:
    with client(tmp_path, Acme) as videogen, pytest.raises(ModelNotFoundError):
        videogen.route("a boat", model=NAME)


def test_a_model_that_there_is_not_is_not_found(tmp_path: Path) -> None:
    with client(tmp_path, Nameless) as videogen:
        for _ in range(2):
            with pytest.raises(ModelNotFoundError, match="owner/new-1"):
                videogen.route("a boat", model=NAME)
    assert (Describing.names, kept(tmp_path).exists()) == (["owner/new-1"], False)


def test_what_the_provider_says_against_it_reaches_the_user(tmp_path: Path) -> None:
    Describing.says = ModelNotFoundError("owner/new-1 makes no videos.")
    with client(tmp_path) as videogen, pytest.raises(ModelNotFoundError, match="makes no videos"):
        videogen.route("a boat", model=NAME)


def test_without_a_key_the_user_is_told(tmp_path: Path) -> None:
    with (
        client(tmp_path, Locked) as videogen,
        pytest.raises(MissingCredentialsError, match=r"in no catalogue.*ACME_KEY"),
    ):
        videogen.check("a boat", model=NAME)
    assert Describing.names == []


@pytest.mark.parametrize("says", [ValueError("oops"), SystemExit(3), offer("acme", "another"), 7])
def test_a_plugin_that_breaks_is_named(tmp_path: Path, says: object) -> None:
    Describing.says = says
    with client(tmp_path) as videogen, pytest.raises(PluginError, match="'acme'"):
        videogen.route("a boat", model=NAME)


def test_a_provider_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(Describing):
        async def discover(self, name: str, context: Context) -> ModelSpec | None:
            await anyio.sleep_forever()

    monkeypatch.setattr(discovery, "_SECONDS", 0.05)
    with client(tmp_path, Silent) as videogen, pytest.raises(ProviderUnavailableError, match="did not say"):
        videogen.route("a boat", model=NAME)


# --- what is kept


def finder(folder: Path, age: timedelta) -> Discovery:
    """As a process that starts ``age`` later."""
    with client(folder) as videogen:
        registry = videogen.workspace.registry
    return Discovery(registry.settings, registry.plugins, now=lambda: datetime.now(UTC) + age)


def test_after_a_day_it_is_asked_again(tmp_path: Path) -> None:
    for age, times in ((timedelta(0), 1), (timedelta(hours=23), 1), (timedelta(hours=25), 2), (timedelta(days=-3), 3)):
        assert finder(tmp_path, age).find(NAME) is not None
        assert len(Describing.names) == times


def test_what_is_old_is_good_enough_while_it_cannot_be_asked(tmp_path: Path) -> None:
    first = finder(tmp_path, timedelta(0)).find(NAME)
    Describing.says = ProviderUnavailableError("no network")
    assert finder(tmp_path, timedelta(days=9)).find(NAME) == first
    kept(tmp_path).unlink()
    with pytest.raises(ProviderUnavailableError):
        finder(tmp_path, timedelta(0)).find(NAME)


@pytest.mark.parametrize("text", [b"", b"{}", b"{not json", b"[]"])
def test_a_file_that_is_damaged_is_made_anew(tmp_path: Path, text: bytes) -> None:
    finder(tmp_path, timedelta(0)).find(NAME)
    kept(tmp_path).write_bytes(text)
    assert finder(tmp_path, timedelta(0)).find(NAME) is not None
    assert len(Describing.names) == 2


def test_it_works_where_nothing_can_be_kept(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file in the way")
    found = finder(tmp_path, timedelta(0))
    assert found.find(NAME) is not None
    assert found.find(NAME) is not None
    assert len(Describing.names) == 1


# --- what the user says of it


def test_the_user_may_give_a_price_before_and_after_it_is_known(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'[aliases]\nmine = "{NAME}"\n[override."{NAME}"]\nprices = [{{ amount = 0.25 }}]\n')
    with client(tmp_path, catalog=path) as videogen:
        videogen.models()
        assert Describing.names == []
        assert videogen.estimate("a boat", model=NAME, duration=2).amount == Decimal("0.50")
        assert videogen.estimate("a boat", model="mine", duration=1, max_cost="0.25").amount == Decimal("0.25")
    assert Describing.names == ["owner/new-1"]


class Here(Describing):
    discovery_seconds: ClassVar[float] = 0.0


def test_one_that_answers_from_this_machine_is_always_asked_and_nothing_is_kept(tmp_path: Path) -> None:
    long = "acme/" + "folder/" * 60 + "x"
    with client(tmp_path, Here) as videogen:
        assert not videogen.estimate("a boat", model=NAME).known
        Here.says = offer("acme", "owner/new-1", "0.50")
        assert videogen.estimate("a boat", model=NAME, duration=2).low == Decimal("1.00"), "what it says now counts"
        Here.says = None
        assert not videogen.estimate("a boat", model=long).known
    assert len(Here.names) >= 3
    assert not (tmp_path / "home" / "discovered").exists()
