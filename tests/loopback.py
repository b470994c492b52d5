"""A loopback web server that can misbehave on the wire: it writes whatever bytes it is told to, or stops."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]

    @property
    def offset(self) -> int:
        """Where the range starts that was asked for; 0 without one."""
        match = re.match(r"bytes=(\d+)-", self.headers.get("range", ""))
        return int(match[1]) if match else 0


RESET = object()
"""Ends the connection with a reset instead of a proper close."""

Part = object
"""Bytes to send, a number of seconds to wait, or RESET."""
Answer = Callable[[Request], Iterable[Part]]


def head(status: str = "200 OK", /, **headers: object) -> bytes:
    """Status line and headers; ``content_length=5`` becomes ``content-length: 5``."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", "connection: close", *lines, "", ""]).encode()


def whole(body: bytes, **headers: object) -> Answer:
    """An ordinary answer."""
    return lambda request: [head(content_length=len(body), **headers), body]


class Loopback:
    """The server; use it as a context manager.

    Attributes:
        answers: What to do for each path.
        requests: What arrived, in order.
    """

    def __init__(self, answers: dict[str, Answer] | None = None, *, host: str = "127.0.0.1") -> None:
        self.answers = answers or {}
        self.requests: list[Request] = []
        self._socket = socket.create_server((host, 0))
        self._socket.settimeout(0.01)
        self.host, self.port = self._socket.getsockname()[:2]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def _accept(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._socket.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(5)
            request = self._read(connection)
            if request is None:
                return
            self.requests.append(request)
            answer = self.answers.get(request.path.partition("?")[0])
            for part in answer(request) if answer else [head("404 Not Found")]:
                if part is RESET:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                if isinstance(part, bytes):
                    connection.sendall(part)
                elif isinstance(part, (int, float)) and self._stop.wait(part):
                    return

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            data += chunk
            if not chunk or data.startswith(b"\x16"):  # a TLS greeting
                return None
        first, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        return Request(first.split(" ")[1], headers)


@contextlib.contextmanager
def serving(**answers: Answer) -> Iterator[Loopback]:
    """A server with one path per keyword: ``serving(clip=whole(data))`` answers ``/clip``."""
    with Loopback({f"/{name}": answer for name, answer in answers.items()}) as server:
        yield server
