"""Out of unknown: what proves that a create was refused, accepted or lost, for a vendor of each class; or a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import rig
from history import History, check, gather
from rig import REF, STRANGER
from videogen_core import (
    AsyncClient,
    AsyncJob,
    ContentPolicyError,
    ProviderError,
    RateLimitError,
    Recovery,
    RequestError,
    SubmissionUnknownError,
    VideogenError,
)
from videogen_core.testing import Fault, Script, ServerProcess, serve_process

pytestmark = pytest.mark.anyio
PROOF = 0.5
"""Seconds in the place of the minute for which absence must last."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def vendor() -> Iterator[ServerProcess]:
    with serve_process("phoenix:PhoenixEmulator") as found:
        yield found


@pytest.fixture
def acme(vendor: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    vendor.reset()
    vendor.change(kind="N", list_lag=0.0, key_lifetime=86_400.0)
    vendor.script_all(Script(polls=1, times=None))
    rig.hurry(monkeypatch, proof=PROOF)
    return vendor


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def client(home: Path, acme: ServerProcess, kind: str = "N", lag: float = 0.0, **changes: Any) -> AsyncClient:
    acme.change(kind=kind, list_lag=lag)
    return rig.client(home, acme.url, kind=kind, list_lag=lag, **{"submit_timeout": 1.0, **changes})


def history(home: Path, acme: ServerProcess, kind: str = "N") -> History:
    return check(str(home / "ledger.db"), acme, kind)


def kinds(found: History) -> list[str]:
    (events,) = found.events.values()
    return [event.type for event in events]


async def make(videogen: AsyncClient, prompt: str = "boat", **changes: Any) -> Any:
    return await videogen.generate(prompt, model="paper", timeout=20, **changes)


async def lose(videogen: AsyncClient, acme: ServerProcess, *, accepted: bool = True, prompt: str = "boat") -> AsyncJob:
    """A job whose create got no answer."""
    acme.inject(Fault("reset", on="create", at="after" if accepted else "before"))
    with pytest.raises(SubmissionUnknownError) as caught:
        await make(videogen, prompt)
    job = await videogen.job(caught.value.job_id or "")
    assert (job.status, job.money) == ("unknown", "held")
    return job


async def past_us(acme: ServerProcess, **body: Any) -> str:
    """A job that somebody else makes with the same key; returns its id."""
    asked = {"model": "paper", "prompt": "boat", "seconds": 1, "size": "320x180", "fps": 8, "audio": False, "n": 1}
    asked |= {"style": "plain", "priority": False, **body}
    async with httpx.AsyncClient(headers={"authorization": "Bearer test-key", REF: STRANGER}) as http:
        answer = await http.post(f"{acme.url}/v1/videos", json=asked)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    return found


# --- S4: what an answer to a create proves

REFUSED = {400: "failed", 401: "failed", 402: "failed", 403: "failed", 404: "failed", 405: "failed", 413: "failed",
           415: "failed", 422: "failed", 429: "succeeded"}  # fmt: skip
UNKNOWN = (301, 302, 307, 308, 408, 409, 425, 500, 501, 502, 503, 504, 520)


@pytest.mark.promise("S4")
@pytest.mark.parametrize("status", REFUSED)
async def test_a_refusal_releases_the_money(acme: ServerProcess, home: Path, status: int) -> None:
    acme.inject(Fault("status", status=status, on="create", at="before", retry_after="0" if status == 429 else None))
    async with client(home, acme) as videogen:
        if REFUSED[status] == "succeeded":
            await make(videogen)
        else:
            with pytest.raises(ProviderError) as caught:
                await make(videogen)
            assert caught.value.status_code == status
    found = history(home, acme)
    (job,) = found.jobs
    assert job.status == REFUSED[status]
    assert job.attempts[0].money == "released"
    assert len(found.creates) == (2 if status == 429 else 1)


@pytest.mark.promise("S4")
@pytest.mark.parametrize("at", ["before", "after"])
@pytest.mark.parametrize("status", UNKNOWN)
async def test_any_other_answer_leaves_it_open(acme: ServerProcess, home: Path, status: int, at: Any) -> None:
    acme.inject(Fault("status", status=status, on="create", at=at, retry_after="0"))
    async with client(home, acme) as videogen:
        with pytest.raises(SubmissionUnknownError, match="not sent again"):
            await make(videogen)
        answers = await videogen.resume()
    assert isinstance(answers[0], SubmissionUnknownError)
    found = history(home, acme)
    assert [(job.status, job.money) for job in found.jobs] == [("unknown", "held")]
    assert len(found.creates) == 1


@pytest.mark.promise("S4", "T23")
async def test_what_never_reached_the_vendor_was_refused(acme: ServerProcess, home: Path) -> None:
    nowhere = rig.client(home, "http://127.0.0.1:9", patience=0.01)
    async with nowhere as videogen:
        with pytest.raises(VideogenError, match="refused"):
            await make(videogen)
        (job,) = await videogen.jobs()
    assert (job.status, job.money) == ("failed", "released")


ONE_POST = {
    "reset": Fault("reset", on="create"),
    "timeout": Fault("hang", on="create", seconds=3),
    "500": Fault("status", status=500, on="create"),
    "504": Fault("status", status=504, on="create", body="html"),
    "429 after all": Fault("status", status=503, on="create", retry_after="0"),
}


@pytest.mark.promise("T23", "S1")
@pytest.mark.parametrize("fault", ONE_POST)
async def test_one_create_is_one_post(acme: ServerProcess, home: Path, fault: str) -> None:
    acme.inject(ONE_POST[fault])
    async with client(home, acme, submit_timeout=0.3) as videogen:
        with pytest.raises(SubmissionUnknownError):
            await make(videogen)
        await videogen.resume()
    assert acme.count("create") == 1


# --- class A: the same key again


@pytest.mark.promise("S5", "S1")
async def test_the_same_key_is_the_same_job(acme: ServerProcess, home: Path) -> None:
    acme.inject(Fault("reset", on="create"))
    async with client(home, acme, "A") as videogen:
        assert (await make(videogen)).path is not None
    found = history(home, acme, "A")
    assert kinds(found)[:5] == ["created", "submitting", "unknown", "submitting", "accepted"]
    assert (len(found.creates), len(found.made)) == (2, 1)
    assert len({entry.headers["idempotency-key"] for entry in found.creates}) == 1


@pytest.mark.promise("S5", "S1")
@pytest.mark.parametrize("status", [400, 403, 409, 429])
async def test_a_refusal_of_the_second_proves_nothing_of_the_first(
    acme: ServerProcess, home: Path, status: int
) -> None:
    acme.inject(Fault("reset", on="create"))
    acme.inject(Fault("status", status=status, on="create", at="before", times=None, retry_after="0"))
    async with client(home, acme, "A") as videogen:
        with pytest.raises(SubmissionUnknownError):
            await make(videogen)
        (job,) = await videogen.jobs()
        assert (job.status, job.money) == ("unknown", "held")
        acme.calm()
        assert (await job.wait(10)).path is not None
    found = history(home, acme, "A")
    assert len(found.made) == 1


@pytest.mark.promise("S5")
async def test_after_the_retention_of_its_keys_it_is_sent_no_more(
    acme: ServerProcess, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acme.plugin._KEY_SECONDS", 0.2)
    acme.inject(Fault("reset", on="create"))
    acme.inject(Fault("status", status=503, on="create", at="before", times=None))
    async with client(home, acme, "A") as videogen:
        with pytest.raises(SubmissionUnknownError):
            await make(videogen)
        acme.calm()
        await asyncio.sleep(0.2)
        sent = acme.count("create")
        (answer,) = await videogen.resume()
    assert isinstance(answer, SubmissionUnknownError)
    assert acme.count("create") == sent
    assert [job.status for job in history(home, acme, "A").jobs] == ["unknown"]


# --- class B: our own id


@pytest.mark.promise("S5")
async def test_our_own_id_finds_it_once_it_shows(acme: ServerProcess, home: Path) -> None:
    acme.inject(Fault("reset", on="create"))
    async with client(home, acme, "B", lag=0.4) as videogen:
        assert (await make(videogen)).path is not None
    found = history(home, acme, "B")
    assert "absent" in kinds(found), "it was looked for before it showed"
    assert (len(found.creates), len(found.made)) == (1, 1)


@pytest.mark.promise("S5")
async def test_absent_twice_and_for_long_enough_is_proof(acme: ServerProcess, home: Path) -> None:
    acme.inject(Fault("reset", on="create", at="before"))
    start = time.monotonic()
    async with client(home, acme, "B", lag=0.3, submit_timeout=1.5) as videogen:
        assert (await make(videogen)).path is not None
    took = time.monotonic() - start
    found = history(home, acme, "B")
    assert took >= 1.5 + 0.3 + PROOF, "it was sent again before that was proven"
    assert kinds(found).count("absent") >= 2
    assert (len(found.creates), len(found.made)) == (2, 1)
    first, second = found.jobs[0].attempts
    assert (first.money, second.money) == ("released", "settled")
    assert first.client_ref != second.client_ref


@pytest.mark.promise("S5")
async def test_absent_once_proves_nothing(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme, "B", lag=6.0) as videogen:  # it does not show for a while
        acme.inject(Fault("reset", on="create"))
        with pytest.raises(VideogenError):
            await videogen.generate("boat", model="paper", timeout=1.2)
        (job,) = await videogen.jobs()
    assert job.status == "unknown"
    assert acme.count("create") == 1
    assert acme.count("list") >= 2


@pytest.mark.promise("S5", "T4")
@pytest.mark.parametrize("what", ["status", "html", "empty", "invalid_json", "reset"])
async def test_a_search_that_fails_is_no_absence(acme: ServerProcess, home: Path, what: Any) -> None:
    acme.inject(Fault("reset", on="create"))
    acme.inject(Fault(what, on="list", times=4))
    async with client(home, acme, "B", submit_timeout=0.3) as videogen:
        assert (await make(videogen)).path is not None
    found = history(home, acme, "B")
    assert "absent" not in kinds(found)
    assert (len(found.creates), len(found.made)) == (1, 1)


# --- class C: a list that tells the inputs


@pytest.mark.promise("S5")
async def test_the_only_match_in_a_list_is_taken(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme, "C", lag=0.3) as videogen:
        await past_us(acme, prompt="another boat")
        await past_us(acme, seed=7)
        acme.inject(Fault("reset", on="create"))
        assert (await make(videogen)).path is not None
    found = history(home, acme, "C")
    assert (len(found.creates), len(found.made)) == (3, 3)


@pytest.mark.promise("S5")
async def test_an_empty_list_authorises_nothing(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme, "C") as videogen:
        await lose(videogen, acme, accepted=False)
        for _ in range(3):
            (answer,) = await videogen.resume()
            assert isinstance(answer, SubmissionUnknownError)
    assert acme.count("create") == 1
    assert "absent" not in kinds(history(home, acme, "C"))


@pytest.mark.promise("S5")
async def test_of_two_matches_none_is_taken(acme: ServerProcess, home: Path) -> None:
    twin = await past_us(acme)
    async with client(home, acme, "C") as videogen:
        acme.inject(Fault("reset", on="create"))
        with pytest.raises(SubmissionUnknownError) as caught:
            await make(videogen)
        mine = next(job["id"] for job in acme.jobs() if job["id"] != twin)
        assert twin in str(caught.value)
        assert mine in str(caught.value), "a person is told which it may be"
        (job,) = await videogen.jobs()
        await job.settle(attach=mine)
        assert (await job.wait(10)).path is not None
    history(home, acme, "C")


@pytest.mark.promise("S5", "S3")
async def test_a_match_that_another_job_of_ours_has_is_not_taken(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme, "C") as videogen:
        assert (await make(videogen)).path is not None  # the same inputs, and it has its id
        job = await lose(videogen, acme, accepted=False)
        theirs = next(row["id"] for row in acme.jobs())
        with pytest.raises(RequestError, match="another job"):
            await job.settle(attach=theirs)
    assert len(gather(str(home / "ledger.db"), acme, "C").made) == 1


@pytest.mark.promise("S5")
async def test_a_match_of_another_time_is_not_taken(acme: ServerProcess, home: Path) -> None:
    await past_us(acme)
    acme.advance(600)  # it is ten minutes old
    async with client(home, acme, "C") as videogen:
        await lose(videogen, acme, accepted=False)
        (answer,) = await videogen.resume()
    assert isinstance(answer, SubmissionUnknownError)
    assert [job.status for job in history(home, acme, "C").jobs] == ["unknown"]


# --- classes D and N


@pytest.mark.promise("S5")
async def test_model_and_time_alone_are_proposed_and_never_taken(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme, "D") as videogen:
        acme.inject(Fault("reset", on="create"))
        with pytest.raises(SubmissionUnknownError) as caught:
            await make(videogen)
        (theirs,) = acme.jobs()
        assert theirs["id"] in str(caught.value)
        (job,) = await videogen.jobs()
        assert job.status == "unknown"
    history(home, acme, "D")


@pytest.mark.promise("S5")
async def test_nothing_to_ask_means_waiting_for_a_person(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme, "N") as videogen:
        job = await lose(videogen, acme)
        for _ in range(3):
            (answer,) = await videogen.resume()
            assert isinstance(answer, SubmissionUnknownError)
        assert "settle" in str(answer)
        assert (await job.refresh()).status == "unknown"
    assert (acme.count("create"), acme.count("list")) == (1, 0)


@pytest.mark.promise("S5", "S1")
async def test_one_offer_may_allow_less_than_its_provider(
    acme: ServerProcess, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a provider's machines differ, what its others could do is not done for the one that cannot."""
    monkeypatch.setattr(rig.CountedAcme, "recovery", lambda self, spec: Recovery(console="the machine's own list"))
    async with client(home, acme, "A") as videogen:
        await lose(videogen, acme)
        (answer,) = await videogen.resume()
        assert isinstance(answer, SubmissionUnknownError)
        assert "the machine's own list" in str(answer)
    assert acme.count("create") == 1


# --- the word of a person


@pytest.mark.promise("S5", "B8")
@pytest.mark.parametrize("kind", ["B", "N"])
async def test_a_second_bill_may_be_accepted_in_advance(acme: ServerProcess, home: Path, kind: str) -> None:
    acme.inject(Fault("reset", on="create"))
    async with client(home, acme, kind) as videogen:
        result = await make(videogen, on_unknown="resubmit")
    found = history(home, acme, kind)
    (job,) = found.jobs
    if kind == "B":  # it is found, so there is nothing to send again
        assert (len(found.creates), len(job.attempts)) == (1, 1)
    else:
        assert [(a.cost_origin, a.money) for a in job.attempts] == [("assumed", "settled"), ("provider", "settled")]
        assert (len(found.creates), str(result.cost)) == (2, "0.20")


@pytest.mark.promise("S5")
async def test_attach(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme) as videogen:
        job = await lose(videogen, acme)
        (theirs,) = acme.jobs()
        for wrong in ("", "has space", "ü", "x" * 513):
            with pytest.raises(VideogenError):
                await job.settle(attach=wrong)
        assert (await videogen.job(job.id)).status == "unknown"
        await job.settle(attach=theirs["id"])
        assert job.status == "queued"
        assert (await job.wait(10)).path is not None
        with pytest.raises(RequestError, match="nothing to decide"):
            await job.settle(abandon=True)
    found = history(home, acme)
    assert len(found.creates) == 1


@pytest.mark.promise("S5")
async def test_an_attached_id_that_the_vendor_does_not_know(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme) as videogen:
        job = await lose(videogen, acme)
        with pytest.raises(ProviderError, match="404"):
            await job.settle(attach="acme-of-nobody")
        assert (await videogen.job(job.id)).status == "unknown"
        await job.settle(abandon=True)
    assert (job.status, job.cost, job.money) == ("failed", 0, "released")


@pytest.mark.promise("S5", "B6")
async def test_abandon_and_cost(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme) as videogen:
        job = await lose(videogen, acme)
        with pytest.raises(RequestError, match="exclude"):
            await job.settle(abandon=True, resubmit=True)
        with pytest.raises(RequestError):
            await job.settle()
        with pytest.raises(RequestError, match="no finished attempt"):
            await job.settle(cost="0.10")
        await job.settle(abandon=True, cost="0.10")
        assert (job.status, job.money, str(job.cost)) == ("failed", "settled", "0.10")
        await job.settle(cost="0.07")
        assert (job.money, str(job.cost), job.record.attempt.cost_origin) == ("settled", "0.07", "person")
        with pytest.raises(RequestError, match="no finished attempt"):
            await job.settle(cost="0.07", attempt=2)
    assert acme.count("create") == 1
    history(home, acme)


@pytest.mark.promise("S5")
async def test_resubmit(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme) as videogen:
        job = await lose(videogen, acme)
        await job.settle(resubmit=True)
        assert job.status == "created"
        assert (await job.wait(10)).path is not None
    found = history(home, acme)
    assert [attempt.cost_origin for attempt in found.jobs[0].attempts] == ["assumed", "provider"]


# --- S3: an answer is never dropped


@pytest.mark.promise("S3", "S7")
async def test_a_handle_that_comes_after_its_lease_was_lost_is_kept(acme: ServerProcess, home: Path) -> None:
    acme.inject(Fault("hang", on="create", seconds=0.6))
    async with client(home, acme) as videogen:
        making = asyncio.create_task(make(videogen))
        await asyncio.to_thread(rig.within, 5, lambda: acme.created == 1)
        (job,) = await videogen.jobs()
        # another process takes it over, which cannot see that this one is alive
        assert videogen.ledger.claim(job.id, "elsewhere", "elsewhere/1", 0.3, dead=lambda _: True) is not None
        await asyncio.sleep(0.8)
        (job,) = await videogen.jobs()
        assert job.provider_job_id == acme.jobs()[0]["id"]
        await making
    assert len(history(home, acme).creates) == 1


@pytest.mark.promise("S3")
async def test_a_handle_that_comes_after_the_job_was_given_up_is_kept(acme: ServerProcess, home: Path) -> None:
    acme.inject(Fault("hang", on="create", seconds=0.6))
    async with client(home, acme) as videogen, client(home, acme) as other:
        making = asyncio.create_task(make(videogen))
        await asyncio.to_thread(rig.within, 5, lambda: acme.created == 1)
        (job,) = await other.jobs()
        assert other.ledger.claim(job.id, "elsewhere", "elsewhere/1", 0.0, dead=lambda _: True) is not None
        with pytest.raises(SubmissionUnknownError):
            await job.wait(5)
        await job.settle(abandon=True)
        with pytest.raises(VideogenError):
            await making
    found = history(home, acme)
    assert kinds(found)[-1] == "orphan"
    assert found.jobs[0].attempt.orphans == (found.made[0]["id"],)


# --- S6: states move forward


@pytest.mark.promise("S6")
async def test_a_vendor_may_take_its_word_back_once(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme) as videogen:
        with pytest.raises(ProviderError):
            await make(videogen, "phoenix")
        (job,) = await videogen.jobs()
        assert (job.status, job.money) == ("failed", "released")
        await job.refresh()
        assert (job.status, job.money, str(job.cost)) == ("succeeded", "settled", "0.10")
        assert (await job.wait(10)).path is not None
        await job.refresh()
    found = history(home, acme)
    assert kinds(found).count("revived") == 1


@pytest.mark.promise("S6")
async def test_a_word_that_nobody_knows_is_no_failure(acme: ServerProcess, home: Path) -> None:
    acme.script_all(Script(polls=4, word="transmogrifying", times=None))
    said: list[str] = []
    async with client(home, acme) as videogen:
        await make(videogen, on_event=lambda event: said.append(f"{event.status} {event.message}"))
    assert any(text.startswith("running") and "transmogrifying" in text for text in said)


@pytest.mark.promise("S6")
async def test_a_block_is_told_with_its_cost(acme: ServerProcess, home: Path) -> None:
    acme.script_all(Script(ending="blocked", charged=True, times=None))
    async with client(home, acme) as videogen:
        with pytest.raises(ContentPolicyError) as caught:
            await make(videogen)
    assert caught.value.charged is True
    assert [job.money for job in history(home, acme).jobs] == ["settled"]


# --- X5: cancelling


@pytest.mark.promise("X5", "B6")
@pytest.mark.parametrize(
    ("cancel", "said", "after", "money"),
    [
        ("yes", "cancelled", "cancelled", "released"),
        ("gone", "cancelled", "cancelled", "released"),
        ("no", "RequestError", "queued running", "held"),
        ("ignored", "queued running", "queued running", "held"),
    ],
)
async def test_cancelling_is_what_the_vendor_makes_of_it(
    acme: ServerProcess, home: Path, cancel: Any, said: str, after: str, money: str
) -> None:
    acme.script_all(Script(running=60, cancel=cancel, times=None))
    async with client(home, acme) as videogen:
        job = await videogen.submit("boat", model="paper")
        try:
            await job.cancel()
            answer = job.status.value
        except VideogenError as error:
            answer = type(error).__name__
        found = await videogen.job(job.id)
        assert answer in said
        assert found.status in after
        assert found.money == money
        assert found.record.cancel_requested_at is not None
        acme.advance(120)
        if found.status not in ("cancelled",):  # it went on, and what was made is fetched
            assert (await job.wait(10)).path is not None
        else:
            with pytest.raises(RequestError, match="ended already"):
                await job.cancel()
    history(home, acme)


@pytest.mark.promise("X5")
async def test_a_job_that_nobody_knows_cannot_be_cancelled(acme: ServerProcess, home: Path) -> None:
    async with client(home, acme) as videogen:
        job = await lose(videogen, acme)
        with pytest.raises(SubmissionUnknownError):
            await job.cancel()
    assert [job.status for job in history(home, acme).jobs] == ["unknown"]


@pytest.mark.promise("X5")
async def test_a_job_that_is_waited_for_can_be_cancelled(acme: ServerProcess, home: Path) -> None:
    acme.script_all(Script(running=60, times=None))
    async with client(home, acme) as videogen:
        job = await videogen.submit("boat", model="paper")
        waiting = asyncio.create_task(job.wait(20))
        await asyncio.sleep(0.15)
        other = await videogen.job(job.id)
        await other.cancel()
        with pytest.raises(VideogenError, match="cancelled"):
            await waiting
    assert [job.status for job in history(home, acme).jobs] == ["cancelled"]


# --- K4: how long a vendor may make us wait


@pytest.mark.promise("K4", "T5")
async def test_a_vendor_that_wants_a_longer_wait_is_reported(acme: ServerProcess, home: Path) -> None:
    acme.inject(Fault("status", status=429, on="poll", at="before", retry_after="1000000000", times=None))
    async with client(home, acme) as videogen:
        with pytest.raises(RateLimitError) as caught:
            await make(videogen)
        assert caught.value.retry_after == 1e9
        assert acme.count("poll") == 1
        (job,) = await videogen.jobs()
        assert (job.status, job.money) == ("queued", "held")
        acme.calm()
        assert (await job.wait(10)).path is not None
    history(home, acme)
