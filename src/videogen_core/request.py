"""What a user asks for: one immutable `VideoRequest`, normalised, with its media references.

Nothing here reads a file or a clock. Facts about a media file (type, size, pixels) are filled in by ``media``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping, Set as AbstractSet
from enum import StrEnum
from itertools import islice
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from .errors import InvalidMediaError, RequestError

__all__ = ["MAX_PROMPT_CHARS", "Media", "Task", "VideoRequest"]

MAX_PROMPT_CHARS = 600_000
"""No model takes more (the largest documented limit is 131,072 tokens); longer text is refused unread."""

_RESOLUTION_ALIASES = {"2160p": "4k", "uhd": "4k", "1440p": "2k", "hd": "720p", "fullhd": "1080p", "fhd": "1080p"}
_RESOLUTION = re.compile(r"([1-9][0-9]{1,4}p|[1-9][0-9]?k|auto)")
_ASPECT = re.compile(r"([0-9]{1,5})[:/x]([0-9]{1,5})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_UNRECORDABLE = re.compile("[\x00\ud800-\udfff]")
_MAX_ADDRESS = 32_768  # characters of a path or URL
_MAX_ITEMS = 1_000  # reference images or camera moves; ends endless iterators
_MAX_OPTIONS = 100_000  # values in ``options``
_MAX_OPTION_DEPTH = 20


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
    CHANGE_FRAME_RATE = "change_frame_rate"
    CONVERT_TO_HDR = "convert_to_hdr"


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
        try:
            return cls._of(value, field)
        except InvalidMediaError:
            raise
        except Exception as error:  # whatever a foreign object raises when it is looked at
            raise InvalidMediaError(
                f"{field}: this {type(value).__name__} cannot be read ({type(error).__name__}).",
                hint="Pass a path, an http(s) URL, a data URI, bytes or a PIL image.",
            ) from error

    @classmethod
    def _of(cls, value: Any, field: str) -> Media:
        if isinstance(value, Media):
            if [value.path, value.url, value.data].count(None) != 2:
                raise InvalidMediaError(f"{field}: a Media has exactly one of path, url and data.")
            _refuse_user(value.url or "", field)
            return value
        if isinstance(value, (bytes, bytearray, memoryview)):
            return cls(data=_not_empty(bytes(value), field))
        if isinstance(value, os.PathLike):
            return cls(path=_address(os.fsdecode(value), field))
        if isinstance(value, str):
            return cls._of_text(str.__str__(value), field)
        if hasattr(value, "save") and hasattr(value, "mode"):  # a PIL image, without importing Pillow
            buffer = io.BytesIO()
            value.save(buffer, format="PNG")
            return cls(data=_not_empty(buffer.getvalue(), field))
        raise InvalidMediaError(
            f"{field}: expected a path, an http(s) URL, a data URI, bytes or a PIL image, got {type(value).__name__}."
        )

    @classmethod
    def _of_text(cls, value: str, field: str) -> Media:
        if not value.strip():
            raise InvalidMediaError(f"{field}: the path is empty.")
        if value[:5].lower() == "data:":
            return cls(data=_decode_data_uri(value, field))
        address = _address(value, field)
        if not _SCHEME.match(address):
            return cls(path=address)
        _refuse_user(address, field)
        return cls(url=address)

    def __repr__(self) -> str:
        """Without the bytes, and without what may be secret in an address."""
        known = [f"{name}={getattr(self, name)!r}" for name in ("mime_type", "size", "sha256") if getattr(self, name)]
        return f"Media({', '.join([self.label, *known])})"

    def __rich_repr__(self) -> list[Any]:
        return [self.label]

    @property
    def label(self) -> str:
        """How messages name it: the path, the URL without its secrets (user, query), or the byte count."""
        if self.path is not None:
            return self.path
        if self.url is not None:
            scheme, _, rest = re.split(r"[?#]", self.url, maxsplit=1)[0].partition("://")
            host, slash, path = rest.partition("/")
            return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
        return f"{len(self.data or b'')} bytes"

    @property
    def identity(self) -> str:
        """What tells it from other inputs without reading it: its hash where known, else its whole address."""
        if self.sha256 is not None:
            return self.sha256
        if self.data is not None:
            return hashlib.sha256(self.data).hexdigest()
        return self.url or self.path or ""


def _not_empty(data: bytes, field: str) -> bytes:
    if not data:
        raise InvalidMediaError(f"{field}: the bytes are empty.", hint="Pass the content of an image file.")
    return data


def _refuse_user(url: str, field: str) -> None:
    if "@" in re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]:
        raise InvalidMediaError(
            f"{field}: the address holds a user name or password, which the ledger would keep.",
            hint="Download it and pass the file instead.",
        )


def _address(text: str, field: str) -> str:
    """A path or URL that can be opened and recorded."""
    if len(text) > _MAX_ADDRESS:
        raise InvalidMediaError(
            f"{field}: {len(text):,} characters are no path or URL.",
            hint="Write Base64 text as a data URI: data:image/png;base64,…",
        )
    if _UNRECORDABLE.search(text):
        raise InvalidMediaError(
            f"{field}: the path or URL {shown_value(text)} is not valid text.", hint="Rename the file."
        )
    return text


def _decode_data_uri(uri: str, field: str) -> bytes:
    header, comma, body = uri.partition(",")
    try:
        if not comma:
            raise ValueError("no comma")
        if header.rstrip().lower().endswith(";base64"):
            data = base64.b64decode("".join(body.split()), validate=True)
        else:
            data = unquote_to_bytes(body)
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
            resolution=resolution_name(resolution),
            aspect_ratio=aspect_ratio_name(aspect_ratio),
            audio=_flag("audio", audio),
            fps=_number("fps", fps, "frames per second", below=1_000),
            seed=_integer("seed", seed, minimum=0, maximum=2**63 - 1),
            count=_integer("count", count, minimum=1, maximum=1_000) or 1,
            image=first,
            last_frame=last,
            reference_images=references,
            video=clip,
            negative_prompt=_text("negative_prompt", negative_prompt) or None,
            camera=_camera(camera),
            options=_options(options),
        )

    def given(self) -> dict[str, Any]:
        """The task and the fields that were set, as plain JSON data without media bytes."""
        return {"task": self.task.value, **self._plain(lambda media: media.label)}

    def fingerprint(self) -> str:
        """A sha256 over the canonical request, media by content hash where it is known."""
        return hashlib.sha256(
            msgspec.json.encode(self._plain(lambda media: media.identity), order="sorted")
        ).hexdigest()

    def _plain(self, name_of: Callable[[Media], str]) -> dict[str, Any]:
        bare = msgspec.structs.replace(self, image=None, last_frame=None, video=None, reference_images=())
        data: dict[str, Any] = msgspec.to_builtins(bare)
        for name in ("image", "last_frame", "video"):
            if (media := getattr(self, name)) is not None:
                data[name] = name_of(media)
        if self.reference_images:
            data["reference_images"] = [name_of(media) for media in self.reference_images]
        return data

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
        if not isinstance(task, str) or str.__str__(task) not in set(Task):
            raise RequestError(f"task: {shown_value(task)} is not a task.", hint=f"Allowed: {', '.join(Task)}.")
        return Task(str.__str__(task))
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
    text = str.__str__(value)
    if len(text) > MAX_PROMPT_CHARS:
        raise RequestError(
            f"{field}: {len(text):,} characters is more than any model takes ({MAX_PROMPT_CHARS:,}).",
            hint="Shorten it; most models stop between 1,000 and 4,000 characters.",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(f"{field}: it holds half of a surrogate pair at position {error.start}.") from error
    if "\x00" in text:
        raise RequestError(f"{field}: it holds a NUL character.")
    return text


def _number(field: str, value: Any, unit: str, *, below: float) -> float | None:
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except Exception:  # a foreign object may raise anything
        number = math.nan
    if not 0 < number < below:
        raise RequestError(f"{field}: expected a positive number of {unit} below {below:,g}, got {shown_value(value)}.")
    return number


def _integer(field: str, value: Any, *, minimum: int, maximum: int) -> int | None:
    if value is None:
        return None
    try:
        whole = isinstance(value, float) and value.is_integer()
        number = None if isinstance(value, bool) else int(value) if whole else operator.index(value)
    except Exception:  # a foreign object may raise anything
        number = None
    if number is None or not minimum <= number <= maximum:
        raise RequestError(f"{field}: expected a whole number from {minimum} to {maximum}, got {shown_value(value)}.")
    return int(number)


def _flag(field: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise RequestError(f"{field}: expected True or False, got {shown_value(value)}.")


def resolution_name(value: Any) -> str | None:
    """The one spelling of a resolution: ``4k`` for ``2160p`` or ``4K``."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 100_000:
        value = f"{int(value)}p"
    text = _word(value)
    text = _RESOLUTION_ALIASES.get(text, text)
    if not _RESOLUTION.fullmatch(text):
        raise RequestError(
            f"resolution: expected a name such as '720p' or '4k', got {shown_value(value)}.",
            hint="Give the shape separately: resolution='720p', aspect_ratio='9:16'.",
        )
    return text


def aspect_ratio_name(value: Any) -> str | None:
    """The one spelling of an aspect ratio: ``16:9`` for ``16x9``."""
    if value is None:
        return None
    text = _word(value)
    if text in ("auto", "adaptive"):
        return "auto"
    match = _ASPECT.fullmatch(text)
    if not match or not int(match[1]) or not int(match[2]):
        raise RequestError(f"aspect_ratio: expected something like '16:9', got {shown_value(value)}.")
    return f"{int(match[1])}:{int(match[2])}"


def _word(value: Any) -> str:
    """Short text in lower case without spaces around it; empty when it is none."""
    text = str.__str__(value) if isinstance(value, str) else ""
    return text.strip().lower() if len(text) <= 100 else ""


def _items(field: str, value: Any, what: str) -> list[Any]:
    """The members of an ordered, finite collection."""
    wrong = f"{field}: expected a list of {what}, got {type(value).__name__}."
    if isinstance(value, (str, bytes, bytearray, memoryview, os.PathLike, Media, Mapping, AbstractSet)):
        raise RequestError(wrong)
    try:
        items = list(islice(iter(value), _MAX_ITEMS + 1))
    except Exception as error:  # not iterable, or a foreign object that raises while it is read
        raise RequestError(wrong) from error
    if len(items) > _MAX_ITEMS:
        raise RequestError(f"{field}: more than {_MAX_ITEMS} {what}.")
    return items


def _camera(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    moves = [value] if isinstance(value, str) else _items("camera", value, "moves")
    cleaned = [" ".join(_word(move).split()) for move in moves]
    if not all(move.isprintable() and move for move in cleaned):
        raise RequestError(f"camera: expected moves such as ['push in', 'pan left'], got {shown_value(value)}.")
    return tuple(cleaned)


def _options(value: Any) -> dict[str, dict[str, Any]]:
    if value is None:
        return {}
    try:
        plain = _Plain().copy(value, "options")
    except RequestError:
        raise
    except Exception as error:  # a foreign mapping may raise anything
        raise RequestError(f"options: this {type(value).__name__} cannot be read.") from error
    if not isinstance(plain, dict) or not all(isinstance(item, dict) for item in plain.values()):
        raise RequestError(
            f"options: expected a dict per provider, got {shown_value(value)}.",
            hint="Write options={'veo': {'person_generation': 'allow_adult'}}.",
        )
    return {key: item for key, item in plain.items() if item}


class _Plain:
    """Copies JSON-like data; anything that JSON could only hold by changing it is refused, with its place."""

    def __init__(self) -> None:
        self.seen = 0

    def copy(self, value: Any, place: str, depth: int = 0) -> Any:
        self.seen += 1
        if depth > _MAX_OPTION_DEPTH or self.seen > _MAX_OPTIONS:
            raise RequestError(f"options: too large or too deeply nested at {place[:80]}.")
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _text(place, value)
        if isinstance(value, int):
            if not -(2**63) <= value < 2**64:
                raise RequestError(f"{place}: the number has more than 64 bits.")
            return int(value)
        if isinstance(value, float):
            if not math.isfinite(value):
                raise RequestError(f"{place}: NaN and infinity are not numbers that a provider can take.")
            return float(value)
        if isinstance(value, Mapping):
            return {
                self._key(key, place): self.copy(item, f"{place}.{key}"[:200], depth + 1) for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.copy(item, f"{place}[{i}]", depth + 1) for i, item in enumerate(value)]
        raise RequestError(
            f"{place}: {type(value).__name__} is not plain data.",
            hint="Options hold text, numbers, True, False, None, lists and dicts.",
        )

    @staticmethod
    def _key(key: Any, place: str) -> str:
        if not isinstance(key, str):
            raise RequestError(f"{place}: keys are text, got {shown_value(key)}.")
        return _text(place, key) or ""


def _media_list(value: Any) -> tuple[Media, ...]:
    if value is None:
        return ()
    items = _items("reference_images", value, "images")
    return tuple(Media.of(item, field=f"reference_images[{i}]") for i, item in enumerate(items))


def shown_value(value: Any) -> str:
    """A value for a message, short, whatever it is."""
    try:
        text = repr(value[:100]) if isinstance(value, (str, bytes)) else repr(value)
        text = text.encode("utf-8", "backslashreplace").decode()
    except Exception:  # a foreign object may raise anything
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"
