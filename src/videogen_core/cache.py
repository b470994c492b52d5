"""Clips kept on disk for requests that are made again: a copy of what was stored, looked up by `cache_key`.

An entry is a folder named by its key. It is written under a temporary name and renamed when it is whole, never changed
afterwards (only the time of its marker is), and renamed away before it is removed; so whoever finds one finds all of
it, whenever a process is killed and however many share the folder. Nothing that is read from it is believed: every file
is checked against its hash each time. Losing an entry costs a generation, so whatever is odd is a miss. All blocks.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import msgspec

from .errors import IntegrityError
from .partials import Expected, Partial, Stamp, copy_file, remove, sweep, sync_folder, temporary
from .states import Video

__all__ = ["Cache", "Entry", "Usage"]

_KEY = re.compile(r"[0-9a-f]{64}")
_MANIFEST = "entry"  # beside it: the clips, named 1, 2, …
_MARKER = "used"  # its time says when the entry was last asked for
_MAX_MANIFEST = 1024**2
_HEADROOM = 64 * 1024**2  # bytes left free on the disk, which the ledger needs more
_SKEW = 300.0  # seconds that an entry may seem to come from the future, where machines share a folder


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A clip, or several, that was verified when it was looked up.

    Attributes:
        key: Of the request.
        created_at: When it was put there, aware UTC.
        videos: One per clip; the paths lead into the cache, where nothing may be changed.
        facts: What was put beside them.
    """

    key: str
    created_at: datetime
    videos: tuple[Video, ...]
    facts: dict[str, Any] = {}


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache holds: entries, their bytes, and how many bytes it may hold."""

    entries: int
    size: int
    limit: int


class _Manifest(Entry, frozen=True, kw_only=True):
    version: Literal[1] = 1


class _Held(msgspec.Struct, frozen=True):
    """An entry as the folder shows it, unread."""

    path: Path
    size: int
    used: float


class _DamagedError(Exception):
    """An entry or a clip is not what it should be."""


class Cache:
    """A cache in a folder. Processes and machines may share it.

    Args:
        folder: Where it is; made when something is put there.
        ttl: Seconds that an entry is served after it was made.
        max_bytes: Most bytes that it may hold; what was used least recently goes first.
        clock: Seconds since 1970.
    """

    def __init__(self, folder: Path, *, ttl: float, max_bytes: int, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self.ttl = ttl
        self.max_bytes = max_bytes
        self._clock = clock

    def get(self, key: str) -> Entry | None:
        """The entry of a key, every file of it read and verified; None when there is none.

        One that is damaged or too old is removed.
        """
        path = self._path(key)
        try:
            manifest = self._verified(path, key)
        except _DamagedError:
            self._evict(path)
            return None
        except OSError:  # no such entry, or the folder cannot be read: no reason to remove anything
            return None
        now = self._clock()
        if not -_SKEW <= now - manifest.created_at.timestamp() <= self.ttl:
            self._evict(path)
            return None
        with suppress(OSError):  # a read-only folder
            os.utime(path / _MARKER, (now, now))
        videos = tuple(
            msgspec.structs.replace(video, path=path / str(number), url=None)
            for number, video in enumerate(manifest.videos, 1)
        )
        return Entry(key=key, created_at=manifest.created_at, videos=videos, facts=manifest.facts)

    def put(self, key: str, videos: Sequence[Video], facts: Mapping[str, Any] | None = None) -> str | None:
        """Keep copies of clips; returns why not, when they could not be kept.

        An entry that is there already stays as it is. Users change their clips in place, so a clip is copied, never
        linked, and only while it still is what was verified.

        Args:
            key: Of the request.
            videos: The clips of a job that succeeded, stored and verified. A file may be longer than its clip, where
                something was appended for one user: what counts is the size and the digest.
            facts: Plain data to find beside them. No secrets: nothing here is encrypted.
        """
        path = self._path(key)
        sources = [video.path for video in videos if video.path is not None and video.sha256 and video.size > 0]
        if not sources or len(sources) < len(videos):
            return "The cache takes only clips that are stored and verified."
        manifest = _Manifest(
            key=key,
            created_at=datetime.fromtimestamp(self._clock(), UTC),
            videos=tuple(msgspec.structs.replace(video, path=None, url=None) for video in videos),
            facts=dict(facts or {}),
        )
        try:
            sealed = _sealed(manifest)
        except (TypeError, ValueError, RecursionError) as error:
            return f"The clip was not kept in the cache: what goes with it is not plain data ({error})."
        need = len(sealed) + sum(video.size for video in videos)
        if need > self.max_bytes:
            return f"The clip was not kept in the cache: it takes {need:,} bytes of at most {self.max_bytes:,}."
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.get(key) is None:
                sweep(self.folder)
                self._make_room(need)
                self._store(path, sealed, list(zip(sources, videos, strict=True)), need)
                self._make_room(0)  # others may have stored something meanwhile
        except OSError as error:
            return f"The clip could not be kept in the cache at {self.folder}: {error.strerror}."
        except (_DamagedError, IntegrityError) as error:
            return f"The clip was not kept in the cache: {error}"
        return None

    def deliver(
        self, entry: Entry, index: int, target: Path, *, overwrite: bool = False, stamp: Stamp | None = None
    ) -> Video | None:
        """Copy clip number ``index`` (from 0) of an entry to where the user wants it.

        Returns:
            The clip at its new place, verified; None when the cache no longer has it, so that it must be generated.

        Raises:
            DownloadError: The target cannot be written, or is taken.
        """
        video = entry.videos[index]
        partial = Partial(target, overwrite, max_bytes=video.size, stamp=stamp)
        try:
            with _opened(cast("Path", video.path), video.size) as source:
                partial.open(video.size)
                partial.copy(source.fileno())
                expected = Expected(size=video.size, sha256=video.sha256, mime_type=video.mime_type)
                return partial.finish(b"", expected)
        except OSError:  # only of the clip in the cache: it is gone, or cannot be read
            return None
        except (_DamagedError, IntegrityError):
            self.get(entry.key)  # removes it, unless it has been replaced by a good one
            return None
        finally:
            partial.discard()

    def clear(self) -> int:
        """Remove every entry; returns how many. Files that are not ours stay."""
        sweep(self.folder)
        return sum(self._evict(held.path) for held in self._held())

    def usage(self) -> Usage:
        """What it holds, as the folder shows it; nothing is verified."""
        held = self._held()
        return Usage(entries=len(held), size=sum(item.size for item in held), limit=self.max_bytes)

    # --- reading

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a key: {key!r}")
        return self.folder / key

    def _verified(self, path: Path, key: str) -> _Manifest:
        """What an entry says of itself, once every file is what that says.

        Raises:
            _DamagedError: It is not.
            OSError: There is none, or it cannot be read.
        """
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise _DamagedError("not a folder")
        try:
            manifest = _read_manifest(path / _MANIFEST)
            if manifest.key != key or not manifest.videos:
                raise _DamagedError("the entry of another request")
            for number, video in enumerate(manifest.videos, 1):
                with _opened(path / str(number), video.size) as file:
                    if _digest(file) != video.sha256:
                        raise _DamagedError("other bytes")
        except FileNotFoundError as error:
            raise _DamagedError("a file is missing") from error
        return manifest

    # --- writing

    def _store(self, path: Path, sealed: bytes, clips: Sequence[tuple[Path, Video]], need: int) -> None:
        """Write an entry under a temporary name, and give it its own when it is whole and on the disk."""
        if shutil.disk_usage(self.folder).free < need + _HEADROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with temporary(self.folder) as entry:
            entry.mkdir(mode=0o700)
            try:
                for number, (source, video) in enumerate(clips, 1):
                    _copy(source, entry / str(number), video)
                _write(entry / _MANIFEST, sealed)
                _write(entry / _MARKER, b"")
                now = self._clock()
                os.utime(entry / _MARKER, (now, now))
                sync_folder(entry)
                self._name(entry, path)
            finally:
                remove(entry)

    def _name(self, entry: Path, path: Path) -> None:
        try:
            entry.rename(path)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return  # another process was faster
            raise
        sync_folder(self.folder)

    def _make_room(self, need: int) -> None:
        """Remove what was used least recently until ``need`` bytes more may be held."""
        held = sorted(self._held(), key=attrgetter("used"))
        size = sum(item.size for item in held)
        for item in held:
            if size + need <= self.max_bytes:
                break
            self._evict(item.path)
            size -= item.size

    def _evict(self, path: Path) -> bool:
        """Remove an entry: at once out of sight, then from the disk. False when it was gone, or cannot be removed."""
        with temporary(self.folder) as condemned:
            try:
                path.rename(condemned)
            except OSError:
                return False
            with suppress(OSError):  # what is left is swept another time
                remove(condemned)
            return True

    def _held(self) -> list[_Held]:
        found = []
        with suppress(OSError), os.scandir(self.folder) as names:
            for name in names:
                if _KEY.fullmatch(name.name):
                    with suppress(OSError):  # it is going
                        found.append(_measured(Path(name.path)))
        return found


def _measured(path: Path) -> _Held:
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        return _Held(path, status.st_size, 0.0)
    size, used = 0, 0.0
    with os.scandir(path) as files:
        for file in files:
            facts = file.stat(follow_symlinks=False)
            size += facts.st_size
            used = facts.st_mtime if file.name == _MARKER else used
    return _Held(path, size, used)


@contextmanager
def _opened(path: Path, size: int | None = None) -> Iterator[BinaryIO]:
    """An ordinary file of a known size; never what a link leads to, never waiting for a pipe.

    Raises:
        _DamagedError: It is not such a file, or it cannot be read from the disk.
    """
    try:
        with open(path, "rb", opener=_unfollowed) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or (size is not None and status.st_size != size):
                raise _DamagedError(f"{path} is another file than it was.")
            yield file
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EIO, errno.ENXIO, errno.ENOTDIR, errno.EISDIR):
            raise _DamagedError(f"{path} cannot be read: {error.strerror}.") from error
        raise


def _unfollowed(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _read_manifest(path: Path) -> _Manifest:
    with _opened(path) as file:
        seal, _, text = file.read(_MAX_MANIFEST + 1).partition(b"\n")
    if seal != hashlib.sha256(text).hexdigest().encode():
        raise _DamagedError("the manifest is damaged")
    try:
        return msgspec.json.decode(text, type=_Manifest)
    except (msgspec.DecodeError, TypeError, RecursionError) as error:
        raise _DamagedError("the manifest is not one of ours") from error


def _sealed(manifest: _Manifest) -> bytes:
    """The manifest with its own hash before it."""
    text = msgspec.json.encode(manifest)
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


def _copy(source: Path, target: Path, video: Video) -> None:
    """A copy of a clip, verified and on the disk."""
    # the user's path may be a link, and may by now be anything
    with _created(target) as copy, _opened(source.resolve()) as original:
        copy_file(original.fileno(), copy.fileno())
        copy.truncate(video.size)
        copy.seek(0)
        if _digest(copy) != video.sha256:
            raise _DamagedError(f"{source} has been changed since it was stored.")


def _digest(file: BinaryIO) -> str:
    return hashlib.file_digest(cast("Any", file), "sha256").hexdigest()


def _write(path: Path, data: bytes) -> None:
    with _created(path) as file:
        file.write(data)


@contextmanager
def _created(path: Path) -> Iterator[BinaryIO]:
    """A new file of the user's alone, on the disk when it is closed."""
    with open(path, "x+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
