"""What a benchmark gives back, and how it is timed and shown."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value.

    Attributes:
        name: What was measured.
        value: The figure itself: a median unless it is a count.
        unit: Its unit; ``x`` for a ratio.
        limit: What it must not exceed; None = for information.
        baseline: What it is to be seen beside, measured in the same run.
        note: What a reader must know to judge it.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    baseline: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """``pass``, ``FAIL``, or nothing where there is no limit."""
        if self.limit is None:
            return ""
        return "pass" if self.value <= self.limit else "FAIL"

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return {**asdict(self), "verdict": self.verdict}


def machine() -> str:
    """What it was measured on, without naming the machine; the loop tells a slow or busy one from a slow library."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    loop = 1000 * median_call(lambda: sum(number * number for number in range(500_000)), repeat=5)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{python}, {os.cpu_count()} cores{load}, half a million turns of a loop in {loop:.0f} ms"


def interpreter_times(programs: Sequence[str], home: Path, *, repeat: int) -> list[float]:
    """Median wall seconds of running each program in a fresh interpreter.

    The programs take turns, so that a neighbour's load falls on all of them; the first round, which may have to
    compile bytecode, is thrown away.
    """
    environment = clean_environment(home)
    seconds: list[list[float]] = [[] for _ in programs]
    for turn in range(repeat + 1):
        for place, program in enumerate(programs):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], env=environment, cwd=home, check=True)
            if turn:
                seconds[place].append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def clean_environment(home: Path) -> dict[str, str]:
    """The environment without anyone's videogen settings, and with a home that holds nothing."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIDEOGEN_")}
    return {**kept, "VIDEOGEN_HOME": str(home / "home"), "VIDEOGEN_CONFIG_DIR": str(home / "config")}


def median_call(function: Callable[[], object], *, repeat: int) -> float:
    """Median seconds of one call that only computes: CPU time, which a busy neighbour does not stretch."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def show(figures: Sequence[Figure]) -> str:
    """The figures as a table that a person can read."""
    rows = []
    for figure in figures:
        limit = "" if figure.limit is None else f"limit {_number(figure.limit)} {figure.unit}"
        rows.append((figure.verdict, figure.name, f"{_number(figure.value)} {figure.unit}", limit, figure.baseline))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row, figure in zip(rows, figures, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if figure.note:
            lines.append(f"{'':{widths[0]}}    {figure.note}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) or value >= 100 else f"{value:.2f}"


def report(groups: Mapping[str, Sequence[Figure]]) -> dict[str, Any]:
    """Everything as plain JSON data."""
    return {
        "machine": machine(),
        "figures": [{"benchmark": name, **f.to_dict()} for name, figures in groups.items() for f in figures],
    }


_BEGIN, _END = "<!-- figures -->", "<!-- end of figures -->"


def write_page(path: Path, groups: Mapping[str, Sequence[Figure]]) -> None:
    """Put the figures, with date and machine, between the two marks of a page."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(_BEGIN)
    after = rest.partition(_END)[2]
    parts = [f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine()}."]
    for name, figures in groups.items():
        parts.append(
            f"### {name}\n\n| what | figure | limit | beside |\n|---|---|---|---|\n" + "\n".join(map(_row, figures))
        )
    path.write_text(f"{before}{_BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{_END}{after}", encoding="utf-8")


def _row(figure: Figure) -> str:
    limit = "" if figure.limit is None else f"{_number(figure.limit)} {figure.unit}, {figure.verdict}"
    beside = "; ".join(filter(None, (figure.baseline, figure.note)))
    cells = (figure.name, f"{_number(figure.value)} {figure.unit}", limit, beside)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
