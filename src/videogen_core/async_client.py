"""The async face: `AsyncClient` and `AsyncJob`. The logic of both faces is here."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, Unpack

import anyio
from anyio import to_thread

from . import questions
from .arguments import ClipArgs, FilterArgs, GenerateArgs, RouteArgs, absolute_output, callback, seconds, sort_arguments
from .engine import Clock, Engine
from .engine.record import Listener, Recorder
from .engine.sessions import Sessions
from .errors import PluginError, ProviderUnavailableError, RequestError, VideogenError
from .handle import Handle
from .limits import Violation
from .pricing import Quote
from .provider import Provider
from .routing import Route
from .settings import Settings
from .spec import ModelSpec
from .states import Event, JobRecord, JobStatus, Result
from .workspace import Workspace

__all__ = ["AsyncClient", "AsyncJob"]


class AsyncJob(Handle):
    """A job, from any process that shares the ledger."""

    def __init__(self, record: JobRecord, client: AsyncClient) -> None:
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

        def tell(event: Event) -> None:
            with suppress(anyio.BrokenResourceError):  # nobody listens any more
                send.send_nowait(event)

        async def drive() -> None:
            with send:
                try:
                    await self.wait(on_event=tell)
                except VideogenError as error:
                    failure.append(error)

        async with anyio.create_task_group() as group, receive:
            group.start_soon(drive)
            async for event in receive:
                yield event
            group.cancel_scope.cancel()
        if failure and not self._record.done:
            raise failure[0]


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
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()
        await to_thread.run_sync(self.workspace.close)

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
        limit = self.settings.timeout if timeout is None else seconds(timeout)
        listener = callback(on_event)
        engine = await self._ready()
        job = await self._create(engine, prompt, arguments, "generate")
        return engine.result(await engine.drive(job, timeout=limit, listener=listener))

    async def submit(self, prompt: str | None = None, **arguments: Unpack[GenerateArgs]) -> AsyncJob:
        """Start a clip and return as soon as the provider has accepted it.

        Args:
            prompt: What to show.
            **arguments: As for `generate`.

        Raises:
            VideogenError: As for `generate`, up to the acceptance.
        """
        return AsyncJob(await self._submit(prompt, arguments), self)

    async def _submit(self, prompt: str | None, arguments: Mapping[str, Any]) -> JobRecord:
        engine = await self._ready()
        job = await self._create(engine, prompt, arguments, "submit")
        job = await engine.drive(job, until_accepted=True)
        if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
            engine.result(job)  # raises why
        return job

    async def _create(self, engine: Engine, prompt: str | None, arguments: Mapping[str, Any], call: str) -> JobRecord:
        request, policy, delivery = sort_arguments(self.settings, prompt, arguments, call=call)
        return await engine.create(request, policy, delivery)

    # --- know before you pay

    async def estimate(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
        """What a clip would cost, itemised, at the offer that would be chosen. No key is needed.

        Raises:
            UnsupportedRequestError: The model cannot do it; ``.violations`` says why.
        """
        return await to_thread.run_sync(questions.estimate, self.workspace, prompt, arguments)

    async def route(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
        """Which offer would be chosen, and why each other one would not. No network.

        Raises:
            ModelNotFoundError: A named model does not exist or is retired.
        """
        return await to_thread.run_sync(questions.route, self.workspace, prompt, arguments)

    async def check(self, prompt: str | None = None, *, model: str, **arguments: Unpack[ClipArgs]) -> list[Violation]:
        """Every rule that a request breaks at a model; empty when it is valid.

        Raises:
            ModelNotFoundError: The model does not exist or is retired.
        """
        return await to_thread.run_sync(questions.check, self.workspace, prompt, model, arguments)

    async def max_duration(
        self, prompt: str | None = None, *, model: str, max_cost: Any, **arguments: Unpack[ClipArgs]
    ) -> float | None:
        """The longest clip, in seconds, that ``max_cost`` dollars buy at a model; None when they buy none.

        Raises:
            RequestError: The price is unknown.
        """
        return await to_thread.run_sync(questions.max_duration, self.workspace, prompt, model, max_cost, arguments)

    async def models(self, **filters: Unpack[FilterArgs]) -> list[ModelSpec]:
        """Offers that match every filter (`FilterArgs`), sorted by shared name and id.

        Raises:
            RequestError: A filter is unknown or has a wrong value.
        """
        return await to_thread.run_sync(questions.models, self.workspace, filters)

    async def ping(self, provider: str, *, timeout: float = 10.0) -> str:
        """Check a provider's key and reachability at no cost; returns one line about it.

        Args:
            provider: Adapter id.
            timeout: Seconds.

        Raises:
            ConfigurationError: Its plugin cannot be used, or its credentials are missing.
            ProviderError: It refused the key, or could not be reached.
        """
        sessions = Sessions(self.settings, self.workspace.registry)
        try:
            with anyio.fail_after(seconds(timeout)):
                return await sessions.get(provider).ping()
        except TimeoutError as error:
            raise ProviderUnavailableError(
                f"{provider} did not answer within {timeout:g} s.", provider=provider
            ) from error
        except VideogenError:
            raise
        except Exception as error:
            raise PluginError(f"The plugin {provider!r} broke: {type(error).__name__}: {error}.") from error
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await sessions.close()

    # --- jobs

    async def job(self, job_id: str) -> AsyncJob:
        """A job by its id.

        Raises:
            RequestError: There is none of that id.
        """
        return AsyncJob(await self._get(job_id), self)

    async def _get(self, job_id: str) -> JobRecord:
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
    ) -> list[JobRecord]:
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

        async def one(place: int, record: JobRecord) -> None:
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
        handle: Handle,
        timeout: float | None,
        on_event: Listener | None,
        output: Any,
        overwrite: bool | None,
    ) -> Result:
        limit, listener = None if timeout is None else seconds(timeout), callback(on_event)
        engine = await self._ready()
        job = await engine.recorder.get(handle.id)
        if output is not None or overwrite is not None:
            job = await engine.redirect(job, absolute_output(output), overwrite)
        try:
            job = await engine.drive(job, timeout=limit, listener=listener)
        finally:
            with anyio.CancelScope(shield=True), suppress(VideogenError):
                handle._record = await engine.recorder.get(handle.id)
        return engine.result(job)

    async def _refresh(self, job_id: str) -> JobRecord:
        engine = await self._ready()
        return await engine.refresh(await engine.recorder.get(job_id))

    async def _cancel(self, job_id: str) -> JobRecord:
        engine = await self._ready()
        return await engine.cancel(await engine.recorder.get(job_id))
