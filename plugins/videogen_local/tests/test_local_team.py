"""One clip on two devices at once: two processes of torch on this machine's processor make the same one as one does."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from local_rig import client, look, model, need_torch, steps
from videogen_core import Client, ConfigurationError, Event, GenerationFailedError, JobCancelledError

need_torch()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries, about themselves
    import torch

    import tiny
    from videogen_local.here import devices, team

pytestmark = pytest.mark.filterwarnings("ignore")
torch.set_num_threads(1)
RATE = 0.001  # dollars per second of a device
SIZE = {"width": 32, "height": 32}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("wan", tmp_path_factory.mktemp("pipelines") / "wan")


@pytest.fixture
def videogen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr(devices, "chosen", lambda settings: ("cpu", "cpu:1"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with client(tmp_path / "home", warm_gb=0.5, gpu_hourly_usd=3600 * RATE) as videogen:
        yield videogen


def options(**more: Any) -> dict[str, Any]:
    return {"local": {**SIZE, **more}}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes of the tests' jobs."""
    found: list[Any] = []
    usual = team._start

    def start(*args: Any) -> Any:
        found.append(usual(*args))
        return found[-1]

    monkeypatch.setattr(team, "_start", start)
    return found


def test_two_devices_make_the_clip_that_one_makes(videogen: Client, folder: Path, started: list[Any]) -> None:
    events: list[Event] = []
    told = {"model": model(folder), "seed": 1}
    alone = videogen.generate("a boat", options=options(), **told)
    assert started == []
    began = time.monotonic()
    both = videogen.generate("a boat", options=options(devices=2), on_event=events.append, **told)
    wall = time.monotonic() - began
    assert len(started) == 2
    assert alone.path is not None
    assert both.path is not None
    assert frames(both.path) == frames(alone.path)
    assert look(both.path).about["devices"] == 2
    assert any(" and cpu" in event.message for event in events)
    assert all(step.endswith("/3") for step in steps(events))
    assert both.cost is not None
    assert wall < float(both.cost) / RATE < 2 * wall, "the seconds of both devices are paid"


def frames(path: Path) -> list[bytes]:
    import av

    with av.open(str(path)) as file:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in file.decode(video=0)]


def test_cancel_ends_both_processes(videogen: Client, folder: Path, tmp_path: Path, started: list[Any]) -> None:
    job = videogen.submit("a boat", model=model(folder), options=options(devices=2, steps=1000))
    end = time.monotonic() + 60
    while not any(
        b'"denoising"' in path.read_bytes() for path in tmp_path.glob("home/providers/local/jobs/*/state.json")
    ):
        assert time.monotonic() < end
        time.sleep(0.05)
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=30)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_a_process_that_dies_fails_the_job_with_its_last_words(
    videogen: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = team._start

    def broken(task: Any, place: Path) -> Any:
        gone = msgspec.structs.replace(task.order, folder=str(place / "nowhere"))
        return usual(msgspec.structs.replace(task, order=gone) if task.rank else task, place)

    monkeypatch.setattr(team, "_start", broken)
    with pytest.raises(GenerationFailedError, match=r"The process of cpu(:1)? ended before .*nowhere"):
        videogen.generate("a boat", model=model(folder), options=options(devices=2))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"devices": 3}, "asks for 3, and there are 2"),
        ({"devices": 2, "cache": "first_block"}, "do not go together"),
        ({"devices": 2, "width": 16, "height": 16}, "3 tokens of this clip"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_before_anything_is_loaded(
    more: dict[str, Any], said: str, videogen: Client, folder: Path
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        videogen.generate("a boat", model=model(folder), options=options(**more))


@pytest.mark.parametrize("names", [("cuda:0", "cpu"), ("xpu:0", "xpu:1")])
def test_devices_of_kinds_that_cannot_work_together_are_refused(
    names: tuple[str, ...], videogen: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = devices.measure("cpu")
    monkeypatch.setattr(devices, "chosen", lambda settings: names)
    monkeypatch.setattr(devices, "measure", lambda name: whole)
    with pytest.raises(ConfigurationError, match="of one kind"):
        videogen.generate("a boat", model=model(folder), options=options(devices=2))
