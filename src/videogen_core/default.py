"""The default client and its functions: what ``videogen.generate(...)`` calls."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack

from .batches import BatchReport
from .budget import BudgetState
from .cost import CostLine
from .errors import VideogenError
from .pricing import Quote
from .request import VideoRequest
from .routing import Route
from .spec import ModelSpec
from .states import Event, Result
from .sync_client import Client, Job

if TYPE_CHECKING:
    import asyncio

    from .arguments import ClipArgs, FilterArgs, GenerateArgs, RouteArgs
    from .async_client import AsyncClient, AsyncJob
    from .engine.record import Listener
    from .limits import Violation

__all__ = [
    "aacknowledge_budget",
    "abatch",
    "abatch_file",
    "abudgets",
    "acheck",
    "acknowledge_budget",
    "acosts",
    "aestimate",
    "aevents",
    "agenerate",
    "ajob",
    "ajobs",
    "amax_duration",
    "amodels",
    "aping",
    "aremove_budget",
    "aresume",
    "aroute",
    "aset_budget",
    "asubmit",
    "awebhook",
    "batch",
    "batch_file",
    "budgets",
    "check",
    "configure",
    "costs",
    "default_client",
    "estimate",
    "events",
    "generate",
    "job",
    "jobs",
    "max_duration",
    "models",
    "ping",
    "remove_budget",
    "resume",
    "route",
    "set_budget",
    "submit",
    "webhook",
]

_lock = threading.Lock()
_client: Client | None = None


def default_client() -> Client:
    """The client behind the module-level functions, made on first use from the configuration."""
    global _client
    with _lock:
        if _client is None:
            _client = Client()
        return _client


def configure(**overrides: Any) -> Client:
    """Replace the default client.

    Args:
        **overrides: Settings that win over every other source, such as ``home`` or ``ledger``; or ``plugins``.

    Raises:
        ConfigurationError: A setting is unknown or out of range.
    """
    global _client
    new = Client(**overrides)
    with _lock:
        old, _client = _client, new
    if old is not None:
        old.close()
    return new


def generate(
    prompt: str | None = None,
    *,
    timeout: float | None = None,
    on_event: Listener | None = None,
    **arguments: Unpack[GenerateArgs],
) -> Result:
    """`Client.generate` of the default client."""
    return default_client().generate(prompt, timeout=timeout, on_event=on_event, **arguments)


def submit(prompt: str | None = None, **arguments: Unpack[GenerateArgs]) -> Job:
    """`Client.submit` of the default client."""
    return default_client().submit(prompt, **arguments)


def batch(
    requests: Iterable[str | Mapping[str, Any] | VideoRequest],
    *,
    max_concurrency: int | None = None,
    budget: Any = None,
    name: str | None = None,
    retry_failed: bool = False,
    on_event: Listener | None = None,
    **arguments: Unpack[GenerateArgs],
) -> list[Result | VideogenError]:
    """`Client.batch` of the default client."""
    return default_client().batch(
        requests,
        max_concurrency=max_concurrency,
        budget=budget,
        name=name,
        retry_failed=retry_failed,
        on_event=on_event,
        **arguments,
    )


def batch_file(
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
    """`Client.batch_file` of the default client."""
    return default_client().batch_file(
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


def estimate(prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
    """`Client.estimate` of the default client."""
    return default_client().estimate(prompt, **arguments)


def route(prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
    """`Client.route` of the default client."""
    return default_client().route(prompt, **arguments)


def check(prompt: str | None = None, *, model: str, **arguments: Unpack[ClipArgs]) -> list[Violation]:
    """`Client.check` of the default client."""
    return default_client().check(prompt, model=model, **arguments)


def max_duration(
    prompt: str | None = None, *, model: str, max_cost: Any, **arguments: Unpack[ClipArgs]
) -> float | None:
    """`Client.max_duration` of the default client."""
    return default_client().max_duration(prompt, model=model, max_cost=max_cost, **arguments)


def models(**filters: Unpack[FilterArgs]) -> list[ModelSpec]:
    """`Client.models` of the default client."""
    return default_client().models(**filters)


def ping(provider: str, *, timeout: float = 10.0) -> str:
    """`Client.ping` of the default client."""
    return default_client().ping(provider, timeout=timeout)


def job(job_id: str) -> Job:
    """`Client.job` of the default client."""
    return default_client().job(job_id)


def jobs(
    *,
    status: str | None = None,
    tags: Mapping[str, str] | None = None,
    unfinished: bool = False,
    limit: int | None = 50,
) -> list[Job]:
    """`Client.jobs` of the default client."""
    return default_client().jobs(status=status, tags=tags, unfinished=unfinished, limit=limit)


def events(job_id: str, *, after: int = 0) -> list[Event]:
    """`Client.events` of the default client."""
    return default_client().events(job_id, after=after)


def resume(*, timeout: float | None = None, on_event: Listener | None = None) -> list[Result | VideogenError]:
    """`Client.resume` of the default client."""
    return default_client().resume(timeout=timeout, on_event=on_event)


def costs(*, by: str = "model", since: Any = None, until: Any = None) -> list[CostLine]:
    """`Client.costs` of the default client."""
    return default_client().costs(by=by, since=since, until=until)


def budgets() -> list[BudgetState]:
    """`Client.budgets` of the default client."""
    return default_client().budgets()


def set_budget(
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
    """`Client.set_budget` of the default client."""
    return default_client().set_budget(
        name, limit=limit, period=period, timezone=timezone, provider=provider, model=model, tags=tags, warn=warn
    )


def remove_budget(name: str) -> None:
    """`Client.remove_budget` of the default client."""
    default_client().remove_budget(name)


def acknowledge_budget(name: str) -> None:
    """`Client.acknowledge_budget` of the default client."""
    default_client().acknowledge_budget(name)


def webhook(provider: str, *, headers: Mapping[str, str], body: bytes, reference: str | None = None) -> Job:
    """`Client.webhook` of the default client."""
    return default_client().webhook(provider, headers=headers, body=body, reference=reference)


# An async client belongs to one event loop, so there is one for each loop that asks, and it goes with its loop.
_async_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncClient] = weakref.WeakKeyDictionary()


def _async() -> AsyncClient:
    import asyncio

    from .async_client import AsyncClient

    loop, workspace = asyncio.get_running_loop(), default_client().workspace
    client = _async_clients.get(loop)
    if client is None or client.workspace is not workspace:
        client = _async_clients[loop] = AsyncClient.on(workspace)
    return client


async def agenerate(
    prompt: str | None = None,
    *,
    timeout: float | None = None,
    on_event: Listener | None = None,
    **arguments: Unpack[GenerateArgs],
) -> Result:
    """`AsyncClient.generate` of the default client."""
    return await _async().generate(prompt, timeout=timeout, on_event=on_event, **arguments)


async def asubmit(prompt: str | None = None, **arguments: Unpack[GenerateArgs]) -> AsyncJob:
    """`AsyncClient.submit` of the default client."""
    return await _async().submit(prompt, **arguments)


async def abatch(
    requests: Iterable[str | Mapping[str, Any] | VideoRequest],
    *,
    max_concurrency: int | None = None,
    budget: Any = None,
    name: str | None = None,
    retry_failed: bool = False,
    on_event: Listener | None = None,
    **arguments: Unpack[GenerateArgs],
) -> list[Result | VideogenError]:
    """`AsyncClient.batch` of the default client."""
    return await _async().batch(
        requests,
        max_concurrency=max_concurrency,
        budget=budget,
        name=name,
        retry_failed=retry_failed,
        on_event=on_event,
        **arguments,
    )


async def abatch_file(
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
    """`AsyncClient.batch_file` of the default client."""
    return await _async().batch_file(
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


async def aestimate(prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Quote:
    """`AsyncClient.estimate` of the default client."""
    return await _async().estimate(prompt, **arguments)


async def aroute(prompt: str | None = None, **arguments: Unpack[RouteArgs]) -> Route:
    """`AsyncClient.route` of the default client."""
    return await _async().route(prompt, **arguments)


async def acheck(prompt: str | None = None, *, model: str, **arguments: Unpack[ClipArgs]) -> list[Violation]:
    """`AsyncClient.check` of the default client."""
    return await _async().check(prompt, model=model, **arguments)


async def amax_duration(
    prompt: str | None = None, *, model: str, max_cost: Any, **arguments: Unpack[ClipArgs]
) -> float | None:
    """`AsyncClient.max_duration` of the default client."""
    return await _async().max_duration(prompt, model=model, max_cost=max_cost, **arguments)


async def amodels(**filters: Unpack[FilterArgs]) -> list[ModelSpec]:
    """`AsyncClient.models` of the default client."""
    return await _async().models(**filters)


async def aping(provider: str, *, timeout: float = 10.0) -> str:
    """`AsyncClient.ping` of the default client."""
    return await _async().ping(provider, timeout=timeout)


async def ajob(job_id: str) -> AsyncJob:
    """`AsyncClient.job` of the default client."""
    return await _async().job(job_id)


async def ajobs(
    *,
    status: str | None = None,
    tags: Mapping[str, str] | None = None,
    unfinished: bool = False,
    limit: int | None = 50,
) -> list[AsyncJob]:
    """`AsyncClient.jobs` of the default client."""
    return await _async().jobs(status=status, tags=tags, unfinished=unfinished, limit=limit)


async def aevents(job_id: str, *, after: int = 0) -> list[Event]:
    """`AsyncClient.events` of the default client."""
    return await _async().events(job_id, after=after)


async def aresume(*, timeout: float | None = None, on_event: Listener | None = None) -> list[Result | VideogenError]:
    """`AsyncClient.resume` of the default client."""
    return await _async().resume(timeout=timeout, on_event=on_event)


async def acosts(*, by: str = "model", since: Any = None, until: Any = None) -> list[CostLine]:
    """`AsyncClient.costs` of the default client."""
    return await _async().costs(by=by, since=since, until=until)


async def abudgets() -> list[BudgetState]:
    """`AsyncClient.budgets` of the default client."""
    return await _async().budgets()


async def aset_budget(
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
    """`AsyncClient.set_budget` of the default client."""
    return await _async().set_budget(
        name, limit=limit, period=period, timezone=timezone, provider=provider, model=model, tags=tags, warn=warn
    )


async def aremove_budget(name: str) -> None:
    """`AsyncClient.remove_budget` of the default client."""
    await _async().remove_budget(name)


async def aacknowledge_budget(name: str) -> None:
    """`AsyncClient.acknowledge_budget` of the default client."""
    await _async().acknowledge_budget(name)


async def awebhook(provider: str, *, headers: Mapping[str, str], body: bytes, reference: str | None = None) -> AsyncJob:
    """`AsyncClient.webhook` of the default client."""
    return await _async().webhook(provider, headers=headers, body=body, reference=reference)
