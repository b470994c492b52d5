"""The ``content`` of V2: a text, and media with their roles, judged together."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import msgspec

from .answers import invalid
from .media import V2, Picture, clip_of, picture_of
from .models import V2Model

__all__ = ["Content", "Given", "contents", "judged"]

_ROLES = {
    "image_url": ("first_frame", "last_frame", "reference_image"),
    "video_url": ("reference_video", "base_video"),
    "audio_url": ("reference_audio",),
}
_MOST = {
    "first_frame": 1,
    "last_frame": 1,
    "reference_image": 9,
    "reference_video": 3,
    "reference_audio": 3,
    "base_video": 1,
}
_MOST_FILES = 12
_FRAMES = ("first_frame", "last_frame")
_UNKNOWN_SECONDS = 4.0  # of a clip that is only an address
_H3_AREA = (589_824, 1_032_192)
_H3_SECONDS = (4.0, 15.1)


class Address(msgspec.Struct, forbid_unknown_fields=True):
    """Where a medium is, or the medium itself."""

    url: str


class Content(msgspec.Struct, forbid_unknown_fields=True):
    """One item."""

    type: str
    text: str | None = None
    image_url: Address | None = None
    video_url: Address | None = None
    audio_url: Address | None = None
    role: str | None = None


@dataclass(frozen=True)
class Given:
    """What came.

    Attributes:
        text: The prompt.
        roles: Of the media, in their order.
        shape: Width / height of the first picture or clip.
        images: How many.
        seconds: Of all reference videos.
        base: The clip to be made again.
    """

    text: str
    roles: tuple[str, ...]
    shape: float
    images: int
    seconds: float
    base: Picture


def contents(items: list[Content]) -> list[tuple[str, str, str]]:
    """The media as kind, role and address, and the text as ``("text", "", text)``.

    Raises:
        Refusal: An item is not what its type says, or has no such role.
    """
    found = []
    for item in items:
        if item.type == "text":
            found.append(("text", "", item.text or ""))
            continue
        roles, address = _ROLES.get(item.type), getattr(item, item.type, None)
        if roles is None or not isinstance(address, Address):
            raise invalid(f"content: an item of type {item.type[:20]} is not understood")
        role = item.role or ("first_frame" if item.type == "image_url" else "")
        if role not in roles:
            raise invalid(f"content: {item.type} has no role {role[:20]!r}")
        found.append((item.type, role, address.url))
    return found


def judged(items: list[Content], model: V2Model, *, base: bool = False) -> Given:
    """The content of a create, once it is known to be acceptable.

    Args:
        items: As they came.
        model: That is asked.
        base: Whether a clip is to be made again, which then has to be there.

    Raises:
        Refusal: It is not.
    """
    found = contents(items)
    texts = [address for kind, _, address in found if kind == "text"]
    media = [item for item in found if item[0] != "text"]
    if len(texts) != 1 or not texts[0].strip():
        raise invalid("content must include a non-empty text item (prompt is required)")
    if len(texts[0]) > model.prompt:
        raise invalid(f"text has more than {model.prompt} characters")
    _together([role for _, role, _ in media], model, base)
    return _measured(texts[0], media)


def _together(roles: list[str], model: V2Model, base: bool) -> None:
    counts = Counter(roles)
    for role, count in counts.items():
        if count > _MOST[role]:
            raise invalid(f"content: {count} items with the role {role}, at most {_MOST[role]} are allowed")
    references = [role for role in roles if role.startswith("reference_")]
    if len(roles) > _MOST_FILES:
        raise invalid(f"content: more than {_MOST_FILES} files")
    if references and any(role in _FRAMES for role in roles):
        raise invalid("content: frames and references exclude each other")
    if references and not model.references:
        raise invalid("content: this model takes no references")
    if counts["reference_audio"] and not counts["reference_image"] + counts["reference_video"]:
        raise invalid("content: reference_audio needs a reference image or video")
    if bool(counts["base_video"]) != base:
        raise invalid("content: base_video goes with regeneration, and only with it")


def _measured(text: str, media: list[tuple[str, str, str]]) -> Given:
    shape, seconds, base = 16 / 9, 0.0, Picture()
    for number, (kind, role, url) in enumerate(media):
        if kind == "image_url":
            picture = picture_of(url, role, V2)
        elif kind == "video_url":
            picture = _clip(url, role)
            seconds += picture.seconds if role == "reference_video" else 0.0
            base = picture if role == "base_video" else base
        else:
            continue
        shape = picture.shape if number == 0 else shape
    if seconds > 15.1:
        raise invalid("content: the reference videos have more than 15 s together")
    images = sum(kind == "image_url" for kind, _, _ in media)
    return Given(text, tuple(role for _, role, _ in media), shape, images, seconds, base)


def _clip(url: str, role: str) -> Picture:
    clip = clip_of(url, role)
    if not clip.seconds:
        return clip._replace(seconds=_UNKNOWN_SECONDS)
    if role == "base_video":
        area, (least, most) = clip.width * clip.height, _H3_SECONDS
        if not _H3_AREA[0] <= area <= _H3_AREA[1] or clip.width % 32 or clip.height % 32:
            raise invalid(f"base_video: {clip.width}x{clip.height} is no output of MiniMax-H3 at 768P")
        if not least <= clip.seconds <= most:
            raise invalid(f"base_video: {clip.seconds} s is no output of MiniMax-H3")
    elif not 2 <= clip.seconds <= 15.1:
        raise invalid(f"{role}: {clip.seconds} s, 2 to 15 are allowed")
    return clip
