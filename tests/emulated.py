"""Acme's emulator for the tests of emulators: served once, new for each test, asked over HTTP or a bare socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from acme.emulator import AcmeEmulator
from videogen_core.testing import Script, ServerThread, serve

CREATE = {"model": "paper", "prompt": "boat", "seconds": 1, "size": "96x64", "fps": 8, "audio": False, "n": 1}
KEY = {"Authorization": "Bearer test-key"}
web = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), trust_env=False, verify=False)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    with serve(AcmeEmulator(seed=7)) as running:
        yield running


@pytest.fixture
def acme(server: ServerThread) -> Iterator[ServerThread]:
    server.reset(seed=7)
    server.run(0)
    server.change(kind="N", list_lag=0.0, poll_every=0.0, concurrency=None, url_lifetime=None, retention=None)
    server.script_all(Script(times=None))
    yield server
    assert server.about()["mistakes"] == []


@dataclass(frozen=True)
class Heard:
    """What a bare socket heard, and how the connection ended."""

    data: bytes
    end: str
    seconds: float

    @property
    def status(self) -> int:
        return int(self.data.split(b" ")[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    @property
    def body(self) -> bytes:
        return self.data.partition(b"\r\n\r\n")[2]


def listen(url: str, method: str, path: str, body: object = None, *, limit: int = 2**24, patience: float = 5.0,
           **headers: str) -> Heard:  # fmt: skip
    """Ask over a bare socket, and read until the end, whatever the headers say."""
    sent = b"" if body is None else json.dumps(body).encode()
    named = {"host": "acme", "connection": "close", "content-length": str(len(sent)), **KEY, **headers}
    head = "\r\n".join(
        [f"{method} {path} HTTP/1.1", *(f"{k.replace('_', '-')}: {v}" for k, v in named.items()), "", ""]
    )
    host, _, port = url.removeprefix("http://").partition(":")
    start, data, end = time.monotonic(), b"", "FIN"
    with socket.create_connection((host, int(port)), timeout=patience) as connection:
        try:
            connection.sendall(head.encode() + sent)
            while chunk := connection.recv(65536):
                data += chunk
                if len(data) > limit:
                    end = "limit"
                    break
        except ConnectionResetError:
            end = "RST"
        except TimeoutError:
            end = "silence"
    return Heard(data, end, time.monotonic() - start)


def create(acme: ServerThread, **changes: Any) -> httpx.Response:
    headers = {**KEY, **changes.pop("headers", {})}
    return web.post(f"{acme.url}/v1/videos", json={**CREATE, **changes}, headers=headers)


def poll(acme: ServerThread, job: str) -> dict[str, Any]:
    found: dict[str, Any] = web.get(f"{acme.url}/v1/videos/{job}", headers=KEY).json()
    return found


def made(acme: ServerThread, **changes: Any) -> str:
    job: str = create(acme, **changes).json()["id"]
    return job
