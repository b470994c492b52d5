"""Extensions do what their hooks say, and nothing else: one that is wrong, slow or hostile is named and left out."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from vendor import Acme, AcmeSession, offer
from videogen_core import (
    AsyncClient,
    Candidate,
    Client,
    ContentPolicyError,
    Context,
    Event,
    JobStatus,
    ModelSpec,
    PluginError,
    Policy,
    ProviderJob,
    RequestError,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
    VideogenError,
    VideoRequest,
    extensions,
    hookimpl,
    sinks,
)

pytestmark = pytest.mark.anyio


class Prudish(Acme):
    """Blocks prompts that hold a word: ``forbidden`` when they are sent, ``doubtful`` later, and charges for that."""

    def connect(self, context: Context) -> Session:
        return PrudishSession(self)


class PrudishSession(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        if "forbidden" in call.request.prompt:
            (self.vendor.folder / f"{call.client_ref}.ask").touch()
            raise ContentPolicyError("The vendor does not like it.", accepted=False, charged=False)
        return await super().submit(call)

    async def poll(self, job: ProviderJob) -> Snapshot:
        if "doubtful" not in job.request.prompt:
            return await super().poll(job)
        error = ContentPolicyError("The vendor does not like what it has made.", charged=True)
        return Snapshot(status=JobStatus.FAILED, error=error, cost=Decimal("0.10"))


class Softly:
    """Rewrites what was blocked."""

    def __init__(self, **words: str) -> None:
        self.words = words
        self.asked: list[tuple[str, bool | None]] = []

    @hookimpl
    def videogen_rewrite_prompt(self, request: VideoRequest, error: ContentPolicyError) -> str | None:
        self.asked.append((request.prompt, error.charged))
        return " ".join(self.words.get(word, word) for word in request.prompt.split())


class House:
    """Has a style, and a rule."""

    @hookimpl
    def videogen_prepare(self, request: VideoRequest) -> Mapping[str, Any]:
        if "competitor" in request.prompt:
            raise RequestError("Our house shows no competitors.")
        return {"prompt": f"{request.prompt}, in blue", "duration": 2}


class Ranking:
    """Wants one offer first."""

    def __init__(self, *offers: str) -> None:
        self.offers = offers
        self.seen: list[tuple[str, ...]] = []

    @hookimpl
    def videogen_rank(self, candidates: Sequence[Candidate], policy: Policy) -> Sequence[str]:
        self.seen.append(tuple(candidate.offer for candidate in candidates))
        return list(self.offers)


class Listening:
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    @hookimpl
    def videogen_on_event(self, event: Event) -> None:
        self.heard.append(event)


class More:
    """Offers more."""

    def __init__(self, *specs: Any) -> None:
        self.specs = specs

    @hookimpl
    def videogen_models(self) -> Any:
        return list(self.specs)


def client(folder: Path, *plugins: object, **settings: Any) -> Client:
    return Client(**{"home": folder / "home", "plugins": plugins, **settings})


def faults(videogen: Client | AsyncClient) -> list[str]:
    return [fault for plugin in videogen.workspace.registry.plugins.extensions() for fault in plugin.faults]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extensions, "SECONDS", dict.fromkeys(extensions.SECONDS, 0.2))


# --- preparation ------------------------------------------------------------------------------------------------


def test_a_request_is_prepared_the_same_for_a_question_and_a_clip_and_that_is_told(tmp_path: Path) -> None:
    heard: list[Event] = []
    with client(tmp_path, Acme(tmp_path), House()) as videogen:
        assert videogen.estimate("a boat", model="paper").amount == Decimal("0.20")
        route = videogen.route("a boat", model="paper")
        assert route.chosen.request.prompt == "a boat, in blue"
        assert route.prepared == ("house has set prompt to 'a boat, in blue'", "house has set duration to 2.0")
        assert "house has set duration to 2.0." in route.explain()
        assert videogen.check("a boat", model="paper", duration=3) == []
        result = videogen.generate("a boat", model="paper", duration=1, on_event=heard.append)
        (job,) = videogen.jobs()
    assert [event.message for event in heard if event.type == "prepared"] == list(route.prepared)
    assert job.record.request.prompt == "a boat, in blue"
    assert result.changes[0] == {"field": "prompt", "asked": "a boat", "used": "a boat, in blue", "by": "house"}
    assert result.changes[1]["asked"] == 1.0
    assert result.cost == Decimal("0.20")


def test_an_extension_may_refuse_a_request_in_words(tmp_path: Path) -> None:
    acme = Acme(tmp_path)
    with client(tmp_path, acme, House()) as videogen:
        for call in (videogen.generate, videogen.estimate, videogen.route):
            with pytest.raises(RequestError, match="shows no competitors"):
                call("a competitor's boat", model="paper")
        assert videogen.jobs() == []
    assert acme.asked == 0


def test_extensions_prepare_one_after_the_other(tmp_path: Path) -> None:
    class A:
        @hookimpl
        def videogen_prepare(self, request: VideoRequest) -> dict[str, Any]:
            return {"prompt": request.prompt + " a"}

    class B(A):
        @hookimpl
        def videogen_prepare(self, request: VideoRequest) -> dict[str, Any]:
            return {"prompt": request.prompt + " b"}

    with client(tmp_path, Acme(tmp_path), B(), A()) as videogen:
        assert videogen.route("x", model="paper").chosen.request.prompt == "x a b"


def test_a_key_given_twice_is_one_job_whatever_prepares_it(tmp_path: Path) -> None:
    with client(tmp_path, Acme(tmp_path), House()) as videogen:
        first = videogen.submit("a boat", model="paper", idempotency_key="k")
        assert videogen.submit("a boat", model="paper", idempotency_key="k").id == first.id


# --- ranking ----------------------------------------------------------------------------------------------------


def three(folder: Path) -> list[Acme]:
    prices = {"a": "1", "b": "2", "c": "3"}
    return [Acme(folder, name=name, offers=(offer(name, "clip", price),)) for name, price in prices.items()]


def test_an_extension_orders_what_the_router_would_choose_from(tmp_path: Path) -> None:
    ranking = Ranking("c/clip")
    with client(tmp_path, *three(tmp_path), ranking) as videogen:
        route = videogen.route("a boat", prefer="cheapest")
        assert [candidate.offer for candidate in route.candidates] == ["c/clip", "a/clip", "b/clip"]
        assert route.chosen.offer == "c/clip"
        assert route.explain().endswith("Ranked by the plugin 'ranking'.")
        assert route.to_dict()["ranked_by"] == "ranking"
        assert ranking.seen == [("a/clip", "b/clip", "c/clip")]
        assert videogen.estimate("a boat").offer == "c/clip"
        assert videogen.route("a boat", max_cost=1).chosen.offer == "a/clip", "it lets in nothing that was refused"


def test_the_order_that_the_user_wrote_is_the_user_s(tmp_path: Path) -> None:
    ranking = Ranking("c/clip")
    with client(tmp_path, *three(tmp_path), ranking) as videogen:
        assert videogen.route("a boat", model=["b/clip", "c/clip"]).chosen.offer == "b/clip"
    assert ranking.seen == []


def test_placeholders_stay_last(tmp_path: Path) -> None:
    with client(tmp_path, Acme(tmp_path), Ranking("sandbox/sandbox"), sandbox=True) as videogen:
        assert [c.offer for c in videogen.route("a boat").candidates] == ["acme/paper", "sandbox/sandbox"]


# --- rewriting --------------------------------------------------------------------------------------------------


def test_a_block_before_anything_was_charged_is_asked_again_in_other_words(tmp_path: Path) -> None:
    heard: list[Event] = []
    acme, softly = Prudish(tmp_path), Softly(forbidden="stormy")
    with client(tmp_path, acme, softly) as videogen:
        result = videogen.generate("a forbidden sea", model="paper", rewrites=1, on_event=heard.append)
        (job,) = videogen.jobs()
        stored = [event.type for event in videogen.events(job.id)]
    (event,) = [event for event in heard if event.type == "rewritten"]
    assert "It was free" in event.message
    assert "softly has put the prompt in other words" in event.message
    assert "a new attempt that is paid for" in event.message
    assert event.data["by"] == "softly"
    assert stored.count("rewritten") == 1
    assert [a.request.prompt for a in result.attempts] == ["a forbidden sea", "a stormy sea"]
    assert [a.cost for a in result.attempts] == [Decimal(0), Decimal("0.10")]
    assert job.record.request.prompt == "a forbidden sea", "what the user has asked for stays on record"
    assert softly.asked == [("a forbidden sea", False)]


def test_a_block_that_was_charged_says_so_before_it_costs_again(tmp_path: Path) -> None:
    heard: list[Event] = []
    acme, softly = Prudish(tmp_path), Softly(doubtful="calm")
    with client(tmp_path, acme, softly) as videogen:
        result = videogen.generate("a doubtful sea", model="paper", rewrites=2, on_event=heard.append)
    (event,) = [event for event in heard if event.type == "rewritten"]
    assert "It cost $0.10" in event.message
    assert [a.cost for a in result.attempts] == [Decimal("0.10"), Decimal("0.10")]
    assert result.cost == Decimal("0.20")
    assert softly.asked == [("a doubtful sea", True)]


def test_rewriting_is_opt_in_and_bounded(tmp_path: Path) -> None:
    acme, softly = Prudish(tmp_path), Softly(sea="forbidden")
    with client(tmp_path, acme, softly) as videogen:
        with pytest.raises(ContentPolicyError):
            videogen.generate("a forbidden sea", model="paper")
        assert (acme.asked, softly.asked) == (1, [])
        softly.words = {"forbidden": "very forbidden"}
        with pytest.raises(ContentPolicyError):
            videogen.generate("a forbidden sea", model="paper", rewrites=3)
        assert (acme.asked, len(softly.asked)) == (1 + 4, 3)
        with pytest.raises(RequestError, match="rewrites: expected a number from 0 to 5"):
            videogen.generate("a boat", model="paper", rewrites=99)


def test_rewritten_attempts_stay_within_max_cost(tmp_path: Path) -> None:
    acme, softly = Prudish(tmp_path), Softly(doubtful="more doubtful")
    with client(tmp_path, acme, softly) as videogen:
        with pytest.raises(VideogenError):
            videogen.generate("a doubtful sea", model="paper", rewrites=5, max_cost="0.25")
        (job,) = videogen.jobs()
    assert [a.cost for a in job.record.attempts] == [Decimal("0.10"), Decimal("0.10")]


def test_what_nobody_can_do_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    acme = Prudish(tmp_path)
    with client(tmp_path, acme) as videogen, pytest.raises(RequestError, match="no extension that rewrites prompts"):
        videogen.generate("a boat", model="paper", rewrites=1)
    assert acme.asked == 0


def test_the_next_offer_gets_the_user_s_own_words(tmp_path: Path) -> None:
    prudish = Prudish(tmp_path, name="a", offers=(offer("a", "clip"),))
    softly = Softly(forbidden="rather forbidden")
    with client(tmp_path, prudish, Acme(tmp_path, name="b", offers=(offer("b", "clip"),)), softly) as videogen:
        models = ["a/clip", "b/clip"]
        result = videogen.generate("a forbidden sea", model=models, rewrites=1, fallback_on_policy=True)
    told = [(a.offer, a.request.prompt) for a in result.attempts]
    assert told == [("a/clip", "a forbidden sea"), ("a/clip", "a rather forbidden sea"), ("b/clip", "a forbidden sea")]


async def test_a_cancelled_wait_does_not_wait_for_a_slow_rewriter(tmp_path: Path) -> None:
    class Slow:
        @hookimpl
        def videogen_rewrite_prompt(self, request: VideoRequest) -> str:
            time.sleep(1.5)
            return "a boat"

    acme = Prudish(tmp_path)
    async with AsyncClient(home=tmp_path / "home", plugins=[acme, Slow()]) as videogen:
        began = time.monotonic()
        with anyio.move_on_after(0.5):
            await videogen.generate("a forbidden sea", model="paper", rewrites=1)
        assert time.monotonic() - began < 1.3
        (job,) = await videogen.jobs()
        assert (job.status, acme.asked) == ("created", 1)


# --- events -----------------------------------------------------------------------------------------------------


def test_a_sink_hears_all_of_every_job_and_no_prompt(tmp_path: Path) -> None:
    listening = Listening()
    told: list[Event] = []
    with client(tmp_path, Acme(tmp_path), listening) as videogen:
        videogen.generate("a secret boat", model="paper", on_event=told.append)
        job = videogen.submit("another", model="paper")
        job.wait()
    first = [event for event in listening.heard if event.job_id == told[0].job_id]
    assert [event.type for event in first] == [event.type for event in told]
    assert {event.job_id for event in listening.heard} == {told[0].job_id, job.id}
    assert "secret boat" not in str([event.to_dict() for event in listening.heard])


def test_a_sink_that_raises_or_exits_harms_nothing_and_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising:
        @hookimpl
        def videogen_on_event(self, event: Event) -> None:
            event.data["x"] = "mine"
            sys.exit("enough") if event.type == "created" else 1 / 0

    listening = Listening()
    with client(tmp_path, Acme(tmp_path), Raising(), listening) as videogen:
        assert videogen.generate("a boat", model="paper").path is not None
        videogen.generate("a boat", model="paper")
    named = [record.getMessage() for record in caplog.records if "raising" in record.getMessage()]
    assert len(named) == 2
    assert "SystemExit: enough" in named[0]
    assert all("x" not in event.data for event in listening.heard)


def test_a_sink_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "_CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(sinks, "_ROOM", 3)
    release = threading.Event()

    class Hanging:
        @hookimpl
        def videogen_on_event(self, event: Event) -> None:
            release.wait()

    try:
        with client(tmp_path, Acme(tmp_path), Hanging()) as videogen:
            assert videogen.generate("a boat", model="paper").path is not None
            assert ["too slow" in fault for fault in faults(videogen)] == [True]
            began = time.monotonic()
        assert time.monotonic() - began < 2
    finally:
        release.set()


# --- models and emulators ---------------------------------------------------------------------------------------


def test_an_extension_adds_offers_to_another_plugin_s_provider(tmp_path: Path) -> None:
    with client(tmp_path, Acme(tmp_path), More(offer("acme", "fine", "0.30"))) as videogen:
        assert [spec.id for spec in videogen.models(provider="acme")] == ["acme/fine", "acme/paper"]
        assert videogen.estimate(model="acme/fine").amount == Decimal("0.30")
        assert videogen.generate("a boat", model="acme/fine").cost == Decimal("0.30")


def test_an_extension_replaces_no_offer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    more = More(offer("acme", "paper", "0.01"), offer("nobody", "x"))
    with client(tmp_path, Acme(tmp_path), more) as videogen:
        assert videogen.estimate(model="acme/paper").amount == Decimal("0.10")
        route = videogen.route("a boat")
        assert [r.message for r in route.rejected if r.offer == "nobody/x"] == ["no plugin of that name is installed"]
    assert "the offer acme/paper is in its provider's own catalogue" in caplog.text


def test_an_emulator_of_somebody_else_s(tmp_path: Path) -> None:
    class Lending:
        @hookimpl
        def videogen_emulator(self, provider: str) -> str | None:
            return "acme.emulator:Acme" if provider == "acme" else None

    with client(tmp_path, Acme(tmp_path), Lending()) as videogen:
        found = videogen.workspace.registry.extensions
        assert (found.emulator("acme"), found.emulator("other")) == ("acme.emulator:Acme", "")


# --- wrong ones -------------------------------------------------------------------------------------------------


def endless() -> Iterator[ModelSpec]:
    while True:
        yield offer("acme", "again")


def crooked() -> ModelSpec:
    return msgspec.structs.replace(offer("acme", "crooked"), image=float("nan"))  # type: ignore[arg-type]


WRONG: dict[str, tuple[str, Callable[..., Any], str]] = {
    "prepare raises": ("videogen_prepare", lambda request: 1 / 0, "ZeroDivisionError"),
    "prepare exits": ("videogen_prepare", lambda request: sys.exit(3), "SystemExit: 3"),
    "prepare hangs": ("videogen_prepare", lambda request: time.sleep(1), "took more than 0.2 s"),
    "prepare returns a number": ("videogen_prepare", lambda request: 7, "7 is no mapping"),
    "prepare returns a request": ("videogen_prepare", lambda request: request, "is no mapping"),
    "prepare knows no such field": ("videogen_prepare", lambda request: {"model": "x"}, "'model' is no field"),
    "prepare returns nan": ("videogen_prepare", lambda request: {"duration": float("nan")}, "duration"),
    "prepare returns a wrong type": ("videogen_prepare", lambda request: {"options": 3}, "options"),
    "prepare is huge": ("videogen_prepare", lambda request: {"prompt": "x" * 10_000_000}, "prompt"),
    "rank raises": ("videogen_rank", lambda candidates: 1 / 0, "ZeroDivisionError"),
    "rank hangs": ("videogen_rank", lambda candidates: time.sleep(1), "took more than 0.2 s"),
    "rank returns text": ("videogen_rank", lambda candidates: "c/clip", "is no list of offers"),
    "rank invents": ("videogen_rank", lambda candidates: ["d/clip"], "'d/clip' is none of the candidates"),
    "rank returns specs": ("videogen_rank", lambda candidates: list(candidates), "is none of the candidates"),
    "rank is huge": ("videogen_rank", lambda candidates: ["a/clip"] * 10_000, "is no list of offers"),
    "models raise": ("videogen_models", lambda: 1 / 0, "ZeroDivisionError"),
    "models hang": ("videogen_models", lambda: time.sleep(1), "took more than 0.2 s"),
    "models are endless": ("videogen_models", endless, "more than 20000 models"),
    "models are none": ("videogen_models", lambda: ["x"], "no ModelSpec"),
    "models are crooked": ("videogen_models", lambda: [crooked()], "not sound"),
}


@pytest.mark.usefixtures("_impatient")
@pytest.mark.promise("T10", "G2")
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_extension_is_named_and_changes_nothing(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "models are endless":  # counting them takes a moment
        monkeypatch.setitem(extensions.SECONDS, "videogen_models", 20.0)
    hook, function, says = WRONG[what]
    wrong = type("Wrong", (), {hook: staticmethod(hookimpl(function))})()
    with client(tmp_path, *three(tmp_path), wrong) as videogen:
        route = videogen.route("a boat", prefer="cheapest", duration=1)
        assert [candidate.offer for candidate in route.candidates] == ["a/clip", "b/clip", "c/clip"]
        assert route.chosen.request.prompt == "a boat"
        assert says in "".join(faults(videogen))
        began = time.monotonic()
        videogen.route("a boat", prefer="cheapest", duration=1)
        assert time.monotonic() - began < 0.15 or "hang" not in what, "one that has hung is not asked again"
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith("The plugin 'wrong' (passed in) was left out: ")
    assert "VIDEOGEN_PLUGINS=-wrong blocks it" in told[0]


@pytest.mark.usefixtures("_impatient")
@pytest.mark.promise("T10")
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: time.sleep(1), "took more than"),
        (lambda: 7, "is no prompt"),
        (lambda: "  ", "is no prompt"),
        (lambda: "x" * 600_001, "is no prompt"),
    ],
)
def test_a_wrong_rewriter_leaves_the_block_as_it_is(tmp_path: Path, answer: Callable[[], Any], says: str) -> None:
    class Wrong:
        @hookimpl
        def videogen_rewrite_prompt(self, request: VideoRequest) -> Any:
            return answer()

    acme = Prudish(tmp_path)
    with client(tmp_path, acme, Wrong()) as videogen:
        with pytest.raises(ContentPolicyError):
            videogen.generate("a forbidden sea", model="paper", rewrites=5)
        assert says in "".join(faults(videogen))
    assert acme.asked == 1


@pytest.mark.promise("T10", "G2")
def test_nothing_of_ours_can_be_changed_through_what_is_given(tmp_path: Path) -> None:
    class Vandal:
        @hookimpl
        def videogen_prepare(self, request: VideoRequest) -> None:
            request.options["a"]["script"]["polls"] = 99

        @hookimpl
        def videogen_rank(self, candidates: Sequence[Candidate], policy: Policy) -> None:
            candidates[0].spec.options.clear()
            policy.tags["x"] = "y"

    with client(tmp_path, *three(tmp_path), Vandal()) as videogen:
        script = {"a": {"script": {"polls": 1}}}
        route = videogen.route("a boat", options=script)
        assert route.request.options == script
        assert all(candidate.spec.options for candidate in route.candidates)
        assert route.policy.tags == {}


def test_what_is_no_extension_is_refused_at_once(tmp_path: Path) -> None:
    for nothing in ("acme", 7, object()):
        with pytest.raises(PluginError, match="implements no hook"):
            client(tmp_path, nothing)

    class Misspelt:
        @hookimpl
        def videogen_ranks(self, candidates: Any) -> None: ...

    with pytest.raises(PluginError, match="videogen_ranks"):
        client(tmp_path, Misspelt())

    class Greedy:
        @hookimpl
        def videogen_rank(self, candidates: Any, ledger: Any) -> None: ...

    with pytest.raises(PluginError, match="ledger"):
        client(tmp_path, Greedy())

    class Tomorrow(Listening):
        plugin_api = 3

    with pytest.raises(PluginError, match="newer than this core's"):
        client(tmp_path, Tomorrow())
    with pytest.raises(PluginError, match="Two extensions named 'listening'"):
        client(tmp_path, Listening(), Listening())
