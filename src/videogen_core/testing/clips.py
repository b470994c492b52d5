"""The files that an emulated vendor delivers: real MP4s of the size, length, rate and sound that were asked for.

Clips of one shape are rendered once and differ in a box at their end that players skip; it says whose they are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import msgspec

__all__ = ["Clip", "make_clip", "owner"]

_MARK = b"videogen-emulator:"
_SAMPLE_RATE = 48_000
_BLOCK = 1024  # samples of a frame


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """What a clip is to be like.

    Attributes:
        duration: Seconds.
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second.
        audio: Whether it has sound.
        seed: Decides how it looks.
        still: One grey picture all the time and silence, which is made many times faster; for large sizes.
    """

    duration: float = 1.0
    width: int = 320
    height: int = 180
    fps: float = 8.0
    audio: bool = False
    seed: int = 0
    still: bool = False


@lru_cache(maxsize=64)
def _rendered(clip: Clip) -> bytes:
    from videogen_core.sandbox.render import RenderSpec, render

    if clip.still:
        return _still(clip)
    return render(
        RenderSpec(
            prompt="emulated",
            width=clip.width,
            height=clip.height,
            fps=clip.fps,
            duration=clip.duration,
            audio=clip.audio,
            seed=clip.seed,
            mark="PLACEHOLDER · videogen emulator",
            title="videogen emulator placeholder",
        )
    )


def _still(clip: Clip) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        rate = Fraction(clip.fps).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
        video.codec_context.thread_count = 1  # the same bytes on any number of cores
        sound = container.add_stream("aac", rate=_SAMPLE_RATE, layout="stereo") if clip.audio else None
        picture = av.VideoFrame(clip.width, clip.height, "yuv420p")
        for plane in picture.planes:
            plane.update(bytes([64 + clip.seed % 128]) * plane.buffer_size)
        for number in range(max(1, round(clip.duration * clip.fps))):
            picture.pts = number
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound is not None:
            container.mux([packet for part in _silence(clip.duration) for packet in sound.encode(part)])
            container.mux(sound.encode(None))
    return file.getvalue()


def _silence(duration: float) -> Iterator[av.AudioFrame]:
    for start in range(0, round(duration * _SAMPLE_RATE), _BLOCK):
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=_BLOCK)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.time_base, frame.pts = _SAMPLE_RATE, Fraction(1, _SAMPLE_RATE), start
        yield frame


def make_clip(clip: Clip, **facts: Any) -> bytes:
    """An MP4, the same bytes for the same arguments.

    Args:
        clip: What it is to be like.
        **facts: Plain JSON that `owner` reads back, such as the id of its job.
    """
    note = _MARK + json.dumps(facts, sort_keys=True).encode()
    return _rendered(clip) + (len(note) + 8).to_bytes(4) + b"free" + note


def owner(data: bytes) -> dict[str, Any]:
    """What was said about a clip when it was made; empty when it is none of ours."""
    _, mark, note = data.rpartition(_MARK)
    try:
        facts = json.loads(note) if mark else {}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
