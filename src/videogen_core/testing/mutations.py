"""Broken copies of good answers: bytes changed, JSON changed, and nonsense. Seeded, so that each can be made again."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

__all__ = ["mutated"]

_ODD_BYTES = (
    b"\x00",
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b'"',
    b"\\",
    b"NaN",
    b"{",
    b"]",
)
_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**30, 1e308, float("nan"), float("inf"), "", " ", "\x00", "\ud800", "é☃😀"),
    *(
        "a" * 600,
        "a\nb",
        "../../etc/passwd",
        "file:///etc/passwd",
        [],
        {},
        [[]],
        [None] * 50,
        {"": ""},
        {"id": {"id": 1}},
    ),
)


def mutated(corpus: Sequence[bytes], dice: Random) -> bytes:
    """One broken answer."""
    return dice.choice(_WAYS)(corpus, dice)


def _bytes_changed(corpus: Sequence[bytes], dice: Random) -> bytes:
    body = bytearray(dice.choice(corpus))
    for _ in range(dice.randint(1, 8)):
        place = dice.randrange(len(body) + 1)
        match dice.randrange(5):
            case 0:
                body[place : place + 1] = bytes([dice.randrange(256)])
            case 1:
                body[place:place] = dice.choice(_ODD_BYTES)
            case 2:
                del body[place : place + dice.randint(1, 20)]
            case 3:
                body[place:place] = body[place : place + dice.randint(1, 200)] * dice.randint(1, 5)
            case 4:
                del body[place:]
    return bytes(body)


def _spliced(corpus: Sequence[bytes], dice: Random) -> bytes:
    first, second = dice.choice(corpus), dice.choice(corpus)
    return first[: dice.randrange(len(first) + 1)] + second[dice.randrange(len(second) + 1) :]


def _values_changed(corpus: Sequence[bytes], dice: Random) -> bytes:
    """Still JSON, or nearly, with values that nobody expects."""
    data = json.loads(dice.choice(corpus))
    for _ in range(dice.randint(1, 4)):
        data = _changed(data, dice)
    return json.dumps(data, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")


def _changed(node: Any, dice: Random) -> Any:
    if dice.random() < 0.2 or not isinstance(node, dict | list) or not node:
        return dice.choice(_ODD_VALUES) if dice.random() < 0.8 else _any_json(dice, 3)
    if isinstance(node, list):
        place = dice.randrange(len(node))
        return [*node[:place], _changed(node[place], dice), *node[place + 1 :]]
    name = dice.choice(list(node))
    match dice.randrange(4):
        case 0:
            return {key: value for key, value in node.items() if key != name}
        case 1:
            return {**node, dice.choice(string.ascii_letters) * dice.randint(0, 9): dice.choice(_ODD_VALUES)}
        case _:
            return {**node, name: _changed(node[name], dice)}


def _any_json(dice: Random, depth: int) -> Any:
    match dice.randrange(4 if depth else 2):
        case 0:
            return dice.choice(_ODD_VALUES)
        case 1:
            return dice.uniform(-1e6, 1e6)
        case 2:
            return [_any_json(dice, depth - 1) for _ in range(dice.randrange(5))]
        case _:
            return {dice.choice("abcdé "): _any_json(dice, depth - 1) for _ in range(dice.randrange(5))}


def _random_json(corpus: Sequence[bytes], dice: Random) -> bytes:
    return json.dumps(_any_json(dice, 5)).encode("utf-8", "surrogatepass")


def _random_bytes(corpus: Sequence[bytes], dice: Random) -> bytes:
    return dice.randbytes(dice.randrange(400))


def _nested(corpus: Sequence[bytes], dice: Random) -> bytes:
    opening, closing = dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"id":', b"}]")))
    depth = dice.choice((90, 101, 1_000, 20_000))
    return opening * depth + b"1" + closing * (depth - dice.randrange(2))


def _large(corpus: Sequence[bytes], dice: Random) -> bytes:
    """Up to twice the limit, of the pieces that cost a parser the most."""
    piece = dice.choice((b"{},", b"[],", b'{"":0},', b"0,", b"1e1,", b'"ab",', b'"\\u0041",', b" ", b"1", b'"'))
    return b"[" + piece * (dice.randrange(4 * 1024**2) // len(piece)) + b"0]"


_ALL: tuple[tuple[int, Callable[[Sequence[bytes], Random], bytes]], ...] = (
    (300, _bytes_changed),
    (100, _spliced),
    (300, _values_changed),
    (150, _random_json),
    (100, _random_bytes),
    (20, _nested),
    (5, _large),
)
_WAYS = tuple(way for weight, way in _ALL for _ in range(weight))
