"""MiniMax's two video APIs on this machine.

``videogen emulate minimax`` serves them; with the variables that it prints, the plugin runs against them unchanged.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from videogen_core.testing import Clip, Emulator, Refusal, Traits, VendorJob, current_entry, post

from .answers import refused
from .orders import Order
from .v1 import Legacy
from .v2 import Tasks

__all__ = ["MinimaxEmulator"]

_HANDSHAKE = 3.0  # real seconds


class MinimaxEmulator(Emulator):
    """MiniMax: V1 under ``/v1``, V2 under ``/v2``, clips on the second origin.

    It refuses what MiniMax refuses, and any field that is not documented, in MiniMax's own shapes: V1 with a status of
    200 and a code inside, V2 with a real status. A prompt that holds "forbidden" is refused with 1026.

    How a task ends is up to `videogen_core.testing.Script`. Its ``code`` is the vendor's own (1027 for a task that is
    blocked, none for one that fails); beyond that:

    ==========  ============  ==========================================================================================
    ending      code          what shows
    ==========  ============  ==========================================================================================
    failed      ``Failed``    V1: that word in the place of ``Fail``
    failed      ``expired``   V2: that status
    cancelled   any           V1, which has no such word: ``Fail``; V2: ``cancelled``
    empty       any           V1: success without a file; V2: success without an address
    ==========  ============  ==========================================================================================

    On V2 ``usage`` counts seconds only where something is charged. Records of V2 are forgotten seven days after their
    end. An address in ``callback_url`` is greeted first, with the create still open; one that does not answer with the
    same challenge within three seconds never hears anything.

    Args:
        bare_urls: Whether V1 leaves the scheme out of addresses.
        **options: Of `Emulator`.

    Attributes:
        orders: What was asked for, by task.
        handshakes: The addresses that were greeted, and whether they answered right.
    """

    name = "minimax"
    traits = Traits(kind="D", url_lifetime=3600.0)
    request_id_header = "trace-id"

    def __init__(self, *, bare_urls: bool = False, **options: Any) -> None:
        self.bare_urls = bare_urls
        self.orders: dict[str, Order] = {}
        self.handshakes: list[tuple[str, bool]] = []
        self.legacy, self.tasks = Legacy(self), Tasks(self)
        super().__init__(**options)

    def routes(self) -> Sequence[BaseRoute]:
        """All of them."""
        return [*self.legacy.routes(), *self.tasks.routes(), self.file_route()]

    def refusal(self, refusal: Refusal) -> Response:
        """In the shape of the API that was asked; in that of no API where there is none, or for a clip."""
        entry = current_entry.get()
        if entry is None or not entry.ordinal or entry.kind == "download":
            return super().refusal(refusal)
        return refused(refusal, entry.path, entry.seq)

    def authorize(self, request: Request) -> None:
        """Ask for the key, as a bearer."""
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not key:
            raise Refusal(401, "unauthorized", "no key")
        if key != self.key:
            raise Refusal(401, "wrong_key", "invalid api key")

    def new_id(self, number: int, chance: Random) -> str:
        """Fifteen digits, on both APIs."""
        return str(chance.randrange(10**14, 10**15))

    def price(self, job: VendorJob) -> Decimal:
        """As MiniMax's price list has it; 0 for the models that it does not name."""
        return self.orders[job.id].price

    def environment(self) -> dict[str, str]:
        """For the plugin."""
        return {"MINIMAX_API_HOST": self.api_url, "MINIMAX_API_KEY": self.key}

    async def accept(self, clip: Clip, order: Order, *, model: str, body: dict[str, Any]) -> VendorJob:
        """A new task; the address of its callbacks is greeted first."""
        if "forbidden" in order.prompt:
            raise Refusal(422, "content_policy", "video description contains sensitive content")
        address = str(body.get("callback_url") or "")
        webhook = address if address and await self._greeted(address) else ""
        job = self.vendor.create(clip, model=model, body=body, webhook=webhook, text=json.dumps(body))
        self.orders[job.id] = order
        return job

    async def _greeted(self, address: str) -> bool:
        """Whether an address answers MiniMax's challenge."""
        challenge = {"challenge": f"{len(self.handshakes) + 1:08d}"}
        body, headers = json.dumps(challenge).encode(), {"content-type": "application/json"}
        try:
            status, answer = await asyncio.wait_for(asyncio.to_thread(post, address, body, headers), _HANDSHAKE)
            right = 200 <= status < 300 and json.loads(answer) == challenge
        except (TimeoutError, ValueError):
            right = False
        self.handshakes.append((address, right))
        return right

    def webhook_body(self, job: VendorJob) -> bytes:
        """What the answer to a query would be."""
        api = self.legacy if self.orders[job.id].api == "v1" else self.tasks
        return json.dumps(api.shown(job, job.look(self.clock.now())[0])).encode()

    def webhook_headers(self, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
        """Nothing: MiniMax signs no callback."""
        return {}

    def reset(self, *, seed: int | None = None) -> None:
        """As if it had just been made."""
        super().reset(seed=seed)
        self.orders.clear()
        self.handshakes.clear()
        self.bare_urls = False
