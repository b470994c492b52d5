"""Downloads: whole, verified and under the right name, or not there at all. Real sockets, real clips."""

from __future__ import annotations

import base64
import fcntl
import gzip
import hashlib
import io
import math
import os
import re
import stat
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path

import anyio
import pytest

from loopback import RESET, Answer, Loopback, Request, head, serving, whole
from media_samples import clip
from videogen_core.downloads import save
from videogen_core.errors import (
    ConfigurationError,
    DownloadError,
    IntegrityError,
    RequestError,
    ResultExpiredError,
)
from videogen_core.partials import Partial, sweep, temporary_name
from videogen_core.provider import Output
from videogen_core.retry import Backoff
from videogen_core.targets import check_target, target_path, with_ending
from videogen_core.transport import public_client

CLIP = clip(seconds=4, detail=40, faststart=True)
SECRET = "X-Amz-Signature=5ec2e7"
fetch = partial(save, allow_private=True, backoff=Backoff(first=0.02, attempts=4))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def ranged(body: bytes, cut: int, etag: str = '"v1"') -> Answer:
    """Sends ``cut`` bytes from the range asked for, then resets, until the end is reached."""

    def answer(request: Request) -> list[object]:
        start = request.offset
        rest = body[start:]
        headers: dict[str, object] = {"content_length": len(rest), "etag": etag}
        if start:
            headers["content_range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        first = head("206 Partial Content" if start else "200 OK", **headers)
        return [first, rest] if len(rest) <= cut else [first, rest[:cut], 0.02, RESET]

    return answer


# --- what works


@pytest.mark.anyio
@pytest.mark.promise("D2")
async def test_stores_a_clip_with_its_facts(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with serving(clip=whole(CLIP)) as server:
        output = Output(url=f"{server.url}/clip?{SECRET}", headers={"x-api-key": "k"})
        target = tmp_path / "new" / "deep" / "boat.mp4"
        video = await fetch(output, target, expected_duration=4, on_progress=lambda *args: seen.append(args))
    assert target.read_bytes() == CLIP
    assert (video.path, video.url, video.size, video.duration) == (target, None, len(CLIP), 4.0)
    assert video.sha256 == hashlib.sha256(CLIP).hexdigest()
    assert seen[-1] == (len(CLIP), len(CLIP))
    assert server.requests[0].headers["accept-encoding"] == "identity"
    assert server.requests[0].headers["x-api-key"] == "k"
    assert left_behind(target.parent) == ["boat.mp4"]


def _archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("frame_0000.png", b"a picture")
    return made.getvalue()


ARCHIVE, SOUND = _archive(), b"RIFF" + (36).to_bytes(4, "little") + b"WAVE" + bytes(32)


@pytest.mark.anyio
@pytest.mark.promise("D2")
@pytest.mark.parametrize(
    ("mime_type", "data"), [("application/zip", ARCHIVE), ("audio/wav", SOUND)], ids=["zip", "wav"]
)
async def test_stores_frames_and_sound_as_they_are(tmp_path: Path, mime_type: str, data: bytes) -> None:
    target = tmp_path / "boat.bin"
    video = await fetch(Output(data=data, mime_type=mime_type), target, expected_duration=4)
    assert target.read_bytes() == data
    assert (video.mime_type, video.size, video.duration) == (mime_type, len(data), None)
    assert video.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.anyio
@pytest.mark.promise("D2")
@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("application/zip", ARCHIVE[:-8]),
        ("application/zip", b"<html>gone</html>"),
        ("audio/wav", SOUND[:-8]),
        ("audio/wav", ARCHIVE),
        ("application/octet-stream", ARCHIVE),
    ],
    ids=["cut zip", "no zip", "cut wav", "no wav", "no clip"],
)
async def test_frames_and_sound_that_are_not_whole_leave_nothing(tmp_path: Path, mime_type: str, data: bytes) -> None:
    with pytest.raises(IntegrityError):
        await fetch(Output(data=data, mime_type=mime_type), tmp_path / "boat.bin")
    assert left_behind(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.promise("D1")
async def test_stores_inline_bytes_readable_as_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        video = await save(Output(data=CLIP, size=len(CLIP)), tmp_path / "a.mp4", expected_duration=4.3)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a.mp4").stat().st_mode) == 0o640
    assert video.width == 160
    assert left_behind(tmp_path) == ["a.mp4"]


@pytest.mark.anyio
@pytest.mark.promise("D2")
@pytest.mark.parametrize(
    ("expected", "complaint"),
    [
        ((4, 8), ""),
        ((2, 4), ""),
        ((3, 5), ""),
        ((4.7, 9), ""),
        ((4, math.inf), ""),
        ((1, 3.3), ""),
        ((1, 3), "4 s, 1 to 3 s were asked for"),
        ((5, 9), "4 s, 5 to 9 s were asked for"),
        ((5, math.inf), "4 s, at least 5 s were asked for"),
        (5, "4 s, 5 s were asked for"),
    ],
)
async def test_a_clip_may_last_between_two_ends(
    tmp_path: Path, expected: float | tuple[float, float], complaint: str
) -> None:
    """Its own four seconds, and 0.75 s or a tenth to either side."""
    target = tmp_path / "a.mp4"
    if not complaint:
        assert (await save(Output(data=CLIP), target, expected_duration=expected)).duration == 4
        return
    with pytest.raises(IntegrityError, match=complaint):
        await save(Output(data=CLIP), target, expected_duration=expected)
    assert left_behind(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.promise("D5")
async def test_resumes_where_it_broke_off(tmp_path: Path) -> None:
    step = len(CLIP) // 4 + 1
    with serving(clip=ranged(CLIP, step)) as server:
        await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == CLIP
    assert [request.offset for request in server.requests] == [0, step, 2 * step, 3 * step]
    assert {request.headers.get("if-range") for request in server.requests[1:]} == {'"v1"'}


@pytest.mark.anyio
@pytest.mark.promise("D5")
@pytest.mark.parametrize("fault", ["range ignored", "wrong range", "416", "changed", "weak etag"])
async def test_starts_over_when_it_cannot_resume(tmp_path: Path, fault: str) -> None:
    half = len(CLIP) // 2
    other = bytes(half) + CLIP[half:]

    def answer(request: Request) -> list[object]:
        number = len(server.requests)
        if number == 1:
            tag = 'W/"v1"' if fault == "weak etag" else '"v1"'
            return [head(content_length=len(CLIP), etag=tag), other[:half], 0.02, RESET]
        if request.offset and fault == "wrong range":
            return [head("206 Partial Content", content_range=f"bytes 0-{half}/{len(CLIP)}"), CLIP]
        if request.offset and fault == "changed":
            length = len(CLIP) + 5
            return [head("206 Partial Content", content_range=f"bytes {half}-{length - 1}/{length}"), CLIP]
        if request.offset and fault == "416":
            return [head("416 Range Not Satisfiable", content_length=0)]
        assert bool(request.offset) == (fault == "range ignored")
        return [head(content_length=len(CLIP)), CLIP]

    with serving(clip=answer) as server:
        await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == CLIP


@pytest.mark.anyio
async def test_waits_out_a_busy_server(tmp_path: Path) -> None:
    def answer(request: Request) -> list[object]:
        return [head("503 Busy", retry_after=0)] if len(server.requests) < 4 else [head(), CLIP]

    with serving(clip=answer) as server:
        await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4")
    assert len(server.requests) == 4


# --- what must not leave a file


def _gzip_bomb(_: Request) -> list[object]:
    body = gzip.compress(bytes(4 * 1024**2))
    return [head(content_encoding="gzip", content_length=len(body)), body]


def _endless(_: Request) -> list[object]:
    return [head(), *[bytes(65536)] * 40]


flipped = bytearray(CLIP)
flipped[len(CLIP) // 2] ^= 1
FAULTS: dict[str, tuple[Answer, type[DownloadError]]] = {
    "cut without a length": (lambda _: [head(), CLIP[:-100]], IntegrityError),
    "length too small": (lambda _: [head(content_length=len(CLIP) // 2), CLIP], IntegrityError),
    "short body": (lambda _: [head(content_length=len(CLIP)), CLIP[:-100]], DownloadError),
    "reset at once": (lambda _: [RESET], DownloadError),
    "cut chunk": (lambda _: [head(transfer_encoding="chunked"), b"fff\r\n", CLIP[:100]], DownloadError),
    "empty": (whole(b""), IntegrityError),
    "web page": (whole(b"<!DOCTYPE html><title>Sign in</title>"), IntegrityError),
    "bit flipped, md5 given": (
        whole(bytes(flipped), x_goog_hash="md5=" + base64.b64encode(hashlib.md5(CLIP).digest()).decode()),
        IntegrityError,
    ),
    "gzip bomb": (_gzip_bomb, DownloadError),
    "endless": (_endless, DownloadError),
    "announced too large": (lambda _: [head(content_length=10**12), b"x"], DownloadError),
    "garbage": (lambda _: [b"SSH-2.0-OpenSSH\r\n"], DownloadError),
    "401": (lambda _: [head("401 No")], DownloadError),
    "403": (lambda _: [head("403 Expired")], ResultExpiredError),
    "404": (lambda _: [head("404 Gone")], ResultExpiredError),
    "500": (lambda _: [head("500 Oops", retry_after=0)], DownloadError),
    "asks for an hour": (lambda _: [head("429 Slow down", retry_after=3600)], DownloadError),
    "redirects for ever": (lambda _: [head("302 Found", location="/clip?next")], DownloadError),
    "stalls": (lambda _: [head(content_length=len(CLIP)), CLIP[:100], 30.0], DownloadError),
    "trickles": (lambda _: [head(content_length=len(CLIP)), *[b"x", 0.02] * 500], DownloadError),
}


@pytest.mark.anyio
@pytest.mark.promise("D1", "D2", "D3")
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_transfer_leaves_nothing(tmp_path: Path, fault: str) -> None:
    answer, kind = FAULTS[fault]
    with serving(clip=answer) as server:
        output = Output(url=f"{server.url}/clip?{SECRET}")
        with pytest.raises(kind) as caught:
            await fetch(output, tmp_path / "a.mp4", max_bytes=1024**2, timeout=20, rate_window=0.1)
    assert type(caught.value) is kind
    assert SECRET not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert left_behind(tmp_path) == []


@pytest.mark.anyio
async def test_a_clip_in_a_place_of_the_users_own_that_may_not_be_read_is_not_gone(tmp_path: Path) -> None:
    with serving(clip=lambda _: [head("403 No")]) as server:
        output = Output(url=f"{server.url}/clip?{SECRET}", kept_at="gs://mine/clip.mp4")
        with pytest.raises(DownloadError, match=r"gs://mine/clip\.mp4 may not be read") as caught:
            await fetch(output, tmp_path / "a.mp4")
    assert type(caught.value) is DownloadError


@pytest.mark.anyio
@pytest.mark.promise("D3")
@pytest.mark.parametrize(
    "output",
    [
        Output(data=CLIP[: len(CLIP) // 2]),
        Output(data=bytes(flipped), sha256=hashlib.sha256(CLIP).hexdigest()),
        Output(data=CLIP, size=len(CLIP) + 1),
        Output(data=clip(seconds=1)),
        Output(data=b""),
    ],
    ids=["cut", "flipped", "size", "duration", "empty"],
)
async def test_faulty_inline_bytes_leave_nothing(tmp_path: Path, output: Output) -> None:
    with pytest.raises(IntegrityError):
        await save(output, tmp_path / "a.mp4", expected_duration=4)
    assert left_behind(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.promise("D2")
async def test_the_whole_transfer_has_a_deadline(tmp_path: Path) -> None:
    slow: list[object] = [head(content_length=len(CLIP)), *[CLIP[:1], 0.05] * 400]
    with serving(clip=lambda _: slow) as server:
        start = time.monotonic()
        with pytest.raises(DownloadError, match=r"did not end within 0\.4 s"):
            await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4", timeout=0.4)
    assert time.monotonic() - start < 2
    assert left_behind(tmp_path) == []


@pytest.mark.anyio
@pytest.mark.promise("D1")
async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    with serving(clip=lambda _: [head(), CLIP[:5000], 20.0]) as server:
        with anyio.move_on_after(0.3) as scope:
            await fetch(Output(url=f"{server.url}/clip"), tmp_path / "a.mp4")
    assert scope.cancelled_caught
    assert left_behind(tmp_path) == []


# --- other origins


@pytest.mark.anyio
@pytest.mark.promise("D7")
async def test_keys_go_to_the_first_origin_only(tmp_path: Path) -> None:
    def away(_: Request) -> list[object]:
        return [head("302 Found", location=f"{other.url}/back")]

    with Loopback(host="127.0.0.2") as other, serving(clip=away, final=whole(CLIP)) as server:
        other.answers["/back"] = lambda _: [head("307 Back", location=f"{server.url}/final")]
        headers = {"x-api-key": "k", "Authorization": "Bearer k", "API-KEY": "k", "Range": "bytes=5-"}
        await fetch(Output(url=f"{server.url}/clip", headers=headers), tmp_path / "a.mp4")
    assert server.requests[0].headers["authorization"] == "Bearer k"
    for request in (other.requests[0], server.requests[1]):
        assert not {"authorization", "x-api-key", "api-key", "range"} & set(request.headers)


@pytest.mark.anyio
@pytest.mark.promise("D7", "U1")
async def test_outputs_pass_the_address_guard(tmp_path: Path) -> None:
    with serving(clip=whole(CLIP)) as server, pytest.raises(DownloadError, match="not a public address"):
        await save(
            Output(url=f"{server.url}/clip"),
            tmp_path / "a.mp4",
            http=partial(public_client, ports={server.port}, allow_http=True),
        )
    assert server.requests == []
    assert left_behind(tmp_path) == []


# --- names and disks


@pytest.mark.anyio
@pytest.mark.promise("D1")
async def test_never_overwrites_unasked(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    target.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="exists already"):
        await save(Output(data=CLIP), target)
    assert target.read_bytes() == b"mine"
    await save(Output(data=CLIP), target, overwrite=True)
    await save(Output(data=CLIP), target)  # the same bytes: stored by a process that died, say
    assert target.read_bytes() == CLIP
    assert left_behind(tmp_path) == ["a.mp4"]


@pytest.mark.anyio
async def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="cannot be written"):
        await save(Output(data=CLIP), tmp_path / "file" / "a.mp4")


@pytest.mark.promise("D1")
def test_sweep_removes_what_dead_processes_left(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, "-c", "from videogen_core.partials import temporary_name; print(temporary_name())"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    dead, own, old = child.stdout.strip(), temporary_name(), temporary_name()
    foreign = re.sub(r"[0-9a-f]{12}", "0" * 12, dead)
    for name in (dead, own, old, foreign, "a.mp4", ".videogen-x.part"):
        (tmp_path / name).write_bytes(b"")
    lock = os.open(tmp_path / foreign, os.O_RDONLY)  # in another container, where its pid means another process
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.utime(tmp_path / old, (0, 0))
    transfer = Partial(tmp_path / "b.mp4", False, 100)
    transfer.open(None)
    # one with our own pid that is not ours: of a container that has been started again
    assert sweep(tmp_path) == 3
    left = [str(transfer.path and transfer.path.name), foreign, "a.mp4", ".videogen-x.part"]
    assert left_behind(tmp_path) == sorted(left)
    transfer.discard()
    os.close(lock)
    assert sweep(tmp_path) == 1
    assert sweep(tmp_path / "none") == 0


def place(output: str | None, folder: Path, **other: object) -> dict[str, object]:
    values = {"model": "google/veo-3.1", "provider": "replicate", "job_id": "vg_1", "index": 0, "count": 1}
    return {"output": output, "folder": folder, **values, **other}


@pytest.mark.promise("D1")
@pytest.mark.parametrize(
    ("output", "other", "expected"),
    [
        (None, {}, "lib/vg_1.mp4"),
        (None, {"count": 2, "index": 1}, "lib/vg_1-2.mp4"),
        ("{t}/a.mp4", {}, "a.mp4"),
        ("{t}/veo-3.1-x", {"count": 2}, "veo-3.1-x-1"),
        ("{t}/new/", {}, "new/google-veo-3.1-vg_1.mp4"),
        ("{t}", {"suffix": ".zip"}, "google-veo-3.1-vg_1.zip"),
        ("{t}/{model}-{provider}-{job_id}.mp4", {}, "google-veo-3.1-replicate-vg_1.mp4"),
        ("{t}/{index:03d}.mp4", {"count": 3, "index": 2}, "003.mp4"),
        ("{t}/{{x}}.mp4", {}, "{x}.mp4"),
        ("{t}/{model}.mp4", {"model": "../../etc/passwd\0"}, "etc-passwd-.mp4"),
        ("{t}/{model}/x.mp4", {"model": ".."}, "unnamed/x.mp4"),
    ],
)
def test_target_path(tmp_path: Path, output: str | None, other: dict[str, object], expected: str) -> None:
    text = output.replace("{t}", str(tmp_path)) if output else None
    assert target_path(**place(text, tmp_path / "lib", **other)) == tmp_path / expected  # type: ignore[arg-type]


def test_a_file_of_another_kind_has_its_own_ending() -> None:
    assert with_ending(Path("/clips/veo-3.1-fast"), ".zip") == Path("/clips/veo-3.1-fast.zip")
    assert with_ending(Path("/clips/boat.mp4"), ".mov") == Path("/clips/boat.mov")
    assert with_ending(Path("/clips/boat.mp4"), None) == Path("/clips/boat.mp4")


@pytest.mark.parametrize(
    "output", ["{prompt}.mp4", "{model.__class__}", "{}", "{0}", "{model!r}", "a{", "", " ", "a\0"]
)
def test_a_bad_template_is_refused(tmp_path: Path, output: str) -> None:
    with pytest.raises(RequestError, match="output"):
        target_path(**place(output, tmp_path))  # type: ignore[arg-type]


@pytest.mark.promise("T8")
def test_check_target_refuses_before_anything_is_spent(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"mine")
    (tmp_path / "b.mp4").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    assert check_target(**place(f"{tmp_path}/new/x.mp4", tmp_path)) == tmp_path / "new" / "x.mp4"  # type: ignore[arg-type]
    assert check_target(**place(f"{tmp_path}/a.mp4", tmp_path), overwrite=True)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
    refused = ["a.mp4", "b.mp4", "a.mp4/x.mp4", "a.mp4/", "folder/{job_id}/" + "x" * 300, "a.mp4/new/x.mp4"]
    for output in [*(f"{tmp_path}/{name}" for name in refused), "/proc/x.mp4", "/dev/null"]:
        with pytest.raises((RequestError, ConfigurationError)) as caught:
            check_target(**place(output, tmp_path))  # type: ignore[arg-type]
        assert "output" in str(caught.value)
    assert left_behind(tmp_path) == ["a.mp4", "b.mp4", "folder"]


@pytest.mark.promise("T8")
def test_check_target_reports_a_read_only_disk(tmp_path: Path) -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = [mount for _, mount, _, flags, *_ in mounts if "ro" in flags.split(",") and Path(mount).is_dir()]
    if not found:
        pytest.skip("no read-only file system here")
    with pytest.raises(ConfigurationError, match=r"Read-only|free"):
        check_target(**place(f"{found[0]}/x.mp4", tmp_path))  # type: ignore[arg-type]
