"""Webhooks: a delivery is a hint. Who sent it is verified, and then the provider is asked with our own key."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import ProviderError, RequestError, VideogenError, WebhookError
from ..provider import Notice, Provider, Submission
from ..redaction import cause_of
from ..spec import ModelSpec
from ..states import JobRecord, JobStatus
from . import answers
from .record import LeaseLostError, Log
from .submission import Submitter
from .watching import forgotten

if TYPE_CHECKING:
    from . import Engine

__all__ = ["Receiver"]

_MAX_BODY = 1024**2


class Receiver:
    """Takes webhook deliveries in.

    Args:
        engine: Asks providers.
        submitter: Records acceptances.
    """

    def __init__(self, engine: Engine, submitter: Submitter) -> None:
        self._engine = engine
        self._submitter = submitter
        self._recorder = engine.recorder

    async def receive(self, provider: str, headers: Mapping[str, str], body: bytes, reference: str | None) -> JobRecord:
        """Verify a delivery, and bring its job up to date.

        Raises:
            WebhookError: It is not genuine, was seen before, or is about no job of ours.
            ProviderError: The provider cannot be asked.
        """
        if len(body) > _MAX_BODY:
            raise WebhookError(f"A webhook delivery has more than {_MAX_BODY:,} bytes.", status_code=413)
        plugin = self._engine.planner.registry.plugins.provider(provider)
        if reference is None and not plugin.signed_webhooks:
            raise WebhookError(f"{plugin.name} signs no deliveries, so one counts only with our reference.")
        notice = self._verified(plugin, headers, body)
        job = await self._job(plugin, notice, reference)
        if notice.delivery_id is None:
            return await self._news(plugin, job, notice, reference)
        delivery = f"{provider}:{notice.delivery_id}"
        if await self._recorder.run(self._recorder.ledger.seen, delivery):
            raise WebhookError(f"The delivery {notice.delivery_id} was taken in before.", status_code=409)
        try:
            return await self._news(plugin, job, notice, reference)
        except BaseException:  # it has to come again
            with suppress(VideogenError):
                await self._recorder.run(self._recorder.ledger.unsee, delivery)
            raise

    def _verified(self, plugin: Provider, headers: Mapping[str, str], body: bytes) -> Notice:
        """What a genuine delivery says; whatever goes wrong in reading it, it is refused without details."""
        settings = self._engine.settings
        try:
            lower = {str(name).lower(): str(value) for name, value in headers.items()}
            notice = plugin.notice(lower, bytes(body), settings.environment, settings.provider(plugin.name))
            if not isinstance(notice, Notice):
                raise TypeError("notice returned no Notice")
        except WebhookError:
            raise
        except Exception as error:
            raise WebhookError(f"A webhook delivery for {plugin.name} cannot be read.") from cause_of(error)
        return notice

    async def _job(self, plugin: Provider, notice: Notice, reference: str | None) -> JobRecord:
        ledger, job = self._recorder.ledger, None
        if reference is not None:
            job = await self._recorder.run(ledger.by_ref, reference)
        elif notice.provider_job_id is not None:
            account = self._submitter.account(plugin)
            job = await self._recorder.run(ledger.by_provider_job, plugin.name, account, notice.provider_job_id)
        if job is None or not any(attempt.provider == plugin.name for attempt in job.attempts):
            raise WebhookError("A webhook delivery is about no job of ours.", status_code=404)
        return job

    async def _news(self, plugin: Provider, job: JobRecord, notice: Notice, reference: str | None) -> JobRecord:
        """Attach a job whose create got no answer, then ask the provider."""
        lost = job.status in (JobStatus.SUBMITTING, JobStatus.UNKNOWN) and job.attempt.client_ref == reference
        if lost and notice.provider_job_id is not None:
            spec = await self._engine.known_spec(job.offer)
            answer = answers.submission(Submission(provider_job_id=notice.provider_job_id, handle=notice.handle))
            if not plugin.signed_webhooks:
                answer = await self._looked_up(job, spec, answer.provider_job_id)
            log = Log(self._recorder)
            with suppress(LeaseLostError):  # its own driver was quicker
                await self._submitter.record(job, spec, answer, log)
            job = await self._recorder.get(job.id)
        return await self._engine.refresh(job)

    async def _looked_up(self, job: JobRecord, spec: ModelSpec, provider_job_id: str) -> Submission:
        """The vendor's job that an unsigned delivery names, as the vendor itself knows it."""
        try:
            return await self._engine.looked_up(job, spec, provider_job_id)
        except (ProviderError, RequestError) as error:
            if isinstance(error, ProviderError) and not forgotten(error):
                raise  # the delivery has to come again
            raise WebhookError("A webhook delivery is about no job of ours.", status_code=404) from cause_of(error)
