"""Text of strangers made harmless for a terminal: prompts, names and messages may hold anything."""

from __future__ import annotations

import re

__all__ = ["visible"]

# C0 but for tab and newline, DEL, C1, and what turns the direction of the text around it.
_MARKS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """The same with a sign in the place of each character that would steer the terminal."""
    return _MARKS.sub(_sign, text.replace("\r\n", "\n"))


def _sign(found: re.Match[str]) -> str:
    number = ord(found[0])
    return chr(0x2400 + number) if number < 0x20 else "\ufffd"
