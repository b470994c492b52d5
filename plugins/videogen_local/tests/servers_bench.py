"""What the tests of servers share: emulators on loopback, and clients that know nothing but those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from videogen_core import AsyncClient, ModelSpec, downloads
from videogen_core.engine.clock import Clock
from videogen_core.retry import Backoff
from videogen_core.testing import Entry, Script, ServerThread
from videogen_local.emulator.server import VideosEmulator
from videogen_local.plugin import LocalProvider
from videogen_local.servers import engine

__all__ = ["KEY", "Bench", "NoCatalogue", "bench"]

KEY = "sk-test-0key0of0the0emulated0server"


class NoCatalogue(LocalProvider):
    """The plugin without its own models, so that a test sees its servers alone."""

    def models(self) -> tuple[ModelSpec, ...]:
        return ()


class Bench:
    """Serves emulators, and makes clients for them.

    Args:
        home: Of the clients.
        patch: Undone when the test ends.
    """

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._patch = patch
        self._running: list[ServerThread] = []

    def serve(self, emulator: type[VideosEmulator], **options: Any) -> Any:
        """An emulator that runs, jobs done when they are first asked for."""
        server = ServerThread(emulator(**{"key": KEY, "seed": 3, "script": Script(times=None), **options}))
        server.start()
        self._running.append(server)
        return server.emulator

    def stop(self) -> None:
        """Stop what runs."""
        for server in self._running:
            server.stop()

    def client(self, *emulators: Any, provider: type[LocalProvider] = NoCatalogue, **changes: Any) -> AsyncClient:
        """A client with one server, called ``gpu``, at the addresses of some emulators.

        Args:
            *emulators: Addresses, or who is at them.
            provider: The plugin.
            **changes: Of the server's table; None takes a key out.
        """
        urls = [each if isinstance(each, str) else each.api_url for each in emulators]
        first: Any = next((each for each in emulators if not isinstance(each, str)), None)
        table = {"urls": urls, "key_env": "GPU_KEY"}
        table |= {"dialect": first.dialect, "model": first.model} if first is not None else {}
        table = {name: value for name, value in {**table, **changes}.items() if value is not None}
        self._patch.setenv("GPU_KEY", KEY)
        return AsyncClient(home=self.home, plugins=[provider()], providers={"local": {"servers": {"gpu": table}}})

    def output(self, name: str = "clip.mp4") -> str:
        """Where a clip is to go."""
        return str(self.home.parent / name)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A bench; waits of the engine, of downloads and of servers are short."""
    import anyio

    async def sleep(self: Clock, seconds: float) -> None:
        await anyio.sleep(seconds / 100)

    monkeypatch.setattr(Clock, "sleep", sleep)
    defaults: Any = downloads.save.__kwdefaults__
    monkeypatch.setitem(defaults, "backoff", Backoff(first=0.02, cap=0.1, attempts=3))
    monkeypatch.setattr(engine, "_AGAIN", 0.01)
    monkeypatch.setattr(engine, "_STOPPING", (0.01, 0.01))
    monkeypatch.setenv("VIDEOGEN_PROBE_IN_PROCESS", "1")
    made = Bench(tmp_path / "home", monkeypatch)
    yield made
    made.stop()


Creates = Callable[[Any], list[Entry]]
