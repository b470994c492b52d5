"""What lies beside an SQLite ledger: a mark that it exists, and space set aside for a full disk."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

from ..errors import LedgerError

__all__ = ["Marker", "Reserve", "make_private", "network_filesystem"]

_RESERVE_BYTES = 128 * 1024
_NETWORK = ("nfs", "cifs", "smb", "sshfs", "lustre", "gpfs", "beegfs", "ceph", "gluster", "afs")
_WITH_WAL = "with-wal"
_creating = threading.Lock()


def make_private(path: Path) -> None:
    """Create folder and file for their owner alone; the file exists before SQLite would make it world-readable.

    A file that exists is not opened: closing it would drop every lock that this process has on it.

    Raises:
        OSError: It cannot be created, or not be written to.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _creating, suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, "it cannot be written to", str(path))


class Marker:
    """A small file that says: there is a ledger here, and this was the last event in it.

    An empty file is a valid, empty database, and so is a file whose write-ahead log was removed. Without the mark,
    both would pass for a ledger, and what was paid for would be forgotten. A log that another program has folded into
    the ledger is missing, too, but then the last event is there.
    """

    def __init__(self, location: str) -> None:
        self._ledger = Path(location)
        self._wal = Path(f"{location}-wal")
        self.path = Path(f"{location}.marker")
        self._noted = -1
        self._has_wal = False

    def verify(self) -> int | None:
        """The last event that the ledger must hold, since its write-ahead log is gone or empty; None = it is there.

        Raises:
            LedgerError: The ledger itself is gone or empty.
        """
        try:
            said = self.path.read_text(encoding="ascii").split()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError):
            said = []
        if not self._ledger.exists() or self._ledger.stat().st_size == 0:
            raise self._gone(self._ledger, "There was a ledger here, and with it the record of jobs and their costs")
        if _WITH_WAL not in said or (self._wal.exists() and self._wal.stat().st_size):
            return None
        return max((int(word) for word in said if word.isdecimal()), default=0)

    def incomplete(self) -> LedgerError:
        """The error of a ledger that lacks what its write-ahead log held."""
        return self._gone(self._wal, "It held the last transactions of the ledger, which are not in it")

    def _gone(self, path: Path, why: str) -> LedgerError:
        return LedgerError(
            f"{path} is missing or empty. {why}.",
            hint=f"Restore it from a copy. To go on without it, remove {self.path}.",
        )

    def leave(self, last_event: int, *, wal: bool) -> None:
        """Say that there is a ledger, whether a write-ahead log belongs to it, and what the last event in it is."""
        self._has_wal = wal
        self._write(last_event, os.O_CREAT)

    def note(self, last_event: int) -> None:
        """Say what the last event is now. Not synced: to lag behind is no harm, to be ahead would be."""
        if self._has_wal and last_event > self._noted:
            with suppress(OSError):
                self._write(last_event)

    def _write(self, last_event: int, flags: int = 0) -> None:
        # of one length, so that it is always whole
        text = f"{_WITH_WAL if self._has_wal else 'the-file'} {last_event:019}\n"
        descriptor = os.open(self.path, os.O_WRONLY | flags, 0o600)
        try:
            os.pwrite(descriptor, text.encode(), 0)
            if flags:
                os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)
        self._noted = last_event


class Reserve:
    """Space that is given up when the disk is full, so that what is already paid for can still be written down."""

    def __init__(self, location: str) -> None:
        self.path = Path(f"{location}.reserve")

    def fill(self) -> bool:
        """Take the space. False when there is not enough; where files cannot be made at all, a ledger works without."""
        with suppress(OSError):
            if self.path.stat().st_size >= _RESERVE_BYTES:
                return True
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                # noise, since a hole takes no space, and zeros are nothing to a file system that compresses
                return os.write(descriptor, os.urandom(_RESERVE_BYTES)) == _RESERVE_BYTES
            finally:
                os.close(descriptor)
        except OSError as error:
            return error.errno not in (errno.ENOSPC, errno.EDQUOT)

    def free(self) -> None:
        """Give it up, if there is any."""
        with suppress(OSError):
            self.path.unlink()


def network_filesystem(path: Path, mounts: str = "/proc/self/mountinfo") -> str | None:
    """The kind of network file system that a path is on; None for a local one, or where that cannot be told."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
        where = str(path.expanduser().absolute().parent.resolve())
    except OSError:
        return None
    best, kind = "", ""
    for line in lines:
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = fields[4].replace("\\040", " ")
        inside = where == point or where.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind if any(word in kind for word in _NETWORK) else None
