"""The session of servers: each job goes to one address of its server, and is asked for where it was made.

A create is one request to one address; which address gets it is decided before, by how long their queues are.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import anyio

from videogen_core import (
    Cancellation,
    Context,
    Found,
    JobStatus,
    ProviderError,
    ProviderJob,
    RejectedRequestError,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)
from videogen_core.outcomes import Answer

from . import failures, finding, jobs
from .asking import Client, other_model
from .bodies import Wanted, parts, wanted
from .offering import memory_of
from .queues import Queues
from .settings import Endpoint, Server, named, servers

__all__ = ["Engine"]

_SEED = 2**31  # below which a seed is drawn
_KNOWN = 300.0  # seconds for which an address is taken to serve what it has said
_LOST = 3  # answers in a row that a job is not known, before it is believed
_AGAIN = 1.0  # seconds between them
_STOPPING = (0.5, 1.0, 2.0)  # seconds between tries to stop a job, while the server says that it is about to
_LOOK = 5.0  # seconds for a look at a queue


@dataclass
class _Open:
    """What the session has of one server."""

    client: Client
    queues: Queues
    checked: dict[Endpoint, float]


class Engine(Session):
    """Talks to the servers of ``[providers.local.servers]``.

    Args:
        context: From the engine of jobs.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[str, _Open] = {}

    async def close(self) -> None:
        while self._open:
            await self._open.popitem()[1].client.close()

    # --- creating

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Choose an address, check that it serves the model, and draw the seed where the server would not."""
        opened = self._of(call.spec.vendor)
        picture = None if call.request.image is None else await call.read(call.request.image)
        _wanted(opened.client.server, call, call.request.seed, picture)
        endpoint = await opened.queues.reserve(call.client_ref)
        try:
            await self._check(opened, endpoint, call)
        except BaseException:
            opened.queues.dropped(call.client_ref)
            raise
        seed = call.request.seed
        if seed is None and opened.client.server.dialect.fixed_seed:
            seed = secrets.randbelow(_SEED)
        chosen = {"server": opened.client.server.name, "at": endpoint.label, "ref": call.client_ref}
        return {**chosen, "seed": seed, "picture": picture}

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        """Give the place in the queue back that a create was to have."""
        if (opened := self._open.get(str(leftovers.get("server")))) is not None:
            opened.queues.dropped(str(leftovers.get("ref")))

    async def submit(self, call: SubmitCall) -> Submission:
        opened = self._of(call.spec.vendor)
        client, server = opened.client, opened.client.server
        endpoint = server.at(str(call.prepared["at"]))
        told = _wanted(server, call, call.prepared["seed"], call.prepared["picture"])
        opened.queues.arrived(call.client_ref)
        answer = await client.ask(
            endpoint,
            "POST",
            "/v1/videos",
            action="submit",
            timeout=max(call.timeout - 1, call.timeout / 2),  # ours is to end before the engine's
            **parts(told, server.dialect),
        )
        if not answer.ok:
            raise failures.refused(answer, server, endpoint, model=call.spec.id)
        record = answer.json(dict[str, Any])
        made = finding.submission_of(
            answer.id(record.get("id")), endpoint, request_id=answer.request_id, reply=answer.text
        )
        made.handle.update(server=server.name, seed=call.prepared["seed"])
        return made

    async def _check(self, opened: _Open, endpoint: Endpoint, call: SubmitCall) -> None:
        """Return when an address serves the model of the offer, or cannot say what it serves.

        Raises:
            ConfigurationError: It serves another one.
        """
        now = anyio.current_time()
        if now - opened.checked.get(endpoint, float("-inf")) < _KNOWN:
            return
        server, model = opened.client.server, str(call.spec.vendor.get("model"))
        try:
            known = await opened.client.serves_at(endpoint)
        except ProviderError:  # the create will tell
            return
        if known is not None and known.model.lower() != model.lower():
            if not server.model:
                memory_of(server, self._context.folder).learn(known)
            raise other_model(server, endpoint, known.model, model)
        opened.checked[endpoint] = now

    # --- asking

    async def poll(self, job: ProviderJob) -> Snapshot:
        opened, endpoint, name = self._where(job)
        client, server = opened.client, opened.client.server
        answer = await self._record(client, endpoint, name)
        if _is_missing(answer):
            gone = failures.forgotten(server, endpoint, name, model=job.spec.id)
            return Snapshot(status=JobStatus.FAILED, error=gone)
        record = _job_in(answer)
        if record is None:
            if not answer.ok:
                raise failures.refused(answer, server, endpoint, model=job.spec.id)
            raise answer.garbled("a job without a status")
        news = jobs.snapshot(record, server, endpoint, job=name, model=job.spec.id, headers=client.headers())
        if news.status is JobStatus.SUCCEEDED:
            self._remember(server, job, record)
        return news

    async def _record(self, client: Client, endpoint: Endpoint, name: str) -> Answer:
        """What a server says of a job; that it knows none is believed when it says so again and again."""
        path = _path(name)
        answer = await client.ask(endpoint, "GET", path, action="poll")
        for _ in range(_LOST - 1):
            if not _is_missing(answer):
                break
            await anyio.sleep(_AGAIN)
            answer = await client.ask(endpoint, "GET", path, action="poll")
        return answer

    def _remember(self, server: Server, job: ProviderJob, record: Mapping[str, Any]) -> None:
        """Keep how long a clip has taken, for estimates."""
        work, request = jobs.seconds_of_work(record), job.request
        if work is not None and request.duration:
            memory_of(server, self._context.folder).took(request.resolution or "", work / request.duration)

    async def cancel(self, job: ProviderJob) -> Cancellation:
        opened, endpoint, name = self._where(job)
        client, server = opened.client, opened.client.server
        if server.dialect.cancel == "none":
            return Cancellation(accepted=False, message=f"{server.dialect.title} cannot stop a job that it has taken")
        record = _job_in(await client.ask(endpoint, "GET", _path(name), action="look at"))
        if record is not None and not jobs.is_open(record):  # to delete it would be to delete the clip
            return Cancellation(accepted=False, message=f"it had {record.get('status')} already")
        for pause in (*_STOPPING, None):
            answer = await client.ask(endpoint, "DELETE", _path(name), action="cancel")
            if answer.status != 409 or pause is None:
                break
            await anyio.sleep(pause)  # it is stopping the job, and says so
        if answer.ok or _is_missing(answer):
            return Cancellation(accepted=True, gone=True)
        if answer.status == 409:
            return Cancellation(accepted=False, message="it does not get to stopping the job, or has just ended it")
        raise failures.refused(answer, server, endpoint, model=job.spec.id)

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        opened = self._of(call.spec.vendor)
        if opened.client.server.dialect.reconcile == "none":
            return ()
        picture = None if call.request.image is None else b""  # that there is one is what counts
        told = _wanted(opened.client.server, call, call.request.seed, picture)
        found = await finding.find(opened.client, told, started_at)
        for item in found:
            item.submission.handle["server"] = opened.client.server.name
        return found

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        """A job whose id a person has found, with ``@HOST:PORT`` behind it or without: then every address is asked."""
        opened = self._of(call.spec.vendor)
        client, server = opened.client, opened.client.server
        name, at, label = provider_job_id.rpartition("@")
        places = [server.at(label)] if at else list(server.endpoints)
        for endpoint in places:
            answer = await client.ask(endpoint, "GET", _path(name if at else provider_job_id), action="look up")
            if _job_in(answer) is not None:
                made = finding.submission_of(name if at else provider_job_id, endpoint)
                made.handle["server"] = server.name
                return made
            if not _is_missing(answer):
                raise failures.refused(answer, server, endpoint, model=call.spec.id)
        raise RejectedRequestError(
            f"{server.dialect.title} has no job {provider_job_id} at {', '.join(each.label for each in places)}.",
            provider="local",
            model=call.spec.id,
            status_code=404,
        )

    async def ping(self) -> str:
        """Ask every address of every server what it serves, and how long its queue is."""
        said: list[str] = []
        trouble: ProviderError | None = None
        for name, server in servers(self._context.environment, self._context.settings).items():
            opened = self._named(server)
            for endpoint in server.endpoints:
                try:
                    known = await opened.client.serves_at(endpoint)
                    length = await self._length(opened.client, endpoint)
                except ProviderError as error:
                    trouble = trouble or error
                    said.append(f"{name} at {endpoint.label}: {error.message}")
                    continue
                if known is not None:
                    memory_of(server, self._context.folder).learn(known)
                what = known.model if known is not None else "a model that it does not tell"
                queue = "" if length is None else f", {length} jobs"
                said.append(f"{name} at {endpoint.label}: {what}{queue}")
        if trouble is not None:
            raise trouble
        return "; ".join(said)

    # --- the parts

    def _of(self, vendor: Mapping[str, Any]) -> _Open:
        name = str(vendor.get("server"))
        return self._open.get(name) or self._named(named(name, self._context.environment, self._context.settings))

    def _named(self, server: Server) -> _Open:
        if server.name not in self._open:
            client = Client(self._context, server)

            async def look(endpoint: Endpoint) -> int | None:
                return await self._length(client, endpoint)

            self._open[server.name] = _Open(client, Queues(server.endpoints, look), {})
        return self._open[server.name]

    def _where(self, job: ProviderJob) -> tuple[_Open, Endpoint, str]:
        """Where a job is, and its server's id."""
        opened = self._of({**job.spec.vendor, **({"server": job.handle["server"]} if "server" in job.handle else {})})
        name, _, label = job.provider_job_id.rpartition("@")
        return opened, opened.client.server.at(str(job.handle.get("at") or label)), str(job.handle.get("job") or name)

    async def _length(self, client: Client, endpoint: Endpoint) -> int | None:
        """How many jobs an address has that have not ended; None = it has no list."""
        answer = await client.ask(
            endpoint,
            "GET",
            "/v1/videos",
            action="look at the queue",
            timeout=_LOOK,
            params={"limit": 100, "order": "desc"},
        )
        told = answer.json() if answer.ok else None
        rows = told.get("data") if isinstance(told, Mapping) else None
        return sum(map(jobs.is_open, rows)) if isinstance(rows, list) else None


def _wanted(server: Server, call: SubmitCall, seed: int | None, picture: bytes | None) -> Wanted:
    return wanted(call.spec, call.request, call.options, server.dialect, seed=seed, picture=picture)


def _path(name: str) -> str:
    return f"/v1/videos/{quote(name, safe='')}"


def _job_in(answer: Answer) -> Mapping[str, Any] | None:
    """The job that an answer shows, whatever its status: some show a failed one with that of its failure."""
    if not answer.body.lstrip().startswith(b"{"):
        return None
    found = answer.json()
    return found if isinstance(found, Mapping) and "status" in found and "id" in found else None


def _is_missing(answer: Answer) -> bool:
    """Whether a server says, in its own words, that it has no such job; a page of a proxy's says nothing."""
    return answer.status in (404, 410) and answer.body.lstrip().startswith(b"{") and _job_in(answer) is None
