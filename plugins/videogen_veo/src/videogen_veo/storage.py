"""Files that go to Google and come from it: the Files API of the Gemini API, and buckets of Cloud Storage."""

from __future__ import annotations

import io
import re
from itertools import chain, repeat
from typing import Any
from urllib.parse import quote, urlsplit

import anyio

from videogen_core import Context, GenerationFailedError, ProviderError, ProviderProtocolError, ResultExpiredError
from videogen_core.calls import call, get_with_retry

from . import access
from .clients import Clients

__all__ = ["Buckets", "Files", "bucket_of", "needs_credentials"]

_FILE = re.compile(r"/files/([A-Za-z0-9_-]{1,128})")
_REPORT = "It may be charged: look at the console of your project, and report it to Google with the interaction's id."
_UPLOAD_SECONDS = 600.0
_PROCESSING_SECONDS = 300.0
_LOOKS = (0.1, 0.3, 1.0)  # seconds between looks at an upload, the last one for ever


class Files:
    """The Files API: what is uploaded lives for two days, and is removed when the job is over.

    Args:
        context: Of the session.
        clients: For the SDK and the HTTP client.
    """

    def __init__(self, context: Context, clients: Clients) -> None:
        self._context = context
        self._clients = clients
        base = context.environment.get("GOOGLE_GEMINI_BASE_URL") or "https://generativelanguage.googleapis.com"
        self._base = base.rstrip("/")

    async def upload(self, data: bytes, mime_type: str) -> tuple[str, str]:
        """Upload a file and wait until it can be used.

        Returns:
            Its name, for `remove`, and its address, for a request.

        Raises:
            ProviderError: It was not taken.
        """
        client = await self._clients.get("gemini")
        with anyio.fail_after(_UPLOAD_SECONDS):
            file = await client.aio.files.upload(file=io.BytesIO(data), config={"mime_type": mime_type})
        name = str(file.name)
        try:
            pauses = chain(_LOOKS, repeat(_LOOKS[-1]))
            with anyio.fail_after(_PROCESSING_SECONDS):
                while (state := _state(file)) == "PROCESSING":
                    await anyio.sleep(next(pauses))
                    file = await client.aio.files.get(name=name)
        except BaseException:
            with anyio.CancelScope(shield=True), anyio.move_on_after(5):
                await self.remove(name)
            raise
        if state != "ACTIVE" or not file.uri:
            await self.remove(name)
            raise ProviderError(f"Google could not read the uploaded file ({state}).", provider="veo", accepted=False)
        return name, str(file.uri)

    async def remove(self, name: str) -> None:
        """Delete a file."""
        client = await self._clients.get("gemini")
        await client.aio.files.delete(name=name)

    async def ready(self, uri: str) -> bool:
        """Whether a file that a model has made can be fetched.

        Raises:
            ResultExpiredError: It is gone.
            GenerationFailedError: It could not be made.
        """
        answer = await get_with_retry(
            self._clients.http, f"{self._base}/v1/files/{_id(uri)}", provider="veo", action="look at the file",
            headers=self._headers(),
        )  # fmt: skip
        if answer.status in (403, 404):  # Google says 403 of files that it no longer has
            raise ResultExpiredError("The Files API no longer has the clip; it keeps one for two days.")
        if not answer.ok:
            raise answer.error()
        state = answer.json(dict[str, Any]).get("state", "ACTIVE")
        if state == "FAILED":
            raise GenerationFailedError(
                "Google made the clip and could not store it.", provider="veo", charged=True, hint=_REPORT
            )
        return bool(state == "ACTIVE")

    def download(self, uri: str) -> tuple[str, dict[str, str]]:
        """Where to fetch a file, and the headers for that origin.

        Only the id is taken from the address: the key goes to the host of the API and nowhere else.
        """
        return f"{self._base}/v1/files/{_id(uri)}:download?alt=media", self._headers()

    def _headers(self) -> dict[str, str]:
        key = access.api_key(self._context.environment, self._context.settings)
        return {"x-goog-api-key": key} if key else {}


def _state(file: Any) -> str:
    state = getattr(file, "state", None)
    return str(getattr(state, "value", state) or "ACTIVE")


def needs_credentials(uri: str) -> bool:
    """Whether an address is in a bucket or of the Files API; any other is fetched as it is, without key or token."""
    return uri.startswith("gs://") or _FILE.search(urlsplit(uri).path) is not None


def _id(uri: str) -> str:
    found = _FILE.search(urlsplit(uri).path)
    assert found is not None, "see needs_credentials"
    return found[1]


# --- buckets


def bucket_of(uri: str) -> tuple[str, str]:
    """Bucket and object of a gs:// address.

    Raises:
        ProviderProtocolError: It is none.
    """
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not (uri.startswith("gs://") and bucket and name):
        raise ProviderProtocolError(f"{uri[:200]!r} is no address of an object in a bucket.", provider="veo")
    return bucket, name


class Buckets:
    """Cloud Storage, over its JSON API.

    Args:
        context: Of the session.
        clients: For tokens and the HTTP client.
    """

    def __init__(self, context: Context, clients: Clients) -> None:
        self._clients = clients
        self._base = (context.environment.get("STORAGE_EMULATOR_HOST") or "https://storage.googleapis.com").rstrip("/")
        if "://" not in self._base:
            self._base = f"http://{self._base}"

    async def upload(self, uri: str, data: bytes, mime_type: str) -> None:
        """Write an object.

        Raises:
            ProviderError: It was not taken; the account may lack the right to write.
        """
        bucket, name = bucket_of(uri)
        answer = await call(
            self._clients.http,
            "POST",
            f"{self._base}/upload/storage/v1/b/{bucket}/o",
            provider="veo",
            action="upload to the bucket",
            timeout=_UPLOAD_SECONDS,
            params={"uploadType": "media", "name": name},
            content=data,
            headers={**await self.headers(), "Content-Type": mime_type},
        )
        if not answer.ok:
            raise answer.error()

    async def remove(self, uri: str) -> None:
        """Delete an object."""
        await call(
            self._clients.http, "DELETE", self._object(uri), provider="veo", action="clean up",
            headers=await self.headers(),
        )  # fmt: skip

    async def download(self, uri: str) -> tuple[str, dict[str, str]]:
        """Where to fetch an object, and the headers for that origin."""
        return f"{self._object(uri)}?alt=media", await self.headers()

    async def headers(self) -> dict[str, str]:
        """What a request to a bucket must carry."""
        return {"Authorization": f"Bearer {await self._clients.token()}"}

    def _object(self, uri: str) -> str:
        bucket, name = bucket_of(uri)
        return f"{self._base}/storage/v1/b/{bucket}/o/{quote(name, safe='')}"
