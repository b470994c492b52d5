"""The ledger as a file: damaged, foreign or newer ones are refused with advice and left as they are."""

from __future__ import annotations

import ctypes
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import apsw
import pytest

import videogen_core.ledger.sqlite as module
from ledgers import created, finished
from videogen_core import LedgerError
from videogen_core.ledger.beside import network_filesystem
from videogen_core.ledger.sqlite import SqliteLedger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "ledger.db"


@pytest.fixture
def filled(path: Path) -> Path:
    """A ledger of some pages, closed."""
    with closing(SqliteLedger(str(path))) as ledger:
        for number in range(20):
            finished(ledger, number)
        ledger.vacuum()  # nothing is left in the log that would heal a damage
    return path


def test_files_and_folders_are_their_owner_s_alone(path: Path) -> None:
    ledger = SqliteLedger(str(path))
    created(ledger)
    files = list(path.parent.iterdir())
    assert {file.name for file in files} >= {"ledger.db", "ledger.db-wal", "ledger.db.marker", "ledger.db.reserve"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert path.parent.stat().st_mode & 0o077 == 0


def test_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(SqliteLedger("memory")) as ledger:
        finished(ledger)
        ledger.vacuum()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the locks")
def test_a_second_ledger_in_the_process_takes_no_lock_of_the_first_away(path: Path) -> None:
    """POSIX drops every lock that a process has on a file as soon as it closes any descriptor of it."""

    def locks() -> int:
        inode = f":{path.stat().st_ino} "
        mine = [line.split() for line in Path("/proc/locks").read_text().splitlines() if inode in line]
        return sum(line[4] == str(os.getpid()) for line in mine)

    with closing(SqliteLedger(str(path))) as first:
        created(first)
        before = locks()
        assert before
        SqliteLedger(str(path)).close()
        assert locks() == before
        with closing(SqliteLedger(str(path))) as second:
            assert len(second.jobs()) == 1


# --- damage


def header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(100))


def page(path: Path) -> None:
    """A page in the middle, which belongs to some table or index."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\xff" * 4096)


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def gone(path: Path) -> None:
    path.unlink()


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at " * 400)


def half_garbage(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 20_000)


def foreign(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    _execute(path, "CREATE TABLE recipes (name TEXT)")


def another_program_s(path: Path) -> None:
    _execute(path, "PRAGMA application_id = 7")


def newer(path: Path) -> None:
    _execute(path, "PRAGMA user_version = 99")


def _execute(path: Path, *statements: str) -> None:
    db = apsw.Connection(str(path))
    keep = ctypes.c_int(1)
    db.file_control("main", apsw.SQLITE_FCNTL_PERSIST_WAL, ctypes.addressof(keep))
    for statement in statements:
        db.execute(statement)
    db.close()


def no_wal(path: Path) -> None:
    """As after a crash, whose write-ahead log somebody has tidied away."""
    with closing(SqliteLedger(str(path))) as live:
        finished(live, 99)
        as_they_are = [(file, file.read_bytes()) for file in (path, Path(f"{path}.marker"))]
    for file, content in as_they_are:
        file.write_bytes(content)
    Path(f"{path}-wal").unlink()


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "header": (header, "damaged"),
    "page": (page, "damaged"),
    "half": (half, "damaged"),
    "empty": (empty, "missing or empty"),
    "gone": (gone, "missing or empty"),
    "garbage": (garbage, "damaged"),
    "half garbage": (half_garbage, "damaged"),
    "foreign": (foreign, "not a ledger"),
    "another program's": (another_program_s, "not a ledger"),
    "newer": (newer, "newer videogen"),
    "no write-ahead log": (no_wal, "-wal is missing"),
}


@pytest.mark.promise("T9", "L1", "L3")
@pytest.mark.parametrize("name", DAMAGE)
def test_a_file_that_is_no_ledger_any_more_is_refused_and_left_alone(filled: Path, name: str) -> None:
    damage, says = DAMAGE[name]
    damage(filled)
    before = contents(filled)
    for _ in range(2):  # a refusal must not change what the next start sees
        with pytest.raises(LedgerError, match=says) as caught:
            SqliteLedger(str(filled))
        assert caught.value.hint
        assert str(filled) in caught.value.message
    assert contents(filled) == before


def contents(path: Path) -> dict[str, bytes]:
    """The ledger and its write-ahead log; what is shared memory or empty says nothing."""
    files = {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith("-shm")}
    return {name: content for name, content in files.items() if content or name == path.name}


@pytest.mark.promise("T9", "L1")
@pytest.mark.parametrize("name", ["header", "page", "half"])
def test_damage_is_not_written_over_by_what_is_in_the_log(path: Path, tmp_path: Path, name: str) -> None:
    """With transactions in the write-ahead log, as after a crash."""
    live = SqliteLedger(str(path))
    for number in range(60):
        finished(live, number)
    crashed = tmp_path / "crashed"
    shutil.copytree(path.parent, crashed)
    live.close()
    DAMAGE[name][0](crashed / "ledger.db")
    before = contents(crashed / "ledger.db")
    assert len(before["ledger.db-wal"]) > 10_000
    with suppress(LedgerError), closing(SqliteLedger(str(crashed / "ledger.db"))) as ledger:
        assert len(ledger.jobs(limit=None)) == 60, "the log has every page that was damaged"
        assert ledger.check() == []
        return
    assert contents(crashed / "ledger.db") == before


@pytest.mark.promise("L1")
def test_what_a_crash_left_in_the_log_is_there_again(path: Path, tmp_path: Path) -> None:
    live = SqliteLedger(str(path))
    finished(live)
    shutil.copytree(path.parent, tmp_path / "crashed")
    assert SqliteLedger(str(tmp_path / "crashed" / "ledger.db")).get("vg-1").status == "succeeded"


@pytest.mark.promise("L1")
def test_a_ledger_may_be_given_up_by_removing_its_mark(filled: Path) -> None:
    gone(filled)
    with pytest.raises(LedgerError) as caught:
        SqliteLedger(str(filled))
    mark = Path(f"{filled}.marker")
    assert str(mark) in (caught.value.hint or "")
    mark.unlink()
    Path(f"{filled}-wal").unlink()
    assert SqliteLedger(str(filled)).jobs() == []


@pytest.mark.promise("L1")
def test_another_sqlite_program_may_fold_the_log_in(filled: Path) -> None:
    db = sqlite3.connect(filled)
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (20,)
    db.close()
    assert not Path(f"{filled}-wal").exists()
    assert len(SqliteLedger(str(filled)).jobs(limit=None)) == 20, "nothing is lost, so nothing is refused"


@pytest.mark.promise("L1")
def test_the_mark_of_former_versions_or_a_broken_one_does_no_harm(filled: Path) -> None:
    mark = Path(f"{filled}.marker")
    for content in (b"", b"\xff\xfe", b"file\n"):
        mark.write_bytes(content)
        SqliteLedger(str(filled)).close()
        assert mark.read_text().split() == ["with-wal", "0" * 17 + "60"]


@pytest.mark.parametrize("place", ["file/ledger.db", "folder"])
def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    with pytest.raises(LedgerError, match=place.partition("/")[0]) as caught:
        SqliteLedger(str(tmp_path / place))
    assert "VIDEOGEN_" in (caught.value.hint or "")


# --- versions of SQLite, network file systems


@pytest.mark.promise("L4")
def test_an_sqlite_whose_write_ahead_log_may_corrupt_uses_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with closing(SqliteLedger(str(path))) as ledger:
        finished(ledger)
        assert ledger._db.pragma("journal_mode") == "delete"
        assert ledger._db.pragma("synchronous") == 2
        assert not Path(f"{path}-wal").exists()
    with closing(SqliteLedger(str(path))) as ledger:
        assert ledger.check() == []
    monkeypatch.undo()
    with closing(SqliteLedger(str(path))) as ledger:
        assert ledger._db.pragma("journal_mode") == "wal"
        assert len(ledger.jobs()) == 1
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with closing(SqliteLedger(str(path))) as ledger:
        assert ledger._db.pragma("journal_mode") == "delete"
        assert len(ledger.jobs()) == 1


MOUNTS = """22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /mnt/share rw - nfs4 server:/export rw
31 22 0:27 / /mnt/with\\040space rw shared:3 master:1 - fuse.sshfs me@host: rw
32 30 0:28 / /mnt/share/local rw - tmpfs tmpfs rw
33 22 0:29 / /mnt/windows rw - cifs //server/share rw
nonsense
"""


@pytest.mark.promise("L5")
@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/home/ledger.db", None),
        ("/mnt/share/ledger.db", "nfs4"),
        ("/mnt/share/deep/down/ledger.db", "nfs4"),
        ("/mnt/shared/ledger.db", None),
        ("/mnt/share/local/ledger.db", None),
        ("/mnt/with space/ledger.db", "fuse.sshfs"),
        ("/mnt/windows/ledger.db", "cifs"),
    ],
)
def test_a_network_file_system_is_known(tmp_path: Path, place: str, kind: str | None) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_filesystem(Path(place), str(mounts)) == kind
    assert network_filesystem(Path(place), str(tmp_path / "none")) is None


@pytest.mark.promise("L5")
def test_a_ledger_on_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "network_filesystem", lambda _: "nfs4")
    with pytest.raises(LedgerError, match=r"network file system \(nfs4\)") as caught:
        SqliteLedger(str(path))
    assert "PostgreSQL" in (caught.value.hint or "")
    assert not path.exists()
