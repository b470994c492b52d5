"""The reader of answers against everything that is no answer: one kind of error, little time, little memory."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from random import Random
from typing import Any

import anyio
import httpx
import msgspec
import pytest

from videogen_core import transport
from videogen_core.calls import MAX_ANSWER, call
from videogen_core.errors import ProviderError, ProviderProtocolError
from videogen_core.outcomes import Answer, usable_id
from videogen_core.strict_json import MAX_BRACKETS, MAX_COMMAS, NotJSONError, decode
from videogen_core.testing.mutations import mutated

CORPUS = [
    json.dumps(answer).encode()
    for answer in (
        {"id": "job-1", "status": "queued", "created_at": "2026-11-20T12:00:00Z", "estimated_credits": 25},
        {"name": "projects/p/operations/1", "done": True, "response": {"videos": [{"uri": "gs://b/o.mp4"}] * 3}},
        {
            "id": "a",
            "status": "succeeded",
            "output": ["https://cdn.example/a.mp4?sig=x"],
            "cost": 0.4,
            "urls": {"get": "u"},
        },
        {"base_resp": {"status_code": 0, "status_msg": "success"}, "task_id": "106916112212032", "file": None},
        {"error": {"code": 429, "message": "Too many requests, später", "details": [{"@type": "x", "n": 1e-7}]}},
        {"results": [{"id": f"job-{n}", "input": {"prompt": "a boat"}, "progress": n / 10} for n in range(20)]},
        [{"id": "a"}, {"id": "b", "deep": {"er": {"and": {"deeper": [[[1]]]}}}}],
    )
]
ENCODINGS = ("", "", "", "identity", "gzip", "deflate", "br", "é", "gzip, br", "x" * 300)
LIMIT = 4 * 0.05  # seconds: 50 ms for each of the four ways in which `read` reads an answer


class Error(msgspec.Struct):
    code: int
    message: str = ""


class Job(msgspec.Struct):
    """What a plugin asks an answer for."""

    id: str
    status: str = ""
    progress: float | None = None
    output: list[str] = []
    error: Error | None = None


def read(answer: Answer) -> None:
    """All that a plugin does with an answer, each of which may fail in one way only."""
    for kind in (Any, Job, list[Job], dict[str, Any]):
        try:
            found = answer.json(kind)
            for value in (found, getattr(found, "id", None), found.get("id") if isinstance(found, dict) else None):
                assert usable_id(answer.id(value))
        except ProviderProtocolError as error:
            if len(error.message) > 2_000:
                raise AssertionError("its message goes on for ever") from error
    assert isinstance(answer.error(), ProviderError)
    assert isinstance(answer.text, str)


def fuzz(seed: int, examples: int) -> None:
    """Read so many broken answers, and say of the worst what it cost."""
    dice = Random(seed)
    bodies: list[bytes] = []

    def respond(request: httpx.Request) -> httpx.Response:
        headers = {"content-encoding": dice.choice(ENCODINGS), "retry-after": dice.choice(("1", "x", "9" * 99, "é"))}
        raw = [(name.encode(), value.encode()) for name, value in headers.items() if value]
        stream = httpx.ByteStream(bodies[-1])
        return httpx.Response(dice.choice((200, 200, 201, 204, 302, 400, 401, 429, 500)), headers=raw, stream=stream)

    async def run() -> None:
        async with transport.client(transport=httpx.MockTransport(respond)) as http:
            for number in range(examples):
                bodies[:] = [mutated(CORPUS, dice)]
                try:
                    took = await seconds(http)
                except Exception as error:
                    raise AssertionError(f"seed {seed}, example {number}: {bodies[0][:200]!r}") from error
                for _ in range(3 if took > LIMIT else 0):  # the machine itself may have been slow
                    took = min(took, await seconds(http))
                spent.append((took, len(bodies[0]), number))
                if len(bodies[0]) > 50_000:  # small ones cannot cost much
                    peaks.append((await memory(http), number))

    async def ask(http: httpx.AsyncClient) -> None:
        with contextlib.suppress(ProviderProtocolError):
            read(await call(http, "GET", "http://acme.example/", provider="acme", action="poll"))

    async def seconds(http: httpx.AsyncClient) -> float:
        began = time.thread_time()
        await ask(http)
        return time.thread_time() - began

    async def memory(http: httpx.AsyncClient) -> int:
        tracemalloc.start()
        try:
            await ask(http)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    spent: list[tuple[float, int, int]] = []
    peaks: list[tuple[int, int]] = []
    anyio.run(run)
    assert max(peaks)[0] < 64 * 1024**2, f"seed {seed}: {max(peaks)}"
    assert max(spent)[0] < LIMIT, f"seed {seed}: {sorted(spent)[-3:]}"


@pytest.mark.promise("T17", "P1")
def test_broken_answers() -> None:
    fuzz(20261120, 2_000)


@pytest.mark.chaos
@pytest.mark.promise("T17", "P1")
@pytest.mark.parametrize("seed", range(10))
def test_very_many_broken_answers(seed: int) -> None:
    fuzz(seed, 20_000)


PIECES = [b"{},", b"[],", b'{"":0},', b'{"a":[]},', b"0,", b"1e1,", b'"ab",', b'"\\u0041",', b" "]


@pytest.mark.promise("T17", "P1")
@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("limit", [MAX_BRACKETS, MAX_COMMAS, MAX_ANSWER])
def test_the_worst_that_fits_is_read_in_no_time(piece: bytes, limit: int) -> None:
    body = b"[" + piece * (min(MAX_ANSWER // len(piece), limit) - 2) + b"0]"
    best = 1.0
    for _ in range(3):
        began = time.thread_time()
        with contextlib.suppress(NotJSONError):
            decode(body)
        best = min(best, time.thread_time() - began)
    assert best < 0.25  # several times what it takes: a shared machine is slow at times
