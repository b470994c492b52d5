"""Work that is finished once it has begun: neither a cancellation nor a Ctrl-C stops it halfway."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from types import FrameType
from typing import Any, TypeVar

import anyio

from ..errors import VideogenError

__all__ = ["Units"]

T = TypeVar("T")


class Units:
    """The units of one event loop. Closing waits for those under way, so that nothing is closed beneath them."""

    def __init__(self) -> None:
        self._under_way = 0
        self._closed = False
        self._idle = anyio.Event()

    async def run(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a function to its end; a cancellation that comes meanwhile takes effect after it.

        Raises:
            VideogenError: The client has been closed; nothing was begun.
        """
        if self._closed:
            raise VideogenError("The client was closed meanwhile, so nothing was sent.", hint="Resume the job.")
        self._under_way += 1
        try:
            return await _finished(function)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    async def close(self) -> None:
        """Begin no more units, and wait for those under way."""
        self._closed = True
        if self._under_way:
            self._idle = anyio.Event()
            with anyio.CancelScope(shield=True):
                await _finished(self._idle.wait)


async def _finished(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return await _beside_on_trio(function)
    return await _beside(function())


async def _beside(unit: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a task of its own. A shielded scope alone stops no ``Task.cancel``.

    The task is taken off asyncio's list, because ``asyncio.run`` cancels at its end all that is on it. It still waits
    for us, who wait for the task.
    """
    task = asyncio.create_task(unit)
    asyncio._unregister_task(task)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at; the cancellation is what the caller asked for
        raise cancelled
    return task.result()


class _Held:
    """A Ctrl-C that waits until no unit is under way on trio; the second one does not wait.

    A system task is safe from it, but the tasks that it starts, to open a connection, are not.
    """

    def __init__(self) -> None:
        self._units = 0
        self._before: Any = None
        self._came = False

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # where no signal ever comes
        self._units += 1
        if self._units == 1:
            self._came, self._before = False, signal.getsignal(signal.SIGINT)
            if callable(self._before):
                signal.signal(signal.SIGINT, self._handle)

    def __exit__(self, *error: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._units -= 1
        if self._units == 0 and signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, self._before)
            if self._came:
                signal.raise_signal(signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._came:
            self._before(number, frame)
        self._came = True


_held = _Held()


async def _beside_on_trio(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """The same for trio, whose Ctrl-C strikes wherever the main task is, shielded or not."""
    import trio

    done = trio.Event()
    answers: list[T] = []
    errors: list[Exception] = []

    async def unit() -> None:
        try:
            with _held:
                answers.append(await function())
        except Exception as error:
            errors.append(error)
        finally:
            done.set()

    trio.lowlevel.spawn_system_task(unit, context=copy_context())
    interrupt: KeyboardInterrupt | None = None
    with anyio.CancelScope(shield=True):
        while not done.is_set():
            try:
                await done.wait()
            except KeyboardInterrupt as error:
                interrupt = error
    if interrupt is not None:
        raise interrupt
    if errors:
        raise errors[0]
    return answers[0]
