"""The face: `AsyncClient`, `Client`, and their job handles.

Sync and async are the same words. The logic is in the async classes; the sync ones run it on a background event loop,
so that they also work where a loop is running already (a notebook; the call then holds that loop up until it returns).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, Unpack

import anyio
import msgspec
from anyio import to_thread

from . import states
from ._portal import Portal
from .arguments import ClipArgs, GenerateArgs, RouteArgs, absolute_output, sort_arguments
from .capabilities import Violation
from .engine import Clock, Engine
from .engine.record import Listener, Recorder
from .errors import RequestError, VideogenError
from .pricing import Quote
from .provider import Provider
from .routing import Route
from .settings import Settings
from .spec import ModelSpec
from .states import Artifact, Event, JobStatus, Money, Result
from .workspace import Workspace

__all__ = ["AsyncClient", "AsyncJob", "Client", "Job"]

_portal = Portal()  # one loop for every sync client of the process


class _Handle:
    """What sync and async job handles show of a job; reading it touches neither network nor disk."""

    def __init__(self, record: states.JobRecord) -> None:
        self._record = record

    @property
    def record(self) -> states.JobRecord:
        """The whole record, as last read."""
        return self._record

    @property
    def id(self) -> str:
        """Our id; the same in every process that shares the ledger."""
        return self._record.id

    @property
    def status(self) -> JobStatus:
        """Status as last read."""
        return self._record.status

    @property
    def money(self) -> Money:
        """Where its money is."""
        return self._record.money

    @property
    def artifact(self) -> Artifact:
        """Where its video is."""
        return self._record.artifact

    @property
    def progress(self) -> float | None:
        """0 to 1, where the provider says."""
        return self._record.progress

    @property
    def model(self) -> str:
        """The offer that works on it."""
        return self._record.offer

    @property
    def provider(self) -> str:
        """Adapter id."""
        return self._record.provider

    @property
    def provider_job_id(self) -> str | None:
        """The vendor's id, once accepted."""
        return self._record.provider_job_id

    @property
    def cost(self) -> Decimal | None:
        """USD of all attempts; None when it is not known."""
        return self._record.cost

    @property
    def created_at(self) -> datetime:
        """Aware UTC."""
        return self._record.created_at

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return self._record.to_dict()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status} {self.model}>"


class AsyncJob(_Handle):
    """A job, from any process that shares the ledger."""

    def __init__(self, record: states.JobRecord, client: AsyncClient) -> None:
        super().__init__(record)
        self._client = client

    async def wait(
        self,
        timeout: float | None = None,
        *,
        on_event: Listener | None = None,
        output: Any = None,
        overwrite: bool | None = None,
    ) -> Result:
        """Wait for the end, download and verify.

        Args:
            timeout: Seconds; None = as long as it takes.
            on_event: Called with every `Event`, on the event loop.
            output: Another place than the job was made with.
            overwrite: Whether an existing file may be replaced, when that is to change.

        Raises:
            JobTimeoutError: The time is over; the job goes on.
            VideogenError: It failed; the error says why and whether it was charged.
        """
        return await self._client._wait(self, timeout, on_event, output, overwrite)

    async def refresh(self) -> AsyncJob:
        """Ask the provider once; returns the handle itself, up to date."""
        self._record = await self._client._refresh(self.id)
        return self

    async def cancel(self) -> AsyncJob:
        """Ask for it to be stopped; returns the handle itself, up to date.

        Raises:
            RequestError: It is over, or its provider cannot cancel.
        """
        self._record = await self._client._cancel(self.id)
        return self

    async def events(self) -> AsyncIterator[Event]:
        """What happens from now until the end, while the job is driven on. Close it to stop early; the job goes on."""
        send, receive = anyio.create_memory_object_stream[Event](math.inf)
        failure: list[VideogenError] = []

        async def drive() -> None:
            with send:
                try:
                    await self.wait(on_event=send.send_nowait)
                except VideogenError as error:
                    failure.append(error)

        async with anyio.create_task_group() as group, receive:
            group.start_soon(drive)
            async for event in receive:
                yield event
            group.cancel_scope.cancel()
        if failure and self.status not in states.TERMINAL:
            raise failure[0]


class Job(_Handle):
    """A job, from any process that shares the ledger."""

    def __init__(self, record: states.JobRecord, client: Client) -> None:
        super().__init__(record)
        self._client = client

    def wait(
        self,
        timeout: float | None = None,
        *,
        on_event: Listener | None = None,
        output: Any = None,
        overwrite: bool | None = None,
    ) -> Result:
        """Wait for the end, download and verify.

        Args:
            timeout: Seconds; None = as long as it takes.
            on_event: Called with every `Event`, on the event loop.
            output: Another place than the job was made with.
            overwrite: Whether an existing file may be replaced, when that is to change.

        Raises:
            JobTimeoutError: The time is over; the job goes on.
            VideogenError: It failed; the error says why and whether it was charged.
        """
        result: Result = self._client._run("_wait", self, timeout, on_event, output, overwrite)
        return result

    def refresh(self) -> Job:
        """Ask the provider once; returns the handle itself, up to date."""
        self._record = self._client._run("_refresh", self.id)
        return self

    def cancel(self) -> Job:
        """Ask for it to be stopped; returns the handle itself, up to date.

        Raises:
            RequestError: It is over, or its provider cannot cancel.
        """
        self._record = self._client._run("_cancel", self.id)
        return self

    def events(self) -> Iterator[Event]:
        """What happens from now until the end, while the job is driven on. Close it to stop early; the job goes on."""
        queue: SimpleQueue[Event | None] = SimpleQueue()

        async def drive() -> None:
            try:
                await self._client._async()._wait(self, None, queue.put, None, None)
            finally:
                queue.put(None)

        with _portal.background(drive) as future:
            while (event := queue.get()) is not None:
                yield event
            error = future.exception()
        if error is not None and self.status not in states.TERMINAL:
            raise error


class AsyncClient:
    """Everything, async. One client belongs to one event loop; close it, or use it as a context manager.

    Args:
        settings: The configuration; None = read it from its usual places.
        plugins: Providers passed in, which need no packaging.
        **overrides: Settings that win over every other source, such as ``home`` or ``ledger``.

    Raises:
        ConfigurationError: The configuration is wrong.
    """

    def __init__(self, settings: Settings | None = None, *, plugins: Iterable[Provider] = (), **overrides: Any) -> None:
        self.workspace = Workspace(settings, plugins=plugins, **overrides)
        self._engine: Engine | None = None
        self._clock = Clock()

    @classmethod
    def on(cls, workspace: Workspace) -> AsyncClient:
        """A client that shares settings, offers and ledger with others."""
        client = cls.__new__(cls)
        client.workspace, client._engine, client._clock = workspace, None, Clock()
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close connections and the ledger; jobs under way stay resumable."""
        if self._engine is not None:
            await self._engine.close()
            self._engine = None
        self.workspace.close()

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self.workspace.settings

    async def _ready(self) -> Engine:
        if self._engine is None:
            ledger = await to_thread.run_sync(self.workspace.ledger)
            planner = self.workspace.planner
            self._engine = self._engine or Engine(self.settings, planner, Recorder(ledger, self._clock))
        return self._engine

    # --- make

    async def generate(
        self,
        prompt: str | None = None,
        *,
        timeout: float | None = None,
        on_event: Listener | None = None,
        **arguments: Unpack[GenerateArgs],
    ) -> Result:
        """Make a clip: choose an offer, submit, wait, download, verify.

        Args:
            prompt: What to show.
            timeout: Seconds to wait; None = the setting ``timeout`` (900). The job outlives it.
            on_event: Called with every `Event`, on the event loop.
            **arguments: The clip (`ClipArgs`), the choice (`ChoiceArgs`) and the delivery (`DeliveryArgs`).

        Raises:
            RequestError: Something is wrong with the request; nothing was sent.
            BudgetExceededError: It would cost more than ``max_cost``; nothing was sent.
            ProviderError: The provider refused or failed; ``.charged`` says whether it was paid for.
            SubmissionUnknownError: Nobody knows whether the provider accepted it.
            JobTimeoutError: It takes longer; the job can be resumed.
            DownloadError: It was made but could not be stored; the job can be resumed.
        """
        engine = await self._ready()
        job = await self._create(engine, prompt, arguments, "generate")
        limit = self.settings.timeout if timeout is None else _seconds(timeout)
        return engine.result(await engine.drive(job, timeout=limit, listener=on_event))

    async def submit(self, prompt: str | None = None, **arguments: Unpack[GenerateArgs]) -> AsyncJob:
        """Start a clip and return as soon as the provider has accepted it.

        Args:
            prompt: What to show.
            **arguments: As for `generate`.

        Raises:
            VideogenError: As for `generate`, up to the acceptance.
        """
        return AsyncJob(await self._submit(prompt, arguments), self)

    async def _submit(self, prompt: str | None, arguments: Mapping[str, Any]) -> states.JobRecord:
        engine = await self._ready()
        job = await self._create(engine, prompt, arguments, "submit")
        job = await engine.drive(job, until_accepted=True)
        if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            engine.result(job)  # raises why
        return job

    async def _create(
        self, engine: Engine, prompt: str | None, arguments: Mapping[str, Any], call: str
    ) -> states.JobRecord:
        request, policy, delivery = sort_arguments(self.settings, prompt, arguments, call=call)
        job, _ = await engine.create(request, policy, delivery)
        return job

    # --- know before you pay

    async def estimate(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
        """What a clip would cost, itemised, at the offer that would be chosen. No key is needed.

        Raises:
            UnsupportedRequestError: The model cannot do it; ``.violations`` says why.
        """
        return await to_thread.run_sync(_estimate, self.workspace, prompt, arguments)

    async def route(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
        """Which offer would be chosen, and why each other one would not. No network.

        Raises:
            ModelNotFoundError: A named model does not exist or is retired.
        """
        return await to_thread.run_sync(_route, self.workspace, prompt, arguments)

    async def check(self, prompt: str | None = None, *, model: str, **arguments: Unpack[ClipArgs]) -> list[Violation]:
        """Every rule that a request breaks at a model; empty when it is valid.

        Raises:
            ModelNotFoundError: The model does not exist or is retired.
        """
        return await to_thread.run_sync(_check, self.workspace, prompt, model, arguments)

    async def max_duration(
        self, prompt: str | None = None, *, model: str, max_cost: Any, **arguments: Unpack[ClipArgs]
    ) -> float | None:
        """The longest clip, in seconds, that ``max_cost`` dollars buy at a model; None when they buy none.

        Raises:
            RequestError: The price is unknown.
        """
        return await to_thread.run_sync(_max_duration, self.workspace, prompt, model, max_cost, arguments)

    async def models(self, **filters: Any) -> list[ModelSpec]:
        """Offers that match every filter: task, provider, audio, resolution, duration, max_price_per_second (USD),
        quality, ready, retired."""
        return await to_thread.run_sync(_models, self.workspace, filters)

    # --- jobs

    async def job(self, job_id: str) -> AsyncJob:
        """A job by its id.

        Raises:
            RequestError: There is none of that id.
        """
        return AsyncJob(await self._get(job_id), self)

    async def _get(self, job_id: str) -> states.JobRecord:
        engine = await self._ready()
        return await engine.recorder.get(job_id)

    async def jobs(
        self,
        *,
        status: str | None = None,
        tags: Mapping[str, str] | None = None,
        unfinished: bool = False,
        limit: int | None = 50,
    ) -> list[AsyncJob]:
        """Jobs of the ledger, newest first.

        Args:
            status: Only this status.
            tags: Only jobs with all of these.
            unfinished: Only jobs that something is left to do for.
            limit: At most this many; None = all.
        """
        return [AsyncJob(record, self) for record in await self._list(status, tags, unfinished, limit)]

    async def _list(
        self, status: str | None, tags: Mapping[str, str] | None, unfinished: bool, limit: int | None
    ) -> list[states.JobRecord]:
        if status is not None and status not in set(JobStatus):
            raise RequestError(f"status: {status!r} is none.", hint=f"Statuses: {', '.join(JobStatus)}.")
        engine = await self._ready()
        ledger = engine.recorder.ledger
        return await engine.recorder.run(ledger.jobs, status=status, tags=tags, unfinished=unfinished, limit=limit)

    async def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        """What happened to a job so far, in order.

        Args:
            job_id: Which job.
            after: Only events with a greater ``seq``.
        """
        engine = await self._ready()
        return await engine.recorder.run(engine.recorder.ledger.events, job_id, after=after)

    async def resume(
        self, *, timeout: float | None = None, on_event: Listener | None = None
    ) -> list[Result | VideogenError]:
        """Pick up every job that something is left to do for; a result or an error for each, oldest first."""
        records = list(reversed(await self._list(None, None, True, None)))
        answers: list[Result | VideogenError] = [VideogenError("not driven")] * len(records)

        async def one(place: int, record: states.JobRecord) -> None:
            try:
                answers[place] = await self._wait(AsyncJob(record, self), timeout, on_event, None, None)
            except VideogenError as error:
                answers[place] = error

        async with anyio.create_task_group() as group:
            for place, record in enumerate(records):
                group.start_soon(one, place, record)
        return answers

    async def _wait(
        self,
        handle: _Handle,
        timeout: float | None,
        on_event: Listener | None,
        output: Any,
        overwrite: bool | None,
    ) -> Result:
        engine = await self._ready()
        job = await engine.recorder.get(handle.id)
        if output is not None or overwrite is not None:
            job = await engine.redirect(job, absolute_output(output), overwrite)
        try:
            job = await engine.drive(job, timeout=None if timeout is None else _seconds(timeout), listener=on_event)
        finally:
            with anyio.CancelScope(shield=True), suppress(VideogenError):
                handle._record = await engine.recorder.get(handle.id)
        return engine.result(job)

    async def _refresh(self, job_id: str) -> states.JobRecord:
        engine = await self._ready()
        return await engine.refresh(await engine.recorder.get(job_id))

    async def _cancel(self, job_id: str) -> states.JobRecord:
        engine = await self._ready()
        return await engine.cancel(await engine.recorder.get(job_id))


class Client:
    """Everything, sync. It may be used from several threads, and inside a running event loop.

    Args:
        settings: The configuration; None = read it from its usual places.
        plugins: Providers passed in, which need no packaging.
        **overrides: Settings that win over every other source, such as ``home`` or ``ledger``.

    Raises:
        ConfigurationError: The configuration is wrong.
    """

    def __init__(self, settings: Settings | None = None, *, plugins: Iterable[Provider] = (), **overrides: Any) -> None:
        self.workspace = Workspace(settings, plugins=plugins, **overrides)
        self._inner: tuple[int, AsyncClient] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and the ledger; jobs under way stay resumable."""
        if self._inner is not None and self._inner[0] == _portal.generation:
            _portal.call(self._inner[1].close)
        self._inner = None
        self.workspace.close()

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self.workspace.settings

    def _async(self) -> AsyncClient:
        """The async client of the present loop; a fork brings a new loop, and so a new client."""
        generation = _portal.generation
        if self._inner is None or self._inner[0] != generation:
            self._inner = (generation, AsyncClient.on(self.workspace))
        return self._inner[1]

    def _run(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _portal.call(getattr(self._async(), method), *args, **kwargs)

    # --- make

    def generate(
        self,
        prompt: str | None = None,
        *,
        timeout: float | None = None,
        on_event: Listener | None = None,
        **arguments: Unpack[GenerateArgs],
    ) -> Result:
        result: Result = self._run("generate", prompt, timeout=timeout, on_event=on_event, **arguments)
        return result

    def submit(self, prompt: str | None = None, **arguments: Unpack[GenerateArgs]) -> Job:
        return Job(self._run("_submit", prompt, arguments), self)

    # --- know before you pay: no event loop is needed

    def estimate(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
        return _estimate(self.workspace, prompt, arguments)

    def route(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
        return _route(self.workspace, prompt, arguments)

    def check(self, prompt: str | None = None, *, model: str, **arguments: Unpack[ClipArgs]) -> list[Violation]:
        return _check(self.workspace, prompt, model, arguments)

    def max_duration(
        self, prompt: str | None = None, *, model: str, max_cost: Any, **arguments: Unpack[ClipArgs]
    ) -> float | None:
        return _max_duration(self.workspace, prompt, model, max_cost, arguments)

    def models(self, **filters: Any) -> list[ModelSpec]:
        return _models(self.workspace, filters)

    # --- jobs

    def job(self, job_id: str) -> Job:
        return Job(self._run("_get", job_id), self)

    def jobs(
        self,
        *,
        status: str | None = None,
        tags: Mapping[str, str] | None = None,
        unfinished: bool = False,
        limit: int | None = 50,
    ) -> list[Job]:
        return [Job(record, self) for record in self._run("_list", status, tags, unfinished, limit)]

    def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        events: list[Event] = self._run("events", job_id, after=after)
        return events

    def resume(self, *, timeout: float | None = None, on_event: Listener | None = None) -> list[Result | VideogenError]:
        answers: list[Result | VideogenError] = self._run("resume", timeout=timeout, on_event=on_event)
        return answers


def _share_docstrings() -> None:
    """The sync methods say what the async ones say."""
    for name, method in vars(Client).items():
        twin = vars(AsyncClient).get(name)
        if not name.startswith("_") and callable(method) and method.__doc__ is None and twin is not None:
            method.__doc__ = twin.__doc__


_share_docstrings()


# --- the planner's questions, asked with a call's arguments


def _estimate(workspace: Workspace, prompt: str | None, arguments: Mapping[str, Any]) -> Quote:
    request, policy, _ = sort_arguments(workspace.settings, prompt, arguments, call="estimate")
    return workspace.planner.estimate(workspace.planner.inspect(_prompted(request)), policy)


def _route(workspace: Workspace, prompt: str | None, arguments: Mapping[str, Any]) -> Route:
    request, policy, _ = sort_arguments(workspace.settings, prompt, arguments, call="route")
    return workspace.planner.route(workspace.planner.inspect(_prompted(request)), policy)


def _check(workspace: Workspace, prompt: str | None, model: str, arguments: Mapping[str, Any]) -> list[Violation]:
    request, _, _ = sort_arguments(workspace.settings, prompt, arguments, call="check")
    return workspace.planner.check(workspace.planner.inspect(request), model)


def _max_duration(
    workspace: Workspace, prompt: str | None, model: str, max_cost: Any, arguments: Mapping[str, Any]
) -> float | None:
    request, _, _ = sort_arguments(workspace.settings, prompt, arguments, call="max_duration")
    return workspace.planner.max_duration(workspace.planner.inspect(_prompted(request)), model, max_cost)


def _models(workspace: Workspace, filters: Mapping[str, Any]) -> list[ModelSpec]:
    try:
        return workspace.planner.models(**filters)
    except TypeError as error:
        raise RequestError(f"models: {error}.") from error


def _prompted(request: Any) -> Any:
    """An estimate or a route needs no prompt: what it says is not part of the question yet."""
    return request if request.prompt else msgspec.structs.replace(request, prompt="…")


def _seconds(timeout: Any) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise RequestError(f"timeout: expected a positive number of seconds, got {timeout!r}.")
    return float(timeout)
