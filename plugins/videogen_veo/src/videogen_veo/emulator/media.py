"""What clients send in: base64, kinds of files by their first bytes, and how long a clip is."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import NamedTuple

import av
from starlette.concurrency import run_in_threadpool

from .answers import GoogleRefusal

__all__ = ["VIDEO_TYPES", "Measure", "bucket_and_name", "decoded", "image_type", "measured"]

VIDEO_TYPES = frozenset({"video/mp4", "video/mpeg", "video/mpg", "video/mov", "video/quicktime", "video/avi",
                         "video/x-flv", "video/webm", "video/wmv", "video/3gpp"})  # fmt: skip
_MAGIC = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_HEIF = {b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heif", b"msf1": "image/heif"}
_GS = re.compile(r"gs://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])(?:/(.*))?")


class Measure(NamedTuple):
    """How long and how large a clip is."""

    seconds: float
    width: int
    height: int


def decoded(text: str, what: str) -> bytes:
    """Bytes out of base64.

    Raises:
        GoogleRefusal: 400.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise GoogleRefusal(400, "invalid_request", f"Invalid value at '{what}': Base64 decoding failed.") from error
    if not data:
        raise GoogleRefusal(400, "invalid_request", f"Invalid value at '{what}': it is empty.")
    return data


def image_type(data: bytes) -> str | None:
    """The kind of an image, by its first bytes."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return _HEIF.get(data[8:12]) if data[4:8] == b"ftyp" else None


async def measured(data: bytes) -> Measure | None:
    """What a clip is like; None = it cannot be read as one."""
    return await run_in_threadpool(_measured, data)


def _measured(data: bytes) -> Measure | None:
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            if stream.duration is not None and stream.time_base is not None:
                seconds = float(stream.duration * stream.time_base)
            else:
                seconds = (container.duration or 0) / av.time_base
            return Measure(round(seconds, 3), stream.width, stream.height) if seconds > 0 else None
    except (av.FFmpegError, IndexError, OSError, ValueError):
        return None


def bucket_and_name(uri: str, what: str) -> tuple[str, str]:
    """The two parts of a ``gs://`` address; the name is empty when there is none.

    Raises:
        GoogleRefusal: 400: it is none.
    """
    found = _GS.fullmatch(uri)
    if found is None:
        raise GoogleRefusal(400, "invalid_request", f"Invalid value at '{what}': {uri[:80]!r} is no gs:// address.")
    return found[1], found[2] or ""
