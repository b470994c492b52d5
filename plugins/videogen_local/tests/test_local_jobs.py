"""The life of a job on this machine: killed processes, two of them and one device, clients that close, commands."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_rig import client, look, model, need_torch
from videogen_core import ConfigurationError, GenerationFailedError, JobStatus, RequestError

need_torch()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch

    import tiny
    from videogen_local.here import spool

pytestmark = pytest.mark.filterwarnings("ignore")
torch.set_num_threads(1)
MANY = {"local": {"steps": 300}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save("wan", tmp_path_factory.mktemp("pipelines") / "wan")


def until(happened: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def states(home: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in home.glob("providers/local/jobs/*/state.json")]


def started(code: str, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], text=True, env=env, stdout=subprocess.PIPE)


def generating(home: Path, folder: Path, steps: int) -> str:
    return f"""
        import warnings; warnings.simplefilter("ignore")
        from videogen_core import Client
        with Client(home={str(home)!r}, providers={{"local": {{"devices": ["cpu"]}}}}) as c:
            c.generate("a red circle", model={model(folder)!r}, seed=5, options={{"local": {{"steps": {steps}}}}})
    """


def test_a_killed_job_is_run_again_in_another_process_and_makes_the_same_clip(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = started(generating(home, folder, 300))
    until(lambda: any(state["status"] == "running" and state.get("step", 0) > 3 for state in states(home)))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    with client(home) as videogen:
        (job,) = videogen.jobs()
        assert job.status in (JobStatus.QUEUED, JobStatus.RUNNING)
        result = job.wait()
        assert len(result.attempts) == 1, "nothing was submitted twice"
        other = videogen.generate("a red circle", model=model(folder), seed=5, options={"local": {"steps": 300}})
    assert result.path is not None
    assert look(result.path).frames == 9
    assert result.videos[0].sha256 == other.videos[0].sha256
    assert not list(home.glob("providers/local/jobs/*/clip.mp4")), "what is stored is cleaned up here"


def test_a_client_that_closes_leaves_its_job_to_the_next(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with client(home) as videogen:
        job = videogen.submit("a boat", model=model(folder), seed=5, options=MANY)
        waiting = videogen.submit("a cat", model=model(folder), seed=5)
        until(lambda: any(state.get("step", 0) > 1 for state in states(home)))
    assert all(state["status"] == "queued" for state in states(home) if "status" in state), (
        "it stopped at its next step"
    )
    with client(home) as videogen:
        for each in (job.id, waiting.id):
            assert videogen.job(each).wait().path is not None


def test_two_processes_share_a_device_by_turns(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    other = started(generating(home, folder, 500))
    until(lambda: any(state.get("step", 0) > 1 for state in states(home)))
    messages: list[str] = []
    with client(home) as videogen:
        result = videogen.generate("a cat", model=model(folder), on_event=lambda event: messages.append(event.message))
    assert result.path is not None
    assert "waiting for another program on cpu" in messages
    assert other.wait(timeout=120) == 0


def test_a_job_is_cancelled_from_another_process(folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    other = started(generating(home, folder, 900))
    until(lambda: any(state.get("step", 0) > 1 for state in states(home)))
    with client(home) as videogen:
        (job,) = videogen.jobs()
        job.cancel()
        until(lambda: videogen.job(job.id).status == JobStatus.CANCELLED)
    assert other.wait(timeout=120) != 0
    other.communicate()


def test_the_command_line_makes_a_clip_and_shows_what_happens(folder: Path, tmp_path: Path) -> None:
    env = {**os.environ, "VIDEOGEN_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "videogen_core.cli", "generate", "a boat", "-m", model(folder), "-o", "boat.mp4"]
    command = [sys.executable, "-c", "import sys; from videogen_core.cli import main; sys.exit(main())", *command[3:]]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert look(tmp_path / "boat.mp4").frames == 9
    assert "running" in done.stderr


def test_a_route_weighs_it_against_others(folder: Path, tmp_path: Path) -> None:
    with client(tmp_path / "home", gpu_hourly_usd=3.6) as videogen:
        name = model(folder)
        first = videogen.generate("a boat", model=name)
        assert first.cost is not None
        assert 0 < first.cost < 1, "measured seconds at a thousandth of a dollar each"
    with client(tmp_path / "home", gpu_hourly_usd=3.6) as videogen:
        route = videogen.route("a boat", model=[name, "sandbox"], duration=2, resolution="16p", aspect_ratio="1:1")
        said = route.explain()
        quote = videogen.estimate("a boat", model=name)
    assert name.lower() in said
    assert quote.known, "what jobs took here makes the price"


def test_a_disk_that_is_full_is_told_and_the_device_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the clip nor the note that it failed can be written; the next job finds room again."""
    usual = spool._write

    def full(path: Path, data: bytes, *, sync: bool) -> None:
        if path.name == "state.json" and b"running" not in data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(path, data, sync=sync)

    with client(tmp_path / "home") as videogen:
        with monkeypatch.context() as patch:
            patch.setattr(spool, "_write", full)
            with pytest.raises(GenerationFailedError, match="No space left on device") as caught:
                videogen.generate("a boat", model=model(folder), timeout=60)
        assert "Free some space" in (caught.value.hint or "")
        assert videogen.generate("a boat", model=model(folder), timeout=60).path is not None


def test_a_job_that_cannot_be_put_on_disk_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes, *, sync: bool) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with client(tmp_path / "home") as videogen:
        with monkeypatch.context() as patch:
            patch.setattr(spool, "_write", full)
            with pytest.raises(ConfigurationError, match=r"No space left on device. Nothing was begun"):
                videogen.generate("a boat", model=model(folder))
        (job,) = videogen.jobs()
        assert job.status == JobStatus.FAILED
        assert not list((tmp_path / "home").glob("providers/local/jobs/*"))


def test_what_cannot_be_done_is_refused_before_there_is_a_job(folder: Path, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        for options, said in (
            ({"attention": "nonsense"}, "'nonsense' is not possible"),
            ({"num_frames": 241}, "241 frames at 16 a second last 15.06 s, and duration is 0.5 s"),
            ({"loras": [str(tmp_path / "ink.safetensors")]}, "there is no file"),
        ):
            with pytest.raises(RequestError, match=said):
                videogen.generate("a boat", model=model(folder), options={"local": options})
    assert not list((tmp_path / "home").glob("providers/local/jobs/*"))


def test_the_size_that_an_option_says_is_the_size_of_the_clip(folder: Path, tmp_path: Path) -> None:
    with client(tmp_path / "home") as videogen:
        result = videogen.generate("a boat", model=model(folder), options={"local": {"width": 48, "height": 32}})
    assert result.path is not None
    assert (look(result.path).width, look(result.path).height) == (48, 32)
