"""Inputs on their way to Runway: by their address, inside the request, or uploaded first for a day."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import anyio

from videogen_core import (
    Context,
    InvalidMediaError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RequestError,
    SubmitCall,
)
from videogen_core.calls import call as http_call
from videogen_core.containers import sniff
from videogen_core.request import Media

from . import access
from .api import Api
from .bodies import endpoint

__all__ = ["Inputs", "check"]

_INLINE = 5_242_880
"""Characters of a data URI that every input takes; the general page has more for video, the SDK's pages do not."""
_LONGEST_URL, _LONGEST_UPLOAD_URI = 2048, 5000  # characters
_UPLOAD_SECONDS = 300.0
_PLACE_SECONDS = 30.0
_TRIES = 3
_PAUSE = 0.5  # seconds before the second upload, doubled before the next
_ENDINGS = {"video/quicktime": "mov", "video/x-matroska": "mkv"}


class Inputs:
    """Prepares the media of a request.

    Args:
        context: Of the session.
        api: Runway.
    """

    def __init__(self, context: Context, api: Api) -> None:
        self._api = api
        self._http = context.http()  # of its own: the key is for Runway, not for where uploads go
        self._secure = access.base_url(context.environment, context.settings).startswith("https://")

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def prepare(self, call: SubmitCall) -> dict[str, str]:
        """Every input as Runway takes it, in the order of the fields. Uploads need no removing: they are gone in a day.

        Raises:
            RequestError: An input cannot be sent.
            ProviderError: An upload failed.
        """
        return {name: await self._uri(call, name, media) for name, media in call.request.media()}

    async def _uri(self, call: SubmitCall, name: str, media: Media) -> str:
        if media.url is not None:
            return media.url
        data = await call.read(media)
        mime_type = sniff(data[:64]) or ("video/mp4" if name == "video" else "image/png")
        head = f"data:{mime_type};base64,"
        if len(head) + 4 * -(-len(data) // 3) <= _INLINE:
            return head + base64.b64encode(data).decode()
        return await self._upload(data, mime_type)

    async def _upload(self, data: bytes, mime_type: str) -> str:
        """Store a file at Runway. When its place does not take it, a new place is asked for."""
        for attempt in range(_TRIES):
            if attempt:
                await anyio.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                return await self._store(data, mime_type)
            except ProviderError as error:
                failure = error
                if not error.retryable:
                    break
        raise failure

    async def _store(self, data: bytes, mime_type: str) -> str:
        name = f"input.{_ENDINGS.get(mime_type, mime_type.partition('/')[2])}"
        asked = {"filename": name, "type": "ephemeral"}
        answer = await self._api.ask("POST", "/v1/uploads", "upload", _PLACE_SECONDS, body=asked)
        place = answer.json(dict[str, Any])
        url, fields, uri = place.get("uploadUrl"), place.get("fields"), place.get("runwayUri")
        if not (isinstance(url, str) and isinstance(fields, dict) and isinstance(uri, str)) or (
            self._secure and not url.startswith("https://")
        ):
            raise ProviderProtocolError("Runway's answer names no place for an upload.", provider="runway")
        stored = await http_call(
            self._http,
            "POST",
            url,
            provider="runway",
            action="upload",
            timeout=_UPLOAD_SECONDS,
            data={str(key): str(value) for key, value in fields.items()},
            files={"file": (name, data, mime_type)},
        )
        if not stored.ok:
            raise ProviderUnavailableError(
                f"Runway's store did not take an input (HTTP status {stored.status}).",
                provider="runway",
                status_code=stored.status,
                accepted=False,
            )
        return uri


# --- what the catalogue cannot say


def check(call: SubmitCall) -> None:
    """Refuse what Runway would refuse and no mode of the catalogue can say.

    Raises:
        RequestError: With what to do.
    """
    for name, media in call.request.media():
        if media.url is not None:
            _check_address(name, media.url)
    for name, address in _addresses(call.options):
        _check_address(f"options.runway.{name}", address)
    where = endpoint(call.request)
    only: dict[str, list[str]] = call.spec.vendor.get("only", {})
    for name, places in only.items():
        if call.options.get(name) is not None and where not in places:
            raise RequestError(
                f"options.runway.{name}: {call.spec.id} takes it for {', '.join(places)} only, this is {where}."
            )
    _check_profile(call.options)


def _addresses(options: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("reference_audio", "reference_videos"):
        yield from ((name, address) for address in options.get(name) or ())
    for frame in options.get("keyframes") or ():
        yield "keyframes", frame.get("uri") if isinstance(frame, dict) else None


def _check_address(field: str, address: Any) -> None:
    """Runway fetches inputs itself: from public hosts by name, over https, without redirects.

    Raises:
        InvalidMediaError: It would not fetch this one.
    """
    if not isinstance(address, str):
        raise InvalidMediaError(f"{field}: expected an address, got {type(address).__name__}.")
    scheme = address.partition(":")[0].lower()
    most = {"https": _LONGEST_URL, "runway": _LONGEST_UPLOAD_URI, "data": _INLINE}.get(scheme)
    hint = "Pass a file, or an https address."
    if most is None:
        raise InvalidMediaError(f"{field}: Runway takes https, runway and data addresses only.", hint=hint)
    if len(address) > most:
        raise InvalidMediaError(f"{field}: the address has {len(address):,} characters, at most {most:,}.", hint=hint)
    if scheme == "https" and not _is_name(urlsplit(address).hostname or ""):
        raise InvalidMediaError(f"{field}: Runway fetches from hosts by their public name only.", hint=hint)


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host.rstrip(".")
    return False


def _check_profile(options: dict[str, Any]) -> None:
    profile, form = options.get("prores_profile"), options.get("output_format")
    if profile is None:
        return
    if form not in ("prores", "hdr_prores"):
        raise RequestError(
            f"options.runway.prores_profile: it goes with ProRes, not with {form or 'mp4'}.",
            hint="Set output_format to 'prores' or 'hdr_prores' where the model has it.",
        )
    if form == "hdr_prores" and profile not in ("422", "422 HQ", "4444"):
        raise RequestError(
            f"options.runway.prores_profile: {profile!r} is not possible with hdr_prores; allowed: 422, 422 HQ, 4444."
        )
