"""What a user asks for: one immutable `VideoRequest`, normalised, with its media references.

Nothing here reads a file or a clock. Facts about a media file (type, size, pixels) are filled in by ``media``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import math
import os
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from .errors import InvalidMediaError, RequestError

__all__ = ["MAX_PROMPT_CHARS", "Media", "Task", "VideoRequest"]

MAX_PROMPT_CHARS = 200_000
"""No model takes more (the largest documented limit is 131,072 tokens); longer text is refused unread."""

_RESOLUTION_ALIASES = {"2160p": "4k", "uhd": "4k", "1440p": "2k", "hd": "720p", "fullhd": "1080p", "fhd": "1080p"}
_RESOLUTION = re.compile(r"^(\d{2,5}p|\d{1,2}k|auto)$")
_ASPECT = re.compile(r"^(\d{1,5})[:/x](\d{1,5})$")


class Task(StrEnum):
    """The kind of work."""

    TEXT_TO_VIDEO = "text_to_video"
    IMAGE_TO_VIDEO = "image_to_video"
    FIRST_LAST_FRAME = "first_last_frame"
    REFERENCE_TO_VIDEO = "reference_to_video"
    EXTEND_VIDEO = "extend_video"
    EDIT_VIDEO = "edit_video"
    UPSCALE_VIDEO = "upscale_video"
    ANIMATE_CHARACTER = "animate_character"


class Media(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reference to an input image or video; exactly one of ``path``, ``url`` and ``data`` is set.

    Attributes:
        path: File on this machine.
        url: ``https://``, ``http://``, or a scheme that a provider knows (``gs://``, ``runway://``).
        data: The bytes themselves.
        mime_type: Sniffed from the bytes, never from the name; None until inspected.
        size: Bytes; None until inspected.
        width: Pixels; None until inspected.
        height: Pixels; None until inspected.
        duration: Seconds, of a video; None until inspected.
        sha256: Of the bytes; None until inspected.
    """

    path: str | None = None
    url: str | None = None
    data: bytes | None = None
    mime_type: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, value: Any, *, field: str = "image") -> Media:
        """Turn a path, URL, data URI, bytes or PIL image into a `Media`.

        Raises:
            InvalidMediaError: The value is none of these, or a data URI that cannot be decoded.
        """
        if isinstance(value, Media):
            return value
        if isinstance(value, (bytes, bytearray, memoryview)):
            if not len(value):
                raise InvalidMediaError(f"{field}: the bytes are empty.", hint="Pass the content of an image file.")
            return cls(data=bytes(value))
        if isinstance(value, os.PathLike):
            return cls(path=os.fspath(value))
        if isinstance(value, str):
            return cls._of_text(value, field)
        if hasattr(value, "save") and hasattr(value, "mode"):  # a PIL image, without importing Pillow
            buffer = io.BytesIO()
            value.save(buffer, format="PNG")
            return cls(data=buffer.getvalue())
        raise InvalidMediaError(
            f"{field}: expected a path, an http(s) URL, a data URI, bytes or a PIL image, got {type(value).__name__}."
        )

    @classmethod
    def _of_text(cls, value: str, field: str) -> Media:
        if not value.strip():
            raise InvalidMediaError(f"{field}: the path is empty.")
        if value.startswith("data:"):
            return cls(data=_decode_data_uri(value, field))
        if re.match(r"^[A-Za-z][A-Za-z0-9+.-]+://", value):
            return cls(url=value)
        return cls(path=value)

    @property
    def label(self) -> str:
        """How messages name it: the path, the URL without its query, or the byte count."""
        if self.path is not None:
            return self.path
        if self.url is not None:
            return self.url.partition("?")[0]
        return f"{len(self.data or b'')} bytes"


def _decode_data_uri(uri: str, field: str) -> bytes:
    header, comma, body = uri.partition(",")
    try:
        if not comma:
            raise ValueError("no comma")
        data = base64.b64decode(body, validate=True) if header.endswith(";base64") else unquote_to_bytes(body)
    except (ValueError, binascii.Error) as error:
        raise InvalidMediaError(
            f"{field}: the data URI cannot be decoded.", hint="Write data:image/png;base64,…"
        ) from error
    if not data:
        raise InvalidMediaError(f"{field}: the data URI is empty.")
    return data


class VideoRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The clip that is wanted, whoever makes it.

    Build it with `VideoRequest.make`, which normalises and checks; a field left None takes the model's default.

    Attributes:
        prompt: What to show.
        task: Kind of work; worked out from the inputs when not given.
        duration: Seconds.
        resolution: Name such as ``720p``, ``1080p``, ``4k``.
        aspect_ratio: Such as ``16:9``.
        audio: Whether the clip has sound.
        fps: Frames per second.
        seed: Random seed.
        count: How many clips.
        image: First frame.
        last_frame: Last frame.
        reference_images: Images that guide the look, not a frame.
        video: Clip to extend, edit or upscale.
        negative_prompt: What to avoid.
        camera: Neutral camera moves, such as ``push in``.
        options: Provider-specific options: ``{"veo": {"person_generation": "allow_adult"}}``.
    """

    prompt: str = ""
    task: Task = Task.TEXT_TO_VIDEO
    duration: float | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    audio: bool | None = None
    fps: float | None = None
    seed: int | None = None
    count: int = 1
    image: Media | None = None
    last_frame: Media | None = None
    reference_images: tuple[Media, ...] = ()
    video: Media | None = None
    negative_prompt: str | None = None
    camera: tuple[str, ...] = ()
    options: dict[str, dict[str, Any]] = {}

    @classmethod
    def make(
        cls,
        prompt: str | None = None,
        *,
        task: str | Task | None = None,
        duration: float | str | None = None,
        resolution: str | int | None = None,
        aspect_ratio: str | None = None,
        audio: bool | None = None,
        fps: float | None = None,
        seed: int | None = None,
        count: int = 1,
        image: Any = None,
        last_frame: Any = None,
        reference_images: Iterable[Any] | None = None,
        video: Any = None,
        negative_prompt: str | None = None,
        camera: str | Iterable[str] | None = None,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> VideoRequest:
        """Check and normalise the arguments of a call.

        Raises:
            RequestError: An argument has the wrong type or is out of any model's range.
            InvalidMediaError: A media argument is not a media reference.
        """
        first = None if image is None else Media.of(image, field="image")
        last = None if last_frame is None else Media.of(last_frame, field="last_frame")
        references = _media_list(reference_images)
        clip = None if video is None else Media.of(video, field="video")
        return cls(
            prompt=_text("prompt", prompt) or "",
            task=_task(task, first, last, references, clip),
            duration=_number("duration", duration, "seconds", below=86_400),
            resolution=_resolution(resolution),
            aspect_ratio=_aspect_ratio(aspect_ratio),
            audio=_flag("audio", audio),
            fps=_number("fps", fps, "frames per second", below=1_000),
            seed=_integer("seed", seed, minimum=0, maximum=2**63 - 1),
            count=_integer("count", count, minimum=1, maximum=1_000) or 1,
            image=first,
            last_frame=last,
            reference_images=references,
            video=clip,
            negative_prompt=_text("negative_prompt", negative_prompt),
            camera=_camera(camera),
            options=_options(options),
        )

    def given(self) -> dict[str, Any]:
        """The fields that were set, as plain JSON data without media bytes."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("image", "last_frame", "video"):
            if (media := getattr(self, name)) is not None:
                data[name] = media.label
        if self.reference_images:
            data["reference_images"] = [media.label for media in self.reference_images]
        return data

    def fingerprint(self) -> str:
        """A sha256 over the canonical request, media by content hash where it is known."""
        data = self.given()
        for name in ("image", "last_frame", "video"):
            if (media := getattr(self, name)) is not None:
                data[name] = media.sha256 or media.label
        if self.reference_images:
            data["reference_images"] = [media.sha256 or media.label for media in self.reference_images]
        return hashlib.sha256(msgspec.json.encode(data, order="sorted")).hexdigest()

    def media(self) -> list[tuple[str, Media]]:
        """Every input with its field name, in a fixed order."""
        named = [("image", self.image), ("last_frame", self.last_frame), ("video", self.video)]
        found = [(name, media) for name, media in named if media is not None]
        found += [(f"reference_images[{i}]", media) for i, media in enumerate(self.reference_images)]
        return found


def _task(
    task: str | Task | None, image: Media | None, last: Media | None, references: tuple[Media, ...], video: Media | None
) -> Task:
    if task is not None:
        try:
            return Task(task)
        except ValueError as error:
            raise RequestError(f"task: {task!r} is not a task.", hint=f"Allowed: {', '.join(Task)}.") from error
    if video is not None:
        return Task.EDIT_VIDEO
    if last is not None:
        return Task.FIRST_LAST_FRAME
    if references:
        return Task.REFERENCE_TO_VIDEO
    return Task.TEXT_TO_VIDEO if image is None else Task.IMAGE_TO_VIDEO


def _text(field: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise RequestError(f"{field}: expected text, got {type(value).__name__}.")
    if len(value) > MAX_PROMPT_CHARS:
        raise RequestError(
            f"{field}: {len(value):,} characters is more than any model takes ({MAX_PROMPT_CHARS:,}).",
            hint="Shorten it; most models stop between 1,000 and 4,000 characters.",
        )
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(f"{field}: it holds half of a surrogate pair at position {error.start}.") from error
    if "\x00" in value:
        raise RequestError(f"{field}: it holds a NUL character.")
    return value


def _number(field: str, value: Any, unit: str, *, below: float) -> float | None:
    if value is None:
        return None
    wrong = RequestError(f"{field}: expected a positive number of {unit}, got {_shown(value)}.")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)) and not hasattr(value, "__float__"):
        raise wrong
    try:
        number = float(value)
    except (ValueError, OverflowError, TypeError) as error:
        raise wrong from error
    if not math.isfinite(number) or not 0 < number < below:
        raise wrong
    return number


def _integer(field: str, value: Any, *, minimum: int, maximum: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise RequestError(f"{field}: expected a whole number from {minimum} to {maximum}, got {_shown(value)}.")
    return value


def _flag(field: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise RequestError(f"{field}: expected True or False, got {_shown(value)}.")


def _resolution(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value}p"
    text = value.strip().lower() if isinstance(value, str) else ""
    text = _RESOLUTION_ALIASES.get(text, text)
    if not _RESOLUTION.match(text):
        raise RequestError(
            f"resolution: expected a name such as '720p' or '4k', got {_shown(value)}.",
            hint="Give the shape separately: resolution='720p', aspect_ratio='9:16'.",
        )
    return text


def _aspect_ratio(value: Any) -> str | None:
    if value is None:
        return None
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in ("auto", "adaptive"):
        return "auto"
    match = _ASPECT.match(text)
    if not match or not int(match[1]) or not int(match[2]):
        raise RequestError(f"aspect_ratio: expected something like '16:9', got {_shown(value)}.")
    return f"{int(match[1])}:{int(match[2])}"


def _camera(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    moves = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    cleaned = [" ".join(move.lower().split()) if isinstance(move, str) else "" for move in moves]
    if not all(cleaned):
        raise RequestError(f"camera: expected moves such as ['push in', 'pan left'], got {_shown(value)}.")
    return tuple(cleaned)


def _options(value: Any) -> dict[str, dict[str, Any]]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(key, str) and isinstance(item, Mapping) and all(isinstance(name, str) for name in item)
        for key, item in value.items()
    ):
        raise RequestError(
            f"options: expected a dict per provider, got {_shown(value)}.",
            hint="Write options={'veo': {'person_generation': 'allow_adult'}}.",
        )
    try:
        plain: dict[str, dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise RequestError(f"options: not plain data ({error}).") from error
    if _has_null_number(value):
        raise RequestError("options: NaN and infinity are not numbers that a provider can take.")
    return {key: item for key, item in plain.items() if item}


def _has_null_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(_has_null_number(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_null_number(item) for item in value)
    return False


def _media_list(value: Any) -> tuple[Media, ...]:
    if value is None:
        return ()
    if isinstance(value, (str, bytes, os.PathLike, Media)) or not isinstance(value, Iterable):
        raise RequestError(f"reference_images: expected a list of images, got {type(value).__name__}.")
    return tuple(Media.of(item, field=f"reference_images[{i}]") for i, item in enumerate(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
