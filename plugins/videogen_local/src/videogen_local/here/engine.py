"""The session of models that run on this machine: jobs go to disk, and are worked on by the lanes of this process."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from anyio import to_thread

from videogen_core import (
    Cancellation,
    ConfigurationError,
    Context,
    Found,
    GenerationFailedError,
    JobStatus,
    Output,
    ProviderError,
    ProviderJob,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)

from ..costs import charge
from ..fitting import remember_devices
from ..models import check_here, missing_packages
from ..orders import Order, order
from .lanes import lanes
from .spool import Spool, State

__all__ = ["Engine", "look_after"]

_LEAVE_SECONDS = 4.0  # within those that the core gives a session to close
_SOONEST, _USUAL, _LATEST = 0.1, 1.0, 5.0  # seconds between two polls, which read one small file
_LOOKS = 20  # at a job that takes no longer than so many times `_USUAL`
_holders = itertools.count(1)


class Engine(Session):
    """Runs models here.

    Args:
        context: From the core.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._spool = Spool(context.folder / "jobs")
        self._lanes = lanes(context.folder, context.settings)
        self._holder = next(_holders)

    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        """Refuse what this machine cannot do, before anything is written."""
        check_here(call.spec)
        wanted = order(call.spec, call.request, call.options)
        await to_thread.run_sync(self._check, wanted)
        return {}

    def _check(self, wanted: Order) -> None:
        from . import devices
        from .choosing import check_fit
        from .extras import check_switches
        from .team import check_team

        settings = self._context.settings
        check_fit(wanted, settings)
        check_switches(wanted)
        check_team(wanted, devices.chosen(settings))
        remember_devices(self._context.folder, map(devices.measure, devices.chosen(settings)))

    async def submit(self, call: SubmitCall) -> Submission:
        wanted = order(call.spec, call.request, call.options)
        inputs = {_file_of(field): await call.read(media) for field, media in call.request.media()}
        try:
            await to_thread.run_sync(self._spool.add, call.client_ref, wanted, inputs)
        except OSError as error:
            raise ConfigurationError(
                f"The job could not be put into {self._spool.folder}: {error.strerror or error}. Nothing was begun.",
                hint="Free some space there, or set VIDEOGEN_HOME to a disk that has some.",
            ) from error
        await to_thread.run_sync(self._lanes.take, self._spool, call.client_ref, self._holder)
        return self._submission(call.client_ref)

    def _submission(self, job: str) -> Submission:
        return Submission(provider_job_id=job, handle={"job": job}, poll_after=_SOONEST)

    async def poll(self, job: ProviderJob) -> Snapshot:
        return await to_thread.run_sync(self._look, job)

    def _look(self, job: ProviderJob) -> Snapshot:
        name, spool = job.provider_job_id, self._spool
        if not spool.has(name):
            raise ProviderError(
                f"This machine has no job {name} any more: its folder in {spool.folder} was removed.",
                provider="local",
                status_code=404,
                charged=False,
            )
        state = self._lanes.untold(name) or spool.state(name)
        if not state.over:
            if spool.is_cancelled(name) and self._stopped_here(name):
                return Snapshot(status=JobStatus.CANCELLED)
            # nobody works on it: whoever did has left, or its process has died
            self._lanes.take(spool, name, self._holder)
            state = spool.state(name)
        return self._snapshot(name, state)

    def _stopped_here(self, job: str) -> bool:
        """End a cancelled job that nobody works on."""
        if self._lanes.forget(job):
            return True
        owner = self._spool.own(job)
        if owner is None:
            return False
        self._spool.tell(job, State(status="cancelled"))
        owner.release()
        return True

    def _snapshot(self, job: str, state: State) -> Snapshot:
        match state.status:
            case "succeeded":
                clip = self._spool.clip(job)
                return Snapshot(
                    status=JobStatus.SUCCEEDED,
                    progress=1.0,
                    message=" ".join(state.notes),
                    cost=self._cost(state),
                    outputs=(Output(data=clip.read_bytes(), size=clip.stat().st_size),) if clip.is_file() else (),
                    expired=not clip.is_file(),
                )
            case "failed":
                failure = state.failure
                error = GenerationFailedError(
                    failure.message if failure else "It failed and left no reason.",
                    provider="local",
                    hint=failure.hint if failure else None,
                    code=failure.code if failure else None,
                    charged=False,
                )
                return Snapshot(status=JobStatus.FAILED, error=error, cost=self._cost(state))
            case "cancelled":
                return Snapshot(status=JobStatus.CANCELLED, cost=self._cost(state))
            case "queued":
                before = self._lanes.place(job)
                waits = f"{before} before it in the queue" if before else state.phase
                after = look_after(state, self._spool.quiet_for(job))
                return Snapshot(status=JobStatus.QUEUED, message=waits, poll_after=after)
            case "running":
                return self._running(state, self._spool.quiet_for(job))

    def _cost(self, state: State) -> Decimal | None:
        """Seconds of the device at the user's own rate; nothing at all for a job that never had it."""
        return charge(state.seconds, self._context.settings) if state.seconds else Decimal(0)

    def _running(self, state: State, quiet: float) -> Snapshot:
        steps = f" {state.step}/{state.steps}" if state.phase == "denoising" and state.steps else ""
        return Snapshot(
            status=JobStatus.RUNNING,
            progress=state.progress,
            message=f"{state.phase}{steps} on {state.device}",
            remaining=state.remaining,
            poll_after=look_after(state, quiet),
        )

    async def cancel(self, job: ProviderJob) -> Cancellation:
        return await to_thread.run_sync(self._cancel, job.provider_job_id)

    def _cancel(self, job: str) -> Cancellation:
        if not self._spool.has(job) or self._spool.state(job).over:
            return Cancellation(accepted=False, message="it has ended already")
        self._spool.cancel(job)
        stopped = self._stopped_here(job)
        return Cancellation(accepted=True, message="" if stopped else "it stops at its next step")

    async def find(self, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
        if not await to_thread.run_sync(self._spool.has, call.client_ref):
            return ()
        return (Found(submission=self._submission(call.client_ref), ours=True),)

    async def adopt(self, call: SubmitCall, provider_job_id: str) -> Submission:
        if not await to_thread.run_sync(self._spool.has, provider_job_id):
            raise ProviderError(f"This machine has no job {provider_job_id}.", provider="local", status_code=404)
        return self._submission(provider_job_id)

    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        if isinstance(job := leftovers.get("job"), str):
            await to_thread.run_sync(self._spool.remove, Path(job).name)

    async def ping(self) -> str:
        if missing := missing_packages():
            return f"no model runs on this machine: {', '.join(missing)} not installed"
        return await to_thread.run_sync(self._devices)

    def _devices(self) -> str:
        from . import devices

        found = [devices.measure(name) for name in devices.chosen(self._context.settings)]
        remember_devices(self._context.folder, found)
        return ", ".join(f"{d.name} with {d.free / 2**30:.1f} of {d.total / 2**30:.1f} GB free" for d in found)

    async def close(self) -> None:
        await to_thread.run_sync(self._lanes.leave, self._holder, _LEAVE_SECONDS)


def _file_of(field: str) -> str:
    """The field of an input as the name of a file, such as ``reference_images-0``."""
    return field.replace("[", "-").replace("]", "")


def look_after(state: State, quiet: float) -> float:
    """Seconds until a job is worth another look: when its next step is due, but about once a second if steps are quick.

    A job of a few seconds is looked at more often, so that its steps are seen and its end is noticed at once. Where
    nothing tells how long it takes, in the queue or while the model loads, looks become rarer as time goes by.

    Args:
        state: As it was last told.
        quiet: Seconds since then.
    """
    if state.phase != "denoising" or state.remaining is None or state.step >= state.steps:
        return min(max(quiet / 5, _SOONEST), _USUAL)
    least = min(max((state.seconds + state.remaining) / _LOOKS, _SOONEST), _USUAL)
    last = (state.steps - state.step) * state.pace - quiet
    return min(max(state.pace - quiet, least), max(last, _SOONEST), _LATEST)
