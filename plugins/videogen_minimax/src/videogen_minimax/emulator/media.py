"""What clients send in: images and clips inside the request are opened and measured, addresses are taken on trust."""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import NamedTuple

import av
from PIL import Image, UnidentifiedImageError

from .answers import invalid

__all__ = ["V1", "V2", "Limits", "Picture", "clip_of", "picture_of"]

_DATA = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)
_ADDRESS = re.compile(r"(https?|mm_file)://[^\s/].*")
_HEIF = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


class Limits(NamedTuple):
    """What an image may be: formats as Pillow names them, bytes, pixels of both sides, width / height."""

    formats: tuple[str, ...]
    bytes: int
    shortest: int
    longest: int = 100_000
    ratios: tuple[float, float] = (0.4, 2.5)


V1 = Limits(("JPEG", "PNG", "WEBP"), 20_000_000 - 1, 301)
V2 = Limits(("JPEG", "PNG", "WEBP", "HEIF"), 30_000_000, 256, 5760)


class Picture(NamedTuple):
    """How large an image or a clip is; of an address nothing is known but that it is one."""

    width: int = 0
    height: int = 0
    seconds: float = 0.0

    @property
    def shape(self) -> float:
        """Width / height; 16:9 where it is not known."""
        return self.width / self.height if self.height else 16 / 9


def _content(text: str, field: str, kind: str) -> bytes | None:
    """The bytes that come in a data URL; None = it is an address.

    Raises:
        Refusal: It is neither.
    """
    if _ADDRESS.fullmatch(text):
        return None
    found = _DATA.fullmatch(text)
    if found is None or not found[1].startswith(kind):
        raise invalid(f"{field} is neither an address nor a data URL")
    try:
        return base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError):
        raise invalid(f"{field} is no base64") from None


def picture_of(text: str, field: str, limits: Limits) -> Picture:
    """An image.

    Raises:
        Refusal: It cannot be read, or is beyond the limits.
    """
    data = _content(text, field, "image/")
    if data is None:
        return Picture()
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF and "HEIF" in limits.formats:
        return Picture()  # Pillow does not read it
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind, (width, height) = image.format, image.size
    except (UnidentifiedImageError, OSError):
        raise invalid(f"{field} is no image") from None
    low, high = limits.ratios
    fits = kind in limits.formats and len(data) <= limits.bytes and low <= width / height <= high
    if not fits or min(width, height) < limits.shortest or max(width, height) > limits.longest:
        raise invalid(f"{field}: a {kind} of {width}x{height} and {len(data)} bytes is not accepted")
    return Picture(width, height)


def clip_of(text: str, field: str) -> Picture:
    """A clip.

    Raises:
        Refusal: It cannot be read, or is too large.
    """
    data = _content(text, field, "video/")
    if data is None:
        return Picture()
    if len(data) > 50_000_000:
        raise invalid(f"{field} has more than 50 MB")
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            seconds = (container.duration or 0) / av.time_base
            return Picture(stream.width, stream.height, round(seconds, 3))
    except (av.FFmpegError, IndexError, OSError, ValueError):
        raise invalid(f"{field} is no video") from None
