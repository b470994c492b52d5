"""Events on their way to extensions: a thread and a queue for each, so that no job ever waits for one.

A sink that is slow loses what does not fit into its queue; one that raises is told of once and goes on hearing. When
the client is closed, each has a moment to hear the rest. A sink runs in a copy of the caller's context variables.
"""

from __future__ import annotations

import copy
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

from .extensions import Extensions
from .plugins import Plugin
from .redaction import said
from .states import Event

__all__ = ["Sinks"]

HOOK = "videogen_on_event"
_ROOM = 1_000  # events
_CLOSE_SECONDS = 2.0  # for all of them together


class Sinks:
    """The event sinks of one engine; their threads begin with the first event.

    Args:
        extensions: Who wants to hear.
    """

    def __init__(self, extensions: Extensions) -> None:
        self._extensions = extensions
        self._lock = threading.Lock()
        self._sinks: Sequence[_Sink] | None = None
        self._pid = os.getpid()

    def put(self, event: Event) -> None:
        """Hand an event to every sink; returns at once, and never raises."""
        for sink in self._ready():
            sink.put(event)

    def _ready(self) -> Sequence[_Sink]:
        sinks = self._sinks
        if sinks is None or self._pid != os.getpid():  # a forked child has none of its parent's threads
            with self._lock:
                if self._sinks is None or self._pid != os.getpid():
                    blame = self._extensions.blame
                    self._sinks = [_Sink(plugin, blame) for plugin in self._extensions.having(HOOK)]
                    self._pid = os.getpid()
                sinks = self._sinks
        return sinks

    def close(self) -> None:
        """Let the sinks hear what is queued, for two seconds at most. Blocks."""
        sinks, self._sinks = self._sinks or (), None
        if self._pid != os.getpid():
            return
        deadline = time.monotonic() + _CLOSE_SECONDS
        for sink in sinks:
            sink.finish()
        for sink in sinks:
            sink.join(max(deadline - time.monotonic(), 0.0))


class _Sink:
    def __init__(self, plugin: Plugin, blame: Callable[[Plugin, str], None]) -> None:
        self._plugin = plugin
        self._blame = blame
        self._queue: queue.Queue[tuple[Event, Context] | None] = queue.Queue(_ROOM)
        self._dropped = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"videogen-{plugin.name}-{HOOK}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        try:
            self._queue.put_nowait((event, copy_context()))  # so that it knows in which span the caller is
        except queue.Full:
            self._dropped += 1
            if self._dropped == 1:
                self._blame(self._plugin, f"{HOOK} is too slow: events beyond {_ROOM} that wait for it are dropped")

    def finish(self) -> None:
        self._closing.set()
        with suppress(queue.Full):  # then there is something to wake it, and it looks at `_closing` after that
            self._queue.put_nowait(None)

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
        missed = self._queue.qsize() + self._dropped
        if self._thread.is_alive() or self._dropped:
            self._blame(self._plugin, f"{HOOK} had not heard all events when the client was closed ({missed} missed)")

    def _run(self) -> None:
        call: Callable[..., Any] = self._plugin.calls[HOOK]
        while (item := self._queue.get()) is not None:
            event, context = item
            try:
                context.run(call, event=copy.deepcopy(event))
            except BaseException as error:  # its sys.exit() ends nothing either
                self._blame(self._plugin, f"{HOOK} failed: {said(error)}")
            if self._closing.is_set() and self._queue.empty():
                return
