"""The results file: a line of JSON for each row that has come to an end, the last one of a row counts.

It is for people and their programs. What has been paid for is on record in the ledger; lose this file, and the next run
writes it anew.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import msgspec

from ..errors import ConfigurationError
from .report import BatchRow
from .tally import Tally

__all__ = ["Results"]

_MAX_LINE = 16 * 1024**2


class Results:
    """Appends rows, each durable when `add` returns; rows that are there already, just so, are not repeated. Blocks.

    Args:
        path: The file; None = there is none.
        tally: Remembers what each row's last line says.

    Raises:
        ConfigurationError: It cannot be read or written.
    """

    def __init__(self, path: Path | None, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        if path is not None:
            with _failing(path):
                self._read(path)

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        with path.open("rb") as file:
            while line := file.readline(_MAX_LINE):
                with suppress(msgspec.DecodeError):  # torn by a crash, or somebody else's
                    row = msgspec.json.decode(line, type=BatchRow)
                    self._tally.note(row.key, _said(row))

    def open(self) -> None:
        """Make sure that it can be written."""
        with self._lock:
            if self._path is not None and self._descriptor is None:
                with _failing(self._path):
                    self._descriptor = _opened(self._path)

    def add(self, row: BatchRow) -> None:
        """Append a row, unless its last line says the same."""
        with self._lock:
            if self._path is None or self._descriptor is None or self._tally.noted(row.key) == _said(row):
                return
            with _failing(self._path):
                _write(self._descriptor, msgspec.json.encode(row) + b"\n")
            self._tally.note(row.key, _said(row))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def _said(row: BatchRow) -> str:
    return f"{row.status} {row.job_id}"


def _opened(path: Path) -> int:
    """The file, ready to be appended to: behind a line that was torn by a crash begins a new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        torn = file.read(1) not in (b"", b"\n")
    if torn:
        _write(descriptor, b"\n")
    return descriptor


def _write(descriptor: int, line: bytes) -> None:
    """One write, so that lines of two processes do not mix, and one that is on the disk when it returns."""
    written = os.write(descriptor, line)
    while written < len(line):
        written += os.write(descriptor, line[written:])
    os.fsync(descriptor)


class _failing:  # noqa: N801
    """What the system refuses, as our error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError):
            raise ConfigurationError(
                f"The results file {self._path} cannot be used: {error.strerror}.",
                hint="Nothing is lost: run the batch again once it can be written.",
            ) from error
