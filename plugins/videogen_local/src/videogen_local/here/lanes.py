"""Who does which job: one thread for each device, one job at a time on each, the oldest first.

The lanes belong to the process, not to a session, so that loaded pipelines serve every client in it. A device that two
processes want is lent to one of them at a time, by a lock on a file.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import JobError, Stopped, failure_of
from .spool import Owner, Spool, State

__all__ = ["Lanes", "lanes"]

_PAUSE = 0.1  # seconds between two looks at a device that another process has


@dataclass
class _Entry:
    """A job that this process has taken.

    Attributes:
        job: Its id.
        spool: Where it lies.
        owner: The right to work on it.
        holder: Who asked for it last: a session, by its id.
        left: Set when that session has closed: the job goes back to disk.
        over: Set when this process has done with it.
    """

    job: str
    spool: Spool
    owner: Owner
    holder: int
    left: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def must_stop(self) -> bool:
        """Whether somebody has cancelled it, or left."""
        return self.left.is_set() or self.spool.is_cancelled(self.job)


class Lanes:
    """The devices of this process and the jobs that wait for them.

    Args:
        folder: The provider's own; the locks of devices lie there.
        settings: ``[providers.local]``.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._settings = settings
        self._change = threading.Condition()
        self._queue: list[_Entry] = []
        self._running: list[_Entry] = []
        self._started = False
        self._names: tuple[str, ...] = ()
        self._warm: dict[str, Any] = {}
        self._untold: dict[str, State] = {}

    def take(self, spool: Spool, job: str, holder: int) -> bool:
        """Take a job that nobody works on; False when somebody does, here or elsewhere."""
        owner = spool.own(job)
        if owner is None:
            return False
        if spool.state(job).over:
            owner.release()
            return False
        with self._change:
            self._queue.append(_Entry(job, spool, owner, holder))
            if not self._started:
                self._started = True
                threading.Thread(target=self._open, name="videogen-local", daemon=True).start()
            self._change.notify_all()
        return True

    def untold(self, job: str) -> State | None:
        """How a job ended here, where the disk would not take the note of it."""
        return self._untold.get(job)

    def _end(self, entry: _Entry, state: State) -> None:
        """Put an end on record; on a disk that is full it is kept in mind, so that the job is not run over and over."""
        try:
            entry.spool.tell(entry.job, state)
        except OSError:
            self._untold[entry.job] = state

    def place(self, job: str) -> int | None:
        """How many jobs of this process go before one that waits; None when it does not wait here."""
        with self._change:
            jobs = [entry.job for entry in self._queue]
            return jobs.index(job) + len(self._running) if job in jobs else None

    def forget(self, job: str) -> bool:
        """Take a job that waits out of the queue, because it is cancelled; False when it does not wait here."""
        with self._change:
            found = next((entry for entry in self._queue if entry.job == job), None)
            if found is None:
                return False
            self._queue.remove(found)
        found.spool.tell(job, State(status="cancelled"))
        found.owner.release()
        found.over.set()
        return True

    def leave(self, holder: int, seconds: float) -> None:
        """A session closes: its jobs go back to disk, to be taken up again by whoever asks for them.

        Args:
            holder: The session.
            seconds: How long to wait for the step under way to end.
        """
        with self._change:
            waiting = [entry for entry in self._queue if entry.holder == holder]
            self._queue = [entry for entry in self._queue if entry.holder != holder]
            running = [entry for entry in self._running if entry.holder == holder]
        for entry in waiting:
            entry.owner.release()
            entry.over.set()
        for entry in running:
            entry.left.set()
        until = time.monotonic() + seconds
        for entry in running:
            entry.over.wait(max(until - time.monotonic(), 0.0))

    # --- the threads

    def _open(self) -> None:
        """Find the devices, which imports torch, and start a thread for each."""
        from . import devices

        try:
            names = devices.chosen(self._settings)
        except Exception as error:
            self._refuse_all(error)
            return
        self._names = names
        for name in names[1:]:
            threading.Thread(target=self._serve, args=(name,), name=f"videogen-{name}", daemon=True).start()
        self._serve(names[0])

    def _refuse_all(self, error: Exception) -> None:
        failure = failure_of(error, "running")
        with self._change:
            entries, self._queue, self._started = self._queue, [], False
        for entry in entries:
            self._end(entry, State(status="failed", failure=failure))
            entry.owner.release()
            entry.over.set()

    def _serve(self, device: str) -> None:
        from .warm import Warm

        limit = self._settings.get("warm_gb")
        self._warm[device] = warm = Warm(device, limit=round(float(limit) * 2**30) if limit is not None else None)
        while True:
            with self._change:
                while not self._queue:
                    self._change.wait()
                entry = self._queue.pop(0)
                self._running.append(entry)
            try:
                self._do(entry, device, warm)
            finally:
                with self._change:
                    self._running.remove(entry)
                entry.owner.release()
                entry.over.set()

    def _do(self, entry: _Entry, device: str, warm: Any) -> None:
        from .team import work_together
        from .working import Reporter, work

        reporter = Reporter(entry.spool, entry.job, State(status="queued", device=device), entry.must_stop)
        try:
            order = entry.spool.order(entry.job)
            team = self._team(device, order.devices)
            with ExitStack() as held:
                for name in sorted(team, key=self._names.index):  # all in one order, so that no two wait for each other
                    held.enter_context(self._lent(name, reporter, entry))
                reporter.started, reporter.devices = time.monotonic(), len(team)
                reporter.tell(status="running", phase="starting", device=" and ".join(team))
                if len(team) == 1:
                    work(reporter, warm)
                else:
                    for name in team:  # what is kept there would be in the way, and nobody uses it now
                        if name in self._warm:
                            self._warm[name].clear()
                    work_together(reporter, order, team)
        except Stopped:
            if entry.spool.is_cancelled(entry.job):
                self._end(entry, reporter.changed(status="cancelled", remaining=None))
            else:
                with suppress(OSError):  # whoever asks for it next finds nobody at work on it
                    reporter.tell(status="queued", phase="", progress=0.0, remaining=None)
        except BaseException as error:
            failure = failure_of(error, "running")
            self._end(entry, reporter.changed(status="failed", failure=failure, remaining=None))

    def _team(self, device: str, count: int) -> tuple[str, ...]:
        """A device and as many others as make up the number, those that come after it first."""
        if count > len(self._names):
            raise JobError(f"The job asks for {count} devices, and there are {len(self._names)} here now.")
        first = self._names.index(device)
        return tuple(self._names[(first + offset) % len(self._names)] for offset in range(count))

    @contextmanager
    def _lent(self, device: str, reporter: Any, entry: _Entry) -> Iterator[None]:
        """The device, once no other process has it."""
        folder = self._folder / "devices"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / f"{device.replace(':', '-')}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        told = False
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if entry.must_stop():
                        raise Stopped from None
                    if not told:
                        reporter.tell(phase=f"waiting for another program on {device}")
                        told = True
                    time.sleep(_PAUSE)
            yield
        finally:
            os.close(descriptor)


_lanes: dict[tuple[int, str, str], Lanes] = {}
_guard = threading.Lock()


def lanes(folder: Path, settings: Mapping[str, Any]) -> Lanes:
    """The lanes of this process for one folder and choice of devices; a forked child begins with none."""
    key = (os.getpid(), str(folder), f"{settings.get('devices')} {settings.get('warm_gb')}")
    with _guard:
        if key not in _lanes:
            _lanes[key] = Lanes(folder, settings)
        return _lanes[key]
