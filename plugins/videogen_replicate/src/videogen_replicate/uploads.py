"""Inputs on their way to Replicate: by their address, within the request, or uploaded first and removed afterwards."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import anyio
import msgspec

from videogen_core import SubmitCall
from videogen_core.containers import sniff
from videogen_core.request import Media

from . import failures
from .api import Api

__all__ = ["Room", "Uploads", "data_uri"]

_INLINE = 256 * 1024
"""Bytes of inputs that go into the request itself. Replicate advises it of one, and it is kept to for all of a request:
every answer repeats them, and one that is too long to be read would be a prediction that is paid for and lost."""
_SECONDS = 600.0


class _Urls(msgspec.Struct):
    get: str


class _File(msgspec.Struct):
    id: str
    urls: _Urls


class Room:
    """What still goes into a request itself; asked for one input after the other."""

    def __init__(self) -> None:
        self._left = _INLINE

    def takes(self, data: bytes) -> bool:
        """Whether an input goes in, which leaves less for the next."""
        fits = len(data) <= self._left
        self._left -= len(data) if fits else 0
        return fits


class Uploads:
    """Prepares the media of a request.

    Args:
        api: Of the session.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Every input, and what was uploaded for it.

        Returns:
            ``media``: by field, an address or a data URI; ``uploads``: ids of files to remove.
        """
        uploads: list[str] = []
        room = Room()
        try:
            media = {name: await self._told(call, name, each, room, uploads) for name, each in call.request.media()}
        except BaseException:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await self.remove(uploads)
            raise
        return {"media": media, "uploads": uploads}

    async def remove(self, uploads: Any) -> None:
        """Delete files; Replicate does so by itself after a day."""
        for name in uploads if isinstance(uploads, list) else []:
            with suppress(Exception):  # the others are to go, too
                await self._api.ask("DELETE", f"/v1/files/{quote(str(name), safe='')}", action="clean up", timeout=5.0)

    async def _told(self, call: SubmitCall, name: str, media: Media, room: Room, uploads: list[str]) -> str:
        if media.url is not None:
            return media.url
        data = await call.read(media)
        if room.takes(data):
            return data_uri(data, video=name == "video")
        mime_type = _type(data, video=name == "video")
        answer = await self._api.ask(
            "POST",
            "/v1/files",
            action="upload",
            timeout=_SECONDS,
            files={"content": (f"{name.partition('[')[0]}.{mime_type.partition('/')[2]}", data, mime_type)},
        )
        if not answer.ok:
            raise failures.refused(answer, model=call.spec.id)
        file = answer.json(_File)
        uploads.append(answer.id(file.id))
        return file.urls.get


def data_uri(data: bytes, *, video: bool = False) -> str:
    """Bytes as a ``data:`` address."""
    return f"data:{_type(data, video=video)};base64,{base64.b64encode(data).decode()}"


def _type(data: bytes, *, video: bool) -> str:
    return sniff(data[:64]) or ("video/mp4" if video else "image/png")
