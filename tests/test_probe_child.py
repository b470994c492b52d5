"""Decoding in a child process: the same facts, hard limits, and no file that takes the parent along."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

import videogen
from media_samples import clip
from videogen_core import clips, probe_child
from videogen_core.clips import examine, probe
from videogen_core.downloads import save
from videogen_core.errors import DownloadError, IntegrityError, InvalidMediaError
from videogen_core.media import inspect
from videogen_core.provider import Output
from videogen_core.request import Media

pytestmark = pytest.mark.promise("M1")
linux = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="looks at children through /proc")

CLIP = clip()
Misbehave = Callable[..., None]


def look(data: bytes = CLIP) -> videogen.Video:
    return examine(io.BytesIO(data), len(data))


def stored(folder: Path) -> int:
    return len(list(folder.iterdir()))


def children() -> list[int]:
    pool = probe_child._process.pool
    return [child.process.pid for child in pool.children] if pool else []


@pytest.fixture
def own_pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Children of this test alone."""
    monkeypatch.setattr(probe_child, "_process", probe_child._Process())
    yield
    probe_child._process.close()


@pytest.fixture
def misbehave(own_pool: None, monkeypatch: pytest.MonkeyPatch) -> Misbehave:
    """Makes the next children do something else instead of decoding."""
    start = probe_child._START

    def patch(body: str = "", *, settings: str = "") -> None:
        # facts are given instead of decoding; all else happens where FFmpeg opens the file
        place = "decode" if "probing.Facts" in body else "_opened"
        code = f"    def misbehave(*_):\n        {body}\n    probing.{place} = misbehave\n" if body else ""
        script = (
            f"    import ctypes, os, signal\n    from videogen_core import probe_child, probing\n{code}    {settings}\n"
        )
        monkeypatch.setattr(probe_child, "_START", start.replace("    serve()\n", f"{script}    serve()\n"))

    return patch


# --- the same facts


@pytest.mark.parametrize(
    "options",
    [{}, {"audio": True, "faststart": True}, {"rotation": 90}, {"container": "webm", "codec": "libvpx-vp9"}],
    ids=str,
)
def test_the_child_finds_what_this_process_finds(tmp_path: Path, options: dict[str, Any]) -> None:
    data = clip(**options)
    path = tmp_path / "a"
    path.write_bytes(data)
    here = probe(path, in_process=True)
    assert probe(path) == here
    assert examine(io.BytesIO(data), len(data)).sha256 == here.sha256
    problems = []
    for in_process in (True, False):
        with pytest.raises(IntegrityError) as caught:
            examine(io.BytesIO(b"\0\0\0\x18ftyp" + bytes(100)), 108, in_process=in_process)
        problems.append(str(caught.value))
    assert problems[0] == problems[1]


@linux
def test_one_child_serves_many_files(own_pool: None) -> None:
    look()
    first = children()
    start = time.process_time()
    for _ in range(50):
        look()
    assert (time.process_time() - start) / 50 < 0.005  # seconds of this process for each
    assert children() == first
    assert len(first) == 1


@pytest.mark.anyio
async def test_it_works_on_both_event_loops(tmp_path: Path, anyio_backend: str, own_pool: None) -> None:
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(save, Output(data=CLIP), tmp_path / f"{number}.mp4")
    assert stored(tmp_path) == 8


def test_threads_share_a_few_children(own_pool: None) -> None:
    found: list[videogen.Video] = []
    threads = [threading.Thread(target=lambda: found.extend(look() for _ in range(5))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 60
    assert len(set(found)) == 1
    assert 1 <= len(children()) <= max(2, min(4, os.cpu_count() or 2))


# --- what a child may


@linux
def test_limits_and_nothing_inherited(own_pool: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ACME_API_KEY", "sk-canary")
    inherited = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    try:
        look()
    finally:
        os.close(inherited)
    (pid,) = children()
    limits = (Path("/proc") / str(pid) / "limits").read_text().splitlines()
    found = {line[:26].strip(): line[26:].split()[:2] for line in limits}
    assert found["Max address space"] == [str(1024**3)] * 2
    assert found["Max open files"] == ["32", "32"]
    assert found["Max file size"] == ["0", "0"]
    assert found["Max core file size"] == ["0", "0"]
    assert int(found["Max cpu time"][0]) <= 11
    folder = Path("/proc") / str(pid)
    assert folder.joinpath("environ").read_bytes() in (b"",)
    assert b"canary" not in folder.joinpath("cmdline").read_bytes()
    opened = {int(entry.name): str(entry.readlink()) for entry in folder.joinpath("fd").iterdir()}
    assert opened.pop(0).startswith("socket:")
    assert set(opened.values()) == {"/dev/null"}
    assert str(folder.joinpath("cwd").readlink()) == "/"
    assert os.getsid(pid) == pid  # Ctrl-C in the terminal does not reach it: the parent decides


@linux
def test_it_imports_by_the_path_of_the_parent(misbehave: Misbehave, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend("/nowhere/at/all")
    misbehave("import sys; from videogen_core.errors import IntegrityError; raise IntegrityError(sys.path[0])")
    with pytest.raises(IntegrityError, match="/nowhere/at/all"):
        look()


# --- children that misbehave

CRASHES = {
    "segmentation fault": ("ctypes.string_at(0)", r"crash \(SIGSEGV\)"),
    "abort": ("os.abort()", r"crash \(SIGABRT\)"),
    "exit": ("os._exit(3)", r"crash \(exit code 3\)"),
    "good-bye": ("os._exit(0)", r"crash \(exit code 0\)"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed while it read"),
    "memory": ("return bytearray(2 * 1024**3)", "too much memory"),
    "exception": ("raise RuntimeError('x' * 10_000)", r"cannot be decoded \(RuntimeError\)"),
    "descriptors": ("return [os.open('/', 0) for _ in range(99)]", r"cannot be decoded \(OSError\)"),
    "writes": ("os.write(os.memfd_create('x'), b'x')", r"cannot be decoded \(OSError\)"),
    "silence": ("signal.pause()", "busy for more than"),
    "garbage": ("os.write(0, b'\\xff\\n')", "nonsense"),
    "endless": ("os.write(0, b'x' * 100_000)", "crash|killed"),
    "two answers": ("os.write(0, b'{}\\n{}\\n')", "nonsense|cannot be decoded"),
    "other fields": ('os.write(0, b\'{"path": "/etc/passwd"}\\n\')', "nonsense"),
    "absurd facts": (
        'os.write(0, b\'{"facts": {"width": -1, "height": 1, "duration": 1, "fps": 1, "has_audio": true}}\\n\')',
        "nonsense",
    ),
    "no number": ("return probing.Facts(width=1, height=1, duration=float('nan'), fps=1, has_audio=True)", "nonsense"),
    "too long": ("return probing.Facts(width=1, height=1, duration=1e300, fps=1, has_audio=True)", "nonsense"),
    "a long problem": ("from videogen_core.errors import IntegrityError; raise IntegrityError('\\0' * 9999)", r"^\?+$"),
}


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.promise("T19")
def test_nothing_takes_the_parent_along(
    crash: str, misbehave: Misbehave, monkeypatch: pytest.MonkeyPatch, own_pool: None
) -> None:
    body, message = CRASHES[crash]
    start = probe_child._START
    misbehave(body)
    if crash == "silence":
        monkeypatch.setattr(probe_child, "SECONDS", 0.3)
    with pytest.raises(IntegrityError, match=message) as caught:
        look()
    assert len(caught.value.message) < 600
    monkeypatch.setattr(probe_child, "_START", start)
    monkeypatch.setattr(probe_child, "SECONDS", 10)
    pool = probe_child._process.pool
    for child in pool._idle if pool else []:
        child.process.kill()  # what survived would do it again
        child.process.wait()
        child.files = 0
    if pool and pool._idle:
        pool.close()
    assert look().width == 160  # and there is another child for the next file


@linux
def test_seconds_of_cpu_are_limited_too(misbehave: Misbehave, monkeypatch: pytest.MonkeyPatch) -> None:
    misbehave("while True: pass", settings="probe_child.SECONDS = 1")
    monkeypatch.setattr(probe_child, "SECONDS", 30)
    start = time.monotonic()
    with pytest.raises(IntegrityError, match="busy for more than"):
        look()
    assert time.monotonic() - start < 10
    assert children() == []


def test_one_that_went_home_is_replaced_unseen(misbehave: Misbehave) -> None:
    misbehave(settings="probe_child._IDLE_SECONDS = 0.05")
    look()
    before = children()
    time.sleep(0.5)
    assert look().width == 160
    assert children() != before


def test_one_that_has_served_long_is_replaced(own_pool: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_child, "_MAX_FILES", 2)
    pids: set[int] = set()
    for _ in range(5):
        look()
        pids |= set(children())
    assert len(pids) >= 2


def test_an_interrupt_ends_the_child(own_pool: None, monkeypatch: pytest.MonkeyPatch) -> None:
    look()
    (pid,) = children()
    with monkeypatch.context() as patch:

        def interrupted(*_: object) -> bytes:
            raise KeyboardInterrupt

        patch.setattr(probe_child._Child, "_line", interrupted)
        with pytest.raises(KeyboardInterrupt):
            look()
    assert pid not in children()
    look()


# --- children that do not start


@pytest.mark.parametrize("executable", ["/bin/false", "/bin/cat", "/no/such/python"])
def test_one_that_does_not_start_is_not_blamed_on_the_clip(
    own_pool: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(DownloadError, match="could not be checked") as caught:
        look()
    assert type(caught.value) is DownloadError
    assert "VIDEOGEN_PROBE_IN_PROCESS=1" in (caught.value.hint or "")
    with pytest.raises(InvalidMediaError, match="could not be checked"):
        inspect(Media.of(CLIP), field="video")
    with pytest.raises(DownloadError, match=r"a\.mp4 was not stored: it could not be checked"):
        anyio.run(partial(save, Output(data=CLIP), tmp_path / "a.mp4"))
    assert list(tmp_path.iterdir()) == []
    assert children() == []


def test_why_it_does_not_start_is_told(misbehave: Misbehave) -> None:
    misbehave(settings="import no_such_library")
    with pytest.raises(DownloadError, match="ModuleNotFoundError: No module named 'no_such_library'"):
        look()


def test_without_it_on_request(
    own_pool: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in.mp4").write_bytes(CLIP)
    here = videogen.Client(probe_in_process=True)
    with here:
        assert here.settings.probe_in_process
        assert here.generate("boat", model="sandbox", duration=1, output=str(tmp_path / "a.mp4")).path
    inspect(Media.of(CLIP), field="video", probe_in_process=True)
    assert children() == []
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    probe_child.available.cache_clear()
    try:
        look()
        assert children() == []
        assert "no interpreter to start" in caplog.text
    finally:
        monkeypatch.undo()
        probe_child.available.cache_clear()
    assert clips.probe_child.available()


def test_a_child_is_the_default_for_inputs_and_outputs(own_pool: None, tmp_path: Path) -> None:
    with videogen.Client() as client:
        client.generate("boat", model="sandbox", duration=1, output=str(tmp_path / "a.mp4"))
    assert len(children()) == 1
    inspect(Media.of(tmp_path / "a.mp4"), field="video")
    assert len(children()) == 1


# --- the ends of processes

SCRIPT = """
import io, os, sys, time
from videogen_core import probe_child
from videogen_core.clips import examine
data = sys.stdin.buffer.read()
def look(): return examine(io.BytesIO(data), len(data))
def children(): return [child.process.pid for child in probe_child._process.pool.children]
"""


def run(script: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", SCRIPT + script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(CLIP)
    process.stdin.close()
    return process


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process has ended, or does soon."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


@linux
@pytest.mark.parametrize("end", ["exit", "kill", "kill while busy"])
def test_it_ends_with_its_parent(end: str) -> None:
    busy = (
        "swap = 'probe_child.SECONDS = 1; probing.decode = lambda *_: list(iter(int, 1))'\n"
        "swap = f'from videogen_core import probe_child, probing; {swap}; serve()'\n"
        "probe_child._START = probe_child._START.replace('serve()', swap)\n"
        "import threading; threading.Thread(target=look, daemon=True).start()\n"
        "while not probe_child._process.pool or not children(): time.sleep(0.01)\n"
        "time.sleep(0.3)\n"
    )
    rest = "" if end == "exit" else "time.sleep(60)"
    process = run(f"{busy if 'busy' in end else 'look()'}\nprint(*children(), flush=True)\n{rest}")
    assert process.stdout
    assert process.stderr
    with process:
        pid = int(process.stdout.readline())
        if end != "exit":
            process.kill()
        process.wait(20)
        assert process.stderr.read() == b""
    assert gone(pid)


@linux
def test_a_fork_has_children_of_its_own() -> None:
    process = run(
        "look(); before = children()\n"
        "import warnings; warnings.simplefilter('ignore')\n"
        "pid = os.fork()\n"
        "assert pid or probe_child._process.pool is None\n"
        "assert look().width == 160\n"
        "print('same' if children() == before else 'other', flush=True)\n"
        "if pid: assert os.waitpid(pid, 0)[1] == 0\n"
    )
    with process:
        assert process.stdout
        assert process.stderr
        assert sorted(process.stdout.read().split()) == [b"other", b"same"]
        assert process.stderr.read() == b""
    assert process.returncode == 0
