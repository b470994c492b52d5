"""``ledger``: where the record is, whether it is sound, and its care."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from videogen_core import Client, JobStatus, RequestError

from . import completion
from .options import takes
from .screen import Screen
from .tables import facts

__all__ = ["check_ledger", "export_ledger", "ledger", "migrate_ledger", "vacuum_ledger"]

_VERBS = ("check", "migrate", "export", "vacuum")
_Verb = Annotated[
    str | None, typer.Argument(metavar="[VERB]", help="See below.", autocompletion=completion.words(*_VERBS))
]
_Older = Annotated[
    str | None,
    typer.Option("--older-than", metavar="AGE", help="First delete jobs that ended so long ago: 90d, 12w, 2026-01-01."),
]


@takes()
def ledger(screen: Screen, verb: _Verb = None) -> int:
    """Say where the ledger is and what is open in it. `check`, `migrate`, `export` and `vacuum` look after it."""
    if verb is not None:
        raise RequestError(f"ledger: {verb!r} is not possible.", hint=f"Possible: {', '.join(_VERBS)}.")
    with Client() as client:
        if not client.workspace.has_ledger:
            return _nothing(screen, client)
        store = client.ledger
        version, latest = store.schema()
        unfinished = store.jobs(unfinished=True, limit=None)
        found = {
            "location": store.location,
            "schema": version,
            "latest": latest,
            "unfinished": len(unfinished),
            "unknown": sum(job.status is JobStatus.UNKNOWN for job in unfinished),
            "budgets": len(store.budgets()),
        }
    if screen.json:
        screen.emit(found)
    else:
        facts(screen, [(name, str(value)) for name, value in found.items() if name != "latest"])
    return 0


def _nothing(screen: Screen, client: Client) -> int:
    place = client.settings.ledger_path
    if screen.json:
        screen.emit({"location": place, "schema": None, "latest": None, "unfinished": 0, "unknown": 0, "budgets": 0})
    else:
        screen.line(f"{place}, made on first use")
    return 0


@takes()
def check_ledger(screen: Screen) -> int:
    """Examine the ledger: the file, every job, every attempt, every counter of money.

    The exit code is 0 when all is well, else 2. It changes nothing.
    """
    with Client() as client:
        found = client.ledger.check() if client.workspace.has_ledger else []
    if screen.json:
        screen.emit({"ok": not found, "faults": found})
    else:
        for fault in found:
            screen.line(fault)
        screen.line(f"{len(found)} {'fault' if len(found) == 1 else 'faults'}." if found else "The ledger is sound.")
    return 2 if found else 0


@takes()
def migrate_ledger(screen: Screen) -> None:
    """Bring the ledger to the schema of this version. Every command that opens it does so, too."""
    with Client() as client:
        before = _schema(client)
        version, _ = client.ledger.schema()
    before = version if before is None else before
    if screen.json:
        screen.emit({"from": before, "to": version})
    elif before == version:
        screen.line(f"The ledger has schema {version}; there is nothing to do.")
    else:
        screen.line(f"The ledger went from schema {before} to {version}.")


def _schema(client: Client) -> int | None:
    """The version that a file has before it is opened as a ledger; None where that cannot be told."""
    path = Path(client.settings.ledger_path)
    if not client.workspace.has_ledger:
        return 0
    if "://" in client.settings.ledger_path or not path.is_file():
        return None
    apsw = import_module("apsw")  # by name, as the doctor does: it is only looked at
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return int(connection.pragma("user_version"))
        finally:
            connection.close()
    except apsw.Error:
        return None  # opening it properly says what is wrong


@takes()
def export_ledger(screen: Screen) -> None:
    """Print everything in the ledger as JSON, a line each: jobs with their events, oldest first, then budgets.

    Prompts and paths are in it; keys and addresses of results are not.
    """
    with Client() as client:
        if client.workspace.has_ledger:
            for record in client.ledger.export():
                screen.line(msgspec.json.encode(record, enc_hook=str).decode())


@takes()
def vacuum_ledger(screen: Screen, older_than: _Older = None) -> None:
    """Give unused space back to the disk; with --older-than, delete old jobs first.

    Nothing is deleted without it. What is unfinished, held or unknown is never deleted, and nothing younger than 30
    days, since idempotency keys hold that long.
    """
    before = None if older_than is None else _before(older_than)
    with Client() as client:
        deleted = 0 if before is None else client.ledger.purge(before)
        client.ledger.vacuum()
    if screen.json:
        screen.emit({"deleted": deleted, "before": None if before is None else before.isoformat()})
    elif before is None:
        screen.line("Nothing was deleted.")
    else:
        screen.line(f"Deleted: {deleted}, of those that ended before {before:%Y-%m-%d %H:%M} UTC.")


def _before(text: str) -> datetime:
    """A time so long ago, or a date.

    Raises:
        RequestError: It is neither.
    """
    ago = re.fullmatch(r"(\d{1,5})([dw])", text.strip())
    try:
        if ago:
            return datetime.now(UTC) - timedelta(days=int(ago[1]) * (7 if ago[2] == "w" else 1))
        found = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError) as error:
        raise RequestError(f"--older-than: {text[:40]!r} is no age.", hint="Write 90d, 12w or 2026-01-01.") from error
    return found.astimezone(UTC)
