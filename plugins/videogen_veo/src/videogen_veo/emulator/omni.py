"""What an interaction may ask of an Omni model: the body, and every rule about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from .answers import GoogleRefusal
from .media import VIDEO_TYPES, Measure, decoded, image_type, measured
from .models import OmniModel

if TYPE_CHECKING:
    from . import VeoEmulator

__all__ = ["Asked", "Create", "Inputs", "look_at"]

_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
_DURATION = re.compile(r"(\d{1,4}(?:\.\d{1,9})?)s")
_UNSUPPORTED = ("system_instruction", "safety_settings", "tools", "cached_content", "environment", "agent",
                "continuation_token", "response_mime_type")  # fmt: skip
_SHORTEST, _DEFAULT, _LONGEST_TOTAL, _REFERENCE_CLIP = 3.0, 10.0, 40.0, 3.0


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="text"):
    """A piece of the prompt."""

    text: str


class Image(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="image"):
    """An image, as bytes or by its address."""

    data: str | None = None
    uri: str | None = None
    mime_type: str | None = None


class Video(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="video"):
    """A clip, as bytes or by its address."""

    data: str | None = None
    uri: str | None = None
    mime_type: str | None = None
    name: str | None = None


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="document"):
    """Any file by its address; Google's own pages send clips so."""

    uri: str
    mime_type: str | None = None


Content = Text | Image | Video | Document


class UserInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="user_input"):
    """A turn of the user's."""

    content: list[Content]


class VideoFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="video"):
    """How the clip is to be."""

    aspect_ratio: Literal["16:9", "9:16"] = "16:9"
    resolution: Literal["360p", "720p", "1080p", "4k"] = "720p"
    duration: str | None = None
    delivery: Literal["inline", "uri"] = "inline"
    gcs_uri: str | None = None


class VideoConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which kind of work it is; left out, the model goes by the inputs."""

    task: Literal["text_to_video", "image_to_video", "reference_to_video", "edit", "extend"] | None = None


class GenerationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What can be set of the model; it takes no temperature and the like."""

    video_config: VideoConfig = VideoConfig()
    seed: int | None = None


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to tell of the end."""

    uris: list[str]
    user_metadata: dict[str, Any] = {}


class Create(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a create."""

    model: str
    input: str | list[UserInput | Content] | Content
    background: bool = False
    store: bool = True
    stream: bool = False
    response_format: VideoFormat | list[VideoFormat] = VideoFormat()
    response_modalities: list[Literal["video"]] = []
    generation_config: GenerationConfig = GenerationConfig()
    previous_interaction_id: str | None = None
    service_tier: Literal["flex", "standard", "priority", "deferred"] = "standard"
    labels: dict[str, str] = {}
    webhook_config: WebhookConfig | None = None


class Inputs(NamedTuple):
    """What there is to work from, once all of it has been looked at."""

    text: str = ""
    images: int = 0
    clips: tuple[Measure, ...] = ()


class Asked(NamedTuple):
    """What is to be made.

    Attributes:
        clip: Seconds of the clip that comes out.
        made: Seconds of it that are new, and so are paid for.
        read: Seconds of clips that the model reads.
    """

    task: str
    format: VideoFormat
    clip: float
    made: float
    read: float


def wrong(what: str, why: str) -> GoogleRefusal:
    """400 for a value."""
    return GoogleRefusal(400, "invalid_request", f"Invalid value at '{what}': {why}.")


def refuse_unsupported(body: Any) -> None:
    """Say of fields that the API has, and these models have not, that they are not supported."""
    if isinstance(body, dict) and (named := [name for name in _UNSUPPORTED if name in body]):
        raise GoogleRefusal(400, "invalid_request", f"{named[0]} is not supported by this model.")


async def look_at(emulator: VeoEmulator, backend: str, body: Create) -> Inputs:
    """Read every input, as strictly as the vendor."""
    contents = _contents(body.input)
    text = "\n".join(each.text for each in contents if isinstance(each, Text))
    images, clips = 0, []
    for place, each in enumerate(contents):
        what = f"input[{place}]"
        if isinstance(each, Image):
            _check_image(emulator, backend, each, what)
            images += 1
        elif isinstance(each, Video | Document):
            clips.append(await _clip(emulator, backend, each, what))
    return Inputs(text, images, tuple(clips))


def _contents(given: str | list[UserInput | Content] | Content) -> list[Content]:
    if isinstance(given, str):
        return [Text(given)]
    found: list[Content] = []
    for each in given if isinstance(given, list) else [given]:
        found += each.content if isinstance(each, UserInput) else [each]
    if isinstance(given, list) and any(isinstance(each, UserInput) for each in given) and len(given) != 1:
        raise wrong("input", "expected one turn of the user's; use previous_interaction_id for earlier ones")
    return found


def _check_image(emulator: VeoEmulator, backend: str, image: Image, what: str) -> None:
    data, mime_type = _data(emulator, backend, image, what)
    if mime_type not in _IMAGES:
        raise wrong(f"{what}.mime_type", f"{mime_type!r} is none of {', '.join(sorted(_IMAGES))}")
    if image_type(data) != mime_type:
        raise wrong(what, f"the data is no valid {mime_type}")


async def _clip(emulator: VeoEmulator, backend: str, video: Video | Document, what: str) -> Measure:
    data, mime_type = _data(emulator, backend, video, what)
    if mime_type not in VIDEO_TYPES:
        raise wrong(f"{what}.mime_type", f"{mime_type!r} is none of {', '.join(sorted(VIDEO_TYPES))}")
    found = await measured(data)
    if found is None:
        raise wrong(what, "the data is no video")
    return found


def _data(emulator: VeoEmulator, backend: str, media: Image | Video | Document, what: str) -> tuple[bytes, str]:
    """The bytes of an input, and their type."""
    data = None if isinstance(media, Document) else media.data
    if (data is None) == (media.uri is None):
        raise wrong(what, "exactly one of data and uri is needed")
    if backend == "gemini" and media.uri is not None:
        stored = emulator.files.read(media.uri, f"{what}.uri")
        if media.mime_type not in (None, stored.mime_type):
            raise wrong(f"{what}.mime_type", f"the file is {stored.mime_type}")
        return stored.data, stored.mime_type
    if media.mime_type is None:
        raise wrong(f"{what}.mime_type", "it is required")
    if media.uri is not None:
        return emulator.storage.read(media.uri, f"{what}.uri"), media.mime_type
    return decoded(data or "", f"{what}.data"), media.mime_type


def asked(model: OmniModel, backend: str, body: Create, inputs: Inputs, before: float | None) -> Asked:
    """What comes of a request.

    Args:
        model: Its row.
        backend: ``gemini`` or ``vertex``.
        body: The request.
        inputs: Its inputs.
        before: Seconds of the clip that ``previous_interaction_id`` made; None = none is named.
    """
    shape = _format(body, backend)
    task = body.generation_config.video_config.task or _guessed(inputs, before)
    _check_task(task, inputs, before)
    _check_source(model, task, inputs, before)
    longest = model.longest if task == "text_to_video" or (task == "image_to_video" and inputs.images == 1) else 10.0
    seconds = _seconds(shape.duration, longest)
    source = before if before is not None else inputs.clips[0].seconds if inputs.clips else 0.0
    if task == "edit":
        return Asked(task, shape, source, source, source)
    if task == "extend":
        if source + seconds > _LONGEST_TOTAL:
            raise wrong("response_format.duration", f"the clip would have more than {_LONGEST_TOTAL:g} seconds")
        return Asked(task, shape, source + seconds, seconds, min(source, _DEFAULT))
    return Asked(task, shape, seconds, seconds, sum(each.seconds for each in inputs.clips))


def _format(body: Create, backend: str) -> VideoFormat:
    shapes = body.response_format if isinstance(body.response_format, list) else [body.response_format]
    if len(shapes) != 1:
        raise wrong("response_format", "expected exactly one")
    shape, seed = shapes[0], body.generation_config.seed
    if seed is not None and not 0 <= seed < 2**32:
        raise wrong("generation_config.seed", "it is no unsigned 32-bit number")
    if shape.gcs_uri is not None and backend != "vertex":
        raise wrong("response_format.gcs_uri", "it is only supported on Vertex AI")
    if backend == "vertex" and (shape.delivery == "uri") != (shape.gcs_uri is not None):
        raise wrong("response_format.gcs_uri", "it is required with the delivery uri, and only with it")
    return shape


def _seconds(duration: str | None, longest: float) -> float:
    if duration is None:
        return _DEFAULT
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise wrong("response_format.duration", f"{duration[:40]!r} is no duration such as '8s'")
    if not _SHORTEST <= float(found[1]) <= longest:
        raise wrong("response_format.duration", f"it must be from {_SHORTEST:g}s to {longest:g}s")
    return float(found[1])


def _guessed(inputs: Inputs, before: float | None) -> str:
    if inputs.clips or before is not None:
        return "edit"
    return "image_to_video" if inputs.images in (1, 2) else "reference_to_video" if inputs.images else "text_to_video"


def _check_task(task: str, inputs: Inputs, before: float | None) -> None:
    """Refuse inputs that are not the task's."""
    images, clips, earlier = inputs.images, len(inputs.clips), before is not None
    fits = {
        "text_to_video": not images and not clips and not earlier,
        "image_to_video": images in (1, 2) and not clips and not earlier,
        "reference_to_video": images + clips >= 1 and images <= 10 and clips <= 3 and not earlier,
        "edit": clips + earlier == 1,
        "extend": clips + earlier == 1 and not images,
    }
    if not fits[task]:
        raise wrong("input", f"{images} images and {clips} videos do not make the task {task}")
    if not inputs.text.strip() and task not in ("image_to_video", "extend"):
        raise wrong("input", f"the task {task} needs a prompt")


def _check_source(model: OmniModel, task: str, inputs: Inputs, before: float | None) -> None:
    """Refuse clips that are too long for the task."""
    longest = {"edit": model.longest_edit, "extend": _DEFAULT, "reference_to_video": _REFERENCE_CLIP}.get(task)
    if before is None and longest and any(each.seconds > longest + 0.05 for each in inputs.clips):
        raise wrong("input", f"an uploaded video for the task {task} has at most {longest:g} seconds")
