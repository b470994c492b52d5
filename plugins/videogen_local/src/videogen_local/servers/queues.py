"""Which address of a server gets the next job: the one with the fewest jobs that have not ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio

from videogen_core import ProviderUnavailableError

from .settings import Endpoint

__all__ = ["Queues"]

_FRESH = 2.0  # seconds for which what was said of a queue is good enough
_RESERVED = 120.0  # seconds after which a job that was meant for a queue is taken not to come
_AVOIDED = 30.0  # seconds for which an address that could not be reached comes last

Look = Callable[[Endpoint], Awaitable[int | None]]
"""How many jobs an address has that have not ended; None = it does not say. Raises `ProviderUnavailableError`."""


@dataclass
class _Queue:
    """What is known of one address."""

    length: int = 0
    seen: float = float("-inf")
    down: float = float("-inf")
    coming: dict[str, float] = field(default_factory=dict)  # jobs on their way, and since when
    sent: int = 0  # since it was looked at

    def waiting(self, now: float) -> int:
        self.coming = {job: since for job, since in self.coming.items() if now - since < _RESERVED}
        return self.length + self.sent + len(self.coming)


class Queues:
    """Shares the jobs of one server out among its addresses, within one event loop.

    Several processes see each other through what the servers say; jobs of this one that are under way count at once.

    Args:
        endpoints: The addresses.
        look: Asks one how long its queue is.
    """

    def __init__(self, endpoints: tuple[Endpoint, ...], look: Look) -> None:
        self._queues = {endpoint: _Queue() for endpoint in endpoints}
        self._look = look
        self._lock = anyio.Lock()

    async def reserve(self, job: str) -> Endpoint:
        """The address for a job, whose place in the queue is kept until `arrived` or `dropped`.

        Args:
            job: Our id of it.

        Raises:
            ProviderUnavailableError: None can be reached.
        """
        async with self._lock:
            await self._update()
            now = anyio.current_time()
            up = [endpoint for endpoint, queue in self._queues.items() if now - queue.down >= _AVOIDED]
            chosen = min(up or self._queues, key=lambda endpoint: self._queues[endpoint].waiting(now))
            self._queues[chosen].coming[job] = now
            return chosen

    def arrived(self, job: str) -> None:
        """The create has been sent: it may be in the queue now."""
        for queue in self._queues.values():
            if queue.coming.pop(job, None) is not None:
                queue.sent += 1

    def dropped(self, job: str) -> None:
        """The job does not come after all."""
        for queue in self._queues.values():
            queue.coming.pop(job, None)

    async def _update(self) -> None:
        """Look at every queue that was not looked at just now, all at once.

        Raises:
            ProviderUnavailableError: None can be reached.
        """
        now = anyio.current_time()
        troubles: list[ProviderUnavailableError] = []

        async def look(endpoint: Endpoint, queue: _Queue) -> None:
            before = queue.sent
            try:
                length = await self._look(endpoint)
            except ProviderUnavailableError as error:
                queue.down = anyio.current_time()
                troubles.append(error)
                return
            queue.down = float("-inf")
            queue.seen = anyio.current_time()
            if length is not None:
                queue.length, queue.sent = length, queue.sent - before

        up = [pair for pair in self._queues.items() if now - pair[1].down >= _AVOIDED] or list(self._queues.items())
        old = [(endpoint, queue) for endpoint, queue in up if now - queue.seen >= _FRESH]
        async with anyio.create_task_group() as group:
            for endpoint, queue in old:
                group.start_soon(look, endpoint, queue)
        if troubles and len(troubles) == len(up):
            raise troubles[0]
