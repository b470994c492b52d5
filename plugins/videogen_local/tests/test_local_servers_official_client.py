"""OpenAI's own client against the emulators: it cannot tell them from servers that speak its API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from servers_bench import KEY, Bench, bench
from videogen_core.testing import Script, owner
from videogen_local.emulator import OpenaiEmulator, SglangEmulator, VllmOmniEmulator
from videogen_local.emulator.server import VideosEmulator

openai = pytest.importorskip("openai")

__all__ = ["bench"]

# OpenAI's own models are gone since September 2026; the shape lives on in servers, and the client still speaks it
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


@pytest.fixture(params=[VllmOmniEmulator, SglangEmulator, OpenaiEmulator])
def server(request: pytest.FixtureRequest, bench: Bench) -> VideosEmulator:
    """An emulator of each dialect."""
    found: VideosEmulator = bench.serve(request.param)
    return found


@pytest.fixture
def official(server: VideosEmulator) -> Iterator[Any]:
    """The client, which does not repeat what fails."""
    with openai.OpenAI(api_key=KEY, base_url=f"{server.api_url}/v1", max_retries=0) as client:
        yield client


def test_a_video_from_create_to_clip(official: Any, server: VideosEmulator) -> None:
    server.vendor.add_scripts(Script(polls=2))
    made = official.videos.create(prompt="A boat", model=server.model, seconds="4", size="1280x720")
    assert (made.status, made.size, made.seconds) == ("queued", "1280x720", "4")
    while (video := official.videos.retrieve(made.id)).status not in ("completed", "failed"):
        pass
    assert (video.status, video.progress) == ("completed", 100)
    assert [each.id for each in official.videos.list(limit=10)] == [made.id]
    clip = official.videos.download_content(made.id).read()
    assert owner(clip)["job"] == made.id
    official.videos.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        official.videos.retrieve(made.id)


def test_a_picture_and_a_failure(official: Any, server: VideosEmulator) -> None:
    server.vendor.add_scripts(Script(ending="failed", message="out of luck"))
    made = official.videos.create(
        prompt="A boat",
        model=server.model,
        seconds="4",
        size="1280x720",
        input_reference=("a.png", b"\x89PNG", "image/png"),
    )
    if isinstance(server, VllmOmniEmulator):  # a failed job has the status of its failure, and the client raises
        with pytest.raises(openai.InternalServerError, match="out of luck"):
            official.videos.retrieve(made.id)
        return
    failed = official.videos.retrieve(made.id)
    assert (failed.status, failed.error.message) == ("failed", "out of luck")


def test_what_is_wrong_is_said_in_the_clients_own_errors(official: Any, server: VideosEmulator) -> None:
    with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)):
        official.videos.create(prompt="A boat", model=server.model, seconds="4", size="1x1")
    with pytest.raises(openai.NotFoundError):
        official.videos.download_content("nobody")
    stranger = official.with_options(api_key="sk-of-somebody-else")
    with pytest.raises(openai.AuthenticationError):
        stranger.videos.list()
