"""A request as the input of a model: by the names that the catalogue row has for its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videogen_core import ConfigurationError, ModelSpec, VideoRequest, frame_size

__all__ = ["model_input"]

_PLAIN = ("duration", "resolution", "aspect_ratio", "audio", "fps", "seed", "negative_prompt")


def model_input(
    spec: ModelSpec, request: VideoRequest, options: Mapping[str, Any], media: Mapping[str, str]
) -> dict[str, Any]:
    """The ``input`` of a prediction: every value of the request, and nothing that is None, which many models refuse.

    Args:
        spec: The offer.
        request: With every default written out.
        options: Of this provider, by the model's own names.
        media: The inputs by field, ``reference_images[0]`` for instance, each as an address or a data URI.
    """
    found: dict[str, Any] = {"prompt": request.prompt} if request.prompt else {}
    found |= _values(spec, request)
    found |= _size(spec, request)
    found |= _frames(spec, request)
    told = {**found, **options, **_media(spec, media)}  # the long ones last, for whoever reads a log of it
    return {name: value for name, value in told.items() if value is not None}


def _values(spec: ModelSpec, request: VideoRequest) -> dict[str, Any]:
    fields, words = spec.vendor.get("fields", {}), spec.vendor.get("values", {})
    found = {}
    for field in _PLAIN:
        value = getattr(request, field)
        if value is not None and field in fields:
            found[fields[field]] = words.get(field, {}).get(_key(value), _number(value))
    return found


def _key(value: Any) -> str:
    """A value as the key of a TOML table."""
    return str(value).lower() if isinstance(value, bool) else str(_number(value))


def _number(value: Any) -> Any:
    """8 for 8.0: most models take whole numbers only."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _size(spec: ModelSpec, request: VideoRequest) -> dict[str, Any]:
    """Resolution and shape, where one or two parameters tell both."""
    table = spec.vendor.get("size")
    if table is not None:
        try:
            return {table["field"]: table[request.resolution][request.aspect_ratio]}
        except KeyError:
            raise ConfigurationError(
                f"{spec.id}: vendor.size says nothing of {request.resolution} at {request.aspect_ratio}."
            ) from None
    sides, size = spec.vendor.get("sides"), frame_size(spec, request)
    return {} if sides is None or size is None else dict(zip(sides, size, strict=True))


def _frames(spec: ModelSpec, request: VideoRequest) -> dict[str, Any]:
    """The length, where it is told in frames."""
    table = spec.vendor.get("frames")
    if table is None or request.duration is None:
        return {}
    count = round(request.duration * table["fps"]) + table.get("plus", 0)
    return {table["field"]: count, table["fps_field"]: table["fps"]}


def _media(spec: ModelSpec, media: Mapping[str, str]) -> dict[str, Any]:
    fields, single = spec.vendor.get("fields", {}), spec.vendor.get("single", ())
    found: dict[str, Any] = {}
    for name, value in sorted(media.items(), key=lambda item: item[0] == "video"):
        field, bracket, _ = name.partition("[")
        parameter = fields.get(field)
        if parameter is None:
            raise ConfigurationError(f"{spec.id}: vendor.fields says nothing of {field}.")
        if bracket and field not in single:
            found.setdefault(parameter, []).append(value)
        else:
            found[parameter] = value
    return found
