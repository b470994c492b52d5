"""Cloud Storage: the part of its JSON API that takes objects in, shows, lists, gives and deletes them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route

from videogen_core.testing import VendorJob

from .answers import GoogleRefusal
from .media import bucket_and_name

if TYPE_CHECKING:
    from . import VeoEmulator

__all__ = ["Storage", "StoredObject"]

_OBJECT = "/storage/v1/b/{bucket}/o/{name:path}"
_GOOGLE = "https://www.googleapis.com"


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """A file in a bucket.

    Attributes:
        job: Of the vendor's own job that made it; None = a client uploaded it.
    """

    bucket: str
    name: str
    data: bytes = field(repr=False)
    mime_type: str
    generation: int
    created: float
    metadata: dict[str, str]
    job: VendorJob | None = None

    @cached_property
    def digests(self) -> dict[str, str]:
        """MD5 and CRC-32C, in base64."""
        return {"md5Hash": _md5(self.data), "crc32c": _crc32c(self.data)}

    def resource(self, api_url: str) -> dict[str, Any]:
        """As the API shows it."""
        path = f"/storage/v1/b/{self.bucket}/o/{quote(self.name, safe='')}"
        date = datetime.fromtimestamp(self.created, UTC).isoformat().replace("+00:00", "Z")
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{_GOOGLE}{path}",
            "mediaLink": f"{api_url}/download{path}?generation={self.generation}&alt=media",
            "name": self.name,
            "bucket": self.bucket,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.mime_type,
            "storageClass": "STANDARD",
            "size": str(len(self.data)),
            **self.digests,
            "etag": f"CP{self.generation}",
            "timeCreated": date,
            "updated": date,
            "metadata": self.metadata,
        }


@dataclass(kw_only=True)
class _Session:
    """A resumable upload that is under way."""

    bucket: str
    said: dict[str, Any]
    mime_type: str
    expected: str | None
    data: bytearray = field(default_factory=bytearray)


class Storage:
    """Every bucket with a valid name exists; the jobs may not write to one that is called ``…forbidden…``."""

    def __init__(self, emulator: VeoEmulator) -> None:
        self._emulator = emulator
        self.clear()

    def clear(self) -> None:
        """Forget all objects."""
        self._objects: dict[tuple[str, str], StoredObject] = {}
        self._sessions: dict[str, _Session] = {}
        self._generation = 1_700_000_000_000_000

    def routes(self) -> list[BaseRoute]:
        """Uploads, downloads and the care of objects."""
        route, upload = self._emulator.route, "/upload/storage/v1/b/{bucket}/o"
        return [
            route("upload", "POST", upload, self._upload),
            route("upload", "PUT", upload, self._chunk),
            _only_media(route("download", "GET", _OBJECT, self._download)),
            route("download", "GET", f"/download{_OBJECT}", self._download),
            route("other", "GET", _OBJECT, self._show),
            route("other", "DELETE", _OBJECT, self._delete),
            route("list", "GET", "/storage/v1/b/{bucket}/o", self._list),
            route("other", "GET", "/storage/v1/b/{bucket}", self._bucket),
        ]

    # --- what the rest of the emulator uses

    def read(self, uri: str, what: str) -> bytes:
        """The object that an input names.

        Raises:
            GoogleRefusal: 400: there is none.
        """
        found = self._objects.get(bucket_and_name(uri, what))
        if found is None:
            raise GoogleRefusal(400, "invalid_request", f"Invalid value at '{what}': no such object: {uri[:200]}")
        return found.data

    def deliver(self, uri: str, data: bytes, job: VendorJob) -> None:
        """Write what a job made, once."""
        bucket, name = bucket_and_name(uri, "storageUri")
        if (bucket, name) not in self._objects:
            self.put(bucket, name, data, "video/mp4", job=job)

    def uploaded(self) -> list[str]:
        """The addresses of what clients uploaded and have not deleted."""
        return [f"gs://{each.bucket}/{each.name}" for each in self._objects.values() if each.job is None]

    def put(
        self,
        bucket: str,
        name: str,
        data: bytes,
        mime_type: str,
        metadata: dict[str, str] | None = None,
        job: VendorJob | None = None,
    ) -> StoredObject:
        """Keep an object; without a job it counts as a client's."""
        self._generation += 1
        stored = StoredObject(
            bucket=bucket,
            name=name,
            data=data,
            mime_type=mime_type,
            generation=self._generation,
            created=self._emulator.clock.now(),
            metadata=metadata or {},
            job=job,
        )
        self._objects[bucket, name] = stored
        return stored

    # --- uploads

    async def _upload(self, request: Request) -> Response:
        bucket, query = request.path_params["bucket"], request.query_params
        bucket_and_name(f"gs://{bucket}/", "bucket")
        kind, body = query.get("uploadType"), await request.body()
        mime_type = request.headers.get("content-type", "application/octet-stream")
        said: dict[str, Any] = {}
        if kind == "multipart":
            said, mime_type, body = _related(mime_type, body)
        elif kind == "resumable":
            return self._begin(request, _object(body))
        elif kind != "media":
            raise GoogleRefusal(400, "invalid_request", "uploadType must be media, multipart or resumable.")
        return self._finish(bucket, said, mime_type, body, query.get("name"), query.get("ifGenerationMatch"))

    def _begin(self, request: Request, said: dict[str, Any]) -> Response:
        query, bucket = request.query_params, request.path_params["bucket"]
        said = {"name": query.get("name"), **said}
        mime_type = request.headers.get("x-upload-content-type", "application/octet-stream")
        upload_id = hashlib.sha256(f"{bucket}/{len(self._sessions)}/{self._emulator.seed}".encode()).hexdigest()
        expected = query.get("ifGenerationMatch")
        self._sessions[upload_id] = _Session(bucket=bucket, said=said, mime_type=mime_type, expected=expected)
        location = f"{self._emulator.api_url}{request.url.path}?uploadType=resumable&upload_id={upload_id}"
        return Response(status_code=200, headers={"location": location, "x-guploader-uploadid": upload_id})

    async def _chunk(self, request: Request) -> Response:
        session = self._sessions.get(request.query_params.get("upload_id", ""))
        if session is None:
            raise GoogleRefusal(404, "not_found", "There is no such upload.")
        found = re.fullmatch(r"bytes (\*|\d+-\d+)/(\*|\d+)", request.headers.get("content-range", ""))
        if found is None:
            raise GoogleRefusal(400, "invalid_request", "Failed to parse Content-Range header.")
        if found[1] != "*":
            if int(found[1].partition("-")[0]) != len(session.data):
                raise GoogleRefusal(503, "unavailable", "The chunk does not begin where the last one ended.")
            session.data += await request.body()
        if found[2] == "*" or len(session.data) < int(found[2]):
            kept = {"range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
            return Response(status_code=308, headers=kept)
        return self._finish(
            session.bucket, session.said, session.mime_type, bytes(session.data), None, session.expected
        )

    def _finish(
        self, bucket: str, said: dict[str, Any], mime_type: str, data: bytes, name: str | None, expected: str | None
    ) -> Response:
        name = said.get("name") or name
        if not isinstance(name, str) or not name:
            raise GoogleRefusal(400, "invalid_request", "Required parameter: name")
        present = self._objects.get((bucket, name))
        if expected is not None and expected != str(present.generation if present else 0):
            raise GoogleRefusal(412, "conflict", "At least one of the pre-conditions you specified did not hold.")
        for key, digest in (("md5Hash", _md5), ("crc32c", _crc32c)):
            if key in said and said[key] != digest(data):
                raise GoogleRefusal(400, "invalid_request", f"Provided {key} does not match the data.")
        stored = self.put(bucket, name, data, said.get("contentType") or mime_type, said.get("metadata"))
        return JSONResponse(stored.resource(self._emulator.api_url))

    # --- the rest

    def _found(self, request: Request) -> StoredObject:
        bucket, name = request.path_params["bucket"], request.path_params["name"]
        found = self._objects.get((bucket, name))
        wanted = request.query_params.get("generation")
        if found is None or wanted not in (None, str(found.generation)):
            raise GoogleRefusal(404, "not_found", f"No such object: {bucket}/{name}")
        return found

    async def _download(self, request: Request) -> Response:
        found = self._found(request)
        if found.job is not None:
            found.job.downloads += 1
            if found.job.downloads <= found.job.script.expired:
                raise GoogleRefusal(404, "not_found", f"No such object: {found.bucket}/{found.name}")
        response = self._emulator.file(request, found.data, found.mime_type)
        response.headers["x-goog-hash"] = "crc32c={crc32c},md5={md5Hash}".format_map(found.digests)
        response.headers["x-goog-generation"] = str(found.generation)
        return response

    async def _show(self, request: Request) -> Response:
        return JSONResponse(self._found(request).resource(self._emulator.api_url))

    async def _delete(self, request: Request) -> Response:
        found = self._found(request)
        del self._objects[found.bucket, found.name]
        return Response(status_code=204)

    async def _list(self, request: Request) -> Response:
        bucket, prefix = request.path_params["bucket"], request.query_params.get("prefix", "")
        found = [each for each in self._objects.values() if each.bucket == bucket and each.name.startswith(prefix)]
        items = [each.resource(self._emulator.api_url) for each in sorted(found, key=lambda each: each.name)]
        return JSONResponse({"kind": "storage#objects", "items": items} if items else {"kind": "storage#objects"})

    async def _bucket(self, request: Request) -> Response:
        bucket = request.path_params["bucket"]
        bucket_and_name(f"gs://{bucket}/", "bucket")
        return JSONResponse({"kind": "storage#bucket", "id": bucket, "name": bucket, "location": "US-CENTRAL1"})


class _MediaRoute(Route):
    """A path of which only the downloads are meant, so that a look at an object counts as none."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        if b"alt=media" not in scope.get("query_string", b""):
            return Match.NONE, {}
        return super().matches(scope)


def _only_media(route: Route) -> Route:
    return _MediaRoute(route.path, route.endpoint, methods=["GET"])


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body or b"{}")
    except ValueError as error:
        raise GoogleRefusal(400, "invalid_request", "Parse Error") from error
    if not isinstance(said, dict):
        raise GoogleRefusal(400, "invalid_request", "Parse Error")
    return said


def _related(content_type: str, body: bytes) -> tuple[dict[str, Any], str, bytes]:
    """What a ``multipart/related`` body says of the object, its type, and its bytes."""
    found = re.search(r'multipart/related;.*boundary="?([^";]+)"?', content_type)
    parts = (b"\r\n" + body).split(b"\r\n--" + found[1].encode("latin-1")) if found else []
    if len(parts) != 4 or not parts[3].startswith(b"--"):
        raise GoogleRefusal(400, "invalid_request", "Expected a multipart/related body of two parts.")
    said, (head, _, data) = parts[1].partition(b"\r\n\r\n")[2], parts[2].partition(b"\r\n\r\n")
    kind = re.search(rb"content-type: *(\S+)", head, re.I)
    return _object(said), kind[1].decode("latin-1") if kind else "application/octet-stream", data


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ 0x82F63B78 if number & 1 else number >> 1
        table.append(number)
    return table


_CRC = _crc_table()


def _crc32c(data: bytes) -> str:
    """Castagnoli's, which Google's library insists on; its own package is not asked for just for this."""
    table, crc = _CRC, 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return base64.b64encode((crc ^ 0xFFFFFFFF).to_bytes(4)).decode()
