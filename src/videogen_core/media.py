"""Media files: what they are, whether they are whole, and how to make an image fit.

Files are judged by their content, never by their name. Everything here blocks: call it in a thread. Nothing here
touches the network; PyAV gets an open file and the name of a format, so that no playlist or address inside a file is
ever followed.
"""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import msgspec

from .errors import IntegrityError, InvalidMediaError
from .request import Media
from .states import Video

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from PIL import Image

__all__ = [
    "MAX_IMAGE_BYTES",
    "MAX_IMAGE_PIXELS",
    "MAX_VIDEO_BYTES",
    "complete_container",
    "container_problem",
    "inspect",
    "prepare_image",
    "probe",
    "read_bytes",
    "sniff",
]

MAX_IMAGE_BYTES = 64 * 1024**2
MAX_IMAGE_PIXELS = 64 * 10**6
MAX_VIDEO_BYTES = 2 * 1024**3

_IMAGE_FORMATS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
_VIDEO_FORMATS = {
    "video/mp4": "mp4",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
}
_MAX_BOXES = 100_000
# Decoding the end of a clip costs CPU, a second at this many pixels: 11 s of 720p or 5 s of 1080p.
_TAIL_PIXELS = 250 * 10**6
_FEW_FRAMES = 50


# --- what it is

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


def _unknown(head: bytes) -> str:
    """Words for content that is none of our types; error pages are the usual case."""
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<error")):
        return "a web page"
    if text.startswith((b"{", b"[")):
        return "JSON text"
    if text.startswith(b"#extm3u"):
        return "a playlist"
    return "neither an image nor a video that is known here"


# --- inputs


def inspect(media: Media, *, field: str) -> Media:
    """Check an input for real and fill in its facts: type, size, pixels, duration and sha256.

    Images are decoded completely; of a video the first and the last frame are. A URL is only checked for its form.

    Args:
        media: The reference.
        field: Name of the request field; ``video`` expects a video, every other one an image.

    Raises:
        InvalidMediaError: It is missing, unreadable, too large, damaged, or of the wrong kind.
    """
    if media.url is not None:
        _check_url(media.url, field, _label(media))
        return media
    with _opened(media, field) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(64)
        mime = _check_kind(media, field, head, size)
        file.seek(0)
        if mime in _IMAGE_FORMATS:
            return _inspect_image(media, field, file.read(MAX_IMAGE_BYTES + 1))
        return _inspect_video(media, field, file, size)


def read_bytes(media: Media) -> bytes:
    """The content of a path or of bytes.

    Raises:
        InvalidMediaError: It cannot be read, or is a URL, which is fetched elsewhere.
    """
    if media.data is not None:
        return media.data
    if media.path is None:
        raise InvalidMediaError(f"{_label(media)} is not on this machine.", hint="Download it and pass the file.")
    with _opened(media, "media") as file:
        return file.read()


def _label(media: Media) -> str:
    # a whole file passed as a "path" must not fill the screen
    return media.label if len(media.label) <= 200 else media.label[:200] + "…"


@contextmanager
def _opened(media: Media, field: str) -> Iterator[IO[bytes]]:
    """The content as an open file, or the reason why there is none."""
    if media.data is not None:
        yield io.BytesIO(media.data)
        return
    name = f"{field}: {_label(media)}"
    try:
        path = Path(media.path or "")
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise InvalidMediaError(f"{name} is a folder.", hint="Name a file in it.")
        if not stat.S_ISREG(kind):
            raise InvalidMediaError(f"{name} is not a regular file.")
        file = path.open("rb")
    except FileNotFoundError as error:
        hint = None if path.is_absolute() else f"It was looked for in {Path.cwd()}."
        raise InvalidMediaError(f"{name} does not exist.", hint=hint) from error
    except PermissionError as error:
        raise InvalidMediaError(f"{name} may not be read by this user.", hint="Check its permissions.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidMediaError(f"{name} cannot be opened: {reason}.") from error
    with file:
        yield file


def _check_kind(media: Media, field: str, head: bytes, size: int) -> str:
    """The type of the content, once it is one that the field takes and not too large."""
    name = f"{field}: {_label(media)}"
    if size == 0:
        raise InvalidMediaError(f"{name} is empty.")
    mime = sniff(head)
    if mime is None:
        raise InvalidMediaError(f"{name} is {_unknown(head)}.", hint="Images: PNG, JPEG, WebP. Videos: MP4, MOV, WebM.")
    wanted = _VIDEO_FORMATS if field == "video" else _IMAGE_FORMATS
    if mime not in wanted:
        raise InvalidMediaError(f"{name} is {mime}, which {field} does not take.", hint=_kind_hint(mime, field))
    limit = MAX_VIDEO_BYTES if field == "video" else MAX_IMAGE_BYTES
    if size > limit:
        raise InvalidMediaError(f"{name} has {size:,} bytes; at most {limit:,} are taken.", hint="Make it smaller.")
    return mime


def _kind_hint(mime: str, field: str) -> str:
    if field == "video":
        return "Pass an MP4, MOV or WebM file; an image belongs in image=."
    if mime in _VIDEO_FORMATS:
        return "Pass a PNG, JPEG or WebP file; a clip belongs in video=."
    return "Convert it to PNG or JPEG, or open it with Pillow and pass the picture."


def _check_url(url: str, field: str, label: str) -> None:
    try:
        parts = urlsplit(url)
        web = parts.scheme in ("http", "https")
        valid = bool(parts.hostname if web else parts.netloc or parts.path) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or any(c.isspace() or not c.isprintable() for c in url):
        raise InvalidMediaError(f"{field}: the URL {label!r} is not valid.", hint="Write https://host/path.")
    if web and parts.username is not None:
        raise InvalidMediaError(f"{field}: the URL holds a user name or password.", hint="Download the file instead.")


def _inspect_image(media: Media, field: str, data: bytes) -> Media:
    image = _decode_image(data, field, _label(media))
    width, height = image.size
    if _orientation(image) >= 5:  # stored lying on its side
        width, height = height, width
    digest = hashlib.sha256(data).hexdigest()
    return msgspec.structs.replace(
        media, mime_type=sniff(data), size=len(data), width=width, height=height, sha256=digest
    )


def _inspect_video(media: Media, field: str, file: IO[bytes], size: int) -> Media:
    try:
        clip = _examine(file, size)
    except IntegrityError as error:
        raise InvalidMediaError(f"{field}: {_label(media)}: {error.message}", hint="Pass an intact clip.") from error
    facts = {name: getattr(clip, name) for name in ("width", "height", "duration", "sha256")}
    return msgspec.structs.replace(media, mime_type=clip.mime_type, size=size, **facts)


# --- images


def _decode_image(data: bytes, field: str, label: str) -> Image.Image:
    """The decoded picture, as it is stored. Only the sniffed format is tried, and only up to the pixel limit."""
    from PIL import Image

    name = f"{field}: {label}"
    hint = f"At most {MAX_IMAGE_PIXELS // 10**6} megapixels are taken; make it smaller."
    try:
        image = Image.open(io.BytesIO(data), formats=[_IMAGE_FORMATS[sniff(data) or ""]])
        if image.width * image.height > MAX_IMAGE_PIXELS:  # known before anything is unpacked
            raise InvalidMediaError(f"{name} has {image.width}x{image.height} pixels.", hint=hint)
        image.load()
    except InvalidMediaError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidMediaError(f"{name} has too many pixels.", hint=hint) from error
    except Exception as error:  # decoders of hostile data raise anything
        raise InvalidMediaError(f"{name} is damaged and cannot be decoded.", hint="Save it anew.") from error
    return image


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # a picture may be fine although its EXIF block is not
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def prepare_image(
    source: Any,
    *,
    format: Literal["jpeg", "png", "webp"] = "jpeg",  # noqa: A002 - the word everybody uses
    max_side: int | None = None,
    min_side: int | None = None,
    aspect_ratio: str | None = None,
    fill: Literal["crop", "pad"] = "crop",
    quality: int = 92,
    max_bytes: int | None = None,
) -> Media:
    """An image made to fit: converted, turned upright, cropped or padded, resized, within a byte limit.

    An image that already is all that is asked for comes back with its bytes unchanged.

    Args:
        source: A path, data URI, bytes or PIL image.
        format: ``jpeg`` (transparency becomes white), ``png`` or ``webp``.
        max_side: Shrink until the longer side has at most so many pixels.
        min_side: Enlarge until the shorter side has at least so many pixels.
        aspect_ratio: Such as ``16:9``.
        fill: How to get there: ``crop`` cuts the middle out, ``pad`` adds black bars.
        quality: 1 to 100, of jpeg and webp.
        max_bytes: Lower the quality, down to 40, until it fits.

    Raises:
        InvalidMediaError: It cannot be read or decoded, or cannot be made to fit.
    """
    if format not in ("jpeg", "png", "webp") or fill not in ("crop", "pad"):
        raise InvalidMediaError(f"prepare_image: format={format!r}, fill={fill!r}: no such choice.")
    media = Media.of(source)
    if media.url is not None:
        raise InvalidMediaError(f"{_label(media)} is a URL.", hint="Download it and pass the file.")
    with _opened(media, "image") as file:
        data = file.read(MAX_IMAGE_BYTES + 1)
    _check_kind(media, "image", data[:64], len(data))
    stored = _decode_image(data, "image", _label(media))
    shaped = _resized(_reshaped(_upright(stored), aspect_ratio, fill), max_side, min_side)
    if shaped is not stored or sniff(data) != f"image/{format}" or (max_bytes is not None and len(data) > max_bytes):
        data = _encoded(shaped, format, quality, max_bytes)
    return _inspect_image(Media(data=data), "image", data)


def _upright(image: Image.Image) -> Image.Image:
    if _orientation(image) == 1:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _reshaped(image: Image.Image, aspect_ratio: str | None, fill: str) -> Image.Image:
    """The image in another aspect ratio, at its own scale."""
    if aspect_ratio is None:
        return image
    across, _, down = aspect_ratio.partition(":")
    if not (across.isdecimal() and down.isdecimal() and int(across) and int(down)):
        raise InvalidMediaError(f"aspect_ratio: {aspect_ratio!r} is not two numbers.", hint="Write 16:9.")
    ratio = int(across) / int(down)
    width, height = image.size
    wider = width / height > ratio
    keep_width = wider == (fill == "pad")
    size = (width, max(round(width / ratio), 1)) if keep_width else (max(round(height * ratio), 1), height)
    if size == image.size:
        return image
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise InvalidMediaError(f"image: {width}x{height} cannot be padded to {aspect_ratio}.", hint="Use fill='crop'.")
    from PIL import ImageOps

    return (ImageOps.fit if fill == "crop" else ImageOps.pad)(_plain(image, "png"), size)


def _resized(image: Image.Image, max_side: int | None, min_side: int | None) -> Image.Image:
    scale = 1.0
    if min_side is not None and min(image.size) < min_side:
        scale = min_side / min(image.size)
    if max_side is not None and max(image.size) * scale > max_side:
        if scale > 1 or (min_side is not None and min(image.size) * max_side / max(image.size) < min_side):
            raise InvalidMediaError(
                f"image: {image.width}x{image.height} cannot have both sides between {min_side} and {max_side}.",
                hint="Set aspect_ratio, too.",
            )
        scale = max_side / max(image.size)
    if scale == 1.0:
        return image
    from PIL import Image

    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise InvalidMediaError(f"image: {size[0]}x{size[1]} pixels are too many.", hint="Lower min_side.")
    return _plain(image, "png").resize(size, Image.Resampling.LANCZOS)


def _plain(image: Image.Image, format: str) -> Image.Image:  # noqa: A002
    """The image in a mode that can be resized and saved; for JPEG, transparency is laid on white."""
    if image.mode.startswith("I"):  # 16 bits of grey: keep the upper 8
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode not in ("RGB", "RGBA", "L"):
        clear = "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBa")
        image = image.convert("RGBA" if clear else "RGB")
    if format != "jpeg" or image.mode != "RGBA":
        return image
    from PIL import Image

    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _encoded(image: Image.Image, format: str, quality: int, max_bytes: int | None) -> bytes:  # noqa: A002
    plain = _plain(image, format)
    # a colour profile belongs to the mode it was made for
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "L") else None
    steps = [quality] if format == "png" else [quality, *(q for q in (85, 75, 65, 55, 40) if q < quality)]
    for step in steps:
        buffer = io.BytesIO()
        plain.save(buffer, format=format.upper(), quality=step, icc_profile=profile)
        if max_bytes is None or buffer.tell() <= max_bytes:
            return buffer.getvalue()
    raise InvalidMediaError(
        f"image: still {buffer.tell():,} bytes as {format}; at most {max_bytes:,} are wanted.",
        hint="Set max_side, or use jpeg." if format == "png" else "Set max_side.",
    )


# --- containers


def complete_container(path: Path) -> bool:
    """Whether the file is a container that reaches from its first byte to its last: MP4, MOV, WebM, MKV or GIF.

    A probe cannot tell: a cut MP4 with its index in front still opens with its full duration.
    """
    with path.open("rb") as file:
        return container_problem(file, path.stat().st_size) is None


def container_problem(file: IO[bytes], size: int) -> str | None:
    """What is wrong with the container, in words that follow "the file", or None. Reads only the headers.

    Args:
        file: Open for reading.
        size: Its bytes.
    """
    file.seek(0)
    head = file.read(64)
    mime = sniff(head)
    if mime == "image/gif":
        file.seek(size - 1)
        return None if file.read(1) == b";" else "has no end mark"
    if mime in ("video/webm", "video/x-matroska"):
        return _walk_elements(file, size)
    if mime in _VIDEO_FORMATS:
        return _walk_boxes(file, size)
    return f"is {mime or _unknown(head)}, not a video"


def _walk_boxes(file: IO[bytes], size: int) -> str | None:
    """MP4 and MOV: each box says how long it is, and the last must end where the file does."""
    seen: set[bytes] = set()
    offset = 0
    for _ in range(_MAX_BOXES):
        if offset == size:
            missing = {b"ftyp", b"moov", b"mdat"} - seen
            return f"has no {min(missing).decode()} box" if missing else None
        file.seek(offset)
        header = file.read(16)
        length, kind, smallest = int.from_bytes(header[:4]), header[4:8], 8
        if length == 1:  # 64-bit length behind the kind
            length, smallest = int.from_bytes(header[8:16]), 16
        elif length == 0 and kind in (b"mdat", b"moov"):  # "up to the end of the file"
            length = size - offset
        if len(header) < smallest or length < smallest:
            return f"has garbage at byte {offset:,}"
        if length > size - offset:
            return f"is cut off: {size - offset:,} of {length:,} bytes of its {kind.decode('latin-1')!r} box are there"
        seen.add(kind)
        offset += length
    return "has too many boxes"


_EBML_HEADER, _SEGMENT = 0x1A45DFA3, 0x18538067


def _walk_elements(file: IO[bytes], size: int) -> str | None:
    """WebM and MKV: the same on the top level, with a segment; a live recording does not say how long that is."""
    seen: set[int] = set()
    offset = 0
    for _ in range(_MAX_BOXES):
        if offset == size:
            return None if {_EBML_HEADER, _SEGMENT} <= seen else "has no segment"
        file.seek(offset)
        header = file.read(16)
        kind, used = _vint(header, 0, keep_marker=True)
        length, more = _vint(header, used)
        if not used or not more:
            return f"has garbage at byte {offset:,}"
        seen.add(kind)
        if length == (1 << 7 * more) - 1:  # unknown length
            return None if kind == _SEGMENT else f"has garbage at byte {offset:,}"
        offset += used + more + length
        if offset > size:
            return f"is cut off: {offset - size:,} bytes are missing"
    return "has too many elements"


def _vint(data: bytes, start: int, *, keep_marker: bool = False) -> tuple[int, int]:
    """An EBML number and its length in bytes, 0 when there is none: leading zero bits tell how many bytes follow."""
    first = data[start] if start < len(data) else 0
    length = 9 - first.bit_length()
    if length > 8 or start + length > len(data):
        return 0, 0
    value = int.from_bytes(data[start : start + length])
    return (value if keep_marker else value & ((1 << 7 * length) - 1)), length


# --- clips


def probe(path: Path) -> Video:
    """The facts of a clip, once it is known to be whole.

    The container must reach the end of the file, and the first and the last frame must decode.

    Raises:
        IntegrityError: The file is cut, damaged, or not a video.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        return msgspec.structs.replace(_examine(file, size), path=path)


def _examine(file: IO[bytes], size: int) -> Video:
    """Walk, hash and decode an open file."""
    if size == 0:
        raise IntegrityError("the file is empty.")
    if problem := container_problem(file, size):
        raise IntegrityError(f"the file {problem}.")
    file.seek(0)
    mime = sniff(file.read(64)) or ""
    if mime not in _VIDEO_FORMATS:
        raise IntegrityError(f"the file is {mime}, not a video.")
    file.seek(0)
    digest = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
    file.seek(0)
    import av

    try:
        # the whitelist names no protocol at all, so that nothing inside the file can open another one
        with av.open(file, "r", format=_VIDEO_FORMATS[mime], options={"protocol_whitelist": "none"}) as container:
            return _decode_ends(container, size, mime, digest)
    except av.FFmpegError as error:
        raise IntegrityError(f"the video cannot be decoded: {error.strerror}.") from error
    except (ValueError, OverflowError, MemoryError) as error:
        raise IntegrityError("the video cannot be decoded.") from error


def _decode_ends(container: InputContainer, size: int, mime: str, digest: str) -> Video:
    """Decode the first and the last frame and gather what the container says."""
    if not container.streams.video:
        raise IntegrityError("the file has no video stream.")
    stream = container.streams.video[0]
    _check_stream(stream, size)
    stream.codec_context.thread_count = 1
    first = next(container.decode(stream), None)
    if first is None or first.is_corrupt:
        raise IntegrityError("the first frame cannot be decoded.")
    declared = _declared_seconds(container, stream)
    end = _decode_tail(container, stream, declared, first)
    rate = stream.average_rate or stream.guessed_rate
    start = (stream.start_time or 0) * float(stream.time_base or 0)
    delivered = max(end - start, 0.0) + (1 / float(rate) if rate else 0.0)
    if declared and delivered < declared - max(0.75, declared / 10):
        raise IntegrityError(f"the video ends after {delivered:.2f} s of {declared:.2f} s.")
    sideways = first.rotation % 180 != 0
    return Video(
        mime_type=mime,
        size=size,
        width=first.height if sideways else first.width,
        height=first.width if sideways else first.height,
        duration=round(declared or delivered, 3),
        fps=round(float(rate), 3) if rate else None,
        has_audio=bool(container.streams.audio),
        sha256=digest,
    )


def _check_stream(stream: VideoStream, size: int) -> None:
    """Refuse absurd dimensions, and an index that points behind the end of the file."""
    if not 0 < stream.width * stream.height <= MAX_IMAGE_PIXELS:
        raise IntegrityError(f"the video has frames of {stream.width}x{stream.height} pixels.")
    entries = stream.index_entries
    if len(entries) and entries[-1].pos + entries[-1].size > size:
        raise IntegrityError("the video is cut off: its last frames are missing.")


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _decode_tail(container: InputContainer, stream: VideoStream, seconds: float | None, first: VideoFrame) -> float:
    """Decode from the last keyframe to the end; returns when the last frame is shown, in seconds.

    A tail of too many pixels is only read: a long clip with a single keyframe would cost seconds of CPU.
    """
    if seconds and (stream.frames or _FEW_FRAMES) >= _FEW_FRAMES:  # below, it is cheaper to go on from the first
        container.seek(int(seconds * 1_000_000) + (container.start_time or 0), backward=True)
    end, last = 0.0, first
    left = _TAIL_PIXELS // (stream.width * stream.height)
    if _tail_frames(stream, left) > left:
        left = 0
    for packet in container.demux(stream):
        if packet.pts is not None and packet.time_base:
            end = max(end, float(packet.pts * packet.time_base))
        if left > 0:
            frames = packet.decode()
            left -= len(frames)
            last = frames[-1] if frames else last
    if last.is_corrupt:
        raise IntegrityError("the last frame cannot be decoded.")
    return end


def _tail_frames(stream: VideoStream, limit: int) -> int:
    """Frames from the last keyframe to the end as the index tells; stops counting past the limit."""
    entries = stream.index_entries
    count = 0
    while count < len(entries) and count <= limit:
        count += 1
        if entries[-count].is_keyframe:
            break
    return count
