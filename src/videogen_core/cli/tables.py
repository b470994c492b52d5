"""Tables that fit: what does not find room on a narrow terminal is left out, never cut in the middle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .screen import Screen
from .visible import visible

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Column", "facts", "show_table"]

_GAP = 2
_LEAST = 12  # columns for the value of a fact
_STYLES = {
    "yes": "green",
    "succeeded": "green",
    "loaded": "green",
    "chosen": "bold green",
    "ok": "green",
    "free": "green",
    "no": "dim",
    "refused": "dim",
    "blocked": "dim",
    "unknown": "yellow",
    "failed": "red",
    "broken": "red",
    "deprecated": "yellow",
    "retired": "red",
    "cancelled": "dim",
    "running": "cyan",
    "queued": "cyan",
    "warning": "yellow",
    "exhausted": "red",
}


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: Its head.
        cells: One for each row.
        spare: 0 = always shown; of the others the one with the largest number goes first when room is short.
        wrap: The narrowest it may become, by wrapping between words; None = it does not wrap.
        right: Whether it is a number.
        styles: One for each row, where the words themselves do not say it.
    """

    title: str
    cells: Sequence[str]
    spare: int = 0
    wrap: int | None = None
    right: bool = False
    styles: Sequence[str] | None = None

    @property
    def natural(self) -> int:
        """Characters it takes without wrapping."""
        return max(map(_room, (self.title, *self.cells)))

    @property
    def least(self) -> int:
        """Characters it cannot do without."""
        return self.natural if self.wrap is None else min(self.wrap, self.natural)


def show_table(screen: Screen, columns: Iterable[Column], *, aside: bool = False) -> bool:
    """Print a table as the result, or aside; False when columns were left out of it."""
    wanted = [_readable(column) for column in columns if any(column.cells) or not column.spare]
    width = (screen.err if aside else screen.out).width
    kept = _fitting(wanted, width)
    widths = _widths(kept, width)
    needed = sum(widths) + _GAP * len(kept)
    screen.show(_table(kept, widths), aside=aside, width=needed if needed - _GAP > width else None)
    return len(kept) == len(wanted)


def _readable(column: Column) -> Column:
    return replace(column, cells=[visible(cell) for cell in column.cells])


def _room(text: str) -> int:
    """Columns of the terminal that a text takes; wide letters take two."""
    from rich.cells import cell_len

    return max(map(cell_len, text.split("\n")))


def _fitting(columns: list[Column], width: int) -> list[Column]:
    kept = list(columns)
    while sum(column.least + _GAP for column in kept) > width:
        spare = max(kept, key=lambda column: column.spare)
        if not spare.spare:
            break
        kept.remove(spare)
    return kept


def _widths(columns: list[Column], width: int) -> list[int]:
    """What is left over goes to the columns that wrap, to each in proportion to what it lacks."""
    left = width - sum(column.least + _GAP for column in columns)
    lacking = sum(column.natural - column.least for column in columns)
    share = max(0.0, min(1.0, left / lacking)) if lacking else 0.0
    return [column.least + int(share * (column.natural - column.least)) for column in columns]


def _table(columns: list[Column], widths: list[int]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=column.wrap is None,
            width=width,
            overflow="fold",
        )
    for cells in zip(*(_styled(column) for column in columns), strict=True):
        table.add_row(*(Text(cell, style=style) for cell, style in cells))
    return table


def _styled(column: Column) -> list[tuple[str, str]]:
    styles = column.styles or [_STYLES.get(cell, "") for cell in column.cells]
    return list(zip(column.cells, styles, strict=True))


def facts(screen: Screen, rows: Iterable[tuple[str, str]]) -> None:
    """Print names with their values, aligned; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    told = [(name, value) for name, value in rows if value]
    for name, value in told:
        table.add_row(name, Text(visible(value), style=_STYLES.get(value, "")))
    needed = max((_room(name) for name, _ in told), default=0) + _GAP + _LEAST
    screen.show(table, width=needed if needed > screen.out.width else None)
