"""Downloads through every fault of the wire, by the hundred: a whole clip under its name, or nothing at all.

Each fault is drawn from a seed, so that a failing run can be had again: the seed is in the message.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest

from loopback import RESET, Loopback, Request, head, serving, whole
from media_samples import clip
from vendor import Acme, AcmeSession
from videogen_core import AsyncClient, ResultExpiredError, downloads
from videogen_core.errors import DownloadError, IntegrityError
from videogen_core.partials import sweep
from videogen_core.provider import Output, ProviderJob, Session, Snapshot
from videogen_core.retry import Backoff
from videogen_core.states import JobStatus

CLIP = clip(seconds=4, detail=40, faststart=True)


def changed() -> bytes:
    """What the address gives once its content has changed: as long, as whole, and different at every eighth part."""
    data = bytearray(CLIP)
    for eighth in range(1, 8):
        data[len(data) * eighth // 8] ^= 1
    return bytes(data)


OTHER = changed()
PATIENT = Backoff(first=0.002, cap=0.01, attempts=6)
fetch = partial(downloads.save, allow_private=True, backoff=PATIENT)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- the storm

FAULTS = {
    "fine": 0.4,
    "reset": 0.2,
    "truncate": 0.08,
    "no_cl": 0.08,
    "short_cl": 0.06,
    "range_ignored": 0.06,
    "range_wrong": 0.06,
    "etag_changed": 0.06,
}


@dataclass
class Storm:
    """Serves one address per download; what goes wrong with a request depends on seed, download and request alone."""

    seed: int
    faults: Mapping[str, float]
    tries: Counter[str] = field(default_factory=Counter)
    changed: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    def __call__(self, request: Request) -> Iterator[object]:
        which = request.path.partition("?")[2]
        self.tries[which] += 1
        dice = random.Random(f"{self.seed} {which} {self.tries[which]}")
        fault = dice.choices(list(self.faults), list(self.faults.values()))[0]
        self.seen[fault] += 1
        for part in self._answer(request, which, fault, dice):
            self.sent += len(part) if isinstance(part, bytes) and not part.startswith(b"HTTP/1.1 ") else 0
            yield part

    def _answer(self, request: Request, which: str, fault: str, dice: random.Random) -> Iterator[object]:
        if fault == "etag_changed":
            self.changed.add(which)
        body, tag = (OTHER, '"v2"') if which in self.changed else (CLIP, '"v1"')
        start = request.offset
        if fault == "range_ignored" or (request.headers.get("if-range") != tag and fault != "etag_changed"):
            start = 0
        rest, headers = body[start:], {"etag": tag}
        if start:
            shown = start + (dice.choice([-7, 5]) if fault == "range_wrong" else 0)
            headers["content-range"] = f"bytes {shown}-{len(body) - 1}/{len(body)}"
            rest = (body[shown:] + bytes(5))[: len(rest)]  # so that the sum would be right
        length = len(rest)
        cut = int(length * dice.random())
        if fault == "short_cl":
            length = cut
        if fault != "no_cl":
            headers["content-length"] = str(length)
        yield head("206 Partial Content" if start else "200 OK", **headers)
        if fault == "reset":
            yield rest[:cut]
            yield 0.003  # or the bytes before it are lost, too
            yield RESET
        elif fault == "truncate" or (fault == "no_cl" and dice.random() < 0.6):
            yield rest[:cut]
        else:
            yield rest


async def run_storm(folder: Path, storm: Storm, count: int) -> int:
    """Download so many clips, eight at once; returns how many were stored. Looks at every one."""
    limiter, stored = anyio.CapacityLimiter(8), 0

    async def one(server: Loopback, number: int) -> None:
        nonlocal stored
        target = folder / f"{number}.mp4"
        async with limiter:
            try:
                await fetch(Output(url=f"{server.url}/clip?{number}"), target, expected_duration=4)
            except DownloadError:
                assert not target.exists(), f"seed {storm.seed}, download {number}"
                return
        assert target.read_bytes() in (CLIP, OTHER), f"seed {storm.seed}, download {number}: a wrong file"
        stored += 1

    with serving(clip=storm) as server:
        async with anyio.create_task_group() as group:
            for number in range(count):
                group.start_soon(one, server, number)
    left = [name for name in names(folder) if not name.endswith(".mp4")]
    assert left == [], f"seed {storm.seed}: temporary files are left"
    return stored


@pytest.mark.anyio
@pytest.mark.promise("T6", "D1", "D3", "D5")
@pytest.mark.parametrize("count", [250, pytest.param(1000, marks=pytest.mark.chaos)])
async def test_a_storm_leaves_no_wrong_file_and_no_temporary_one(tmp_path: Path, count: int) -> None:
    storm = Storm(seed=20261120 + count, faults=FAULTS)
    stored = await run_storm(tmp_path, storm, count)
    assert set(storm.seen) == set(FAULTS)  # each was met
    assert stored >= 0.95 * count  # and nearly all of it got through all the same


@pytest.mark.anyio
@pytest.mark.promise("T6")
@pytest.mark.parametrize("count", [150, pytest.param(1000, marks=pytest.mark.chaos)])
async def test_resets_cost_few_bytes(tmp_path: Path, count: int) -> None:
    storm = Storm(seed=6, faults={"fine": 0.8, "reset": 0.2})
    assert await run_storm(tmp_path, storm, count) == count
    assert storm.seen["reset"] > count / 10
    assert storm.sent <= 1.5 * count * len(CLIP)


# --- killed

KILLED = """
import sys
from functools import partial
from pathlib import Path
import anyio
from videogen_core.downloads import save
from videogen_core.provider import Output
async def main():
    for number in range(10**6):
        await save(Output(url=sys.argv[1]), Path(sys.argv[2]) / f"{number}.mp4", allow_private=True)
        print(number, flush=True)
anyio.run(main)
"""


@pytest.mark.promise("D1", "T6")
@pytest.mark.parametrize("kills", [6, pytest.param(200, marks=pytest.mark.chaos)])
def test_kill_9_amid_downloads_leaves_nothing_half_done(tmp_path: Path, kills: int) -> None:
    dice = random.Random(9)

    def slow(_: Request) -> Iterator[object]:
        yield head(content_length=len(CLIP))
        for start in range(0, len(CLIP), 4096):
            yield CLIP[start : start + 4096]
            yield 0.002

    swept = stored = 0
    with serving(clip=slow) as server:
        for number in range(kills):
            folder = tmp_path / str(number)
            folder.mkdir()
            command = [sys.executable, "-c", KILLED, f"{server.url}/clip", str(folder)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                assert process.stdout
                process.stdout.readline()  # the first one is there
                time.sleep(dice.random() * 0.1)
                os.kill(process.pid, signal.SIGKILL)
            swept += sweep(folder)
            for name in names(folder):
                assert (folder / name).read_bytes() == CLIP, f"kill {number}: {name}"
                stored += 1
    assert stored >= kills
    assert swept >= 1


# --- what proves that nothing is missing


def live_webm() -> bytes:
    """As a browser records: neither its segment nor its clusters say how long they are."""
    data = clip(seconds=4, detail=40, codec="libvpx", container="webm")
    at = data.index(b"\x18\x53\x80\x67") + 4
    return data[:at] + b"\x01" + b"\xff" * 7 + data[at + 8 :]


LIVE = live_webm()
MD5 = hashlib.md5(CLIP).hexdigest()
AMAZON = {"x-amz-request-id": "1", "etag": f'"{MD5}"'}


@pytest.mark.anyio
@pytest.mark.promise("D3", "D4")
@pytest.mark.parametrize(
    ("headers", "known", "integrity"),
    [
        ({}, {}, "container"),
        ({"content_length": len(CLIP)}, {}, "length"),
        ({}, {"size": len(CLIP)}, "length"),
        ({}, {"sha256": hashlib.sha256(CLIP).hexdigest()}, "checksum"),
        ({"content_length": len(CLIP)}, {"sha256": hashlib.sha256(CLIP).hexdigest().upper()}, "checksum"),
        (AMAZON, {}, "checksum"),
        ({**AMAZON, "x-amz-server-side-encryption": "AES256"}, {}, "checksum"),
        ({**AMAZON, "x-amz-server-side-encryption": "aws:kms"}, {}, "container"),
        ({**AMAZON, "etag": f'"{MD5}-3"'}, {}, "container"),
        ({"etag": f'"{MD5}"'}, {}, "container"),
    ],
)
async def test_a_clip_says_how_it_was_proven(
    tmp_path: Path, headers: dict[str, object], known: dict[str, object], integrity: str
) -> None:
    with serving(clip=lambda _: [head(**headers), CLIP]) as server:
        video = await fetch(Output(url=f"{server.url}/clip", **known), tmp_path / "a.mp4")  # type: ignore[arg-type]
    assert video.integrity == integrity


@pytest.mark.anyio
@pytest.mark.promise("D3")
async def test_every_checksum_counts(tmp_path: Path) -> None:
    flipped = bytearray(CLIP)
    flipped[len(CLIP) // 2] ^= 1  # the container is whole, and it decodes
    wrong: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}, {}),
        ({"x-goog-hash": "crc32c=AAAAAA==,md5=AAAAAAAAAAAAAAAAAAAAAA=="}, {}),
        (AMAZON, {}),
        ({}, {"sha256": hashlib.sha256(CLIP).hexdigest()}),
    ]
    for headers, known in wrong:
        with serving(clip=whole(bytes(flipped), **headers)) as server:
            with pytest.raises(IntegrityError, match="checksum"):
                await fetch(Output(url=f"{server.url}/clip", **known), tmp_path / "a.mp4")  # type: ignore[arg-type]
            assert len(server.requests) == 2  # it may have been the transfer, so once more
    assert names(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.promise("D4")
async def test_a_recording_without_an_end_needs_a_length_from_elsewhere(tmp_path: Path) -> None:
    """Cut between two clusters it would still look whole, so without a length nobody can tell."""
    chunk = f"{len(LIVE):x}\r\n".encode() + LIVE + b"\r\n0\r\n\r\n"
    good: dict[str, list[object]] = {
        "length": [head(content_length=len(LIVE)), LIVE],
        "container": [head(transfer_encoding="chunked"), chunk],  # which the connection ends properly
    }
    for integrity, answer in good.items():
        with serving(clip=lambda _, answer=answer: answer) as server:
            video = await fetch(Output(url=f"{server.url}/clip"), tmp_path / f"{integrity}.webm")
        assert video.integrity == integrity
    for data in (LIVE, LIVE[: LIVE.rindex(b"\x1f\x43\xb6\x75")]):
        with (
            serving(clip=lambda _, data=data: [head(), data]) as server,
            pytest.raises(IntegrityError, match="neither it nor the server says how long it is"),
        ):
            await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.webm")
    assert len(names(tmp_path)) == 2


@pytest.mark.anyio
@pytest.mark.promise("D3", "D5")
async def test_what_is_not_whole_is_fetched_once_more(tmp_path: Path) -> None:
    def answer(request: Request) -> list[object]:
        first = len(server.requests) == 1
        return [head(), CLIP[:-100] if first else CLIP]

    with serving(clip=answer) as server:
        await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4")
    assert len(server.requests) == 2
    assert names(tmp_path) == ["a.mp4"]


PADDED = CLIP + (20_008).to_bytes(4) + b"free" + random.Random(5).randbytes(20_000)


@pytest.mark.anyio
@pytest.mark.promise("D5")
@pytest.mark.parametrize("fault", ["another start", "another total", "another tag", "weak tag", "no range at all"])
async def test_a_part_that_does_not_fit_is_not_taken(tmp_path: Path, fault: str) -> None:
    """Where nobody else would see it: inside padding, with every length right."""
    broken_at, total = len(PADDED) - 10_000, len(PADDED)
    start = broken_at + (7 if fault == "another start" else 0)
    said = total + (5 if fault == "another total" else 0)
    headers: dict[str, object] = {
        "etag": {"another tag": '"v2"', "weak tag": 'W/"v1"'}.get(fault, '"v1"'),
        "content-range": f"bytes {start}-{said - 1}/{said}",
    }
    if fault == "no range at all":
        del headers["content-range"]
    answers: list[list[object]] = [
        [head(content_length=total, etag='"v1"'), PADDED[:broken_at], 0.02, RESET],
        [head("206 Partial Content", content_length=10_000, **headers), bytes(10_000)],
        [head(content_length=total), PADDED],
    ]
    with serving(clip=lambda _: answers.pop(0)) as server:
        await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == PADDED
    assert [request.offset for request in server.requests] == [0, broken_at, 0]


# --- bounds


@pytest.mark.promise("D2")
def test_the_defaults_are_those_that_are_documented() -> None:
    defaults = {name: value.default for name, value in inspect.signature(downloads.save).parameters.items()}
    assert defaults["max_bytes"] == 2 * 1024**3
    assert (defaults["min_rate"], defaults["rate_window"]) == (10 * 1024, 30.0)
    assert defaults["timeout"] == 1800.0


@pytest.mark.anyio
@pytest.mark.promise("D2", "D1")
async def test_the_temporary_file_is_hidden_private_and_in_its_folder(tmp_path: Path) -> None:
    modes: set[int] = set()

    def look(received: int, total: int | None) -> None:
        for path in tmp_path.iterdir():
            assert path.name.startswith(f".videogen-{path.name[10:18]}-{os.getpid()}-")
            modes.add(path.stat().st_mode & 0o777)

    old = os.umask(0o022)
    try:
        with serving(clip=whole(CLIP)) as server:
            await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4", on_progress=look)
    finally:
        os.umask(old)
    assert modes == {0o600}
    assert names(tmp_path) == ["a.mp4"]
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells descriptors apart through /proc")
@pytest.mark.anyio
@pytest.mark.promise("D1")
async def test_the_name_comes_last_and_everything_is_flushed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order: file to disk, name, folder to disk; each folder that was made is flushed, too."""
    calls: list[str] = []
    target = tmp_path / "new" / "deep" / "a.mp4"
    real = {"fsync": os.fsync, "link": os.link}

    def fsync(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        calls.append("file" if place.suffix == ".part" else str(place.relative_to(tmp_path)))
        assert target.exists() == ("link" in calls)
        real["fsync"](descriptor)

    def link(*paths: str) -> None:
        calls.append("link")
        real["link"](*paths)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    await downloads.save(Output(data=CLIP), target)
    assert calls == [".", "new", "file", "link", "new/deep"]


# --- addresses that expire


class Signing(Acme):
    """Gives out addresses that age: the one of the n-th look ends in ``n``."""

    server: Loopback
    looks = 0

    def connect(self, context: object) -> Session:
        return SigningSession(self)


class SigningSession(AcmeSession):
    vendor: Signing

    async def poll(self, job: ProviderJob) -> Snapshot:
        snapshot = await super().poll(job)
        if snapshot.status is not JobStatus.SUCCEEDED:
            return snapshot
        self.vendor.looks += 1
        url = f"{self.vendor.server.url}/{self.vendor.looks}"
        return Snapshot(status=JobStatus.SUCCEEDED, outputs=(Output(url=url),), cost=snapshot.cost)


@pytest.mark.anyio
@pytest.mark.promise("D6")
@pytest.mark.parametrize("status", ["403 Forbidden", "404 Not Found", "410 Gone"])
async def test_an_expired_address_is_renewed_once(tmp_path: Path, status: str) -> None:
    data = clip(seconds=4)
    vendor = Signing(tmp_path / "vendor")
    with Loopback() as server:
        vendor.server = server
        settings = {"home": tmp_path / "home", "plugins": [vendor], "allow_private_addresses": True}
        async with AsyncClient(**settings) as videogen:  # type: ignore[arg-type]
            server.answers = {"/1": lambda _: [head(status)], "/2": whole(data)}
            result = await videogen.generate("boat", model="paper", duration=4, output=tmp_path / "a.mp4")
            assert result.path is not None
            assert vendor.looks == 2
            assert len(vendor.creates) == 1
            server.answers = {f"/{n}": lambda _: [head(status)] for n in range(3, 9)}
            with pytest.raises(ResultExpiredError, match="no longer has the result") as caught:
                await videogen.generate("boat", model="paper", duration=4, output=tmp_path / "b.mp4")
            assert vendor.looks == 4  # asked for a fresh one, once
            job = await videogen.job(caught.value.job_id or "")
            assert (job.status, job.artifact, job.money) == ("succeeded", "expired", "settled")
    assert names(tmp_path) == ["a.mp4", "home", "vendor"]
