"""One request and its answer: written into the journal, and met by a fault if it is to be."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .faults import Fault, Kind
from .journal import Entry
from .spoiling import HTML, Answer, retry_after, spoil_body, spoil_wire, takes_the_wire
from .vendor import Refusal, current_entry
from .wire import wire_of

if TYPE_CHECKING:
    from .emulator import Emulator

__all__ = ["Endpoint", "Exchange"]

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Handler = Callable[[Request], Awaitable[Response]]

_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key"})
_KEY_IN_QUERY = re.compile(r"(^|&)(key|api_key|apikey|access_token|token)=")
_SILENT = ("nothing", "head")  # the parts of an answer at which its status has not been said
_SO = "The emulator was told to answer so."
_KEPT_BODY = 2**20
_TOLD = frozenset({"create", "cancel", "upload"})
_CODES = {400: "invalid_request", 401: "unauthorized", 402: "insufficient_credits", 403: "forbidden",
          404: "not_found", 409: "conflict", 410: "expired", 429: "rate_limited"}  # fmt: skip


class Exchange:
    """A request on its way through an emulator."""

    def __init__(self, emulator: Emulator, scope: Scope, send: Send) -> None:
        self.emulator = emulator
        self.scope = scope
        self._send = send
        now = emulator.clock.now()
        self.entry = emulator.journal.open(now, scope["method"], scope["path"], scope["query_string"].decode("latin-1"))
        self.entry.origin = self._origin()
        named = any(name.decode("latin-1") in _CREDENTIALS for name, _ in scope["headers"])
        own = any(emulator.key.encode() in value for _, value in scope["headers"]) or emulator.key in self.entry.query
        self.entry.credentials = named or own or _KEY_IN_QUERY.search(self.entry.query) is not None
        scope["videogen.exchange"] = self
        scope["app"] = emulator  # so that what is not found is raised

    async def run(self, router: Any, receive: Any) -> None:
        """Route it and answer it."""
        token = current_entry.set(self.entry)
        try:
            await router(self.scope, receive, self.send)
        except HTTPException as error:  # no such path, or not with this method
            refusal = Refusal(error.status_code, _CODES.get(error.status_code, "not_found"), str(error.detail))
            await self.emulator.refusal(refusal)(self.scope, receive, self.send)
        except ClientDisconnect:
            self.entry.outcome = "gone"
        except Exception as error:
            self.entry.outcome = "broken"
            await self.emulator.broke(error)(self.scope, receive, self.send)
        finally:
            current_entry.reset(token)
            if not self.entry.ordinal:
                self.emulator.journal.sort(self.entry, "other")
            self.entry.outcome = self.entry.outcome or "answered"

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Pass an answer on, with the headers that every answer of the vendor has."""
        if message["type"] == "http.response.start":
            self.entry.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.common_headers()]
        await self._send(message)

    def common_headers(self) -> list[tuple[bytes, bytes]]:
        """The vendor's time and its id of the request."""
        date = formatdate(self.emulator.clock.now(), usegmt=True)
        request_id = f"req-{self.entry.seq:06d}"
        return [(b"date", date.encode()), (self.emulator.request_id_header.encode(), request_id.encode())]

    def _origin(self) -> str:
        """Which of the vendor's two origins was asked."""
        emulator = self.emulator
        if emulator.delivery_url == emulator.api_url:
            return "any"
        port = (self.scope.get("server") or ("", None))[1]
        return "delivery" if port == urlsplit(emulator.delivery_url).port else "api"


class Endpoint:
    """A route's ASGI application: the handler, with what can go wrong around it."""

    def __init__(self, emulator: Emulator, kind: Kind, handler: Handler, *, origin: str, auth: bool) -> None:
        self._emulator = emulator
        self._kind = kind
        self._handler = handler
        self._origin = origin
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Serve a request."""
        exchange: Exchange = scope["videogen.exchange"]
        entry, plan = exchange.entry, self._emulator.faults
        self._emulator.journal.sort(entry, self._kind)
        target = f"{entry.path}?{entry.query}"
        fault = plan.choose(self._kind, entry.ordinal, target, ("arrival",))
        request = Request(scope, receive)
        if fault is None:
            body = await _whole_body(request, self._emulator.max_body)
            _keep(entry, request.headers, body)
            if len(plan):
                text = f"{target}\n{body.decode('utf-8', 'replace')}"
                fault = plan.choose(self._kind, entry.ordinal, text, ("before", "after"))
        if fault is None:
            response = await self._answer(request, entry)
            await response(scope, receive, send)
            return
        entry.fault, entry.outcome = str(fault), "faulty"
        answer = await self._before_faults(fault, request, entry)
        await self._spoil(fault, answer, exchange, receive)

    async def _before_faults(self, fault: Fault, request: Request, entry: Entry) -> Answer:
        """The honest answer; one that means nothing when the vendor is not to act."""
        if fault.at != "after":
            return Answer()
        request.scope["videogen.fault"] = fault
        response = await self._answer(request, entry)
        return replace(_rendered(response), job=entry.job)

    async def _answer(self, request: Request, entry: Entry) -> Response:
        """What the vendor itself answers."""
        emulator = self._emulator
        try:
            if self._origin not in ("any", entry.origin) and entry.origin != "any":
                raise Refusal(404, "not_found", f"{request.url.path} is not served here.")
            if self._auth:
                emulator.authorize(request)
            return await self._handler(request)
        except Refusal as refusal:
            response = emulator.refusal(refusal)
            response.headers.update(refusal.headers)
            return response
        except Exception as error:
            entry.outcome = "broken"
            return emulator.broke(error)

    async def _spoil(self, fault: Fault, answer: Answer, exchange: Exchange, receive: Any) -> None:
        """Answer as the fault has it."""
        now = self._emulator.clock.now()
        if fault.what in ("status", "expired", "redirect"):
            answer = self._other_status(fault)
        if fault.what == "refusal":
            answer = _rendered(self._emulator.refusal(Refusal(fault.status or 400, fault.code, _SO)))
        if fault.retry_after is not None:
            answer = answer.headed(retry_after=retry_after(fault.retry_after, now))
        answer = spoil_body(fault, answer)
        if takes_the_wire(fault):
            common = {name.decode(): value.decode() for name, value in exchange.common_headers()}
            exchange.entry.status = 0 if fault.what in ("reset", "close") and fault.part in _SILENT else answer.status
            await spoil_wire(fault, answer.headed(**common), wire_of(exchange.scope))
            return
        response = Response(answer.body, answer.status)
        response.raw_headers = [(b"content-length", str(len(answer.body)).encode())]
        for name, value in answer.headers:
            if name.lower() != "content-length":
                response.raw_headers.append((name.lower().encode(), value.encode("latin-1")))
        await response(exchange.scope, receive, exchange.send)

    def _other_status(self, fault: Fault) -> Answer:
        status = fault.status or {"status": 500, "expired": 403, "redirect": 302}[fault.what]
        if fault.what == "redirect":
            return Answer(status, (("location", fault.location),), b"")
        if fault.body == "html":
            return Answer(status, (("content-type", "text/html"),), HTML)
        if fault.body == "nothing":
            return Answer(status, (), b"")
        code = "expired" if fault.what == "expired" else _CODES.get(status, "unavailable")
        return replace(_rendered(self._emulator.refusal(Refusal(status, code, _SO))), status=status)


def _rendered(response: Response) -> Answer:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
    return Answer(response.status_code, headers, bytes(response.body))


async def _whole_body(request: Request, limit: int) -> bytes:
    """The body, which `Request.body` then gives again; what is beyond the limit is left unread."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            break
    request._body = bytes(body)
    return request._body


def _keep(entry: Entry, headers: Mapping[str, str], body: bytes) -> None:
    """What a test may want to know of a request that changes something."""
    if entry.kind not in _TOLD:
        return
    entry.headers = {name: value for name, value in headers.items() if name not in _CREDENTIALS}
    if entry.kind != "upload":
        entry.body = body[:_KEPT_BODY].decode("utf-8", "replace")
