"""Webhooks of an emulator: signed, repeated until they are taken, and wrong when that was asked for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from acme.emulator import AcmeEmulator
from acme.plugin import AcmeProvider
from emulated import KEY, acme, made, server, web
from videogen_core import Notice, WebhookError
from videogen_core.testing import Fault, Script, ServerThread, sign_webhook

__all__ = ["acme", "server"]  # fixtures

SECRET = AcmeEmulator.webhook_secret


class _Inbox(BaseHTTPRequestHandler):
    """Takes deliveries; the first ones may be answered with an error."""

    got: list[tuple[dict[str, str], bytes]]
    statuses: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.statuses.pop(0) if self.statuses else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def inbox() -> Iterator[tuple[type[_Inbox], str]]:
    handler = type("Inbox", (_Inbox,), {"got": [], "statuses": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler, f"http://127.0.0.1:{server.server_port}/hook/token"
        server.shutdown()
        thread.join()


def noticed(headers: dict[str, str], body: bytes) -> Notice:
    """What the plugin makes of a delivery."""
    return AcmeProvider().notice(headers, body, {"ACME_WEBHOOK_SECRET": SECRET}, {})


def arrived(inbox: type[_Inbox], count: int) -> list[tuple[dict[str, str], bytes]]:
    deadline = time.monotonic() + 5
    while len(inbox.got) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(inbox.got) == count
    return inbox.got


def answers(acme: ServerThread, count: int) -> list[int]:
    """What its deliveries were answered, once all are: the inbox has one before its sender has the answer."""
    deadline = time.monotonic() + 5
    while True:
        found = [entry.status for entry in acme.journal("webhook")]
        if (len(found) >= count and all(found)) or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


@pytest.mark.promise("T15")
def test_a_webhook_tells_of_the_end_and_insists(acme: ServerThread, inbox: tuple[type[_Inbox], str]) -> None:
    handler, url = inbox
    handler.statuses[:] = [500, 503]
    acme.script(Script(running=60))
    job = made(acme, webhook_url=url)
    time.sleep(0.1)
    assert handler.got == []
    acme.advance(60)
    deliveries = arrived(handler, 3)
    headers, body = deliveries[-1]
    told = noticed(headers, body)
    assert (told.provider_job_id, json.loads(body)["status"], told.delivery_id) == (job, "done", f"msg_{job}")
    assert len({headers["webhook-id"] for headers, _ in deliveries}) == 1
    assert answers(acme, 3) == [500, 503, 204]


@pytest.mark.promise("T15")
def test_a_cancelled_job_is_told_of_at_once(acme: ServerThread, inbox: tuple[type[_Inbox], str]) -> None:
    handler, url = inbox
    acme.script(Script(running=60))
    job = made(acme, webhook_url=url)
    web.post(f"{acme.url}/v1/videos/{job}/cancel", headers=KEY)
    assert json.loads(arrived(handler, 1)[0][1])["status"] == "stopped"


@pytest.mark.parametrize("what", ["bad_signature", "unsigned", "stale", "garbage"])
@pytest.mark.promise("T15")
def test_deliveries_that_are_not_genuine(acme: ServerThread, inbox: tuple[type[_Inbox], str], what: Any) -> None:
    acme.inject(Fault(what, on="webhook"))
    made(acme, webhook_url=inbox[1])
    ((headers, body),) = arrived(inbox[0], 1)
    with pytest.raises(WebhookError):
        noticed(headers, body)


@pytest.mark.promise("T15")
def test_deliveries_that_come_twice_or_never(acme: ServerThread, inbox: tuple[type[_Inbox], str]) -> None:
    acme.inject(Fault("lost", on="webhook"), Fault("duplicate", on="webhook"))
    lost = made(acme, webhook_url=inbox[1])
    time.sleep(0.1)
    twice = made(acme, webhook_url=inbox[1])
    told = [json.loads(body)["id"] for _, body in arrived(inbox[0], 2)]
    assert told == [twice, twice]
    assert lost not in told


def test_signatures_are_those_of_standard_webhooks() -> None:
    secret = "whsec_dmlkZW9nZW4tdGVzdC1rZXktMDAwMDAwMDA="
    body = b'{"id":"abc","status":"succeeded"}'
    assert sign_webhook(secret, "msg_test_0001", 1700000000, body) == "v1,kG/ORi8tReGn9EtpY3ykl0WCsDz4pFOXWIX1udEnmFk="
