"""Jobs of this machine as folders on its disk, so that a job outlives the process that runs it.

A job is put together in a temporary folder and renamed into place, so it is there whole or not at all, and the same id
is the same job. Whoever works on it holds the lock of its file ``owner``; the lock goes with the process, however that
ends, and the next one that asks for the job finds it free and runs it again. That costs nothing twice but time.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..orders import Order

__all__ = ["Failure", "Owner", "Spool", "State"]

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
OVER = ("succeeded", "failed", "cancelled")


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job failed: the words of an error of videogen."""

    message: str
    hint: str | None = None
    code: str = ""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How a job is.

    Attributes:
        status: As in `videogen_core.JobStatus`.
        phase: What is being done, for people: ``loading``, ``denoising`` …
        step: Denoising steps done.
        steps: Of how many.
        pace: Seconds that a step takes.
        progress: 0 to 1.
        remaining: Seconds until it is done, as far as that can be told.
        seconds: Seconds for which a device worked on it.
        device: Such as ``cuda:0``.
        plan: How the model was placed.
        failure: Why it failed.
        notes: What a person may want to know: a plan that was stepped down, say.
        made: What made it: seed, precision, versions of the libraries, the model's commit.
    """

    status: Status = "queued"
    phase: str = ""
    step: int = 0
    steps: int = 0
    pace: float = 0.0
    progress: float = 0.0
    remaining: float | None = None
    seconds: float = 0.0
    device: str = ""
    plan: str = ""
    failure: Failure | None = None
    notes: tuple[str, ...] = ()
    made: dict[str, Any] = {}

    @property
    def over(self) -> bool:
        """Whether it has ended, one way or another."""
        return self.status in OVER


class Owner:
    """The right to work on one job; it lasts until `release`, or until this process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let others have the job."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@dataclass(frozen=True)
class Spool:
    """The folder of all jobs.

    Attributes:
        folder: Where.
    """

    folder: Path

    def add(self, job: str, order: Order, inputs: Mapping[str, bytes]) -> None:
        """Put a job on disk; nothing happens when it is there already.

        Args:
            job: Our id, which names the folder.
            order: What is to be made.
            inputs: Field of the request -> the bytes of the file.

        Raises:
            OSError: The disk is full, say; there is no such job then.
        """
        place = self._place(job)
        if place.is_dir():
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = self.folder / f".{job}.{os.getpid()}.{time.monotonic_ns()}"
        temporary.mkdir(mode=0o700)
        try:
            for name, data in inputs.items():
                _write(temporary / f"input-{name}", data, sync=True)
            _write(temporary / "order.json", msgspec.json.encode(order), sync=True)
            _write(temporary / "owner", b"", sync=True)
            with suppress(FileExistsError, OSError):
                if not place.is_dir():
                    temporary.rename(place)
            if not place.is_dir():
                raise OSError(f"{place} could not be made")
            _sync_folder(self.folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def has(self, job: str) -> bool:
        """Whether there is such a job; a name that would lead out of the folder is none."""
        return Path(job).name == job and not job.startswith(".") and self._place(job).is_dir()

    def order(self, job: str) -> Order:
        """What is to be made.

        Raises:
            OSError, msgspec.MsgspecError: It cannot be read.
        """
        return msgspec.json.decode((self._place(job) / "order.json").read_bytes(), type=Order)

    def inputs(self, job: str) -> dict[str, bytes]:
        """The input files."""
        files = sorted(self._place(job).glob("input-*"))
        return {path.name.removeprefix("input-"): path.read_bytes() for path in files}

    def state(self, job: str) -> State:
        """How it is; that it waits, where nobody has said anything."""
        try:
            return msgspec.json.decode((self._place(job) / "state.json").read_bytes(), type=State)
        except (OSError, msgspec.MsgspecError):
            return State()

    def tell(self, job: str, state: State) -> None:
        """Record how it is; an end is on disk before this returns."""
        with suppress(FileNotFoundError):  # somebody has cleaned it away
            _write(self._place(job) / "state.json", msgspec.json.encode(state), sync=state.over)

    def quiet_for(self, job: str) -> float:
        """Seconds since somebody has told how it is, or since it was put here."""
        for name in ("state.json", "order.json"):
            with suppress(OSError):
                return max(time.time() - (self._place(job) / name).stat().st_mtime, 0.0)
        return 0.0

    def clip(self, job: str) -> Path:
        """Where its clip lies, once it has succeeded."""
        return self._place(job) / "clip.mp4"

    def draft(self, job: str) -> Path:
        """Where its clip is written before it is finished."""
        return self._place(job) / "draft.mp4"

    def keep(self, job: str) -> None:
        """The draft is the finished clip."""
        with self.draft(job).open("rb+") as file:
            os.fsync(file.fileno())
        self.draft(job).replace(self.clip(job))
        _sync_folder(self._place(job))

    def cancel(self, job: str) -> None:
        """Ask whoever works on it to stop."""
        with suppress(FileNotFoundError):
            _write(self._place(job) / "cancel", b"", sync=True)

    def is_cancelled(self, job: str) -> bool:
        """Whether somebody has asked for that."""
        return (self._place(job) / "cancel").exists()

    def own(self, job: str) -> Owner | None:
        """The right to work on a job; None while another has it, in this process or in any other."""
        try:
            descriptor = os.open(self._place(job) / "owner", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return Owner(descriptor)

    def waiting(self) -> list[str]:
        """Jobs that have not ended, the oldest first."""
        places = [path for path in self.folder.glob("[!.]*") if path.is_dir()] if self.folder.is_dir() else []
        open_ = [path for path in places if not self.state(path.name).over]
        return [path.name for path in sorted(open_, key=lambda path: (_age(path), path.name))]

    def remove(self, job: str) -> None:
        """Delete a job and its clip."""
        shutil.rmtree(self._place(job), ignore_errors=True)

    def _place(self, job: str) -> Path:
        return self.folder / job


def _age(path: Path) -> float:
    try:
        return (path / "order.json").stat().st_mtime
    except OSError:
        return 0.0


def _write(path: Path, data: bytes, *, sync: bool) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    partial.replace(path)
    if sync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
