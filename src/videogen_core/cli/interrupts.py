"""Ctrl-C and SIGTERM: the first stops in good order, the second leaves at once. Jobs can be resumed after both."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from videogen_core import VideogenError

__all__ = [
    "PipeClosedError",
    "StoppedError",
    "TerminatedError",
    "goes_on_by_itself",
    "interruptible",
    "resume_command",
    "under_way",
]

_MOST_NAMED = 5  # jobs; more of them than that are all that is unfinished

under_way: dict[str, None] = {}
"""Ids of jobs that this process waits for, in order: what to resume if it is stopped."""

_advice: list[str] = []
"""What to do instead of resuming jobs by their ids."""


@contextmanager
def goes_on_by_itself(advice: str) -> Iterator[None]:
    """A command that needs no ids to go on with: what to tell whoever stops it within the block."""
    _advice.append(advice)
    yield
    _advice.clear()


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came; it takes the same way out as Ctrl-C."""


class PipeClosedError(Exception):
    """Whoever read our output went away; typer would make an exit code 1 of the plain error."""


class StoppedError(VideogenError):
    """The user stopped the command; what had begun goes on at the provider."""

    def __init__(self, cause: KeyboardInterrupt) -> None:
        jobs = list(under_way)
        goes_on = f" {'The job goes on' if len(jobs) == 1 else 'The jobs go on'} at the provider." if jobs else ""
        super().__init__(
            f"{'Terminated' if isinstance(cause, TerminatedError) else 'Interrupted'}."
            + (" What providers have accepted goes on there." if _advice else goes_on),
            hint=resume_command(jobs),
            job_id=jobs[0] if len(jobs) == 1 else None,
        )
        self.exit_code = 143 if isinstance(cause, TerminatedError) else 130


def resume_command(jobs: list[str]) -> str | None:
    """What to type to go on with these jobs."""
    if _advice:
        return _advice[-1]
    if not jobs:
        return None
    named = f" {' '.join(jobs)}" if len(jobs) <= _MOST_NAMED else ""
    return f"`videogen resume{named}` picks {'it' if len(jobs) == 1 else 'them'} up."


@contextmanager
def interruptible() -> Iterator[None]:
    """Handle both signals within the block; outside the main thread it does nothing."""
    under_way.clear()
    _advice.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        code = 128 + number
        if seen:
            _write(f"\n{resume_command(list(under_way)) or ''}\n")
            os._exit(code)  # no clean-up: that is what the second one asks for
        seen.append(number)
        if under_way or _advice:
            _write("\nStopping; once more leaves at once.\n")
        raise TerminatedError if number == signal.SIGTERM else KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write(text: str) -> None:
    with suppress(OSError):  # standard error is closed
        os.write(2, text.encode())
