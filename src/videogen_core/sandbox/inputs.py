"""What the sandbox needs of a user's images and clips: a small picture of each, and a clip's facts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from av.container import InputContainer

__all__ = ["ClipFacts", "UnreadableInputError", "clip_facts", "clip_frames", "last_frame", "shrink"]

_LAST_SECONDS = 2
"""How far before its end a clip is entered to find its last frame."""


class UnreadableInputError(ValueError):
    """The bytes are no picture or clip that can be decoded here."""


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """A clip's pixels as shown, and its seconds."""

    width: int
    height: int
    duration: float


def shrink(data: bytes, size: tuple[int, int], *, limit: int) -> bytes:
    """A picture as JPEG, cropped to the shape of ``size`` and scaled to it.

    Args:
        data: A file that Pillow reads.
        size: Width and height in pixels.
        limit: Bytes that the result should stay under; the JPEG quality is lowered from 90 to 40 to get there.

    Raises:
        UnreadableInputError: It is not such a file.
    """
    picture = ImageOps.fit(open_picture(data, size), size, Image.Resampling.LANCZOS)
    for quality in (90, 75, 60, 40):
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=quality)
        if buffer.tell() <= limit:
            break
    return buffer.getvalue()


def open_picture(data: bytes, size: tuple[int, int]) -> Image.Image:
    """A picture upright and without transparency, decoded no larger than ``size`` needs.

    Raises:
        UnreadableInputError: It is not a picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.draft("RGB", size)
            upright = ImageOps.exif_transpose(opened)
            if "A" in upright.getbands() or "transparency" in upright.info:
                paper = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(paper, upright.convert("RGBA"))
            return upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableInputError("it is not a picture that can be decoded") from error


def clip_facts(data: bytes) -> ClipFacts:
    """Pixels and seconds of a clip.

    Raises:
        UnreadableInputError: It has no video that can be decoded, or does not say how long it is.
    """
    with _opened(data) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        else:
            seconds = (container.duration or 0) / av.time_base
        if seconds <= 0:
            raise UnreadableInputError("it does not say how long it is")
        return ClipFacts(width=stream.width, height=stream.height, duration=seconds)


def last_frame(data: bytes) -> bytes:
    """The last picture of a clip, as PNG.

    Raises:
        UnreadableInputError: It has no video that can be decoded.
    """
    with _opened(data) as container:
        stream = container.streams.video[0]
        if container.duration:
            container.seek(max(0, container.duration - _LAST_SECONDS * av.time_base))
        last = None
        for frame in container.decode(stream):
            last = frame
        if last is None:
            raise UnreadableInputError("it has no frames")
        buffer = io.BytesIO()
        _image(last).save(buffer, format="PNG", compress_level=1)
        return buffer.getvalue()


def clip_frames(data: bytes, size: tuple[int, int], fps: float) -> Iterator[Image.Image]:
    """A clip's pictures at ``fps`` frames per second, fitted to ``size``; its last one is repeated for ever.

    Raises:
        UnreadableInputError: It has no video that can be decoded.
    """
    shown = 0
    picture: Image.Image | None = None
    with _opened(data) as container:
        for frame in container.decode(container.streams.video[0]):
            due = frame.time or 0.0
            while picture is not None and shown / fps < due - 1e-6:
                yield picture
                shown += 1
            picture = ImageOps.fit(_image(frame), size, Image.Resampling.BILINEAR)
    if picture is None:
        raise UnreadableInputError("it has no frames")
    while True:
        yield picture


def _image(frame: av.VideoFrame) -> Image.Image:
    picture: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return picture


@contextmanager
def _opened(data: bytes) -> Iterator[InputContainer]:
    try:
        with av.open(io.BytesIO(data), mode="r") as container:
            if not container.streams.video:
                raise UnreadableInputError("it has no pictures in it")
            yield container
    except av.FFmpegError as error:
        raise UnreadableInputError("it is not a clip that can be decoded") from error
