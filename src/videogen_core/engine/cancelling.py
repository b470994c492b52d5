"""Cancelling: the wish is put on record, the provider is asked, and what it says is believed."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from .. import transitions
from ..errors import ProviderError, RequestError
from ..states import JobRecord
from .chain import cost_of_failure
from .record import LeaseLostError, Log
from .watching import Watcher, forgotten

__all__ = ["cancel"]


async def cancel(job: JobRecord, watcher: Watcher, log: Log) -> tuple[JobRecord, bool]:
    """Ask the provider to stop a job that it has accepted.

    Returns:
        The job, and whether it is over: otherwise the provider is to be asked how it ends.

    Raises:
        RequestError: The provider did not stop it.
    """
    job = await log.write(job, transitions.request_cancel, "cancel_requested", f"asking {job.provider} to stop it")
    try:
        answer = await watcher.stop(job)
    except ProviderError as error:
        if forgotten(error):  # it was stopped before, by a process that could not write that down
            return job, False
        raise
    if not answer.accepted:
        raise RequestError(
            f"{job.provider} did not stop job {job.id}: {answer.message or 'it cannot cancel'}.",
            hint=f"It goes on; `videogen resume {job.id}` fetches it.",
            job_id=job.id,
        )
    if not answer.gone:
        return job, False
    cost, origin = cost_of_failure(job, answer.cost, None)
    over = partial(transitions.cancel, cost=cost, origin=origin)
    tries = len(job.attempts)

    def gone(newer: JobRecord, now: datetime) -> JobRecord:
        if len(newer.attempts) != tries:
            raise LeaseLostError(f"Job {newer.id} is at another try by now.", job_id=newer.id)
        return over(newer, now)

    said = answer.message or f"cancelled at {job.provider}"
    return await log.write(job, gone, "cancelled", said, late=True), True
