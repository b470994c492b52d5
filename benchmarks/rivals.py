"""One job after the other's start, sixteen at a time, against the same vendor on loopback: create, poll, download.

By a bare httpx loop, by the vendor's own SDK (``openai``), by LiteLLM, and by videogen. Only the last one writes a
ledger (each step durable on the disk), holds a budget, checks the clip by decoding it and stores it under its name by
renaming; LiteLLM and the SDK return its bytes, which are written to a file. CPU is that of the process and of its
children, so the child in which videogen decodes is counted.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from .figures import Figure, clean_environment
from .vendor import serving

JOBS = 150
AT_ONCE = 16
TURNS = 3
WHO = {"httpx": "a bare httpx loop", "openai": "the openai SDK", "litellm": "LiteLLM", "videogen": "videogen"}
Make = Callable[[int], Awaitable[None]]


def measure() -> list[Figure]:
    """CPU and wall time of a job, in turns so that a neighbour's load falls on all."""
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        for turn in range(TURNS):
            for who in WHO:
                if who == "videogen" or importlib.util.find_spec(who) is not None:
                    found.setdefault(who, []).append(_run(who, url, Path(folder) / f"{who}-{turn}"))
    median = {who: {k: statistics.median(run[k] for run in runs) for k in runs[0]} for who, runs in found.items()}
    bare = median["httpx"]
    figures = []
    for who, name in WHO.items():
        if who not in median:
            figures.append(Figure(name=f"{name}: not installed", value=0, unit="ms", note=f"pip install {who}"))
            continue
        run = median[who]
        figures.append(
            Figure(
                name=f"{name}: CPU of a job",
                value=run["cpu_ms"],
                unit="ms",
                baseline=f"{run['cpu_ms'] / bare['cpu_ms']:.1f} times the bare loop; "
                f"{run['wall_ms']:.1f} ms of wall time; importing and the first job {run['first_ms']:.0f} ms; "
                f"{run['peak_mb']:.0f} MB at most",
                note=f"{JOBS} jobs, {AT_ONCE} at a time, {TURNS} turns" if who == "httpx" else "",
            )
        )
    return figures


def _run(who: str, url: str, folder: Path) -> dict[str, float]:
    folder.mkdir()
    environment = {**clean_environment(folder), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    command = [sys.executable, "-m", "benchmarks.rivals", who, url, str(folder)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


# --- what the process of a run does


async def _work(who: str, url: str, folder: Path) -> None:
    start = time.perf_counter()
    make = await {"httpx": _httpx, "openai": _openai, "litellm": _litellm, "videogen": _videogen}[who](url, folder)
    await make(-1)
    first = time.perf_counter() - start
    cpu, wall, places = _cpu(), time.perf_counter(), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            await make(number)

    async with asyncio.TaskGroup() as group:
        for number in range(JOBS):
            group.create_task(one(number))
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    if len(list(folder.glob("*.mp4"))) != JOBS + 1:  # noqa: ASYNC240
        raise SystemExit(f"{who}: not every clip is there")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = {"cpu_ms": 1000 * cpu / JOBS, "wall_ms": 1000 * wall / JOBS, "first_ms": 1000 * first, "peak_mb": peak}
    print(json.dumps(told), flush=True)
    os._exit(0)  # how each takes itself down is no figure of ours


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


async def _httpx(url: str, folder: Path) -> Make:
    import httpx

    http = httpx.AsyncClient(base_url=f"{url}/v1")

    async def make(number: int) -> None:
        job = (await http.post("/videos", json={"model": "sora-2", "prompt": f"boat {number}"})).json()
        while (await http.get(f"/videos/{job['id']}")).json()["status"] != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (folder / f"{number}.mp4").write_bytes((await http.get(f"/videos/{job['id']}/content")).content)

    return make


async def _openai(url: str, folder: Path) -> Make:
    import openai

    client = openai.AsyncOpenAI(api_key="none", base_url=f"{url}/v1")

    async def make(number: int) -> None:
        job = await client.videos.create(model="sora-2", prompt=f"boat {number}")
        while (await client.videos.retrieve(job.id)).status != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (folder / f"{number}.mp4").write_bytes((await client.videos.download_content(job.id)).content)

    return make


async def _litellm(url: str, folder: Path) -> Make:
    import litellm

    where: dict[str, Any] = {"custom_llm_provider": "openai", "api_base": f"{url}/v1", "api_key": "none"}

    async def make(number: int) -> None:
        job: Any = await litellm.avideo_generation(prompt=f"boat {number}", model="sora-2", **where)
        while (await litellm.avideo_status(video_id=job.id, **where)).status != "completed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        (folder / f"{number}.mp4").write_bytes(await litellm.avideo_content(video_id=job.id, **where))

    return make


async def _videogen(url: str, folder: Path) -> Make:
    from videogen_core import AsyncClient

    client = AsyncClient(home=folder / "home", plugins=[_provider(url)], allow_private_addresses=True)

    async def make(number: int) -> None:
        await client.generate(f"boat {number}", model="sora-2", output=folder / f"{number}.mp4")

    return make


def _provider(url: str) -> Any:
    from videogen_core import (
        Context,
        JobStatus,
        Output,
        Provider,
        ProviderJob,
        Session,
        Snapshot,
        Submission,
        SubmitCall,
    )
    from videogen_core.calls import call as send
    from videogen_core.request import Task
    from videogen_core.spec import Defaults, Mode, ModelSpec, Price

    class Loopback(Provider):
        name: ClassVar[str] = "loopback"
        concurrency: ClassVar[int] = 1_000

        def models(self) -> tuple[ModelSpec, ...]:
            mode = Mode(tasks=(Task.TEXT_TO_VIDEO,), durations=(1.0,), resolutions=("144p",), aspect_ratios=("16:9",))
            price = Price(amount=Decimal("0.10"))
            about = {"default": Defaults(duration=1.0), "prices": (price,), "source": "benchmarks"}
            return (ModelSpec(id="loopback/sora-2", modes=(mode,), as_of=date(2026, 11, 21), **about),)  # type: ignore[arg-type]

        def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
            return

        def connect(self, context: Context) -> Session:
            return LoopbackSession(context.http(base_url=f"{url}/v1"))

    class LoopbackSession(Session):
        def __init__(self, http: Any) -> None:
            self._http = http

        async def submit(self, call: SubmitCall) -> Submission:
            body = {"model": call.spec.model or "sora-2", "prompt": call.request.prompt}
            answer = await send(self._http, "POST", "/videos", provider="loopback", action="submit", json=body)
            return Submission(provider_job_id=answer.json()["id"], poll_after=0.0)

        async def poll(self, job: ProviderJob) -> Snapshot:
            path = f"/videos/{job.provider_job_id}"
            answer = await send(self._http, "GET", path, provider="loopback", action="poll")
            if answer.json()["status"] != "completed":
                return Snapshot(status=JobStatus.RUNNING, poll_after=0.01)
            return Snapshot(status=JobStatus.SUCCEEDED, outputs=(Output(url=f"{url}/v1{path}/content"),))

    return Loopback()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
