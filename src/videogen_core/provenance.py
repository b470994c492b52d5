"""How a clip was made, kept with the clip: in a file beside it, or inside.

It says what was asked of which model, what it cost and when, with which versions, and the checksum of the clip that it
is about; enough to make the request again. No key is in it: addresses of inputs lose their query, and requests cannot
hold a key. Provenance is a claim by whoever made the file, not a proof; a vendor's own marks are left as they are.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from . import xmp
from .errors import RequestError
from .partials import claim, sync_folder, temporary
from .request import Media
from .states import JobRecord, Video

__all__ = ["Provenance", "describe", "embedded", "read_provenance", "sidecar_of", "unstamped", "write_sidecar"]

_FORMAT = "videogen.provenance/1"
_MOST_BYTES = 16 * 1024**2


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """How one clip was made. Unknown keys of newer versions are ignored on reading.

    Attributes:
        job_id: The job.
        model: Shared model name.
        offer: ``provider/name``: who made it.
        request: What was asked, every default written out (of a clip from the cache: as it was asked); inputs by path
            or address.
        sha256: Hex digest of the clip; when this is inside the clip, of the bytes in front of it.
        size: Bytes that this is the digest of.
        created_at: When the job was made, aware UTC.
        clip: Which clip of the job, from 1.
        inputs: Hex digests of the inputs, by field, where they are known.
        shortened: Fields whose address had a query, which may be secret and was left out.
        changes: What ``fit`` moved.
        provider_job_id: The vendor's id.
        cost: USD of all attempts, for all clips of the job; None = not known.
        accepted_at: When the provider accepted it.
        finished_at: When it was done there.
        versions: Distribution -> version, and ``python``.
        marks: What the vendor says to put into every clip, such as ``SynthID``, and what was found (``C2PA``).
        mime_type, duration, width, height, fps, has_audio: Of the clip, as `Video` has them.
        placeholder: Whether no model made it.
        cached: Whether it was taken from the cache.
        format: Name and version of this format.
    """

    job_id: str
    model: str
    offer: str
    request: dict[str, Any]
    sha256: str
    size: int
    created_at: datetime
    clip: int = 1
    inputs: dict[str, str] = {}
    shortened: tuple[str, ...] = ()
    changes: tuple[dict[str, Any], ...] = ()
    provider_job_id: str | None = None
    cost: Decimal | None = None
    accepted_at: datetime | None = None
    finished_at: datetime | None = None
    versions: dict[str, str] = {}
    marks: tuple[str, ...] = ()
    mime_type: str = "video/mp4"
    duration: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    has_audio: bool = False
    placeholder: bool = False
    cached: bool = False
    format: str = _FORMAT

    @property
    def provider(self) -> str:
        """The adapter id."""
        return self.offer.partition("/")[0]

    def arguments(self) -> dict[str, Any]:
        """The keyword arguments that make ``generate`` ask the same of the same model again.

        Raises:
            RequestError: An input is no longer where it was, is another file now, or cannot be found again.
        """
        if self.shortened:
            raise RequestError(
                f"{self.shortened[0]}: its address had a query, which is not kept, since it may be secret.",
                hint="Make the request anew, with the whole address.",
            )
        for name, label in _inputs(self.request):
            _check_input(name, label, self.inputs.get(name))
        return {"model": self.offer, **self.request}

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        plain: dict[str, Any] = msgspec.json.decode(self.to_json())
        return plain

    def to_json(self) -> bytes:
        """As JSON text."""
        return msgspec.json.encode(self)


def describe(
    job: JobRecord, video: Video, index: int, *, versions: Mapping[str, str], marks: tuple[str, ...]
) -> Provenance:
    """What there is to say of a clip. Pure, so that a job which is resumed says the same again.

    Args:
        job: A job that succeeded.
        video: One of its clips, checked.
        index: Which, from 0.
        versions: Distribution -> version.
        marks: What the vendor puts into the clips of this model.
    """
    attempt = job.attempt if job.attempts else None
    request = job.request if attempt is None else attempt.request
    inputs = {name: media.sha256 for name, media in request.media() if media.sha256 is not None}
    return Provenance(
        job_id=job.id,
        model=job.cached or (job.offer.partition("/")[2] if attempt is None else attempt.model),
        offer=job.offer,
        request=request.given(),
        sha256=video.sha256,
        size=video.size,
        created_at=job.created_at,
        clip=index + 1,
        inputs=inputs,
        shortened=tuple(name for name, media in request.media() if media.url not in (None, media.label)),
        changes=job.changes,
        provider_job_id=job.provider_job_id,
        cost=job.cost,
        accepted_at=None if attempt is None else attempt.accepted_at,
        finished_at=None if attempt is None else attempt.finished_at,
        versions={**versions, "python": platform.python_version()},
        marks=marks,
        mime_type=video.mime_type,
        duration=video.duration,
        width=video.width,
        height=video.height,
        fps=video.fps,
        has_audio=video.has_audio,
        placeholder=job.placeholder or (attempt is not None and attempt.placeholder),
        cached=bool(job.cached),
    )


# --- beside the clip


def sidecar_of(path: Path) -> Path:
    """Where the file beside a clip is: ``boat.mp4.json``."""
    return path.with_name(path.name + ".json")


def write_sidecar(found: Provenance, path: Path, *, overwrite: bool = False) -> None:
    """Write it beside a clip, whole or not at all; blocks.

    Args:
        found: What to write.
        path: The clip.
        overwrite: Whether another file may be replaced; one that says the same job and clip always is.

    Raises:
        FileExistsError: Another file has that name.
        OSError: The disk refuses.
    """
    target = sidecar_of(path)
    if not overwrite and os.path.lexists(target) and not _is_of(target, found):
        raise FileExistsError(errno.EEXIST, "there is another file of that name", str(target))
    with temporary(path.parent) as draft:
        try:
            claim(draft)
            with draft.open("wb") as file:
                file.write(msgspec.json.format(found.to_json(), indent=1) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(path.stat().st_mode & 0o777)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _is_of(target: Path, found: Provenance) -> bool:
    try:
        other = _parsed(target.read_bytes())
    except (OSError, RequestError):
        return False
    return (other.job_id, other.clip) == (found.job_id, found.clip)


# --- inside the clip


def embedded(found: Provenance, boxes: xmp.Boxes) -> bytes:
    """What to append to a clip of these boxes so that it says this; nothing where its format or a signature forbids."""
    if boxes.signed or not boxes.extensible:
        return b""
    tool = f"videogen-core {found.versions.get('videogen-core', '')}".strip()
    return xmp.box(found.to_json().decode(), tool=tool, generated=not found.placeholder)


def unstamped(path: Path, video: Video) -> Video:
    """A clip as it was before this was appended: the same, but for the size and digest of the bytes in front of it.

    Raises:
        OSError: The clip cannot be read.
    """
    inside = xmp.read_packet(path)
    if inside is None:
        return video
    text, before, after = inside
    try:
        found = _parsed(text.encode())
    except RequestError:  # somebody else's packet
        return video
    if (found.size, after) != (before, video.size):
        return video
    return msgspec.structs.replace(video, size=found.size, sha256=found.sha256)


# --- reading


def read_provenance(path: str | os.PathLike[str]) -> Provenance:
    """How a clip was made, from the clip itself, else from the file beside it. Reads the clip once, for its checksum.

    Raises:
        RequestError: There is no such file, it says nothing of how it was made, or it has been changed since.
    """
    clip = Path(path)
    try:
        inside = xmp.read_packet(clip)
        size = clip.stat().st_size
        if inside is None:
            return _verified(_parsed(sidecar_of(clip).read_bytes()), clip, size)
        text, before, after = inside
        return _verified(_parsed(text.encode()), clip, before if after == size else size)
    except FileNotFoundError as error:
        if not clip.exists():
            raise RequestError(f"There is no file {clip}.") from error
        raise RequestError(
            f"{clip} does not say how it was made, and there is no {sidecar_of(clip).name} beside it.",
            hint="Clips say so when they are made with provenance='sidecar' or 'embed' (--provenance).",
        ) from error
    except OSError as error:
        raise RequestError(f"{clip} cannot be read: {error.strerror}.") from error


def _parsed(data: bytes) -> Provenance:
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError("it is too long")
        found = msgspec.json.decode(data, type=Provenance)
        if not found.format.startswith("videogen.provenance/"):
            raise ValueError(f"its format is {found.format[:40]!r}")
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise RequestError(f"What is kept of how the clip was made cannot be read: {error}.") from error
    return found


def _verified(found: Provenance, clip: Path, size: int) -> Provenance:
    if size != found.size or _digest(clip, size) != found.sha256:
        raise RequestError(
            f"{clip} is not the clip that its provenance is about: it has been changed since, or is another one.",
            hint=f"It was job {found.job_id}; `videogen jobs {found.job_id}` shows it where it was made.",
        )
    return found


def _digest(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(size, 2**20))):
            digest.update(chunk)
            size -= len(chunk)
    return digest.hexdigest()


# --- making it again


def _inputs(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every input with its field, as `VideoRequest.media` names them."""
    found = [(name, request[name]) for name in ("image", "last_frame", "video") if name in request]
    found += [(f"reference_images[{i}]", label) for i, label in enumerate(request.get("reference_images", ()))]
    return found


def _check_input(name: str, label: str, sha256: str | None) -> None:
    media = Media.of(label, field=name)
    if media.url is not None:
        return  # its query, if it had one, is gone; the address guard and the model see to the rest
    path = Path(media.path or "")
    if not path.is_file():
        raise RequestError(f"{name}: {label} is no longer there.", hint=f"Pass another {name.partition('[')[0]}.")
    if sha256 is not None and _digest(path, path.stat().st_size) != sha256:
        raise RequestError(f"{name}: {label} is another file now.", hint=f"Pass another {name.partition('[')[0]}.")
