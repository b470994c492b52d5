"""Renders a placeholder clip: real H.264 and AAC in MP4, the same bytes for the same `RenderSpec`.

The frame count is exact, so that a probe finds the duration, size and rate that were asked for. Frames are painted
and encoded one at a time: a long clip needs no more memory than its file.
"""

from __future__ import annotations

import io
import math
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from .clip import RenderSpec
from .scene import frames

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.stream import VideoStream
    from PIL import Image

__all__ = ["RenderSpec", "render"]

_SAMPLE_RATE = 48_000
_MEMO_BYTES = 64 * 2**20
_NOTES = (220.0, 246.94, 277.18, 329.63, 369.99, 440.0)
"""Hz; one of a pentatonic scale, so that clips played together do not clash."""


class _Memo:
    """The clips rendered last, up to so many bytes, so that a thousand equal jobs cost one rendering."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._clips: OrderedDict[bytes, bytes] = OrderedDict()
        self._locks: dict[bytes, tuple[threading.Lock, int]] = {}
        self._guard = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        with self._guard:
            clip = self._clips.get(key)
            if clip is not None:
                self._clips.move_to_end(key)
            return clip

    def put(self, key: bytes, clip: bytes) -> None:
        with self._guard:
            if len(clip) > self._limit or key in self._clips:
                return
            self._clips[key] = clip
            self._size += len(clip)
            while self._size > self._limit:
                self._size -= len(self._clips.popitem(last=False)[1])

    def enter(self, key: bytes) -> threading.Lock:
        """The lock of one clip, to be given back with `leave`."""
        with self._guard:
            lock, users = self._locks.get(key, (threading.Lock(), 0))
            self._locks[key] = lock, users + 1
            return lock

    def leave(self, key: bytes) -> None:
        with self._guard:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1


_memo = _Memo(_MEMO_BYTES)


def render(spec: RenderSpec, tick: Callable[[], None] = lambda: None) -> bytes:
    """The clip as an MP4 file. Safe to call from several threads; equal clips are rendered once.

    Args:
        spec: What to show.
        tick: Called before each frame; raise from it to stop.

    Raises:
        UnreadableInputError: An image or the source clip cannot be decoded.
    """
    key = spec.digest()
    lock = _memo.enter(key)
    try:
        while not lock.acquire(timeout=0.1):
            tick()
        try:
            clip = _memo.get(key)
            if clip is None:
                clip = _encode(spec, tick)
                _memo.put(key, clip)
            return clip
        finally:
            lock.release()
    finally:
        _memo.leave(key)


def _encode(spec: RenderSpec, tick: Callable[[], None]) -> bytes:
    file = io.BytesIO()
    options = {"movflags": "+faststart+use_metadata_tags"}
    # The muxer reads back what it wrote to move the index to the front; a copy is what it reads from.
    reopen = lambda url, flags, options: io.BytesIO(file.getvalue())  # noqa: E731
    with av.open(file, "w", format="mp4", options=options, io_open=reopen) as container:
        container.metadata["title"] = spec.title
        container.metadata["comment"] = f"{spec.title}: no model made this clip; seed {spec.seed}"
        video = _video_stream(container, spec)
        audio = _audio_stream(container) if spec.audio else None
        sound = _tone(spec) if spec.audio else iter(())
        reformatter = VideoReformatter()  # one for all frames: setting it up costs as much as a small frame
        for number, picture in enumerate(frames(spec)):
            tick()
            container.mux(video.encode(_video_frame(picture, number, reformatter)))
            if audio is not None:
                _mux_sound(container, audio, sound, until=(number + 1) / spec.fps)
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return file.getvalue()


def _video_stream(container: OutputContainer, spec: RenderSpec) -> VideoStream:
    stream = container.add_stream(
        "libx264",
        rate=Fraction(spec.fps).limit_denominator(1001),
        options={"preset": "ultrafast", "crf": "23"},
    )
    stream.width, stream.height, stream.pix_fmt = spec.width, spec.height, "yuv420p"
    context = stream.codec_context
    context.thread_count = 1  # the same bytes on any number of cores
    context.gop_size = max(1, round(spec.fps * 2))
    context.color_range = ColorRange.MPEG
    context.colorspace, context.color_primaries, context.color_trc = (
        Colorspace.ITU709,
        ColorPrimaries.BT709,
        ColorTrc.BT709,
    )
    return stream


def _video_frame(picture: Image.Image, number: int, reformatter: VideoReformatter) -> av.VideoFrame:
    frame = reformatter.reformat(
        av.VideoFrame.from_image(picture),  # type: ignore[no-untyped-call]
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        interpolation=Interpolation.BILINEAR,
        threads=1,
    )
    frame.pts = number
    return frame


# --- sound ------------------------------------------------------------------------------------------------------


def _audio_stream(container: OutputContainer) -> AudioStream:
    return container.add_stream(
        "aac", rate=_SAMPLE_RATE, layout="stereo", bit_rate=96_000, options={"aac_coder": "fast"}
    )


def _mux_sound(container: OutputContainer, stream: AudioStream, sound: Iterator[av.AudioFrame], until: float) -> None:
    """Encode sound up to ``until`` seconds, so that it lies beside its pictures in the file."""
    for frame in sound:
        container.mux(stream.encode(frame))
        if ((frame.pts or 0) + frame.samples) / _SAMPLE_RATE >= until:
            return


def _tone(spec: RenderSpec) -> Iterator[av.AudioFrame]:
    """A sine as long as the pictures, in stereo, faded in and out so that it does not click."""
    total = round(spec.frame_count / spec.fps * _SAMPLE_RATE)
    # A whole number of samples per wave: one wave is computed and then repeated.
    wave_length = round(_SAMPLE_RATE / _NOTES[spec.seed % len(_NOTES)])
    wave = array("f", (0.2 * math.sin(math.tau * i / wave_length) for i in range(wave_length)))
    block = 1024
    repeated = wave * (block // wave_length + 2)
    for start in range(0, total, block):
        phase = start % wave_length
        samples = repeated[phase : phase + min(block, total - start)]
        if start < 2 * block or total - start <= 2 * block:
            samples = _faded(samples, start, total)
        yield _audio_frame(samples, start)


def _faded(samples: array[float], start: int, total: int) -> array[float]:
    edge = min(1024, total // 2)
    levels = (min(1.0, (start + i) / edge, (total - start - i) / edge) for i in range(len(samples)))
    return array("f", (sample * level for sample, level in zip(samples, levels, strict=True)))


def _audio_frame(samples: array[float], start: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="fltp", layout="stereo", samples=len(samples))
    for plane in frame.planes:
        plane.update(samples.tobytes().ljust(plane.buffer_size, b"\0"))
    frame.sample_rate = _SAMPLE_RATE
    frame.time_base = Fraction(1, _SAMPLE_RATE)
    frame.pts = start
    return frame
