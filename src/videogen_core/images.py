"""Images made to fit, when somebody asks for that."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Literal

from .containers import sniff
from .errors import InvalidMediaError
from .media import (
    MAX_IMAGE_BYTES,
    MAX_IMAGE_PIXELS,
    check_kind,
    decode_image,
    inspect_image,
    label,
    opened,
    orientation,
)
from .request import Media

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["prepare_image"]


def prepare_image(
    source: Any,
    *,
    format: Literal["jpeg", "png", "webp"] = "jpeg",  # noqa: A002 - the word everybody uses
    max_side: int | None = None,
    min_side: int | None = None,
    aspect_ratio: str | None = None,
    fill: Literal["crop", "pad"] = "crop",
    quality: int = 92,
    max_bytes: int | None = None,
) -> Media:
    """An image made to fit: converted, turned upright, cropped or padded, resized, within a byte limit.

    An image that already is all that is asked for comes back with its bytes unchanged.

    Args:
        source: A path, data URI, bytes or PIL image.
        format: ``jpeg`` (transparency becomes white), ``png`` or ``webp``.
        max_side: Shrink until the longer side has at most so many pixels.
        min_side: Enlarge until the shorter side has at least so many pixels.
        aspect_ratio: Such as ``16:9``.
        fill: How to get there: ``crop`` cuts the middle out, ``pad`` adds black bars.
        quality: 1 to 100, of jpeg and webp.
        max_bytes: Lower the quality, down to 40, until it fits.

    Raises:
        InvalidMediaError: It cannot be read or decoded, or cannot be made to fit.
    """
    if format not in ("jpeg", "png", "webp") or fill not in ("crop", "pad"):
        raise InvalidMediaError(f"prepare_image: format={format!r}, fill={fill!r}: no such choice.")
    media = Media.of(source)
    if media.url is not None:
        raise InvalidMediaError(f"{label(media)} is a URL.", hint="Download it and pass the file.")
    with opened(media, "image") as file:
        data = file.read(MAX_IMAGE_BYTES + 1)
    check_kind(media, "image", data[:64], len(data))
    stored = decode_image(data, "image", label(media))
    shaped = _resized(_reshaped(_upright(stored), aspect_ratio, fill), max_side, min_side)
    if shaped is not stored or sniff(data) != f"image/{format}" or (max_bytes is not None and len(data) > max_bytes):
        data = _encoded(shaped, format, quality, max_bytes)
    return inspect_image(Media(data=data), "image", data)


def _upright(image: Image.Image) -> Image.Image:
    if orientation(image) == 1:
        return image
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _reshaped(image: Image.Image, aspect_ratio: str | None, fill: str) -> Image.Image:
    """The image in another aspect ratio, at its own scale."""
    if aspect_ratio is None:
        return image
    across, _, down = aspect_ratio.partition(":")
    if not (across.isdecimal() and down.isdecimal() and int(across) and int(down)):
        raise InvalidMediaError(f"aspect_ratio: {aspect_ratio!r} is not two numbers.", hint="Write 16:9.")
    ratio = int(across) / int(down)
    width, height = image.size
    wider = width / height > ratio
    keep_width = wider == (fill == "pad")
    size = (width, max(round(width / ratio), 1)) if keep_width else (max(round(height * ratio), 1), height)
    if size == image.size:
        return image
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise InvalidMediaError(f"image: {width}x{height} cannot be padded to {aspect_ratio}.", hint="Use fill='crop'.")
    from PIL import ImageOps

    return (ImageOps.fit if fill == "crop" else ImageOps.pad)(_plain(image, "png"), size)


def _resized(image: Image.Image, max_side: int | None, min_side: int | None) -> Image.Image:
    scale = 1.0
    if min_side is not None and min(image.size) < min_side:
        scale = min_side / min(image.size)
    if max_side is not None and max(image.size) * scale > max_side:
        if scale > 1 or (min_side is not None and min(image.size) * max_side / max(image.size) < min_side):
            raise InvalidMediaError(
                f"image: {image.width}x{image.height} cannot have both sides between {min_side} and {max_side}.",
                hint="Set aspect_ratio, too.",
            )
        scale = max_side / max(image.size)
    if scale == 1.0:
        return image
    from PIL import Image

    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    if size[0] * size[1] > MAX_IMAGE_PIXELS:
        raise InvalidMediaError(f"image: {size[0]}x{size[1]} pixels are too many.", hint="Lower min_side.")
    return _plain(image, "png").resize(size, Image.Resampling.LANCZOS)


def _plain(image: Image.Image, format: str) -> Image.Image:  # noqa: A002
    """The image in a mode that can be resized and saved; for JPEG, transparency is laid on white."""
    if image.mode.startswith("I"):  # 16 bits of grey: keep the upper 8
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.mode not in ("RGB", "RGBA", "L"):
        clear = "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBa")
        image = image.convert("RGBA" if clear else "RGB")
    if format != "jpeg" or image.mode != "RGBA":
        return image
    from PIL import Image

    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _encoded(image: Image.Image, format: str, quality: int, max_bytes: int | None) -> bytes:  # noqa: A002
    plain = _plain(image, format)
    # a colour profile belongs to the mode it was made for
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "L") else None
    steps = [quality] if format == "png" else [quality, *(q for q in (85, 75, 65, 55, 40) if q < quality)]
    for step in steps:
        buffer = io.BytesIO()
        plain.save(buffer, format=format.upper(), quality=step, icc_profile=profile)
        if max_bytes is None or buffer.tell() <= max_bytes:
            return buffer.getvalue()
    raise InvalidMediaError(
        f"image: still {buffer.tell():,} bytes as {format}; at most {max_bytes:,} are wanted.",
        hint="Set max_side, or use jpeg." if format == "png" else "Set max_side.",
    )
