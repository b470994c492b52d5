"""A large file over loopback: our download client beside curl, in MB/s and in memory.

Ours is all that a download is: the guarded client, a checksum over every byte, the container walked through, the
first and the last frame decoded, fsync and rename. curl writes and checks nothing, so it is timed with a checksum and
synced as well.
"""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .figures import Figure
from .vendor import serving

MEGABYTES = 256
TURNS = 3


def measure() -> list[Figure]:
    """In turns, so that a neighbour's load falls on both."""
    curl = shutil.which("curl")
    ours, theirs, checked = list[dict[str, float]](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        address, path = f"{url}/bytes/{MEGABYTES * 2**20}", Path(folder) / "clip"
        for _ in range(TURNS):
            ours.append(_run(address, path))
            if curl is not None:
                fetch = f"{curl} -sS -o '{path}' '{address}'"
                theirs.append(_timed(fetch, path))
                checked.append(_timed(f"{fetch} && sha256sum '{path}' > /dev/null && sync '{path}'", path))
    seconds = statistics.median(run["seconds"] for run in ours)
    beside = (
        f"curl {MEGABYTES / statistics.median(theirs):,.0f} MB/s, with a checksum and synced "
        f"{MEGABYTES / statistics.median(checked):,.0f} MB/s"
        if theirs
        else "curl is not installed"
    )
    grown = statistics.median(run["grown_mb"] for run in ours)
    return [
        Figure(name=f"download of {MEGABYTES} MB", value=MEGABYTES / seconds, unit="MB/s", baseline=beside),
        Figure(name=f"download of {MEGABYTES} MB: memory that it takes", value=grown, unit="MB", limit=16),
    ]


def _timed(command: str, path: Path) -> float:
    path.unlink(missing_ok=True)
    start = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", command], check=True)
    return time.perf_counter() - start


def _run(address: str, path: Path) -> dict[str, float]:
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.fetches", address, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def _work(address: str, path: Path) -> None:
    from videogen_core import Output
    from videogen_core.downloads import save

    small = address.rpartition("/")[0] + "/1000"
    await save(Output(url=small), path.with_name("small"), allow_private=True, overwrite=True, probe_in_process=True)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    await save(Output(url=address), path, allow_private=True, probe_in_process=True)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "grown_mb": (after - before) / 1024}))


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], Path(sys.argv[2])))
