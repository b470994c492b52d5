"""Fetching what was paid for: whole, or not at all.

What arrives is checked (length, checksum, container, first and last frame, duration) and flushed to the disk before it
gets its name. Of an address, which may be secret, only the host is told.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import msgspec

from . import transport
from .errors import DownloadError, IntegrityError, ResultExpiredError
from .partials import Expected, Partial, Stamp
from .provider import Output
from .redaction import cause_of, redact_url
from .retry import MAX_RETRY_AFTER, Backoff
from .states import Video

if TYPE_CHECKING:
    import httpx

__all__ = ["save"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have arrived and the bytes expected, where that is known."""

_BATCH = 1024**2  # bytes written at once
_RESUME = "Resume the job to fetch it again."
_BACKOFF = Backoff(first=0.5, cap=10.0, attempts=5)


async def save(
    output: Output,
    target: Path,
    *,
    http: Callable[..., httpx.AsyncClient] | None = None,
    overwrite: bool = False,
    expected_duration: float | tuple[float, float] | None = None,
    max_bytes: int = 2 * 1024**3,
    timeout: float = 1800.0,
    min_rate: int = 10 * 1024,
    rate_window: float = 30.0,
    backoff: Backoff = _BACKOFF,
    on_progress: Progress | None = None,
    allow_private: bool = False,
    allow_http: bool = False,
    probe_in_process: bool = False,
    stamp: Stamp | None = None,
) -> Video:
    """Store one output under its final name, whole and verified, or leave nothing behind.

    A broken transfer goes on where it stopped, where the server lets it, until several tries bring nothing new. What
    arrived and turns out not to be whole is fetched once more from its start.

    Args:
        output: What the provider made.
        target: Where it goes, an absolute path; missing folders are created.
        http: Makes the client, from arguments of ``httpx.AsyncClient``; None = `transport.public_client`.
        overwrite: Whether an existing file may be replaced.
        expected_duration: Seconds that the clip should last, or the least and the most, within 10 % or 0.75 s.
        max_bytes: The transfer stops past this.
        timeout: Seconds for the whole transfer.
        min_rate: Bytes per second below which a connection is given up.
        rate_window: Seconds over which the rate is taken, and that a read may block.
        backoff: Waits between tries that bring nothing new, and how many of those there are.
        on_progress: Told how many bytes have arrived.
        allow_private: Without ``http``: skip the checks of scheme and address, for emulators on this machine.
        allow_http: Without ``http``: take an http address as it is. Else https is tried in its stead.
        probe_in_process: Decode the clip here instead of in a child process.
        stamp: Gives what is added to it once it is checked.

    Raises:
        ResultExpiredError: The address no longer gives the file; a fresh one may.
        IntegrityError: What arrived is not the whole clip.
        DownloadError: The transfer or the disk failed.
    """
    temporary = Partial(target, overwrite, max_bytes, probe_in_process, stamp)
    try:
        if output.data is not None:
            video = await anyio.to_thread.run_sync(_store, temporary, output, expected_duration)
        else:
            secure = http is None and not (allow_http or allow_private or output.trusted)
            trusted = output.url if output.trusted else None
            factory = http or partial(
                transport.public_client, allow_private=allow_private, allow_http=allow_http, trusted=trusted
            )
            transfer = _Transfer(output, secure, temporary, min_rate, rate_window, backoff, on_progress)
            video = await _fetch(transfer, factory, timeout, expected_duration)
    finally:
        if temporary.descriptor >= 0:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(temporary.discard)
    return msgspec.structs.replace(video, url=output.kept_at)


async def _fetch(
    transfer: _Transfer,
    factory: Callable[..., httpx.AsyncClient],
    timeout: float,
    duration: float | tuple[float, float] | None,
) -> Video:
    """Transfer and check; once more if what arrived is not whole. Both transfers together have ``timeout`` seconds."""
    deadline = anyio.current_time() + timeout
    for last in (False, True):
        try:
            with anyio.fail_after(deadline - anyio.current_time()):
                async with factory(timeout=transfer.rate_window) as client:
                    await transfer.run(client)
        except TimeoutError as error:
            raise DownloadError(f"The download did not end within {timeout:g} s.", hint=_RESUME) from error
        # outside the deadline: from here on it is only our own disk
        try:
            return await anyio.to_thread.run_sync(transfer.finish, duration)
        except IntegrityError:
            if last:
                raise
            await transfer.restart()
    raise AssertionError("unreachable")


def _store(temporary: Partial, output: Output, duration: float | tuple[float, float] | None) -> Video:
    """Inline bytes: everything in one go, in one thread."""
    data = cast("bytes", output.data)
    expected = Expected(size=output.size, sha256=output.sha256, duration=duration, mime_type=output.mime_type)
    temporary.open(len(data))
    return temporary.finish(data, expected)


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
    secure: bool  # http becomes https, wherever the address leaves that open
    temporary: Partial
    min_rate: int
    rate_window: float
    backoff: Backoff
    on_progress: Progress | None
    batch: bytearray = field(default_factory=bytearray, repr=False)  # arrived, not yet written
    total: int | None = None
    etag: str | None = None
    md5: str | None = None
    framed: bool = False

    @property
    def url(self) -> str:
        """Where it is fetched from."""
        if not self.secure:
            return self.output.url or ""
        return re.sub(r"^http://(?=[^/:]+(/|$))", "https://", self.output.url or "", flags=re.IGNORECASE)

    @property
    def host(self) -> str:
        """All that a message may tell of the address."""
        return urlsplit(redact_url(self.url)).netloc or "the provider"

    @property
    def received(self) -> int:
        return self.temporary.written + len(self.batch)

    def expected(self, duration: float | tuple[float, float] | None) -> Expected:
        """What the finished file must be, as far as the provider and the server have said."""
        size = self.output.size if self.output.size is not None else self.total
        return Expected(
            size=size,
            sha256=self.output.sha256,
            md5=self.md5,
            duration=duration,
            framed=self.framed,
            mime_type=self.output.mime_type,
        )

    def finish(self, duration: float | tuple[float, float] | None) -> Video:
        """Write the rest, check the file and give it its name."""
        # a view, since crash reports show local variables, and what came may be a message with a key in it
        return self.temporary.finish(memoryview(self.batch), self.expected(duration))

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
                    why = transport.describe(error)
                    raise DownloadError(f"{self.host} cannot be used: {why}.") from cause_of(error)
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
            await self.restart()
        # no local variable holds the address or the headers, since crash reports show them
        async with transport.following(client, self.url, headers=headers, own_headers=self._own_headers()) as response:
            await self._begin(response, resuming="Range" in headers)
            await self._read(response)
        if self.total is not None and self.received != self.total:
            broken = _BrokenError(f"{self.received:,} of {self.total:,} bytes arrived")
            if self.received > self.total:
                broken.in_vain = True
                await self.restart()
            raise broken

    def _own_headers(self) -> dict[str, str]:
        """What the provider says to send along, but for what is ours to say."""
        return {key: value for key, value in self.output.headers.items() if key.lower() not in ("range", "if-range")}

    async def _begin(self, response: httpx.Response, *, resuming: bool) -> None:
        """Judge status and headers, and make ready to write."""
        self._check_status(response)
        if response.status_code == 206:
            if not resuming or not self._continues(response):
                await self.restart()
                raise _BrokenError("the server sent another part of the file than was asked for", in_vain=True)
            return
        if self.received:
            await self.restart()  # the whole file again
        length = response.headers.get("content-length", "")
        self.total = int(length) if length.isdecimal() else None
        etag = response.headers.get("etag", "")
        self.etag = etag if etag.startswith('"') else None  # a weak one does not vouch for single bytes
        self.md5 = _body_md5(response.headers)
        self.framed = "chunked" in response.headers.get("transfer-encoding", "").lower()
        if self.temporary.path is None:
            await anyio.to_thread.run_sync(self.temporary.open, self.total or self.output.size)

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        if status == 403 and self.output.kept_at is not None:
            raise DownloadError(
                f"{self.output.kept_at} may not be read with these credentials (HTTP status 403).",
                hint="Give their account the right to read it, then resume the job. The clip stays where it is.",
            )
        if status in (403, 404, 410):
            raise ResultExpiredError(
                f"{self.host} no longer gives out the video (HTTP status {status}).",
                hint="Resume the job to ask the provider for a fresh address.",
            )
        if status == 416:
            self.etag = None  # the next request starts over
            raise _BrokenError("the server has fewer bytes than it said", in_vain=True)
        if status in (408, 425, 429) or status >= 500:
            pause = transport.asked_to_wait(response.headers)
            raise _BrokenError(f"HTTP status {status}", pause, in_vain=True)
        raise DownloadError(f"{self.host} answered with HTTP status {status}.", hint=_RESUME)

    def _continues(self, response: httpx.Response) -> bool:
        """Whether a 206 starts at our offset and is of the same file."""
        start, total = _content_range(response.headers)
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

    async def restart(self) -> None:
        """Forget all that has arrived."""
        self.batch, self.total, self.etag, self.md5 = bytearray(), None, None, None
        await anyio.to_thread.run_sync(self.temporary.restart)


def _body_md5(headers: Mapping[str, str]) -> str | None:
    """The MD5 of the whole body in hex: from ``Content-MD5``, or from what S3 and Google Cloud Storage have for it."""
    if s3 := _s3_md5(headers):
        return s3
    found = re.search(r"\bmd5=([A-Za-z0-9+/]{22}==)", headers.get("x-goog-hash", ""))
    try:
        digest = base64.b64decode(found[1] if found else headers.get("content-md5", ""), validate=True)
    except binascii.Error:
        return None
    return digest.hex() if len(digest) == 16 else None


def _s3_md5(headers: Mapping[str, str]) -> str | None:
    """S3 and what speaks its language use the MD5 as ETag, except for uploads in parts and for some encryption."""
    etag = re.fullmatch(r'"([0-9a-f]{32})"', headers.get("etag", ""))
    if etag is None or "x-amz-request-id" not in headers:
        return None
    encryption = headers.get("x-amz-server-side-encryption", "AES256")
    customers = "x-amz-server-side-encryption-customer-algorithm" in headers
    return etag[1] if encryption == "AES256" and not customers else None


def _content_range(headers: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Where a partial answer starts and how long the whole is; None where that is not said."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("content-range", ""))
    if found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])
