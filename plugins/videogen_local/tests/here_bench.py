"""A look at the jobs of this machine, for the tests that every provider passes."""

from __future__ import annotations

import fcntl
import io
import json
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from here_alone import PIPELINES
from videogen_core import Context, Submission, SubmitCall
from videogen_core.testing import Clip, Script, VendorJob
from videogen_core.testing.conformance import Workshop
from videogen_core.testing.journal import Entry
from videogen_local.here.spool import Spool
from videogen_local.orders import Order
from videogen_local.session import LocalSession

__all__ = ["Bench", "Telling"]

_TOLD = "creates"


class Telling(LocalSession):
    """On the processor; keeps a copy of each order, since a job's own is cleaned up with it."""

    def __init__(self, context: Context) -> None:
        super().__init__(replace(context, settings={**context.settings, "devices": ["cpu"]}))

    async def submit(self, call: SubmitCall) -> Submission:
        spool, told = Spool(self._context.folder / "jobs"), self._context.folder / _TOLD
        new = not spool.has(call.client_ref)
        submission = await super().submit(call)
        told.mkdir(parents=True, exist_ok=True)
        partial = told / f".{time.time_ns()}.{call.client_ref}"
        entry = [submission.provider_job_id, new, msgspec.json.encode(spool.order(call.client_ref)).decode()]
        partial.write_bytes(msgspec.json.encode(entry))
        partial.rename(told / partial.name[1:])
        return submission


class Bench(Workshop):
    """Looks at the folders of jobs, and holds the processor's lock like another program that uses it."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._folder = home / "providers" / "local"
        self._spool = Spool(self._folder / "jobs")
        self._held: int | None = None
        self._whole: dict[Path, bytes] = {}

    def creates(self) -> list[Entry]:
        found = []
        for number, path in enumerate(sorted((self._folder / _TOLD).glob("[!.]*")), 1):
            job, new, body = json.loads(path.read_bytes())
            at = int(path.name.partition(".")[0]) / 1e9
            found.append(
                Entry(seq=number, at=at, time=at, method="", path="", kind="create", job=job, created=new, body=body)
            )
        return found

    def made(self, entry: Entry) -> VendorJob:
        order = msgspec.json.decode(entry.body, type=Order)
        seconds = order.family.nominal(order.frames) * order.family.fps / order.fps
        clip = Clip(duration=seconds, width=order.width, height=order.height, fps=order.fps, audio=order.audio)
        return VendorJob(
            id=entry.job,
            seq=entry.seq,
            clip=clip,
            count=1,
            model=order.offer,
            ref=entry.job,
            key="",
            body=entry.body,
            webhook="",
            script=Script(),
            created=entry.at,
        )

    def owner(self, clip: bytes) -> str:
        import av

        with av.open(io.BytesIO(clip), "r") as file:
            about = json.loads(file.metadata["comment"])
        orders = {entry.job: json.loads(entry.body) for entry in self.creates()}
        mine = [job for job, order in orders.items() if (order["seed"], order["prompt"]) == _of(about)]
        assert len(mine) == 1, f"{len(mine)} orders are of the seed and prompt that the clip tells: {about}"
        return mine[0]

    def ended(self, job: str) -> bool:
        return not self._spool.has(job) or self._spool.state(job).over

    def hold(self) -> None:
        place = self._folder / "devices" / "cpu.lock"
        place.parent.mkdir(parents=True, exist_ok=True)
        self._held = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX)

    def let_go(self) -> None:
        if self._held is not None:
            os.close(self._held)
            self._held = None
        for path, data in self._whole.items():
            _put(path, data)
        self._whole.clear()

    def spoil(self) -> None:
        """Weights that are no numbers: whatever is drawn with them is no picture."""
        for path in Path(os.environ[PIPELINES]).glob("*/transformer/*.safetensors"):
            data = self._whole.setdefault(path, path.read_bytes())
            begin = 8 + int.from_bytes(data[:8], "little")
            _put(path, data[:begin] + b"\xff" * (len(data) - begin))

    def leftovers(self) -> list[str]:
        places = list(self._spool.folder.glob("*")) if self._spool.folder.is_dir() else []
        return [str(path) for path in places if self.ended(path.name) or path.name.startswith(".")]


def _of(about: Mapping[str, Any]) -> tuple[int, str]:
    return about["seed"], about["prompt"]


def _put(weights: Path, data: bytes) -> None:
    """Change the weights of a pipeline as somebody does who copies it again; one that is loaded is out of date then."""
    weights.write_bytes(data)
    for index in weights.parents[1].glob("*.json"):
        os.utime(index)
