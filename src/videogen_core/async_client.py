"""The async face: `AsyncClient` and `AsyncJob`. The logic of both faces is here."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, Unpack

import anyio
from anyio import to_thread

from . import accounting, notebook, questions
from .arguments import ClipArgs, FilterArgs, GenerateArgs, RouteArgs, absolute_output, callback, seconds, sort_arguments
from .batches import BatchReport
from .budget import BudgetState
from .cost import CostLine
from .engine import Clock, Engine
from .engine.record import CLEANUP_SECONDS, Listener, Recorder
from .engine.sessions import Sessions
from .errors import PluginError, ProviderUnavailableError, RequestError, VideogenError
from .handle import Handle
from .ledger import Ledger
from .limits import Violation
from .pricing import Quote, money
from .redaction import cause_of, said
from .request import VideoRequest
from .routing import Route
from .settings import Settings
from .sinks import Sinks
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
        listener = callback(on_event) or notebook.listener(self._client.workspace.planner.usual)
        return await self._client._wait(self, timeout, listener, output, overwrite)

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

    async def settle(
        self,
        *,
        attach: str | None = None,
        abandon: bool = False,
        resubmit: bool = False,
        cost: Any = None,
        attempt: int | None = None,
    ) -> AsyncJob:
        """Decide about a job that is ``unknown``, or correct what an attempt has cost; returns the handle, up to date.

        Args:
            attach: The vendor's id of the job, which you have found; the job goes on from there.
            abandon: Give it up; ``cost`` USD are booked for it, nothing when that is left out.
            resubmit: Ask for it again, although both may be charged. What was held for the first is booked.
            cost: USD. Alone: what a finished attempt has cost in truth.
            attempt: Which attempt that is, from 1; None = the last.

        Raises:
            RequestError: There is nothing to decide, or it was said in two ways at once.
        """
        decision = {"attach": attach, "abandon": abandon, "resubmit": resubmit, "cost": cost, "attempt": attempt}
        self._record = await self._client._settle(self.id, decision)
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
        plugins: Providers, and modules or objects with hooks, passed in; they need no packaging.
        **overrides: Settings that win over every other source, such as ``home`` or ``ledger``.

    Raises:
        ConfigurationError: The configuration is wrong.
    """

    def __init__(self, settings: Settings | None = None, *, plugins: Iterable[object] = (), **overrides: Any) -> None:
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
            recorder = Recorder(ledger, self._clock, Sinks(self.workspace.registry.extensions))
            self._engine = self._engine or Engine(self.settings, planner, recorder)
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
        listener = callback(on_event) or notebook.listener(self.workspace.planner.usual)
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

    async def batch(
        self,
        requests: Iterable[str | Mapping[str, Any] | VideoRequest],
        *,
        max_concurrency: int | None = None,
        budget: Any = None,
        name: str | None = None,
        retry_failed: bool = False,
        on_event: Listener | None = None,
        **arguments: Unpack[GenerateArgs],
    ) -> list[Result | VideogenError]:
        """Make many clips: all requests are checked first, then made, so many at a time; answers in their order.

        Args:
            requests: Prompts, mappings of the arguments of `generate`, or `VideoRequest` objects.
            max_concurrency: Clips that are made at a time; None = as many as the providers take.
            budget: USD for all of them; when it is used up, the others are left, each with that error.
            name: What tells the batch from others. Under the same name the same request is the same job, in every
                run and process, and is not paid for again; None = every call makes new jobs.
            retry_failed: Under a name: whether requests that failed in an earlier run are made again.
            on_event: Called with every `Event` of every job, on the event loop.
            **arguments: As for `generate`, for every request that does not say otherwise.

        Raises:
            InvalidRowsError: Some requests cannot be made; nothing was sent.
        """
        from .batches.calls import Options, make_list

        options = Options(name, max_concurrency, budget, retry_failed, callback(on_event))
        return await make_list(await self._ready(), requests, arguments, options)

    async def batch_file(
        self,
        path: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        *,
        results: str | os.PathLike[str] | None = None,
        max_concurrency: int | None = None,
        budget: Any = None,
        name: str | None = None,
        retry_failed: bool = False,
        dry_run: bool = False,
        timeout: float | None = None,
        on_event: Listener | None = None,
        on_progress: Callable[[BatchReport], object] | None = None,
        **arguments: Unpack[GenerateArgs],
    ) -> BatchReport:
        """Make the clips of a file of requests, after a check of all; called again, it goes on where it was.

        Args:
            path: A ``.jsonl`` file, each line an object of the arguments of `generate`, or a ``.csv`` file, whose first
                line names them. An ``id`` may name a row.
            folder: Where the clips go; a row's own ``output`` begins there.
            results: A `BatchRow` as JSON is appended to it for each row that ends; None = ``results.jsonl`` in
                ``folder``.
            max_concurrency: Clips that are made at a time; None = as many as the providers take.
            budget: USD for the whole batch, in all its runs.
            name: What tells the batch from others; None = the path of ``folder``.
            retry_failed: Whether rows that failed in an earlier run are made again.
            dry_run: Only check and add up.
            timeout: Seconds, after which the rest is left for the next run.
            on_event: Called with every `Event` of every job, on the event loop.
            on_progress: Called with a `BatchReport` after the check and after each row, on the event loop.
            **arguments: As for `generate`, for every row that does not say otherwise.

        Raises:
            InvalidRowsError: Some rows cannot be made; nothing was sent.
        """
        from .batches.calls import Options, make_file

        options = Options(name, max_concurrency, budget, retry_failed, callback(on_event), callback(on_progress))
        limit = None if timeout is None else seconds(timeout)
        engine = await self._ready()
        return await make_file(engine, path, folder, arguments, options, results=results, dry_run=dry_run, limit=limit)

    # --- know before you pay

    async def estimate(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
        """What a clip would cost, itemised, at the offer that would be chosen. No key is needed.

        Raises:
            UnsupportedRequestError: The model cannot do it; ``.violations`` says why.
        """
        return await to_thread.run_sync(questions.estimate, self.workspace, prompt, arguments)

    async def route(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
        """Which offer would be chosen, and why each other one would not. No network, but for a model in no catalogue.

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
            raise PluginError(f"The plugin {provider!r} broke: {said(error)}.") from cause_of(error)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await sessions.close()

    # --- money

    async def costs(self, *, by: str = "model", since: Any = None, until: Any = None) -> list[CostLine]:
        """What was spent, from the ledger; the dearest first, days in order.

        Args:
            by: ``model``, ``offer``, ``provider``, ``day``, ``tag:KEY`` or ``total``.
            since: Only attempts that began then or later: a datetime, a date, ``2026-11-01``, or ``7d`` ago.
            until: Only attempts that began before.

        Raises:
            RequestError: There is no such group, or a time is none.
        """
        return await to_thread.run_sync(accounting.costs, self.workspace, by, since, until)

    async def budgets(self) -> list[BudgetState]:
        """Every budget, and what is left of it in its present period, by name."""
        return await to_thread.run_sync(accounting.budgets, self.workspace)

    async def set_budget(
        self,
        name: str,
        *,
        limit: Any,
        period: Literal["day", "week", "month", "total"] = "month",
        timezone: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        tags: Mapping[str, str] | None = None,
        warn: Iterable[float] = (0.8,),
    ) -> BudgetState:
        """Add a budget or change the one of that name. What was spent in its present period counts at once.

        Args:
            name: What it is called.
            limit: USD in each period.
            period: When it starts over: at midnight, on Monday, on the first of the month, or never.
            timezone: IANA name of the zone in which days begin; None = the setting ``timezone``, or the machine's.
            provider: Only what this adapter id is asked for.
            model: Only this model: a shared name or an offer id.
            tags: Only jobs that carry all of these.
            warn: Shares of the limit, above 0 and up to 1, at which a ``warning`` event is told.

        Raises:
            RequestError: An argument is wrong; the message names it.
        """
        return await to_thread.run_sync(
            partial(
                accounting.set_budget,
                self.workspace,
                name,
                limit=limit,
                period=period,
                timezone=timezone,
                provider=provider,
                model=model,
                tags=tags,
                warn=warn,
            )
        )

    async def remove_budget(self, name: str) -> None:
        """Remove a budget.

        Raises:
            RequestError: There is none of that name.
        """
        await to_thread.run_sync(accounting.remove_budget, self.workspace, name)

    async def acknowledge_budget(self, name: str) -> None:
        """Unblock a budget after a provider has charged more than was held.

        Raises:
            RequestError: There is none of that name.
        """
        await to_thread.run_sync(accounting.acknowledge_budget, self.workspace, name)

    @property
    def ledger(self) -> Ledger:
        """The ledger itself, for its care: check, export, purge, vacuum. Its methods block."""
        return self.workspace.ledger()

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

    async def webhook(
        self, provider: str, *, headers: Mapping[str, str], body: bytes, reference: str | None = None
    ) -> AsyncJob:
        """Take in a vendor's webhook delivery: verify it, find its job, and ask the provider how that is.

        It downloads nothing; wait for the job to fetch the clip. A delivery that comes twice changes nothing.

        Args:
            provider: Adapter id, from the path of the address that was called.
            headers: Of the request.
            body: As it came, before any parsing.
            reference: The last part of that path, for vendors that take an address for each job.

        Raises:
            WebhookError: It is not genuine, was seen before, or is about no job of ours. Answer with its
                ``status_code`` alone.
            ProviderError: The provider could not be asked; answer 503, and the delivery will come again.
        """
        return AsyncJob(await self._webhook(provider, headers, body, reference), self)

    async def _webhook(
        self, provider: str, headers: Mapping[str, str], body: bytes, reference: str | None
    ) -> JobRecord:
        engine = await self._ready()
        return await engine.deliver(provider, headers, body, reference)

    async def resume(
        self, *, timeout: float | None = None, on_event: Listener | None = None
    ) -> list[Result | VideogenError]:
        """Pick up every job that something is left to do for; a result or an error for each, oldest first."""
        records = list(reversed(await self._list(None, None, True, None)))
        on_event = callback(on_event) or notebook.listener(self.workspace.planner.usual)
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
            with anyio.move_on_after(CLEANUP_SECONDS, shield=True), suppress(VideogenError):
                read = partial(engine.recorder.ledger.get, handle.id)
                handle._record = await to_thread.run_sync(read, abandon_on_cancel=True)
        return engine.result(job)

    async def _refresh(self, job_id: str) -> JobRecord:
        engine = await self._ready()
        return await engine.refresh(await engine.recorder.get(job_id))

    async def _settle(self, job_id: str, decision: Mapping[str, Any]) -> JobRecord:
        engine = await self._ready()
        known = {**decision, "cost": money(decision["cost"], field="cost")}
        return await engine.settle(await engine.recorder.get(job_id), **known)

    async def _cancel(self, job_id: str) -> JobRecord:
        engine = await self._ready()
        return await engine.cancel(await engine.recorder.get(job_id))
