"""Temporary files: a clip gets its name only when it is whole, checked and on the disk. Everything here blocks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import math
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import msgspec

from .clips import probe, probe_file
from .errors import DownloadError, IntegrityError
from .states import Video

__all__ = [
    "Expected",
    "Partial",
    "Stamp",
    "claim",
    "copy_file",
    "remove",
    "sweep",
    "sync_folder",
    "temporary",
    "temporary_name",
]

Stamp = Callable[[Path, Video], bytes]
"""What is to be added at the end of a file that has been checked and has no name yet, from the file and what it is."""

_RESUME = "Resume the job to fetch it again."

_TEMPORARY = re.compile(r"^\.videogen-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{12}\.part$")
_STALE = 24 * 3600.0  # seconds; no transfer takes so long, so such a file is nobody's, whatever its pid says
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RENAME_NOREPLACE = 1
_ours: set[str] = set()  # names of the temporary files that this process is writing


def _host() -> str:
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]


def temporary_name() -> str:
    return f".videogen-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part"


@contextmanager
def temporary(folder: Path) -> Iterator[Path]:
    """A temporary name in a folder that no sweep of this process takes for abandoned while the block runs."""
    path = folder / temporary_name()
    _ours.add(path.name)
    try:
        yield path
    finally:
        _ours.discard(path.name)


def sweep(folder: Path) -> int:
    """Remove the temporary files and folders of processes that have died; returns how many. Blocks.

    Files of this machine go when their process is gone, all others after a day. A process in another container may have
    the same machine's name and a pid that means nothing here; the lock on its file tells.
    """
    removed = 0
    for path in folder.glob(".videogen-*.part"):
        with suppress(OSError):  # another process may be sweeping, too
            if _is_abandoned(path):
                remove(path)
                removed += 1
    return removed


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing happens when there is none."""
    if path.is_dir() and not path.is_symlink():
        with suppress(FileNotFoundError):  # another process is removing it, too
            shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    match = _TEMPORARY.match(path.name)
    if match is None:
        return False
    if time.time() - path.lstat().st_mtime > _STALE:
        return True
    if match["host"] != _host():
        return False
    pid = int(match["pid"])
    # a container that starts again often has the pid of its last life
    alive = path.name in _ours if pid == os.getpid() else _alive(pid)
    return not alive and not _locked(path)


def _locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # not every file system has locks
        return False
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@dataclass(frozen=True)
class Expected:
    """What must be true of the bytes before they get their name.

    Attributes:
        size: Bytes.
        sha256: Hex digest.
        md5: Hex digest.
        duration: Seconds, or the least and the most, within 10 % or 0.75 s.
        framed: Whether the way they came by tells their end, although not how many there would be.
        mime_type: As the provider says: of an archive or a sound file, no clip is expected.
    """

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    duration: float | tuple[float, float] | None = None
    framed: bool = False
    mime_type: str = "video/mp4"

    @property
    def beside(self) -> bool:
        """Whether it is no clip."""
        return self.mime_type in ("application/zip", "audio/wav")

    @property
    def integrity(self) -> Literal["checksum", "length", "container"]:
        """The strongest of these proofs that nothing is missing."""
        if self.sha256 is not None or self.md5 is not None:
            return "checksum"
        return "length" if self.size is not None else "container"


@dataclass
class Partial:
    """The temporary file of one attempt, beside its destination. Every method blocks.

    Attributes:
        target: The name that the file gets at the end.
        overwrite: Whether another file may lose that name.
        max_bytes: The most that is taken.
        probe_in_process: Decode the clip here instead of in a child process.
        stamp: Gives what is added to it once it is checked.
        path: Where it is until then.
        descriptor: Open for writing; -1 while it is not.
        mode: Permission bits at the end.
        need: Bytes that it will have, where somebody has said so.
        written: Bytes that it has.
    """

    target: Path
    overwrite: bool
    max_bytes: int
    probe_in_process: bool = False
    stamp: Stamp | None = None
    path: Path | None = None
    descriptor: int = -1
    mode: int = 0o600
    need: int | None = None
    written: int = 0

    def open(self, need: int | None) -> None:
        """Create it, and the folders above it, once there is room for ``need`` bytes."""
        if need is not None and need > self.max_bytes:
            raise DownloadError(f"The video has {need:,} bytes; at most {self.max_bytes:,} are taken.")
        self.need = need
        with self._disk_errors():
            folder = self.target.parent
            _make_folder(folder)
            if need is not None and shutil.disk_usage(folder).free < need:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.mode = _usual_mode(folder)
            self._create(folder / temporary_name())

    def _create(self, path: Path) -> None:
        _ours.add(path.name)
        try:
            self.descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except OSError:
            _ours.discard(path.name)
            raise
        self.path = path
        with suppress(OSError):  # see _locked
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with self._disk_errors(len(data)):
            view = memoryview(data)
            while view:
                done = os.write(self.descriptor, view)
                self.written += done
                view = view[done:]

    def copy(self, source: int) -> None:
        """Append what is left of an open file.

        Raises:
            IntegrityError: The file cannot be read.
            DownloadError: The disk refuses.
        """
        with self._disk_errors():
            self.written += copy_file(source, self.descriptor)

    def restart(self) -> None:
        """Throw away what has been written."""
        if self.descriptor < 0:
            return
        with self._disk_errors():
            os.ftruncate(self.descriptor, 0)
            os.lseek(self.descriptor, 0, os.SEEK_SET)
            self.written = 0

    def finish(self, tail: bytes | bytearray | memoryview, expected: Expected) -> Video:
        """Write the rest, check everything, and give the file its name.

        Raises:
            IntegrityError: The bytes are not what was expected, or no whole clip.
            DownloadError: The disk refuses, or the name is taken.
        """
        self.write(tail)
        with self._disk_errors():
            try:
                video = self._checked(expected)
            except DownloadError as error:
                message = f"{self.target.name} was not stored: {error.message}"
                raise type(error)(message, hint=error.hint or _RESUME) from error
            video = self._stamped(video)
            if stat.S_IMODE(os.fstat(self.descriptor).st_mode) != self.mode:
                os.fchmod(self.descriptor, self.mode)
            os.fsync(self.descriptor)
            self._name(video)
            sync_folder(self.target.parent)
        self.discard()
        return msgspec.structs.replace(video, path=self.target)

    def _checked(self, expected: Expected) -> Video:
        path = cast("Path", self.path)
        if expected.size is not None and self.written != expected.size:
            raise IntegrityError(f"{self.written:,} bytes arrived, {expected.size:,} were announced.")
        if expected.md5 is not None and _digest(path, "md5") != expected.md5:
            raise IntegrityError("the bytes that arrived do not match the server's checksum.")
        vouched = expected.framed or expected.integrity != "container"
        if expected.beside:
            video = probe_file(path, expected.mime_type)
        else:
            video = probe(path, in_process=self.probe_in_process, vouched=vouched)
        if expected.sha256 is not None and video.sha256 != expected.sha256.lower():
            raise IntegrityError("the bytes that arrived do not match the provider's checksum.")
        if expected.duration is not None and video.duration is not None:
            _check_duration(video.duration, expected.duration)
        return msgspec.structs.replace(video, integrity=expected.integrity)

    def _stamped(self, video: Video) -> Video:
        path = cast("Path", self.path)
        more = b"" if self.stamp is None else self.stamp(path, video)
        if not more:
            return video
        os.lseek(self.descriptor, 0, os.SEEK_END)
        self.write(more)
        return msgspec.structs.replace(video, size=self.written, sha256=_digest(path, "sha256"))

    def _name(self, video: Video) -> None:
        """Give the file its name; never over another file unless that was asked for."""
        path = cast("Path", self.path)
        if self.overwrite:
            path.replace(self.target)
            return
        try:
            _rename_to_new(path, self.target)
        except FileExistsError:
            # the same clip, stored by a process that died before it could say so
            if _digest(self.target, "sha256") == video.sha256:
                return
            hint = "Move it away or choose another output, then resume the job."
            raise DownloadError(f"{self.target} exists already, so nothing was stored.", hint=hint) from None

    def discard(self) -> None:
        """Remove what is left of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()
            _ours.discard(self.path.name)
            self.path = None

    @contextmanager
    def _disk_errors(self, at_least: int = 0) -> Iterator[None]:
        """Say of a failure which file it is about, and how many bytes more it needs: ``at_least``, or what is known."""
        try:
            yield
        except OSError as error:
            needed = ""
            if error.errno in _FULL:  # some file systems find out last, when nothing seems to be missing
                need = max(at_least, (self.need or 0) - self.written) or self.written
                needed = f" ({need:,} bytes more are needed)"
            raise DownloadError(
                f"{self.target} cannot be written: {error.strerror}{needed}.",
                hint="Free some space or choose another output, then resume the job.",
            ) from error


def _check_duration(seconds: float, wanted: float | tuple[float, float]) -> None:
    least, most = wanted if isinstance(wanted, tuple) else (wanted, wanted)
    if not least - max(0.75, least / 10) <= seconds <= most + max(0.75, most / 10):
        asked = f"{least:g}"
        if most != least:
            asked = f"at least {asked}" if most == math.inf else f"{asked} to {most:g}"
        raise IntegrityError(f"the video lasts {seconds:g} s, {asked} s were asked for.")


def _digest(path: Path, algorithm: str) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def claim(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _usual_mode(folder: Path) -> int:
    """The permission bits that a new file gets here, by umask and folder. Tried on an empty one: to ask for the umask
    is to change it, for every thread."""
    with temporary(folder) as trial:
        descriptor = os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            return stat.S_IMODE(os.fstat(descriptor).st_mode)
        finally:
            os.close(descriptor)
            trial.unlink(missing_ok=True)


def copy_file(source: int, target: int) -> int:
    """Append what is left of one open file to another; returns how many bytes that was.

    Where the file system can, the two share their blocks until one is changed, and nothing is read or written.

    Raises:
        IntegrityError: The source cannot be read.
        OSError: The target cannot be written.
    """
    copied = 0
    if hasattr(os, "copy_file_range"):
        with suppress(OSError):  # not here, or not between these two; by hand, then, from where it stopped
            while count := os.copy_file_range(source, target, 2**30):
                copied += count
    while chunk := _read(source):
        view = memoryview(chunk)
        while view:
            view = view[os.write(target, view) :]
        copied += len(chunk)
    return copied


def _read(source: int) -> bytes:
    try:
        return os.read(source, 2**20)
    except OSError as error:
        raise IntegrityError(f"the copy cannot be read: {error.strerror}.") from error


def _make_folder(folder: Path) -> None:
    """Create it and those above it, so that they survive a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def _rename_to_new(path: Path, target: Path) -> None:
    """Give a file its name, but never over another one; in one step wherever the file system can.

    The old name may stay beside the new one, to be removed.

    Raises:
        FileExistsError: There is one.
    """
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:  # not every file system has hard links
        if _renameat2(path, target):
            return
        if os.path.lexists(target):  # and else nearly in one step
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        path.rename(target)


def _renameat2(path: Path, target: Path) -> bool:
    """Rename over nothing, as Linux can on most of its file systems; False where it cannot."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    here = -100  # relative to the working folder, as the paths of this process are
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(here, os.fsencode(path), here, os.fsencode(target), _RENAME_NOREPLACE) == 0:
        return True
    if ctypes.get_errno() == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    return False


def sync_folder(folder: Path) -> None:
    """See to it that the names in a folder are on the disk."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one that may be written to but not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what file systems say that have no such thing
            raise
    finally:
        os.close(descriptor)
