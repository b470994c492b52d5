"""What a placeholder clip is to look and sound like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

__all__ = ["MARK", "TITLE", "RenderSpec"]

MARK = "PLACEHOLDER · videogen sandbox"
TITLE = "videogen sandbox placeholder"


@dataclass(frozen=True, kw_only=True)
class RenderSpec:
    """A placeholder clip.

    Attributes:
        prompt: Shown in the picture.
        width: Pixels, even.
        height: Pixels, even.
        fps: Frames per second.
        duration: Seconds; rounded to whole frames, at least one.
        audio: Whether a tone is heard.
        seed: Picks colours, hills and the tone's pitch.
        first_frame: Image file shown whole in the first frame.
        last_frame: Image file shown whole in the last frame.
        references: Image files shown as thumbnails.
        source: Clip whose frames are shown instead of a landscape.
        camera: Neutral camera moves.
        captions: Lines in small letters under the prompt.
        mark: Shown in every frame.
        title: In the file's metadata.
    """

    prompt: str = ""
    width: int
    height: int
    fps: float
    duration: float
    audio: bool = False
    seed: int = 0
    first_frame: bytes | None = None
    last_frame: bytes | None = None
    references: tuple[bytes, ...] = ()
    source: bytes | None = None
    camera: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    mark: str = MARK
    title: str = TITLE

    @property
    def frame_count(self) -> int:
        """Frames in the clip."""
        return max(1, round(self.duration * self.fps))

    def digest(self) -> bytes:
        """A sha256 over all of it."""
        whole = hashlib.sha256()
        for field in fields(self):
            value = getattr(self, field.name)
            part = value if isinstance(value, bytes) else repr(value).encode()
            whole.update(f"{field.name}:{type(value).__name__}:{len(part)}:".encode() + part)
        return whole.digest()
