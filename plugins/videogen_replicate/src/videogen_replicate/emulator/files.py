"""The files API: what clients upload, by id, for a day."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import Part, Refusal, read_form

if TYPE_CHECKING:
    from . import ReplicateEmulator

__all__ = ["Files"]

_LIFETIME = 86_400.0


class Files:
    """What clients have uploaded.

    Args:
        emulator: Of Replicate.
    """

    def __init__(self, emulator: ReplicateEmulator) -> None:
        self._emulator = emulator
        self._files: dict[str, tuple[Part, float]] = {}
        self._numbers = 0

    def routes(self) -> list[BaseRoute]:
        """Its paths."""
        route = self._emulator.route
        return [
            route("upload", "POST", "/v1/files", self._create),
            route("other", "GET", "/v1/files", self._list),
            route("other", "GET", "/v1/files/{id}", self._show),
            route("other", "DELETE", "/v1/files/{id}", self._delete),
        ]

    def names(self) -> list[str]:
        """The ids of what is there."""
        now = self._emulator.clock.now()
        return [name for name, (_, made) in self._files.items() if now < made + _LIFETIME]

    def knows(self, address: str) -> bool:
        """Whether an address leads to a file: one of these, anything on the web, or the bytes themselves."""
        own = f"{self._emulator.api_url}/v1/files/"
        if address.startswith(own):
            return address.removeprefix(own) in self.names()
        return address.startswith(("https://", "http://", "data:"))

    def clear(self) -> None:
        """Forget all of it."""
        self._files.clear()
        self._numbers = 0

    async def _create(self, request: Request) -> Response:
        part = (await read_form(request)).get("content")
        if part is None or not part.data:
            raise Refusal(400, "invalid_request", "The form has no content.")
        self._numbers += 1
        digest = hashlib.sha256(part.data).hexdigest()
        name = f"{hashlib.sha256(f'{self._numbers}{digest}'.encode()).hexdigest()[:48]}"
        self._files[name] = part, self._emulator.clock.now()
        return JSONResponse(self._shown(name), 201)

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"next": None, "previous": None, "results": [self._shown(each) for each in self.names()]})

    async def _show(self, request: Request) -> Response:
        return JSONResponse(self._shown(self._name(request)))

    async def _delete(self, request: Request) -> Response:
        del self._files[self._name(request)]
        return Response(status_code=204)

    def _name(self, request: Request) -> str:
        name: str = request.path_params["id"]
        if name not in self.names():
            raise Refusal(404, "not_found", "The requested resource could not be found.")
        return name

    def _shown(self, name: str) -> dict[str, Any]:
        part, made = self._files[name]
        return {
            "id": name,
            "name": part.filename,
            "content_type": part.mime_type,
            "size": len(part.data),
            "etag": hashlib.sha256(part.data).hexdigest(),
            "checksums": {"sha256": hashlib.sha256(part.data).hexdigest()},
            "metadata": {},
            "created_at": self._emulator.stamp(made),
            "expires_at": self._emulator.stamp(made + _LIFETIME),
            "urls": {"get": f"{self._emulator.api_url}/v1/files/{name}"},
        }
