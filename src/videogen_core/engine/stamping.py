"""Says of each clip how it was made, where that is wanted: inside it, before it gets its name, or beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from anyio import to_thread

from .. import provenance, xmp
from ..partials import Stamp
from ..registry import Registry
from ..spec import ModelSpec
from ..states import JobRecord, Video
from .record import Log

__all__ = ["Stamping", "versions_of"]


def versions_of(registry: Registry, provider: str) -> dict[str, str]:
    """The distributions that made a clip, with their versions."""
    plugin = registry.plugins.plugin(provider)
    own = {plugin.distribution: plugin.version} if plugin.version else {}
    return {"videogen-core": version("videogen-core"), **own}


@dataclass(frozen=True)
class Stamping:
    """Provenance of the clips of one model.

    Attributes:
        spec: The offer that made them.
        versions: Gives the distributions at work, by provider.
    """

    spec: ModelSpec
    versions: Callable[[str], Mapping[str, str]]

    def stamp(self, job: JobRecord, index: int) -> Stamp | None:
        """What adds it to a clip that has been checked and has no name yet; None when that is not wanted."""
        if job.provenance != "embed":
            return None

        def stamp(path: Path, video: Video) -> bytes:
            boxes = xmp.survey(path)
            return provenance.embedded(self._of(job, video, index, boxes), boxes)

        return stamp

    async def beside(self, job: JobRecord, video: Video, index: int, log: Log) -> None:
        """Write the file beside a clip, if it is wanted there or could not be put inside.

        When that fails, the clip is none the worse for it: it is told as a warning.
        """
        if job.provenance == "no" or video.path is None:
            return
        problem = await to_thread.run_sync(self._beside, job, video, index, video.path)
        if problem:
            log.note(job, "warning", f"How {video.path.name} was made is not written beside it: {problem}.")

    def _beside(self, job: JobRecord, video: Video, index: int, path: Path) -> str:
        try:
            boxes = xmp.survey(path)
            if job.provenance == "embed" and boxes.packet is not None:
                return ""
            provenance.write_sidecar(self._of(job, video, index, boxes), path, overwrite=job.overwrite)
        except OSError as error:
            return error.strerror or type(error).__name__
        return ""

    def _of(self, job: JobRecord, video: Video, index: int, boxes: xmp.Boxes) -> provenance.Provenance:
        found = ("C2PA",) if boxes.signed else ()
        marks = tuple(dict.fromkeys((*found, *self.spec.marks)))
        return provenance.describe(job, video, index, versions=self.versions(job.provider), marks=marks)
