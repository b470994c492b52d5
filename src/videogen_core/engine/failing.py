"""From what is on record of a job that ended without a video to the error that its caller gets."""

from __future__ import annotations

from .. import errors
from ..errors import JobCancelledError, ProviderError, VideogenError
from ..states import JobRecord, JobStatus

__all__ = ["failure"]


def failure(job: JobRecord) -> VideogenError:
    """The error of a job that ended without a video, as it was when it happened."""
    if job.status is JobStatus.CANCELLED:
        return JobCancelledError(f"Job {job.id} was cancelled.", job_id=job.id)
    data = dict(job.error or {})
    kind = getattr(errors, str(data.pop("type", "")), VideogenError)
    message, hint = data.pop("message", f"Job {job.id} {job.status}."), data.pop("hint", None)
    if issubclass(kind, ProviderError):
        return kind(message, hint=hint, **{**data, "job_id": job.id})
    return kind(message, hint=hint, job_id=job.id)
