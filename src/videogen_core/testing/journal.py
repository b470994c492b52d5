"""The log of requests: what was asked, what came of it, and how often, so that tests can count."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = ["Entry", "Journal"]

_KEPT = 500_000  # entries; older ones are dropped, the counts go on


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request.

    Attributes:
        seq: Its number, from 1, in the order of arrival.
        at: When it came: real seconds since 1970.
        time: The same on the vendor's clock.
        method, path, query: As they came.
        kind: What it was for (`Kind`), or ``other``.
        origin: ``api`` or ``delivery``.
        ordinal: The how-manieth of its kind it was, from 1.
        ref: The client's own id or key, where it sent one.
        job: The vendor's id of the job it was about.
        created: Whether it made that job.
        credentials: Whether any credential came along: a key header or parameter, an authorization, a cookie, or the
            vendor's own key wherever else.
        headers: Of creates, cancels and uploads, credentials left out.
        body: Of creates and cancels, as text, cut to 1 MiB.
        status: What was answered; 0 = nothing was.
        fault: The fault that it met.
        outcome: ``answered``, ``faulty``, ``gone`` (the client left amid its request) or ``broken`` (a mistake in the
            emulator itself).
    """

    seq: int
    at: float
    time: float
    method: str
    path: str
    query: str = ""
    kind: str = "other"
    origin: str = "api"
    ordinal: int = 0
    ref: str = ""
    job: str = ""
    created: bool = False
    credentials: bool = False
    headers: dict[str, str] = {}
    body: str = ""
    status: int = 0
    fault: str = ""
    outcome: str = ""


class Journal:
    """The entries of one emulator, and their counts."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all of it."""
        self._seq = 0
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._kinds: Counter[str] = Counter()
        self.created = 0

    def open(self, now: float, method: str, path: str, query: str) -> Entry:
        """Begin an entry; ``now`` is the vendor's time."""
        self._seq += 1
        entry = Entry(seq=self._seq, at=time.time(), time=now, method=method, path=path, query=query)
        self._entries.append(entry)
        return entry

    def sort(self, entry: Entry, kind: str) -> None:
        """Say what an entry's request is for."""
        self._kinds[kind] += 1
        entry.kind, entry.ordinal = kind, self._kinds[kind]

    def job(self, entry: Entry | None, job: str, ref: str, *, created: bool) -> None:
        """Say which job an entry is about, and whether it made it."""
        self.created += created
        if entry is not None:
            entry.job, entry.ref, entry.created = job, ref or entry.ref, created

    def entries(self, kind: str | None = None, since: int = 0) -> list[Entry]:
        """Entries of a kind, or all, with a ``seq`` above ``since``."""
        found: Iterable[Entry] = self._entries
        if since:
            found = _newer(self._entries, since)
        return [entry for entry in found if kind is None or entry.kind == kind]

    def counts(self) -> dict[str, Any]:
        """Requests by kind, and how many jobs were created."""
        return {"requests": self._seq, "created": self.created, "kinds": dict(self._kinds)}


def _newer(entries: deque[Entry], since: int) -> list[Entry]:
    found: list[Entry] = []
    for entry in reversed(entries):
        if entry.seq <= since:
            break
        found.append(entry)
    return found[::-1]
