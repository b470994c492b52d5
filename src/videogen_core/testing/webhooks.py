"""The vendor's own requests: deliveries to webhook addresses, signed as Standard Webhooks are."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import heapq
import hmac
import http.client
import itertools
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from .clock import Clock
from .faults import Fault, FaultPlan
from .journal import Journal
from .vendor import VendorJob

__all__ = ["Webhooks", "post", "sign_webhook"]

_TRIES = 4
_PAUSE = 0.2  # real seconds before a delivery is repeated, doubling
_TIMEOUT = 5.0
_GLANCE = 0.02


def sign_webhook(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The ``webhook-signature`` header: HMAC-SHA256 over ``id.timestamp.body``, keyed by a ``whsec_`` secret."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def post(url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """POST to an http address on this machine; the status and the body, or 0 when no answer came."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT)
    try:
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request("POST", target, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


class Webhooks:
    """Deliveries that are due when their job ends.

    Args:
        clock: Says when.
        journal: Gets an entry for each delivery.
        plan: What goes wrong with them.
        body: What a delivery about a job says.
        sign: The headers that vouch for a delivery, from its id, time (seconds since 1970) and body.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        plan: FaultPlan,
        *,
        body: Callable[[VendorJob], bytes],
        sign: Callable[[str, int, bytes], Mapping[str, str]],
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._plan = plan
        self._body = body
        self._sign = sign
        self._due: list[tuple[float, int, VendorJob]] = []
        self._places = itertools.count()
        self._told: set[str] = set()
        self._numbers = itertools.count(1)
        self._sender: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def expect(self, job: VendorJob) -> None:
        """Tell of a job when it ends, once; call it on the event loop, and again when its end has moved."""
        if not job.webhook:
            return
        heapq.heappush(self._due, (job.ends, next(self._places), job))
        self.wake()

    def wake(self) -> None:
        """See to it that somebody waits for what is due; call it on the event loop."""
        if not self._due:
            return
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send_all())

    def clear(self) -> None:
        """Forget what is due, and what has been told."""
        self._due.clear()
        self._told.clear()

    async def _send_all(self) -> None:
        while self._due:
            if self._due[0][0] > self._clock.now():
                await asyncio.sleep(_GLANCE)  # an earlier one may come meanwhile
                continue
            job = heapq.heappop(self._due)[2]
            if job.id in self._told:
                continue
            self._told.add(job.id)
            task = asyncio.get_running_loop().create_task(self._deliver(job))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _deliver(self, job: VendorJob) -> None:
        number = next(self._numbers)
        fault = self._plan.choose("webhook", number, job.webhook, ("before", "after", "arrival"))
        what = None if fault is None else fault.what
        if what == "lost":
            return
        body = b"{not json" if what == "garbage" else self._body(job)
        timestamp = int(time.time()) - (600 if what == "stale" else 0)
        message_id = f"msg_{job.id}"
        headers = {"content-type": "application/json"}
        if what != "unsigned":
            headers |= self._sign(message_id, timestamp, body + b" " if what == "bad_signature" else body)
        for _ in range(2 if what == "duplicate" else 1):
            await self._insist(job, body, headers, fault)

    async def _insist(self, job: VendorJob, body: bytes, headers: Mapping[str, str], fault: Fault | None) -> None:
        """Deliver until somebody says 2xx, a few times."""
        for attempt in range(_TRIES):
            parts = urlsplit(job.webhook)
            entry = self._journal.open(self._clock.now(), "POST", parts.path, parts.query)
            self._journal.sort(entry, "webhook")
            entry.job, entry.fault = job.id, "" if fault is None else fault.what
            entry.status, _ = await asyncio.to_thread(post, job.webhook, body, headers)
            entry.outcome = "answered" if entry.status else "faulty"
            if 200 <= entry.status < 300:
                return
            await asyncio.sleep(_PAUSE * 2**attempt)
