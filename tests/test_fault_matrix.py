"""Every fault in every place: each cell has the outcome that is written here, and no other, in time and in bounds."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import rig
from acme.emulator import AcmeEmulator
from history import check, check_clips
from media_samples import picture
from rig import Application, Zygote
from videogen_core import AsyncClient, VideogenError
from videogen_core.testing import Fault, Script, ServerProcess, serve_process
from videogen_core.testing.faults import OF_DOWNLOADS, OF_WEBHOOKS, What

LIMIT = 0.5
"""Seconds for one request, and for a create."""
SLACK = 2.0
_MOST_BYTES = 4 * 2**20

# --- the operations; each returns in a word how it went


async def submit(videogen: AsyncClient) -> str:
    job = await videogen.submit("boat", model="paper")
    return job.status.value


async def poll(videogen: AsyncClient) -> str:
    return await _stored(videogen, "boat", model="paper")


async def find(videogen: AsyncClient) -> str:
    return await _stored(videogen, "boat", model="paper")


async def upload(videogen: AsyncClient) -> str:
    return await _stored(videogen, "boat", model="stone", image=picture())


async def download(videogen: AsyncClient) -> str:
    return await _stored(videogen, "boat", model="paper")


async def cancel(videogen: AsyncClient) -> str:
    job = await videogen.submit("boat", model="paper")
    await job.cancel()
    return job.status.value


async def _stored(videogen: AsyncClient, prompt: str, **arguments: Any) -> str:
    result = await videogen.generate(prompt, timeout=WAIT, **arguments)
    assert result.path is not None
    return "stored"


OPERATIONS: dict[str, Callable[[AsyncClient], Awaitable[str]]] = {
    "create": submit,
    "poll": poll,
    "list": find,
    "upload": upload,
    "download": download,
    "cancel": cancel,
}
LOST = "SubmissionUnknownError unknown"
KEPT = "stored succeeded"
UNREADABLE = "ProviderProtocolError queued"
UNREACHED = "ProviderUnavailableError queued"

# operation -> what its caller gets and where the job is then: for most faults, and for those that are named
USUAL = {"create": LOST, "poll": KEPT, "list": KEPT, "upload": KEPT, "download": KEPT, "cancel": UNREADABLE}
OUTCOMES: dict[str, dict[str, str]] = {
    "create": {
        "expired": "PermissionDeniedError failed",  # 403: plainly refused
        "refusal": "RejectedRequestError failed",
        "wrong_type": "queued queued",
    },
    "poll": {
        "redirect": UNREADABLE,  # asking again would be redirected again; the job waits
        "expired": "PermissionDeniedError queued",
        "refusal": "RejectedRequestError queued",
    },
    "list": {},
    "upload": {
        "redirect": "ProviderProtocolError failed",  # nothing was asked for yet
        "expired": "PermissionDeniedError failed",
        "refusal": "RejectedRequestError failed",
    },
    "download": {
        "refusal": "DownloadError succeeded",
        "slow": "JobTimeoutError succeeded",  # a byte now and then, from the first header on
        "long": "DownloadError succeeded",
        "endless": "DownloadError succeeded",
        "gzip_bomb": "DownloadError succeeded",
    },
    "cancel": {
        # it may have been cancelled: the wish is on record, and the next poll tells
        "reset": UNREACHED,
        "close": UNREACHED,
        "hang": UNREACHED,
        "slow": UNREACHED,
        "truncated": UNREACHED,
        "status": UNREACHED,
        "expired": "PermissionDeniedError queued",
        "refusal": "RejectedRequestError queued",
        "wrong_type": "cancelled cancelled",
    },
    "webhook": {
        "lost": "[] queued",
        "duplicate": "[200, 409] succeeded",
        "bad_signature": "[400] queued",
        "unsigned": "[400] queued",
        "stale": "[400] queued",
        "garbage": "[400] queued",
    },
}
WAIT = 4.0
"""Seconds that a caller waits for a clip."""
DEADLINES = {"download": WAIT}
"""Seconds that an operation may take where that is more than a few requests."""


@pytest.fixture(scope="module")
def acme() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    rig.hurry(monkeypatch)
    bounded(monkeypatch)


def bounded(patch: pytest.MonkeyPatch) -> None:
    """Small bounds for downloads, so that what never ends does so soon."""
    from videogen_core import downloads

    defaults: Any = downloads.save.__kwdefaults__
    patch.setitem(defaults, "max_bytes", _MOST_BYTES)
    patch.setitem(defaults, "rate_window", LIMIT)


def arrange(acme: ServerProcess, operation: str, fault: Fault) -> str:
    """Make the vendor ready for a cell; returns its class."""
    kind = "B" if operation == "list" else "N"
    acme.reset()
    acme.change(kind=kind)
    acme.script_all(Script(polls=2, times=None) if operation != "cancel" else Script(running=30, times=None))
    if operation == "list":
        acme.inject(Fault("reset", on="create"))
    acme.inject(fault)
    return kind


async def outcome(videogen: AsyncClient, operation: str) -> str:
    try:
        said = await OPERATIONS[operation](videogen)
    except VideogenError as error:
        said = type(error).__name__
    (job,) = await videogen.jobs()
    return f"{said} {job.status}"


def cells(operation: str) -> list[What]:
    """The faults that can happen to an operation."""
    if operation == "webhook":
        return sorted(OF_WEBHOOKS)
    others = OF_WEBHOOKS if operation == "download" else OF_WEBHOOKS | OF_DOWNLOADS
    others |= {"mutated"}  # may be any of the others, or none: that is for the fuzzing of readers
    return [what for what in get_args(What) if what not in others]


def expected(operation: str, what: str) -> str:
    return OUTCOMES[operation].get(what) or USUAL[operation]


@pytest.mark.promise("T4", "S4", "P1", "P2", "D3")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_fault_has_its_outcome(acme: ServerProcess, tmp_path: Path, quick: None, operation: str) -> None:
    async def run(what: What, kind: str, home: Path) -> str:
        async with rig.client(home, acme.url, kind=kind, submit_timeout=LIMIT, request=LIMIT) as videogen:
            return await outcome(videogen, operation)

    found, wanted, late = {}, {}, []
    for what in cells(operation):
        # a vendor that refuses has not made the job
        fault = Fault(what, on=operation, at="before" if what in ("expired", "refusal") else "after")  # type: ignore[arg-type]
        kind, home = arrange(acme, operation, fault), tmp_path / what
        start = time.monotonic()
        found[what], wanted[what] = asyncio.run(run(what, kind, home)), expected(operation, what)
        if time.monotonic() - start > DEADLINES.get(operation, 3 * LIMIT) + SLACK:
            late.append(what)
        history = check(str(home / "ledger.db"), acme, kind)
        assert len(history.creates) <= 1, f"{what}: a create was sent again"
        assert check_clips(history) == found[what].count("stored"), f"{what}: a clip that is none"
    sys.stdout.write(f"{operation}: {len(found)} faults\n")
    assert found == wanted
    assert not late


@pytest.mark.promise("T4", "W1", "W5", "W6")
@pytest.mark.parametrize("what", cells("webhook"))
def test_every_fault_of_a_delivery_has_its_outcome(
    acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: What
) -> None:
    monkeypatch.setenv("ACME_WEBHOOK_SECRET", AcmeEmulator.webhook_secret)
    with Application() as application:
        acme.reset()
        acme.change(kind="N")
        acme.script_all(Script(running=0.1, times=None))
        acme.inject(Fault(what, on="webhook"))
        with rig.sync_client(tmp_path / "home", acme.url, webhook_url=application.url) as videogen:
            application.videogen = videogen
            job = videogen.submit("boat", model="paper")
            assert job.status == "queued"
            hears = what != "lost"
            rig.within(3, lambda: len(application.answers) >= (2 if what == "duplicate" else 1) or not hears)
            time.sleep(0.1 if hears else 0.4)
            application.videogen = None  # the vendor insists; it would be told the same again
            status = videogen.job(job.id).status
            answers = application.answers[: 2 if what == "duplicate" else 1]
        assert f"{answers} {status}" == expected("webhook", what)
    check(str(tmp_path / "home" / "ledger.db"), acme, "N")


# --- memory


MEMORY = {
    "create": ("gzip_bomb", "endless", "long", "deep_json"),
    "poll": ("gzip_bomb", "endless", "long", "deep_json"),
    "list": ("gzip_bomb", "endless"),
    "download": ("gzip_bomb", "endless", "long"),
}
_MOST_RSS = 256 * 2**10  # KiB


def measured(url: str, home: str, kind: str, operation: str) -> int:
    """Run an operation, and say by how many KiB the peak of memory rose."""
    rig.hurry()
    bounded(pytest.MonkeyPatch())

    async def run() -> None:
        async with rig.client(home, url, kind=kind, submit_timeout=2.0, request=2.0) as videogen:
            await outcome(videogen, operation)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    asyncio.run(run())
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
    return 0


@pytest.mark.promise("T4", "P1", "D2")
def test_nothing_that_a_vendor_sends_takes_much_memory(acme: ServerProcess, tmp_path: Path) -> None:
    took: dict[str, int] = {}
    with Zygote("test_fault_matrix") as zygote:
        zygote.warm("test_kills:warm", url=acme.url, home=str(tmp_path / "warm"))
        for operation, whats in MEMORY.items():
            for what in whats:
                size = 512 * 2**20 if what == "gzip_bomb" else 0
                kind = arrange(acme, operation, Fault(what, on=operation, size=size))  # type: ignore[arg-type]
                config = {"url": acme.url, "home": str(tmp_path / f"{operation}-{what}"), "kind": kind}
                driver = zygote.start("test_fault_matrix:measured", tmp_path, operation=operation, **config)
                assert driver.wait() == 0, driver.output
                took[f"{what} {operation}"] = int(driver.output)
    sys.stdout.write(f"MiB: { {name: round(kib / 1024, 1) for name, kib in took.items()} }\n")
    assert max(took.values()) <= _MOST_RSS, took
