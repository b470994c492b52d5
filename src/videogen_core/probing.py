"""What a video file holds: opened, and its first and last frames decoded."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec

from .containers import VIDEO_FORMATS, container_problem, sniff
from .errors import IntegrityError
from .states import Video

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["examine", "probe"]

# Decoding the end of a clip costs CPU, a second at this many pixels: 11 s of 720p or 5 s of 1080p.
_TAIL_PIXELS = 250 * 10**6
_FEW_FRAMES = 50
_MAX_FRAME_PIXELS = 64 * 10**6


def probe(path: Path) -> Video:
    """The facts of a clip, once it is known to be whole.

    The container must reach the end of the file, and the first and the last frame must decode.

    Raises:
        IntegrityError: The file is cut, damaged, or not a video.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        return msgspec.structs.replace(examine(file, size), path=path)


def examine(file: IO[bytes], size: int) -> Video:
    """Walk, hash and decode an open file."""
    if size == 0:
        raise IntegrityError("the file is empty.")
    if problem := container_problem(file, size):
        raise IntegrityError(f"the file {problem}.")
    file.seek(0)
    mime = sniff(file.read(64)) or ""
    if mime not in VIDEO_FORMATS:
        raise IntegrityError(f"the file is {mime}, not a video.")
    file.seek(0)
    digest = hashlib.file_digest(cast("Any", file), "sha256").hexdigest()
    file.seek(0)
    import av

    try:
        # the whitelist names no protocol at all, so that nothing inside the file can open another one
        with av.open(file, "r", format=VIDEO_FORMATS[mime], options={"protocol_whitelist": "none"}) as container:
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
    if not 0 < stream.width * stream.height <= _MAX_FRAME_PIXELS:
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
