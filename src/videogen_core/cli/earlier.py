"""What an earlier run of the same ``compare`` has left: the same folder, model and request are the same job."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from videogen_core import Client, Job, JobStatus, RequestError, VideoRequest

__all__ = ["TAG", "Earlier"]

TAG = "compare"
"""Tag of every job of a comparison; its value is the path of the folder."""


class Earlier:
    """The jobs of one folder.

    Args:
        client: Whose ledger.
        folder: Where the clips go.
        arguments: Of the command; none may take the tag for itself.
        anew: Whether clips are made again that are done. Those under way are gone on with all the same: whoever types
            an interrupted command again wants it to go on.

    Raises:
        RequestError: The tag is taken.
    """

    def __init__(self, client: Client, folder: Path, arguments: Mapping[str, Any], *, anew: bool) -> None:
        if TAG in arguments.get("tags", {}):
            raise RequestError(f"--tag: {TAG} is the command's own.", hint="Leave it out.")
        self.tags = {**arguments.get("tags", {}), TAG: str(folder)}
        self._folder = folder
        known = client.jobs(tags={TAG: str(folder)}, limit=None) if client.workspace.has_ledger else []
        self._jobs = {job.record.idempotency_key: job for job in known}
        self._anew = anew and not any(_under_way(job) for job in self._jobs.values())

    def find(self, named: str, request: VideoRequest) -> tuple[str, Job | None]:
        """The idempotency key of a model's clip, and its job; None = one is to be made.

        A job that failed, or whose clip is gone, is followed by one with the next number.
        """
        whole = "\n".join((str(self._folder), named, request.fingerprint()))
        stem = hashlib.sha256(whole.encode(errors="surrogateescape")).hexdigest()[:32]
        for number, job in enumerate(self._of(stem), 1):
            if _under_way(job) or (_is_here(job) and not self._anew):
                return f"compare-{stem}/{number}", job
        return f"compare-{stem}/{len(list(self._of(stem))) + 1}", None

    def _of(self, stem: str) -> Iterator[Job]:
        number = 1
        while (job := self._jobs.get(f"compare-{stem}/{number}")) is not None:
            yield job
            number += 1


def _under_way(job: Job) -> bool:
    return not job.record.done


def _is_here(job: Job) -> bool:
    paths = [video.path for video in job.record.videos]
    return job.status is JobStatus.SUCCEEDED and bool(paths) and all(path and path.exists() for path in paths)
