"""A full disk refuses what is new and takes what is paid for; one that cannot be written to is refused with advice."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledgers import LOST, NOW, accept, begun, created, event, finished, sent, succeed
from videogen_core import LedgerError, transitions
from videogen_core.ledger.sqlite import SqliteLedger


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("may not mount a small file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(place: Path) -> Path:
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return ballast


def exhaust(ledger: SqliteLedger, name: str) -> None:
    """Make new jobs until there is no room for another."""
    numbers = iter(range(200))
    with pytest.raises(LedgerError, match="disk is full") as caught:
        any(created(ledger, f"{name}-{number}") is None for number in numbers)
    assert "Free some space" in (caught.value.hint or "")


@pytest.mark.promise("T8", "T9", "L2")
def test_a_full_disk_refuses_what_is_new_and_takes_what_is_paid_for(small_disk: Path) -> None:
    ledger = SqliteLedger(str(small_disk / "ledger.db"))
    under_way = [sent(ledger, number) for number in range(4)]
    waiting = created(ledger, "waiting")
    ballast = fill(small_disk)
    for job in under_way:
        exhaust(ledger, f"before-{job.id}")
        taken = ledger.save(accept(job, f"pj-{job.id}"), event(job, "accepted"))
        exhaust(ledger, f"after-{job.id}")
        ledger.save(succeed(taken))
    with pytest.raises(LedgerError, match="disk is full"):
        ledger.begin(begun(waiting), fence=None)
    assert ledger.get("vg-waiting") == waiting
    ledger.close()
    ballast.unlink()
    with closing(SqliteLedger(str(small_disk / "ledger.db"))) as again:
        assert (small_disk / "ledger.db.reserve").stat().st_size == 128 * 1024, "space is set aside again"
        assert [job.provider_job_id for job in again.jobs(status="succeeded")] == [f"pj-vg-{n}" for n in (3, 2, 1, 0)]
        assert again.begin(begun(waiting), fence=None)[0].version == 1
        assert again.check() == []


@pytest.mark.promise("T8", "L2")
def test_a_ledger_opens_on_a_full_disk_and_finds_what_is_paid_for(small_disk: Path) -> None:
    ledger = SqliteLedger(str(small_disk / "ledger.db"))
    lost = ledger.save(transitions.lose(sent(ledger), NOW, LOST))
    ledger.close()
    fill(small_disk)
    with closing(SqliteLedger(str(small_disk / "ledger.db"))) as again:
        assert again.get("vg-1") == lost
        assert again.save(accept(lost, "pj")).provider_job_id == "pj"
        exhaust(again, "new")


@pytest.mark.promise("T8", "L2")
def test_a_new_ledger_on_a_full_disk_is_refused(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(LedgerError, match=r"disk is full|No space left|could not be") as caught:
        created(SqliteLedger(str(small_disk / "ledger.db")))
    assert caught.value.hint


@pytest.mark.promise("T9")
def test_a_read_only_file_system_is_refused(small_disk: Path) -> None:
    path = small_disk / "ledger.db"
    with closing(SqliteLedger(str(path))) as ledger:
        finished(ledger)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(LedgerError, match=r"cannot be written|ead-only") as caught:
        SqliteLedger(str(path))
    assert "writable" in (caught.value.hint or "")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may look into; pytest's own may only be looked into by whoever runs the tests."""
    folder = Path(tempfile.mkdtemp(prefix="videogen-"))
    folder.chmod(0o755)
    yield folder
    for file in (folder, *folder.rglob("*")):
        file.chmod(0o755)
    shutil.rmtree(folder)


def opened_by_nobody(path: Path) -> str:
    """What a process says that has no right to everything."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setegid(65534)
                os.seteuid(65534)
            try:
                SqliteLedger(str(path))
                said = "it was opened"
            except LedgerError as error:
                said = str(error)
            os.write(writing, said.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


@pytest.mark.promise("T9")
def test_a_file_that_may_not_be_written_is_refused(public: Path) -> None:
    path = public / "ledger.db"
    with closing(SqliteLedger(str(path))) as ledger:
        finished(ledger)
    path.chmod(0o444)
    said = opened_by_nobody(path)
    assert "could not be opened" in said
    assert "writable" in said


@pytest.mark.promise("T9")
def test_a_folder_that_may_not_be_written_is_refused(public: Path) -> None:
    public.chmod(0o555)
    said = opened_by_nobody(public / "ledger.db")
    assert "could not be opened" in said
    assert "writable" in said
    assert opened_by_nobody(public / "deep" / "ledger.db").startswith("The ledger")
