"""A thousand requests at once: through our client, which lets some through at a time, and through a plain httpx client,
in whose pool they wait. The vendor is on loopback, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

from .figures import Figure
from .vendor import serving

SIZES = (100, 1_000)
LIMIT = 2.0


def measure() -> list[Figure]:
    """CPU and wall time of each request, the most at once beside a hundred at once, and beside httpx alone."""
    figures, few = [], 0.0
    with serving() as url:
        for count in SIZES:
            ours, theirs = _run("ours", count, url), _run("httpx", count, url)
            few = few or ours["cpu_ms"]
            figures.append(
                Figure(
                    name=f"{count:,} requests at once: CPU of each",
                    value=ours["cpu_ms"],
                    unit="ms",
                    limit=None if count == SIZES[0] else LIMIT * few,
                    baseline=f"done in {ours['wall_s']:.1f} s; with httpx alone {theirs['cpu_ms']:.1f} ms of CPU each, "
                    f"done in {theirs['wall_s']:.1f} s",
                )
            )
    return figures


def _run(who: str, count: int, url: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.lanes", who, str(count), url]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def _work(who: str, count: int, url: str) -> None:
    import httpx

    from videogen_core import transport

    plain = httpx.Limits(max_connections=100, max_keepalive_connections=0)
    client = httpx.AsyncClient(limits=plain, timeout=600) if who == "httpx" else transport.client(timeout=600)
    async with client as http:
        await http.get(f"{url}/v1/videos/1")
        cpu, wall = time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(http.get(f"{url}/v1/videos/{number}"))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu_ms": 1000 * cpu / count, "wall_s": wall}))


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
