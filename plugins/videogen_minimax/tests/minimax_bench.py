"""What the tests of the plugin share: an emulated MiniMax, a client that waits by its clock, and pictures."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from videogen_core import Client, Event
from videogen_core.testing import Script, ServerThread, VendorJob, make_clip, serve
from videogen_core.testing.conformance.hurry import hurry, only_loopback
from videogen_minimax.emulator import MinimaxEmulator
from videogen_minimax.plugin import MinimaxProvider

KEY = "test-key"


class SmallClips(MinimaxEmulator):
    """The same, but its clips are small, since it is not them that is looked at; the conformance suite does that."""

    async def clip(self, job: VendorJob, number: int) -> bytes:
        return make_clip(msgspec.structs.replace(job.clip, width=64, height=36, fps=8.0), job=job.id, number=number)


@pytest.fixture(scope="module")
def _served() -> Iterator[ServerThread]:
    with serve(SmallClips(speed=100)) as served:
        yield served


@pytest.fixture
def vendor(_served: ServerThread, monkeypatch: pytest.MonkeyPatch) -> ServerThread:
    """MiniMax, as if it had just been made; the variables lead to it, and the engine waits by its clock."""
    _served.reset(seed=7)
    _served.change(url_lifetime=3600.0, retention=None)
    _served.script_all(Script(times=None))
    for name in [name for name in os.environ if name.startswith("MINIMAX_")]:
        monkeypatch.delenv(name)
    for name, value in _served.environment.items():
        monkeypatch.setenv(name, value)
    hurry(monkeypatch, _served.emulator.clock)
    only_loopback(monkeypatch)
    return _served


@pytest.fixture
def emulator(vendor: ServerThread) -> MinimaxEmulator:
    """The emulator itself, which is in this process."""
    assert isinstance(vendor.emulator, MinimaxEmulator)
    return vendor.emulator


@pytest.fixture
def videogen(vendor: ServerThread, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client with this plugin alone, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    with client(tmp_path) as found:
        yield found


def client(folder: Path, **overrides: Any) -> Client:
    """A client whose home is in a folder."""
    settings = {"allow_private_addresses": True, "probe_in_process": True, **overrides}
    return Client(home=folder / "home", plugins=[MinimaxProvider()], **settings)


class Heard:
    """Remembers events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[str]:
        """The messages of one type."""
        return [event.message for event in self.events if event.type == kind]


def creates(vendor: ServerThread) -> list[dict[str, Any]]:
    """The bodies of all creates."""
    return [json.loads(entry.body) for entry in vendor.journal("create")]


def body(vendor: ServerThread) -> dict[str, Any]:
    """The body of the only create."""
    (found,) = creates(vendor)
    return found


def asked(vendor: ServerThread) -> list[str]:
    """Method and path of every request, in order."""
    return [f"{entry.method} {entry.path}" for entry in vendor.journal()]


@cache
def picture(kind: str = "PNG", size: tuple[int, int] = (640, 360)) -> bytes:
    """A picture of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, (0, 96, 160)).save(file, format=kind)
    return file.getvalue()
