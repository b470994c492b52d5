"""JSON from strangers: read strictly, within bounds of depth and size, and failing in one way only."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["MAX_BRACKETS", "MAX_COMMAS", "MAX_DEPTH", "NotJSONError", "decode"]

MAX_DEPTH = 100
"""Objects and lists inside each other. What is deeper would break whoever walks it."""
MAX_BRACKETS = 25_000
"""Opening brackets in the text, several times those of the longest lists of vendors. An empty object takes three bytes
of text, and thirty times as many of memory."""
MAX_COMMAS = 100_000
"""Commas in the text, for the same reason."""


class NotJSONError(ValueError):
    """The text is no JSON, or not of the shape asked for; says why, and repeats nothing of it but enumerated words."""


def decode(data: bytes, kind: Any = Any) -> Any:
    """JSON text as Python data, or as an instance of ``kind``.

    Not allowed: bytes that are not UTF-8, half of a surrogate pair, NaN and Infinity, numbers of thousands of digits or
    beyond a float, anything after the end. A name that occurs twice counts with its last value.

    Args:
        data: The text. Its length is limited by whoever read it.
        kind: Any type that msgspec knows; Any = whatever it is.

    Raises:
        NotJSONError: See above.
    """
    if data.count(b"{") + data.count(b"[") > MAX_BRACKETS or data.count(b",") > MAX_COMMAS:
        raise NotJSONError("it holds too many values")
    try:
        data.decode()  # msgspec does not look into the fields that it skips
        found = msgspec.json.decode(data)
        if _deeper_than(found, MAX_DEPTH):
            raise NotJSONError("it is nested too deeply")
        return found if kind is Any else msgspec.json.decode(data, type=kind)
    except NotJSONError:
        raise
    except msgspec.ValidationError as error:
        raise NotJSONError(str(error)) from None
    except ValueError:  # of msgspec, and of bytes that are no UTF-8
        raise NotJSONError("it is no JSON" if data.strip() else "it is empty") from None
    except RecursionError:
        raise NotJSONError("it is nested too deeply") from None


def _deeper_than(data: Any, levels: int) -> bool:
    level = [data]
    for _ in range(levels + 1):
        inner = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, (dict, list))]
        if not inner:
            return False
        level = [child for children in inner for child in children if isinstance(child, (dict, list))]
    return True
