"""kill -9 before and after the commit of each kind of event: whatever was on record is what the next process finds."""

from __future__ import annotations

import ast
import asyncio
import itertools
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import httpx
import pytest

import rig
import vendor
from history import check
from rig import REF, STRANGER, Zygote
from videogen_core import AsyncClient, AsyncJob, SubmissionUnknownError, VideogenError, VideoRequest, hookimpl
from videogen_core.testing import Fault, Script, ServerProcess, serve_process

ENGINE = Path(rig.__file__).parents[1] / "src" / "videogen_core" / "engine"
VISITS = 3
When = Literal["before", "after"]
Act = Callable[[AsyncClient, int], Awaitable[object]]


# --- what the drivers do, once for each visit


async def plain(videogen: AsyncClient, n: int, **changes: Any) -> object:
    return await videogen.generate(f"boat {n}", model="paper", timeout=20, **changes)


async def lost(videogen: AsyncClient, n: int) -> AsyncJob:
    with suppress(SubmissionUnknownError):
        await plain(videogen, n)
    return (await videogen.jobs())[0]


async def abandoned(videogen: AsyncClient, n: int) -> object:
    return await (await lost(videogen, n)).settle(abandon=True, cost="0.1")


async def resubmitted_by_a_person(videogen: AsyncClient, n: int) -> object:
    return await (await (await lost(videogen, n)).settle(resubmit=True)).wait(20)


async def attached(videogen: AsyncClient, n: int) -> object:
    """Two of the vendor's jobs carry our id, so that one of them is kept as an orphan."""
    with suppress(VideogenError), anyio.move_on_after(0.5):
        await plain(videogen, n)
    job = (await videogen.jobs())[0]
    if job.provider_job_id is None:
        (url, ref) = videogen.workspace.registry.plugins.provider("acme").url, job.record.attempt.client_ref  # type: ignore[attr-defined]
        body = {"model": "paper", "prompt": "twin", "seconds": 1, "size": "320x180", "fps": 8, "audio": False}
        async with httpx.AsyncClient(headers={"authorization": "Bearer test-key", REF: STRANGER}) as http:
            for _ in range(2):
                await http.post(f"{url}/v1/videos", json={**body, "ref": ref})
    return await job.wait(20)


async def cancelled(videogen: AsyncClient, n: int) -> object:
    job = await videogen.submit(f"boat {n}", model="paper")
    return await job.cancel()


async def cancelled_before_it_was_sent(videogen: AsyncClient, n: int) -> object:
    with anyio.CancelScope() as scope:
        await plain(videogen, n, on_event=lambda event: scope.cancel() if event.type == "retrying" else None)
    return await (await videogen.jobs())[0].cancel()


async def revived(videogen: AsyncClient, n: int) -> object:
    with suppress(VideogenError):
        await videogen.generate(f"phoenix {n}", model="paper", timeout=20)
    return await (await videogen.jobs())[0].refresh()


async def expired(videogen: AsyncClient, n: int) -> None:
    with suppress(VideogenError):
        await plain(videogen, n)


async def reworded(videogen: AsyncClient, n: int) -> None:
    with suppress(VideogenError):  # in other words it is blocked again, and that is the end
        await plain(videogen, n, rewrites=1)


class Softly:
    """Puts every prompt in other words."""

    @hookimpl
    def videogen_rewrite_prompt(self, request: VideoRequest) -> str:
        return f"soft {request.prompt}"


async def redirected(videogen: AsyncClient, n: int) -> object:
    job = await videogen.submit(f"boat {n}", model="paper")
    return await job.wait(20, output=videogen.settings.home / f"elsewhere-{n}.mp4")


async def corrected(videogen: AsyncClient, n: int) -> object:
    await plain(videogen, n)
    return await (await videogen.jobs())[0].settle(cost="0.09")


def each(*faults: Fault) -> tuple[Fault, ...]:
    """Faults for each visit."""
    import msgspec

    return tuple(msgspec.structs.replace(fault, match=f' {n}"') for n in range(VISITS) for fault in faults)


@dataclass(frozen=True)
class Scenario:
    """What leads to an event.

    Attributes:
        act: What the driver does, once for each visit.
        classes: Of the vendor, that it can happen with.
        faults: What goes wrong with it.
        script: How the vendor's jobs go.
    """

    act: Act = plain
    classes: str = "AN"
    faults: tuple[Fault, ...] = ()
    script: Script = field(default_factory=lambda: Script(polls=2, times=None))


REJECTED = Fault("status", status=429, on="create", at="before", retry_after="0")
BLOCKED = Fault("refusal", code="content_policy", on="create", at="before")
REFUSED = Fault("status", status=422, on="create", at="before")
NO_CREDIT = Fault("status", status=402, on="create", at="before", times=None)
LOST = Fault("reset", on="create")
NEVER_CAME = Fault("reset", on="create", at="before")
LONG = Script(running=60, times=None)

# Kind of event -> the ways to it. `test_every_event_has_its_kill_points` holds this to what the engine writes.
POINTS: dict[str, dict[str, Scenario]] = {
    "created": {"": Scenario()},
    "submitting": {"": Scenario(), "again": Scenario(faults=each(LOST), classes="A")},
    "accepted": {"": Scenario(), "found": Scenario(faults=each(LOST), classes="ABC")},
    "rejected": {"": Scenario(faults=each(REJECTED))},
    "unknown": {"": Scenario(lost, faults=each(LOST), classes="ABCDN")},
    "fallback": {"": Scenario(partial(plain), faults=(NO_CREDIT,))},
    "failed": {
        "refused": Scenario(expired, faults=each(REFUSED)),
        "by the vendor": Scenario(expired, script=Script(polls=1, ending="failed", times=None)),
    },
    "rewritten": {
        "by the vendor": Scenario(reworded, script=Script(polls=1, ending="blocked", times=None)),
        "refused": Scenario(reworded, faults=each(BLOCKED)),
    },
    "absent": {"": Scenario(faults=each(NEVER_CAME), classes="B")},
    "resubmitted": {
        "as was wished": Scenario(partial(plain, on_unknown="resubmit"), faults=each(LOST), classes="DN"),
        "by a person": Scenario(resubmitted_by_a_person, faults=each(LOST), classes="DN"),
    },
    "abandoned": {"": Scenario(abandoned, faults=each(LOST), classes="DN")},
    "orphan": {"": Scenario(attached, faults=each(NEVER_CAME), classes="B")},
    "progress": {"": Scenario()},
    "settled": {"": Scenario()},
    "revived": {"": Scenario(revived)},
    "cancel_requested": {"": Scenario(cancelled, script=LONG)},
    "cancelled": {
        "by the vendor": Scenario(cancelled, script=LONG),
        "forgotten": Scenario(cancelled, script=Script(running=60, cancel="gone", times=None)),
        "never sent": Scenario(
            cancelled_before_it_was_sent,
            faults=each(Fault("status", status=429, on="create", at="before", retry_after="60")),
        ),
    },
    "stored": {"": Scenario()},
    "expired": {"": Scenario(expired, script=Script(polls=1, expired=99, times=None))},
    "redirected": {"": Scenario(redirected, script=Script(polls=3, times=None))},
    "corrected": {"": Scenario(corrected)},
    # no events, but commits all the same
    "claim": {"": Scenario()},
    "release": {"": Scenario(partial(lost), faults=each(LOST), classes="N")},
}
NO_POINT = {
    "cached": "nothing was asked for; tests/test_cache.py kills at every system call of the store",
    "warning": "written by the ledger itself, in the transaction that also writes submitting",
}


# --- the driver


def drive(
    url: str, home: str, ledger: str | None, kind: str, event: str, way: str, when: When | None, visit: int
) -> int:
    rig.hurry()
    if when is not None:
        arm(event, when, visit, postgres=ledger is not None)
    scenario = POINTS[event][way]
    asyncio.run(_drive(scenario, event, url, home, ledger, kind, finish=when is None))
    return 0


async def _drive(
    scenario: Scenario, event: str, url: str, home: str, ledger: str | None, kind: str, *, finish: bool
) -> None:
    plan = rig.arguments(home, url, kind=kind, ledger=ledger, submit_timeout=1.0)
    if event == "fallback":
        plan["plugins"].append(vendor.Acme(Path(home).parent / "other", name="zenith"))
    if event == "rewritten":
        plan["plugins"].append(Softly())
    async with AsyncClient(**plan) as videogen:
        if finish:
            await videogen.resume(timeout=10)
            for job in await videogen.jobs(status="failed"):
                await job.refresh()
            await videogen.resume(timeout=10)
            return
        for n in range(VISITS):
            await scenario.act(videogen, n)


def arm(event: str, when: When, visit: int, *, postgres: bool) -> None:
    """Kill this process at the commit of the event that is the ``visit``-th of its kind."""
    if postgres:
        from videogen_core.ledger.postgres import PostgresLedger as Store
    else:
        from videogen_core.ledger.sqlite import SqliteLedger as Store  # type: ignore[assignment]
    visits = itertools.count(1)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            kinds = [name, *(getattr(value, "type", None) for value in args)]
            hit = event in kinds and next(visits) == visit
            if hit and when == "before":
                die()
            answer = original(self, *args, **kwargs)
            if hit:
                die()
            return answer

        return method

    for name in ("create", "begin", "save", "claim", "release"):
        setattr(Store, name, wrapped(name, getattr(Store, name)))


# --- the tests


@pytest.fixture(scope="module")
def acme() -> Iterator[ServerProcess]:
    with serve_process("phoenix:PhoenixEmulator") as found:
        yield found


@pytest.fixture(scope="module")
def zygote(acme: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    with Zygote("test_kill_points", "psycopg") as found:
        found.warm("test_kills:warm", url=acme.url, home=str(tmp_path_factory.mktemp("warm")))
        yield found


def killed_at(
    zygote: Zygote,
    acme: ServerProcess,
    folder: Path,
    event: str,
    way: str,
    when: When,
    *,
    visit: int = 1,
    kind: str,
    ledger: str | None = None,
) -> None:
    scenario = POINTS[event][way]
    acme.reset()
    acme.change(kind=kind)
    acme.script_all(scenario.script)
    acme.inject(*scenario.faults)
    rig.with_budget(ledger or str(folder / "home" / "ledger.db"))
    config = {"url": acme.url, "home": str(folder / "home"), "ledger": ledger, "kind": kind, "event": event}
    config |= {"way": way, "visit": visit}
    driver = zygote.start("test_kill_points:drive", folder, when=when, **config)
    assert driver.wait() == -9, f"{event} was not reached {visit} times\n{driver.output}"
    sent = acme.count("create")
    acme.calm()
    acme.advance(120)  # long jobs are over by now
    last = zygote.start("test_kill_points:drive", folder, when=None, **config)
    assert last.wait() == 0, last.output
    history = check(ledger or str(folder / "home" / "ledger.db"), acme, kind)
    assert {job.status for job in history.jobs if not job.done} <= {"unknown"}, history.counts()
    if event == "submitting" and not way and visit == 1:
        assert sent == 0, "a create left before, or together with, the record of it"
    if event == "fallback":
        other = vendor.Acme(folder / "other", name="zenith")
        refs = {attempt.client_ref for job in history.jobs for attempt in job.attempts}
        assert len(other.creates) == len({row["ref"] for row in other.creates} & refs)


def points(visits: tuple[int, ...], *, every_class: bool) -> list[Any]:
    found = []
    for event, ways in POINTS.items():
        for (way, scenario), when, visit in itertools.product(ways.items(), ("before", "after"), visits):
            for kind in scenario.classes if every_class else scenario.classes[-1]:
                name = f"{kind}-{when}-{event}{' ' + way if way else ''}-{visit}"
                found.append(pytest.param(event, way, when, visit, kind, id=name.replace(" ", "-")))
    return found


ARGUMENTS = ("event", "way", "when", "visit", "kind")


@pytest.mark.promise("T2", "S1", "S2", "S3", "B5")
@pytest.mark.parametrize(ARGUMENTS, points((1,), every_class=False))
def test_killed_at_a_commit(
    zygote: Zygote, acme: ServerProcess, tmp_path: Path, event: str, way: str, when: When, visit: int, kind: str
) -> None:
    killed_at(zygote, acme, tmp_path, event, way, when, visit=visit, kind=kind)


@pytest.mark.chaos
@pytest.mark.promise("T2", "S1", "S2", "S3", "B5")
@pytest.mark.parametrize(ARGUMENTS, points((1, 3), every_class=True))
def test_killed_at_any_commit(
    zygote: Zygote, acme: ServerProcess, tmp_path: Path, event: str, way: str, when: When, visit: int, kind: str
) -> None:
    killed_at(zygote, acme, tmp_path, event, way, when, visit=visit, kind=kind)


@pytest.mark.chaos
@pytest.mark.promise("T2", "T21", "S1", "S2", "S3", "B5")
@pytest.mark.parametrize(ARGUMENTS, points((1, 3), every_class=False))
def test_killed_at_any_commit_with_postgres(
    zygote: Zygote,
    acme: ServerProcess,
    tmp_path: Path,
    postgres_url: str,
    event: str,
    way: str,
    when: When,
    visit: int,
    kind: str,
) -> None:
    killed_at(zygote, acme, tmp_path, event, way, when, visit=visit, kind=kind, ledger=postgres_url)


def written_by_the_engine() -> dict[str, list[str]]:
    """Every kind of event that the engine writes, and where."""
    found: dict[str, list[str]] = {}
    for path in sorted(ENGINE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            place = {"write": 2, "event": 1}.get(node.func.attr)
            if node.func.attr == "begin" and len(node.args) >= 3:
                kinds = ["submitting"]
            elif place is not None and len(node.args) > place:
                kinds = [
                    part.value
                    for part in ast.walk(node.args[place])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
            else:
                continue
            for kind in kinds:
                found.setdefault(kind, []).append(f"{path.name}:{node.lineno}")
    return found


@pytest.mark.promise("T2")
def test_every_event_has_its_kill_points() -> None:
    written = written_by_the_engine()
    assert len(written) >= 20, "the engine writes its events in another way now; look for them there"
    missing = {kind: places for kind, places in written.items() if kind not in POINTS and kind not in NO_POINT}
    assert not missing, f"give these a scenario in POINTS, or a reason in NO_POINT: {missing}"
    stale = set(POINTS) - set(written) - {"claim", "release"}
    assert not stale, f"nobody writes these any more: {stale}"
