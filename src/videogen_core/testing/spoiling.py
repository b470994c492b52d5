"""From an honest answer to a spoilt one: what each fault does to status, headers, body and connection."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from random import Random
from typing import Any

from .faults import Fault
from .mutations import mutated
from .wire import Wire

__all__ = ["HTML", "Answer", "retry_after", "spoil_body", "spoil_wire", "takes_the_wire"]

Headers = tuple[tuple[str, str], ...]

HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>"
_CHUNK = 64 * 1024
_BOMB = 64 * 2**20
_LONG = 16 * 2**20
_ENDLESS = 2**32
_DEPTH = 200_000
_HANG, _SLOW = 3600.0, 0.1  # real seconds
_ON_THE_WIRE = frozenset({"reset", "close", "hang", "slow", "truncated", "cut", "short_length", "long", "endless"})


@dataclass(frozen=True)
class Answer:
    """What a vendor answers, before anything goes wrong with it."""

    status: int = 200
    headers: Headers = (("content-type", "application/json"),)
    body: bytes = b"{}"
    job: str = ""
    """The vendor's id of the job that it tells of."""

    def headed(self, **changes: str | None) -> Answer:
        """The same with other headers; None removes one. ``content_type`` means ``content-type``."""
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        kept = tuple((name, value) for name, value in self.headers if name.lower() not in named)
        return replace(self, headers=kept + tuple((name, value) for name, value in named.items() if value is not None))


def retry_after(text: str, now: float) -> str:
    """A fault's ``retry_after`` as it is sent; ``now`` is the vendor's time."""
    if text.startswith("date"):
        return formatdate(now + float(text.removeprefix("date")), usegmt=True)
    return text


# --- the body


def spoil_body(fault: Fault, answer: Answer) -> Answer:
    """The answer with the body, and the headers that go with it, that the fault makes of it."""
    spoiler = _SPOILERS.get(fault.what)
    return answer if spoiler is None else spoiler(fault, answer)


def _invalid_json(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: max(1, int(len(answer.body) * fault.share))])


def _nan(fault: Fault, answer: Answer) -> Answer:
    whole = _object(answer)
    return replace(answer, body=json.dumps({**_without_numbers(whole), "eta": float("nan")}).encode())


def _object(answer: Answer) -> dict[str, Any]:
    try:
        whole = json.loads(answer.body)
    except ValueError:
        whole = None
    return whole if isinstance(whole, dict) else {"data": whole}


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_numbers(item) for item in value]
    return float("nan") if isinstance(value, int | float) and not isinstance(value, bool) else value


def _bad_utf8(fault: Fault, answer: Answer) -> Answer:
    head, quote, tail = answer.body.rpartition(b'"')
    return replace(answer, body=head + b"\xc3\x28\xff" + quote + tail)


def _deep_json(fault: Fault, answer: Answer) -> Answer:
    depth = fault.size or _DEPTH
    start, brace, rest = answer.body.partition(b"{")
    comma = b", " if rest.strip() != b"}" else b""
    body = start + brace + b'"deep": ' + b"[" * depth + b"]" * depth + comma + rest if brace else b"[" * depth
    return replace(answer, body=body)


def _gzip_bomb(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, body=_bomb(fault.size or _BOMB)).headed(content_encoding="gzip")


@lru_cache(maxsize=2)
def _bomb(size: int) -> bytes:
    """So many spaces, compressed as far as gzip goes."""
    squeeze = zlib.compressobj(9, wbits=31)
    blank, parts = b" " * 2**20, []
    while size > 0:
        parts.append(squeeze.compress(blank[:size]))
        size -= len(blank)
    return b"".join((*parts, squeeze.flush()))


def _no_id(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, body=json.dumps(_forget(_object(answer), answer.job)).encode())


def _forget(value: Any, job: str) -> Any:
    """The same without any entry that holds the job's id."""
    if isinstance(value, dict):
        kept = {key: _forget(item, job) for key, item in value.items()}
        return {key: item for key, item in kept.items() if not (isinstance(item, str) and job and job in item)}
    return [_forget(item, job) for item in value] if isinstance(value, list) else value


_SPOILERS: dict[str, Callable[[Fault, Answer], Answer]] = {
    "empty": lambda fault, answer: replace(answer, body=b""),
    "html": lambda fault, answer: replace(answer, body=HTML).headed(content_type="text/html; charset=utf-8"),
    "invalid_json": _invalid_json,
    "nan": _nan,
    "bad_utf8": _bad_utf8,
    "deep_json": _deep_json,
    "gzip_bomb": _gzip_bomb,
    "wrong_type": lambda fault, answer: answer.headed(content_type="text/html"),
    "no_id": _no_id,
    "mutated": lambda fault, answer: replace(answer, body=mutated([answer.body], Random(fault.size))),
}


# --- the connection


def takes_the_wire(fault: Fault) -> bool:
    """Whether a fault is one of the connection."""
    return fault.what in _ON_THE_WIRE


async def spoil_wire(fault: Fault, answer: Answer, wire: Wire) -> None:
    """Answer over the bare connection, and end it."""
    wire.take()
    match fault.what:
        case "reset" | "close":
            await _send_some(fault, answer, wire)
        case "hang":
            head, body = _framed(answer, len(answer.body))
            cut = _cut(fault, head, body)
            await wire.write((head + body)[:cut])
            await wire.stall(fault.seconds or _HANG)
            await wire.write((head + body)[cut:])
        case "slow":
            step = fault.size or 1
            whole = b"".join(_framed(answer, len(answer.body)))
            for start in range(0, len(whole), step):
                await wire.write(whole[start : start + step])
                await wire.stall(fault.seconds or _SLOW)
                if wire.gone:
                    return
        case "truncated" | "cut":
            length = len(answer.body) if fault.what == "truncated" else None
            head, body = _framed(answer, length)
            await wire.write(head + body[: int(len(body) * fault.share)])
        case "short_length":
            await wire.write(b"".join(_framed(answer, int(len(answer.body) * fault.share))))
        case "long" | "endless":
            await _send_too_much(fault, answer, wire)
    if fault.what == "reset":
        await wire.reset()
    else:
        wire.close()


def _framed(answer: Answer, length: int | None) -> tuple[bytes, bytes]:
    """Head and body as bytes, under a Content-Length of our choice."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""
    headers = [(name, value) for name, value in answer.headers if name.lower() not in ("content-length", "connection")]
    if length is not None:
        headers.append(("content-length", str(length)))
    lines = [f"HTTP/1.1 {answer.status} {phrase}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1"), answer.body


def _cut(fault: Fault, head: bytes, body: bytes) -> int:
    """How many bytes of the answer come before the fault."""
    return {
        "nothing": 0,
        "head": len(head) // 2,
        "headers": len(head),
        "body": len(head) + int(len(body) * fault.share),
        "end": len(head) + len(body),
    }[fault.part]


async def _send_some(fault: Fault, answer: Answer, wire: Wire) -> None:
    head, body = _framed(answer, len(answer.body))
    await wire.write((head + body)[: _cut(fault, head, body)])


async def _send_too_much(fault: Fault, answer: Answer, wire: Wire) -> None:
    """The answer and then blanks: as many as were promised, or without end."""
    extra = fault.size or (_LONG if fault.what == "long" else _ENDLESS)
    head, body = _framed(answer, len(answer.body) + extra if fault.what == "long" else None)
    await wire.write(head + body)
    async for blank in _blanks(extra):
        await wire.write(blank)
        if wire.gone:
            return


async def _blanks(size: int) -> AsyncIterator[bytes]:
    blank = b" " * _CHUNK
    for start in range(0, size, _CHUNK):
        yield blank[: size - start]
