"""Records to bytes and back, and the columns beside them that are searched and summed."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..budget import Budget, micro
from ..errors import LedgerError
from ..retry import PROVIDER_FAULTS
from ..states import Attempt, Event, JobRecord

__all__ = ["attempt_columns", "encoded", "job_columns", "read_budget", "read_event", "read_job"]

T = TypeVar("T")


def encoded(record: msgspec.Struct) -> bytes:
    """A record as JSON."""
    try:
        return msgspec.json.encode(record, enc_hook=str)
    except UnicodeEncodeError:  # half a character, as some vendors cut their messages
        plain = msgspec.to_builtins(record, enc_hook=str)
        return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")


def read_job(doc: bytes, version: int) -> JobRecord:
    """A job from its document.

    Raises:
        LedgerError: It cannot be read.
    """
    job = _read(doc, JobRecord, "A job")
    return msgspec.structs.replace(job, version=version, attempts=tuple(map(_with_hold, job.attempts)))


def _with_hold(attempt: Attempt) -> Attempt:
    """An open attempt of the first schema, which held the top of its estimate without saying so."""
    if attempt.hold is not None or not attempt.open or attempt.quote.high is None:
        return attempt
    return msgspec.structs.replace(attempt, hold=attempt.quote.high)


def read_event(doc: bytes, seq: int) -> Event:
    """An event from its document.

    Raises:
        LedgerError: It cannot be read.
    """
    return msgspec.structs.replace(_read(doc, Event, "An event"), seq=seq)


def read_budget(doc: bytes) -> Budget:
    """A budget from its document.

    Raises:
        LedgerError: It cannot be read.
    """
    return _read(doc, Budget, "A budget")


def _read(doc: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(doc, type=kind, dec_hook=_decode)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerError(
            f"{what} of the ledger cannot be read: {error}.", hint="A newer videogen may have written it; upgrade."
        ) from error


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"cannot read {kind}")


def job_columns(job: JobRecord) -> dict[str, Any]:
    """What is kept of a job beside its document."""
    held = sum((attempt.booked for attempt in job.attempts if attempt.open), Decimal(0))
    return {
        "version": job.version,
        "status": job.status.value,
        "money": job.money.value,
        "artifact": job.artifact.value,
        "offer": job.offer,
        "updated_at": job.updated_at.timestamp(),
        "unfinished": int(not job.done),
        "held_micro": micro(held),
        "cost_micro": None if job.cost is None else micro(job.cost),
        "doc": encoded(job),
    }


def attempt_columns(attempt: Attempt) -> dict[str, Any]:
    """What is kept of an attempt."""
    finished = attempt.finished_at
    return {
        "offer": attempt.offer,
        "model": attempt.model,
        "provider": attempt.provider,
        "account": attempt.account,
        "client_ref": attempt.client_ref,
        "status": attempt.status.value,
        "provider_job_id": attempt.provider_job_id,
        "started_at": attempt.started_at.timestamp(),
        "finished_at": None if finished is None else finished.timestamp(),
        "provider_failed": int(attempt.error is not None and attempt.error.get("type") in PROVIDER_FAULTS),
        "cost_micro": None if attempt.cost is None else micro(attempt.cost),
        "cost_origin": attempt.cost_origin,
        "money": attempt.money.value,
        "booked_micro": micro(attempt.booked),
    }
