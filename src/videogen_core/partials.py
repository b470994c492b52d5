"""Temporary files: a clip gets its name only when it is whole, checked and on the disk. Everything here blocks."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import msgspec

from .errors import DownloadError, IntegrityError
from .probing import probe
from .states import Video

__all__ = ["Expected", "Partial", "claim", "sweep", "temporary_name"]

_RESUME = "Resume the job to fetch it again."

_TEMPORARY = re.compile(r"^\.videogen-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{12}\.part$")
_STALE = 24 * 3600.0  # seconds; no transfer takes so long, so such a file is nobody's, whatever its pid says


def _host() -> str:
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]


def temporary_name() -> str:
    return f".videogen-{_host()}-{os.getpid()}-{secrets.token_hex(6)}.part"


def sweep(folder: Path) -> int:
    """Remove the temporary files of processes that have died; returns how many. Blocks.

    Files of this machine go when their process is gone, all others after a day.
    """
    removed = 0
    for path in folder.glob(".videogen-*.part"):
        with suppress(OSError):  # another process may be sweeping, too
            if _is_abandoned(path):
                path.unlink()
                removed += 1
    return removed


def _is_abandoned(path: Path) -> bool:
    match = _TEMPORARY.match(path.name)
    if match is None:
        return False
    dead = match["host"] == _host() and not _alive(int(match["pid"]))
    return dead or time.time() - path.lstat().st_mtime > _STALE


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
    """What must be true of the bytes before they get their name."""

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    duration: float | None = None


@dataclass
class Partial:
    """The temporary file of one attempt, beside its destination. Every method blocks."""

    target: Path
    overwrite: bool
    max_bytes: int
    path: Path | None = None
    descriptor: int = -1
    mode: int = 0o600
    written: int = 0

    def open(self, need: int | None) -> None:
        """Create it, and the folders above it, once there is room for ``need`` bytes."""
        if need is not None and need > self.max_bytes:
            raise DownloadError(f"The video has {need:,} bytes; at most {self.max_bytes:,} are taken.")
        with self._disk_errors(need):
            folder = self.target.parent
            folder.mkdir(parents=True, exist_ok=True)
            if need is not None and shutil.disk_usage(folder).free < need:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            path = folder / temporary_name()
            self.descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            self.path = path
            # what the umask left is the mode at the end; until then the file is ours alone
            self.mode = os.fstat(self.descriptor).st_mode & 0o777
            os.fchmod(self.descriptor, 0o600)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        with self._disk_errors(len(data)):
            view = memoryview(data)
            while view:
                done = os.write(self.descriptor, view)
                self.written += done
                view = view[done:]

    def restart(self) -> None:
        """Throw away what has been written."""
        if self.descriptor < 0:
            return
        with self._disk_errors(None):
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
        with self._disk_errors(None):
            try:
                video = self._checked(expected)
            except IntegrityError as error:
                raise IntegrityError(f"{self.target.name} was not stored: {error.message}", hint=_RESUME) from error
            os.fchmod(self.descriptor, self.mode)
            os.fsync(self.descriptor)
            self._name(video)
            _sync_folder(self.target.parent)
        self.discard()
        return msgspec.structs.replace(video, path=self.target)

    def _checked(self, expected: Expected) -> Video:
        path = cast("Path", self.path)
        if expected.size is not None and self.written != expected.size:
            raise IntegrityError(f"{self.written:,} bytes arrived, {expected.size:,} were announced.")
        if expected.md5 is not None and _digest(path, "md5") != expected.md5:
            raise IntegrityError("the bytes that arrived do not match the server's checksum.")
        video = probe(path)
        if expected.sha256 is not None and video.sha256 != expected.sha256.lower():
            raise IntegrityError("the bytes that arrived do not match the provider's checksum.")
        wanted = expected.duration
        if wanted and video.duration is not None and abs(video.duration - wanted) > max(0.75, wanted / 10):
            raise IntegrityError(f"the video lasts {video.duration:g} s, {wanted:g} s were asked for.")
        return video

    def _name(self, video: Video) -> None:
        """Give the file its name; never over another file unless that was asked for."""
        path = cast("Path", self.path)
        if not self.overwrite:
            try:
                os.link(path, self.target)
                return  # the other name is removed with what is left
            except FileExistsError:
                # the same clip, stored by a process that died before it could say so
                if _digest(self.target, "sha256") == video.sha256:
                    return
                hint = "Move it away or choose another output, then resume the job."
                raise DownloadError(f"{self.target} exists already, so nothing was stored.", hint=hint) from None
            except OSError:  # this file system has no hard links: claim the name first
                claim(self.target)
        path.replace(self.target)
        self.path = None

    def discard(self) -> None:
        """Remove what is left of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()
            self.path = None

    @contextmanager
    def _disk_errors(self, need: int | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            needed = f" ({need:,} bytes more are needed)" if need else ""
            raise DownloadError(
                f"{self.target} cannot be written: {error.strerror}{needed}.",
                hint="Free some space or choose another output, then resume the job.",
            ) from error


def _digest(path: Path, algorithm: str) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


def claim(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
