"""A thousand concurrent jobs through ``AsyncClient.generate``: CPU of each, ledger writes included.

The jobs are identical and small (1 s, 144p, 8 fps, no delay). The sandbox therefore draws the clip once and hands out
its bytes again: what is measured is the library's own work for a job, from checking the request through the ledger's
transactions, polls and the download to probing and renaming the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .figures import Figure, clean_environment

JOBS = 1000
LIMIT_MS = 10.0
CLIP: dict[str, Any] = {"model": "sandbox", "duration": 1, "resolution": "144p", "fps": 8}
PROMPT = "A paper boat drifting down a rainy street"


def measure(*, repeat: int = 3) -> list[Figure]:
    """The median of a few runs, each in a process of its own so that its peak memory is its own."""
    runs = [_run(JOBS) for _ in range(repeat)]
    run = sorted(runs, key=lambda found: float(found["cpu_ms"]))[len(runs) // 2]
    wall = run["wall_s"]
    return [
        Figure(
            name=f"{JOBS:,} concurrent sandbox jobs: CPU of each",
            value=run["cpu_ms"],
            unit="ms",
            limit=LIMIT_MS,
            baseline=f"drawing one such clip {run['render_ms']:.1f} ms, probing one {run['probe_ms']:.1f} ms of CPU",
            note=f"identical requests, 1 s at 144p and 8 fps, ledger in SQLite with FULL sync; {run['files']} files "
            f"found, {run['succeeded']} jobs succeeded in the ledger; all runs: "
            + ", ".join(f"{found['cpu_ms']:.1f}" for found in runs),
        ),
        Figure(name=f"{JOBS:,} concurrent sandbox jobs: wall time", value=wall, unit="s"),
        Figure(
            name=f"{JOBS:,} concurrent sandbox jobs: peak memory",
            value=run["peak_mb"],
            unit="MB",
            baseline=f"after one job {run['before_mb']:.0f} MB",
        ),
    ]


def _run(jobs: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.jobs", str(jobs), folder],
            env=clean_environment(Path(folder)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


# --- what the process of a run does


async def _work(jobs: int, folder: Path) -> dict[str, float]:
    import videogen

    async with videogen.AsyncClient(home=folder / "home") as client:
        sample = await client.generate(PROMPT, output=folder / "first.mp4", **CLIP)  # loads what there is to load
        before_mb, cpu, wall = _peak_mb(), time.process_time(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(jobs):
                group.create_task(client.generate(PROMPT, output=folder / f"{number}.mp4", **CLIP))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        peak_mb = _peak_mb()
        stored = [job for job in await client.jobs(status="succeeded", limit=None) if job.artifact == "stored"]
    files = _clips(folder, sample.videos[0].size)
    if len(files) != jobs or len(stored) != jobs + 1:
        raise SystemExit(f"{len(files)} files and {len(stored)} stored jobs, {jobs} were asked for")
    return {
        "cpu_ms": 1000 * cpu / jobs,
        "wall_s": wall,
        "peak_mb": peak_mb,
        "before_mb": before_mb,
        "files": len(files),
        "succeeded": len(stored) - 1,
        "render_ms": _render_ms(),
        "probe_ms": _probe_ms(files[0]),
    }


def _clips(folder: Path, size: int) -> list[Path]:
    """The clips of the run, each as long as the sample."""
    return [path for path in folder.glob("*.mp4") if path.name != "first.mp4" and path.stat().st_size == size]


def _peak_mb() -> float:
    """Peak resident memory so far; kilobytes on Linux, bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _render_ms(repeat: int = 10) -> float:
    """CPU of drawing and encoding one such clip, each with a seed of its own so that none is remembered."""
    from videogen_core.sandbox.render import RenderSpec, render

    start = time.process_time()
    for seed in range(repeat):
        render(RenderSpec(prompt=PROMPT, width=256, height=144, fps=8, duration=1, seed=seed))
    return 1000 * (time.process_time() - start) / repeat


def _probe_ms(path: Path, repeat: int = 20) -> float:
    """CPU of opening a clip with PyAV and decoding its first frame: the least that verifying it can cost."""
    import av

    start = time.process_time()
    for _ in range(repeat):
        with av.open(os.fspath(path)) as clip:
            next(clip.decode(video=0))
    return 1000 * (time.process_time() - start) / repeat


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_work(int(sys.argv[1]), Path(sys.argv[2])))))
