"""Inputs on their way to Google: in the request itself, by an address, or uploaded first and removed afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import anyio

from videogen_core import Context, RequestError, SubmitCall
from videogen_core.containers import sniff
from videogen_core.request import Media

from .access import Access
from .clients import Clients
from .failures import failure
from .storage import Buckets, Files

__all__ = ["Inputs", "check"]

_INLINE = 12_000_000
"""Bytes of media that go into a request of the Gemini API, which takes 20 MB with Base64."""
_MIME_TYPES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp",
    "mp4": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
}  # fmt: skip
_EARLIER = "interaction://"


class Inputs:
    """Prepares the media of a request.

    Args:
        context: Of the session.
        clients: For Google's SDK.
        files: Of the Gemini API.
        buckets: Of Vertex AI.
    """

    def __init__(self, context: Context, clients: Clients, files: Files, buckets: Buckets) -> None:
        self._context = context
        self._clients = clients
        self._files = files
        self._buckets = buckets

    async def prepare(self, call: SubmitCall, reach: Access) -> dict[str, Any]:
        """Every input, in the order of the fields, and what was uploaded for it.

        Returns:
            ``inputs``: by field ``{"data" or "uri": ..., "mime_type": ...}``, or ``{"interaction": id}``; ``uploads``:
            what `clean_up` is to remove.

        Raises:
            RequestError: An input cannot be sent to this API.
            ProviderError: An upload failed.
        """
        uploads: list[str] = []
        fault: BaseException
        try:
            inputs = {
                name: await self._prepared(call, reach, name, media, uploads) for name, media in call.request.media()
            }
        except Exception as error:
            fault = failure(error, action="upload")
        except BaseException as stop:
            fault = stop
        else:
            return {"inputs": inputs, "uploads": uploads}
        with anyio.CancelScope(shield=True), anyio.move_on_after(5):
            await self.clean_up({"uploads": uploads})
        raise fault

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        """Remove what was uploaded."""
        for name in leftovers.get("uploads", ()):
            with suppress(Exception):  # the others are to go, too
                await (self._buckets.remove(name) if name.startswith("gs://") else self._files.remove(name))

    async def _prepared(
        self, call: SubmitCall, reach: Access, name: str, media: Media, uploads: list[str]
    ) -> dict[str, Any]:
        url = media.url or ""
        if url.startswith(_EARLIER):
            return {"interaction": url.removeprefix(_EARLIER)}
        if url.startswith("gs://"):
            return {"uri": url, "mime_type": _type_by_name(url, name)}
        folder = self._staging(call) if name == "video" and reach.backend == "vertex" else None
        data = await call.read(media)
        mime_type = sniff(data[:64]) or ("video/mp4" if name == "video" else "image/png")
        if folder is not None:
            uri = f"{folder}videogen-{uuid.uuid4().hex}.{mime_type.partition('/')[2]}"
            uploads.append(uri)  # before it is there: a broken upload may have arrived
            await self._buckets.upload(uri, data, mime_type)
        elif reach.backend == "gemini" and (name == "video" or _weight(call) > _INLINE):
            file, uri = await self._files.upload(data, mime_type)
            uploads.append(file)
        else:
            return {"data": data, "mime_type": mime_type}
        return {"uri": uri, "mime_type": mime_type}

    def _staging(self, call: SubmitCall) -> str | None:
        """The folder of a bucket for a video; None = it goes into the request."""
        folder = self._context.settings.get("staging_gcs_uri") or call.options.get("output_gcs_uri")
        return f"{str(folder).rstrip('/')}/" if folder else None


def _weight(call: SubmitCall) -> int:
    """Bytes of all inputs; one of unknown size counts as too large."""
    return sum(media.size or _INLINE + 1 for _, media in call.request.media())


def _type_by_name(url: str, name: str) -> str:
    """The type of an object in a bucket: Vertex AI must be told, and nobody has looked.

    Raises:
        RequestError: The name does not tell.
    """
    found = _MIME_TYPES.get(url.rpartition("/")[2].rpartition(".")[2].lower(), "")
    if not found.startswith("video/" if name == "video" else "image/"):
        raise RequestError(
            f"{name}: the name of {url[:200]} does not tell what it is.",
            hint=f"Give it one of the endings {', '.join(_MIME_TYPES)}.",
        )
    return found


def check(call: SubmitCall, reach: Access) -> None:
    """Refuse what depends on the API that serves the model, and so cannot be in the catalogue.

    Raises:
        RequestError: With what to do.
    """
    bucket = call.options.get("output_gcs_uri")
    if bucket and not str(bucket).startswith("gs://"):
        raise RequestError(
            f"options.veo.output_gcs_uri: {bucket!r} is no gs:// address.", hint="Write gs://bucket/folder/."
        )
    in_buckets = [name for name, media in call.request.media() if (media.url or "").startswith("gs://")]
    in_buckets += ["options.veo.output_gcs_uri"] if bucket else []
    if in_buckets and reach.backend == "gemini":
        raise RequestError(
            f"{in_buckets[0]}: the Gemini API knows no buckets.",
            hint="Pass a file, or use Vertex AI: backend = 'vertex' under [providers.veo].",
        )
    if call.options.get("resize_mode") and call.request.image is None:
        raise RequestError("options.veo.resize_mode: it is for a first frame, and there is none.", hint="Leave it out.")
    if call.options.get("delivery") == "uri" and reach.backend == "vertex" and not bucket:
        raise RequestError("options.veo.delivery: on Vertex AI a file needs output_gcs_uri.", hint="Give a bucket.")
