"""Storing what was paid for: where it goes, and how it gets there whole or not at all.

A clip is written to a temporary file in its destination folder, checked (length, checksum, container, first and last
frame, duration), flushed to the disk and only then named. Of an address, which may be secret, only the host is told.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import string
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec

from . import transport
from .errors import ConfigurationError, DownloadError, IntegrityError, RequestError, ResultExpiredError
from .media import probe
from .provider import Output
from .retry import MAX_RETRY_AFTER, Backoff, retry_after
from .states import Video

if TYPE_CHECKING:
    import httpx

__all__ = ["check_target", "save", "sweep", "target_path"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have arrived and the bytes expected, where that is known."""

_MIN_FREE = 64 * 1024**2
_BATCH = 1024**2  # bytes written at once
_RESUME = "Resume the job to fetch it again."
_BACKOFF = Backoff(first=0.5, cap=10.0, attempts=5)


# --- where it goes


def target_path(
    output: str | None,
    *,
    folder: Path,
    model: str,
    provider: str,
    job_id: str,
    index: int,
    count: int,
    suffix: str = ".mp4",
) -> Path:
    """The absolute path of one file. Nothing that a server said becomes part of it.

    Args:
        output: A file, a folder (existing, or with a slash at its end), a template with ``{model}``, ``{provider}``,
            ``{job_id}`` and ``{index}``, or None for a file in ``folder``.
        folder: The library's own folder.
        model: Shared model name.
        provider: Adapter id.
        job_id: Our id of the job.
        index: Which of the files, from 0; names count from 1.
        count: How many there are; with more than one, names end in ``-1``, ``-2``, … unless ``{index}`` is used.
        suffix: For names that we choose.

    Raises:
        RequestError: The template has an unknown field or unbalanced braces.
    """
    numbered = False
    if output is None:
        path = folder / f"{_component(job_id)}{suffix}"
    elif not output.strip() or "\0" in output:
        raise RequestError("output: the path is empty or holds a null character.")
    else:
        values = {"model": _component(model), "provider": _component(provider), "job_id": _component(job_id)}
        text, numbered = _fill(output, {**values, "index": index + 1})
        path = Path(text)
        if text.endswith(("/", os.sep)) or path.is_dir():
            path /= f"{values['model']}-{values['job_id']}{suffix}"
    if count > 1 and not numbered:
        stem, ending = _split(path.name)
        path = path.with_name(f"{stem}-{index + 1}{ending}")
    return path.absolute()


def _component(value: str) -> str:
    """A value as one harmless part of a file name."""
    return re.sub(r"[^\w.+=@-]+", "-", value).lstrip(".-")[:100] or "unnamed"


def _split(name: str) -> tuple[str, str]:
    # not Path.suffix, for which "veo-3.1-fast" ends in ".1-fast"
    match = re.search(r"\.[A-Za-z0-9]{2,4}$", name)
    return (name[: match.start()], match[0]) if match and match.start() else (name, "")


def _fill(template: str, values: Mapping[str, Any]) -> tuple[str, bool]:
    """The template with its fields filled in, and whether ``{index}`` was one of them."""
    hint = f"Fields: {', '.join('{' + name + '}' for name in values)}; write {{{{ for a brace."
    parts, numbered = [], False
    try:
        for literal, name, spec, conversion in string.Formatter().parse(template):
            parts.append(literal)
            if name is None:
                continue
            if name not in values or conversion:
                raise RequestError(f"output: unknown field {{{name}}} in {template!r}.", hint=hint)
            numbered = numbered or name == "index"
            parts.append(format(values[name], spec or ""))
    except ValueError as error:
        raise RequestError(f"output: {template!r} is not a valid template: {error}.", hint=hint) from error
    return "".join(parts), numbered


def check_target(
    output: str | None,
    *,
    folder: Path,
    model: str,
    provider: str,
    job_id: str,
    index: int,
    count: int,
    suffix: str = ".mp4",
    overwrite: bool = False,
) -> Path:
    """Find out, before anything is spent, whether `target_path` can be written; blocks. Creates no folder.

    Args:
        output, folder, model, provider, job_id, index, count, suffix: As for `target_path`.
        overwrite: Whether an existing file may be replaced.

    Raises:
        RequestError: The file exists, or its folder cannot be written.
        ConfigurationError: The disk is full or read-only.
    """
    path = target_path(
        output, folder=folder, model=model, provider=provider, job_id=job_id, index=index, count=count, suffix=suffix
    )
    try:
        if len(os.fsencode(path.name)) > 255:
            raise RequestError(f"output: the name {path.name[:40]!r}… is too long.")
        if path.is_dir():
            raise RequestError(f"output: {path} is a folder.", hint="Put a slash at its end to store a file in it.")
        if os.path.lexists(path) and not overwrite:
            raise RequestError(f"output: {path} already exists.", hint="Choose another name, or pass overwrite=True.")
        parent = next(ancestor for ancestor in path.parents if ancestor.exists())
        if not parent.is_dir():
            raise RequestError(f"output: {parent} is a file, not a folder.", hint="Choose another folder.")
        _check_writable(parent)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"output: {path} cannot be written: {reason}.", hint="Choose another folder.") from error
    return path


def _check_writable(folder: Path) -> None:
    """Create a file and remove it: permission bits and flags do not tell about quotas and special file systems."""
    try:
        free = shutil.disk_usage(folder).free
        if free < _MIN_FREE:
            raise ConfigurationError(
                f"output: only {free:,} bytes are free in {folder}; {_MIN_FREE:,} are needed.",
                hint="Free some space, or choose another disk.",
            )
        name = folder / _temporary_name()
        _claim(name)
        name.unlink()
    except OSError as error:
        kind = ConfigurationError if error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT) else RequestError
        raise kind(f"output: {folder} cannot be written: {error.strerror}.", hint="Choose another folder.") from error


# --- temporary files

_TEMPORARY = re.compile(r"^\.videogen-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{12}\.part$")
_STALE = 24 * 3600.0  # seconds; no transfer takes so long, so such a file is nobody's, whatever its pid says


def _host() -> str:
    return hashlib.sha256(os.uname().nodename.encode()).hexdigest()[:8]


def _temporary_name() -> str:
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
class _Expected:
    """What must be true of the bytes before they get their name."""

    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    duration: float | None = None


@dataclass
class _Partial:
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
            path = folder / _temporary_name()
            self.descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            self.path = path
            # what the umask left is the mode at the end; until then the file is ours alone
            self.mode = os.fstat(self.descriptor).st_mode & 0o777
            os.fchmod(self.descriptor, 0o600)

    def write(self, data: bytes | bytearray) -> None:
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

    def finish(self, tail: bytes | bytearray, expected: _Expected) -> Video:
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

    def _checked(self, expected: _Expected) -> Video:
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
                _claim(self.target)
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


def _claim(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- how it gets there


async def save(
    output: Output,
    target: Path,
    *,
    http: Callable[..., httpx.AsyncClient] | None = None,
    overwrite: bool = False,
    expected_duration: float | None = None,
    max_bytes: int = 2 * 1024**3,
    timeout: float = 1800.0,
    min_rate: int = 10 * 1024,
    rate_window: float = 30.0,
    backoff: Backoff = _BACKOFF,
    on_progress: Progress | None = None,
    allow_private: bool = False,
) -> Video:
    """Store one output under its final name, whole and verified, or leave nothing behind.

    A broken transfer goes on where it stopped, where the server lets it, until several tries bring nothing new.

    Args:
        output: What the provider made.
        target: Where it goes, an absolute path; missing folders are created.
        http: Makes the client, from arguments of ``httpx.AsyncClient``; None = `transport.public_client`.
        overwrite: Whether an existing file may be replaced.
        expected_duration: Seconds that the clip should last, within 10 % or 0.75 s.
        max_bytes: The transfer stops past this.
        timeout: Seconds for the whole transfer.
        min_rate: Bytes per second below which a connection is given up.
        rate_window: Seconds over which the rate is taken, and that a read may block.
        backoff: Waits between tries that bring nothing new, and how many of those there are.
        on_progress: Told how many bytes have arrived.
        allow_private: Without ``http``: skip the check of the address, for emulators on this machine.

    Raises:
        ResultExpiredError: The address no longer gives the file; a fresh one may.
        IntegrityError: What arrived is not the whole clip.
        DownloadError: The transfer or the disk failed.
    """
    temporary = _Partial(target, overwrite, max_bytes)
    try:
        if output.data is not None:
            video = await anyio.to_thread.run_sync(_store, temporary, output, expected_duration)
        else:
            transfer = _Transfer(output, temporary, min_rate, rate_window, backoff, on_progress)
            factory = http or partial(transport.public_client, allow_private=allow_private)
            try:
                with anyio.fail_after(timeout):
                    async with factory(timeout=rate_window) as client:
                        await transfer.run(client)
            except TimeoutError as error:
                raise DownloadError(f"The download did not end within {timeout:g} s.", hint=_RESUME) from error
            # outside the deadline: from here on it is only our own disk
            finish = partial(temporary.finish, transfer.batch, transfer.expected(expected_duration))
            video = await anyio.to_thread.run_sync(finish)
    finally:
        if temporary.descriptor >= 0:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(temporary.discard)
    return msgspec.structs.replace(video, url=output.url if output.keep_url else None)


def _store(temporary: _Partial, output: Output, duration: float | None) -> Video:
    """Inline bytes: everything in one go, in one thread."""
    data = cast("bytes", output.data)
    temporary.open(len(data))
    return temporary.finish(data, _Expected(size=output.size, sha256=output.sha256, duration=duration))


class _BrokenError(Exception):
    """This request is over but the transfer may go on; ``pause`` is what the server asks to wait, in seconds."""

    def __init__(self, reason: str, pause: float | None = None, *, in_vain: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.in_vain = in_vain


@dataclass
class _Transfer:
    """One output on its way from a URL into a temporary file."""

    output: Output
    temporary: _Partial
    min_rate: int
    rate_window: float
    backoff: Backoff
    on_progress: Progress | None
    batch: bytearray = field(default_factory=bytearray)  # arrived, not yet written
    total: int | None = None
    etag: str | None = None
    md5: str | None = None

    @property
    def host(self) -> str:
        """All that a message may tell of the address."""
        return urlsplit(transport.redact_url(self.output.url or "")).netloc or "the provider"

    @property
    def received(self) -> int:
        return self.temporary.written + len(self.batch)

    def expected(self, duration: float | None) -> _Expected:
        """What the finished file must be, as far as the provider and the server have said."""
        size = self.output.size if self.output.size is not None else self.total
        return _Expected(size=size, sha256=self.output.sha256, md5=self.md5, duration=duration)

    async def run(self, client: httpx.AsyncClient) -> None:
        """Ask until all is here. Only tries that bring more than any before are free.

        Raises:
            DownloadError: Too many tries brought nothing new, or trying again is no use.
        """
        best, dice = 0, Random()
        delays = self.backoff.delays(dice)
        while True:
            try:
                await self._request(client)
                return
            except _BrokenError as error:
                broken = error
            except transport.network_errors() as error:
                if transport.is_refusal(error):
                    raise DownloadError(f"{self.host} cannot be used: {transport.describe(error)}.") from error
                broken = _BrokenError(transport.describe(error))
            if self.received > best and not broken.in_vain:
                delays = self.backoff.delays(dice)
            best = max(best, self.received)
            pause = next(delays, None)
            if pause is None or (broken.pause or 0) > MAX_RETRY_AFTER:
                raise DownloadError(f"The download from {self.host} failed: {broken}.", hint=_RESUME) from broken
            await anyio.sleep(pause if broken.pause is None else broken.pause)

    async def _request(self, client: httpx.AsyncClient) -> None:
        """One GET, from where we are."""
        headers = {"Accept": "*/*"}
        if self.received and self.etag:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self.etag}
        elif self.received:
            await self._restart()
        own = {key: value for key, value in self.output.headers.items() if key.lower() not in ("range", "if-range")}
        async with transport.following(client, self.output.url or "", headers=headers, own_headers=own) as response:
            await self._begin(response, resuming="Range" in headers)
            await self._read(response)
        if self.total is not None and self.received != self.total:
            broken = _BrokenError(f"{self.received:,} of {self.total:,} bytes arrived")
            if self.received > self.total:
                broken.in_vain = True
                await self._restart()
            raise broken

    async def _begin(self, response: httpx.Response, *, resuming: bool) -> None:
        """Judge status and headers, and make ready to write."""
        self._check_status(response)
        if response.status_code == 206:
            if not resuming or not self._continues(response):
                await self._restart()
                raise _BrokenError("the server sent another part of the file than was asked for", in_vain=True)
            return
        if self.received:
            await self._restart()  # the whole file again
        length = response.headers.get("content-length", "")
        self.total = int(length) if length.isdecimal() else None
        etag = response.headers.get("etag", "")
        self.etag = etag if etag.startswith('"') else None  # a weak one does not vouch for single bytes
        self.md5 = transport.body_md5(response.headers)
        if self.temporary.path is None:
            await anyio.to_thread.run_sync(self.temporary.open, self.total or self.output.size)

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if status in (403, 404, 410):
            raise ResultExpiredError(
                f"{self.host} no longer gives out the video (HTTP status {status}).",
                hint="Resume the job to ask the provider for a fresh address.",
            )
        if status == 416:
            self.etag = None  # the next request starts over
            raise _BrokenError("the server has fewer bytes than it said", in_vain=True)
        if status in (408, 425, 429) or status >= 500:
            pause = retry_after(response.headers.get("retry-after"), response.headers.get("date"))
            raise _BrokenError(f"HTTP status {status}", pause, in_vain=True)
        raise DownloadError(f"{self.host} answered with HTTP status {status}.", hint=_RESUME)

    def _continues(self, response: httpx.Response) -> bool:
        """Whether a 206 starts at our offset and is of the same file."""
        start, total = transport.content_range(response.headers)
        if start != self.received or response.headers.get("etag", self.etag) != self.etag:
            return False
        if self.total is None:
            self.total = total
        return total in (None, self.total)

    async def _read(self, response: httpx.Response) -> None:
        """Take in the body; slow servers and endless bodies are given up."""
        since, start = anyio.current_time(), self.received
        async for chunk in response.aiter_raw():
            self.batch += chunk
            if self.received > self.temporary.max_bytes:
                raise DownloadError(f"The video has more than {self.temporary.max_bytes:,} bytes.")
            if len(self.batch) >= _BATCH:
                await self._flush()
            if self.on_progress is not None:
                self.on_progress(self.received, self.total)
            passed = anyio.current_time() - since
            if passed >= self.rate_window:
                if self.received - start < self.min_rate * passed:
                    raise _BrokenError(f"less than {self.min_rate:,} bytes arrived per second", in_vain=True)
                since, start = anyio.current_time(), self.received

    async def _flush(self) -> None:
        await anyio.to_thread.run_sync(self.temporary.write, self.batch)
        self.batch = bytearray()

    async def _restart(self) -> None:
        self.batch, self.total, self.etag, self.md5 = bytearray(), None, None, None
        await anyio.to_thread.run_sync(self.temporary.restart)
