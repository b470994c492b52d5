"""What a plugin's author writes: a vendor's HTTP API in a few routes, everything else is here.

Subclass `Emulator`, say in `Emulator.routes` which paths there are and what each is for, and answer them from
``self.vendor``. Faults, the journal, the clock, scripts, deliveries and the control plane come with it.
"""

from __future__ import annotations

import json
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any, ClassVar, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, Router

from .clips import make_clip
from .clock import Clock
from .control import CONTROL, control_routes
from .delivery import file_answer, sign_path, verify_path
from .exchange import Endpoint, Exchange
from .faults import Fault, FaultPlan, Kind
from .journal import Journal
from .lifecycle import Script
from .vendor import Refusal, Traits, Vendor, VendorJob, default_price
from .webhooks import Webhooks, sign_webhook

__all__ = ["Emulator"]

Scope = MutableMapping[str, Any]
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


class Emulator(ABC):
    """A vendor on this machine; an ASGI application to be served by `videogen_core.testing.serve`.

    Args:
        seed: Decides ids, and which requests meet which faults.
        speed: Vendor seconds per real second; 0 = the clock stands still until it is put forward.
        script: The life of a job, unless a script was added for it.
        key: The only API key that it takes.
        traits: What sort of vendor it is, instead of `Emulator.traits`.
        **changes: Single traits that differ, such as ``list_lag=0.3``.

    Attributes:
        name: Of the vendor, for people and for ``videogen emulate``.
        traits: What sort of vendor it is.
        request_id_header: Where every answer tells the vendor's id of the request.
        max_body: Bytes of a request that are read.
        content_md5: Whether files come with a ``Content-MD5``.
        webhook_secret: Signs deliveries.
    """

    name: ClassVar[str]
    traits: Traits = Traits()
    request_id_header: ClassVar[str] = "x-request-id"
    max_body: ClassVar[int] = 64 * 2**20
    content_md5: ClassVar[bool] = False
    webhook_secret: ClassVar[str] = "whsec_dmlkZW9nZW4tZW11bGF0b3Itc2VjcmV0LTAwMDE="

    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = 1.0,
        script: Script | None = None,
        key: str = "test-key",
        traits: Traits | None = None,
        **changes: Any,
    ) -> None:
        self.seed = seed
        self.key = key
        self.traits = msgspec.structs.replace(traits or type(self).traits, **changes)
        self.clock = Clock(speed)
        self.journal = Journal()
        self.faults = FaultPlan(seed)
        self.vendor = Vendor(
            self.clock,
            self.journal,
            traits=self.traits,
            seed=seed,
            script=script or Script(times=None),
            new_id=self.new_id,
            price=self.price,
        )
        self.webhooks = Webhooks(
            self.clock, self.journal, self.faults, body=self.webhook_body, sign=self.webhook_headers
        )
        self.vendor.on_change = self.webhooks.expect
        self.api_url = self.delivery_url = ""
        self.mistakes: list[str] = []
        self._secret = f"{self.name}/{seed}".encode()
        self._router = Router(self.routes(), redirect_slashes=False)
        self._control = Router(control_routes(self))

    def __repr__(self) -> str:
        return f"<{self.name} emulator, class {self.traits.kind}, seed {self.seed}, {len(self.faults)} faults armed>"

    # --- what a vendor's description says

    @abstractmethod
    def routes(self) -> Sequence[BaseRoute]:
        """The paths of its API: `route` for each, and `file_route` for the clips."""

    def refusal(self, refusal: Refusal) -> Response:
        """The vendor's own error body; ``refusal.code`` is one of the harness's words, to be translated."""
        return JSONResponse({"error": {"code": refusal.code, "message": refusal.message}}, refusal.status)

    def authorize(self, request: Request) -> None:
        """Let a request to the API pass; the default asks for ``Authorization: Bearer KEY``.

        Raises:
            Refusal: 401.
        """
        if request.headers.get("authorization") != f"Bearer {self.key}":
            raise Refusal(401, "unauthorized", "The key is missing or wrong.")

    def new_id(self, number: int, chance: Random) -> str:
        """The id of the vendor's job number ``number``."""
        return f"{self.name}-{chance.getrandbits(64):016x}"

    def price(self, job: VendorJob) -> Decimal:
        """USD of a job that is charged for, at its full count."""
        return default_price(job)

    def webhook_body(self, job: VendorJob) -> bytes:
        """What a webhook delivery about a job says."""
        return json.dumps({"id": job.id, "status": job.look(self.clock.now())[0]}).encode()

    def webhook_headers(self, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
        """The headers that vouch for a delivery; the default is Standard Webhooks."""
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign_webhook(self.webhook_secret, message_id, timestamp, body),
        }

    def environment(self) -> dict[str, str]:
        """The variables that lead the plugin, and the vendor's own SDK, to this emulator once it is served.

        ``videogen emulate`` prints them. Keys in them are the emulator's own.
        """
        return {}

    def leftovers(self) -> list[str]:
        """What clients have uploaded or made beside their jobs and not removed: names or ids, oldest first.

        A plugin whose session has `clean_up` leaves nothing here; what the vendor removes by itself need not be told.
        """
        return []

    # --- what handlers use

    def route(
        self, kind: Kind, method: str, path: str, handler: Handler, *, origin: str = "api", auth: bool = True
    ) -> Route:
        """A path of the API.

        Args:
            kind: What it is for; decides which faults it meets.
            method: ``GET``, ``POST`` ….
            path: As Starlette writes paths: ``/v1/videos/{id}``, ``{name:path}``.
            handler: Answers it; may raise `Refusal`.
            origin: ``api``, ``delivery`` (the second port) or ``any``.
            auth: Whether `authorize` is asked.
        """
        return Route(path, Endpoint(self, kind, handler, origin=origin, auth=auth), methods=[method])

    def file_route(self, path: str = "/files/{job}/{name}") -> Route:
        """The path of the clips that `links` leads to, on the delivery origin, without any key."""
        return self.route("download", "GET", path, self._file, origin="delivery", auth=False)

    async def read(self, request: Request, shape: type[T]) -> T:
        """The JSON body as a ``msgspec.Struct`` of the vendor's; give it ``forbid_unknown_fields=True`` to be strict.

        Raises:
            Refusal: 400, with what is wrong and where.
        """
        try:
            return msgspec.json.decode(await request.body(), type=shape)
        except msgspec.MsgspecError as error:
            raise Refusal(400, "invalid_request", str(error)) from error

    def links(self, job: VendorJob, path: str = "/files/{job}/{name}") -> list[str]:
        """Fresh addresses of a job's clips; empty when it made none, or when they are no longer kept."""
        now = self.clock.now()
        if self.traits.retention is not None and now > job.ends + self.traits.retention:
            return []
        life = self.traits.url_lifetime
        paths = [path.format(job=job.id, name=f"{number}.mp4") for number in range(job.outputs)]
        return [self.delivery_url + sign_path(one, self._secret, None if life is None else now + life) for one in paths]

    async def clip(self, job: VendorJob, number: int) -> bytes:
        """One of a job's clips, as MP4."""
        shape = msgspec.structs.replace(job.clip, seed=job.clip.seed + number)
        return await run_in_threadpool(make_clip, shape, job=job.id, ref=job.ref or job.key, number=number)

    def file(self, request: Request, data: bytes, mime_type: str = "video/mp4") -> Response:
        """A file as an answer, in ranges, and with the faults of downloads."""
        fault: Fault | None = request.scope.get("videogen.fault")
        return file_answer(request, data, mime_type=mime_type, digest=self.content_md5, fault=fault)

    async def _file(self, request: Request) -> Response:
        verify_path(request, self._secret, self.clock.now())
        job = self.vendor.get(request.path_params["job"])
        number = request.path_params["name"].removesuffix(".mp4")
        if not number.isdecimal() or int(number) >= job.outputs:
            raise Refusal(404, "not_found", "There is no such file.")
        job.downloads += 1
        if job.downloads <= job.script.expired:
            raise Refusal(403, "expired", "This address has expired.")
        return self.file(request, await self.clip(job, int(number)))

    # --- serving

    def reset(self, *, seed: int | None = None) -> None:
        """As if it had just been made: no jobs, scripts, faults or journal. The clock goes on."""
        if seed is not None:
            self.seed = self.faults.seed = self.vendor.seed = seed
        self.vendor.clear()
        self.journal.clear()
        self.faults.clear()
        self.webhooks.clear()
        self.mistakes.clear()

    def change(self, **traits: Any) -> None:
        """Be another sort of vendor from now on."""
        self.traits = self.vendor.traits = msgspec.convert({**msgspec.to_builtins(self.traits), **traits}, Traits)

    def broke(self, error: Exception) -> Response:
        """Answer 500 to a mistake in the emulator itself, and keep it for the test to see."""
        self.mistakes.append("".join(traceback.format_exception(error)))
        return JSONResponse({"emulator_mistake": f"{type(error).__name__}: {error}"}, 500)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            return
        if scope["path"].startswith(CONTROL):
            await self._control(scope, receive, send)
        else:
            self.webhooks.wake()  # its task may have gone with an event loop
            await Exchange(self, scope, send).run(self._router, receive)
