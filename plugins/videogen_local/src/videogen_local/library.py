"""The models on this machine: pulled ones, those that the user's settings name, and what lies in the hub's own cache.

A pulled model is a folder ``models/OWNER--NAME`` of the provider's own folder, with a note of its repository, commit,
licence and size. The hub's cache is only read, never written or tidied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec

__all__ = ["Library", "Pulled"]

_NOTE = "videogen-pulled.json"


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was pulled.

    Attributes:
        repo: ``owner/name`` at the hub.
        revision: The commit, 40 hex digits.
        license: What the repository says of it; empty = nothing.
        bytes: Size of the files.
        pulled_at: When, aware UTC.
        folder: Where it lies; empty in the note itself.
    """

    repo: str
    revision: str
    license: str = ""
    bytes: int = 0
    pulled_at: datetime | None = None
    folder: str = ""


class Library:
    """The models of one user.

    Args:
        folder: The provider's own folder.
        environment: Says where the hub's cache is.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder / "models"
        self._environment = environment

    def pulled(self) -> list[Pulled]:
        """What was pulled, by name; what was broken off is not among them."""
        notes = sorted(self.folder.glob(f"*/{_NOTE}")) if self.folder.is_dir() else []
        return [note for path in notes if (note := _read(path)) is not None]

    def find(self, repo: str) -> Pulled | None:
        """The model of a repository, named in any case, pulled or in the hub's cache."""
        wanted = repo.lower()
        pulled = next((note for note in self.pulled() if note.repo.lower() == wanted), None)
        return pulled or next((found for found in self._cached() if found.repo.lower() == wanted), None)

    def place(self, repo: str) -> Path:
        """Where a repository is pulled to."""
        return self.folder / repo.replace("/", "--")

    def note(self, pulled: Pulled) -> None:
        """Put a pulled model on record; from then on it is there."""
        path = self.place(pulled.repo) / _NOTE
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(pulled))
        partial.replace(path)

    def remove(self, repo: str) -> Pulled | None:
        """Delete a pulled model, or what an unfinished pull has left; None when there is neither.

        What lies in the hub's cache is not ours and stays.
        """
        found = next((note for note in self.pulled() if note.repo.lower() == repo.lower()), None)
        place = Path(found.folder) if found else self.place(repo)
        if not place.is_dir():
            return None
        (place / _NOTE).unlink(missing_ok=True)  # first, so that half a model never passes for a whole one
        shutil.rmtree(place)
        return found or Pulled(repo=repo, revision="", folder=str(place))

    def _cached(self) -> Iterator[Pulled]:
        for folder in sorted(self._cache.glob("models--*--*")) if self._cache.is_dir() else ():
            owner, _, name = folder.name.removeprefix("models--").partition("--")
            try:
                revision = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
            except OSError:
                continue
            snapshot = folder / "snapshots" / revision
            if any((snapshot / index).is_file() for index in ("model_index.json", "modular_model_index.json")):
                yield Pulled(repo=f"{owner}/{name}", revision=revision, folder=str(snapshot))

    @property
    def _cache(self) -> Path:
        """Where huggingface_hub keeps what it downloads, by its own variables."""
        env = self._environment
        if cache := env.get("HF_HUB_CACHE") or env.get("HUGGINGFACE_HUB_CACHE"):
            return Path(cache).expanduser()
        home = env.get("HF_HOME") or os.path.join(env.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")  # noqa: PTH118
        return Path(home).expanduser() / "hub"


def _read(path: Path) -> Pulled | None:
    try:
        note = msgspec.json.decode(path.read_bytes(), type=Pulled)
    except (OSError, RecursionError, msgspec.MsgspecError):
        return None
    return msgspec.structs.replace(note, folder=str(path.parent))
