"""What clients send in: addresses, data URIs and uploads, and what the files behind them are like."""

from __future__ import annotations

import base64
import binascii
import io
import ipaddress
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import av
from PIL import Image

__all__ = ["Assets", "Measure", "Upload"]

_INLINE = 5_242_880  # characters of a data URI
_LONGEST_URL = 2048
_LIFE = 86_400.0  # seconds for which an upload is kept
_DATA = re.compile(r"data:(image|video|audio)/[\w.+-]+;base64,")


class Measure(NamedTuple):
    """What an input is like; pictures last no time."""

    width: int
    height: int
    seconds: float = 0.0
    fps: float = 0.0
    sound: bool = False


_ELSEWHERE = Measure(1280, 720, 4.0, 24.0)
"""Of what lies at an address, which nobody here fetches."""


@dataclass
class Upload:
    """A place for a file.

    Attributes:
        fields: What has to come with the file.
        made: When it was asked for, in vendor seconds.
        data: The file, once it is there.
    """

    fields: dict[str, str]
    made: float
    data: bytes = b""


class Assets:
    """The uploads of one account, and what can be said of any input."""

    def __init__(self) -> None:
        self.uploads: dict[str, Upload] = {}
        self.now = 0.0

    def problem(self, address: str, family: str) -> str | None:
        """Why Runway would not take an input; None = it would."""
        if address.startswith("runway://"):
            upload = self.uploads.get(address.removeprefix("runway://"))
            lives = upload is not None and upload.data and self.now < upload.made + _LIFE
            return None if lives else "Invalid asset URI: the upload does not exist or has expired."
        if address.startswith("data:"):
            return self._data_problem(address, family)
        if not address.startswith("https://"):
            return "Invalid URI: only HTTPS URLs, Runway upload URIs and data URIs are allowed."
        if len(address) > _LONGEST_URL:
            return "The URL is too long."
        return None if _is_name(urlsplit(address).hostname or "") else "The URL must use a domain name."

    def _data_problem(self, address: str, family: str) -> str | None:
        found = _DATA.match(address)
        if found is None or found[1] != family:
            return f"Invalid data URI: expected base64-encoded {family}."
        if len(address) > _INLINE:
            return "The data URI is larger than 5MB."
        return None if self._bytes(address) else "The data URI cannot be decoded."

    def measure(self, address: str, family: str) -> Measure:
        """What an input is like; of an address that leads elsewhere, a guess."""
        data = self._bytes(address)
        if not data:
            return _ELSEWHERE if family == "video" else Measure(1280, 720)
        return _of_video(data) if family == "video" else _of_image(data)

    def _bytes(self, address: str) -> bytes:
        if address.startswith("runway://"):
            return self.uploads[address.removeprefix("runway://")].data
        if not address.startswith("data:"):
            return b""
        try:
            return base64.b64decode(address.partition(",")[2], validate=True)
        except binascii.Error:
            return b""


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host
    return False


def _of_image(data: bytes) -> Measure:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return Measure(*image.size)
    except OSError:
        return Measure(1280, 720)


def _of_video(data: bytes) -> Measure:
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
            fps, sound = float(stream.average_rate or 24), bool(container.streams.audio)
            return Measure(stream.width, stream.height, round(seconds, 3), fps, sound)
    except (av.FFmpegError, IndexError, OSError, ValueError):
        return _ELSEWHERE
