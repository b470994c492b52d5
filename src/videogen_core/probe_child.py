"""Decoding in a process of its own: what crashes, hangs or swells there takes nobody along.

A few children serve a whole process, one file after the other; they start when they are first needed, end when they
have had nothing to do for a minute, and with the process that started them. A child gets an open descriptor and
nothing else: no path, no environment, no other descriptor. It is a limit on accidents and on common attacks, not a
sandbox: it may still do what its user may.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Annotated

import msgspec

from . import probing
from .errors import DownloadError, IntegrityError
from .probing import Facts

__all__ = ["MEMORY", "SECONDS", "available", "decode", "serve"]

SECONDS = 10
"""Of CPU, and of waiting, for one file."""
MEMORY = 1024**3
"""Bytes of address space."""
_DESCRIPTORS = 32
_START_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_MAX_FILES = 1000  # after so many a child is replaced, lest a leak add up
_MAX_MESSAGE = 4096
_READY = b"ready\n"
_HERE = "Set VIDEOGEN_PROBE_IN_PROCESS=1 to have clips decoded without a process of their own."

# What the dynamic loader may need to find the interpreter's libraries; nothing else of the environment is passed on.
_LOADER = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH")

_START = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[1])
try:
    from videogen_core.probe_child import serve
    serve()
except Exception as error:
    os.write(0, f"{type(error).__name__}: {error}"[:500].replace("\\n", " ").encode() + b"\\n")
    raise
"""


class _Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mime: str
    size: int


class _Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either facts or a problem."""

    facts: Facts | None = None
    problem: Annotated[str, msgspec.Meta(max_length=500)] = ""


# --- the side that asks


class _EndedError(Exception):
    """The child is no more; its exit code says why."""


@cache
def available() -> bool:
    """Whether this program can start Python; one that is frozen into a single file would start itself."""
    if sys.executable and not getattr(sys, "frozen", False):
        return True
    logging.getLogger("videogen").warning("Clips are decoded in this process: there is no interpreter to start.")
    return False


def decode(file: IO[bytes], mime: str, size: int) -> Facts:
    """`probing.decode`, in a child process of at most `SECONDS` and `MEMORY`. Blocks; any thread may call.

    Raises:
        IntegrityError: It is cut, damaged or absurd, or the child did not survive it.
        DownloadError: No child can be started.
    """
    question = msgspec.json.encode(_Question(mime, size)) + b"\n"
    with _descriptor(file) as descriptor:
        answer = _pool().ask(descriptor, question)
    if answer.facts is None:
        problem = "".join(c if c.isprintable() else "?" for c in answer.problem)
        raise IntegrityError(problem or "the video cannot be decoded.")
    return answer.facts


@contextmanager
def _descriptor(file: IO[bytes]) -> Iterator[int]:
    """A descriptor to hand over; what is in memory only is copied to an anonymous file first."""
    file.seek(0)
    try:
        descriptor = file.fileno()
    except OSError:  # "unsupported operation"
        with _anonymous() as copy:
            shutil.copyfileobj(file, copy, 1024**2)
            copy.flush()
            yield copy.fileno()
    else:
        yield descriptor


def _anonymous() -> IO[bytes]:
    if hasattr(os, "memfd_create"):  # Linux
        return os.fdopen(os.memfd_create("clip"), "w+b")
    return tempfile.TemporaryFile()


class _Child:
    """One child process and the socket to it. Not for two threads at once."""

    def __init__(self) -> None:
        self.files = 0
        self.socket, theirs = socket.socketpair()
        try:
            with theirs:
                self.process = _spawn(theirs.fileno())
        except BaseException:
            self.socket.close()
            raise

    def greet(self) -> None:
        """Wait until it is ready."""
        try:
            reply = self._line(_START_SECONDS)
        except (_EndedError, TimeoutError):
            reply = b"it ended, or is stuck"
        if reply + b"\n" != _READY:
            reason = reply[:500].decode("utf-8", "replace")
            raise DownloadError(f"it could not be checked: the decoding process does not start: {reason}.", hint=_HERE)

    def ask(self, descriptor: int, question: bytes) -> _Answer:
        """Hand over a file and wait for the answer, which is trusted no more than one from the network."""
        try:
            socket.send_fds(self.socket, [question], [descriptor])
        except ConnectionError as error:
            raise _EndedError from error
        answer = msgspec.json.decode(self._line(SECONDS), type=_Answer)
        self.files += 1
        return answer

    def _line(self, seconds: float) -> bytes:
        deadline, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                part = self.socket.recv(_MAX_MESSAGE)
            except ConnectionError:
                part = b""
            line += part
            if not part or len(line) > _MAX_MESSAGE:
                raise _EndedError
        return line[:-1]

    def end(self, *, kill: bool) -> int:
        """Stop it, and give its exit code: negative for a signal."""
        self.socket.close()
        if not kill:
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(2)
        self.process.kill()
        return self.process.wait()

    def forget(self) -> None:
        """Let go of it in a forked process, whose child it is not."""
        self.socket.close()
        self.process.returncode = 0


def _spawn(channel: int) -> subprocess.Popen[bytes]:
    # absolute, since the child does not share our folder; the last is for a package that is not found by the path
    path = [*map(os.path.abspath, sys.path), str(Path(__file__).parents[1])]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-c", _START, json.dumps(path)],
        stdin=channel,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _LOADER if name in os.environ},
        cwd="/",
        start_new_session=True,  # Ctrl-C is for us to deal with
    )


class _Pool:
    """The children of this process: as many as there is work for, up to four."""

    def __init__(self) -> None:
        self._places = threading.BoundedSemaphore(max(2, min(4, os.cpu_count() or 2)))
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self.children: set[_Child] = set()

    def ask(self, descriptor: int, question: bytes) -> _Answer:
        """Have a file decoded by a child that has nothing else to do."""
        with self._places:
            while True:
                child = self._take()
                try:
                    answer = child.ask(descriptor, question)
                except _EndedError:
                    code = self._drop(child, kill=False)
                    if child.files and code == 0:
                        continue  # it had gone home, for want of work
                    raise IntegrityError(_obituary(code)) from None
                except TimeoutError:
                    self._drop(child, kill=True)
                    raise IntegrityError(f"the video keeps its decoder busy for more than {SECONDS} s.") from None
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    self._drop(child, kill=True)
                    raise IntegrityError("the video makes its decoder talk nonsense.") from error
                except BaseException:
                    self._drop(child, kill=True)
                    raise
                self._give_back(child)
                return answer

    def _take(self) -> _Child:
        with self._lock:
            if self._idle:
                return self._idle.pop()  # the one used last, so that the others may find nothing to do and end
        try:
            child = _Child()
        except OSError as error:
            reason = f"it could not be checked: no decoding process can be started: {error.strerror}."
            raise DownloadError(reason, hint=_HERE) from error
        with self._lock:
            self.children.add(child)
        try:
            child.greet()
        except BaseException:
            self._drop(child, kill=True)
            raise
        return child

    def _give_back(self, child: _Child) -> None:
        if child.files >= _MAX_FILES:
            self._drop(child, kill=False)
            return
        with self._lock:
            self._idle.append(child)

    def _drop(self, child: _Child, *, kill: bool) -> int:
        with self._lock:
            self.children.discard(child)
        return child.end(kill=kill)

    def close(self) -> None:
        """End the idle ones; the others end with this process."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            self._drop(child, kill=True)


def _obituary(code: int) -> str:
    """What to say of a video whose decoder ended with this exit code."""
    if code == -signal.SIGXCPU:
        return f"the video keeps its decoder busy for more than {SECONDS} s."
    if code == -signal.SIGKILL:
        return "the decoder was killed while it read the video, perhaps because memory ran out."
    name = f"signal {-code}"
    with suppress(ValueError):
        name = signal.Signals(-code).name
    return f"the video makes its decoder crash ({name if code < 0 else f'exit code {code}'})."


class _Process:
    """What this process has: a pool once it is needed, another one after a fork."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pool: _Pool | None = None
        self.hooked = False

    def after_fork(self) -> None:
        self.lock = threading.Lock()  # another thread may have held the old one
        pool, self.pool = self.pool, None
        for child in pool.children if pool is not None else ():
            child.forget()

    def close(self) -> None:
        with self.lock:
            pool, self.pool = self.pool, None
        if pool is not None:
            pool.close()


_process = _Process()


def _pool() -> _Pool:
    with _process.lock:
        if not _process.hooked:
            os.register_at_fork(after_in_child=_process.after_fork)
            atexit.register(_process.close)
            _process.hooked = True
        if _process.pool is None:
            _process.pool = _Pool()
        return _process.pool


# --- the side that decodes


def serve() -> None:
    """The child: decode what comes through the socket on descriptor 0 until nothing comes any more."""
    _limit(resource.RLIMIT_AS, MEMORY)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    import av  # noqa: F401 - while nobody is waiting for a file

    channel = socket.socket(fileno=0)
    channel.sendall(_READY)
    while True:
        channel.settimeout(_IDLE_SECONDS)
        try:
            message, descriptors, *_ = socket.recv_fds(channel, _MAX_MESSAGE, 1)
        except (TimeoutError, ConnectionError):
            return
        if not message:
            return
        channel.settimeout(None)
        _allow_seconds()
        with os.fdopen(descriptors[0], "rb") as file:
            answer = _answer(file, message)
        channel.sendall(msgspec.json.encode(answer) + b"\n")


def _limit(kind: int, value: int) -> None:
    """Lower a limit for good; a system may lack one, or have set it lower."""
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (value, value))


def _allow_seconds() -> None:
    """Let the CPU limit count from here: it is what ends a child whose parent has been killed."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    until = int(time.process_time()) + SECONDS
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (until if hard == resource.RLIM_INFINITY else min(until, hard), hard))


def _answer(file: IO[bytes], message: bytes) -> _Answer:
    question = msgspec.json.decode(message, type=_Question)
    try:
        return _Answer(facts=probing.decode(file, question.mime, question.size))
    except IntegrityError as error:
        return _Answer(problem=error.message[:500])
