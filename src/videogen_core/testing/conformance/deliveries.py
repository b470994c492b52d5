"""Clips that do not arrive at the first try, and keys that stay where they belong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from videogen_core import AsyncClient, DownloadError, Result, ResultExpiredError

from ..clips import make_clip
from ..faults import Fault
from .rig import KEY, Rig
from .suite import Suite, each

__all__ = ["Deliveries"]


@dataclass(frozen=True)
class _Mishap:
    id: str
    fault: Fault


_MISHAPS = (
    _Mishap("reset", Fault("reset", on="download", part="body")),
    _Mishap("truncated", Fault("truncated", on="download")),
    _Mishap("cut", Fault("cut", on="download")),
    _Mishap("503", Fault("status", on="download", status=503)),
    _Mishap("html", Fault("html", on="download")),
    _Mishap("expired", Fault("expired", on="download")),
)


class Deliveries(Suite):
    """The clip is made, and is fetched."""

    @each("mishap", lambda suite: _MISHAPS)
    async def test_a_download_that_fails_is_made_good(self, rig: Rig, mishap: _Mishap) -> None:
        """The clip comes whole, at the latest when the job is resumed; never half a file under its name."""
        rig.vendor.inject(mishap.fault)
        async with rig.client() as client:
            result = await _insist(rig, client)
        _fetched(rig)
        rig.one_create(f"A download broken by {mishap.id}")
        assert rig.whose(result.path)["job"] == rig.creates[0].job
        names = {path.name for path in rig.folder.iterdir() if path.is_file()}
        assert names == {rig.output().name}, f"Beside the clip there lie {names - {rig.output().name}}."

    async def test_no_key_goes_to_the_file_server(self, rig: Rig) -> None:
        """The vendor's second origin is a stranger: it gets the address alone."""
        async with rig.client() as client:
            await rig.generate(client)
        _fetched(rig)
        told = [
            entry.path for entry in rig.emulator.journal.entries() if entry.origin == "delivery" and entry.credentials
        ]
        assert not told, f"A key went to the file server with {told[0]}: leave Output.headers empty for other origins."

    async def test_no_key_follows_a_redirect(self, rig: Rig) -> None:
        """The clip comes from another origin, which learns nothing."""
        with _elsewhere(rig) as (address, heard):
            rig.vendor.inject(Fault("redirect", on="download", location=address))
            async with rig.client() as client:
                result = await _insist(rig, client)
            _fetched(rig)
        assert rig.whose(result.path)["job"] == rig.creates[0].job
        assert heard, "The redirect was not followed."
        assert not any(KEY in value for value in heard), "The key went along to where the download was redirected."

    async def test_what_the_vendor_keeps_no_longer_is_said_to_be_gone(self, rig: Rig) -> None:
        """Fetched too late: the error says so, and the cost stands."""
        rig.vendor.change(retention=1000.0)
        rig.vendor.inject(Fault("status", on="download", status=503, times=None))
        async with rig.client() as client:
            with pytest.raises(DownloadError):
                await _fetch_or_skip(rig, client)
            rig.vendor.calm()
            rig.vendor.advance(100_000)
            (outcome,) = await client.resume(timeout=60.0)
            job = await rig.only_job(client)
        if isinstance(outcome, Result):
            rig.note("The emulator keeps clips for ever; Emulator.links heeds Traits.retention.")
            return
        assert isinstance(outcome, ResultExpiredError), (
            f"A clip that is gone ended as {type(outcome).__name__}: {outcome}"
        )
        if job.record.attempt.quote.known:
            assert job.cost == rig.charged, f"The cost is ${job.cost}, the vendor took ${rig.charged}."


async def _insist(rig: Rig, client: AsyncClient) -> Result:
    """The clip, resuming the job once if need be."""
    try:
        return await rig.generate(client)
    except DownloadError:
        half = rig.output().exists()
    assert not half, "The download failed, and yet there is a file under the clip's name."
    (result,) = await client.resume(timeout=60.0)
    if not isinstance(result, Result):
        raise AssertionError(f"The clip does not come: {result}") from result
    return result


def _fetched(rig: Rig) -> None:
    if not rig.emulator.journal.entries("download"):
        pytest.skip("its clips come with the vendor's answer, and are not fetched")


async def _fetch_or_skip(rig: Rig, client: AsyncClient) -> None:
    await rig.generate(client)
    _fetched(rig)
    raise AssertionError("A download that fails every time gave a clip.")


@contextmanager
def _elsewhere(rig: Rig) -> Iterator[tuple[str, list[str]]]:
    """A third origin that has the only job's clip; its address, and every header that it got."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.extend(f"{name}: {value}" for name, value in self.headers.items())
            heard.append(self.path)
            (job,) = rig.jobs
            data = make_clip(msgspec.structs.replace(job.clip), job=job.id, number=0)
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/elsewhere.mp4", heard
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
