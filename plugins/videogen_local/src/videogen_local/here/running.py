"""One clip out of one pipeline: what it is told, and the frames and the sound that come back."""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..orders import Order
from .encoding import Sound
from .errors import JobError
from .extras import extras
from .watching import Watch, watched

__all__ = ["Made", "run"]


@dataclass(frozen=True)
class Made:
    """What came back.

    Attributes:
        frames: Frames x height x width x 3, whole numbers from 0 to 255.
        sound: What is heard, where the model makes it and it is wanted.
    """

    frames: Any
    sound: Sound | None


def run(pipe: Any, order: Order, inputs: Mapping[str, bytes], watch: Watch) -> Made:
    """Make the frames of one clip.

    Args:
        pipe: Loaded and placed.
        order: What is wanted.
        inputs: Field of the request -> the bytes of the file.
        watch: Told of each step.

    Raises:
        JobError: The result is no picture, or the pipeline cannot be told something that is wanted.
        Stopped: Somebody asked for it.
        Exception: Whatever the pipeline raises.
    """
    import torch

    watch.phase("encoding")
    modular = order.family.kind == "modular"
    told = arguments(pipe, order, inputs)
    told["generator"] = torch.Generator("cpu").manual_seed(order.seed)  # the same noise on every device
    with torch.no_grad(), _guidance(pipe, order), extras(pipe, order), watched(pipe, watch, order) as seen:
        told.update(seen)
        try:
            result = pipe(**told, output=list(order.family.outputs)) if modular else pipe(**told)
        finally:
            if hasattr(pipe, "maybe_free_model_hooks"):
                pipe.maybe_free_model_hooks()
    return Made(frames=_frames(result), sound=_sound(pipe, result) if order.audio else None)


# --- what it is told


def arguments(pipe: Any, order: Order, inputs: Mapping[str, bytes]) -> dict[str, Any]:
    """The keywords of the call, all of them explicit.

    Raises:
        JobError: An input cannot be read.
    """
    values: dict[str, Any] = {
        "prompt": order.prompt,
        "negative_prompt": order.negative_prompt,
        "width": order.width,
        "height": order.height,
        "frames": order.family.told(order.frames),
        "fps": order.fps,
        "steps": order.steps,
        "guidance": None if order.family.guider else order.guidance,
        "audio": order.audio,
        **order.told,
        **_pictures(order, inputs),
    }
    keywords = order.family.parameters
    told = {keywords[name]: value for name, value in values.items() if name in keywords and value is not None}
    told = {**order.family.fixed, **told}
    if order.family.kind == "modular":
        return {**told, "output_type": "np"}
    known = inspect.signature(type(pipe).__call__).parameters
    if "output_type" in known:
        told["output_type"] = "np"
    if strange := sorted(told.keys() - known.keys()):
        raise JobError(
            f"{order.family.name} of this diffusers takes no {', '.join(strange)}.",
            "Install the version of diffusers that videogen-local asks for.",
            "no_parameter",
        )
    return told


def _pictures(order: Order, inputs: Mapping[str, bytes]) -> dict[str, Any]:
    """The inputs as diffusers takes them, cut to the shape of the clip."""
    found: dict[str, Any] = {}
    for name, data in inputs.items():
        field = name.partition("-")[0]
        if field == "video":
            found[field] = _clip(data, order)
        elif field == "reference_images":
            found.setdefault(field, []).append(_picture(data, name))
        else:
            found[field] = _cut(_picture(data, name), order)
    return found


def _picture(data: bytes, name: str) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except Exception as error:
        raise JobError(f"{name}: the picture cannot be read: {error}.", code="bad_input") from error


def _cut(picture: Any, order: Order) -> Any:
    """Scaled until it covers the frame, and cut from its middle."""
    from PIL import Image, ImageOps

    return ImageOps.fit(picture, (order.width, order.height), Image.Resampling.LANCZOS)


def _clip(data: bytes, order: Order) -> list[Any]:
    """The frames of a video, at most as many as the clip has."""
    import av

    try:
        with av.open(io.BytesIO(data), "r") as file:
            frames: Any = zip(range(order.frames), file.decode(video=0), strict=False)
            pictures = [frame.to_image() for _, frame in frames]
    except Exception as error:
        raise JobError(f"video: it cannot be read: {error}.", code="bad_input") from error
    if not pictures:
        raise JobError("video: it has no frames.", code="bad_input")
    return [_cut(picture, order) for picture in pictures]


@contextmanager
def _guidance(pipe: Any, order: Order) -> Iterator[None]:
    """Set the guidance scale where a component holds it, and put the component back."""
    guider = getattr(pipe, "guider", None) if order.family.guider else None
    if guider is None or order.guidance is None:
        yield
        return
    modular = order.family.kind == "modular"
    changed = guider.new(guidance_scale=order.guidance)
    pipe.update_components(guider=changed) if modular else setattr(pipe, "guider", changed)
    try:
        yield
    finally:
        pipe.update_components(guider=guider) if modular else setattr(pipe, "guider", guider)


# --- what comes back


def _frames(result: Any) -> Any:
    found = _field(result, "videos", "frames", "video", "images")
    if found is None and isinstance(result, tuple):
        found = result[0]
    first = np.asarray(found[0] if found is not None else ())
    frames = np.asarray(found) if first.ndim == 3 else first  # a clip, or a batch of one
    if frames.ndim != 4 or frames.shape[-1] != 3:
        raise JobError(f"The pipeline gave no frames (shape {frames.shape}).")
    if frames.dtype == np.uint8:
        return frames
    if not np.isfinite(frames).all():
        raise JobError(
            "The pipeline gave numbers that are no colours (NaN).",
            "This happens when a model runs in a precision that it was not made for; another plan may help.",
            "not_finite",
        )
    return (frames.clip(0, 1) * 255).round().astype(np.uint8)


def _sound(pipe: Any, result: Any) -> Sound | None:
    samples = _field(result, "audio", "audios", "sound")
    if samples is None:
        return None
    if hasattr(samples, "detach"):
        samples = samples.detach().float().cpu().numpy()
    samples = np.asarray(samples, dtype=np.float32)
    samples = samples[0] if samples.ndim == 3 else samples
    rate = _field(result, "sampling_rate", "audio_sampling_rate", "sample_rate")
    rate = rate or _rate(pipe)
    if not rate or not np.isfinite(samples).all():
        return None
    return Sound(samples, int(rate))


def _rate(pipe: Any) -> int | None:
    """Samples per second, from whichever component makes them."""
    for name in ("vocoder", "sound_tokenizer", "audio_vae"):
        config = getattr(getattr(pipe, name, None), "config", None)
        for key in ("output_sampling_rate", "sampling_rate", "sample_rate"):
            if rate := getattr(config, key, None):
                return int(rate)
    return None


def _field(result: Any, *names: str) -> Any:
    for name in names:
        value = result.get(name) if isinstance(result, Mapping) else getattr(result, name, None)
        if value is not None:
            return value
    return None
