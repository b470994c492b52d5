"""The files of a task: one clip, a clip in another container, or an archive of frames with its sound beside it."""

from __future__ import annotations

import io
import wave
import zipfile
from typing import Any

import av

__all__ = ["TYPES", "archive", "names", "quicktime", "sound"]

_MOV = ("prores", "hdr_prores", "hdr_pq_12bit_master", "mov")
_ZIP = ("png_sequence", "hdr_png_sequence", "hdr_exr_sequence", "hdr_exr_acescg_sequence_1_3",
        "hdr_exr_acescg_sequence_2_0")  # fmt: skip
_RATE = 8000
TYPES = {"mp4": "video/mp4", "mov": "video/quicktime", "zip": "application/zip", "wav": "audio/wav"}


def names(body: dict[str, Any], count: int, *, audio: bool) -> list[str]:
    """What the files of a task are called."""
    form = body.get("outputFormat")
    if not count:
        return []
    if form in _ZIP:
        return ["0.zip", "1.wav"] if audio else ["0.zip"]
    return ["0.mov"] if form in _MOV else [f"{number}.mp4" for number in range(count)]


def quicktime(clip: bytes) -> bytes:
    """The same clip in a QuickTime container."""
    target = io.BytesIO()
    with av.open(io.BytesIO(clip), "r") as source, av.open(target, "w", format="mov") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    return target.getvalue()


def archive(clip: bytes) -> bytes:
    """The frames of a clip as pictures in an archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made, av.open(io.BytesIO(clip), "r") as source:
        for number, frame in enumerate(source.decode(source.streams.video[0])):
            picture = io.BytesIO()
            shown: Any = frame  # its to_image has no annotations
            shown.to_image().save(picture, format="PNG")
            made.writestr(f"frame_{number:04d}.png", picture.getvalue())
    return target.getvalue()


def sound(seconds: float) -> bytes:
    """Silence as a WAV file."""
    target = io.BytesIO()
    with wave.open(target, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(_RATE)
        made.writeframes(bytes(2 * int(_RATE * seconds)))
    return target.getvalue()
