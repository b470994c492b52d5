"""Media: judged by content, decoded for real, and whole to the last byte."""

from __future__ import annotations

import io
import os
import struct
import time
import zlib
from pathlib import Path

import av
import pytest
from PIL import Image

from media_samples import clip, picture, rotated_jpeg, sound_only
from videogen_core import probing
from videogen_core.clips import probe
from videogen_core.containers import complete_container, sniff
from videogen_core.errors import IntegrityError, InvalidMediaError
from videogen_core.images import prepare_image
from videogen_core.media import inspect, read_bytes
from videogen_core.request import Media


def box(kind: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack(">I4s", len(body) + 8 if length is None else length, kind) + body


needs_av1 = pytest.mark.skipif("libsvtav1" not in av.codecs_available, reason="this FFmpeg cannot make AV1")
FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2")


def stored(tmp_path: Path, data: bytes, name: str = "a.mp4") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


# --- sniff


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (picture("PNG"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("WEBP"), "image/webp"),
        (picture("GIF"), "image/gif"),
        (clip(), "video/mp4"),
        (clip(container="mov"), "video/quicktime"),
        (clip(codec="libvpx", container="webm"), "video/webm"),
        (clip(codec="libvpx", container="matroska"), "video/x-matroska"),
        (box(b"ftyp", b"heic\0\0\0\0mif1heic"), "image/heic"),
        (box(b"ftyp", b"mif1\0\0\0\0mif1heic"), "image/heif"),
        (box(b"ftyp", b"avif\0\0\0\0"), "image/avif"),
        (box(b"ftyp", b"M4A \0\0\0\0"), "audio/mp4"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"#EXTM3U\nhttp://10.0.0.1/", None),
        (b"", None),
        (b"\xff\xd8", None),
    ],
)
def test_sniff(data: bytes, expected: str | None) -> None:
    assert sniff(data) == expected
    assert sniff(data[:64]) == expected


# --- inspect


def test_an_image_is_judged_by_content_not_by_name(tmp_path: Path) -> None:
    path = stored(tmp_path, picture("JPEG", (60, 40)), "really.png")
    found = inspect(Media.of(path), field="image")
    assert (found.mime_type, found.width, found.height) == ("image/jpeg", 60, 40)
    assert found.size == path.stat().st_size
    assert found.path == str(path)
    assert found.sha256 == inspect(Media.of(path.read_bytes()), field="last_frame").sha256
    assert read_bytes(found) == path.read_bytes()


def test_exif_orientation_turns_width_and_height() -> None:
    found = inspect(Media.of(rotated_jpeg((64, 48))), field="image")
    assert (found.width, found.height) == (48, 64)


def test_a_video_is_probed() -> None:
    found = inspect(Media.of(clip(seconds=2)), field="video")
    assert (found.mime_type, found.duration, found.width, found.height) == ("video/mp4", 2.0, 160, 96)
    assert found.sha256


def _png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(10_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.promise("M2")
@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        (b"", "image", "is empty"),
        (b"<!DOCTYPE html>", "image", "is a web page"),
        (b'{"error": 1}', "image", "is JSON text"),
        (b"#EXTM3U\nhttp://127.0.0.1/", "video", "is a playlist"),
        (b"hello", "reference_images[0]", "neither an image nor a video"),
        (picture("GIF"), "image", "is image/gif"),
        (box(b"ftyp", b"heic\0\0\0\0mif1heic"), "image", "is image/heic"),
        (clip(), "image", "is video/mp4"),
        (picture(), "video", "is image/png"),
        (sound_only(), "video", "no video stream"),
        (picture("PNG", (300, 300))[:-40], "image", "damaged"),
        (picture("JPEG", (300, 300))[:-80], "image", "damaged"),
        (picture("WEBP", (300, 300))[:-20], "image", "damaged"),
        (picture()[:40], "image", "damaged"),
        (clip()[:-50], "video", "cut off"),
        (_png_of_size(9000, 9000), "image", "9000x9000 pixels"),
        (_png_of_size(12_000, 12_000), "image", "pixels"),
        (_png_of_size(65_000, 65_000), "image", "65000x65000 pixels"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64 * 1024**2), "image", "at most"),
    ],
)
def test_bad_inputs_are_refused_with_a_reason(tmp_path: Path, data: bytes, field: str, message: str) -> None:
    path = stored(tmp_path, data, "boat.png")
    with pytest.raises(InvalidMediaError, match=message) as caught:
        inspect(Media.of(path), field=field)
    assert str(path) in caught.value.message
    assert caught.value.message.startswith(f"{field}: ")


@pytest.mark.promise("M2")
def test_a_bomb_costs_no_memory_and_no_time() -> None:
    start = time.monotonic()
    with pytest.raises(InvalidMediaError):
        inspect(Media.of(_png_of_size(8001, 8000)), field="image")
    assert time.monotonic() - start < 0.5


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    file = stored(tmp_path, b"x")
    cases = {
        str(tmp_path): "is a folder",
        str(fifo): "not a regular file",
        "/dev/zero": "not a regular file",
        str(tmp_path / "none.png"): "does not exist",
        str(file / "none.png"): "cannot be opened",
        "x" * 300: "cannot be opened",
        "a\0b": "cannot be opened",
    }
    for path, message in cases.items():
        with pytest.raises(InvalidMediaError, match=message):
            inspect(Media(path=path), field="image")
    with pytest.raises(InvalidMediaError, match="looked for in"):
        inspect(Media(path="none.png"), field="image")


@pytest.mark.parametrize("url", ["https://", "http:///a.png", "https://h:0x/a", "https://h/a b", "https://u:p@h/a.png"])
def test_urls_are_checked_for_their_form_only(url: str) -> None:
    with pytest.raises(InvalidMediaError, match="URL") as caught:
        inspect(Media(url=url), field="image")
    assert "u:p" not in str(caught.value)
    for good in ("https://cdn.example/a.png?sig=1", "gs://bucket/a.png", "runway://abc"):
        assert inspect(Media(url=good), field="image") == Media(url=good)
    with pytest.raises(InvalidMediaError, match="not on this machine"):
        read_bytes(Media(url="https://cdn.example/a.png"))


# --- prepare_image


def opened(media: Media) -> Image.Image:
    return Image.open(io.BytesIO(media.data or b""))


def test_an_image_that_fits_is_not_touched() -> None:
    data = picture("JPEG")
    assert prepare_image(data, max_side=64, aspect_ratio="4:3").data == data
    assert prepare_image(picture("PNG")).mime_type == "image/jpeg"


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"max_side": 100}, (100, 50)),
        ({"min_side": 200}, (400, 200)),
        ({"aspect_ratio": "1:1"}, (100, 100)),
        ({"aspect_ratio": "1:1", "fill": "pad"}, (200, 200)),
        ({"aspect_ratio": "16:9", "max_side": 160}, (160, 90)),
        ({"aspect_ratio": "9:16", "fill": "pad"}, (200, 356)),
    ],
)
def test_shapes(options: dict[str, object], size: tuple[int, int]) -> None:
    for mode in ("RGB", "RGBA", "L", "P", "LA", "1"):
        found = prepare_image(picture("PNG", (200, 100), mode, 1), **options)  # type: ignore[arg-type]
        assert (found.width, found.height) == size
        assert opened(found).size == size
        assert found.mime_type == "image/jpeg"


def test_transparency_becomes_white_and_pictures_stand_upright() -> None:
    clear = prepare_image(picture("PNG", mode="RGBA", color=(255, 0, 0, 0)))
    assert opened(clear).getpixel((5, 5)) == (255, 255, 255)
    turned = prepare_image(rotated_jpeg((64, 48)))
    assert (turned.width, turned.height) == opened(turned).size == (48, 64)
    grey = prepare_image(picture("PNG", mode="I;16", color=0x8000))
    assert opened(grey).getpixel((5, 5)) == 128
    assert opened(prepare_image(Image.new("CMYK", (8, 8)).convert("RGB"), format="webp")).format == "WEBP"


def test_bytes_are_kept_below_a_limit() -> None:
    noise = Image.frombytes("RGB", (200, 200), os.urandom(120_000))
    full = len(prepare_image(noise).data or b"")
    found = prepare_image(noise, max_bytes=full * 2 // 3)
    assert (found.size or 0) <= full * 2 // 3
    with pytest.raises(InvalidMediaError, match="still"):
        prepare_image(noise, max_bytes=1000)


@pytest.mark.parametrize(
    "options",
    [
        {"format": "gif"},
        {"fill": "stretch"},
        {"aspect_ratio": "wide"},
        {"aspect_ratio": "0:1"},
        {"min_side": 60, "max_side": 80},
        {"min_side": 50_000},
        {"aspect_ratio": "1:99999", "fill": "pad"},
    ],
)
def test_wishes_that_cannot_be_met(options: dict[str, object]) -> None:
    with pytest.raises(InvalidMediaError):
        prepare_image(picture("PNG", (200, 100)), **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidMediaError):
        prepare_image("https://cdn.example/a.png")


# --- containers and clips


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({}, ("video/mp4", 1.0, 160, 96, 24.0, False)),
        ({"faststart": True, "audio": True}, ("video/mp4", 1.0, 160, 96, 24.0, True)),
        ({"rotation": 90}, ("video/mp4", 1.0, 96, 160, 24.0, False)),
        ({"container": "mov", "fps": 30}, ("video/quicktime", 1.0, 160, 96, 30.0, False)),
        ({"container": "webm", "codec": "libvpx-vp9"}, ("video/webm", 1.0, 160, 96, 24.0, False)),
        pytest.param({"codec": "libsvtav1"}, ("video/mp4", 1.0, 160, 96, 24.0, False), marks=needs_av1),
        ({"seconds": 5, "gop": 250}, ("video/mp4", 5.0, 160, 96, 24.0, False)),
    ],
)
def test_probe(tmp_path: Path, options: dict[str, object], facts: tuple[object, ...]) -> None:
    path = stored(tmp_path, clip(**options), "no-such-type.txt")
    assert complete_container(path)
    video = probe(path)
    assert (video.mime_type, video.duration, video.width, video.height, video.fps, video.has_audio) == facts
    assert (video.path, video.size) == (path, path.stat().st_size)


@pytest.mark.promise("D3")
@pytest.mark.parametrize("options", [{"faststart": True}, {}, {"container": "webm", "codec": "libvpx"}])
def test_every_truncation_is_found(tmp_path: Path, options: dict[str, object]) -> None:
    whole = clip(seconds=4, detail=40, **options)
    cuts = [0.999, *(step / 20 for step in range(1, 20)), 0.0]
    for cut in cuts:
        path = stored(tmp_path, whole[: int(len(whole) * cut)])
        assert not complete_container(path), cut
        with pytest.raises(IntegrityError):
            probe(path)
    assert not complete_container(stored(tmp_path, whole[:-1]))
    assert not complete_container(stored(tmp_path, whole + b"trailing words"))


def test_holes_and_lies_are_found(tmp_path: Path) -> None:
    whole = clip(seconds=4, detail=40, faststart=True)
    hole = whole[: len(whole) * 3 // 4] + bytes(len(whole) - len(whole) * 3 // 4)
    start = whole.index(b"mdat") - 4
    open_ended = whole[:start] + bytes(4) + whole[start + 4 :]
    probe(stored(tmp_path, open_ended))
    for bad in (hole, open_ended[: len(whole) * 3 // 4]):
        with pytest.raises(IntegrityError):
            probe(stored(tmp_path, bad))


def test_a_long_tail_is_not_decoded_but_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_TAIL_PIXELS", 0)
    whole = clip(seconds=4, detail=40, faststart=True, gop=250)
    start = whole.index(b"mdat") - 4
    open_ended = whole[:start] + bytes(4) + whole[start + 4 :]
    assert probe(stored(tmp_path, open_ended)).duration == 4.0
    with pytest.raises(IntegrityError, match="last frames are missing"):
        probe(stored(tmp_path, open_ended[:-10]))


@pytest.mark.promise("D3", "T19")
def test_malicious_boxes(tmp_path: Path) -> None:
    big = struct.pack(">I4sQ", 1, b"mdat", 24) + bytes(8)
    assert complete_container(stored(tmp_path, FTYP + box(b"moov") + big))
    assert complete_container(stored(tmp_path, FTYP + box(b"moov") + box(b"mdat", b"xyz", length=0)))
    bad = [
        FTYP + box(b"moov") + struct.pack(">I4sQ", 1, b"mdat", 2**63) + bytes(8),
        FTYP + box(b"moov") + struct.pack(">I4sQ", 1, b"mdat", 3),
        FTYP + box(b"moov") + struct.pack(">I4s", 1, b"mdat"),
        FTYP + box(b"moov", length=2**30) + box(b"mdat"),
        FTYP + box(b"moov", length=4) + box(b"mdat"),
        FTYP + box(b"moov", length=0) + box(b"mdat"),
        FTYP + box(b"moov") + box(b"mdat") + bytes(64),
        FTYP + box(b"mdat"),
        FTYP + box(b"free") * 100_001,
        b"GIF89a" + bytes(20),
        b"\x1a\x45\xdf\xa3\x80",
        b"\x1a\x45\xdf\xa3\x00",
    ]
    for data in bad:
        path = stored(tmp_path, data)
        assert not complete_container(path)
        with pytest.raises(IntegrityError):
            probe(path)
    assert complete_container(stored(tmp_path, picture("GIF")))
    assert not complete_container(stored(tmp_path, picture()))


@pytest.mark.parametrize(
    "data", [picture(), picture("GIF"), sound_only(), b"#EXTM3U\nhttp://127.0.0.1:9/x.ts\n", b"PK\3\4"]
)
def test_what_is_no_video(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(IntegrityError):
        probe(stored(tmp_path, data))


def test_a_small_clip_is_probed_in_milliseconds(tmp_path: Path) -> None:
    path = stored(tmp_path, clip(size=(320, 180)))
    probe(path)
    start = time.process_time()
    for _ in range(20):
        probe(path)
    each = (time.process_time() - start) / 20
    assert each < 0.010
