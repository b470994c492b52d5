"""The thread that runs the event loop of the sync face.

One loop for the life of the process, because an async client belongs to one loop. Learned the hard way by others: an
unclosed portal hangs the interpreter at exit; closing it waits for running tasks unless they are cancelled first; after
a fork the child's portal never answers. Each is dealt with below.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

__all__ = ["Portal"]

P = ParamSpec("P")
T = TypeVar("T")

# Seconds. A submit under way is shielded until its own deadline of two minutes; nothing else takes as long.
_LONGEST_UNIT = 130.0

# The parent's loop as a child sees it: collecting it as garbage would wait for a thread that does not exist here.
_ABANDONED: list[object] = []


class Portal:
    """Runs coroutines on a background event loop; starts it on first use and again in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._leave: Callable[[], object] | None = None
        self._pid = 0

    def _started(self) -> BlockingPortal:
        if self._pid not in (0, os.getpid()):  # after a fork
            self._lock = threading.Lock()  # a thread that is gone may have held the old one
            _ABANDONED.append(self._leave)
        with self._lock:
            if self._portal is None or self._pid != os.getpid():
                from anyio.from_thread import start_blocking_portal

                manager = start_blocking_portal("asyncio", name="videogen")
                self._portal = manager.__enter__()
                self._leave = lambda: manager.__exit__(None, None, None)
                self._pid = os.getpid()
                atexit.register(self.close)
            return self._portal

    @property
    def generation(self) -> int:
        """Changes when the loop does (first use, fork, close), so that what is bound to a loop can be made anew."""
        return id(self._started())

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a coroutine function on the loop and wait for it.

        A Ctrl-C while waiting cancels the coroutine, waits until it has put its affairs in order, and is raised then;
        a second one does not wait.
        """
        started, finished = threading.Event(), threading.Event()

        async def run() -> T:
            started.set()
            try:
                return await function(*args, **kwargs)
            finally:
                finished.set()

        portal = self._started()
        future: Future[T] = portal.start_task_soon(run)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            portal.call(_turn)  # by now the task has begun, or never will
            if started.is_set():
                finished.wait(_LONGEST_UNIT)
            raise
        except BaseExceptionGroup as group:
            raise _single(group) from None

    @contextmanager
    def background(self, function: Callable[[], Awaitable[T]]) -> Iterator[Future[T]]:
        """Run a coroutine function meanwhile; it is cancelled at the end of the block if it still runs."""
        future: Future[T] = self._started().start_task_soon(function)
        try:
            yield future
        finally:
            future.cancel()

    def close(self) -> None:
        """Stop the loop, cancelling what runs on it; safe to call twice and from a forked child."""
        with self._lock:
            portal, leave, self._portal, self._leave = self._portal, self._leave, None, None
            if portal is None or leave is None or self._pid != os.getpid():
                return
            atexit.unregister(self.close)
            portal.call(portal.stop, True)  # cancel first, or leaving waits for every running task
            leave()


async def _turn() -> None:
    """Let the loop go round."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error inside a task group's wrapping, or the group when there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
