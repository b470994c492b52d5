"""What a plugin leaves at its vendor is removed when it is of no more use, once; and never at the cost of a job."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from vendor import Acme, AcmeSession, offer
from videogen_core import (
    AsyncClient,
    BudgetExceededError,
    Context,
    DownloadError,
    GenerationFailedError,
    JobCancelledError,
    JobTimeoutError,
    ProviderError,
    RejectedRequestError,
    ResultExpiredError,
    Session,
    SubmissionUnknownError,
    SubmitCall,
    VideogenError,
    downloads,
)
from videogen_core.engine import submission, watching
from videogen_core.provider import Submission

pytestmark = pytest.mark.anyio
both_backends = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])


@pytest.fixture
def anyio_backend() -> str:
    """`both_backends` marks the tests that run on trio too: those where something hangs or comes meanwhile."""
    return "asyncio"


class Tidy(Acme):
    """Acme, which uploads something for each try: ``up-1`` and so on. What is removed is noted, and what was there.

    Args:
        uploads: Whether it uploads anything.
        upset: What `clean_up` does beside that.
    """

    def __init__(
        self,
        folder: Path,
        *,
        uploads: bool = True,
        upset: Callable[[], Awaitable[None]] | None = None,
        **known: Any,
    ) -> None:
        super().__init__(folder, **known)
        self.uploads = uploads
        self.upset = upset
        self.home = folder
        self.uploaded = 0
        self.removed: list[dict[str, Any]] = []
        self.clips_then: list[int] = []

    def connect(self, context: Context) -> Session:
        return TidySession(self)

    @property
    def removed_uploads(self) -> list[str]:
        return [left["upload"] for left in self.removed]


class TidySession(AcmeSession):
    vendor: Tidy

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        if not self.vendor.uploads:
            return {}
        self.vendor.uploaded += 1
        return {"upload": f"{self.vendor.name}-up-{self.vendor.uploaded}"}

    async def submit(self, call: SubmitCall) -> Submission:
        answer = await super().submit(call)
        return Submission(
            provider_job_id=answer.provider_job_id, handle=dict(call.prepared), poll_after=answer.poll_after
        )

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        vendor = self.vendor
        vendor.removed.append(dict(leftovers))
        vendor.clips_then.append(len(list(vendor.home.rglob("*.mp4"))))
        if vendor.upset is not None:
            await vendor.upset()


@pytest.fixture
def acme(tmp_path: Path) -> Tidy:
    return Tidy(tmp_path)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "poll_interval", lambda *given, **bounds: 0.01)


def client(tmp_path: Path, *plugins: Acme, **changes: Any) -> AsyncClient:
    return AsyncClient(home=tmp_path / "home", plugins=plugins, **{"probe_in_process": True} | changes)


def script(**what: Any) -> dict[str, Any]:
    return {"options": {"acme": {"script": what}}}


# --- when -------------------------------------------------------------------------------------------------------


async def test_after_a_success_once_the_clips_are_stored(tmp_path: Path, acme: Tidy) -> None:
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate("a boat", model="paper", count=2)
        await (await videogen.job(result.job_id)).wait()  # done is done
    assert acme.removed == [{"upload": "acme-up-1"}]
    assert acme.clips_then == [2]


@pytest.mark.parametrize("end", ["failed", "empty", "cancelled"])
async def test_after_a_job_that_came_to_nothing(tmp_path: Path, acme: Tidy, end: str) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises((GenerationFailedError, JobCancelledError)):
            await videogen.generate("a boat", model="paper", **script(end=end))
        await videogen.resume()
    assert acme.removed_uploads == ["acme-up-1"]


async def test_by_whoever_sees_the_end(tmp_path: Path) -> None:
    """A job that one process submits, and another one finds failed or finished."""
    first, second = Tidy(tmp_path), Tidy(tmp_path)
    async with client(tmp_path, first) as videogen:
        failing = await videogen.submit("a boat", model="paper", **script(end="failed", polls=0))
        making = await videogen.submit("a kite", model="paper", **script(polls=0))
    assert first.removed == []
    async with client(tmp_path, second) as videogen:
        assert (await (await videogen.job(failing.id)).refresh()).status == "failed"
        assert second.removed_uploads == ["acme-up-1"]
        job = await (await videogen.job(making.id)).refresh()
        assert job.status == "succeeded"
        assert second.removed_uploads == ["acme-up-1"], "its clip is not stored yet"
        await job.wait()
        await videogen.resume()
    assert second.removed_uploads == ["acme-up-1", "acme-up-2"]
    assert second.clips_then[-1] == 1


async def test_before_the_next_offer_is_tried(tmp_path: Path) -> None:
    acme, zenith = Tidy(tmp_path), Tidy(tmp_path, name="zenith")
    async with client(tmp_path, acme, zenith, patience=0.01) as videogen:
        failing = script(end="failed", error="ProviderUnavailableError", charged=False)
        result = await videogen.generate("a boat", model=["acme/paper", "zenith/paper"], **failing)
    assert (result.provider, len(result.attempts)) == ("zenith", 2)
    assert acme.removed_uploads == ["acme-up-1"], "by the session of the offer that failed"
    assert zenith.removed_uploads == ["zenith-up-1"]


@pytest.mark.parametrize("how", ["gone", "yes"])
async def test_after_a_cancel(tmp_path: Path, acme: Tidy, how: str) -> None:
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("a boat", model="paper", **script(cancel=how, polls=1000))
        assert acme.removed == []
        await job.cancel()
        assert (await videogen.job(job.id)).status == "cancelled"
        await videogen.resume()
    assert acme.removed_uploads == ["acme-up-1"]


@both_backends
@pytest.mark.parametrize("how", ["gone", "yes"])
async def test_once_after_a_cancel_of_a_job_that_is_waited_for(tmp_path: Path, acme: Tidy, how: str) -> None:
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("a boat", model="paper", **script(cancel=how, polls=40))
        driver = await videogen.job(job.id)

        async def wait() -> None:
            with pytest.raises(JobCancelledError):
                await driver.wait()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.sleep(0.1)
            await job.cancel()
    assert acme.removed_uploads == ["acme-up-1"]


async def test_a_cancel_that_is_refused_removes_nothing(tmp_path: Path, acme: Tidy) -> None:
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("a boat", model="paper", **script(cancel="no", polls=3))
        with pytest.raises(VideogenError):
            await job.cancel()
        assert acme.removed == []
        await job.wait()
    assert acme.removed_uploads == ["acme-up-1"]


async def test_after_each_create_that_was_refused(tmp_path: Path, acme: Tidy) -> None:
    async with client(tmp_path, acme) as videogen:
        twice = script(submit=["RateLimitError", "RateLimitError", "ok"], retry_after=0.01)
        await videogen.generate("a boat", model="paper", **twice)
        assert acme.removed_uploads == ["acme-up-1", "acme-up-2", "acme-up-3"]
        with pytest.raises(RejectedRequestError):
            await videogen.generate("a kite", model="paper", **script(submit=["RejectedRequestError"]))
    assert acme.removed_uploads[3:] == ["acme-up-4"]


async def test_after_a_create_that_a_budget_forbade(
    tmp_path: Path, acme: Tidy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The money is reserved last, so that by then something may have been uploaded."""
    async with client(tmp_path, acme) as videogen:

        async def over(*given: object, **named: object) -> None:
            raise BudgetExceededError("nothing is left")

        monkeypatch.setattr("videogen_core.engine.record.Log.begin", over)
        with pytest.raises(BudgetExceededError):
            await videogen.generate("a boat", model="paper")
    assert acme.removed_uploads == ["acme-up-1"]
    assert acme.asked == 0


async def test_after_a_result_that_is_gone(tmp_path: Path, acme: Tidy, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*given: object, **named: object) -> None:
        raise ResultExpiredError("the address has expired")

    monkeypatch.setattr(downloads, "save", gone)
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(ResultExpiredError, match="paid for"):
            await videogen.generate("a boat", model="paper", **script(expired=99))
        await videogen.resume()
    assert acme.removed_uploads == ["acme-up-1"]


# --- when not ---------------------------------------------------------------------------------------------------


@pytest.mark.promise("S4")
async def test_not_while_nobody_knows_what_became_of_the_create(tmp_path: Path, acme: Tidy) -> None:
    async with client(tmp_path, acme) as videogen:
        with pytest.raises(SubmissionUnknownError) as caught:
            await videogen.generate("a boat", model="paper", **script(submit=["lost"]))
        await videogen.resume()
        assert acme.removed == [], "the vendor may be at work on it"
        job = await videogen.job(caught.value.job_id or "")
        (made,) = acme.creates
        await job.settle(attach=made["id"])
        await job.wait()
    assert acme.removed == [], "nobody knows any more what was uploaded for it"


async def test_not_while_the_clip_is_not_stored(tmp_path: Path, acme: Tidy) -> None:
    taken = tmp_path / "boat.mp4"
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("a boat", model="paper", output=taken, **script(data="cut"))
        with pytest.raises(DownloadError):
            await job.wait()
        assert acme.removed == []
    async with client(tmp_path, whole := Tidy(tmp_path)) as videogen:
        for path in whole.folder.glob("*.job"):
            path.write_text(path.read_text().replace('"data": "cut"', '"data": "whole"'))
        await (await videogen.job(job.id)).wait()
    assert (whole.removed_uploads, whole.clips_then) == (["acme-up-1"], [1])


async def test_not_when_nothing_is_left(tmp_path: Path) -> None:
    acme = Tidy(tmp_path, uploads=False)
    async with client(tmp_path, acme) as videogen:
        await videogen.generate("a boat", model="paper", **script(submit=["RateLimitError", "ok"], retry_after=0.01))
        with pytest.raises(GenerationFailedError):
            await videogen.generate("a kite", model="paper", **script(end="failed"))
    assert acme.removed == []


async def test_not_before_a_submitted_job_is_over(tmp_path: Path, acme: Tidy) -> None:
    async with client(tmp_path, acme) as videogen:
        job = await videogen.submit("a boat", model="paper", **script(polls=2))
        await job.refresh()
        assert acme.removed == []


# --- at no cost -------------------------------------------------------------------------------------------------


async def _breaks() -> None:
    raise RuntimeError("the vendor's SDK has a bad day")


async def _refuses() -> None:
    raise ProviderError("no such file", status_code=404)


async def _hangs() -> None:
    await anyio.sleep_forever()


@both_backends
@pytest.mark.parametrize("upset", [_breaks, _refuses, _hangs])
async def test_trouble_with_it_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upset: Callable[[], Awaitable[None]]
) -> None:
    assert submission.CLEAN_UP_TIMEOUT == 10.0
    monkeypatch.setattr(submission, "CLEAN_UP_TIMEOUT", 0.2)
    acme = Tidy(tmp_path, upset=upset)
    began = time.monotonic()
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate(
            "a boat", model="paper", **script(submit=["RateLimitError", "ok"], retry_after=0.01)
        )
        assert result.path is not None
        assert result.path.is_file()
        with pytest.raises(GenerationFailedError, match="the vendor said"):
            await videogen.generate("a kite", model="paper", **script(end="failed"))
        job = await videogen.submit("a raft", model="paper", **script(cancel="gone", polls=100))
        await job.cancel()
        assert [found.status for found in await videogen.jobs()] == ["cancelled", "failed", "succeeded"]
    assert acme.removed_uploads == [f"acme-up-{number}" for number in (1, 2, 3, 4)]
    assert time.monotonic() - began < 8


@both_backends
async def test_a_timeout_that_comes_meanwhile_does_not_belie_what_is_done(tmp_path: Path) -> None:
    acme = Tidy(tmp_path, upset=_hangs)
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate("a boat", model="paper", timeout=1.0)
        assert result.path is not None
        assert acme.removed_uploads == ["acme-up-1"]
        with pytest.raises(JobTimeoutError):
            await videogen.generate("a kite", model="paper", timeout=0.3, **script(polls=10_000))


async def test_what_it_does_with_its_argument_is_its_own_affair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(self: TidySession, leftovers: dict[str, Any]) -> None:
        self.vendor.removed.append({"upload": leftovers.pop("upload")})

    monkeypatch.setattr(TidySession, "clean_up", take)
    acme = Tidy(tmp_path, offers=(offer("acme"),))
    async with client(tmp_path, acme) as videogen:
        result = await videogen.generate("a boat", model="paper")
    assert result.attempts[0].handle == {"upload": "acme-up-1"}
