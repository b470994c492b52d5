"""The sync face: `Client` and `Job`, each method one line over the async twin.

They run it on a background event loop, so that they also work where a loop is running already (a notebook; the call
then holds that loop up until it returns). What needs no waiting needs no loop either, and loads none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from . import accounting, notebook, questions
from ._portal import Portal
from .arguments import ClipArgs, FilterArgs, GenerateArgs, RouteArgs, callback
from .batches import BatchReport
from .budget import BudgetState
from .cost import CostLine
from .errors import VideogenError
from .handle import Handle
from .ledger import Ledger
from .limits import Violation
from .pricing import Quote
from .request import VideoRequest
from .routing import Route
from .settings import Settings
from .spec import ModelSpec
from .states import Event, JobRecord, Result
from .workspace import Workspace

if TYPE_CHECKING:
    from .async_client import AsyncClient
    from .engine.record import Listener

__all__ = ["Client", "Job"]

_portal = Portal()  # one loop for every sync client of the process


class Job(Handle):
    """A job, from any process that shares the ledger."""

    def __init__(self, record: JobRecord, client: Client) -> None:
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
        listener = callback(on_event) or notebook.listener(self._client.workspace.planner.usual)
        result: Result = self._client._run("_wait", self, timeout, listener, output, overwrite)
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

    def settle(
        self,
        *,
        attach: str | None = None,
        abandon: bool = False,
        resubmit: bool = False,
        cost: Any = None,
        attempt: int | None = None,
    ) -> Job:
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
        self._record = self._client._run("_settle", self.id, decision)
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
        if error is not None and not self._record.done:
            raise error


class Client:
    """Everything, sync. It may be used from several threads, and inside a running event loop.

    Args:
        settings: The configuration; None = read it from its usual places.
        plugins: Providers, and modules or objects with hooks, passed in; they need no packaging.
        **overrides: Settings that win over every other source, such as ``home`` or ``ledger``.

    Raises:
        ConfigurationError: The configuration is wrong.
    """

    def __init__(self, settings: Settings | None = None, *, plugins: Iterable[object] = (), **overrides: Any) -> None:
        self.workspace = Workspace(settings, plugins=plugins, **overrides)
        self._inner: dict[int, AsyncClient] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and the ledger; jobs under way stay resumable."""
        inner, self._inner = self._inner, {}
        client = inner.get(_portal.generation) if inner else None
        if client is not None:
            _portal.call(client.close)
        self.workspace.close()

    @property
    def settings(self) -> Settings:
        """The configuration in force."""
        return self.workspace.settings

    def _async(self) -> AsyncClient:
        """The async client of the present loop; a fork brings a new loop, and so a new client."""
        from .async_client import AsyncClient  # with it come the event loop and the engine

        # setdefault: threads that come at once must get the same one, and a lock would not survive a fork
        return self._inner.setdefault(_portal.generation, AsyncClient.on(self.workspace))

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
        listener = callback(on_event) or notebook.listener(self.workspace.planner.usual)
        result: Result = self._run("generate", prompt, timeout=timeout, on_event=listener, **arguments)
        return result

    def submit(self, prompt: str | None = None, **arguments: Unpack[GenerateArgs]) -> Job:
        """Start a clip and return as soon as the provider has accepted it.

        Args:
            prompt: What to show.
            **arguments: As for `generate`.

        Raises:
            VideogenError: As for `generate`, up to the acceptance.
        """
        return Job(self._run("_submit", prompt, arguments), self)

    def batch(
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
        answers: list[Result | VideogenError] = self._run(
            "batch",
            requests,
            max_concurrency=max_concurrency,
            budget=budget,
            name=name,
            retry_failed=retry_failed,
            on_event=on_event,
            **arguments,
        )
        return answers

    def batch_file(
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
        report: BatchReport = self._run(
            "batch_file",
            path,
            folder,
            results=results,
            max_concurrency=max_concurrency,
            budget=budget,
            name=name,
            retry_failed=retry_failed,
            dry_run=dry_run,
            timeout=timeout,
            on_event=on_event,
            on_progress=on_progress,
            **arguments,
        )
        return report

    # --- know before you pay: no event loop is needed

    def estimate(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
        """What a clip would cost, itemised, at the offer that would be chosen. No key is needed.

        Raises:
            UnsupportedRequestError: The model cannot do it; ``.violations`` says why.
        """
        return questions.estimate(self.workspace, prompt, arguments)

    def route(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
        """Which offer would be chosen, and why each other one would not. No network, but for a model in no catalogue.

        Raises:
            ModelNotFoundError: A named model does not exist or is retired.
        """
        return questions.route(self.workspace, prompt, arguments)

    def check(self, prompt: str | None = None, *, model: str, **arguments: Unpack[ClipArgs]) -> list[Violation]:
        """Every rule that a request breaks at a model; empty when it is valid.

        Raises:
            ModelNotFoundError: The model does not exist or is retired.
        """
        return questions.check(self.workspace, prompt, model, arguments)

    def max_duration(
        self, prompt: str | None = None, *, model: str, max_cost: Any, **arguments: Unpack[ClipArgs]
    ) -> float | None:
        """The longest clip, in seconds, that ``max_cost`` dollars buy at a model; None when they buy none.

        Raises:
            RequestError: The price is unknown.
        """
        return questions.max_duration(self.workspace, prompt, model, max_cost, arguments)

    def models(self, **filters: Unpack[FilterArgs]) -> list[ModelSpec]:
        """Offers that match every filter (`FilterArgs`), sorted by shared name and id.

        Raises:
            RequestError: A filter is unknown or has a wrong value.
        """
        return questions.models(self.workspace, filters)

    def ping(self, provider: str, *, timeout: float = 10.0) -> str:
        """Check a provider's key and reachability at no cost; returns one line about it.

        Args:
            provider: Adapter id.
            timeout: Seconds.

        Raises:
            ConfigurationError: Its plugin cannot be used, or its credentials are missing.
            ProviderError: It refused the key, or could not be reached.
        """
        answer: str = self._run("ping", provider, timeout=timeout)
        return answer

    # --- money

    def costs(self, *, by: str = "model", since: Any = None, until: Any = None) -> list[CostLine]:
        """What was spent, from the ledger; the dearest first, days in order.

        Args:
            by: ``model``, ``offer``, ``provider``, ``day``, ``tag:KEY`` or ``total``.
            since: Only attempts that began then or later: a datetime, a date, ``2026-11-01``, or ``7d`` ago.
            until: Only attempts that began before.

        Raises:
            RequestError: There is no such group, or a time is none.
        """
        return accounting.costs(self.workspace, by, since, until)

    def budgets(self) -> list[BudgetState]:
        """Every budget, and what is left of it in its present period, by name."""
        return accounting.budgets(self.workspace)

    def set_budget(
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
        return accounting.set_budget(
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

    def remove_budget(self, name: str) -> None:
        """Remove a budget.

        Raises:
            RequestError: There is none of that name.
        """
        accounting.remove_budget(self.workspace, name)

    def acknowledge_budget(self, name: str) -> None:
        """Unblock a budget after a provider has charged more than was held.

        Raises:
            RequestError: There is none of that name.
        """
        accounting.acknowledge_budget(self.workspace, name)

    @property
    def ledger(self) -> Ledger:
        """The ledger itself, for its care: check, export, purge, vacuum. Its methods block."""
        return self.workspace.ledger()

    # --- jobs

    def job(self, job_id: str) -> Job:
        """A job by its id.

        Raises:
            RequestError: There is none of that id.
        """
        return Job(self._run("_get", job_id), self)

    def jobs(
        self,
        *,
        status: str | None = None,
        tags: Mapping[str, str] | None = None,
        unfinished: bool = False,
        limit: int | None = 50,
    ) -> list[Job]:
        """Jobs of the ledger, newest first.

        Args:
            status: Only this status.
            tags: Only jobs with all of these.
            unfinished: Only jobs that something is left to do for.
            limit: At most this many; None = all.
        """
        return [Job(record, self) for record in self._run("_list", status, tags, unfinished, limit)]

    def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        """What happened to a job so far, in order.

        Args:
            job_id: Which job.
            after: Only events with a greater ``seq``.
        """
        events: list[Event] = self._run("events", job_id, after=after)
        return events

    def webhook(self, provider: str, *, headers: Mapping[str, str], body: bytes, reference: str | None = None) -> Job:
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
        return Job(self._run("_webhook", provider, headers, body, reference), self)

    def resume(self, *, timeout: float | None = None, on_event: Listener | None = None) -> list[Result | VideogenError]:
        """Pick up every job that something is left to do for; a result or an error for each, oldest first."""
        listener = callback(on_event) or notebook.listener(self.workspace.planner.usual)
        answers: list[Result | VideogenError] = self._run("resume", timeout=timeout, on_event=listener)
        return answers
