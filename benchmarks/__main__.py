"""Run the benchmarks: ``python -m benchmarks [name ...] [--json FILE] [--page FILE] [--strict]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import crowd, estimates, fetches, imports, jobs, lanes, ledger, local, polling, rivals, routes
from .figures import Figure, machine, report, show, write_page

BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "imports": imports.measure,
    "estimates": estimates.measure,
    "routes": routes.measure,
    "ledger": ledger.measure,
    "jobs": jobs.measure,
    "crowd": crowd.measure,
    "rivals": rivals.measure,
    "lanes": lanes.measure,
    "polling": polling.measure,
    "fetches": fetches.measure,
    "local": local.measure,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and say by the exit code whether every limit holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(BENCHMARKS)}; all when none is given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the figures into a page of the documentation")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a limit is missed")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {min(unknown)!r}")
    print(f"{machine()}; medians of repeated runs, baselines measured in the same run")
    groups: dict[str, list[Figure]] = {}
    for name in chosen.names or BENCHMARKS:
        groups[name] = BENCHMARKS[name]()
        print(f"\n{name}\n{show(groups[name])}", flush=True)
        if chosen.page is not None:
            write_page(chosen.page, groups)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(report(groups), indent=2) + "\n", encoding="utf-8")
    missed = [figure.name for figures in groups.values() for figure in figures if figure.verdict == "FAIL"]
    print(f"\n{len(missed)} limits missed" + "".join(f"\n  {name}" for name in missed))
    return 1 if missed and chosen.strict else 0


if __name__ == "__main__":
    sys.exit(main())
