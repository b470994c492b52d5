"""What a decoder says of a video: every frame there, the first and the last one decoded.

Decoders are large programs in C that read bytes of strangers, so `clips` has this done in a process of its own.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Annotated

import msgspec

from .containers import VIDEO_FORMATS
from .errors import IntegrityError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["Facts", "decode"]

# Decoding the end of a clip costs CPU, a second at this many pixels: 11 s of 720p or 5 s of 1080p.
_TAIL_PIXELS = 250 * 10**6
_FEW_FRAMES = 50
_MAX_FRAME_PIXELS = 64 * 10**6
_MAX_SECONDS = 10**6

_Side = Annotated[int, msgspec.Meta(ge=1, le=_MAX_FRAME_PIXELS)]


class Facts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the decoder found.

    Attributes:
        width: Pixels, as shown.
        height: Pixels, as shown.
        duration: Seconds.
        fps: Frames per second.
        has_audio: Whether there is a sound track.
    """

    width: _Side
    height: _Side
    duration: Annotated[float, msgspec.Meta(ge=0, le=_MAX_SECONDS)]
    fps: Annotated[float, msgspec.Meta(gt=0)] | None
    has_audio: bool


def decode(file: IO[bytes], mime: str, size: int) -> Facts:
    """Open a video, count its frames, and decode the first and the last.

    Args:
        file: Open for reading; the container has been walked.
        mime: What it is, of `VIDEO_FORMATS`.
        size: Its bytes.

    Raises:
        IntegrityError: It is cut, damaged, or absurd.
    """
    import av

    try:
        with _opened(file, mime) as container:
            if not container.streams.video:
                raise IntegrityError("the file has no video stream.")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise IntegrityError("the video is in a format that no decoder here knows.")
            _check_stream(stream, size)
            first, end, count = _read_packets(container, stream)
            if count < stream.frames:
                _check_without_edits(file, mime)
            return _decode_end(container, stream, first, end)
    except av.FFmpegError as error:
        raise IntegrityError(f"the video cannot be decoded: {error.strerror}.") from error
    except IntegrityError:
        raise
    except MemoryError as error:
        raise IntegrityError("the video takes too much memory to decode.") from error
    except Exception as error:  # a hostile file makes decoders raise anything
        raise IntegrityError(f"the video cannot be decoded ({type(error).__name__}).") from error


def _opened(file: IO[bytes], mime: str, **options: str) -> InputContainer:
    import av

    file.seek(0)
    # the whitelist names no protocol at all, so that nothing inside the file can open another one
    return av.open(file, "r", format=VIDEO_FORMATS[mime], options={"protocol_whitelist": "none", **options})


def _check_stream(stream: VideoStream, size: int) -> None:
    """Refuse absurd dimensions, and an index that points behind the end of the file."""
    if not 0 < stream.width * stream.height <= _MAX_FRAME_PIXELS:
        raise IntegrityError(f"the video has frames of {stream.width}x{stream.height} pixels.")
    stream.codec_context.thread_count = 1
    entries = stream.index_entries
    if len(entries) and entries[-1].pos + entries[-1].size > size:
        raise IntegrityError("the video is cut off: its last frames are missing.")


def _read_packets(container: InputContainer, stream: VideoStream) -> tuple[VideoFrame, float, int]:
    """The first frame, when the last one is shown in seconds, and how many there are. Only the first is decoded."""
    first: VideoFrame | None = None
    end, count = 0.0, 0
    for packet in container.demux(stream):
        if first is None:  # an empty packet at the end makes the decoder give out what it holds
            first = next(iter(packet.decode()), None)
        if packet.size:
            count += 1
            end = max(end, _shown_at(packet))
    if first is None or first.is_corrupt:
        raise IntegrityError("the first frame cannot be decoded.")
    return first, end, count


def _shown_at(packet: Packet[VideoStream]) -> float:
    return float(packet.pts * packet.time_base) if packet.pts is not None and packet.time_base else 0.0


def _check_without_edits(file: IO[bytes], mime: str) -> None:
    """Count again what the file holds: a trimmed clip hides frames on purpose, a damaged one lacks them."""
    with _opened(file, mime, ignore_editlist="1") as container:
        stream = container.streams.video[0]
        count = sum(1 for packet in container.demux(stream) if packet.size)
        if count < stream.frames:
            raise IntegrityError(f"the video is cut off: {count:,} of its {stream.frames:,} frames are there.")


def _decode_end(container: InputContainer, stream: VideoStream, first: VideoFrame, end: float) -> Facts:
    """Decode the last frame and gather what the container says."""
    declared = _declared_seconds(container, stream)
    _decode_tail(container, stream, declared)
    rate = stream.average_rate or stream.guessed_rate
    start = (stream.start_time or 0) * float(stream.time_base or 0)
    delivered = max(end - start, 0.0) + (1 / float(rate) if rate else 0.0)
    if declared and delivered < declared - max(0.75, declared / 10):
        raise IntegrityError(f"the video ends after {delivered:.2f} s of {declared:.2f} s.")
    seconds = declared or delivered
    if not 0 <= seconds <= _MAX_SECONDS:
        raise IntegrityError(f"the video claims to last {seconds:g} s.")
    sideways = first.rotation % 180 != 0
    return Facts(
        width=first.height if sideways else first.width,
        height=first.width if sideways else first.height,
        duration=round(seconds, 3),
        fps=round(float(rate), 3) or None if rate else None,
        has_audio=bool(container.streams.audio),
    )


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def _decode_tail(container: InputContainer, stream: VideoStream, seconds: float | None) -> None:
    """Decode from the last keyframe to the end, unless that has too many pixels: it would cost seconds of CPU.

    A long clip with a single keyframe is such a one; its frames have been counted all the same.
    """
    left = _TAIL_PIXELS // (stream.width * stream.height)
    if _tail_frames(stream, left) > left:
        return
    last: VideoFrame | None = None
    if seconds and (stream.frames or _FEW_FRAMES) >= _FEW_FRAMES:  # below, it is cheaper to go on from the first
        last = _last_frame(container, stream, int(seconds * 1_000_000) + (container.start_time or 0), left)
    if last is None:  # or what comes after the last keyframe has been trimmed off
        last = _last_frame(container, stream, 0, left)
    if last is None or last.is_corrupt:
        raise IntegrityError("the last frame cannot be decoded.")


def _last_frame(container: InputContainer, stream: VideoStream, start: int, left: int) -> VideoFrame | None:
    """Decode from the keyframe before ``start``, in microseconds, to the end, but no more than ``left`` frames."""
    container.seek(start, backward=True)
    last: VideoFrame | None = None
    for packet in container.demux(stream):
        frames = packet.decode()
        left -= len(frames)
        last = frames[-1] if frames else last
        if left <= 0:
            break
    return last


def _tail_frames(stream: VideoStream, limit: int) -> int:
    """Frames from the last keyframe to the end as the index tells; stops counting past the limit."""
    entries = stream.index_entries
    count = 0
    while count < len(entries) and count <= limit:
        count += 1
        if entries[-count].is_keyframe:
            break
    return count
