"""Serving an emulator on loopback: in a thread of this process, or in a process of its own that outlives a kill."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import uvicorn

from .emulator import Emulator
from .remote import EmulatorClient, EmulatorError
from .wire import FaultyProtocol

__all__ = ["ServerProcess", "ServerThread", "bound", "configured", "serve", "serve_process"]

logger = logging.getLogger(__name__)
_START_SECONDS = 20.0
_BACKLOG = 4096


def bound(host: str, ports: tuple[int, ...]) -> list[socket.socket]:
    """Listening sockets; port 0 = any that is free."""
    with ExitStack() as kept:
        sockets = [kept.enter_context(_bound(host, port)) for port in ports]
        kept.pop_all()
    return sockets


def _bound(host: str, port: int) -> socket.socket:
    # asyncio sends without delay only where the protocol is said outright; otherwise each answer takes 40 ms
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except (OSError, OverflowError):
        listening.close()
        raise
    return listening


def configured(emulator: Emulator, sockets: list[socket.socket]) -> uvicorn.Server:
    """A server for an emulator that listens on one or two sockets: the API, and the files if they have their own."""
    urls = [f"http://{host}:{port}" for host, port in (each.getsockname()[:2] for each in sockets)]
    emulator.api_url, emulator.delivery_url = urls[0], urls[-1]
    logger.info("%r serves %s", emulator, urls[0])
    config = uvicorn.Config(
        emulator,
        http=FaultyProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",  # a client that goes away is no news here
        access_log=False,
        date_header=False,  # the vendor's clock may be another one
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


class ServerThread(EmulatorClient):
    """An emulator served from a thread; use it as a context manager.

    Args:
        emulator: What to serve.
        two_origins: Whether the files have a port of their own, as vendors have hosts of their own for them.
        host: Address to listen on.
        port: Of the API; 0 = any that is free.
        delivery_port: Of the files; 0 = any that is free.

    Raises:
        EmulatorError: It does not start; at the end, when a handler of the emulator had a mistake.
    """

    def __init__(
        self,
        emulator: Emulator,
        *,
        two_origins: bool = True,
        host: str = "127.0.0.1",
        port: int = 0,
        delivery_port: int = 0,
    ) -> None:
        self.emulator = emulator
        self._host = host
        self._ports: tuple[int, ...] = (port, delivery_port) if two_origins else (port,)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        super().__init__("")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.emulator.mistakes and kind is None:
            raise EmulatorError(f"{self.emulator!r} has a mistake:\n{self.emulator.mistakes[0]}")

    def start(self) -> None:
        """Listen, on the same ports as before if it was stopped."""
        sockets = bound(self._host, self._ports)
        self._ports = tuple(each.getsockname()[1] for each in sockets)
        server = configured(self.emulator, sockets)
        self.url, self._delivery_url = self.emulator.api_url, self.emulator.delivery_url
        thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, name="emulator", daemon=True)
        thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise EmulatorError(f"{self.emulator!r} does not start")
            time.sleep(0.002)
        self._server, self._thread = server, thread

    def wait(self) -> None:
        """Return when it has ended, which `stop` or a signal does."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(1.0)

    def stop(self) -> None:
        """Hang up on everybody and stop listening; what the vendor knows is kept."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_START_SECONDS)
        self._server = self._thread = None

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Refuse every connection for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()


def serve(emulator: Emulator, *, two_origins: bool = True) -> ServerThread:
    """An emulator, served from a thread: ``with serve(Acme()) as acme: …``."""
    return ServerThread(emulator, two_origins=two_origins)


class ServerProcess(EmulatorClient):
    """An emulator in a process of its own, so that a client can be killed and the vendor lives on.

    It ends with this process, or with `stop`.

    Args:
        target: ``module:name`` of an `Emulator` class, or of a function that makes one.
        options: Keyword arguments for it, plain JSON.
        environment: Variables to set besides those of this process.
    """

    def __init__(
        self, target: str, options: dict[str, Any] | None = None, environment: dict[str, str] | None = None
    ) -> None:
        command = [sys.executable, "-m", "videogen_core.testing.serve", target]
        command += ["--options", json.dumps(options or {}), "--with-parent"]
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise EmulatorError(f"{target} does not start; it ended with status {self._process.returncode}")
        told = json.loads(line)
        super().__init__(told["api_url"], told["delivery_url"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mistakes = self.about()["mistakes"] if kind is None else []
        self.stop()
        if mistakes:
            raise EmulatorError(f"{self.url} has a mistake:\n{mistakes[0]}")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def stop(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def serve_process(target: str, **options: Any) -> ServerProcess:
    """An emulator in its own process: ``with serve_process("acme.emulator:Acme", seed=3) as acme: …``."""
    return ServerProcess(target, options)
