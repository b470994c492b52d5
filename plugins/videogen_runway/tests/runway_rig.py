"""What the tests of this plugin work with: one emulated Runway for each module, and clients that are quick."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from videogen_core import AsyncClient, Client
from videogen_core.testing import Clip, Script, ServerThread, make_clip, serve
from videogen_runway.emulator import RunwayEmulator
from videogen_runway.plugin import RunwayProvider

__all__ = ["CLIP", "PICTURE", "Runway", "picture"]

KEY = "key_runway_test_0123456789"


def picture(width: int = 640, height: int = 360, *, noise: bool = False) -> bytes:
    """A PNG; noise makes it as large as its pixels are."""
    buffer = io.BytesIO()
    pixels = os.urandom(width * height * 3) if noise else bytes(width * height * 3)
    Image.frombytes("RGB", (width, height), pixels).save(buffer, format="PNG")
    return buffer.getvalue()


PICTURE = picture()
CLIP = make_clip(Clip(duration=2, width=320, height=180, fps=8))


class Runway:
    """The emulator, served, with clients for it.

    Args:
        vendor: Served.
        folder: The test's own.
    """

    def __init__(self, vendor: ServerThread, folder: Path) -> None:
        self.vendor = vendor
        self.folder = folder

    @property
    def emulator(self) -> RunwayEmulator:
        """The vendor itself."""
        assert isinstance(self.vendor.emulator, RunwayEmulator)
        return self.vendor.emulator

    def client(self, **settings: Any) -> Client:
        """A sync client with this provider alone."""
        return Client(plugins=[RunwayProvider()], **{"poll_interval": 0.01, **settings})

    def async_client(self, **settings: Any) -> AsyncClient:
        """The same, async."""
        return AsyncClient(plugins=[RunwayProvider()], **{"poll_interval": 0.01, **settings})

    def generate(self, prompt: str | None = "A paper boat", **arguments: Any) -> Any:
        """Make a clip, the cheapest and smallest unless it is said otherwise."""
        with self.client() as client:
            return client.generate(prompt, **self.arguments(**arguments))

    def arguments(self, **arguments: Any) -> dict[str, Any]:
        """Of ``generate``."""
        usual = {"model": "runway/gen-4.5", "duration": 2, "output": str(self.folder / "clip.mp4"), "timeout": 20}
        return {**usual, **arguments}

    def submitted(self, **arguments: Any) -> dict[str, Any]:
        """Of ``submit``."""
        return {name: value for name, value in self.arguments(**arguments).items() if name != "timeout"}

    @property
    def body(self) -> dict[str, Any]:
        """Of the last create that was accepted."""
        job = list(self.emulator.vendor.jobs.values())[-1]
        asked: dict[str, Any] = job.body["asked"]
        return asked

    @property
    def endpoint(self) -> str:
        """Where the last create went."""
        return self.vendor.journal("create")[-1].path


def served() -> Iterator[ServerThread]:
    """An emulator for the tests of a module."""
    with serve(RunwayEmulator(key=KEY)) as vendor:
        yield vendor


def rigged(vendor: ServerThread, folder: Path, patch: pytest.MonkeyPatch) -> Runway:
    """The emulator as new, and an environment that leads there."""
    vendor.reset()
    vendor.script_all(Script(times=None))
    vendor.change(concurrency=None, url_lifetime=86_400.0)
    settings = {"ALLOW_PRIVATE_ADDRESSES": "1", "PROBE_IN_PROCESS": "1", "PLUGINS": "runway"}
    for name, value in {**vendor.environment, **{f"VIDEOGEN_{k}": v for k, v in settings.items()}}.items():
        patch.setenv(name, value)
    return Runway(vendor, folder)
