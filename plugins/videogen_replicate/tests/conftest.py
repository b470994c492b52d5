"""What the plugin's tests share: Replicate on loopback, and clients that know no other provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from videogen_core import AsyncClient, downloads, plugins
from videogen_core.engine.clock import Clock
from videogen_core.retry import Backoff
from videogen_core.testing import Script, ServerThread, serve
from videogen_replicate.emulator import ReplicateEmulator
from videogen_replicate.plugin import ReplicateProvider

TOKEN = "r8_test0token0of0the0emulator"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def _served() -> Iterator[ServerThread]:
    with serve(ReplicateEmulator(seed=5, key=TOKEN)) as running:
        yield running


@pytest.fixture
def vendor(_served: ServerThread, monkeypatch: pytest.MonkeyPatch) -> ServerThread:
    """Replicate as new; predictions are done when they are first asked for."""
    emulator = _served.emulator
    emulator.reset(seed=5)
    emulator.change(kind="C", list_lag=0.0, retention=3600.0)
    emulator.clock.run(1.0)
    emulator.vendor.script = Script(times=None)
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VIDEOGEN_ALLOW_PRIVATE_ADDRESSES", "1")
    monkeypatch.setenv("VIDEOGEN_PROBE_IN_PROCESS", "1")
    return _served


@pytest.fixture
def emulator(vendor: ServerThread) -> ReplicateEmulator:
    """The emulator itself."""
    found = vendor.emulator
    assert isinstance(found, ReplicateEmulator)
    return found


@pytest.fixture(autouse=True)
def _this_plugin_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others may be installed beside it."""
    own = tuple(each for each in plugins._entry_points() if each.value.startswith("videogen_replicate."))
    monkeypatch.setattr(plugins, "_entry_points", lambda: own)


@pytest.fixture(autouse=True)
def _hurry(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of the engine and of downloads are a hundredth of what they are, but for Replicate itself."""
    import anyio

    if request.node.get_closest_marker("live"):
        return

    async def sleep(self: Clock, seconds: float) -> None:
        await anyio.sleep(seconds / 100)

    monkeypatch.setattr(Clock, "sleep", sleep)
    defaults: Any = downloads.save.__kwdefaults__
    monkeypatch.setitem(defaults, "backoff", Backoff(first=0.02, cap=0.1, attempts=5))


@pytest.fixture
def client(tmp_path: Path) -> Callable[..., AsyncClient]:
    """Makes a client that has this provider alone."""

    def make(**changes: Any) -> AsyncClient:
        return AsyncClient(**{"home": tmp_path / "home", "plugins": [ReplicateProvider()], **changes})

    return make
