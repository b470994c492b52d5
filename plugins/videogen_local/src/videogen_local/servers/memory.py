"""What is known of a server from before: which model it serves, and how fast it has been.

It lies in the provider's folder, one file per server, so that questions about offers need no network. That it cannot be
read or written is no news: the server is asked again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import msgspec

__all__ = ["Known", "Memory"]

_MOST = 20  # jobs of one resolution whose pace is remembered


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says of its model.

    Attributes:
        model: As it is called there.
        pipeline: Its class in diffusers; "" = not said.
        task_type: ``T2V``, ``I2V`` or ``TI2V``; "" = not said.
    """

    model: str
    pipeline: str = ""
    task_type: str = ""


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """One server; what it said is of those addresses only."""

    urls: tuple[str, ...] = ()
    known: Known | None = None
    paces: Mapping[str, tuple[float, ...]] = {}


class Memory:
    """What is kept of one server.

    Args:
        folder: The provider's own.
        name: Of the server.
        urls: Its addresses; what was said at others is forgotten.
    """

    def __init__(self, folder: Path, name: str, urls: tuple[str, ...]) -> None:
        self._path = folder / "servers" / f"{name}.json"
        self._urls = urls

    def known(self) -> Known | None:
        """What it serves, as it last said."""
        return self._read().known

    def paces(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Seconds of work per second of clip that it has taken, least and most, by resolution."""
        ends = {name: (min(found), max(found)) for name, found in self._read().paces.items() if found}
        return {name: (Decimal(str(low)), Decimal(str(high))) for name, (low, high) in ends.items()}

    def learn(self, known: Known) -> None:
        """Keep what it serves. The pace of another model is forgotten."""
        before = self._read()
        paces = before.paces if before.known is None or before.known.model == known.model else {}
        if before.known != known:
            self._write(_File(urls=self._urls, known=known, paces=paces))

    def took(self, resolution: str, pace: float) -> None:
        """Keep how long a job took.

        Args:
            resolution: Of the clip; "" = not chosen.
            pace: Seconds of work per second of clip.
        """
        before = self._read()
        found = (*before.paces.get(resolution, ()), round(pace, 3))[-_MOST:]
        self._write(msgspec.structs.replace(before, urls=self._urls, paces={**before.paces, resolution: found}))

    def _read(self) -> _File:
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except (OSError, msgspec.MsgspecError):
            return _File()
        return found if found.urls == self._urls else _File()

    def _write(self, file: _File) -> None:
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            partial.write_bytes(msgspec.json.encode(file))
            partial.replace(self._path)
