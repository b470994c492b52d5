"""Callbacks: the handshake, deliveries that nobody has signed, and what an address that cannot be guessed is worth."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest

from minimax_bench import _served as _served, client, emulator as emulator, vendor as vendor
from videogen_core import Client, SubmissionUnknownError, WebhookError
from videogen_core.testing import Fault, Script, ServerThread
from videogen_minimax import challenge
from videogen_minimax.callbacks import notice
from videogen_minimax.emulator import MinimaxEmulator


class Application:
    """A web application that takes callbacks in, as the documentation has it."""

    def __init__(self) -> None:
        self.videogen: Client | None = None
        self.polite = True
        self.took: list[str] = []
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status, answer = application.news(self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/news"

    def news(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if (answer := challenge(body)) is not None:
            return (200, json.dumps(answer).encode()) if self.polite else (404, b"")
        assert self.videogen is not None
        provider, reference = path.split("/")[2:]
        try:
            job = self.videogen.webhook(provider, headers=headers, body=body, reference=reference)
        except WebhookError as error:
            return error.status_code, b""
        self.took.append(f"{job.id} {job.status}")
        return 204, b""

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def application() -> Iterator[Application]:
    with Application() as found:
        yield found


@pytest.fixture
def videogen(vendor: ServerThread, application: Application, tmp_path: Path) -> Iterator[Client]:
    with client(tmp_path, webhook_url=application.url) as found:
        application.videogen = found
        yield found


def until(what: Any) -> None:
    deadline = time.monotonic() + 10
    while not what() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert what()


def test_the_challenge_is_echoed() -> None:
    assert challenge(b'{"challenge": "12345678"}') == {"challenge": "12345678"}
    for other in (b"", b"{", b"[1]", b'{"challenge": 7}', b'{"challenge": ""}', b'{"task_id": "1"}', b"\xff"):
        assert challenge(other) is None


@pytest.mark.parametrize("word", ["success", "Success", "processing", "Fail"])
def test_a_delivery_of_v1_says_which_task(word: str) -> None:
    found = notice(json.dumps({"task_id": "115334141465231", "status": word, "file_id": ""}).encode())
    assert (found.provider_job_id, found.handle, found.delivery_id) == ("115334141465231", {}, None)


def test_a_delivery_of_v2_says_which_task() -> None:
    found = notice(b'{"task": {"id": "424010985738629", "status": "succeeded"}}')
    assert (found.provider_job_id, found.handle) == ("424010985738629", {})


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b'{"challenge": "1"}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_delivery_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookError):
        notice(body)


@pytest.mark.parametrize("model", ["hailuo-2.3", "hailuo-3"])
def test_news_of_a_job_come_where_they_were_asked_for(
    vendor: ServerThread, emulator: MinimaxEmulator, application: Application, videogen: Client, model: str
) -> None:
    vendor.script(Script(running=20))
    job = videogen.submit("A boat", model=model)
    until(lambda: application.took)
    assert application.took == [f"{job.id} succeeded"]
    reference = job.record.attempt.client_ref
    assert emulator.handshakes == [(f"{application.url}/minimax/{reference}", True)]


@pytest.mark.parametrize("model", ["hailuo-2.3", "hailuo-3"])
def test_a_callback_finds_the_job_whose_answer_was_lost(
    vendor: ServerThread, application: Application, videogen: Client, tmp_path: Path, model: str
) -> None:
    vendor.script(Script(running=100))
    vendor.inject(Fault("reset", on="create"))
    with suppress(SubmissionUnknownError):
        videogen.generate("A boat", model=model, output=tmp_path / "boat.mp4")
    until(lambda: application.took)
    (job,) = videogen.jobs()
    assert job.provider_job_id == vendor.jobs()[0]["id"]
    assert job.record.attempt.handle == {"api": "v1" if model == "hailuo-2.3" else "v2"}
    assert job.wait(timeout=60).path is not None
    assert vendor.count("create") == 1


def test_an_address_that_does_not_answer_hears_nothing(
    vendor: ServerThread, emulator: MinimaxEmulator, application: Application, videogen: Client
) -> None:
    application.polite = False
    job = videogen.submit("A boat", model="hailuo-2.3")
    assert [right for _, right in emulator.handshakes] == [False]
    vendor.advance(60)
    assert job.refresh().status == "succeeded"  # it is asked for all the same
    assert vendor.journal("webhook") == []


def test_a_forged_delivery_changes_nothing(vendor: ServerThread, application: Application, videogen: Client) -> None:
    vendor.script(Script(queued=600, times=2))
    job, other = videogen.submit("A boat", model="hailuo-2.3"), videogen.submit("A kite", model="hailuo-2.3")
    lie = json.dumps({"task_id": other.provider_job_id, "status": "Success", "file_id": "1"}).encode()
    assert application.news("/news/minimax/guessed", {}, lie) == (404, b"")
    assert application.news(f"/news/minimax/{job.record.attempt.client_ref}", {}, lie) == (204, b"")
    mine = job.provider_job_id
    assert (job.refresh().status, job.provider_job_id) == ("queued", mine)  # MiniMax itself was asked


@pytest.mark.parametrize("model", ["hailuo-2.3", "hailuo-3"])
def test_a_forged_delivery_gives_a_lost_job_no_id(
    vendor: ServerThread, application: Application, videogen: Client, model: str
) -> None:
    application.polite = False  # MiniMax itself tells nothing
    vendor.script(Script(queued=600, times=4))
    other = videogen.submit("A kite", model=model)
    strange = videogen.submit("A tree", model="hailuo-3-max" if model == "hailuo-3" else "hailuo-3")
    vendor.inject(Fault("reset", on="create"))
    with pytest.raises(SubmissionUnknownError) as caught:
        videogen.submit("A boat", model=model)
    lost = videogen.job(caught.value.job_id or "")
    address = f"/news/minimax/{lost.record.attempt.client_ref}"
    for lie in ("123456789012345", "../files", other.provider_job_id, strange.provider_job_id):
        for told in ({"task_id": lie, "status": "Success"}, {"task": {"id": lie, "status": "succeeded"}}):
            assert application.news(address, {}, json.dumps(told).encode()) == (404, b"")
    lost = videogen.job(lost.id)
    assert (lost.status, lost.money, lost.provider_job_id) == ("unknown", "held", None)
    mine = vendor.jobs()[-1]["id"]
    assert application.news(address, {}, json.dumps({"task_id": mine, "status": "Success"}).encode()) == (204, b"")
    assert videogen.job(lost.id).provider_job_id == mine


def test_a_delivery_without_its_reference_asks_nobody(vendor: ServerThread, videogen: Client) -> None:
    vendor.script(Script(queued=600))
    job = videogen.submit("A boat", model="hailuo-2.3")
    body = json.dumps({"task_id": job.provider_job_id, "status": "Success"}).encode()
    with pytest.raises(WebhookError, match="only with our reference"):
        videogen.webhook("minimax", headers={}, body=body)
    assert vendor.journal("poll") == []
