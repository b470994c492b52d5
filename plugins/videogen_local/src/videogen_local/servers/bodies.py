"""A request in the words of a dialect: JSON or a form, with the clip told in frames and pixels."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from videogen_core import ModelSpec, RequestError, VideoRequest, frame_size, resolution_height
from videogen_core.containers import sniff

from ..rows import family_of
from .dialects import Dialect

__all__ = ["FIELDS", "Wanted", "frames", "parts", "size", "wanted"]

FIELDS = {
    "num_frames": "frames",
    "width": "size",
    "height": "size",
    "steps": "steps",
    "guidance_scale": "guidance",
    "guidance_scale_2": "guidance_2",
    "flow_shift": "flow_shift",
    "lora": "lora",
    "extra": "extra",
}
"""Options of an offer -> the field of a dialect that tells them."""
_PLAIN = ("steps", "flow_shift", "lora", "extra")
_MULTIPLE = 16  # of sides, for a model about which nothing is known


@dataclass(frozen=True)
class Wanted:
    """What a create says, by our names of the fields; nothing that is None.

    Attributes:
        values: All but the picture.
        picture: Its bytes; None = there is none.
    """

    values: Mapping[str, Any]
    picture: bytes | None = field(default=None, repr=False)


def wanted(
    spec: ModelSpec,
    request: VideoRequest,
    options: Mapping[str, Any],
    dialect: Dialect,
    *,
    seed: int | None,
    picture: bytes | None,
) -> Wanted:
    """What a request asks for.

    Args:
        spec: The offer.
        request: With every default written out.
        options: Of this provider.
        dialect: Of the server.
        seed: The request's, or one that was drawn for it.
        picture: Bytes of the first frame.

    Raises:
        RequestError: It gives the second of two guidance scales alone.
    """
    guidance, guidance_2 = options.get("guidance_scale"), options.get("guidance_scale_2")
    if guidance is None and guidance_2 is not None:
        raise RequestError(
            "options.local.guidance_scale_2: it goes with guidance_scale, which the other expert has; give both.",
            hint="Nothing was sent.",
        )
    pixels = size(spec, request, options)
    values: dict[str, Any] = {
        "prompt": request.prompt,
        "model": spec.vendor.get("model"),
        "size": None if pixels is None else f"{pixels[0]}x{pixels[1]}",
        "seconds": None if request.duration is None else max(1, round(request.duration)),
        "frames": frames(spec, request, options) if dialect.takes("frames") else None,
        "fps": _number(request.fps or spec.output_fps),
        "seed": seed,
        "negative_prompt": request.negative_prompt,
        "audio": request.audio,
        **{name: options.get(name) for name in _PLAIN},
    }
    values |= {"one_guidance": guidance} if guidance_2 is None else {"guidance": guidance, "guidance_2": guidance_2}
    return Wanted({name: value for name, value in values.items() if value is not None and dialect.takes(name)}, picture)


def frames(spec: ModelSpec, request: VideoRequest, options: Mapping[str, Any]) -> int | None:
    """How many frames there are to make, by the rule of the model; None = the model decides."""
    if (count := options.get("num_frames")) is not None:
        return int(count)
    fps = request.fps or spec.output_fps
    if request.duration is None or fps is None:
        return None
    family = family_of(spec)
    return round(request.duration * fps) if family is None else family.frames_for(request.duration, fps)


def size(spec: ModelSpec, request: VideoRequest, options: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height; where the shape follows the picture, the sides nearest to it that the model makes."""
    listed = frame_size(spec, request) or _like(spec, request)
    width, height = options.get("width"), options.get("height")
    if listed is None:
        return None if width is None or height is None else (int(width), int(height))
    return int(width or listed[0]), int(height or listed[1])


def _like(spec: ModelSpec, request: VideoRequest) -> tuple[int, int] | None:
    """The sides of a clip with the shape of its picture, as far as that is known."""
    picture, short = request.image, resolution_height(request.resolution or "")
    if picture is None or not picture.width or not picture.height or not short:
        return None
    family = family_of(spec)
    multiple = _MULTIPLE if family is None else family.multiple
    scale = short / min(picture.width, picture.height)
    width, height = (
        max(multiple, round(side * scale / multiple) * multiple) for side in (picture.width, picture.height)
    )
    return width, height


def parts(told: Wanted, dialect: Dialect) -> dict[str, Any]:
    """The body of a create, as ``httpx`` takes it: ``json``, or ``files`` of a form."""
    if told.picture is not None and dialect.image == "data_url":
        url = f"data:{_type(told.picture)};base64,{base64.b64encode(told.picture).decode()}"
        return _encoded(Wanted({**told.values, "image": url}), dialect)
    return _encoded(told, dialect)


def _encoded(told: Wanted, dialect: Dialect) -> dict[str, Any]:
    as_form = dialect.encoding == "multipart" or (
        dialect.encoding == "multipart_with_files" and told.picture is not None
    )
    if not as_form:
        return {"json": _named(told.values, dialect)}
    direct = {name: value for name, value in told.values.items() if not dialect.form or name in dialect.form}
    rest = {name: value for name, value in told.values.items() if name not in direct}
    form: dict[str, Any] = {name: (None, _text(value)) for name, value in _named(direct, dialect).items()}
    if rest:
        form[dialect.form_extra] = (None, json.dumps(_named(rest, dialect)))
    if told.picture is not None and dialect.image == "file":
        kind = _type(told.picture)
        form[dialect.fields["image"]] = (f"picture.{kind.partition('/')[2]}", told.picture, kind)
    return {"files": form}


def _named(values: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Fields by their names at the server."""
    found = {dialect.fields[name]: value for name, value in values.items()}
    if dialect.seconds_as_text and "seconds" in values:
        found[dialect.fields["seconds"]] = str(values["seconds"])
    return found


def _text(value: Any) -> str:
    """A value as a field of a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)


def _number(value: float | None) -> float | None:
    """16 for 16.0: these servers take whole frame rates."""
    return int(value) if value is not None and float(value).is_integer() else value


def _type(data: bytes) -> str:
    return sniff(data[:64]) or "image/png"
