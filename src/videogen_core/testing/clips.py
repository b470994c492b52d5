"""The files that an emulated vendor delivers: real MP4s of the size, length, rate and sound that were asked for.

Clips of one shape are rendered once and differ in a box at their end that players skip; it says whose they are.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from random import Random
from typing import Any

import msgspec

__all__ = ["Clip", "make_clip", "owner"]

_MARK = b"videogen-emulator:"
_WORD = "PLACEHOLDER · videogen emulator"
_SAMPLE_RATE = 48_000


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """What a clip is to be like.

    Attributes:
        duration: Seconds.
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second.
        audio: Whether it has sound.
        seed: Decides how it looks.
    """

    duration: float = 1.0
    width: int = 320
    height: int = 180
    fps: float = 8.0
    audio: bool = False
    seed: int = 0


@lru_cache(maxsize=64)
def _rendered(clip: Clip) -> bytes:
    """One picture shown for as long as it takes, and silence for sound: what counts is what a decoder says of it."""
    import av

    file = io.BytesIO()
    # the muxer reads back what it wrote to move the index to the front; a copy is what it reads from
    reopen = lambda url, flags, options: io.BytesIO(file.getvalue())  # noqa: E731
    with av.open(file, "w", format="mp4", options={"movflags": "+faststart"}, io_open=reopen) as container:
        container.metadata["title"] = "videogen emulator placeholder"
        video: Any = container.add_stream(
            "libx264", rate=Fraction(clip.fps).limit_denominator(1001), options={"preset": "ultrafast", "crf": "30"}
        )
        video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
        video.codec_context.thread_count = 1  # the same bytes on any number of cores
        sound: Any = container.add_stream("aac", rate=_SAMPLE_RATE, layout="stereo") if clip.audio else None
        frame = _picture(clip)
        for number in range(max(1, round(clip.duration * clip.fps))):
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for silence in _silence(clip.duration) if sound is not None else ():
            container.mux(sound.encode(silence))
        if sound is not None:
            container.mux(sound.encode(None))
    return file.getvalue()


def _picture(clip: Clip) -> Any:
    """A frame with a word on it; the seed decides its colour."""
    import av
    from PIL import Image, ImageDraw

    chance = Random(clip.seed)
    picture = Image.new("RGB", (clip.width, clip.height), tuple(chance.randrange(40, 200) for _ in range(3)))
    ImageDraw.Draw(picture).text((clip.width // 20, clip.height // 20), _WORD, fill="white")
    return av.VideoFrame.from_image(picture).reformat(format="yuv420p")  # type: ignore[no-untyped-call]


def _silence(seconds: float) -> Iterator[Any]:
    """Sound of that length."""
    import av

    total, block = round(seconds * _SAMPLE_RATE), 1024
    for start in range(0, total, block):
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=min(block, total - start))
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
