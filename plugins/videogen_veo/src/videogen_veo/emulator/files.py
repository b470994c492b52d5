"""The Files API of the Gemini API: uploads in two steps, and the files that jobs deliver."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from videogen_core.testing import VendorJob

from .answers import GoogleRefusal

if TYPE_CHECKING:
    from . import VeoEmulator

__all__ = ["Files", "StoredFile"]

_HOST = "https://generativelanguage.googleapis.com"
_URI = re.compile(_HOST + r"/v1(?:beta)?/files/([a-z0-9-]+)(?::download\?alt=media)?")
_CAPITAL = re.compile(r"[A-Z]")
_KEPT = 48 * 3600.0
_LOOKS = 1
"""How often a video is still being processed when it is asked for."""


class Described(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client says of its file."""

    name: str | None = None
    display_name: str | None = None
    mime_type: str | None = None
    size_bytes: int | str | None = None


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that begins an upload; names may be written in snake case or in camel case, as anywhere at Google."""

    file: dict[str, Any]

    def described(self) -> Described:
        """What it says, checked.

        Raises:
            GoogleRefusal: 400.
        """
        said = {_CAPITAL.sub(lambda found: f"_{found[0].lower()}", name): value for name, value in self.file.items()}
        try:
            return msgspec.convert(said, Described)
        except msgspec.ValidationError as error:
            raise GoogleRefusal(400, "invalid_request", str(error)) from error


@dataclass(kw_only=True)
class StoredFile:
    """A file.

    Attributes:
        job: Of the job that made it; None = a client uploaded it.
        looks: How often it was asked for.
    """

    id: str
    data: bytes = field(repr=False)
    mime_type: str
    display_name: str
    created: float
    job: VendorJob | None = None
    looks: int = 0

    @property
    def active(self) -> bool:
        """Whether it can be used."""
        return self.looks > _LOOKS or not self.mime_type.startswith("video/")

    @property
    def uri(self) -> str:
        """Its address, on Google's own host as the real one's is."""
        return f"{_HOST}/v1beta/files/{self.id}"

    def resource(self) -> dict[str, Any]:
        """As the API shows it."""
        digest = hashlib.sha256(self.data).hexdigest().encode()
        shown = {
            "name": f"files/{self.id}",
            "mimeType": self.mime_type,
            "sizeBytes": str(len(self.data)),
            "createTime": _date(self.created),
            "updateTime": _date(self.created),
            "expirationTime": _date(self.created + _KEPT),
            "sha256Hash": base64.b64encode(digest).decode(),
            "uri": self.uri,
            "state": "ACTIVE" if self.active else "PROCESSING",
            "source": "UPLOADED" if self.job is None else "GENERATED",
        }
        if self.display_name:
            shown["displayName"] = self.display_name
        if self.job is not None:
            shown["downloadUri"] = f"{self.uri}:download?alt=media"
        return shown


@dataclass(kw_only=True)
class _Session:
    """An upload that is under way."""

    id: str
    mime_type: str
    display_name: str
    size: int
    data: bytearray = field(default_factory=bytearray)


class Files:
    """The files of one account."""

    def __init__(self, emulator: VeoEmulator) -> None:
        self._emulator = emulator
        self.clear()

    def clear(self) -> None:
        """Forget all files."""
        self._files: dict[str, StoredFile] = {}
        self._sessions: dict[str, _Session] = {}
        self._begun = 0

    def routes(self) -> list[BaseRoute]:
        """Uploads, downloads and the care of files."""
        route = self._emulator.route
        return [
            route("upload", "POST", "/upload/{version}/files", self._start),
            # the SDK sends the bytes without the key: the address itself is the permission
            route("upload", "POST", "/upload/{version}/files/{session}", self._bytes, auth=False),
            route("download", "GET", "/{version}/files/{id}:download", self._download),
            route("other", "GET", "/{version}/files/{id}", self._show),
            route("other", "DELETE", "/{version}/files/{id}", self._delete),
            route("list", "GET", "/{version}/files", self._list),
            route("download", "GET", "/delivered/{id}", self._download, origin="delivery", auth=False),
        ]

    # --- what the rest of the emulator uses

    def read(self, uri: str, what: str) -> StoredFile:
        """The file that an input names.

        Raises:
            GoogleRefusal: 400: there is none, or it is not ready.
        """
        found = _URI.fullmatch(uri)
        stored = self._files.get(found[1]) if found else None
        if stored is None or self._expired(stored):
            raise GoogleRefusal(400, "invalid_request", f"Invalid value at '{what}': no such file: {uri[:200]}")
        if not stored.active:
            raise GoogleRefusal(
                400, "invalid_request", f"The File {stored.id} is not in an ACTIVE state and usage is not allowed.",
                rpc="FAILED_PRECONDITION",
            )  # fmt: skip
        return stored

    def deliver(self, file_id: str, data: bytes, job: VendorJob) -> str:
        """Keep what a job made, once; its download address."""
        if file_id not in self._files:
            self._put(StoredFile(id=file_id, data=data, mime_type="video/mp4", display_name="",
                                 created=self._emulator.clock.now(), job=job))  # fmt: skip
        return f"{_HOST}/v1beta/files/{file_id}:download?alt=media"

    def uploaded(self) -> list[str]:
        """The names of what clients uploaded and have not deleted."""
        return [f"files/{each.id}" for each in self._files.values() if each.job is None]

    def _put(self, stored: StoredFile) -> StoredFile:
        self._files[stored.id] = stored
        return stored

    def _expired(self, stored: StoredFile) -> bool:
        return self._emulator.clock.now() > stored.created + _KEPT

    # --- uploads

    async def _start(self, request: Request) -> Response:
        headers = request.headers
        if headers.get("x-goog-upload-protocol") != "resumable" or headers.get("x-goog-upload-command") != "start":
            raise GoogleRefusal(400, "invalid_request", "Expected X-Goog-Upload-Protocol: resumable and start.")
        said = (await self._emulator.read(request, Start)).described()
        size = headers.get("x-goog-upload-header-content-length", "")
        mime_type = headers.get("x-goog-upload-header-content-type") or said.mime_type or ""
        if not size.isdecimal() or not re.fullmatch(r"[a-z]+/[a-z0-9.+-]+", mime_type):
            raise GoogleRefusal(400, "invalid_request", "The length or the type of the file is missing or wrong.")
        file_id = (said.name or "").removeprefix("files/") or self._new_id()
        if re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", file_id) is None or file_id in self._files:
            raise GoogleRefusal(400, "invalid_request", f"The name {said.name!r} is invalid or taken.")
        session = hashlib.sha256(f"{file_id}/{self._emulator.key}".encode()).hexdigest()[:40]
        self._sessions[session] = _Session(
            id=file_id, mime_type=mime_type, display_name=said.display_name or "", size=int(size)
        )
        url = f"{self._emulator.api_url}/upload/{request.path_params['version']}/files/{session}"
        return JSONResponse({}, headers={"x-goog-upload-url": url, "x-goog-upload-status": "active"})

    def _new_id(self) -> str:
        self._begun += 1
        digest = hashlib.sha256(f"{self._emulator.seed}/{self._begun}".encode()).digest()
        return base64.b32encode(digest)[:12].decode().lower()

    async def _bytes(self, request: Request) -> Response:
        session = self._sessions.get(request.path_params["session"])
        if session is None:
            raise GoogleRefusal(404, "not_found", "There is no such upload.")
        if request.headers.get("x-goog-upload-offset") != str(len(session.data)):
            raise GoogleRefusal(400, "invalid_request", "X-Goog-Upload-Offset is not where the last chunk ended.")
        session.data += await request.body()
        if "finalize" not in request.headers.get("x-goog-upload-command", ""):
            return Response(status_code=200, headers={"x-goog-upload-status": "active"})
        if len(session.data) != session.size:
            raise GoogleRefusal(400, "invalid_request", "The file is not as long as was said.")
        del self._sessions[request.path_params["session"]]
        stored = self._put(
            StoredFile(
                id=session.id,
                data=bytes(session.data),
                mime_type=session.mime_type,
                display_name=session.display_name,
                created=self._emulator.clock.now(),
            )
        )
        return JSONResponse({"file": stored.resource()}, headers={"x-goog-upload-status": "final"})

    # --- the rest

    def _found(self, request: Request) -> StoredFile:
        stored = self._files.get(request.path_params["id"])
        if stored is None or self._expired(stored):
            raise GoogleRefusal(404, "not_found", f"The File {request.path_params['id'][:80]} does not exist.")
        return stored

    async def _download(self, request: Request) -> Response:
        stored = self._found(request)
        if stored.job is None:
            raise GoogleRefusal(400, "invalid_request", "Only generated files can be downloaded.")
        if not stored.active:
            raise GoogleRefusal(400, "invalid_request", f"The File {stored.id} is not in an ACTIVE state.",
                                rpc="FAILED_PRECONDITION")  # fmt: skip
        stored.job.downloads += 1
        if stored.job.downloads <= stored.job.script.expired:
            raise GoogleRefusal(404, "not_found", f"The File {stored.id} does not exist.")
        if request.query_params.get("alt") != "media":
            return JSONResponse({})
        return self._emulator.file(request, stored.data, stored.mime_type)

    async def _show(self, request: Request) -> Response:
        stored = self._found(request)
        stored.looks += 1
        return JSONResponse(stored.resource())

    async def _delete(self, request: Request) -> Response:
        del self._files[self._found(request).id]
        return JSONResponse({})

    async def _list(self, request: Request) -> Response:
        return JSONResponse({"files": [each.resource() for each in self._files.values() if not self._expired(each)]})


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
