"""The cache between a job and its provider: a clip that was made of the same request is given again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
from anyio import to_thread

from .. import provenance, targets, transitions
from ..cache import Cache, Entry
from ..cachekey import cache_key, is_cacheable
from ..clips import ENDINGS
from ..request import VideoRequest
from ..settings import Settings
from ..spec import ModelSpec
from ..states import JobRecord, Video
from .places import place
from .record import Log
from .stamping import Stamping

__all__ = ["Caching", "open_cache"]

_DAY = 86_400.0


def open_cache(settings: Settings) -> Cache:
    """The cache of an installation."""
    return Cache(settings.cache_folder, ttl=settings.cache_days * _DAY, max_bytes=settings.cache_bytes)


@dataclass(frozen=True)
class Caching:
    """Serves and fills the cache.

    Attributes:
        cache: The store.
        settings: The configuration.
        versions: Gives the distributions at work, by provider.
    """

    cache: Cache
    settings: Settings
    versions: Callable[[str], Mapping[str, str]]

    def key(self, job: JobRecord, spec: ModelSpec, request: VideoRequest, account: str) -> str | None:
        """What a clip is kept under; None when it is neither to be taken from the cache nor put there."""
        if not is_cacheable(request, spec, job.cache):
            return None
        return cache_key(request, spec, account=account)

    async def serve(self, job: JobRecord, spec: ModelSpec, key: str, log: Log) -> JobRecord | None:
        """Give a job the clips of the cache; None when they are not there, so that they must be made.

        Raises:
            DownloadError: They could not be stored where the user wants them.
        """
        entry = await to_thread.run_sync(self.cache.get, key)
        if entry is None:
            return None
        served = msgspec.structs.replace(job, cached=spec.name, placeholder=spec.placeholder)
        stamping = Stamping(spec, self.versions)
        videos = await self._delivered(served, entry, stamping)
        if videos is None:
            return None
        for index, video in enumerate(videos):
            await stamping.beside(served, video, index, log)
        reuse = partial(transitions.reuse, videos=videos, model=spec.name, placeholder=spec.placeholder)
        return await log.write(job, reuse, "cached", f"made before, on {entry.created_at:%Y-%m-%d %H:%M} UTC")

    async def _delivered(self, job: JobRecord, entry: Entry, stamping: Stamping) -> tuple[Video, ...] | None:
        videos: list[Video] = []
        for index in range(len(entry.videos)):
            target = targets.target_path(**place(job, self.settings, index))
            target = targets.with_ending(target, ENDINGS.get(entry.videos[index].mime_type))
            stamp = stamping.stamp(job, index)
            deliver = partial(self.cache.deliver, entry, index, target, overwrite=job.overwrite, stamp=stamp)
            video = await to_thread.run_sync(deliver)
            if video is None:
                await to_thread.run_sync(_withdraw, videos)
                return None
            videos.append(video)
        return tuple(videos)

    async def keep(self, job: JobRecord, spec: ModelSpec, videos: tuple[Video, ...], log: Log) -> None:
        """Put the clips of a job that succeeded into the cache. When that fails, the job is none the worse for it."""
        attempt = job.attempt
        key = self.key(job, spec, attempt.request, attempt.account)
        if key is None or len(videos) < attempt.request.count:  # some may have been withheld
            return
        why_not = await to_thread.run_sync(self._put, key, job, videos)
        if why_not is not None:
            log.note(job, "warning", why_not)

    def _put(self, key: str, job: JobRecord, videos: Sequence[Video]) -> str | None:
        """Keep the clips without what was written into them about this one job; returns why not."""
        if job.provenance == "embed":
            try:
                videos = [provenance.unstamped(video.path, video) if video.path else video for video in videos]
            except OSError as error:
                return f"The clip was not kept in the cache: it cannot be read ({error.strerror})."
        return self.cache.put(key, videos, {"offer": job.offer})


def _withdraw(videos: Sequence[Video]) -> None:
    """Take back what was delivered of an entry that turned out not to be whole."""
    for video in videos:
        if video.path is not None:
            video.path.unlink(missing_ok=True)
