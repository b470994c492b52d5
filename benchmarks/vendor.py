"""A vendor on loopback, in a process of its own, that does next to nothing: the dialect of OpenAI's former Videos API,
which the ``openai`` SDK and LiteLLM still speak, so that all can be given the same work.

``POST /v1/videos`` makes a job, ``GET /v1/videos/ID`` says that it is done, ``GET /v1/videos/ID/content`` gives the
clip; ``GET /bytes/N`` gives the clip, made N bytes longer by a box that players skip.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_numbers = itertools.count(1)
_BLOCK = bytes(1 << 16)


@contextmanager
def serving() -> Iterator[str]:
    """The base address of a fresh server."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.vendor"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def _clip() -> bytes:
    from videogen_core.sandbox.render import RenderSpec, render

    return render(RenderSpec(prompt="benchmark", width=256, height=144, fps=8, duration=1))


async def _serve() -> None:
    clip = _clip()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await _answered(head, reader, writer, clip)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _answered(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clip: bytes) -> None:
    method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    lines = [line.partition(b":") for line in head.lower().split(b"\r\n")]
    length = next((int(value) for name, _, value in lines if name == b"content-length"), 0)
    if length:
        await reader.readexactly(length)
    if path.startswith("/bytes/"):
        await _bytes(clip, int(path.rpartition("/")[2]), writer)
        return
    kind, body = "application/json", b""
    if path.endswith("/content"):
        kind, body = "video/mp4", clip
    else:
        name = f"video_{next(_numbers)}" if method == "POST" else path.rpartition("/")[2]
        status = "queued" if method == "POST" else "completed"
        job = {"id": name, "object": "video", "model": "sora-2", "status": status, "created_at": 1, "progress": 100}
        body = json.dumps({**job, "seconds": "8", "size": "720x1280"}).encode()
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()


async def _bytes(clip: bytes, count: int, writer: asyncio.StreamWriter) -> None:
    box = (1).to_bytes(4) + b"free" + (count + 16).to_bytes(8)
    length = len(clip) + len(box) + count
    writer.write(
        f"HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\ncontent-length: {length}\r\n\r\n".encode() + clip + box
    )
    for left in range(count, 0, -len(_BLOCK)):
        writer.write(_BLOCK[:left])
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(_serve())
