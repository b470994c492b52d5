"""The page about queues and workflow engines: a step is killed while the vendor works, run again, and paid for once.

The files are the page's own. Each engine runs in processes of its own; what it does after the kill is up to it. An
engine that is not installed is skipped, and ``nox -s docs`` installs all but Ray.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_docs import ROOT, blocks, write

from videogen_core.testing import EmulatorClient, Script, serve_process

WORKS = 4.0  # seconds that the vendor takes: the step is killed within them
PATIENCE = 180.0

# What the page does not show: a broker that outlives its worker, and who is to be killed.
CELERY = """
import os, pathlib
from celery.signals import task_prerun
from shop_celery import app

for name in ("queue", "done"):
    pathlib.Path(name).mkdir(exist_ok=True)
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={"data_folder_in": "queue", "data_folder_out": "queue"},
    result_backend="file://done",
    worker_hijack_root_logger=False,
)

@task_prerun.connect
def begun(**_):
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
"""
ASK_CELERY = """
import celery_test, shop_celery
print("made", shop_celery.clip.delay(1042, "A paper boat").get(timeout=180))
"""
DBOS = """
import sys, shop_dbos
from dbos import DBOS, SetWorkflowID

shop_dbos.launch()
if sys.argv[1:] == ["first"]:
    with SetWorkflowID("order-1042"):
        shop_dbos.fulfil(1042, "A paper boat")
print("made", DBOS.retrieve_workflow("order-1042").get_result())  # taken up by launch() alone
DBOS.destroy()
"""
TEMPORAL = """
import asyncio, shop_temporal
from temporalio.testing import ActivityEnvironment

print("made", asyncio.run(ActivityEnvironment().run(shop_temporal.make_clip, 1042, "A paper boat")))
"""
RAY = """
import os, ray
from clips import make_clip

def step(order, prompt):
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
    return make_clip(order, prompt)

ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
print("made", ray.get(ray.remote(num_cpus=0.1, max_retries=5)(step).remote(1042, "A paper boat")))
"""


@dataclass
class Shop:
    """A folder with the page's files, and the vendor that they talk to."""

    folder: Path
    vendor: EmulatorClient
    environment: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, code: str, *arguments: str) -> str:
        with self.start("-c", code, *arguments) as process:
            return process.communicate(timeout=PATIENCE)[0]

    def pids(self) -> list[int]:
        path = self.folder / "pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def until(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.05)

    def until_it_is_asked(self) -> None:
        """Until the vendor has a job and its id is on record, so that what dies is the wait."""
        self.until(lambda: self.vendor.count("poll"))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    for block in blocks((ROOT / "docs" / "how-to" / "workflows.md").read_text(encoding="utf-8")):
        if block.title:
            write(block, tmp_path)
    (tmp_path / "celery_test.py").write_text(CELERY)
    with serve_process("videogen_runway.emulator:RunwayEmulator") as vendor:
        vendor.script(Script(running=WORKS, times=None))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIDEOGEN_", "PYTEST_"))}
        ours = {"HOME": str(tmp_path / "home"), "ALLOW_PRIVATE_ADDRESSES": "1", "POLL_INTERVAL": "0.1"}
        ours = {f"VIDEOGEN_{name}": value for name, value in ours.items()}
        yield Shop(tmp_path, vendor, {**kept, **vendor.environment, **ours, "PYTHONPATH": str(tmp_path)})


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


def made_once(shop: Shop, said: str) -> None:
    assert "made" in said, said
    assert shop.vendor.created == 1, said
    assert (shop.folder / "order-1042.mp4").stat().st_size > 1000


def test_a_killed_celery_worker_pays_once(shop: Shop) -> None:
    needs("celery")
    worker = shop.start(*"-m celery -A celery_test worker -c 1 -P prefork -l error".split())
    asking = shop.start("-c", ASK_CELERY)
    try:
        shop.until_it_is_asked()
        os.kill(shop.pids()[0], signal.SIGKILL)
        said = asking.communicate(timeout=PATIENCE)[0]
        assert len(shop.pids()) == 2, "the step was not run again"
        made_once(shop, said)
    finally:
        for process in (worker, asking):
            process.kill()
            process.communicate()
        for pid in shop.pids():  # the pool's, which outlive a killed parent
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.mark.parametrize(("package", "code"), [("dbos", DBOS), ("temporalio", TEMPORAL)], ids=["dbos", "temporal"])
def test_a_killed_process_pays_once(package: str, code: str, shop: Shop) -> None:
    needs(package)
    with shop.start("-c", code, "first") as process:
        try:
            shop.until_it_is_asked()
        finally:
            process.kill()
    made_once(shop, shop.run(code))


def test_a_killed_ray_worker_pays_once(shop: Shop) -> None:
    needs("ray")
    with shop.start("-c", RAY) as process:
        shop.until_it_is_asked()
        os.kill(shop.pids()[0], signal.SIGKILL)
        said = process.communicate(timeout=PATIENCE)[0]
    assert len(shop.pids()) == 2, "the step was not run again"
    made_once(shop, said)
