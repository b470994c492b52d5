"""Hostile media: truncated, exploding, lying and two-faced files. None is accepted, none takes long, none hurts us."""

from __future__ import annotations

import io
import random
import resource
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from loopback import Loopback
from media_samples import clip, picture
from videogen_core.clips import examine, probe
from videogen_core.errors import IntegrityError, InvalidMediaError
from videogen_core.media import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, inspect
from videogen_core.request import Media

pytestmark = pytest.mark.promise("T19")

LIMIT = 10.0  # seconds for one file
WHOLE = clip(seconds=4, detail=40, faststart=True)
WEBM = clip(seconds=4, detail=40, codec="libvpx", container="webm")
UNKNOWN = b"\x01" + b"\xff" * 7  # "no length is known", in eight bytes


def refused(data: bytes) -> str:
    """Why a clip is refused, by the way that inputs and outputs both go; fails if it is not, or takes too long."""
    start = time.monotonic()
    with pytest.raises(IntegrityError) as caught:
        examine(io.BytesIO(data), len(data))
    assert time.monotonic() - start < LIMIT
    return caught.value.message


# --- building blocks


def box(kind: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack(">I4s", len(body) + 8 if length is None else length, kind) + body


FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2")
MDAT = box(b"mdat", bytes(64))


def large_box(kind: bytes, length: int, body: bytes = b"") -> bytes:
    return struct.pack(">I4sQ", 1, kind, length) + body


def patched(kind: bytes, offset: int, value: bytes, data: bytes = WHOLE) -> bytes:
    """A clip with some bytes of one of its boxes replaced, counted from behind the kind."""
    at = data.index(kind) + 4 + offset
    return data[:at] + value + data[at + len(value) :]


def nested(kind: bytes, depth: int) -> bytes:
    total = depth * 8
    return b"".join(struct.pack(">I4s", total - 8 * level, kind) for level in range(depth))


def element(kind: int, body: bytes = b"", *, length: bytes | None = None) -> bytes:
    """An EBML element; lengths take eight bytes."""
    size = (len(body) | 1 << 56).to_bytes(8) if length is None else length
    return kind.to_bytes((kind.bit_length() + 7) // 8) + size + body


def ebml(doctype: bytes = b"webm", *rest: bytes) -> bytes:
    return element(0x1A45DFA3, element(0x4286, b"\1") + element(0x4282, doctype) + b"".join(rest))


def segment(*parts: bytes, length: bytes | None = None) -> bytes:
    return element(0x18538067, b"".join(parts), length=length)


def track(*more: bytes, codec: bytes = b"V_VP8", width: int = 160, height: int = 96) -> bytes:
    sides = element(0xB0, width.to_bytes(4)) + element(0xBA, height.to_bytes(4))
    about = element(0xD7, b"\1") + element(0x73C5, b"\1") + element(0x83, b"\1") + element(0x86, codec)
    return element(0x1654AE6B, element(0xAE, about + element(0xE0, sides) + b"".join(more)))


def cluster(frame: bytes, length: bytes | None = None) -> bytes:
    return element(0x1F43B675, element(0xE7, b"\0") + element(0xA3, b"\x81\0\0\x80" + frame), length=length)


def zipped_track() -> bytes:
    """Its frames are compressed by zlib, as Matroska allows."""
    return track(element(0x6D80, element(0x6240, element(0x5034, element(0x4254, b"\0")))))


@cache
def zeros_packed(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1024**2)) for _ in range(megabytes)), packer.flush()])


@cache
def huge_frame() -> bytes:
    """A true H.264 clip of more than 64 megapixels."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        stream: Any = out.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8208, 8208, "yuvj420p"
        out.mux(stream.encode(av.VideoFrame(8208, 8208, "yuvj420p")))
        out.mux(stream.encode())
    return buffer.getvalue()


# --- truncated

KINDS: dict[str, dict[str, Any]] = {
    "fast start": {"faststart": True},
    "index last": {},
    "mov": {"container": "mov", "audio": True},
    "webm": {"container": "webm", "codec": "libvpx"},
    "mkv": {"container": "matroska"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.promise("D3", "M1")
def test_cut_at_twenty_places(kind: str) -> None:
    data = clip(seconds=4, detail=40, **KINDS[kind])
    assert examine(io.BytesIO(data), len(data)).duration == 4.0
    for step in range(20):
        refused(data[: len(data) * step // 20])
    for missing in (1, 2, 100):
        refused(data[:-missing])


@pytest.mark.promise("D3", "D4")
def test_a_fragmented_clip_may_be_cut_between_fragments() -> None:
    """Where the walk sees nothing, only a length can tell; without one it is not taken."""
    source, buffer = av.open(io.BytesIO(WHOLE)), io.BytesIO()
    with source, av.open(buffer, "w", format="mp4", options={"movflags": "frag_keyframe+empty_moov"}) as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    data = buffer.getvalue()
    assert examine(io.BytesIO(data), len(data), vouched=False).duration == 4.0
    for step in range(20):
        refused(data[: len(data) * step // 20])
    half = data[: data.index(b"moof", len(data) // 2) - 4]
    with pytest.raises(IntegrityError, match="neither it nor the server"):
        examine(io.BytesIO(half), len(half), vouched=False)


@pytest.mark.promise("D3")
def test_frames_that_the_index_announces_must_be_there() -> None:
    """The container is whole to the last byte, and its index promises more frames than it has."""
    fewer = patched(b"stsz", 8, struct.pack(">I", 90))
    assert "90 of its 96 frames" in refused(fewer)
    beyond = patched(b"stsz", 12 + 4 * 95, struct.pack(">I", 10**6))
    assert "cut off" in refused(beyond)


@pytest.mark.promise("D3")
def test_a_clip_that_was_trimmed_by_an_editor_is_whole() -> None:
    """Its edit list hides frames on purpose: fewer are shown than the index has."""
    duration, start = struct.unpack(">Ii", WHOLE[WHOLE.index(b"elst") + 12 :][:8])
    data = patched(b"elst", 8, struct.pack(">Ii", duration // 2, start + 12288))
    assert examine(io.BytesIO(data), len(data)).duration == 2.0


# --- lies about lengths, bombs, oddities

M3U8 = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}/segment.ts\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile '{url}/a.mp4'\n"
SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
MPD = b'<?xml version="1.0"?><MPD><BaseURL>{url}/</BaseURL></MPD>'
ALL_BYTES = (2**32 - 1).to_bytes(4)

MOVIES: dict[str, Callable[[], bytes]] = {
    # lengths
    "mdat of length 0, index before": lambda: FTYP + box(b"moov") + box(b"mdat", b"xyz", length=0),
    "moov of length 0": lambda: FTYP + MDAT + box(b"moov", length=0),
    "ftyp of length 0": lambda: box(b"ftyp", b"isom\0\0\2\0", length=0) + MDAT,
    "ftyp of length 1": lambda: box(b"ftyp", b"isom\0\0\2\0", length=1) + MDAT,
    "free of length 0": lambda: FTYP + box(b"free", length=0) + WHOLE[32:],
    "length 1 and nothing behind": lambda: FTYP + box(b"moov") + box(b"mdat", length=1),
    "length 2": lambda: FTYP + box(b"moov", length=2) + MDAT,
    "length 7": lambda: FTYP + box(b"moov", length=7) + MDAT,
    "length 2**31": lambda: FTYP + box(b"moov", length=2**31) + MDAT,
    "length 2**32-1": lambda: FTYP + box(b"moov", length=2**32 - 1) + MDAT,
    "long length 0": lambda: FTYP + box(b"moov") + large_box(b"mdat", 0),
    "long length 15": lambda: FTYP + box(b"moov") + large_box(b"mdat", 15),
    "long length 2**63": lambda: FTYP + box(b"moov") + large_box(b"mdat", 2**63, bytes(64)),
    "long length 2**63-1": lambda: FTYP + box(b"moov") + large_box(b"mdat", 2**63 - 1, bytes(64)),
    "long length 2**64-1": lambda: FTYP + box(b"moov") + large_box(b"mdat", 2**64 - 1, bytes(64)),
    "long length that wraps around": lambda: FTYP + large_box(b"mdat", 2**64 - len(FTYP)) + box(b"moov"),
    "moov says 1 GiB": lambda: FTYP + box(b"moov", bytes(64), length=2**30) + MDAT,
    "moov of 64 MiB of zeros": lambda: FTYP + box(b"moov", bytes(64 * 1024**2)) + MDAT,
    "mvhd says 4 GiB": lambda: FTYP + box(b"moov", box(b"mvhd", length=2**32 - 1)) + MDAT,
    # tables
    "2**32-1 sample sizes": lambda: patched(b"stsz", 8, ALL_BYTES),
    "2**31 samples of one size": lambda: patched(b"stsz", 4, struct.pack(">II", 1, 2**31 - 1)),
    "2**32-1 samples of a time": lambda: patched(b"stts", 8, ALL_BYTES),
    "2**32-1 time entries": lambda: patched(b"stts", 4, ALL_BYTES),
    "chunks beyond the end": lambda: patched(b"stco", 8, ALL_BYTES),
    "2**32-1 samples in a chunk": lambda: patched(b"stsc", 12, ALL_BYTES),
    # nesting and numbers
    "100,000 boxes": lambda: FTYP + box(b"free") * 100_001,
    "10,000 boxes deep": lambda: FTYP + nested(b"moov", 10_000) + MDAT,
    "50,000 tracks deep": lambda: FTYP + box(b"moov", nested(b"trak", 50_000)) + MDAT,
    "20,000 tracks": lambda: FTYP + box(b"moov", box(b"trak", box(b"mdia", box(b"minf"))) * 20_000) + MDAT,
    "a compressed index": lambda: FTYP + box(b"moov", box(b"cmov", zeros_packed(64))) + MDAT,
    # frames
    "a frame of 67 megapixels": huge_frame,
    "frames of 65,535 x 65,535": lambda: patched(b"avc1", 24, b"\xff\xff\xff\xff", _without_avcc()),
    "frames of 0 x 0": lambda: patched(b"avc1", 24, bytes(4), _without_avcc()),
    "an unknown codec": lambda: patched(b"stsd", 12, b"evil"),
    "only sound": lambda: patched(b"hdlr", 8, b"soun"),
    "zeros for frames": lambda: WHOLE[: WHOLE.index(b"mdat") + 4] + bytes(len(WHOLE) - WHOLE.index(b"mdat") - 4),
    "noise for frames": lambda: WHOLE[: WHOLE.index(b"mdat") + 4] + _noise(len(WHOLE) - WHOLE.index(b"mdat") - 4),
    # two-faced
    "zip behind it": lambda: WHOLE + b"PK\3\4" + bytes(100) + b"PK\5\6" + bytes(18),
    "page behind it": lambda: WHOLE + b"<html><script>alert(1)</script></html>",
    "two clips in one": lambda: WHOLE + b"\0" + WHOLE,
    "page before it": lambda: b"<!-- " + WHOLE,
    "picture before it": lambda: picture() + WHOLE,
    "animation before it": lambda: picture("GIF") + WHOLE,
    "zip before it": lambda: b"PK\3\4" + bytes(26) + WHOLE,
    "script in its first box": lambda: b"\0\0\0\x1c#!/bin/sh\necho owned;exit\n" + WHOLE,
    # what FFmpeg would open by following what it names
    "playlist": lambda: M3U8,
    "playlist behind a byte order mark": lambda: b"\xef\xbb\xbf" + M3U8,
    "playlist behind a type box": lambda: FTYP + M3U8,
    "playlist as the index": lambda: FTYP + box(b"moov", M3U8) + box(b"mdat", M3U8),
    "list of files": lambda: CONCAT,
    "session description": lambda: SDP,
    "manifest": lambda: MPD,
    "address": lambda: b"{url}/a.mp4",
    # other kinds
    "AVI": lambda: b"RIFF\x24\0\0\0AVI LIST" + bytes(100),
    "Ogg": lambda: b"OggS" + bytes(100),
    "MPEG-TS": lambda: (b"\x47" + bytes(187)) * 10,
    "Flash": lambda: b"FLV\1\5\0\0\0\x09" + bytes(100),
    "subtitles": lambda: b"1\n00:00:00,000 --> 00:00:01,000\nx\n",
    "nothing": lambda: b"",
    "one byte": lambda: b"\0",
    "zeros": lambda: bytes(100_000),
    "noise": lambda: _noise(100_000),
}

MATROSKA: dict[str, Callable[[], bytes]] = {
    "only a head": lambda: ebml(),
    "head of unknown length": lambda: element(0x1A45DFA3, length=UNKNOWN) + WEBM[40:],
    "head without a length": lambda: b"\x1a\x45\xdf\xa3\x00" + bytes(64),
    "segment first": lambda: b"\x1a\x45\xdf\xa3" + segment(track(), cluster(b"x")),
    "no segment": lambda: ebml() + element(0xEC, bytes(100)),
    "empty segment": lambda: ebml() + segment(),
    "empty segment of unknown length": lambda: ebml() + segment(length=UNKNOWN),
    "segment of unknown length without a cluster": lambda: ebml() + segment(length=UNKNOWN) + track(),
    "segment of 2**56-2 bytes": lambda: ebml() + segment(track(), length=b"\x01" + b"\xff" * 6 + b"\xfe"),
    "two segments": lambda: ebml() + segment(track()) + segment(track(), cluster(b"x")),
    "another type": lambda: ebml(b"evil") + segment(track(), cluster(b"x")),
    "a version from the future": lambda: ebml(b"webm", element(0x42F7, b"\xff")) + segment(track(), cluster(b"x")),
    "a length of zero bits": lambda: ebml() + b"\x18\x53\x80\x67\x00" + bytes(64),
    "an id of zero bits": lambda: ebml() + bytes(64),
    "clusters in clusters": lambda: (
        ebml() + segment(track(), length=UNKNOWN) + element(0x1F43B675, length=UNKNOWN) * 50_000
    ),
    "many elements": lambda: ebml() + segment(length=UNKNOWN) + element(0xEC) * 100_001,
    "no frame": lambda: ebml() + segment(track()),
    "a frame of noise": lambda: ebml() + segment(track(), cluster(_noise(500))),
    "frames of 2**31 pixels": lambda: ebml() + segment(track(width=65535, height=32768), cluster(bytes(50))),
    "frames of 0 pixels": lambda: ebml() + segment(track(width=0, height=0), cluster(bytes(50))),
    "a frame that unpacks to 256 MiB": lambda: ebml() + segment(zipped_track(), cluster(zeros_packed(256))),
    "a private part that unpacks": lambda: (
        ebml() + segment(zipped_track() + track(element(0x63A2, zeros_packed(64))), cluster(b"x"))
    ),
    "behind it something else": lambda: WEBM + b"<html>",
}


def _noise(length: int) -> bytes:
    return random.Random(19).randbytes(length)


def _without_avcc() -> bytes:
    """The decoder's own settings, which would tell the true size, made unreadable."""
    return WHOLE.replace(b"avcC", b"free")


@pytest.fixture(scope="module")
def canary() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server
        assert server.requests == []


@pytest.mark.parametrize("name", [*MOVIES, *MATROSKA])
@pytest.mark.promise("M1", "D3")
def test_none_is_accepted(name: str, canary: Loopback, tmp_path: Path) -> None:
    data = {**MOVIES, **MATROSKA}[name]().replace(b"{url}", canary.url.encode())
    refused(data)
    path = tmp_path / "boat.mp4"  # whatever it is called
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        probe(path)
    with pytest.raises(InvalidMediaError):
        inspect(Media.of(path), field="video")
    if name != "picture before it":  # it is a picture, and what is behind its end is nobody's business
        with pytest.raises(InvalidMediaError):
            inspect(Media.of(path), field="image")
    assert canary.requests == []


LIARS: dict[str, Callable[[], bytes]] = {
    "2**32-1 chunks": lambda: patched(b"stco", 4, ALL_BYTES),
    "no time scale": lambda: patched(b"mdhd", 12, bytes(4)),
    "a duration of years": lambda: patched(b"mdhd", 16, ALL_BYTES),
}


@pytest.mark.parametrize("name", LIARS)
def test_headers_that_lie_about_frames_that_are_there(name: str) -> None:
    """Players make do with such a file, and so do we: every frame is there, and the length is the true one."""
    data = LIARS[name]()
    assert examine(io.BytesIO(data), len(data)).duration == 4.0


@pytest.mark.parametrize("name", ["an unknown codec", "2**32-1 time entries", "a frame of noise", "zeros for frames"])
def test_the_same_without_a_child(name: str) -> None:
    data = {**MOVIES, **MATROSKA}[name]()
    with pytest.raises(IntegrityError):
        examine(io.BytesIO(data), len(data), in_process=True)


def test_the_zoo_is_large_enough() -> None:
    assert len(MOVIES) + len(MATROSKA) >= 75


def test_an_index_of_a_gigabyte(tmp_path: Path) -> None:
    """It is there, as a hole in the file; nobody may read it into memory."""
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        file.write(FTYP + MDAT + struct.pack(">I4s", 2**30, b"moov"))
        file.truncate(len(FTYP) + len(MDAT) + 2**30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    with pytest.raises(IntegrityError):
        probe(path)
    assert time.monotonic() - start < LIMIT
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


@pytest.mark.promise("M1")
def test_what_points_outside_is_not_followed(canary: Loopback, tmp_path: Path) -> None:
    """A reference to other data is not opened; the data in the file itself are used, or none."""
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(WHOLE)
    for place in (canary.url.encode() + b"/a.mp4\0", b"file://" + bytes(secret) + b"\0"):
        entry = struct.pack(">I4sI", 12 + len(place), b"url ", 0) + place
        old = WHOLE[WHOLE.index(b"dref") - 4 :][:28]
        moved = WHOLE.replace(old, box(b"dref", struct.pack(">II", 0, 1) + entry))
        with pytest.raises(IntegrityError):
            examine(io.BytesIO(moved), len(moved))  # the boxes around it are too short now
        same = WHOLE.replace(b"url \0\0\0\1", b"url \0\0\0\0")
        assert examine(io.BytesIO(same), len(same)).duration == 4.0
    assert canary.requests == []


# --- mutants


@pytest.mark.promise("M1")
@pytest.mark.parametrize("count", [120, pytest.param(10_000, marks=pytest.mark.chaos)])
def test_mutants_are_refused_or_true(count: int) -> None:
    """Bytes changed at random, mostly where the structure is: a clip or our error, soon, and this process lives."""
    sources = (WHOLE, clip(seconds=1, audio=True), WEBM, clip(container="mov"))
    for number in range(count):
        dice = random.Random(f"mutant {number}")
        data = bytearray(dice.choice(sources))
        structure = max(data.find(b"mdat"), 600)
        for _ in range(dice.choice([1, 1, 2, 5, 20])):
            place = dice.randrange(structure if dice.random() < 0.7 else len(data))
            data[place] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
        start = time.monotonic()
        try:
            video = examine(io.BytesIO(bytes(data)), len(data))
        except IntegrityError:
            pass
        else:
            assert 0 < (video.width or 0) * (video.height or 0) <= 64 * 10**6, f"mutant {number}"
            assert 0 <= (video.duration or 0) <= 10**6, f"mutant {number}"
        assert time.monotonic() - start < LIMIT, f"mutant {number}"


# --- pictures


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *between: bytes, depth: int = 1, color: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(10_000)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + data + chunk(b"IEND", b"")


def webp(width: int, height: int) -> bytes:
    canvas = (
        b"VP8X" + struct.pack("<II", 10, 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    )
    body = b"WEBP" + canvas + picture("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg(width: int, height: int) -> bytes:
    data = picture("JPEG", (64, 48))
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


PICTURES: dict[str, Callable[[], bytes]] = {
    "PNG of 65,000 x 65,000": lambda: png(65_000, 65_000),
    "PNG of 2**31-1 x 2**31-1": lambda: png(2**31 - 1, 2**31 - 1),
    "PNG of 8,001 x 8,000": lambda: png(8001, 8000),
    "PNG of 12,000 x 12,000 in colour": lambda: png(12_000, 12_000, depth=16, color=6),
    "PNG of 0 x 0": lambda: png(0, 0),
    "PNG with a profile that explodes": lambda: png(64, 48, chunk(b"iCCP", b"x\0\0" + zeros_packed(256))),
    "PNG with a text that explodes": lambda: png(64, 48, chunk(b"zTXt", b"x\0\0" + zeros_packed(256))),
    "PNG with many texts that explode": lambda: png(
        64, 48, *(chunk(b"iTXt", b"x\0\1\0\0\0" + zeros_packed(1)) for _ in range(100))
    ),
    "PNG with a chunk of 2 GiB": lambda: png(64, 48, struct.pack(">I4s", 2**31 - 1, b"tEXt")),
    "PNG without an end": lambda: picture("PNG", (300, 300))[:-20],
    "PNG with too little data": lambda: png(8000, 8000),
    "JPEG of 65,535 x 65,535": lambda: jpeg(65_535, 65_535),
    "JPEG of 10,000 x 6,401": lambda: jpeg(10_000, 6401),
    "JPEG without data": lambda: picture("JPEG")[:200],
    "WebP of 16,384 x 16,384": lambda: webp(16_384, 16_384),
    "WebP of 2**24 x 2**24": lambda: webp(2**24, 2**24),
    "WebP of another size inside": lambda: webp(5000, 5000),
    "WebP without data": lambda: picture("WEBP", (300, 300))[:60],
    **{
        f"{kind} by name PNG": (lambda kind=kind: picture(kind)) for kind in ("GIF", "TIFF", "BMP", "PPM", "ICO", "TGA")
    },
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/x"/></svg>',
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n",
    "HEIC": lambda: box(b"ftyp", b"heic\0\0\0\0mif1heic"),
    "a clip": lambda: WHOLE,
    "a GIF behind a PNG's name and head": lambda: b"\x89PNG\r\n\x1a\n" + picture("GIF"),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.promise("M2")
def test_no_hostile_picture_is_accepted(name: str, tmp_path: Path) -> None:
    data = PICTURES[name]()
    path = tmp_path / "boat.png"
    path.write_bytes(data)
    start = time.monotonic()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for field in ("image", "reference_images[0]"):
            with pytest.raises(InvalidMediaError):
                inspect(Media.of(path), field=field)
    assert said == []  # an error is raised or nothing is said; no warning goes by
    assert time.monotonic() - start < 2.0


@pytest.mark.promise("M2")
def test_pixels_and_bytes_have_limits() -> None:
    assert (MAX_IMAGE_PIXELS, MAX_IMAGE_BYTES) == (64 * 10**6, 64 * 1024**2)
    buffer = io.BytesIO()
    Image.new("1", (8000, 8000)).save(buffer, "PNG")
    assert inspect(Media.of(buffer.getvalue()), field="image").width == 8000  # 64 megapixels and not one more
    for data, message in ((png(8000, 8001), "8000x8001 pixels"), (b"\x89PNG\r\n\x1a\n" + bytes(2**26), "at most")):
        with pytest.raises(InvalidMediaError, match=message):
            inspect(Media.of(data), field="image")


@pytest.mark.promise("M2")
def test_a_bomb_is_not_unpacked() -> None:
    """In a process of its own, to see how much memory it takes."""
    script = (
        "import resource, sys; from videogen_core.media import inspect; from videogen_core.request import Media\n"
        "import PIL.PngImagePlugin, PIL.JpegImagePlugin, PIL.WebPImagePlugin\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: inspect(Media.of(sys.stdin.buffer.read()), field='image')\n"
        "except Exception as error: print(type(error).__name__, end=' ')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    for data in (png(65_000, 65_000), jpeg(65_535, 65_535), webp(16_384, 16_384), PICTURES[TEXT_BOMB]()):
        done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
        name, grown = done.stdout.split()
        assert name == b"InvalidMediaError"
        assert int(grown) < 48 * 1024  # KiB
        assert done.stderr == b""


TEXT_BOMB = "PNG with a text that explodes"
