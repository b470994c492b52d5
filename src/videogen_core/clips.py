"""What a clip is: its container walked, its bytes hashed, its frames decoded; what lies beside one. All blocks."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from . import probe_child
from .containers import VIDEO_FORMATS, sniff, walk
from .errors import IntegrityError
from .probing import decode
from .states import Video

__all__ = ["ENDINGS", "examine", "probe", "probe_file"]

ENDINGS = {"video/quicktime": ".mov", "application/zip": ".zip", "audio/wav": ".wav"}
"""What files are called that are no MP4: clips for cutting, and instead of a clip its frames and its sound."""


def probe(path: Path, *, in_process: bool = False, vouched: bool = True) -> Video:
    """The facts of a clip, once it is known to be whole.

    The container must reach the end of the file, every frame must be there, and the first and the last must decode.

    Args:
        path: The file.
        in_process: Decode here instead of in a child process.
        vouched: Whether somebody else has said how long the file is; without that, a container that does not say so
            either is refused.

    Raises:
        IntegrityError: The file is cut, damaged, or not a video.
        DownloadError: It could not be checked.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        video = examine(file, size, in_process=in_process, vouched=vouched)
        return msgspec.structs.replace(video, path=path)


def probe_file(path: Path, mime_type: str) -> Video:
    """The facts of an archive (of frames) or a sound file, once it is known to reach its own end.

    Args:
        path: The file.
        mime_type: ``application/zip`` or ``audio/wav``.

    Raises:
        IntegrityError: It is cut, or is something else.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        problem = _zip_problem(file, size) if mime_type == "application/zip" else _wav_problem(file.read(12), size)
        if problem:
            raise IntegrityError(f"the file {problem}.")
        file.seek(0)
        digest = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
    return Video(path=path, mime_type=mime_type, size=size, sha256=digest, has_audio=mime_type == "audio/wav")


def _zip_problem(file: IO[bytes], size: int) -> str | None:
    """An archive has its list of contents at its end; nothing is unpacked."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return "is no whole ZIP archive"
    if not entries:
        return "is an empty archive"
    return None if all(e.header_offset + e.compress_size < size for e in entries) else "is cut off"


def _wav_problem(head: bytes, size: int) -> str | None:
    if not (head.startswith(b"RIFF") and head[8:12] == b"WAVE"):
        return "is no WAV file"
    return None if int.from_bytes(head[4:8], "little") + 8 <= size else "is cut off"


def examine(file: IO[bytes], size: int, *, in_process: bool = False, vouched: bool = True) -> Video:
    """Walk, hash and decode an open file of ``size`` bytes; as `probe` does."""
    if size == 0:
        raise IntegrityError("the file is empty.")
    found = walk(file, size)
    if found.problem:
        raise IntegrityError(f"the file {found.problem}.")
    if found.open_ended and not vouched:
        raise IntegrityError("the file may be cut off: neither it nor the server says how long it is.")
    file.seek(0)
    mime = sniff(file.read(64)) or ""
    if mime not in VIDEO_FORMATS:
        raise IntegrityError(f"the file is {mime}, not a video.")
    file.seek(0)
    digest = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
    here = in_process or not probe_child.available()
    facts = decode(file, mime, size) if here else probe_child.decode(file, mime, size)
    return Video(mime_type=mime, size=size, sha256=digest, **msgspec.structs.asdict(facts))
