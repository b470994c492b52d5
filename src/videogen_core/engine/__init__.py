"""One job from created to done: submit, poll, fall back, download, resume.

The engine is async, written once, and drives a job only while somebody waits for it; in between, the ledger is the
job. Any process that shares the ledger can take over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import assert_never

import anyio
import msgspec
from anyio import to_thread

from .. import transitions
from ..delivery import Delivery
from ..errors import (
    BudgetExceededError,
    JobTimeoutError,
    PluginError,
    ProviderError,
    RequestError,
    ResultExpiredError,
    VideogenError,
)
from ..extensions import Extensions, Prepared, notes
from ..ledger import FlightTakenError
from ..planning import Planner
from ..provider import Provider, Session, Snapshot, Submission, SubmitCall
from ..request import VideoRequest
from ..retry import Backoff
from ..routing import Policy, Route
from ..settings import Settings
from ..spec import ModelSpec
from ..states import TERMINAL, Artifact, JobRecord, JobStatus, Result
from . import answers
from .caching import Caching, open_cache
from .cancelling import cancel
from .chain import following, lost_creates, lost_too_often
from .clock import Clock
from .drafting import draft
from .failing import failure
from .fetching import Fetcher
from .inputs import keep_inputs
from .places import check_target
from .receiving import Receiver
from .reconciling import Reconciler
from .record import LeaseLostError, Listener, Log, Recorder
from .rewording import in_other_words, reword
from .sessions import Sessions
from .slots import Slots
from .stamping import Stamping, versions_of
from .submission import Submitter, clean_up, unknown
from .units import Units
from .watching import Watcher, asks_too_much, expectation

__all__ = ["Clock", "Engine"]

_MOST_LOST = 3  # creates of one job that an offer may lose before the next one is tried
_WATCH_EVERY = 0.5  # seconds between looks at a job that another process drives

logger = logging.getLogger("videogen")


class Engine:
    """Drives jobs on one event loop.

    Args:
        settings: The configuration.
        planner: Routes and prices.
        recorder: Reads and writes the ledger.
        dice: For jitter.
    """

    def __init__(self, settings: Settings, planner: Planner, recorder: Recorder, *, dice: Random | None = None) -> None:
        self.settings = settings
        self.planner = planner
        self.recorder = recorder
        self.sessions = Sessions(settings, planner.registry)
        self._slots = Slots(settings, planner.registry, self.sessions.get)
        self._dice = dice or Random()
        self._units = Units()
        self._submitter = Submitter(settings, recorder, self._units)
        self._caching = Caching(open_cache(settings), settings, partial(versions_of, planner.registry))
        self._swept: set[Path] = set()
        self._specs: dict[str, ModelSpec] = {}

    async def close(self) -> None:
        """Finish the creates that have been sent and close the connections; jobs under way stay in the ledger."""
        self.sessions.refuse()
        await self._units.close()
        await self.sessions.close()
        await to_thread.run_sync(self.recorder.close)

    # --- before anything is spent

    async def create(self, request: VideoRequest, policy: Policy, delivery: Delivery) -> JobRecord:
        """Check everything that can be checked and put the job on record.

        Raises:
            RequestError: The request, an input or the output path is wrong.
            BudgetExceededError: No offer is within ``max_cost``.
            NoRouteError: No offer can take it.
        """
        job = await to_thread.run_sync(self._plan, request, policy, delivery)
        with _left_behind(job):  # a write that has begun is not given up with the task that waits for it
            return await self.recorder.create(job)

    def _plan(self, request: VideoRequest, policy: Policy, delivery: Delivery) -> JobRecord:
        """The blocking part: look at the inputs, route, look at the output path, keep what is only in memory."""
        if delivery.rewrites and not self._extensions.having("videogen_rewrite_prompt"):
            raise RequestError(
                "rewrites: no extension that rewrites prompts is installed.",
                hint="`videogen plugins` lists what is; leave rewrites out, or install one.",
            )
        prepared = self.planner.prepare(request)
        request = self.planner.inspect(prepared.request)
        if delivery.idempotency_key is not None:
            known = self.recorder.ledger.find(delivery.idempotency_key, request)
            if known is not None:  # before anything is asked that may have changed since, such as a free file name
                return known
        route = self.planner.route(request, msgspec.structs.replace(policy, tags=dict(delivery.tags)))
        job = self._drafted(prepared._replace(request=request), route, policy, delivery)
        return msgspec.structs.replace(job, request=keep_inputs(request, self.settings.home / "inputs"))

    def rehearse(self, request: VideoRequest, policy: Policy, delivery: Delivery) -> Decimal | None:
        """Check what `create` checks and what does not pass by itself, and put nothing on record; blocks.

        Args:
            request: Inspected already.
            policy, delivery: As for `create`.

        Returns:
            USD that it costs at most; None = not known.
        """
        prepared = self.planner.prepare(request)
        route = self.planner.route(prepared.request, policy, now=False)
        self._drafted(prepared, route, policy, delivery)
        return route.chosen.high

    def _drafted(self, prepared: Prepared, route: Route, policy: Policy, delivery: Delivery) -> JobRecord:
        """The job of a route, once its output path is known to be good."""
        job = draft(prepared, route, policy, delivery, at=self.recorder.clock.now())
        self._check_target(job)
        return job

    @property
    def _extensions(self) -> Extensions:
        return self.planner.registry.extensions

    def _check_target(self, job: JobRecord) -> None:
        for index in range(len(job.videos), job.request.count):
            check_target(job, self.settings, index)

    # --- driving

    async def drive(
        self,
        job: JobRecord,
        *,
        timeout: float | None = None,
        listener: Listener | None = None,
        until_accepted: bool = False,
    ) -> JobRecord:
        """Take a job as far as it goes, or until the provider has accepted it.

        Args:
            job: Any job of the ledger.
            timeout: Seconds to wait; the job goes on all the same.
            listener: Told of every event.
            until_accepted: Return once it is accepted.

        Raises:
            JobTimeoutError: The time is over; the job can be resumed.
            VideogenError: Why the job failed, or why it cannot be driven now.
        """
        log = Log(self.recorder, listener)
        with _left_behind(job), anyio.move_on_after(timeout) as scope:
            try:
                if job.version == 0:
                    log.note(job, "created", f"for {job.offer}")
                    for said in notes(job.changes):
                        log.note(job, "prepared", said)
                    await log.tell()
                job = await self._drive(job, log, until_accepted=until_accepted)
            except VideogenError as error:
                error.job_id = error.job_id or job.id
                raise
            finally:
                await log.release(job)
        if scope.cancelled_caught and not _arrived(job := await self.recorder.get(job.id), until_accepted):
            raise JobTimeoutError(
                f"Job {job.id} is not done after {timeout:g} seconds; what the provider has accepted goes on there.",
                hint=f"`videogen resume {job.id}` or videogen.job({job.id!r}).wait() picks it up.",
                job_id=job.id,
            )
        return job

    async def _drive(self, job: JobRecord, log: Log, *, until_accepted: bool) -> JobRecord:
        while True:
            job = await self._take(job, log, until_accepted=until_accepted)
            try:
                while not _arrived(job, until_accepted):
                    job = await self._step(job, log, until_accepted=until_accepted)
            except LeaseLostError:
                continue
            await log.tell()
            return job

    async def _step(self, job: JobRecord, log: Log, *, until_accepted: bool) -> JobRecord:
        match job.status:
            case JobStatus.CREATED | JobStatus.QUEUED | JobStatus.RUNNING:
                async with self._slots.take(await self.known_spec(job.offer)):
                    return await self._one_offer(job, log, until_accepted=until_accepted)
            case JobStatus.SUBMITTING:
                return await self._orphaned(job, log)
            case JobStatus.UNKNOWN:
                return await self._reconciled(job, log)
            case JobStatus.SUCCEEDED:
                return await self._fetch(job, None, await self._watcher(job, log), log)
            case JobStatus.FAILED | JobStatus.CANCELLED:
                return job
            case never:
                assert_never(never)

    async def _take(self, job: JobRecord, log: Log, *, until_accepted: bool) -> JobRecord:
        """Get the lease, following along while another process drives the job."""
        told = False
        while (taken := await log.claim(job.id)) is None:
            if not told:
                log.note(job, "resumed", "another process is working on it; following along")
                await log.tell()
                told = True
            await self.recorder.clock.sleep(_WATCH_EVERY)
            job = await self.recorder.get(job.id)
            if _arrived(job, until_accepted):
                return job
        return taken

    def _spec(self, offer: str) -> ModelSpec:
        catalog = self.planner.catalog((offer,), latest=False)
        found = catalog.find(offer)
        if not found:
            plugin = offer.partition("/")[0]
            self.planner.registry.plugins.provider(plugin)  # says so when the plugin is missing or broken
            raise PluginError(f"The plugin {plugin!r} no longer offers {offer}.")
        return catalog.offers[found[0]]

    async def known_spec(self, offer: str) -> ModelSpec:
        """The same, in a thread the first time: it may load a plugin."""
        if offer not in self._specs:
            self._specs[offer] = await to_thread.run_sync(self._spec, offer)
        return self._specs[offer]

    def _session(self, spec: ModelSpec) -> Session:
        return self.sessions.get(spec.provider)

    async def _watcher(self, job: JobRecord, log: Log) -> Watcher:
        spec = await self.known_spec(job.offer)
        seen = self.planner.recent()
        if seen is None:
            seen = await to_thread.run_sync(self.planner.observations)
        session, expected = self._session(spec), expectation(spec, seen)
        least = answers.pause(self._provider(spec).poll_every) or 1.0
        at_most, closed = self.settings.poll_interval, self.sessions.closed
        reworded = partial(reword, self._extensions)
        return Watcher(session, spec, log, expected, least, self._dice, at_most, closed, reworded)

    async def _one_offer(self, job: JobRecord, log: Log, *, until_accepted: bool) -> JobRecord:
        """Take a job through one offer: ask if need be, poll, download."""
        first = None
        if job.status is JobStatus.CREATED:
            job, first = await self._submit(job, log)
            await log.tell()
            if until_accepted or job.status is not JobStatus.QUEUED:
                return job
        watcher, leftovers = await self._watcher(job, log), job.attempt.handle
        job, snapshot = await watcher.until_done(job, first=first)
        if job.status is JobStatus.SUCCEEDED and job.artifact is Artifact.PARTIAL:
            return await self._fetch(job, snapshot, watcher, log)
        await clean_up(watcher.session, leftovers)
        return job

    async def _fetch(self, job: JobRecord, snapshot: Snapshot | None, watcher: Watcher, log: Log) -> JobRecord:
        """Store the clips. What is left at the provider may be wanted until that is done, or cannot be any more."""
        try:
            stamping = Stamping(watcher.spec, self._caching.versions)
            fetcher = Fetcher(self.settings, log, watcher, self._swept, self._caching, stamping)
            job = await fetcher.fetch(job, snapshot)
        except ResultExpiredError:
            await clean_up(watcher.session, job.attempt.handle)
            raise
        await clean_up(watcher.session, job.attempt.handle)
        return job

    async def _submit(self, job: JobRecord, log: Log) -> tuple[JobRecord, float | None]:
        """Ask an offer, waiting out what passes, until it accepts, the next one is due, or all is lost."""
        waited, delays = 0.0, Backoff().delays(self._dice)
        spec = await self.known_spec(job.offer)
        session = self._session(spec)
        advised = False
        if lost_creates(job) >= _MOST_LOST:
            error = lost_too_often(job)
            return await self._next_or_give_up(job, error, log), None
        while True:
            try:
                plan = self._submitter.plan(job, spec, self._provider(spec))
                key = self._caching.key(job, spec, plan.call.request, plan.account)
                if key is not None:
                    served = await self._caching.serve(job, spec, key, log)
                    if served is not None:
                        return served, None
                    plan = replace(plan, flight=key)
                if not advised:
                    advised = True
                    await self._advise(job, plan.call, log)
                answer = await self._submitter.attempt(job, session, plan, log)
            except FlightTakenError:  # the same clip is being made: it will be in the cache
                await self.recorder.clock.sleep(_WATCH_EVERY)
                continue
            except (RequestError, BudgetExceededError) as error:
                return await self._give_up(job, error, log), None
            job, refusal = answer.job, answer.error
            if refusal is None:
                return job, answer.poll_after
            if job.status is JobStatus.UNKNOWN:
                await log.tell()
                return await self._reconciler(job, spec, log).resolve(job), None
            pause = _pause(refusal, next(delays, None))
            if pause is None or waited + pause > self.settings.patience:
                return await self._next_or_give_up(job, refusal, log), None
            log.note(job, "retrying", f"{refusal.message} Asking again in {pause:.0f} s.")
            await log.tell()
            await self.recorder.clock.sleep(pause)
            waited += pause

    async def _advise(self, job: JobRecord, call: SubmitCall, log: Log) -> None:
        """Tell what is unwise about a request, before it is sent."""
        for text in answers.advice(self._provider(call.spec), call):
            log.note(job, "warning", text)
        await log.tell()

    async def _next_or_give_up(self, job: JobRecord, error: VideogenError, log: Log) -> JobRecord:
        other = await reword(self._extensions, job, error)
        if other is not None:
            said = in_other_words(job, error, other.by, Decimal(0))
            change = partial(transitions.reword, prompt=other.prompt, error=error)
            return await log.write(job, change, "rewritten", said, by=other.by, error=error.to_dict())
        offer = following(job, error)
        if offer is None:
            return await self._give_up(job, error, log)
        said = f"{error.message} Trying {offer} instead."
        return await log.write(job, transitions.fall_back, "fallback", said)

    async def _give_up(self, job: JobRecord, error: VideogenError, log: Log) -> JobRecord:
        error.job_id = job.id
        change = partial(transitions.fail, error=error)
        return await log.write(job, change, "failed", error.message, error=error.to_dict())

    # --- what a dead process left behind

    async def _orphaned(self, job: JobRecord, log: Log) -> JobRecord:
        """A process died while it was asking: whether it was heard is not known, unless it was this one."""
        answer = self._submitter.unsaved.get(job.id)
        if answer is not None:
            job = await self._submitter.attach(job, answer, log)
            del self._submitter.unsaved[job.id]
            return job
        error = unknown(job, self._spec(job.offer), None)
        return await log.write(job, lambda j, now: transitions.lose(j, now, error), "unknown", error.message)

    def _reconciler(self, job: JobRecord, spec: ModelSpec, log: Log) -> Reconciler:
        return Reconciler(self._submitter, self._provider(spec), self._session(spec), spec, log)

    def _provider(self, spec: ModelSpec) -> Provider:
        return self.planner.registry.plugins.provider(spec.provider)

    async def looked_up(self, job: JobRecord, spec: ModelSpec, provider_job_id: str) -> Submission:
        """A vendor's job that nobody vouches for, once the vendor knows it and no other job of ours has it.

        Raises:
            ProviderError: The vendor does not know it, or cannot be asked.
            RequestError: Another job of ours has it.
        """
        return await self._reconciler(job, spec, Log(self.recorder)).looked_up(job, provider_job_id)

    async def _reconciled(self, job: JobRecord, log: Log) -> JobRecord:
        spec = await self.known_spec(job.offer)
        try:
            return await self._reconciler(job, spec, log).resolve(job)
        finally:
            await log.tell()

    # --- one step

    async def redirect(self, job: JobRecord, output: str | None, overwrite: bool | None) -> JobRecord:
        """Send clips that are not stored yet to another place.

        Raises:
            RequestError: The place cannot be written to.
        """
        changes = {} if output is None else {"output": output}
        changed = msgspec.structs.replace(job, **changes, overwrite=job.overwrite if overwrite is None else overwrite)
        await to_thread.run_sync(self._check_target, changed)
        return await Log(self.recorder).write(
            job,
            lambda j, now: msgspec.structs.replace(
                j, output=changed.output, overwrite=changed.overwrite, updated_at=now
            ),
            "redirected",
            f"to {output}",
            late=True,
        )

    async def refresh(self, job: JobRecord) -> JobRecord:
        """Ask the provider once and record the answer; downloads nothing.

        A job that the provider had called failed is asked for, too: it may have taken its word back.
        """
        log = Log(self.recorder)
        if job.status is JobStatus.FAILED:
            return await self._revived(job, log)
        taken = await log.claim(job.id) if job.status in (JobStatus.QUEUED, JobStatus.RUNNING) else None
        if taken is None:
            return await self.recorder.get(job.id)
        try:
            watcher = await self._watcher(taken, log)
            job = await watcher.record(taken, await watcher.ask(taken))
        except LeaseLostError:
            return await self.recorder.get(job.id)
        finally:
            await log.release(taken)
        if job.status not in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED):
            await clean_up(watcher.session, taken.attempt.handle)
        return job

    async def _revived(self, job: JobRecord, log: Log) -> JobRecord:
        if job.revived or not job.attempts or job.attempt.accepted_at is None:
            return job
        watcher = await self._watcher(job, log)
        snapshot = await watcher.ask(job)
        if snapshot.status is not JobStatus.SUCCEEDED or not snapshot.outputs:
            return job
        return await watcher.revive(job, snapshot)

    async def cancel(self, job: JobRecord) -> JobRecord:
        """Ask for a job to be stopped.

        Raises:
            RequestError: It is over already, or its provider cannot cancel.
            SubmissionUnknownError: Nobody knows whether the provider has it.
        """
        while True:
            try:
                return await self._cancel(job)
            except (LeaseLostError, transitions.IllegalTransition):  # it has gone on meanwhile
                job = await self.recorder.get(job.id)

    async def _cancel(self, job: JobRecord) -> JobRecord:
        log = Log(self.recorder)
        if job.status in TERMINAL:
            raise RequestError(f"Job {job.id} has ended already ({job.status}).", job_id=job.id)
        if job.status in (JobStatus.UNKNOWN, JobStatus.SUBMITTING):
            raise unknown(job, await self.known_spec(job.offer), None)
        if job.status is JobStatus.CREATED:
            never_sent = partial(transitions.cancel, cost=Decimal(0), origin="computed")
            return await log.write(job, never_sent, "cancelled", "never sent")
        watcher = await self._watcher(job, log)
        stopped, gone = await cancel(job, watcher, log)
        if not gone:
            return await self.refresh(stopped)
        await clean_up(watcher.session, stopped.attempt.handle)
        return stopped

    # --- from outside

    async def settle(
        self,
        job: JobRecord,
        *,
        attach: str | None = None,
        abandon: bool = False,
        resubmit: bool = False,
        cost: Decimal | None = None,
        attempt: int | None = None,
    ) -> JobRecord:
        """Do what a person decides about a create without an answer, or about a cost that nobody has confirmed.

        Raises:
            RequestError: There is nothing to decide, or more than one thing was said.
        """
        if sum((attach is not None, abandon, resubmit)) > 1:
            raise RequestError("settle: attach, abandon and resubmit exclude each other.", job_id=job.id)
        if attach is None and not abandon and not resubmit:
            return await self._correct(job, cost, attempt)
        log = Log(self.recorder)
        taken = await log.claim(job.id)
        if taken is None:
            raise RequestError(f"Another process works on job {job.id} at the moment.", job_id=job.id)
        try:
            if taken.status is not JobStatus.UNKNOWN:
                raise RequestError(f"Job {job.id} is {taken.status}, so there is nothing to decide.", job_id=job.id)
            reconciler = self._reconciler(taken, await self.known_spec(taken.offer), log)
            if attach is not None:
                return await reconciler.attach(taken, attach)
            return await (reconciler.resubmit(taken) if resubmit else reconciler.abandon(taken, cost or Decimal(0)))
        finally:
            await log.release(taken)

    async def _correct(self, job: JobRecord, cost: Decimal | None, attempt: int | None) -> JobRecord:
        if cost is None:
            raise RequestError(
                "settle: say what is to be settled.", hint="attach, abandon or resubmit; or a cost.", job_id=job.id
            )
        number = attempt or len(job.attempts)
        change = partial(transitions.correct, number=number, cost=cost)
        said = f"attempt {number} cost ${cost:f}, as a person says"
        try:
            return await Log(self.recorder).write(job, change, "corrected", said, late=True, cost=str(cost))
        except transitions.IllegalTransition as error:
            raise RequestError(error.message, job_id=job.id) from error

    async def deliver(self, provider: str, headers: Mapping[str, str], body: bytes, reference: str | None) -> JobRecord:
        """Take in a webhook delivery: verify it, find its job, and ask the provider how that is.

        Raises:
            WebhookError: It is not genuine, was seen before, or is about no job of ours.
        """
        return await Receiver(self, self._submitter).receive(provider, headers, body, reference)

    def result(self, job: JobRecord) -> Result:
        """What a finished job gave.

        Raises:
            VideogenError: It failed, was cancelled or is not known; the error says why and what it cost.
        """
        if job.status is JobStatus.SUCCEEDED:
            last = job.attempts[-1] if job.attempts and not job.cached else None
            return Result(
                job_id=job.id,
                model=job.cached if last is None else last.model,
                provider=job.provider,
                videos=job.videos,
                cost=job.cost,
                attempts=job.attempts,
                changes=job.changes,
                placeholder=job.placeholder if last is None else last.placeholder,
                cached=last is None,
            )
        raise failure(job)


@contextmanager
def _left_behind(job: JobRecord) -> Iterator[None]:
    """Say how to go on with a job that its driver leaves, for Ctrl-C, a cancellation or an error of the user's code."""
    try:
        yield
    except VideogenError:
        raise
    except BaseException:
        logger.warning("Job %s is not finished; `videogen resume %s` picks it up.", job.id, job.id)
        raise


def _arrived(job: JobRecord, until_accepted: bool) -> bool:
    """Whether a driver is done with a job."""
    accepted = job.status in (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED)
    return job.done or (until_accepted and accepted)


def _pause(error: VideogenError, backoff: float | None) -> float | None:
    """Seconds to wait before the same offer is asked again; None when that is no use."""
    if not isinstance(error, ProviderError) or not error.retryable or backoff is None:
        return None
    if asks_too_much(error):
        return None
    asked = answers.pause(error.retry_after)
    return backoff if asked is None else max(asked, 0.05)
