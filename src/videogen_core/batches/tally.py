"""Counts and notes by key in a temporary file, which goes with the process: so memory does not grow with the rows."""

from __future__ import annotations

import sqlite3

__all__ = ["Tally"]


class Tally:
    """Counts and notes. It may move from thread to thread, one at a time."""

    def __init__(self) -> None:
        # an empty name is a file without a name, which the system removes; its pages beyond the cache are on the disk
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = off")
        self._db.execute("PRAGMA synchronous = off")
        self._db.execute("CREATE TABLE counts (key TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")
        self._db.execute("CREATE TABLE notes (key TEXT PRIMARY KEY, note TEXT) WITHOUT ROWID")

    def count(self, key: str) -> int:
        """How often a key has been counted, this time included."""
        self._db.execute("INSERT INTO counts VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET number = number + 1", (key,))
        ((number,),) = self._db.execute("SELECT number FROM counts WHERE key = ?", (key,))
        return int(number)

    def start_over(self) -> None:
        """Count from nothing again; notes stay."""
        self._db.execute("DELETE FROM counts")

    def note(self, key: str, text: str) -> None:
        """Remember a text; it takes the place of an earlier one."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, text))

    def noted(self, key: str) -> str | None:
        """The text that was remembered last."""
        found = self._db.execute("SELECT note FROM notes WHERE key = ?", (key,)).fetchone()
        return None if found is None else str(found[0])

    def close(self) -> None:
        """Forget everything."""
        self._db.close()
