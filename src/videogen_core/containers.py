"""What a file is by its first bytes, and whether a video container reaches its own end.

A cut MP4 still opens and tells its full length; walking its boxes finds the cut in microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = ["VIDEO_FORMATS", "Walk", "complete_container", "container_problem", "describe_head", "sniff", "walk"]

VIDEO_FORMATS = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
}
"""MIME type -> what FFmpeg calls the format."""

_MAX_BOXES = 100_000
_FTYP_BRANDS = {
    b"qt  ": "video/quicktime",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1"), "image/heif"),
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"M4A ", b"M4B "), "audio/mp4"),
}


def sniff(head: bytes) -> str | None:
    """The MIME type that the first bytes of a file tell (64 are enough), or None."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and len(head) >= 12:
        return _FTYP_BRANDS.get(head[8:12], "video/mp4")
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    return None


def complete_container(path: Path) -> bool:
    """Whether the file is a container that reaches from its first byte to its last: MP4, MOV, WebM, MKV or GIF.

    A probe cannot tell: a cut MP4 with its index in front still opens with its full duration.
    """
    with path.open("rb") as file:
        return container_problem(file, path.stat().st_size) is None


@dataclass(frozen=True)
class Walk:
    """What a walk through a container found.

    Attributes:
        problem: What is wrong, in words that follow "the file"; None when it reaches the end of the file.
        open_ended: Whether it would do so, too, if it had been cut at the right place: a recording that does not say
            how long it is.
    """

    problem: str | None = None
    open_ended: bool = False


def container_problem(file: IO[bytes], size: int) -> str | None:
    """What is wrong with the container, in words that follow "the file", or None. Reads only the headers.

    Args:
        file: Open for reading.
        size: Its bytes.
    """
    return walk(file, size).problem


def walk(file: IO[bytes], size: int) -> Walk:
    """Go from header to header to the end of the file.

    Args:
        file: Open for reading.
        size: Its bytes.
    """
    file.seek(0)
    head = file.read(64)
    mime = sniff(head)
    if mime == "image/gif":
        file.seek(size - 1)
        return Walk(None if file.read(1) == b";" else "has no end mark")
    if mime in ("video/webm", "video/x-matroska"):
        return _walk_elements(file, size)
    if mime in VIDEO_FORMATS:
        return _walk_boxes(file, size)
    return Walk(f"is {mime or describe_head(head)}, not a video")


def _walk_boxes(file: IO[bytes], size: int) -> Walk:
    """MP4 and MOV: each box says how long it is, and the last must end where the file does.

    In a fragmented file any fragment may be the last, unless the index of fragments (``mfra``) follows.
    """
    seen: set[bytes] = set()
    offset = 0
    for _ in range(_MAX_BOXES):
        if offset == size:
            missing = {b"ftyp", b"moov", b"mdat"} - seen
            if missing:
                return Walk(f"has no {min(missing).decode()} box")
            return Walk(open_ended=b"moof" in seen and b"mfra" not in seen)
        file.seek(offset)
        header = file.read(16)
        length, kind, smallest = int.from_bytes(header[:4]), header[4:8], 8
        if length == 1:  # 64-bit length behind the kind
            length, smallest = int.from_bytes(header[8:16]), 16
        elif length == 0 and kind in (b"mdat", b"moov"):  # "up to the end of the file"
            length = size - offset
        if len(header) < smallest or length < smallest:
            return Walk(f"has garbage at byte {offset:,}")
        if length > size - offset:
            there = f"{size - offset:,} of {length:,} bytes of its {kind.decode('latin-1')!r} box"
            return Walk(f"is cut off: {there} are there")
        seen.add(kind)
        offset += length
    return Walk("has too many boxes")


_EBML_HEADER, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675


def _walk_elements(file: IO[bytes], size: int) -> Walk:
    """WebM and MKV: the same on the top level, with a segment.

    A live recording does not say how long its segment is, nor perhaps its clusters; the walk then goes through them.
    """
    seen: set[int] = set()
    offset, open_ended = 0, False
    for _ in range(_MAX_BOXES):
        if offset == size:
            complete = {_EBML_HEADER, _SEGMENT} <= seen and not (open_ended and _CLUSTER not in seen)
            return Walk(open_ended=open_ended) if complete else Walk("has no segment")
        file.seek(offset)
        header = file.read(16)
        kind, used = _vint(header, 0, keep_marker=True)
        length, more = _vint(header, used)
        if not used or not more or (not seen and kind != _EBML_HEADER) or (kind == _SEGMENT and kind in seen):
            return Walk(f"has garbage at byte {offset:,}")
        seen.add(kind)
        offset += used + more
        if length == (1 << 7 * more) - 1 and kind in (_SEGMENT, _CLUSTER):  # unknown: what follows is inside
            open_ended = True
            continue
        offset += length
        if offset > size:
            return Walk(f"is cut off: {offset - size:,} bytes are missing")
    return Walk("has too many elements")


def _vint(data: bytes, start: int, *, keep_marker: bool = False) -> tuple[int, int]:
    """An EBML number and its length in bytes, 0 when there is none: leading zero bits tell how many bytes follow."""
    first = data[start] if start < len(data) else 0
    length = 9 - first.bit_length()
    if length > 8 or start + length > len(data):
        return 0, 0
    value = int.from_bytes(data[start : start + length])
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), length


def describe_head(head: bytes) -> str:
    """Words for content that is none of our types; error pages are the usual case."""
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<error")):
        return "a web page"
    if text.startswith((b"{", b"[")):
        return "JSON text"
    if text.startswith(b"#extm3u"):
        return "a playlist"
    return "neither an image nor a video that is known here"
