"""The cache in a job's life: a clip is made once, given again, and never given to whom it does not belong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from vendor import Acme, offer
from videogen_core import AsyncClient, RequestError, Result

pytestmark = [pytest.mark.anyio, pytest.mark.promise("C2", "C4")]


def acme(tmp_path: Path, **facts: Any) -> Acme:
    return Acme(tmp_path / "vendor", offers=(offer("acme", seed=2**31),), **facts)


def client(tmp_path: Path, vendor: Acme, **settings: Any) -> AsyncClient:
    return AsyncClient(home=tmp_path / "home", plugins=[vendor], **settings)


async def make(videogen: AsyncClient, output: Path, **changes: Any) -> Result:
    arguments: dict[str, Any] = {"model": "paper", "seed": 7, "cache": True, "output": output} | changes
    return await videogen.generate("boat", **arguments)


async def test_the_same_request_is_made_once_and_given_again(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        first = await make(videogen, tmp_path / "a.mp4")
        again = await make(videogen, tmp_path / "b.mp4")
        job = await videogen.job(again.job_id)
        types = [event.type for event in await videogen.events(again.job_id)]
    assert (first.cached, again.cached) == (False, True)
    assert vendor.asked == 1
    assert again.path == tmp_path / "b.mp4"
    assert again.path.read_bytes() == (tmp_path / "a.mp4").read_bytes()
    assert (again.cost, again.attempts, again.model, again.provider) == (0, (), "paper", "acme")
    assert (job.status, job.money, job.artifact) == ("succeeded", "none", "stored")
    assert types == ["created", "cached"]


@pytest.mark.parametrize(
    "changes",
    [{"seed": 8}, {"resolution": "720p"}, {"duration": 2}, {"count": 2}, {"cache": False}, {"seed": None}],
    ids=str,
)
async def test_another_request_is_made(tmp_path: Path, changes: dict[str, Any]) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        await make(videogen, tmp_path / "a.mp4")
        assert not (await make(videogen, tmp_path / "b.mp4", **changes)).cached
    assert vendor.asked == 2


@pytest.mark.promise("C3")
async def test_without_a_seed_only_when_asked(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        for name, use in (("a", "any"), ("b", True), ("c", "any")):
            result = await make(videogen, tmp_path / f"{name}.mp4", seed=None, cache=use)
    assert result.cached
    assert vendor.asked == 2


async def test_a_clip_that_was_changed_in_the_cache_is_made_anew(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        first = await make(videogen, tmp_path / "a.mp4")
        (kept,) = (tmp_path / "home" / "cache").rglob("1")
        kept.write_bytes(kept.read_bytes()[:-1] + b"?")
        second = await make(videogen, tmp_path / "b.mp4")
        third = await make(videogen, tmp_path / "c.mp4")
    assert (first.cached, second.cached, third.cached) == (False, False, True)
    assert vendor.asked == 2


async def test_a_clip_that_the_user_edits_does_not_change_the_cache(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        first = await make(videogen, tmp_path / "a.mp4")
        assert first.path is not None
        first.path.write_bytes(b"edited")
        again = await make(videogen, tmp_path / "b.mp4")
    assert again.cached
    assert again.videos[0].sha256 == first.videos[0].sha256


async def test_another_account_does_not_get_it(tmp_path: Path) -> None:
    class Mine(Acme):
        def account(self, environment: Any, settings: Any) -> str:
            return str(settings.get("project", ""))

    vendor = Mine(tmp_path / "vendor", offers=(offer("acme", seed=2**31),))
    for number, project in enumerate(("one", "two", "one")):
        async with client(tmp_path, vendor, providers={"acme": {"project": project}}) as videogen:
            result = await make(videogen, tmp_path / f"{number}.mp4")
    assert result.cached
    assert vendor.asked == 2


async def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    plan = {"acme": {"script": {"outputs": 1}}}
    async with client(tmp_path, vendor) as videogen:
        first = await make(videogen, tmp_path / "a.mp4", count=2, options=plan)
        again = await make(videogen, tmp_path / "b.mp4", count=2, options=plan)
    assert len(first.videos) == 1, "one clip was withheld"
    assert not again.cached


async def test_it_gets_too_old(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor, cache_days=1e-9) as videogen:
        for name in ("a", "b"):
            assert not (await make(videogen, tmp_path / f"{name}.mp4")).cached


async def test_an_existing_file_is_not_overwritten_by_the_cache(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    async with client(tmp_path, vendor) as videogen:
        await make(videogen, tmp_path / "a.mp4")
        job = await videogen.submit("boat", model="paper", seed=7, cache=True, output=tmp_path / "b.mp4")
        assert (tmp_path / "b.mp4").exists()
        assert (await job.wait()).cached
        (tmp_path / "c.mp4").write_bytes(b"mine")
        with pytest.raises(RequestError, match="exists"):
            await make(videogen, tmp_path / "c.mp4")
    assert (tmp_path / "c.mp4").read_bytes() == b"mine"


@pytest.mark.parametrize("clients", [1, 2])
async def test_two_who_want_the_same_clip_wait_for_one(tmp_path: Path, clients: int) -> None:
    vendor = acme(tmp_path)
    plan = {"acme": {"script": {"polls": 5, "every": 0.05}}}
    results: list[Result] = []
    open_clients = [client(tmp_path, vendor) for _ in range(clients)]

    async def one(number: int) -> None:
        videogen = open_clients[number % clients]
        results.append(await make(videogen, tmp_path / f"{number}.mp4", options=plan))

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(one, number)
    for videogen in open_clients:
        await videogen.close()
    assert vendor.asked == 1
    assert sorted(result.cached for result in results) == [False, True, True, True]
    assert len({result.videos[0].sha256 for result in results}) == 1


async def test_whoever_waits_makes_it_when_the_first_one_fails(tmp_path: Path) -> None:
    vendor = acme(tmp_path)
    plan = {"acme": {"script": {"submit": ["RejectedRequestError", "ok"], "polls": 3, "every": 0.05}}}
    answers: list[Any] = []

    async def one(videogen: AsyncClient, number: int) -> None:
        try:
            answers.append(await make(videogen, tmp_path / f"{number}.mp4", options=plan))
        except Exception as error:
            answers.append(error)

    async with client(tmp_path, vendor) as videogen, anyio.create_task_group() as group:
        for number in range(2):
            group.start_soon(one, videogen, number)
    assert sorted(type(answer).__name__ for answer in answers) == ["RejectedRequestError", "Result"]


async def test_a_placeholder_from_the_cache_says_so(tmp_path: Path) -> None:
    async with AsyncClient(home=tmp_path / "home") as videogen:
        for name in ("a", "b"):
            result = await videogen.generate(
                "boat", model="sandbox", seed=1, cache=True, output=tmp_path / f"{name}.mp4", duration=1
            )
    assert (result.cached, result.placeholder, result.model) == (True, True, "sandbox")
