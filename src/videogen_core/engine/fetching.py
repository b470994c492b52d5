"""From the provider's outputs to verified files: each clip is recorded as soon as it is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from anyio import to_thread

from .. import downloads, targets, transitions
from ..clips import ENDINGS
from ..errors import DownloadError, ResultExpiredError
from ..partials import sweep
from ..provider import Output, Snapshot
from ..request import Task, VideoRequest
from ..settings import Settings
from ..states import Artifact, JobRecord, JobStatus, Video
from .caching import Caching
from .places import place
from .record import Log
from .stamping import Stamping
from .watching import Watcher

__all__ = ["Fetcher"]

DOWNLOAD_TIMEOUT = 1800.0
"""Seconds for one clip."""


@dataclass(frozen=True)
class Fetcher:
    """Stores the clips of one job.

    Attributes:
        settings: The configuration.
        log: Where it is recorded.
        watcher: Asks the provider for fresh addresses.
        swept: Folders that have been cleared of what dead processes left there.
        caching: Keeps copies of what may be wanted again.
        stamping: Says of each clip how it was made.
    """

    settings: Settings
    log: Log
    watcher: Watcher
    swept: set[Path]
    caching: Caching
    stamping: Stamping

    async def fetch(self, job: JobRecord, snapshot: Snapshot | None) -> JobRecord:
        """Download, verify and record every clip that is not stored yet.

        Args:
            job: A job that succeeded.
            snapshot: The poll that said so; None = ask again, for fresh addresses.

        Raises:
            DownloadError: A clip could not be stored; the job can be resumed. `ResultExpiredError`: it is gone.
        """
        fresh = snapshot is None
        if snapshot is not None and snapshot.expired:
            raise await self._expired(job, None)
        outputs = await self._outputs(job) if snapshot is None else snapshot.outputs
        index = len(job.videos)
        if index >= len(outputs):  # the provider gives out fewer now; all that there is has been stored
            return await self.log.write(
                job, lambda j, now: transitions.store(j, now, Artifact.STORED), "stored", "the other clips are gone"
            )
        while index < len(outputs):
            try:
                video = await self._store(job, outputs[index], index)
            except ResultExpiredError as error:
                if fresh:
                    raise await self._expired(job, error) from error
                fresh, outputs = True, await self._outputs(job)
                continue
            except DownloadError as error:
                error.job_id = job.id
                raise
            await self.stamping.beside(job, video, index, self.log)
            index += 1
            last = index >= len(outputs)
            if last:  # before the job is done, since whoever waits for the same clip looks for it then
                await self.caching.keep(job, self.watcher.spec, (*job.videos, video), self.log)
            job = await self._record(job, video, Artifact.STORED if last else Artifact.PARTIAL)
            fresh = False  # the other addresses have aged meanwhile
            await self.log.tell()
        return job

    async def _outputs(self, job: JobRecord) -> tuple[Output, ...]:
        snapshot = await self.watcher.ask(job)
        if snapshot.status in (JobStatus.QUEUED, JobStatus.RUNNING):
            raise DownloadError(
                f"{job.provider} says that job {job.id} is not done, although it has said so before.",
                hint="Resume the job a little later.",
                job_id=job.id,
            )
        if snapshot.status is not JobStatus.SUCCEEDED or not snapshot.outputs:
            raise await self._expired(job, None)
        return snapshot.outputs

    async def _store(self, job: JobRecord, output: Output, index: int) -> Video:
        path = targets.target_path(**place(job, self.settings, index))
        path = targets.with_ending(path, ENDINGS.get(output.mime_type))
        if path.parent not in self.swept:
            self.swept.add(path.parent)
            await to_thread.run_sync(sweep, path.parent)
        self.log.note(job, "downloading", f"storing {path.name}")
        await self.log.tell()
        return await downloads.save(
            output,
            path,
            overwrite=job.overwrite,
            expected_duration=_expected_duration(job.attempt.request),
            timeout=DOWNLOAD_TIMEOUT,
            allow_private=self.settings.allow_private_addresses,
            probe_in_process=self.settings.probe_in_process,
            stamp=self.stamping.stamp(job, index),
        )

    async def _record(self, job: JobRecord, video: Video, artifact: Artifact) -> JobRecord:
        change = partial(_add, video=video, artifact=artifact)
        facts: dict[str, Any] = {"sha256": video.sha256, "size": video.size, "artifact": artifact.value}
        return await self.log.write(job, change, "stored", str(video.path), **facts)

    async def _expired(self, job: JobRecord, cause: ResultExpiredError | None) -> ResultExpiredError:
        message = f"{job.provider} no longer has the result of job {job.id}."
        await self.log.write(job, lambda j, now: transitions.store(j, now, Artifact.EXPIRED), "expired", message)
        return ResultExpiredError(
            message if cause is None else f"{message} {cause.message}",
            hint="It was made and paid for, but not fetched in time; generate it again.",
            job_id=job.id,
        )


def _expected_duration(request: VideoRequest) -> float | tuple[float, float] | None:
    """Seconds that a clip should last. An extended one may come with its source in front of it, or without."""
    if request.task is not Task.EXTEND_VIDEO or request.duration is None:
        return request.duration
    source = request.video.duration if request.video is not None else None
    return request.duration, math.inf if source is None else source + request.duration


def _add(job: JobRecord, now: datetime, *, video: Video, artifact: Artifact) -> JobRecord:
    return transitions.store(job, now, artifact, (*job.videos, video))
