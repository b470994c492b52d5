"""Small pictures of a clip, for a contact sheet: ``python -m videogen_core.cli.frames``, in a process of its own.

A decoder is a large program in C that reads bytes of strangers, so it gets an open file on standard input and no more
CPU and memory than a clip needs. It answers with raw pixels, which can do no harm: a line of JSON with their width and
height before each picture.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from PIL import Image

__all__ = ["pictures"]

_SECONDS = 20
_MEMORY = 2 * 1024**3
_LARGEST = 2048  # pixels of a side, of what we take back
# What the interpreter may need to start and to find its libraries; nothing else of the environment is passed on.
_NEEDED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")


def pictures(path: Path, count: int, width: int, height: int) -> list[Image.Image]:
    """Pictures from all over a clip, each at most so large; fewer, or none, where it cannot be decoded.

    Args:
        path: The clip.
        count: How many.
        width: Pixels.
        height: Pixels.
    """
    command = [sys.executable, "-P", "-m", "videogen_core.cli.frames", str(count), str(width), str(height)]
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    try:
        with path.open("rb") as clip:
            done = subprocess.run(
                command,
                stdin=clip,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=2 * _SECONDS,
                start_new_session=True,  # Ctrl-C is for us to deal with
            )
            return list(_taken(done.stdout, count))
    except (OSError, subprocess.SubprocessError):
        return []


def _taken(answer: bytes, count: int) -> Iterator[Image.Image]:
    """The pictures that are whole."""
    for _ in range(count):
        head, _, answer = answer.partition(b"\n")
        try:
            width, height = (int(side) for side in json.loads(head))
        except (ValueError, TypeError):
            return
        size = 3 * width * height
        if not (0 < width <= _LARGEST and 0 < height <= _LARGEST) or len(answer) < size:
            return
        yield Image.frombytes("RGB", (width, height), answer[:size])
        answer = answer[size:]


# --- the side that decodes


def _decoded(file: IO[bytes], count: int, width: int, height: int) -> Iterator[Image.Image]:
    """The picture in the middle of each of ``count`` parts of a clip."""
    import av

    # the whitelist names no protocol at all, so that nothing inside the file can open another one
    with av.open(file, "r", options={"protocol_whitelist": "none"}) as container:
        stream = container.streams.video[0]
        scale = float(stream.time_base or 0)
        start = (stream.start_time or 0) * scale
        seconds = stream.duration * scale if stream.duration else (container.duration or 0) / 1_000_000
        for number in range(count):
            moment = start + seconds * (number + 0.5) / count
            container.seek(max(int(moment * 1_000_000), 0), backward=True)
            frame = None
            for frame in container.decode(stream):
                if frame.time is None or frame.time >= moment:
                    break
            if frame is not None:
                turned = frame.rotation % 180 != 0
                room = (height, width) if turned else (width, height)
                share = min(room[0] / frame.width, room[1] / frame.height)
                small = {"width": max(round(frame.width * share), 1), "height": max(round(frame.height * share), 1)}
                picture: Image.Image = frame.to_image(**small)  # type: ignore[no-untyped-call]
                yield picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def _limit() -> None:
    import resource

    for kind, value in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _serve() -> None:
    _limit()
    count, width, height = map(int, sys.argv[1:4])
    out = sys.stdout.buffer
    for picture in _decoded(sys.stdin.buffer, count, width, height):
        out.write(json.dumps(picture.size).encode() + b"\n" + picture.convert("RGB").tobytes())
        out.flush()


if __name__ == "__main__":
    _serve()
