"""``costs``: what was spent, from the ledger."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import typer

from videogen_core import Client, CostLine, RequestError

from . import completion
from .options import takes
from .screen import Screen
from .tables import Column, show_table
from .words import dollars

__all__ = ["costs"]

_By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="WHAT",
        help="model, offer, provider, day, tag:KEY or total.",
        autocompletion=completion.words("model", "offer", "provider", "day", "tag:", "total"),
    ),
]
_Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Attempts that began then or later: 7d, or 2026-11-01.")
]
_Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Attempts that began before.")]
_Csv = Annotated[bool, typer.Option("--csv", help="Comma-separated values, for a spreadsheet.")]

_LONG, _SHORT = 20, 10  # characters of the longest bar, and where the terminal is narrow
_WIDE = 100
_EIGHTHS = "▏▎▍▌▋▊▉█"

_NUMBERS = tuple(name for name in CostLine.__struct_fields__ if name != "key")


@takes()
def costs(screen: Screen, by: _By = "model", since: _Since = None, until: _Until = None, csv: _Csv = False) -> None:
    """Sum up what was spent, on a terminal with a bar for each share. Days are those of the setting `timezone`."""
    if csv and screen.json:
        raise RequestError("--csv and --json exclude each other.")
    with Client() as client:
        lines = client.costs(by=by, since=since, until=until)
    if csv:
        _write(by, lines)
    elif screen.json:
        document = {"by": by, "since": since, "until": until}
        screen.emit({**document, "lines": [line.to_dict() for line in lines], "total": _total(lines).to_dict()})
    elif lines:
        _show(screen, by, lines)
    else:
        screen.say("Nothing was asked for in that time.")


def _total(lines: Sequence[CostLine]) -> CostLine:
    sums = {name: sum((getattr(line, name) for line in lines), getattr(CostLine(key=""), name)) for name in _NUMBERS}
    return CostLine(key="total", **sums)


def _write(by: str, lines: Sequence[CostLine]) -> None:
    """A line for each group and none for the total, so that whoever adds them up gets it right."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([by, *_NUMBERS])
    for line in lines:
        row = line.to_dict()
        writer.writerow([line.key, *(row[name] for name in _NUMBERS)])


def _show(screen: Screen, by: str, lines: Sequence[CostLine]) -> None:
    total = _total(lines)
    rows = [*lines, total] if by != "total" else [total]
    bold = ["" for _ in lines] + ["bold"] if by != "total" else None

    def numbers(name: str, title: str, *, spare: int = 0) -> Column:
        cells = [str(getattr(row, name)) for row in rows]
        return Column(title, cells if getattr(total, name) else [""] * len(rows), right=True, spare=spare, styles=bold)

    def money(name: str, title: str, *, spare: int = 0) -> Column:
        cells = [_usd(getattr(row, name)) for row in rows]
        shown = not spare or bool(getattr(total, name))
        return Column(title, cells if shown else [""] * len(rows), right=True, spare=spare, styles=bold)

    complete = show_table(
        screen,
        [
            Column(by.removeprefix("tag:"), [*_keys(lines, by), "total"][-len(rows) :], wrap=16, styles=bold),
            numbers("attempts", "attempts", spare=1),
            numbers("succeeded", "succeeded", spare=5),
            numbers("failed", "failed", spare=3),
            numbers("unknown", "unknown", spare=2),
            money("spent", "spent"),
            _bars(screen, [row.spent for row in rows], of=total.spent),
            money("spent_on_failures", "on failures", spare=6),
            money("assumed", "assumed", spare=7),
            money("held", "held", spare=4),
        ],
    )
    _remark(screen, total, complete=complete)


def _bars(screen: Screen, amounts: Sequence[Decimal], *, of: Decimal) -> Column:
    """A bar for each share of a sum, for a terminal; none beside the sum itself."""
    drawn = screen.out.file.isatty() and len(amounts) > 2 and of > 0
    most = max(amounts[:-1], default=of)
    longest = _LONG if screen.out.width >= _WIDE else _SHORT
    cells = [_bar(longest * amount / most, screen.out.encoding) if drawn and most else "" for amount in amounts[:-1]]
    return Column("", [*cells, ""], spare=4, styles=["cyan"] * len(amounts))


def _bar(length: Decimal, encoding: str) -> str:
    """A bar of so many characters, to an eighth of one where the encoding has them; something is never nothing."""
    try:
        _EIGHTHS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "#" * max(round(length), 1 if length > 0 else 0)
    whole, rest = divmod(max(round(length * 8), 1 if length > 0 else 0), 8)
    return _EIGHTHS[-1] * whole + (_EIGHTHS[rest - 1] if rest else "")


def _keys(lines: Sequence[CostLine], by: str) -> list[str]:
    """A group without a name is that of jobs without the tag."""
    return [line.key or ("(no tag)" if by.startswith("tag:") else "(unknown)") for line in lines]


def _remark(screen: Screen, total: CostLine, *, complete: bool) -> None:
    if total.assumed:
        screen.say(
            f"{_usd(total.assumed)} of it is assumed; `videogen jobs settle JOB --cost USD` corrects it.",
            "yellow",
        )
    if total.unpriced:
        screen.say(f"The cost of {total.unpriced} attempts is not known at all; they count as nothing.", "yellow")
    if total.unknown:
        screen.say("`videogen jobs --unknown` shows what nobody knows the outcome of.", "yellow")
    if not complete:
        screen.say("A wider terminal shows more columns, --csv and --json show all.", "dim")


def _usd(amount: Decimal) -> str:
    return dollars(amount) if amount else "$0.00"
