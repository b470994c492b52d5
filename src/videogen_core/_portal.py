"""The thread that runs the event loop of the sync face.

One loop for the life of the process, because an async client belongs to one loop. Learned the hard way by others: an
unclosed portal hangs the interpreter at exit; closing it waits for running tasks unless they are cancelled first; after
a fork the child's portal never answers; an interrupt while a portal starts leaves one that nobody can stop. Each is
dealt with below.
"""

from __future__ import annotations

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


def _serve(ready: Future[BlockingPortal]) -> None:
    """Run an event loop until its portal is stopped; the body of the thread."""
    import anyio
    from anyio.from_thread import BlockingPortal

    async def main() -> None:
        async with BlockingPortal() as portal:
            ready.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        anyio.run(main, backend="asyncio")
    except BaseException as error:
        if not ready.done():
            ready.set_exception(error)


class Portal:
    """Runs coroutines on a background event loop; starts it on first use and again in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: Future[BlockingPortal] | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def _started(self) -> BlockingPortal:
        if self._pid not in (0, os.getpid()):
            self._lock = threading.Lock()  # after a fork: a thread that is gone may have held the old one
        with self._lock:
            if self._ready is None or self._pid != os.getpid():
                # Recorded before it is waited for, so that an interrupt in between loses nothing.
                self._ready, self._pid = Future(), os.getpid()
                self._thread = threading.Thread(target=_serve, args=(self._ready,), name="videogen", daemon=True)
                atexit.register(self.close)
                self._thread.start()
            ready = self._ready
        return ready.result()

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
            ready, thread, self._ready, self._thread = self._ready, self._thread, None, None
        if ready is None or thread is None or self._pid != os.getpid():
            return
        atexit.unregister(self.close)
        portal = ready.result()
        portal.call(portal.stop, True)  # cancel first, or the loop waits for every running task
        thread.join()


async def _turn() -> None:
    """Let the loop go round."""
    import asyncio

    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error inside a task group's wrapping, or the group when there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
