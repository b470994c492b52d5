"""The vendor's file server: addresses that are signed and expire, ranges, validators, and what goes wrong with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from .faults import Fault
from .vendor import Refusal

__all__ = ["file_answer", "sign_path", "verify_path"]

_DAMAGE = 4096  # bytes


def sign_path(path: str, secret: bytes, expires: float | None) -> str:
    """A path with a signature, and the vendor's time at which it expires."""
    until = "never" if expires is None else repr(expires)
    return f"{path}?expires={until}&signature={_signature(path, until, secret)}"


def verify_path(request: Request, secret: bytes, now: float) -> None:
    """Let a signed address pass.

    Raises:
        Refusal: 403: the signature is wrong, or the address has expired.
    """
    query = parse_qs(request.url.query)
    until, signature = query.get("expires", [""])[0], query.get("signature", [""])[0]
    if not hmac.compare_digest(signature, _signature(request.url.path, until, secret)):
        raise Refusal(403, "forbidden", "The signature is wrong.")
    if until != "never" and float(until) <= now:
        raise Refusal(403, "expired", "This address has expired.")


def _signature(path: str, until: str, secret: bytes) -> str:
    return hmac.new(secret, f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()


def file_answer(
    request: Request, data: bytes, *, mime_type: str = "video/mp4", digest: bool = False, fault: Fault | None = None
) -> Response:
    """A file, whole or in part, as RFC 9110 has it: ``Range``, ``If-Range``, ``ETag``; one range at a time.

    Args:
        request: What was asked for.
        data: The file.
        mime_type: Of the file.
        digest: Whether a whole file comes with a ``Content-MD5``.
        fault: What goes wrong, one of `videogen_core.testing.faults.OF_DOWNLOADS`.
    """
    what = None if fault is None else fault.what
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    if what == "etag_changed":
        data = data[::-1]
        etag = '"another-file"'
    if what == "corrupt":
        middle = max(0, len(data) // 2 - _DAMAGE // 2)
        data = data[:middle] + bytes(len(data[middle : middle + _DAMAGE])) + data[middle + _DAMAGE :]
    headers = {"etag": etag, "accept-ranges": "bytes", "content-type": mime_type}
    if what == "unsatisfiable":
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(data)}"})
    asked = _range(request, len(data), etag if what != "etag_changed" else None)
    if what == "range_wrong":
        asked = _elsewhere(asked, len(data))
    if asked is None or what == "range_ignored":
        return Response(data, headers={**headers, "content-md5": md5} if digest else headers)
    start, end = asked
    if start >= len(data):
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(data)}"})
    headers["content-range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return Response(data[start:end], status_code=206, headers=headers)


def _range(request: Request, size: int, etag: str | None) -> tuple[int, int] | None:
    """Start and end of the part that was asked for; ``etag`` None = If-Range is not looked at."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if found is None or not (found[1] or found[2]):
        return None
    validator = request.headers.get("if-range")
    if validator is not None and etag is not None and validator != etag:
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    return int(found[1]), min(int(found[2]) + 1, size) if found[2] else size


def _elsewhere(asked: tuple[int, int] | None, size: int) -> tuple[int, int]:
    """Another part than the one asked for."""
    start = 0 if asked is None else asked[0]
    return (start // 2, size) if start else (size // 3, size)
