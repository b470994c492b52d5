"""The provider: which offers there are, and how one create, a poll, a cancel and a search are put to the vendor."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from videogen_core import (
    Cancellation,
    Context,
    Found,
    JobStatus,
    MissingCredentialsError,
    Notice,
    Output,
    Provider,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
    WebhookError,
    frame_size,
    hookimpl,
)
from videogen_core.calls import call as send
from videogen_core.outcomes import Answer
from videogen_core.webhooks import StandardWebhooks

from . import answers

__all__ = ["AcmeProvider", "AcmeSession", "videogen_provider"]

Kind = Literal["A", "B", "C", "D", "N"]
T = TypeVar("T")

_RECONCILE: dict[str, Literal["by_ref", "by_list", "by_time", "none"]] = {
    "A": "none",
    "B": "by_ref",
    "C": "by_list",
    "D": "by_time",
    "N": "none",
}
_KEY_SECONDS = 86_400.0
_PAGES = 5
_STATUS = {
    "waiting": JobStatus.QUEUED,
    "queued": JobStatus.QUEUED,
    "working": JobStatus.RUNNING,
    "done": JobStatus.SUCCEEDED,
    "failed": JobStatus.FAILED,
    "stopped": JobStatus.CANCELLED,
}


class AcmeProvider(Provider):
    """Acme, of any class of idempotency.

    Args:
        url: Of the API; None = ``ACME_URL``.
        key: None = ``ACME_KEY``.
        kind: How a lost create can be found: A = by its key, B = by our id, C and D = in a list, N = not at all.
        list_lag: Seconds until a new job shows there.
        timeout: Seconds for one request.
    """

    name: ClassVar[str] = "acme"
    plugin_api: ClassVar[int] = 2
    title: ClassVar[str] = "Acme"
    setup: ClassVar[str] = "Set ACME_URL and ACME_KEY."
    console: ClassVar[str] = "https://acme.invalid/console"
    concurrency: ClassVar[int] = 64
    emulator: ClassVar[str] = "acme.emulator:AcmeEmulator"

    def __init__(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        kind: Kind = "N",
        list_lag: float = 0.0,
        timeout: float = 60.0,
    ) -> None:
        self.url = url
        self.key = key
        self.kind = kind
        self.timeout = timeout
        # what a real vendor's plugin states in its class
        self.idempotency = _KEY_SECONDS if kind == "A" else 0.0  # type: ignore[misc]
        self.reconcile = _RECONCILE[kind]  # type: ignore[misc]
        self.list_lag = list_lag  # type: ignore[misc]
        if kind != "N":
            self.emulator = f"acme.emulator:AcmeOfKind{kind}"  # type: ignore[misc]

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        for name, known in (("ACME_URL", self.url or settings.get("url")), ("ACME_KEY", self.key)):
            if not (known or environment.get(name)):
                raise MissingCredentialsError(f"{name} is not set.", hint=self.setup)

    def account(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
        return self.key or environment.get("ACME_KEY", "")

    def notice(
        self, headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Notice:
        secret = environment.get("ACME_WEBHOOK_SECRET", "")
        if not secret:
            raise WebhookError("ACME_WEBHOOK_SECRET is not set, so no delivery can be verified.")
        delivery = StandardWebhooks(secret).verify(headers, body)
        try:
            told = msgspec.json.decode(body, type=answers.Told)
        except msgspec.MsgspecError:
            raise WebhookError("The delivery is genuine, and says nothing that is known here.") from None
        return Notice(provider_job_id=told.id, delivery_id=delivery)

    def connect(self, context: Context) -> Session:
        url = self.url or context.settings.get("url") or context.environment["ACME_URL"]
        key = self.key or context.environment["ACME_KEY"]
        return AcmeSession(context, url=url, key=key, kind=self.kind, timeout=self.timeout)


class AcmeSession(Session):
    """Talks to Acme.

    Args:
        context: From the engine.
        url: Of the API.
        key: API key.
        kind: See `AcmeProvider`.
        timeout: Seconds for one request.
    """

    def __init__(self, context: Context, *, url: str, key: str, kind: Kind, timeout: float) -> None:
        self._kind = kind
        self._timeout = timeout
        self._http = context.http(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout)

    async def close(self) -> None:
        await self._http.aclose()

    # --- jobs

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Upload each input."""
        uploads: dict[str, Any] = {}
        for name, media in call.request.media():
            data = await call.read(media)
            headers = {"Content-Type": media.mime_type or "image/png", "X-Digest": hashlib.sha256(data).hexdigest()}
            upload, _ = await self._ask("upload", answers.Upload, "POST", "/v1/uploads", content=data, headers=headers)
            if name.startswith("reference_images"):
                uploads.setdefault("references", []).append(upload.upload)
            else:
                uploads["first_frame" if name == "image" else name] = upload.upload
        return uploads

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        """Delete the uploads of a job; what `prepare` returned and the handle have the same shape."""
        for name in ("first_frame", "last_frame", "references"):
            found = leftovers.get(name, [])
            for upload in [found] if isinstance(found, str) else found:
                await self._send("clean up", "DELETE", f"/v1/uploads/{upload}")

    async def submit(self, call: SubmitCall) -> Submission:
        timeout = min(self._timeout, call.timeout)
        arguments = {"json": self._body(call), "headers": self._headers(call)}
        job, answer = await self._ask("submit", answers.Job, "POST", "/v1/videos", timeout=timeout, **arguments)
        return Submission(
            provider_job_id=answer.id(job.id),
            handle=call.prepared,
            request_id=answer.request_id,
            poll_after=job.next_poll,
            reply=answer.text,
        )

    def _headers(self, call: SubmitCall) -> dict[str, str]:
        """What a create carries besides the key."""
        return {"Idempotency-Key": call.client_ref} if self._kind == "A" else {}

    def _body(self, call: SubmitCall) -> dict[str, Any]:
        """The create as the vendor wants it: every value said, none left to its defaults."""
        request = call.request
        size = frame_size(call.spec, request)
        body: dict[str, Any] = {
            "model": call.spec.id.partition("/")[2],
            "prompt": request.prompt,
            "seconds": request.duration,
            "size": "" if size is None else f"{size[0]}x{size[1]}",
            "fps": request.fps,
            "audio": bool(request.audio),
            "n": request.count,
            **{name: value for name, value in call.options.items() if value is not None},
            **call.prepared,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.negative_prompt:
            body["negative_prompt"] = request.negative_prompt
        if self._kind == "B":
            body["ref"] = call.client_ref
        if call.webhook_url is not None:
            body["webhook_url"] = call.webhook_url
        return body

    async def poll(self, job: ProviderJob) -> Snapshot:
        found, _ = await self._ask("poll", answers.Job, "GET", f"/v1/videos/{job.provider_job_id}")
        status = _STATUS.get(found.status)
        return Snapshot(
            status=status or JobStatus.RUNNING,
            progress=found.progress,
            message="" if status else f"acme says {found.status[:80]!r}, which is new to this plugin",
            outputs=tuple(Output(url=file.url, mime_type=file.mime_type) for file in found.videos),
            cost=found.charge,
            error=answers.failure(found) if status is JobStatus.FAILED else None,
            poll_after=found.next_poll,
        )

    async def cancel(self, job: ProviderJob) -> Cancellation:
        answer = await self._send("cancel", "POST", f"/v1/videos/{job.provider_job_id}/cancel")
        if answer.status == 409:  # documented: it is over, or cannot be stopped any more
            return Cancellation(accepted=False, message=answers.refused(answer).message)
        if not answer.ok:
            raise answers.refused(answer)
        found = answer.json(answers.Job)
        return Cancellation(accepted=True, gone=found.status == "forgotten", cost=found.charge)

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        if self._kind == "B":
            return await self._page({"ref": call.client_ref}, None)
        wanted = self._body(call)
        found: list[Found] = []
        cursor: dict[str, Any] = {"since": started_at.timestamp() - 60}
        for _ in range(_PAGES):
            page = await self._listing(cursor)
            found += self._candidates(*page, wanted)
            if page[0].next is None:
                break
            cursor["before"] = page[0].next
        return tuple(found)

    async def _page(self, query: dict[str, Any], wanted: dict[str, Any] | None) -> tuple[Found, ...]:
        return tuple(self._candidates(*await self._listing(query), wanted))

    async def _listing(self, query: dict[str, Any]) -> tuple[answers.Listing, float | None]:
        """A page, and what time it is at the vendor."""
        listing, answer = await self._ask("find", answers.Listing, "GET", "/v1/videos", params=query)
        return listing, None if answer.date is None else answer.date.timestamp()

    def _candidates(self, listing: answers.Listing, now: float | None, wanted: dict[str, Any] | None) -> list[Found]:
        """The jobs of a page that may be the one whose input is ``wanted``; None = all of them are."""
        return [
            Found(
                submission=Submission(provider_job_id=job.id),
                ours=wanted is None or _same_input(job.input, wanted),
                age=None if now is None or job.created_at is None else max(now - job.created_at, 0.0),
            )
            for job in listing.videos
            if wanted is None or job.model == wanted["model"]
        ]

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        """A job whose id a person has looked up.

        Raises:
            ProviderError: There is no such job.
        """
        found, _ = await self._ask("adopt", answers.Job, "GET", f"/v1/videos/{provider_job_id}")
        return Submission(provider_job_id=found.id)

    async def ping(self) -> str:
        account, _ = await self._ask("ping", answers.Account, "GET", "/v1/account")
        return f"the key works, for the account {account.name}"

    async def _ask(
        self, action: str, kind: type[T], method: str, path: str, *, timeout: float | None = None, **parts: Any
    ) -> tuple[T, Answer]:
        """One request; what its answer says, and the answer itself.

        Raises:
            ProviderError: It is not 2xx, or no such record, or there is none in time.
        """
        answer = await self._send(action, method, path, timeout=timeout, **parts)
        if not answer.ok:
            raise answers.refused(answer)
        return answer.json(kind), answer

    async def _send(self, action: str, method: str, path: str, *, timeout: float | None = None, **parts: Any) -> Answer:
        wait = self._timeout if timeout is None else timeout
        return await send(self._http, method, path, provider=answers.NAME, action=action, timeout=wait, **parts)


def _same_input(told: dict[str, object] | None, wanted: dict[str, Any]) -> bool:
    """Whether a job was made from our inputs; uploads have new names each time and are left out."""
    if told is None:
        return False
    left_out = ("first_frame", "last_frame", "references", "webhook_url")
    mine = {name: value for name, value in wanted.items() if name not in left_out}
    return mine == {name: value for name, value in told.items() if name not in left_out}


@hookimpl
def videogen_provider() -> Provider:
    """The plugin's provider."""
    return AcmeProvider()
