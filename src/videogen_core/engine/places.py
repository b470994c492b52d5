"""Where the clips of a job go."""

from __future__ import annotations

from typing import Any

from .. import targets
from ..settings import Settings
from ..states import JobRecord

__all__ = ["check_target", "place"]


def place(job: JobRecord, settings: Settings, index: int) -> dict[str, Any]:
    """What decides where clip number ``index`` (from 0) of a job goes."""
    request = job.attempt.request if job.attempts else job.request
    return {
        "output": job.output,
        "folder": settings.home / "clips",
        "model": job.offer.partition("/")[2],
        "provider": job.provider,
        "job_id": job.id,
        "index": index,
        "count": max(request.count, index + 1),  # a provider may give more than was asked for
    }


def check_target(job: JobRecord, settings: Settings, index: int) -> None:
    """Refuse a place that could not be written to, before anything is spent.

    Raises:
        RequestError: A file is in the way, or the path is none.
        ConfigurationError: The disk is full or read-only.
    """
    targets.check_target(**place(job, settings, index), overwrite=job.overwrite)
