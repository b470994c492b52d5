"""Plugins with one mistake each, in suites that find it: which test fails, and what its message says.

Not collected by itself; ``test_conformance`` runs it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

import msgspec
import pytest

from acme.plugin import AcmeProvider, AcmeSession
from videogen_core import (
    Cancellation,
    Context,
    GenerationFailedError,
    JobStatus,
    ModelSpec,
    Notice,
    Outline,
    ProviderError,
    ProviderJob,
    ProviderUnavailableError,
    RejectedRequestError,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
)
from videogen_core.testing import VendorJob
from videogen_core.testing.conformance import ProviderSuite, Quoted, Workshop
from videogen_core.testing.conformance.catalogue import Catalogue
from videogen_core.testing.conformance.clips import Clips
from videogen_core.testing.conformance.credentials import Credentials
from videogen_core.testing.conformance.deliveries import Deliveries
from videogen_core.testing.conformance.endings import Endings
from videogen_core.testing.conformance.leftovers import Leftovers
from videogen_core.testing.conformance.light import Light
from videogen_core.testing.conformance.lost import Lost
from videogen_core.testing.conformance.notices import Notices
from videogen_core.testing.conformance.polls import Polls
from videogen_core.testing.conformance.refusals import Refusals
from videogen_core.testing.conformance.requests import Requests
from videogen_core.testing.conformance.suite import Suite
from videogen_core.testing.journal import Entry
from wrong_heavy import HeavyAcme

logger = logging.getLogger(__name__)


class Wrong(AcmeProvider):
    """Acme with another session, or with other rows."""

    __module__ = AcmeProvider.__module__  # its catalogue lies there
    session: ClassVar[type[AcmeSession]] = AcmeSession
    change: ClassVar[Callable[[ModelSpec], ModelSpec]] = staticmethod(lambda spec: spec)

    def models(self) -> tuple[ModelSpec, ...]:
        return tuple(type(self).change(spec) for spec in super().models())

    def connect(self, context: Context) -> Session:
        made = super().connect(context)
        made.__class__ = self.session
        return made


def with_session(session: type[AcmeSession]) -> type[Wrong]:
    return type("Wrong", (Wrong,), {"session": session, "__module__": AcmeProvider.__module__})


def with_rows(change: Callable[[ModelSpec], ModelSpec]) -> type[Wrong]:
    return type("Wrong", (Wrong,), {"change": staticmethod(change), "__module__": AcmeProvider.__module__})


class WrongBase(Suite):
    """``fails`` is the test that finds the mistake, ``says`` a part of its message."""

    __test__ = False
    fails: ClassVar[str]
    says: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__test__ = True


# --- sessions


class RepeatsCreates(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except ProviderUnavailableError:
            return await super().submit(call)


class WrongRetry(WrongBase, Lost):
    provider = with_session(RepeatsCreates)
    fails = "test_a_lost_answer_makes_no_second_job[reset]"
    says = "Was the create repeated"


class Called500Refused(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except ProviderError as error:
            error.accepted = False
            raise


class WrongAcceptance(WrongBase, Lost):
    provider = with_session(Called500Refused)
    fails = "test_a_lost_answer_makes_no_second_job[500]"
    says = "accepted=False"


class DropsSeeds(AcmeSession):
    def _body(self, call: SubmitCall) -> dict[str, Any]:
        return {name: value for name, value in super()._body(call).items() if name != "seed"}


class WrongBody(WrongBase, Requests):
    provider = with_session(DropsSeeds)
    fails = "test_every_value_reaches_the_vendor[paper-text_to_video]"
    says = "submit() drops seed"


class AlwaysLandscape(AcmeSession):
    def _body(self, call: SubmitCall) -> dict[str, Any]:
        body = super()._body(call)
        width, height = sorted(map(int, body["size"].split("x")), reverse=True)
        return {**body, "size": f"{width}x{height}"}


class WrongShape(WrongBase, Requests):
    provider = with_session(AlwaysLandscape)
    fails = "test_every_value_reaches_the_vendor[stone-image_to_video]"
    says = "240x426 was asked for and the vendor makes 426x240"


class LogsItsKey(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        logger.debug("sending with %s", self._http.headers["authorization"])
        return await super().submit(call)


class WrongLog(WrongBase, Credentials):
    provider = with_session(LogsItsKey)
    fails = "test_the_key_shows_nowhere"
    says = "the log"


class KeepsItsKey(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        done = await super().submit(call)
        return replace(done, handle={**done.handle, "auth": self._http.headers["authorization"]})


class WrongHandle(WrongBase, Credentials):
    provider = with_session(KeepsItsKey)
    fails = "test_the_key_shows_nowhere"
    says = "the file ledger.db"


class FailsOnNewWords(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        found = await super().poll(job)
        if not found.message:
            return found
        return Snapshot(status=JobStatus.FAILED, error=GenerationFailedError(found.message))


class WrongWord(WrongBase, Polls):
    provider = with_session(FailsOnNewWords)
    fails = "test_an_unknown_status_is_waited_out"
    says = "An unknown status ended the job"


class GivesUpPolls(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        try:
            return await super().poll(job)
        except ProviderError as error:
            error.retryable = False
            raise


class WrongPoll(WrongBase, Polls):
    provider = with_session(GivesUpPolls)
    fails = "test_a_poll_that_fails_loses_nothing[503]"
    says = "retryable is true"


class ForgetsCharges(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        found = await super().poll(job)
        if found.error is not None:
            found.error.charged = False
        return replace(found, cost=None)


class WrongCharge(WrongBase, Endings):
    provider = with_session(ForgetsCharges)
    fails = "test_a_bad_end_says_so_and_what_it_cost[failed_and_charged]"
    says = "the vendor took $0.10"


class RemembersJobs(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        done = await super().submit(call)
        vars(self).setdefault("mine", set()).add(done.provider_job_id)
        return done

    async def poll(self, job: ProviderJob) -> Snapshot:
        if job.provider_job_id not in vars(self).get("mine", ()):
            raise RejectedRequestError("There is no such job in this session.")
        return await super().poll(job)


class WrongMemory(WrongBase, Endings):
    provider = with_session(RemembersJobs)
    fails = "test_a_wait_that_is_over_leaves_the_job_to_be_resumed"
    says = "cannot be resumed"


class SharesState(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        done = await super().submit(call)
        vars(self).setdefault("first", done)
        return replace(vars(self)["first"], request_id=done.request_id)


class WrongJob(WrongBase, Clips):
    provider = with_session(SharesState)
    fails = "test_many_at_once"
    says = "of 20 at once failed"


class TakesItsKeyAlong(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        found = await super().poll(job)
        key = {"Authorization": self._http.headers["authorization"]}
        return replace(found, outputs=tuple(replace(output, headers=key) for output in found.outputs))


class WrongDelivery(WrongBase, Deliveries):
    provider = with_session(TakesItsKeyAlong)
    fails = "test_no_key_goes_to_the_file_server"
    says = "A key went to the file server"


class LeavesUploads(AcmeSession):
    async def clean_up(self, leftovers: Mapping[str, Any]) -> None:
        return


class WrongCleaning(WrongBase, Leftovers):
    provider = with_session(LeavesUploads)
    fails = "test_a_job_leaves_nothing_behind[stone-image_to_video]"
    says = "Session.clean_up removes"


class PretendsToCancel(AcmeSession):
    async def cancel(self, job: ProviderJob) -> Cancellation:
        return Cancellation(accepted=True, gone=True, cost=Decimal(0))


class WrongCancel(WrongBase, Endings):
    provider = with_session(PretendsToCancel)
    fails = "test_a_job_is_cancelled_or_says_that_it_cannot_be"
    says = "was it told to stop?"


class Calls401Rejected(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except ProviderError as error:
            raise RejectedRequestError(error.message, status_code=error.status_code, accepted=False) from None


class WrongClass(WrongBase, Refusals):
    provider = with_session(Calls401Rejected)
    fails = "test_a_refused_create_costs_nothing[401]"
    says = "Expected AuthenticationError"


class NeedsItsHandle(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        done = await super().submit(call)
        return replace(done, handle={**done.handle, "path": f"/v1/videos/{done.provider_job_id}"})

    async def poll(self, job: ProviderJob) -> Snapshot:
        return await super().poll(replace(job, provider_job_id=job.handle["path"].rpartition("/")[2]))


class WrongAdoption(WrongBase, Lost):
    provider = with_session(NeedsItsHandle)
    fails = "test_a_person_can_attach_what_was_lost"
    says = "Session.adopt gives the handle"


# --- rows and the provider itself


def cheaper(spec: ModelSpec) -> ModelSpec:
    if spec.id != "acme/paper":
        return spec
    first, *others = spec.prices
    return msgspec.structs.replace(spec, prices=(msgspec.structs.replace(first, amount=Decimal("0.04")), *others))


class WrongPrice(WrongBase, Requests):
    provider = with_rows(cheaper)
    fails = "test_every_value_reaches_the_vendor[paper-text_to_video]"
    says = "the vendor charges $0.40"


class WrongQuote(WrongBase, Clips):
    provider = with_rows(cheaper)
    quotes = (Quoted("paper", {"duration": 1, "resolution": "720p"}, "0.40"),)
    fails = "test_a_quote_is_as_worked_out[paper-1-720p]"
    says = "worked out by hand was 0.40"


def longer(spec: ModelSpec) -> ModelSpec:
    longer = tuple(msgspec.structs.replace(mode, durations=(*mode.durations, 8.0)) for mode in spec.modes)
    return msgspec.structs.replace(spec, modes=longer)


class WrongDuration(WrongBase, Requests):
    provider = with_rows(longer)
    fails = "test_every_value_reaches_the_vendor[paper-text_to_video]"
    says = "duration='8.0'"


class WrongGift(WrongBase, Catalogue):
    provider = with_rows(
        lambda spec: msgspec.structs.replace(
            spec, prices=tuple(msgspec.structs.replace(price, amount=Decimal(0)) for price in spec.prices)
        )
    )
    fails = "test_a_price_is_real_or_unknown[paper]"
    says = "a base price of zero"


class WrongOutline(WrongBase, Catalogue):
    """Rows that nobody could ever complete."""

    provider = with_rows(
        lambda spec: ModelSpec(
            id=spec.id, title=spec.title, maker=spec.maker, outline=Outline(), source=spec.source, as_of=spec.as_of
        )
    )
    fails = "test_an_outline_can_be_completed[paper]"
    says = "completes nothing"


class WrongWeight(WrongBase, Light):
    provider = HeavyAcme
    fails = "test_importing_and_asking_load_nothing_heavy"
    says = "loaded httpx"


class AlwaysReady(Wrong):
    __module__ = AcmeProvider.__module__

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        return


class WrongReadiness(WrongBase, Credentials):
    provider = AlwaysReady
    fails = "test_a_missing_key_is_named"
    says = "DID NOT RAISE"


class BelievesAnybody(Wrong):
    __module__ = AcmeProvider.__module__

    def notice(
        self, headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Notice:
        return Notice(provider_job_id=None)


class WrongNotice(WrongBase, Notices):
    provider = BelievesAnybody
    fails = "test_any_other_delivery_is_refused"
    says = "is taken for genuine"


class SaysThatNobodySigns(BelievesAnybody):
    __module__ = AcmeProvider.__module__
    signed_webhooks: ClassVar[bool] = False


class WrongSigning(WrongBase, Notices):
    provider = SaysThatNobodySigns
    fails = "test_any_other_delivery_is_refused"
    says = "The emulator signs deliveries"


class Findless(Wrong):
    __module__ = AcmeProvider.__module__

    def __init__(self) -> None:
        super().__init__(kind="C")
        self.reconcile = "by_ref"  # type: ignore[misc]


class WrongKind(WrongBase, Lost):
    provider = Findless
    fails = "test_what_it_says_of_lost_creates_fits_together"
    says = "the emulator is a vendor of kind C"


class WrongOverride(WrongBase, ProviderSuite):
    provider = AcmeProvider
    fails = "test_no_standard_test_is_missing"
    says = "overrides test_many_at_once"

    async def test_many_at_once(self, rig: Any) -> None:
        return


class WrongRemoval(WrongBase, ProviderSuite):
    provider = AcmeProvider
    fails = "test_no_standard_test_is_missing"
    says = "overrides test_a_clip"
    test_a_clip = None  # type: ignore[assignment]


class WrongExcuse(WrongBase, ProviderSuite):
    provider = AcmeProvider
    excused: ClassVar[Any] = {"test_a_limit_is_waited_out": "it never says so"}
    fails = "test_no_standard_test_is_missing"
    says = "is for providers without a wire"


class Idle(Workshop):
    """One where nothing is ever made."""

    def creates(self) -> list[Entry]:
        return []

    def made(self, entry: Entry) -> VendorJob:
        raise NotImplementedError

    def owner(self, clip: bytes) -> str:
        raise NotImplementedError

    def ended(self, job: str) -> bool:
        return True

    def hold(self) -> None:
        return

    def let_go(self) -> None:
        return

    def spoil(self) -> None:
        return

    def leftovers(self) -> list[str]:
        return []


class WrongSilence(WrongBase, Refusals):
    provider = AcmeProvider
    workshop = Idle
    fails = "test_a_limit_is_waited_out"
    says = "needs a vendor's emulator"


class RightOverride(ProviderSuite):
    """Not wrong at all: what does not hold is marked."""

    provider = AcmeProvider

    @pytest.mark.xfail(reason="as an example")
    async def test_many_at_once(self, rig: Any) -> None:
        raise AssertionError
