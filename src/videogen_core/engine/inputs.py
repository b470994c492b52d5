"""Inputs that exist only in memory, kept as files, so that a job can be resumed by another process."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import msgspec

from ..request import Media, VideoRequest

__all__ = ["keep_inputs"]


def keep_inputs(request: VideoRequest, folder: Path) -> VideoRequest:
    """The request with every input as an absolute path or an address; bytes go to files named by their hash.

    Args:
        request: A request whose inputs have been inspected.
        folder: Where to keep them; made when needed.
    """
    changes: dict[str, Any] = {}
    for name in ("image", "last_frame", "video"):
        if (media := getattr(request, name)) is not None:
            changes[name] = _kept(media, folder)
    if request.reference_images:
        changes["reference_images"] = tuple(_kept(media, folder) for media in request.reference_images)
    return msgspec.structs.replace(request, **changes) if changes else request


def _kept(media: Media, folder: Path) -> Media:
    if media.path is not None:
        return msgspec.structs.replace(media, path=str(Path(media.path).expanduser().absolute()))
    if media.data is None:
        return media
    digest = media.sha256 or hashlib.sha256(media.data).hexdigest()
    _make_private(folder)
    path = folder / digest
    if not path.exists():
        partial = folder / f".{digest}.{os.getpid()}.{threading.get_ident()}"
        partial.unlink(missing_ok=True)  # of a process that had our number and died
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(media.data)
        partial.replace(path)
    return msgspec.structs.replace(media, data=None, path=str(path), sha256=digest)


def _make_private(folder: Path) -> None:
    """Create a folder, and those above it that are missing, for their owner alone."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
