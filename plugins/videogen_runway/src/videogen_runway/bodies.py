"""A request as Runway wants it: which endpoint, and what JSON. Every value is said, none is left to the vendor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videogen_core import ConfigurationError, ModelSpec, SubmitCall, Task, VideoRequest, frame_size

__all__ = ["body", "endpoint"]

_TOOLS = {
    Task.ANIMATE_CHARACTER: "character_performance",
    Task.UPSCALE_VIDEO: "video_upscale",
    Task.CHANGE_FRAME_RATE: "video_upscale",
    Task.CONVERT_TO_HDR: "video_to_hdr",
}
_MODES = {Task.EXTEND_VIDEO: "extend", Task.EDIT_VIDEO: "edit", Task.REFERENCE_TO_VIDEO: "reference"}
_RATES = {23.976: "23_98", 29.97: "29_97", 59.94: "59_94"}
# Options that are not fields of their own, and where they belong.
_INSIDE = {
    "public_figure_threshold": "contentModeration",
    "multi_prompt": "providerSettings",
    "shot_type": "providerSettings",
    "keep_original_sound": "providerSettings",
}


def endpoint(request: VideoRequest) -> str:
    """Where a request goes, below ``/v1/``."""
    if request.task in _TOOLS:
        return _TOOLS[request.task]
    if request.video is not None:
        return "video_to_video"
    return "text_to_video" if request.image is None else "image_to_video"


def body(call: SubmitCall, uris: Mapping[str, str]) -> dict[str, Any]:
    """The JSON of a create.

    Args:
        call: What is asked.
        uris: The inputs by field, as Runway takes them.

    Raises:
        ConfigurationError: A row of the catalogue asks for a size that cannot be said.
    """
    spec, request = call.spec, call.request
    said: dict[str, Any] = {"model": spec.vendor["id"]}
    if request.prompt and spec.vendor.get("prompt") is not False:
        said["promptText"] = request.prompt
    said |= _length(spec, request) | _size(spec, request) | _sound(spec, request)
    if request.seed is not None:
        said["seed"] = request.seed
    if request.negative_prompt:
        said["negativePrompt"] = request.negative_prompt
    for name, value in call.options.items():
        if value is not None:
            _put(said, name, _said(spec, name, value))
    return said | _inputs(spec, request, uris)  # last, so that whoever looks at a body sees the small things first


# --- inputs


def _inputs(spec: ModelSpec, request: VideoRequest, uris: Mapping[str, str]) -> dict[str, Any]:
    if request.task is Task.ANIMATE_CHARACTER:
        return {
            "character": {"type": "image", "uri": uris["image"]},
            "reference": {"type": "video", "uri": uris["video"]},
        }
    said: dict[str, Any] = {}
    references = [uri for name, uri in uris.items() if name.startswith("reference_images")]
    if references:
        said["references"] = [{"uri": uri} for uri in references]
    if request.last_frame is not None:
        frames = (("image", "first"), ("last_frame", "last"))
        said["promptImage"] = [{"uri": uris[name], "position": position} for name, position in frames]
    elif request.image is not None:
        said["promptImage"] = uris["image"]
    if request.video is not None:
        if spec.vendor.get("modes"):
            said["mode"] = _MODES[request.task]
        said[spec.vendor["video"]] = uris["video"]
    return said


# --- the clip


def _length(spec: ModelSpec, request: VideoRequest) -> dict[str, Any]:
    if request.task.value in spec.vendor.get("auto_duration", ()):
        return {"duration": "auto"}
    return {} if request.duration is None else {"duration": int(request.duration)}


def _size(spec: ModelSpec, request: VideoRequest) -> dict[str, Any]:
    """Resolution, shape and frame rate, in whichever of Runway's ways the model has."""
    if request.fps is not None:
        return {"targetFramerate": _RATES.get(request.fps, f"{request.fps:g}")}
    shape, resolution = request.aspect_ratio, request.resolution
    way = spec.vendor.get("ratio", "pixels")
    if shape is None:
        return {} if resolution is None else {"resolution": resolution}
    if way == "target":
        return {} if shape == "auto" else {"targetAspectRatio": shape}
    if way == "names":
        return {"ratio": "adaptive" if shape == "auto" else shape, "resolution": resolution}
    if shape == "auto":
        return {"ratio": f"auto_{resolution}"}
    size = frame_size(spec, request)
    if size is None:
        raise ConfigurationError(f"{spec.id}: the catalogue has no pixels for {resolution} at {shape}.")
    return {"ratio": f"{size[0]}:{size[1]}"}


def _sound(spec: ModelSpec, request: VideoRequest) -> dict[str, Any]:
    """The switch for sound, where there is one; elsewhere there is nothing to say."""
    if not any(request.task in mode.tasks and len(mode.audio) > 1 for mode in spec.modes):
        return {}
    if request.task is Task.EDIT_VIDEO and (keep := spec.vendor.get("edit_sound")):
        return {"providerSettings": {keep: bool(request.audio)}}
    return {"audio": bool(request.audio)}


# --- options


def _said(spec: ModelSpec, name: str, value: Any) -> Any:
    """An option's value as Runway writes it."""
    if name == "reference_audio":
        return [{"type": "audio", "uri": uri} for uri in value]
    if name == "reference_videos":
        kind = {} if spec.vendor.get("plain_videos") else {"type": "video"}
        return [{**kind, "uri": uri} for uri in value]
    return value


def _put(said: dict[str, Any], name: str, value: Any) -> None:
    first, *rest = name.split("_")
    field = first + "".join(part.capitalize() for part in rest)
    if outer := _INSIDE.get(name):
        said.setdefault(outer, {})[field] = value
    else:
        said[field] = value
