"""A vendor for the engine's tests: its jobs are files in a folder, so that they outlive any process and can be counted.

What it does is scripted per request through ``options["acme"]``, and every create is counted, heard or not.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import uuid
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from videogen_core import errors, plugins
from videogen_core.hookspecs import hookimpl
from videogen_core.provider import (
    Cancellation,
    Context,
    Found,
    Output,
    Provider,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)
from videogen_core.request import Task
from videogen_core.sandbox.render import RenderSpec, render
from videogen_core.spec import Defaults, Latency, Mode, ModelSpec, OptionSpec, Price
from videogen_core.states import JobStatus

if TYPE_CHECKING:
    import pytest

_ANYTHING = OptionSpec(type="object")


@cache
def clip(seconds: float = 1.0) -> bytes:
    """A real, small MP4."""
    return render(RenderSpec(prompt="test", width=96, height=64, fps=8, duration=seconds))


def offer(provider: str, name: str = "paper", price: str | None = "0.10", **changes: Any) -> ModelSpec:
    """An offer with a price per second."""
    prices = () if price is None else (Price(amount=Decimal(price)),)
    return ModelSpec(
        id=f"{provider}/{name}",
        modes=(
            Mode(
                tasks=(Task.TEXT_TO_VIDEO,),
                durations=(1.0, 2.0, 4.0),
                resolutions=("240p", "720p"),
                aspect_ratios=("16:9",),
                count=4,
            ),
        ),
        default=Defaults(duration=1.0),
        options={"script": _ANYTHING},
        latency=changes.pop("latency", Latency(typical=0.2)),
        prices=prices,
        source="tests",
        as_of=date(2026, 11, 20),
        **changes,
    )


class Acme(Provider):
    """One scripted provider; several with other names make a chain.

    Script keys: ``submit`` (list of: ok, lost, hang, or an error class name, one per create), ``polls`` (polls until
    done), ``poll`` (list of error class names before anything else), ``end`` (succeeded, failed, cancelled, empty,
    gone), ``error`` (class name of the failure), ``charged``, ``cost``, ``outputs`` (how many clips come), ``expired``
    (how many times the address has expired), ``data`` (whole, cut).
    """

    name: ClassVar[str] = "acme"
    plugin_api: ClassVar[int] = 2
    setup: ClassVar[str] = "nothing to set up"

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "acme",
        offers: tuple[ModelSpec, ...] | None = None,
        reconcile: Literal["by_ref", "by_list", "none"] = "none",
        concurrency: int = 8,
        before_submit: Callable[[SubmitCall], None] = lambda call: None,
    ) -> None:
        self.folder = folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name  # type: ignore[misc]
        self.reconcile = reconcile  # type: ignore[misc]
        self.concurrency = concurrency  # type: ignore[misc]
        self.before_submit = before_submit
        self.allowed: dict[str, Any] = {}  # what the account may have at once of a model, by name
        self.limits_asked = 0
        self._offers = offers or (offer(name),)
        self.polls = 0
        self.running = self.most_running = 0

    def models(self) -> tuple[ModelSpec, ...]:
        return self._offers

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        if settings.get("key") == "missing":
            raise errors.MissingCredentialsError(f"{self.name.upper()}_KEY is not set.")

    def connect(self, context: Context) -> Session:
        return AcmeSession(self)

    @property
    def creates(self) -> list[dict[str, Any]]:
        """Every job that was ever created here, heard of or not."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.job"))]

    @property
    def asked(self) -> int:
        """How many creates were sent, refused ones included."""
        return len(list(self.folder.glob("*.ask")))


class AcmeSession(Session):
    """Talks to the folder."""

    def __init__(self, vendor: Acme) -> None:
        self.vendor = vendor

    async def submit(self, call: SubmitCall) -> Submission:
        import anyio

        vendor = self.vendor
        vendor.before_submit(call)
        script = call.options.get("script", {})
        answers = script.get("submit", ["ok"])
        place = vendor.asked
        (vendor.folder / f"{uuid.uuid4().hex}.ask").touch()
        answer = answers[min(place, len(answers) - 1)]
        if answer not in ("ok", "lost", "hang"):
            raise _error(answer, accepted=False, retry_after=script.get("retry_after"))
        job_id = f"job-{uuid.uuid4().hex[:8]}"
        await anyio.sleep(script.get("slow", 0))
        row = {"id": job_id, "ref": call.client_ref, "script": script, "count": call.request.count}
        temporary = vendor.folder / f"{job_id}.new"
        temporary.write_text(json.dumps(row))
        temporary.rename(vendor.folder / f"{job_id}.job")
        await anyio.sleep(script.get("slow", 0))
        if answer == "lost":
            raise ConnectionResetError("connection reset after the job was accepted")
        if answer == "hang":
            await anyio.sleep_forever()
        vendor.running += 1
        vendor.most_running = max(vendor.most_running, vendor.running)
        return Submission(
            provider_job_id=job_id, handle={"n": 0}, request_id="req-1", poll_after=script.get("first", 0.01)
        )

    async def concurrency(self, spec: ModelSpec) -> int | None:
        self.vendor.limits_asked += 1
        answer = self.vendor.allowed.get(spec.name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        return tuple(
            Found(submission=Submission(provider_job_id=row["id"], handle={"n": 0}), ours=True)
            for row in self.vendor.creates
            if row["ref"] == call.client_ref
        )

    async def poll(self, job: ProviderJob) -> Snapshot:
        script = json.loads((self.vendor.folder / f"{job.provider_job_id}.job").read_text())["script"]
        self.vendor.polls += 1
        counter = self.vendor.folder / f"{job.provider_job_id}.polls"
        seen = len(counter.read_text()) if counter.exists() else 0
        counter.write_text("." * (seen + 1))
        troubles = script.get("poll", [])
        if seen < len(troubles):
            if troubles[seen] == "garbage":
                raise KeyError("status")
            raise _error(troubles[seen], retry_after=script.get("retry_after"))
        seen -= len(troubles)
        polls = script.get("polls", 1)
        if seen < polls:
            status = JobStatus.QUEUED if seen == 0 else JobStatus.RUNNING
            return Snapshot(status=status, progress=seen / polls, poll_after=script.get("every", 0.01))
        self.vendor.running -= 1
        return self._end(job, script, seen - polls)

    def _end(self, job: ProviderJob, script: dict[str, Any], after_end: int) -> Snapshot:
        cost = None if "cost" not in script else Decimal(str(script["cost"]))
        match script.get("end", "succeeded"):
            case "cancelled":
                return Snapshot(status=JobStatus.CANCELLED, cost=cost)
            case "failed":
                error = _error(script.get("error", "GenerationFailedError"), charged=script.get("charged"))
                return Snapshot(status=JobStatus.FAILED, error=error, cost=cost)
            case "empty":
                return Snapshot(status=JobStatus.SUCCEEDED, cost=cost)
            case "gone":
                return Snapshot(status=JobStatus.SUCCEEDED, cost=cost, expired=True)
        data = clip(job.request.duration or 1.0)
        if script.get("data") == "cut":
            data = data[: len(data) // 2]
        if after_end < script.get("expired", 0):
            outputs = tuple(Output(url="http://127.0.0.1:9/gone.mp4") for _ in range(job.request.count))
        else:
            outputs = tuple(Output(data=data) for _ in range(script.get("outputs", job.request.count)))
        return Snapshot(status=JobStatus.SUCCEEDED, outputs=outputs, cost=cost)

    async def cancel(self, job: ProviderJob) -> Cancellation:
        script = json.loads((self.vendor.folder / f"{job.provider_job_id}.job").read_text())["script"]
        match script.get("cancel", "no"):
            case "gone":
                return Cancellation(accepted=True, gone=True, cost=Decimal(0))
            case "yes":
                path = self.vendor.folder / f"{job.provider_job_id}.job"
                row = json.loads(path.read_text())
                row["script"] |= {"end": "cancelled", "polls": 0}
                path.write_text(json.dumps(row))
                return Cancellation(accepted=True)
        return Cancellation(accepted=False, message="too late")


def _error(name: str, **known: Any) -> errors.ProviderError:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.ProviderError)
    return kind(f"the vendor said {name}", code=name, **known)


def install(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    """Make a provider the only one that is installed, as if a distribution had brought it."""
    module = ModuleType(f"installed_{provider.name}")
    vars(module)["videogen_provider"] = hookimpl(lambda: provider, specname="videogen_provider")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    point = importlib.metadata.EntryPoint(provider.name, module.__name__, plugins.GROUP)
    monkeypatch.setattr(plugins, "_entry_points", lambda: (point,))
