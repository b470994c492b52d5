"""Images, clips and sounds on their way to MiniMax: addresses as they are, everything else inside the request."""

from __future__ import annotations

import base64
from typing import Any

from videogen_core import RequestError, SubmitCall, Task
from videogen_core.containers import sniff
from videogen_core.request import Media

__all__ = ["LARGEST_REQUEST", "check", "prepare"]

LARGEST_REQUEST = 64 * 1024**2
"""Bytes of a request on V2. For V1 nothing is documented beside the limit of an image."""
_BESIDE_INPUTS = 1024**2  # bytes of a request that are not media, at most


async def prepare(call: SubmitCall) -> dict[str, Any]:
    """Every input as MiniMax takes it: the user's own address, or a data URL.

    Returns:
        ``image``, ``last_frame`` and ``video`` by name, ``reference_images`` as a list.

    Raises:
        RequestError: Together they are too large for one request.
    """
    found: dict[str, Any] = {}
    for name, media in call.request.media():
        address = await _address(call, name, media)
        if name.startswith("reference_images"):
            found.setdefault("reference_images", []).append(address)
        else:
            found[name] = address
    size = sum(len(text) for item in found.values() for text in (item if isinstance(item, list) else [item]))
    if size > LARGEST_REQUEST - _BESIDE_INPUTS:
        raise RequestError(
            f"The inputs are {size:,} bytes as MiniMax takes them; a request has at most {LARGEST_REQUEST:,}.",
            hint="Pass https addresses instead of files, or smaller files.",
        )
    return found


async def _address(call: SubmitCall, name: str, media: Media) -> str:
    if media.url is not None:
        return media.url
    data = await call.read(media)
    kind = sniff(data[:64]) or ("video/mp4" if name == "video" else "image/jpeg")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def check(call: SubmitCall) -> None:
    """Refuse what no row of a catalogue can say.

    Raises:
        RequestError: With what to do.
    """
    request = call.request
    if request.seed is not None and request.task is Task.UPSCALE_VIDEO:
        raise RequestError("seed: a clip that is made once more takes none.", hint="Leave it out.")
    sounds = call.options.get("reference_audio") or []
    if not all(isinstance(sound, str) and sound.startswith(("https://", "http://", "mm_file://")) for sound in sounds):
        raise RequestError(
            "options.minimax.reference_audio: expected addresses.", hint="Write https://… or mm_file://… for each."
        )
    if sounds and not (request.task is Task.REFERENCE_TO_VIDEO or request.reference_images):
        raise RequestError(
            f"options.minimax.reference_audio: {request.task.value} takes no sounds.",
            hint="They go with reference images or a reference video: task='reference_to_video'.",
        )
