"""The recipe of docs/how-to/servers.md: two workers of the plugin behind Ray Serve."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray.serve", reason="ray is not installed; `nox -s tests_ray` runs this")
pytest.importorskip("diffusers", reason="diffusers is not installed; `nox -s tests_ray` runs this")

from tiny import save
from videogen_core import AsyncClient, JobCancelledError

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("default")]
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "servers.md"
SECONDS = 240.0


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Served:
    """The recipe, running."""

    url: str
    model: Path
    log: Path

    def workers(self) -> set[str]:
        """Processes that have made a clip."""
        calls = re.findall(r"Worker pid=(\d+)\).* CALL make OK", self.log.read_text(encoding="utf-8"))
        return set(calls)

    def settings(self) -> dict[str, Any]:
        """As the page has them, with this address and this model."""
        own = {
            "like": "sglang",
            "models": ["/v1/models"],
            "cancel": "abort",
            "reconcile": "by_list",
            "fixed_seed": False,
        }
        name = f"local/{self.model}"
        server = {"url": self.url, "model": name, "like": "small", "usd_per_hour": 3.6, "dialect": own}
        return {"local": {"models": {"small": str(self.model)}, "servers": {"ray": server}}}


def recipe() -> str:
    """The block of the page that is the server."""
    found = re.search(r'```python title="videos.py"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.S)
    assert found is not None, f"{PAGE} shows no videos.py"
    return found[1]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("ray")
    model = save("wan", folder / "small")
    (folder / "videos.py").write_text(recipe(), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "VIDEOS_MODEL": f"local/{model}",
        "VIDEOS_PORT": str(port),
        "VIDEOGEN_CONFIG_DIR": str(folder / "config"),
        "OMP_NUM_THREADS": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    log = folder / "log.txt"
    with log.open("wb") as file:
        server = subprocess.Popen(
            [sys.executable, "videos.py"], cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/v1/models", server, log)
        yield Served(f"http://127.0.0.1:{port}", model, log)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"The server did not start:\n{log.read_text(encoding='utf-8')[-3000:]}")


async def test_two_workers_share_the_jobs(served: Served, tmp_path: Path) -> None:
    """Real denoising, in processes of Ray's: as many clips as jobs, each at its own cost, from both workers."""
    async with AsyncClient(home=tmp_path / "home", providers=served.settings(), poll_interval=0.5) as client:
        jobs = [
            await client.submit(f"boat {n}", model="local/ray", duration=0.5, seed=n, output=str(tmp_path / f"{n}.mp4"))
            for n in range(4)
        ]
        results = [await job.wait(timeout=SECONDS) for job in jobs]
        again = await client.generate(
            "boat 0", model="local/ray", duration=0.5, seed=0, output=str(tmp_path / "again.mp4"), timeout=SECONDS
        )
    assert all((each.videos[0].width, each.videos[0].height) == (16, 16) for each in results)
    assert all(each.cost is not None and each.cost > 0 for each in results)
    clips = [each.path.read_bytes() for each in results]
    assert len(set(clips)) == 4
    assert len(served.workers()) == 2
    assert _pictures(again.path) == _pictures(results[0].path), "the same seed gave another clip"


async def test_a_job_is_stopped_and_its_worker_takes_the_next(served: Served, tmp_path: Path) -> None:
    async with AsyncClient(home=tmp_path / "home", providers=served.settings(), poll_interval=0.5) as client:
        long = {"options": {"local": {"steps": 1000}}}
        jobs = [await client.submit("boat", model="local/ray", duration=0.5, **long) for _ in range(2)]
        for job in jobs:
            await job.cancel()
            with pytest.raises(JobCancelledError):
                await job.wait(timeout=SECONDS)
        result = await client.generate(
            "boat", model="local/ray", duration=0.5, output=str(tmp_path / "c.mp4"), timeout=SECONDS
        )
    assert result.path.exists()


def _pictures(path: Path) -> list[bytes]:
    import av

    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in clip.decode(video=0)]
