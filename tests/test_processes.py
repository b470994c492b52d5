"""Real processes, really killed, interrupted and forked: what was paid for is found again, and only once paid for."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from vendor import Acme
from videogen_core import Client, SubmissionUnknownError, VideogenError

HERE = Path(__file__).parent
PREAMBLE = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
sys.path.insert(0, {str(HERE)!r})
from pathlib import Path
from vendor import Acme
from videogen_core import Client
"""


def start(tmp_path: Path, body: str) -> subprocess.Popen[str]:
    """Run a script in a process of its own; it finds its folder in ``here``."""
    code = PREAMBLE + f"here = Path({str(tmp_path)!r})\n" + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], seconds: float = 30) -> tuple[str, str]:
    out, err = process.communicate(timeout=seconds)
    return out, err


MANY = """
import threading
acme = Acme(here / "vendor", concurrency=20)
videogen = Client(home=here / "home", plugins=[acme])
print("ready", flush=True)
def make(n):
    plan = {"acme": {"script": {"polls": 4, "every": 0.03, "slow": 0.01}}}
    videogen.generate(f"boat {n}", model="paper", options=plan)
threads = [threading.Thread(target=make, args=(n,)) for n in range(6)]
for t in threads: t.start()
for t in threads: t.join()
"""


@pytest.mark.parametrize("seed", range(12))
def test_kill_nine_at_any_instant_loses_nothing_and_pays_once(tmp_path: Path, seed: int) -> None:
    process = start(tmp_path, MANY)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0.0, 1.0))
    process.kill()
    finish(process)

    acme = Acme(tmp_path / "vendor", concurrency=20)
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        before = {row["ref"] for row in acme.creates}
        answers = videogen.resume(timeout=20)
        jobs = videogen.jobs(limit=None)
        unknown = [job for job in jobs if job.status == "unknown"]
        assert {job.status for job in jobs} <= {"succeeded", "unknown"}
        assert sum(isinstance(a, SubmissionUnknownError) for a in answers) == len(unknown)
        for job in jobs:
            mine = [row for row in acme.creates if row["ref"] in {a.client_ref for a in job.record.attempts}]
            assert len(mine) <= 1, "a job was created twice at the vendor"
        known = {a.client_ref for job in jobs for a in job.record.attempts}
        assert before <= known, "the vendor has a job that the ledger does not know"
        for job in jobs:
            if job.status == "succeeded":
                assert job.record.videos[0].path is not None
                assert job.record.videos[0].path.exists()
    assert not list((tmp_path / "home").rglob("*.part*")), "a temporary file was left"


def test_ctrl_c_leaves_a_resumable_job_at_once(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        acme = Acme(here / "vendor")
        try:
            Client(home=here / "home", plugins=[acme]).generate(
                "boat", model="paper", options={"acme": {"script": {"polls": 500, "every": 0.02}}},
                on_event=lambda event: print(event.type, flush=True))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    )
    assert process.stdout is not None
    while process.stdout.readline() != "progress\n":
        pass
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = finish(process)
    assert "interrupted" in out, err
    assert time.monotonic() - began < 2.5
    acme = Acme(tmp_path / "vendor")
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        (job,) = videogen.jobs()
        assert job.status in ("queued", "running")


@pytest.mark.parametrize("seed", range(4))
def test_ctrl_c_during_a_submit_finishes_it_first(tmp_path: Path, seed: int) -> None:
    process = start(
        tmp_path,
        """
        acme = Acme(here / "vendor")
        videogen = Client(home=here / "home", plugins=[acme])
        print("ready", flush=True)
        try:
            videogen.generate("boat", model="paper", options={"acme": {"script": {"polls": 500, "slow": 0.2}}})
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.15 + 0.1 * seed)
    process.send_signal(signal.SIGINT)
    out, err = finish(process)
    assert "interrupted" in out, err
    acme = Acme(tmp_path / "vendor")
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        for job in videogen.jobs():
            assert job.status in ("created", "queued", "running")
        assert {j.provider_job_id for j in videogen.jobs()} - {None} == {row["id"] for row in acme.creates}


def test_the_interpreter_ends_at_once_although_a_client_is_open(tmp_path: Path) -> None:
    began = time.monotonic()
    process = start(
        tmp_path,
        """
        import threading, time
        videogen = Client(home=here / "home", plugins=[Acme(here / "vendor")])
        plan = {"acme": {"script": {"polls": 5000}}}
        job = videogen.submit("boat", model="paper", options=plan)
        threading.Thread(target=job.wait, daemon=True).start()
        time.sleep(0.3)
        """,
    )
    _, err = finish(process)
    assert process.returncode == 0, err
    assert time.monotonic() - began < 6


def test_a_forked_child_makes_its_own_clip(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        import os, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads and fork
        videogen = Client(home=here / "home", plugins=[Acme(here / "vendor")])
        first = videogen.generate("parent", model="paper")
        child = os.fork()
        if child == 0:
            code = 0 if videogen.generate("child", model="paper").path.exists() else 1
            os._exit(code)
        _, status = os.waitpid(child, 0)
        after = videogen.generate("after", model="paper").path.exists()
        print(os.waitstatus_to_exitcode(status), after, len(videogen.jobs()))
        """,
    )
    out, err = finish(process)
    assert out.split() == ["0", "True", "3"], err


def test_what_a_forked_child_writes_is_there_after_its_parent_has_closed(tmp_path: Path) -> None:
    process = start(
        tmp_path,
        """
        import os, signal, time, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        videogen = Client(home=here / "home", plugins=[Acme(here / "vendor")])
        videogen.generate("parent", model="paper")
        ready, done = os.pipe()
        child = os.fork()
        if child == 0:
            videogen.generate("child", model="paper")
            os.write(done, b"x")
            time.sleep(0.5)
            videogen.generate("child again", model="paper")
            os.kill(os.getpid(), signal.SIGKILL)
        os.read(ready, 1)
        videogen.close()
        os.waitpid(child, 0)
        """,
    )
    _, err = finish(process)
    acme = Acme(tmp_path / "vendor")
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        assert {job.provider_job_id for job in videogen.jobs()} == {row["id"] for row in acme.creates}, err
    assert len(acme.creates) == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_in_a_loop_of_the_caller_finishes_what_was_sent(tmp_path: Path, backend: str) -> None:
    (tmp_path / "backend").write_text(backend)
    process = start(
        tmp_path,
        """
        import anyio
        from videogen_core import AsyncClient
        async def main():
            acme = Acme(here / "vendor", before_submit=lambda call: print("sent", flush=True))
            async with AsyncClient(home=here / "home", plugins=[acme]) as videogen:
                plan = {"acme": {"script": {"slow": 0.3, "polls": 500}}}
                await videogen.generate("boat", model="paper", options=plan)
        try:
            anyio.run(main, backend=(here / "backend").read_text())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        """,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "sent\n"
    process.send_signal(signal.SIGINT)
    out, err = finish(process)
    assert "interrupted" in out, err
    acme = Acme(tmp_path / "vendor")
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        assert {job.provider_job_id for job in videogen.jobs()} == {row["id"] for row in acme.creates}
    assert len(acme.creates) == 1


def test_sync_calls_work_inside_a_running_loop(tmp_path: Path) -> None:
    async def notebook_cell() -> str:
        with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
            return videogen.generate("boat", model="paper").provider

    assert asyncio.run(notebook_cell()) == "acme"


def test_module_functions_work_in_one_loop_after_another(tmp_path: Path) -> None:
    import videogen

    videogen.configure(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")])
    try:
        for number in range(2):
            result = asyncio.run(videogen.agenerate(f"boat {number}", model="paper"))
            assert result.path is not None
        assert videogen.generate("boat", model="paper").provider == "acme"
        assert len(videogen.jobs()) == 3
    finally:
        videogen.default_client().close()


def test_two_processes_resume_the_same_jobs(tmp_path: Path) -> None:
    acme = Acme(tmp_path / "vendor", concurrency=20)
    plan = {"acme": {"script": {"polls": 5, "every": 0.05}}}
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        jobs = [videogen.submit(f"boat {n}", model="paper", options=plan) for n in range(6)]
    body = """
    answers = Client(home=here / "home", plugins=[Acme(here / "vendor", concurrency=20)]).resume(timeout=20)
    print(*(type(a).__name__ for a in answers))
    """
    processes = [start(tmp_path, body) for _ in range(2)]
    outs = [finish(process) for process in processes]
    assert all(word == "Result" for out, _ in outs for word in out.split()), outs
    with Client(home=tmp_path / "home", plugins=[acme]) as videogen:
        assert all(videogen.job(job.id).artifact == "stored" for job in jobs)
        stored = [e.type for job in jobs for e in videogen.events(job.id)]
    assert stored.count("stored") == stored.count("settled") == 6
    assert len(acme.creates) == 6


def test_a_job_of_a_plugin_that_is_gone_says_so_and_stays(tmp_path: Path) -> None:
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
        job = videogen.submit("boat", model="paper")
    with Client(home=tmp_path / "home") as videogen:
        (answer,) = videogen.resume()
        assert isinstance(answer, VideogenError)
        assert "acme" in str(answer)
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
        assert videogen.job(job.id).wait().path is not None


def test_errors_in_another_process_are_the_same_errors(tmp_path: Path) -> None:
    plan = {"acme": {"script": {"end": "failed", "error": "ContentPolicyError", "charged": True}}}
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
        job = videogen.submit("boat", model="paper", options=plan)
        with pytest.raises(VideogenError) as first:
            job.wait()
    again = Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")])
    with again as videogen, pytest.raises(VideogenError) as second:
        videogen.job(job.id).wait()
    assert first.value.to_dict() == second.value.to_dict()
