"""Real files for tests, made here: clips with PyAV, pictures with Pillow."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, cast

import av
from av.video.stream import VideoStream
from PIL import Image


@cache
def clip(
    *,
    seconds: float = 1.0,
    size: tuple[int, int] = (160, 96),
    fps: int = 24,
    codec: str = "libx264",
    container: str = "mp4",
    faststart: bool = False,
    audio: bool = False,
    gop: int = 12,
    rotation: int = 0,
    detail: int = 1,
) -> bytes:
    """The bytes of a small clip with a moving pattern; more ``detail``, more bytes."""
    # the index can be put in front only of a file that can be opened again
    options = {"movflags": "faststart"} if faststart else {}
    with tempfile.NamedTemporaryFile() as file, av.open(file.name, "w", format=container, options=options) as out:
        stream = cast("VideoStream", out.add_stream(codec, rate=fps))
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", gop
        if rotation:
            stream.set_display_rotation(rotation)
        sound = out.add_stream("aac", rate=44100, layout="mono") if audio else None
        for number in range(round(seconds * fps)):
            out.mux(stream.encode(_frame(number, size, detail)))
        out.mux(stream.encode())
        if sound is not None:
            for number in range(round(seconds * 44100 / 1024)):
                out.mux(sound.encode(_silence(number)))
            out.mux(sound.encode())
        out.close()
        return Path(file.name).read_bytes()


def _frame(number: int, size: tuple[int, int], detail: int) -> av.VideoFrame:
    frame = av.VideoFrame(*size, "yuv420p")
    for index, plane in enumerate(frame.planes):
        step = number * (3 + index)
        row = bytes((x * detail * (x % 7 if detail > 1 else 1) // 4 + step) % 256 for x in range(plane.line_size))
        plane.update(row * plane.height)
    frame.pts = number
    return frame


def _silence(number: int) -> av.AudioFrame:
    frame = av.AudioFrame("fltp", "mono", 1024)
    frame.rate, frame.pts = 44100, number * 1024
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    return frame


def sound_only() -> bytes:
    """An MP4 without pictures."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=44100, layout="mono")
        for number in range(20):
            out.mux(stream.encode(_silence(number)))
        out.mux(stream.encode())
    return buffer.getvalue()


def picture(
    kind: str = "PNG", size: tuple[int, int] = (64, 48), mode: str = "RGB", color: Any = 90, **options: Any
) -> bytes:
    """The bytes of a picture."""
    buffer = io.BytesIO()
    Image.new(mode, size, color).save(buffer, format=kind, **options)
    return buffer.getvalue()


def rotated_jpeg(size: tuple[int, int] = (64, 48)) -> bytes:
    """A JPEG whose EXIF block says that it lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return picture("JPEG", size, exif=exif)
