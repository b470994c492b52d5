"""Input files: judged by their content, never by their name. Everything here blocks; nothing touches the network."""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from .clips import examine
from .containers import VIDEO_FORMATS, describe_head, sniff
from .errors import DownloadError, InvalidMediaError
from .request import Media

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "IMAGE_FORMATS",
    "MAX_IMAGE_BYTES",
    "MAX_IMAGE_PIXELS",
    "MAX_VIDEO_BYTES",
    "check_kind",
    "decode_image",
    "inspect",
    "inspect_image",
    "label",
    "opened",
    "orientation",
    "read_bytes",
]

MAX_IMAGE_BYTES = 64 * 1024**2
MAX_IMAGE_PIXELS = 64 * 10**6
MAX_VIDEO_BYTES = 2 * 1024**3
_PNG_END = b"IEND\xae\x42\x60\x82"
IMAGE_FORMATS = ("image/png", "image/jpeg", "image/webp")


def inspect(media: Media, *, field: str, probe_in_process: bool = False) -> Media:
    """Check an input for real and fill in its facts: type, size, pixels, duration and sha256.

    Images are decoded completely; of a video the first and the last frame are. A URL is only checked for its form.

    Args:
        media: The reference.
        field: Name of the request field; ``video`` expects a video, every other one an image.
        probe_in_process: Decode a video here instead of in a child process.

    Raises:
        InvalidMediaError: It is missing, unreadable, too large, damaged, or of the wrong kind.
    """
    if media.url is not None:
        _check_url(media.url, field, label(media))
        return media
    with opened(media, field) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(64)
        mime = check_kind(media, field, head, size)
        file.seek(0)
        if mime in IMAGE_FORMATS:
            return inspect_image(media, field, file.read(MAX_IMAGE_BYTES + 1))
        return _inspect_video(media, field, file, size, probe_in_process)


def read_bytes(media: Media) -> bytes:
    """The content of a path or of bytes.

    Raises:
        InvalidMediaError: It cannot be read, or is a URL, which is fetched elsewhere.
    """
    if media.data is not None:
        return media.data
    if media.path is None:
        raise InvalidMediaError(f"{label(media)} is not on this machine.", hint="Download it and pass the file.")
    with opened(media, "media") as file:
        return file.read()


def label(media: Media) -> str:
    # a whole file passed as a "path" must not fill the screen
    return media.label if len(media.label) <= 200 else media.label[:200] + "…"


@contextmanager
def opened(media: Media, field: str) -> Iterator[IO[bytes]]:
    """The content as an open file, or the reason why there is none."""
    if media.data is not None:
        yield io.BytesIO(media.data)
        return
    name = f"{field}: {label(media)}"
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


def check_kind(media: Media, field: str, head: bytes, size: int) -> str:
    """The type of the content, once it is one that the field takes and not too large."""
    name = f"{field}: {label(media)}"
    if size == 0:
        raise InvalidMediaError(f"{name} is empty.")
    mime = sniff(head)
    if mime is None:
        raise InvalidMediaError(
            f"{name} is {describe_head(head)}.", hint="Images: PNG, JPEG, WebP. Videos: MP4, MOV, WebM."
        )
    wanted = VIDEO_FORMATS if field == "video" else IMAGE_FORMATS
    if mime not in wanted:
        raise InvalidMediaError(f"{name} is {mime}, which is not taken here.", hint=_kind_hint(mime, field))
    limit = MAX_VIDEO_BYTES if field == "video" else MAX_IMAGE_BYTES
    if size > limit:
        raise InvalidMediaError(f"{name} has {size:,} bytes; at most {limit:,} are taken.", hint="Make it smaller.")
    return mime


def _kind_hint(mime: str, field: str) -> str:
    if field == "video":
        return "Pass an MP4, MOV or WebM file; an image belongs in image=."
    if mime in VIDEO_FORMATS:
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


def inspect_image(media: Media, field: str, data: bytes) -> Media:
    image = decode_image(data, field, label(media))
    width, height = image.size
    if orientation(image) >= 5:  # stored lying on its side
        width, height = height, width
    digest = hashlib.sha256(data).hexdigest()
    return msgspec.structs.replace(
        media, mime_type=sniff(data), size=len(data), width=width, height=height, sha256=digest
    )


def _inspect_video(media: Media, field: str, file: IO[bytes], size: int, in_process: bool) -> Media:
    try:
        clip = examine(file, size, in_process=in_process)
    except DownloadError as error:
        hint = error.hint or "Pass an intact clip."
        raise InvalidMediaError(f"{field}: {label(media)}: {error.message}", hint=hint) from error
    facts = {name: getattr(clip, name) for name in ("width", "height", "duration", "sha256")}
    return msgspec.structs.replace(media, mime_type=clip.mime_type, size=size, **facts)


def decode_image(data: bytes, field: str, label: str) -> Image.Image:
    """The decoded picture, as it is stored. Only the sniffed format is tried, and only up to the pixel limit."""
    from PIL import Image

    name = f"{field}: {label}"
    hint = f"At most {MAX_IMAGE_PIXELS // 10**6} megapixels are taken; make it smaller."
    try:
        image = _read_header(data)
        if image.width * image.height > MAX_IMAGE_PIXELS:  # known before anything is unpacked
            raise InvalidMediaError(f"{name} has {image.width}x{image.height} pixels.", hint=hint)
        image.load()
        if image.format == "PNG" and _PNG_END not in data:  # the pixels may be there all the same
            raise EOFError
    except InvalidMediaError:
        raise
    except Image.DecompressionBombError as error:
        raise InvalidMediaError(f"{name} has too many pixels.", hint=hint) from error
    except Exception as error:  # decoders of hostile data raise anything
        raise InvalidMediaError(f"{name} is damaged and cannot be decoded.", hint="Save it anew.") from error
    return image


def _read_header(data: bytes) -> Image.Image:
    """The picture with its size known and nothing unpacked yet.

    Not by ``Image.open``: it would look for other formats, and only warn, on the user's terminal, of a size between one
    limit of its own and another.
    """
    from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    readers: dict[str, Callable[[IO[bytes]], Image.Image]] = {
        "image/png": PngImagePlugin.PngImageFile,
        "image/jpeg": JpegImagePlugin.JpegImageFile,
        "image/webp": WebPImagePlugin.WebPImageFile,
    }
    return readers[sniff(data) or ""](io.BytesIO(data))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # a picture may be fine although its EXIF block is not
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
