"""The numbered migrations: SQL files, written for SQLite and translated for other databases."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

from ..errors import LedgerError

__all__ = ["LATEST", "newer", "statements", "translated"]

LATEST = 2
"""The schema that this library writes."""


@cache
def statements(number: int) -> tuple[str, ...]:
    """The statements of one migration, from 1 to `LATEST`."""
    folder = resources.files(__package__).joinpath("migrations")
    (file,) = (entry for entry in folder.iterdir() if entry.name.startswith(f"{number:04}_"))
    lines = file.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return tuple(part.strip() for part in text.split(";\n") if part.strip(" ;\n"))


def translated(number: int, words: Mapping[str, str]) -> tuple[str, ...]:
    """The same, with words of one dialect replaced by those of another."""
    found = []
    for statement in statements(number):
        for word, other in words.items():
            statement = statement.replace(word, other)
        found.append(statement)
    return tuple(found)


def newer(location: str, version: int) -> LedgerError:
    """The error of a ledger from the future."""
    return LedgerError(
        f"The ledger {location} was written by a newer videogen (schema {version}; this one knows {LATEST}).",
        hint="Upgrade videogen-core. Nothing was changed.",
    )
