"""One clip on several devices at once: a process for each, which share out the tokens of every step among themselves.

diffusers does the sharing (context parallelism, in the way that is called Ulysses), and needs a process per device for
it. The first one does what a lane does for other jobs: it tells the steps, decodes and writes. The others denoise along
with it and end before decoding. They are started as programs of their own, not as copies of this one, and end with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec

from videogen_core import ConfigurationError

from ..orders import Order
from . import devices
from .choosing import plans_for
from .errors import JobError, Stopped
from .spool import Spool
from .working import Reporter

__all__ = ["check_team", "work_together"]

_PAUSE = 0.05  # seconds between two looks at the processes
_LONGEST = timedelta(hours=6)  # that one process waits for another, which may decode a long clip meanwhile
_LEAVE_SECONDS = 5.0


class _Task(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is told.

    Attributes:
        rank: Which of them it is; 0 decodes and writes.
        device: Its own.
        meet: A file through which they find each other.
        spool: The folder of all jobs.
        job: Which.
        order: What is to be made, with its plan decided.
        started: When the devices were lent, by the clock of this machine that only goes forward.
    """

    rank: int
    device: str
    meet: str
    spool: str
    job: str
    order: Order
    started: float


def check_team(order: Order, names: Sequence[str]) -> None:
    """Return when so many devices can make a clip together.

    Args:
        order: The clip.
        names: The devices that there are.

    Raises:
        ConfigurationError: There are fewer, or the work does not divide by so many.
    """
    count = order.devices
    if count == 1:
        return
    if count > len(names):
        raise ConfigurationError(
            f"The option devices asks for {count}, and there {'is' if len(names) == 1 else 'are'} {len(names)} here.",
            hint=f"The devices are {', '.join(names)}; [providers.local] devices may list more.",
        )
    kinds = {name.partition(":")[0] for name in names}
    if len(kinds) > 1 or not kinds <= {"cuda", "cpu"}:
        raise ConfigurationError(
            f"Devices work together on one clip only where all are of one kind, cuda; here are {', '.join(names)}.",
            hint="Leave the option devices out, or list such devices in [providers.local] devices.",
        )
    if order.cache is not None:
        raise ConfigurationError(
            "A step cache and several devices do not go together: each device would skip steps of its own choice.",
            hint="Leave the option cache or the option devices out.",
        )
    tokens = order.family.compression.tokens(order.frames, order.width, order.height)
    for what, number in (("tokens of this clip", tokens), *_heads(order)):
        if number % count:
            raise ConfigurationError(
                f"The {number} {what} cannot be shared out evenly among {count} devices.",
                hint="Ask for another size or length, or for another number of devices.",
            )


def _heads(order: Order) -> list[tuple[str, int]]:
    found = []
    for name in order.family.denoisers:
        with suppress(OSError, ValueError, KeyError):
            config = json.loads((Path(order.folder) / name / "config.json").read_text(encoding="utf-8"))
            found.append((f"attention heads of its {name}", int(config["num_attention_heads"])))
    return found


# --- the lane's side


def work_together(reporter: Reporter, order: Order, names: Sequence[str]) -> None:
    """Do a job on several devices; whatever becomes of it is on disk afterwards.

    Args:
        reporter: Of the job.
        order: The job's.
        names: The devices, which nobody else uses meanwhile.

    Raises:
        JobError: No plan fits; or one of the processes died.
        Stopped: Somebody asked for it.
    """
    plan = plans_for(order, devices.measure(_plain(names[0])))[0]
    if plan.placement != "resident":
        raise JobError(
            f"{order.offer} would have to be placed as {plan.name}, and several devices work together only on a model "
            "that each of them holds whole.",
            "Leave the option devices out, or ask for a smaller clip.",
            "no_memory",
        )
    decided = msgspec.structs.replace(order, plan=plan.name)
    with tempfile.TemporaryDirectory(prefix="videogen-") as folder:
        tasks = [
            _Task(
                rank=rank,
                device=_plain(name),
                meet=str(Path(folder) / "meet"),
                spool=str(reporter.spool.folder),
                job=reporter.job,
                order=decided,
                started=reporter.started,
            )
            for rank, name in enumerate(names)
        ]
        processes = [_start(task, Path(folder)) for task in tasks]
        try:
            broken = _wait(processes, reporter)
        finally:
            _end(processes)
            reporter.state = reporter.spool.state(reporter.job)
        if broken is None and reporter.state.over:
            return
        if reporter.stop():
            raise Stopped
        rank = broken or 0
        said = _last_words(Path(folder) / f"{rank}.log")
        raise JobError(f"The process of {names[rank]} ended before the clip was done: {said}")


def _plain(name: str) -> str:
    """A device as its own process calls it: there is only one processor."""
    return "cpu" if name.startswith("cpu") else name


def _start(task: _Task, folder: Path) -> subprocess.Popen[bytes]:
    path = folder / f"{task.rank}.json"
    path.write_bytes(msgspec.json.encode(task))
    with (folder / f"{task.rank}.log").open("wb") as log:
        # its input stays open as long as this process lives, which is how it knows
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(path)], stdin=subprocess.PIPE, stdout=log, stderr=log, close_fds=True
        )


def _wait(processes: list[subprocess.Popen[bytes]], reporter: Reporter) -> int | None:
    """Until the first process is done; or until another has failed, which is named, or somebody has asked to stop."""
    while processes[0].poll() is None and not reporter.stop():
        if broken := [rank for rank, process in enumerate(processes) if process.poll()]:
            return broken[0]
        time.sleep(_PAUSE)
    return 0 if processes[0].poll() else None


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + _LEAVE_SECONDS
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        try:
            process.wait(max(until - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")[:500]


# --- the side of the processes


class _Quiet:
    """What the others tell: nothing. They end where the first one decodes."""

    def phase(self, name: str) -> None:
        if name == "decoding":
            raise Stopped

    def step(self, done: int, total: int) -> None:
        return


def _main(path: str) -> None:
    task = msgspec.json.decode(Path(path).read_bytes(), type=_Task)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch
    from torch import distributed

    kind = task.device.partition(":")[0]
    if kind == "cpu":
        # diffusers numbers the processes by the accelerators of the machine, of which there are none
        torch.accelerator.device_count = lambda: 1
    else:
        torch.cuda.set_device(task.device)
    distributed.init_process_group(
        "nccl" if kind == "cuda" else "gloo",
        init_method=Path(task.meet).as_uri(),
        rank=task.rank,
        world_size=task.order.devices,
        timeout=_LONGEST,
    )
    code = 1
    try:
        (_follow if task.rank else _lead)(task)
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        # what another process never answers would keep this one from ending in the usual way
        sys.stderr.flush()
        os._exit(code)


def _lead(task: _Task) -> None:
    from .warm import Warm
    from .working import work

    spool = Spool(Path(task.spool))
    reporter = Reporter(spool, task.job, spool.state(task.job), lambda: spool.is_cancelled(task.job))
    reporter.devices, reporter.started = task.order.devices, task.started
    with suppress(Stopped):
        work(reporter, Warm(task.device, limit=None), task.order)


def _follow(task: _Task) -> None:
    from .. import plans
    from . import loading, placing
    from .extras import lasting
    from .running import run

    order = task.order
    pipe = loading.load(order, task.device)
    placing.place(pipe, plans.named(order.plan), order, task.device)
    lasting(pipe, order)
    with suppress(Stopped):
        run(pipe, order, Spool(Path(task.spool)).inputs(task.job), _Quiet())


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    _main(sys.argv[1])
