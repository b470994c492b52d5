"""This process as the ledger knows it: the holder of leases, and the heartbeat that keeps them all."""

from __future__ import annotations

import itertools
import os
import secrets
import socket
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..errors import VideogenError
from ..ledger import Ledger

__all__ = ["LEASE", "Worker", "is_dead"]

LEASE = 60.0
"""Seconds after its last sign of life at which another worker may take a job over."""
_BEAT = LEASE / 3


class Worker:
    """Holds the leases of one engine, and keeps them with one write every 20 seconds, however many they are.

    The heartbeat is a thread, so that a busy event loop does not lose its jobs. It runs only while something is held.

    Args:
        ledger: Where the leases are.

    Attributes:
        unreleased: Job id -> the driver whose lease on it could not be given back yet, on a full disk, say.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.unreleased: dict[str, str] = {}
        self.id = f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}:{_machine()}:{secrets.token_hex(3)}"
        self._ledger = ledger
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._held = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def driver(self) -> str:
        """The name of one more driver: two tasks of one process must not drive a job together."""
        return f"{self.id}/{next(self._numbers)}"

    def hold(self) -> None:
        """One more lease is held."""
        with self._lock:
            self._held += 1
            if self._thread is None:
                self._stop.clear()
                self._thread = threading.Thread(target=self._run, name="videogen-heartbeat", daemon=True)
                self._thread.start()

    def leave(self) -> None:
        """One lease fewer is held."""
        with self._lock:
            self._held -= 1

    def let_go(self, job_id: str) -> None:
        """Give back the lease of a driver that is through with a job; nothing happens when there is none. Blocks.

        Raises:
            LedgerError: It could not be given back; the next one to claim the job here tries again.
        """
        driver = self.unreleased.get(job_id)
        if driver is not None:
            self._ledger.release(job_id, driver)
            self.unreleased.pop(job_id, None)

    def _run(self) -> None:
        while not self._stop.wait(_BEAT):
            for job_id in list(self.unreleased):
                with suppress(VideogenError):
                    self.let_go(job_id)
            with self._lock:
                if self._held <= 0:
                    self._thread = None
                    return
            with suppress(VideogenError):  # the next beat may succeed; a lease that lapses is told by its fence
                self._ledger.beat(self.id, LEASE)

    def close(self) -> None:
        """End the heartbeat and tell the ledger that nothing is held any more. Blocks."""
        self._stop.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)
            with suppress(VideogenError):
                self._ledger.retire(self.id)


def is_dead(worker: str) -> bool:
    """Whether a worker was a process of this machine that no longer runs. False where that cannot be told."""
    try:
        _, pid, started, machine, _ = worker.rsplit(":", 4)
    except ValueError:
        return False
    if machine != _machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return started != _started(int(pid))  # another process has the number now


@cache
def _machine() -> str:
    """This boot of this machine, as far as process numbers mean something: containers have numbers of their own."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    import hashlib

    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def _started(pid: int) -> str:
    """When a process was started, in ticks since boot; empty where the system does not tell."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""
