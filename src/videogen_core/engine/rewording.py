"""After a content block: the prompt in other words, where the user allows it and an extension has some."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial

from anyio import to_thread

from ..errors import ContentPolicyError, VideogenError
from ..extensions import Extensions, Rewritten
from ..states import JobRecord

__all__ = ["Reword", "in_other_words", "never", "reword"]

Reword = Callable[[JobRecord, VideogenError], Awaitable[Rewritten | None]]
"""Gives other words for what was blocked; None = there are none, or they are not wanted."""


async def never(job: JobRecord, error: VideogenError) -> Rewritten | None:
    """For whoever only looks at a job."""
    return None


async def reword(extensions: Extensions, job: JobRecord, error: VideogenError) -> Rewritten | None:
    """Ask the extensions, if the job may be asked for once more; it blocks nobody, and is bounded in time."""
    if not isinstance(error, ContentPolicyError) or job.rewrites < 1 or job.cancel_requested_at is not None:
        return None
    request = job.attempt.request if job.attempts else job.wanted
    return await to_thread.run_sync(partial(extensions.rewrite, request, error), abandon_on_cancel=True)


def in_other_words(job: JobRecord, error: VideogenError, by: str, cost: Decimal | None) -> str:
    """What is told before a second try: why, what the first one cost, and that the next costs as well."""
    charged = "Whether it was charged is not known" if cost is None else f"It cost ${cost:f}" if cost else "It was free"
    return (
        f"{error.message} {charged}. {by} has put the prompt in other words; {job.offer} is asked again, a new attempt "
        f"that is paid for. {job.rewrites - 1} more may follow."
    )
