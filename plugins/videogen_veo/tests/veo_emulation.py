"""What the tests of the emulator share: one that is served, and the official SDK's clients for it."""

from __future__ import annotations

import base64
import io
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import av
import pytest
from google import genai
from google.genai import types

from videogen_core.testing import Clip, Script, ServerThread, make_clip, serve
from videogen_veo.emulator import VeoEmulator

PROJECT = "emulated-project"
FAST = "veo-3.1-fast-generate-001"
OMNI = "gemini-omni-1.2-flash"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SMALL = {"type": "video", "resolution": "360p", "duration": "3s"}


@pytest.fixture(scope="module")
def _served() -> Iterator[ServerThread]:
    with serve(VeoEmulator()) as served, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GEMINI_"))]:
            patch.delenv(name)
        for name, value in served.environment.items():
            patch.setenv(name, value)
        yield served


@pytest.fixture(scope="module")
def _clients(_served: ServerThread) -> Iterator[dict[str, genai.Client]]:
    """One of each: a client takes a tenth of a second to make."""
    with ExitStack() as stack:
        yield {
            "gemini": stack.enter_context(genai.Client(enterprise=False, http_options=once())),
            "vertex": stack.enter_context(vertex_client()),
            "global": stack.enter_context(vertex_client("global")),
        }


@pytest.fixture
def google(_served: ServerThread) -> ServerThread:
    """Google, as if it had just been made; the variables lead to it."""
    _served.reset()
    _served.script_all(Script(times=None))
    return _served


@pytest.fixture
def emulator(google: ServerThread) -> VeoEmulator:
    """The emulator itself, which is in this process."""
    assert isinstance(google.emulator, VeoEmulator)
    return google.emulator


@pytest.fixture
def gemini(google: ServerThread, _clients: dict[str, genai.Client]) -> genai.Client:
    """A client with an API key."""
    return _clients["gemini"]


@pytest.fixture
def vertex(google: ServerThread, _clients: dict[str, genai.Client]) -> genai.Client:
    """A client for Veo on Vertex AI, with the service account."""
    return _clients["vertex"]


@pytest.fixture
def vertex_global(google: ServerThread, _clients: dict[str, genai.Client]) -> genai.Client:
    """A client for Omni on Vertex AI."""
    return _clients["global"]


@pytest.fixture
def anyio_backend() -> str:
    """What the SDK's async half is made for."""
    return "asyncio"


def once() -> types.HttpOptions:
    """No retries. Fresh ones for every client, since the SDK writes its address into what it is given."""
    return types.HttpOptions(timeout=60_000, retry_options=types.HttpRetryOptions(attempts=1))


def vertex_client(location: str = "us-central1", **options: Any) -> genai.Client:
    """A client for Vertex AI, which wants project and location said when an address is given."""
    return genai.Client(enterprise=True, project=PROJECT, location=location, http_options=once(), **options)


def veo(client: genai.Client, prompt: str | None = "a cat", *, model: str = FAST, **config: Any) -> Any:
    """A create of four silent seconds; inputs and settings by the SDK's own names."""
    source = {name: config.pop(name) for name in ("image", "video") if name in config}
    config = {"duration_seconds": 4, "generate_audio": False, **config}
    return client.models.generate_videos(
        model=model,
        source=types.GenerateVideosSource(prompt=prompt, **source),
        config=types.GenerateVideosConfig(**{name: value for name, value in config.items() if value is not None}),
    )


def omni(client: genai.Client, given: Any = "a cat", *, task: str | None = "text_to_video", **more: Any) -> Any:
    """A create of three small seconds in the background."""
    config = {} if task is None else {"generation_config": {"video_config": {"task": task}}}
    asked: dict[str, Any] = {"model": OMNI, "background": True, "response_format": SMALL, **config, **more}
    return client.interactions.create(input=given, **asked)


def finished(client: genai.Client, operation: Any) -> Any:
    """An operation, once it is done."""
    for _ in range(200):
        operation = client.operations.get(operation)
        if operation.done:
            return operation
        time.sleep(0.01)
    raise AssertionError("it never ends")


def image_part(data: bytes = PNG, mime_type: str = "image/png") -> dict[str, str]:
    """An image for an interaction."""
    return {"type": "image", "data": base64.b64encode(data).decode(), "mime_type": mime_type}


def video_part(data: bytes) -> dict[str, str]:
    """A clip for an interaction."""
    return {"type": "video", "data": base64.b64encode(data).decode(), "mime_type": "video/mp4"}


def clip_of(seconds: float) -> bytes:
    """A small clip to work from."""
    return make_clip(Clip(duration=seconds, width=128, height=72, fps=24))


def shape(data: bytes) -> tuple[float, int, int, int, bool]:
    """Seconds, width, height, frames a second, and whether there is sound."""
    with av.open(io.BytesIO(data), "r") as clip:
        video = clip.streams.video[0]
        assert video.average_rate is not None
        seconds = round(video.frames / float(video.average_rate), 2)
        return seconds, video.width, video.height, round(video.average_rate), bool(clip.streams.audio)
