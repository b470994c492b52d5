"""A disk that is full when it matters: the id of a job is kept, or told; and space is all that it takes to go on."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import rig
from history import check
from rig import CountedSession
from videogen_core import LedgerError, Submission, SubmissionUnknownError, SubmitCall, VideogenError
from videogen_core.engine import submission
from videogen_core.testing import Script, ServerProcess, serve_process

pytestmark = pytest.mark.promise("T8", "L2", "S3")


@contextmanager
def small_disk(folder: Path, kibibytes: int) -> Iterator[Path]:
    """A file system of its own.

    Raises:
        pytest.skip.Exception: We may not mount one.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here; run as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave not a byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with filler.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0")
    return filler


@pytest.fixture(scope="module")
def acme() -> Iterator[ServerProcess]:
    with serve_process("acme.emulator:AcmeEmulator") as found:
        yield found


@pytest.fixture(autouse=True)
def _ready(acme: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    acme.reset()
    acme.script_all(Script(polls=1, times=None))
    monkeypatch.setattr(submission, "_SAVE_AGAIN", (0.01, 0.02))


def full_once_asked(monkeypatch: pytest.MonkeyPatch, disk: Path, *, reserve: bool) -> None:
    """Fill the disk while a create is on its way; without the reserve the log cannot be begun anew, either."""
    original = CountedSession.submit
    if not reserve:
        monkeypatch.setattr("videogen_core.ledger.sqlite.SqliteLedger._make_room", lambda self: None)

    async def submit(self: CountedSession, call: SubmitCall) -> Submission:
        if not reserve:
            await asyncio.to_thread((disk / "ledger.db.reserve").unlink)
        await asyncio.to_thread(fill, disk)
        return await original(self, call)

    monkeypatch.setattr(CountedSession, "submit", submit)


def free(disk: Path) -> None:
    (disk / "filler").unlink()


def resumed(disk: Path, acme: ServerProcess) -> list[Any]:
    """In another process, say."""
    with rig.sync_client(disk, acme.url, output=str(disk.parent) + "/") as videogen:
        return videogen.resume(timeout=10)


def test_an_id_is_kept_on_a_full_disk(acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        full_once_asked(monkeypatch, disk, reserve=True)
        with rig.sync_client(disk, acme.url, output=str(tmp_path) + "/") as videogen:
            job = videogen.submit("boat", model="paper")
            assert (job.status, job.provider_job_id) == ("queued", acme.jobs()[0]["id"])
        free(disk)
        (answer,) = resumed(disk, acme)
        assert not isinstance(answer, VideogenError), answer
        assert answer.path.exists()
        history = check(str(disk / "ledger.db"), acme, "N")
        assert len(history.creates) == 1


def test_an_id_that_cannot_be_kept_is_told(
    acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        full_once_asked(monkeypatch, disk, reserve=False)
        with rig.sync_client(disk, acme.url, output=str(tmp_path) + "/") as videogen:
            with pytest.raises(LedgerError, match="disk is full") as caught:
                videogen.submit("boat", model="paper")
            theirs = acme.jobs()[0]["id"]
            assert theirs in caught.value.message
            assert "keep that id" in (caught.value.hint or "")
            free(disk)
        (answer,) = resumed(disk, acme)  # another process, which has only the ledger
        assert isinstance(answer, SubmissionUnknownError)
        with rig.sync_client(disk, acme.url) as videogen:
            job = videogen.jobs()[0].settle(attach=theirs)
            assert job.wait(10, output=tmp_path / "boat.mp4").path is not None
        assert len(check(str(disk / "ledger.db"), acme, "N").creates) == 1


def test_the_process_that_asked_remembers_it(
    acme: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        full_once_asked(monkeypatch, disk, reserve=False)
        with rig.sync_client(disk, acme.url, output=str(tmp_path) + "/") as videogen:
            with pytest.raises(LedgerError):
                videogen.submit("boat", model="paper")
            free(disk)
            (answer,) = videogen.resume(timeout=10)
            assert not isinstance(answer, VideogenError), answer
        assert len(check(str(disk / "ledger.db"), acme, "N").creates) == 1


def test_nothing_is_asked_for_when_it_cannot_be_put_on_record(acme: ServerProcess, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1024) as disk:
        with rig.sync_client(disk, acme.url) as videogen:
            assert videogen.jobs() == []
            fill(disk)
            with pytest.raises(VideogenError) as caught:
                videogen.generate("boat", model="paper", output=tmp_path / "boat.mp4")
            assert str(disk) in caught.value.message
        assert acme.count("create") == 0
        free(disk)
        with rig.sync_client(disk, acme.url) as videogen:
            assert videogen.generate("boat", model="paper", output=tmp_path / "boat.mp4").path is not None


def test_a_clip_that_does_not_fit_is_fetched_when_it_does(acme: ServerProcess, tmp_path: Path) -> None:
    acme.script_all(Script(polls=3, times=None))
    with small_disk(tmp_path / "disk", 80 * 1024) as disk, rig.sync_client(tmp_path / "home", acme.url) as videogen:
        job = videogen.submit("boat", model="paper", output=disk / "boat.mp4")
        fill(disk)
        with pytest.raises(VideogenError, match=r"full|space") as caught:
            job.wait(10)
        assert str(disk) in str(caught.value)
        assert (job.status, job.money, job.artifact) == ("succeeded", "settled", "partial")
        assert os.listdir(disk) == ["filler"]  # noqa: PTH208
        free(disk)
        assert job.wait(10).path == disk / "boat.mp4"
    assert len(check(str(tmp_path / "home" / "ledger.db"), acme, "N").creates) == 1
