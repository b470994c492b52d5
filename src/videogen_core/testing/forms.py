"""Multipart forms, as vendors take uploads."""

from __future__ import annotations

import re

import msgspec
from starlette.requests import Request

from .vendor import Refusal

__all__ = ["Part", "read_form"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a form; a field without a file name is text."""

    filename: str
    mime_type: str
    data: bytes

    @property
    def text(self) -> str:
        """The field as text."""
        return self.data.decode("utf-8", "replace")


async def read_form(request: Request) -> dict[str, Part]:
    """The fields of a ``multipart/form-data`` body by name.

    Raises:
        Refusal: 400: it is none.
    """
    found = re.fullmatch(r'multipart/form-data;.*boundary="?([^";]+)"?.*', request.headers.get("content-type", ""))
    if found is None:
        raise Refusal(400, "invalid_request", "Expected multipart/form-data.")
    pieces = (b"\r\n" + await request.body()).split(b"\r\n--" + found[1].encode("latin-1"))
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Refusal(400, "invalid_request", "The form is cut off.")
    parts: dict[str, Part] = {}
    for piece in pieces[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "replace")
        name, filename = (re.search(rf'[; ]{key}="([^"]*)"', lines) for key in ("name", "filename"))
        kind = re.search(r"^content-type: *(\S+)", lines, re.I | re.M)
        if name is None:
            raise Refusal(400, "invalid_request", "A field of the form has no name.")
        parts[name[1]] = Part(
            filename=filename[1] if filename else "", mime_type=kind[1] if kind else "text/plain", data=data
        )
    return parts
