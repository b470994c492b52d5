"""Disks that are full, read-only or somebody else's: a clear error, nothing left, and the same download later works."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from disks import Disk, temporary_disk
from loopback import Request, head, serving, whole
from media_samples import clip
from videogen_core import partials
from videogen_core.downloads import save
from videogen_core.errors import ConfigurationError, DownloadError
from videogen_core.provider import Output
from videogen_core.retry import Backoff
from videogen_core.targets import check_target

CLIP = clip(seconds=4, detail=40, faststart=True)
fetch = partial(save, allow_private=True, backoff=Backoff(first=0.02, attempts=3))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


@pytest.mark.anyio
@pytest.mark.promise("T8", "D2", "D1")
@pytest.mark.parametrize("way", ["announced", "unannounced", "inline"])
async def test_a_full_disk_is_reported_and_left_clean_and_the_download_works_later(small_disk: Disk, way: str) -> None:
    filler = small_disk.fill(leave=8192)
    target = small_disk.path / "boat.mp4"

    def unannounced(_: Request) -> list[object]:
        return [head(), CLIP]

    with serving(clip=whole(CLIP) if way == "announced" else unannounced) as server:
        output = Output(data=CLIP) if way == "inline" else Output(url=f"{server.url}/clip")
        with pytest.raises(DownloadError, match="No space left on device") as caught:
            await fetch(output, target)
        assert type(caught.value) is DownloadError
        assert str(target) in caught.value.message
        assert f"{len(CLIP):,} bytes more are needed" in caught.value.message
        assert "resume" in (caught.value.hint or "")
        assert names(small_disk.path) == ["filler"]
        assert small_disk.free == 8192  # not a byte was lost
        filler.unlink()
        assert (await fetch(output, target)).size == len(CLIP)
    assert target.read_bytes() == CLIP
    assert names(small_disk.path) == ["boat.mp4"]


@pytest.mark.anyio
@pytest.mark.promise("T8", "D2")
async def test_what_cannot_fit_is_not_even_begun(small_disk: Disk) -> None:
    def announce(_: Request) -> list[object]:
        return [head(content_length=600_000), 5.0]

    start = time.monotonic()
    with serving(clip=announce) as server:
        with pytest.raises(DownloadError, match=r"No space left on device \(600,000 bytes more are needed\)"):
            await fetch(Output(url=f"{server.url}/clip"), small_disk.path / "boat.mp4")
        assert time.monotonic() - start < 2
    assert names(small_disk.path) == []


@pytest.mark.anyio
@pytest.mark.promise("T8", "D2")
async def test_a_disk_that_fills_up_amid_a_transfer(small_disk: Disk) -> None:
    def answer(_: Request) -> Iterator[object]:
        # announced, and there is room; by the time that the rest comes, somebody else has taken it
        yield head(content_length=len(CLIP))
        yield CLIP[:4096]
        yield 0.05
        small_disk.fill()
        yield CLIP[4096:]

    with serving(clip=answer) as server, pytest.raises(DownloadError, match="No space left on device"):
        await fetch(Output(url=f"{server.url}/clip"), small_disk.path / "boat.mp4")
    assert names(small_disk.path) == ["filler"]


@pytest.mark.anyio
@pytest.mark.promise("T8")
async def test_a_read_only_disk(read_only_disk: Disk) -> None:
    target = read_only_disk.path / "boat.mp4"
    with pytest.raises(DownloadError, match="Read-only file system") as caught:
        await fetch(Output(data=CLIP), target)
    assert str(target) in caught.value.message


@pytest.mark.promise("T8")
def test_before_anything_is_spent_a_bad_disk_is_known(small_disk: Disk, tmp_path: Path) -> None:
    place: dict[str, Any] = {"folder": tmp_path, "model": "m", "provider": "p", "job_id": "vg_1"}
    place |= {"index": 0, "count": 1}
    with pytest.raises(ConfigurationError, match=r"only [\d,]+ bytes are free in .*67,108,864 are needed"):
        check_target(f"{small_disk.path}/a.mp4", **place)
    large = temporary_disk(tmp_path / "large", size=128 * 1024**2, read_only=True)
    with large as disk, pytest.raises(ConfigurationError, match="Read-only"):
        check_target(f"{disk.path}/a.mp4", **place)
    assert names(small_disk.path) == []


LIMITED = """
import anyio, resource, sys
from pathlib import Path
from videogen_core.downloads import save
from videogen_core.provider import Output
data, target = sys.stdin.buffer.read(), Path(sys.argv[1]) / "a.mp4"
def attempt():
    try:
        anyio.run(save, Output(data=data), target)
        print("stored")
    except Exception as error:
        print(type(error).__name__, error.message)
"""


def limited(folder: Path, script: str, *before: str) -> list[str]:
    """Lines that a process prints which stores a clip under a limit."""
    command = [*before, sys.executable, "-c", LIMITED + script, str(folder)]
    return subprocess.run(command, input=CLIP, capture_output=True, check=True).stdout.decode().splitlines()


@pytest.mark.promise("T8")
def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    lines = limited(
        tmp_path,
        "soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard)); attempt()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)); attempt()\n",
    )
    problem = f"DownloadError {tmp_path}/a.mp4 cannot be written: File too large ({len(CLIP):,} bytes more are needed)."
    assert lines == [problem, "stored"]
    assert names(tmp_path) == ["a.mp4"]


@pytest.mark.promise("T8")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o500)
    before: list[str] = []
    if os.geteuid() == 0:  # root may write anywhere, unless it goes without that right
        if shutil.which("setpriv") is None:
            pytest.skip("root may write anywhere, and there is no setpriv to take that right away")
        before = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    script = "attempt(); target.parent.chmod(0o700); attempt()\n"
    assert limited(folder, script, *before) == [
        f"DownloadError {folder}/a.mp4 cannot be written: Permission denied.",
        "stored",
    ]
    assert names(folder) == ["a.mp4"]


# --- each call of the system fails in turn


class Failing:
    """The module ``os``, one function of which fails once."""

    def __init__(self, function: str, error: int) -> None:
        self.function, self.error, self.calls = function, error, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._fail(real) if name == self.function else real

    def _fail(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise OSError(self.error, os.strerror(self.error))
            return real(*args, **kwargs)

        return call


@pytest.mark.anyio
@pytest.mark.promise("T8", "D1")
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("function", ["open", "write", "fsync", "fstat"])
async def test_every_failure_of_the_disk_is_ours_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: int
) -> None:
    target = tmp_path / "a.mp4"
    with monkeypatch.context() as patch:
        failing = Failing(function, error)
        patch.setattr(partials, "os", failing)
        with pytest.raises(DownloadError, match="cannot be written") as caught:
            await save(Output(data=CLIP), target)
    assert failing.calls == 1
    assert str(target) in caught.value.message
    if error in (errno.ENOSPC, errno.EDQUOT):
        assert f"{len(CLIP):,} bytes more are needed" in caught.value.message
    assert names(tmp_path) == []
    await save(Output(data=CLIP), target)
    assert names(tmp_path) == ["a.mp4"]


@pytest.mark.anyio
@pytest.mark.promise("D1")
@pytest.mark.parametrize("renaming", [True, False], ids=["renameat2", "rename"])
async def test_a_disk_without_hard_links_still_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renaming: bool
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(partials, "os", SimpleNamespace(**{**vars(os), "link": no_links}))
    if not renaming:
        monkeypatch.setattr(partials, "_renameat2", lambda path, target: False)
    target = tmp_path / "a.mp4"
    target.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="exists already"):
        await save(Output(data=CLIP), target)
    assert target.read_bytes() == b"mine"
    target.unlink()
    await save(Output(data=CLIP), target)
    assert target.read_bytes() == CLIP
    assert names(tmp_path) == ["a.mp4"]
