"""The files that an emulated vendor delivers: real MP4s of the size, length, rate and sound that were asked for.

Clips of one shape are rendered once and differ in a box at their end that players skip; it says whose they are.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["Clip", "make_clip", "owner"]

_MARK = b"videogen-emulator:"


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """What a clip is to be like.

    Attributes:
        duration: Seconds.
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second.
        audio: Whether it has sound.
        seed: Decides how it looks.
    """

    duration: float = 1.0
    width: int = 320
    height: int = 180
    fps: float = 8.0
    audio: bool = False
    seed: int = 0


@lru_cache(maxsize=64)
def _rendered(clip: Clip) -> bytes:
    from videogen_core.sandbox.render import RenderSpec, render

    return render(
        RenderSpec(
            prompt="emulated",
            width=clip.width,
            height=clip.height,
            fps=clip.fps,
            duration=clip.duration,
            audio=clip.audio,
            seed=clip.seed,
            mark="PLACEHOLDER · videogen emulator",
            title="videogen emulator placeholder",
        )
    )


def make_clip(clip: Clip, **facts: Any) -> bytes:
    """An MP4, the same bytes for the same arguments.

    Args:
        clip: What it is to be like.
        **facts: Plain JSON that `owner` reads back, such as the id of its job.
    """
    note = _MARK + json.dumps(facts, sort_keys=True).encode()
    return _rendered(clip) + (len(note) + 8).to_bytes(4) + b"free" + note


def owner(data: bytes) -> dict[str, Any]:
    """What was said about a clip when it was made; empty when it is none of ours."""
    _, mark, note = data.rpartition(_MARK)
    try:
        facts = json.loads(note) if mark else {}
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
