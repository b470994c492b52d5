"""What the tests of running models share: tiny pipelines, a client that uses the processor, and a look into clips."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from videogen_core import Client, Event

NEEDS_TORCH = "these run models; torch or diffusers is not installed: `nox -s tests_local` runs them"


def need_torch() -> None:
    """Leave a file of tests out where torch is absent, and say so."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "diffusers", "transformers")):
        pytest.skip(NEEDS_TORCH, allow_module_level=True)


def client(home: Path, **local: Any) -> Client:
    """A client that runs models on the processor."""
    return Client(home=home, plugins=[], providers={"local": {"devices": ["cpu"], **local}})


def model(folder: Path) -> str:
    return f"local/{folder}"


@dataclass(frozen=True)
class Clip:
    """What a player would find."""

    frames: int
    width: int
    height: int
    fps: float
    codec: str
    pixels: str
    sound: str | None
    seconds: float
    sound_seconds: float
    about: dict[str, Any]
    index_first: bool


def look(path: Path) -> Clip:
    """Decode every frame of a clip."""
    data = path.read_bytes()
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        frames = sum(1 for _ in file.decode(video))
        sound = file.streams.audio[0] if file.streams.audio else None
        about = json.loads(file.metadata["comment"])
        return Clip(
            frames=frames,
            width=video.width,
            height=video.height,
            fps=float(video.average_rate or 0),
            codec=video.codec_context.name,
            pixels=str(video.codec_context.pix_fmt),
            sound=sound.codec_context.name if sound else None,
            seconds=float(video.duration * video.time_base) if video.duration and video.time_base else 0.0,
            sound_seconds=float(sound.duration * sound.time_base)
            if sound and sound.duration and sound.time_base
            else 0,
            about=about,
            index_first=data.index(b"moov") < data.index(b"mdat"),
        )


def steps(events: list[Event]) -> list[str]:
    """The denoising steps that were told, as ``1/3``; each once."""
    words = [event.message.split() for event in events if event.message.startswith("denoising")]
    return list(dict.fromkeys(word[1] for word in words if len(word) > 1 and "/" in word[1]))
