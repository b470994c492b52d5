"""Inputs for the tests: small pictures and clips, another one for each number."""

from __future__ import annotations

import io

from videogen_core.testing import Clip, make_clip

__all__ = ["clip", "picture"]


def picture(number: int = 0) -> bytes:
    """A small PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (320, 180), (number * 40 % 256, 90, 160)).save(buffer, format="PNG")
    return buffer.getvalue()


def clip(seconds: float, *, height: int = 360) -> bytes:
    """A small MP4 with sound."""
    return make_clip(Clip(duration=seconds, width=height * 16 // 9, height=height, fps=24, audio=True))
