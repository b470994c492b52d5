"""The sync face: `Client` and `Job`, each method one line over the async twin.

They run it on a background event loop, so that they also work where a loop is running already (a notebook; the call
then holds that loop up until it returns). What needs no waiting needs no loop either, and loads none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from . import questions
from ._portal import Portal
from .arguments import ClipArgs, FilterArgs, GenerateArgs, RouteArgs
from .errors import VideogenError
from .handle import Handle
from .limits import Violation
from .pricing import Quote
from .provider import Provider
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
        if error is not None and not self._record.done:
            raise error


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
        result: Result = self._run("generate", prompt, timeout=timeout, on_event=on_event, **arguments)
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

    # --- know before you pay: no event loop is needed

    def estimate(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
        """What a clip would cost, itemised, at the offer that would be chosen. No key is needed.

        Raises:
            UnsupportedRequestError: The model cannot do it; ``.violations`` says why.
        """
        return questions.estimate(self.workspace, prompt, arguments)

    def route(self, prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
        """Which offer would be chosen, and why each other one would not. No network.

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

    def resume(self, *, timeout: float | None = None, on_event: Listener | None = None) -> list[Result | VideogenError]:
        """Pick up every job that something is left to do for; a result or an error for each, oldest first."""
        answers: list[Result | VideogenError] = self._run("resume", timeout=timeout, on_event=on_event)
        return answers
