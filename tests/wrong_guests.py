"""More plugins with one mistake each: in what they say of themselves, in their manners, and in how jobs go and end.

Not collected by itself; ``test_conformance`` runs it, as it does ``wrong_plugins``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, ClassVar

import msgspec

from acme.plugin import AcmeProvider, AcmeSession
from videogen_core import (
    Cancellation,
    GenerationFailedError,
    JobStatus,
    Lifecycle,
    ModelSpec,
    Output,
    Provider,
    ProviderError,
    ProviderJob,
    ProviderProtocolError,
    ProviderUnavailableError,
    RateLimitError,
    Snapshot,
    Stage,
    Submission,
    SubmitCall,
)
from videogen_core.testing.conformance import Quoted
from videogen_core.testing.conformance.catalogue import Catalogue
from videogen_core.testing.conformance.clips import Clips
from videogen_core.testing.conformance.credentials import Credentials
from videogen_core.testing.conformance.deliveries import Deliveries
from videogen_core.testing.conformance.endings import Endings
from videogen_core.testing.conformance.killed import Killed
from videogen_core.testing.conformance.leftovers import Leftovers
from videogen_core.testing.conformance.light import Light
from videogen_core.testing.conformance.lost import Lost
from videogen_core.testing.conformance.manners import Manners
from videogen_core.testing.conformance.modes import Modes
from videogen_core.testing.conformance.notices import Notices
from videogen_core.testing.conformance.parsing import Parsing
from videogen_core.testing.conformance.polls import Polls
from videogen_core.testing.conformance.refusals import Refusals
from videogen_core.testing.conformance.requests import Requests
from wrong_keyed import KeyedAcme
from wrong_manners import RudeAcme
from wrong_plugins import RemembersJobs, Wrong, WrongBase, with_rows, with_session

# --- manners


class WrongGuest(WrongBase, Manners):
    provider = RudeAcme
    fails = "test_it_leaves_the_process_as_it_is"
    says = "Being imported, the plugin changes os.environ, the root logger."


class OfNoVersion(Wrong):
    __module__ = AcmeProvider.__module__
    plugin_api: ClassVar[int] = 1


class WrongVersion(WrongBase, Manners):
    provider = OfNoVersion
    fails = "test_it_says_which_interface_it_was_written_for"
    says = "plugin_api is 1"


class ChangesRequests(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        call.request.options.setdefault("acme", {})["style"] = "ink"
        return await super().submit(call)


class WrongHands(WrongBase, Manners):
    provider = with_session(ChangesRequests)
    fails = "test_it_changes_nothing_that_it_is_given"
    says = "submit() changes SubmitCall.request"


class KeepsNotes(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        job.handle["polls"] = job.handle.get("polls", 0) + 1
        return await super().poll(job)


class WrongNotes(WrongBase, Manners):
    provider = with_session(KeepsNotes)
    fails = "test_it_changes_nothing_that_it_is_given"
    says = "poll() changes ProviderJob.handle"


# --- answers


class ReadsByHand(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        answer = await self._http.get(f"/v1/videos/{job.provider_job_id}")
        told = json.loads(answer.content)
        if told["status"] == "stopped":
            return Snapshot(status=JobStatus.CANCELLED)
        return await super().poll(job)


class WrongReader(WrongBase, Parsing):
    provider = with_session(ReadsByHand)
    fails = "test_a_broken_answer_to_a_poll_is_an_error_of_ours"
    says = "to a poll raised"


class TakesGarbageForNo(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except ProviderError as error:
            error.accepted = False if isinstance(error, ProviderProtocolError) else error.accepted
            raise


class WrongGarbage(WrongBase, Parsing):
    provider = with_session(TakesGarbageForNo)
    fails = "test_a_broken_answer_to_a_create_is_never_a_refusal"
    says = "is called a refusal"


class FollowsRedirects(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except ProviderError as error:
            if error.status_code is None or not 300 <= error.status_code < 400:
                raise
        return await super().submit(call)


class WrongRedirect(WrongBase, Lost):
    provider = with_session(FollowsRedirects)
    fails = "test_a_lost_answer_makes_no_second_job[redirect]"
    says = "Was the create repeated"


class RepeatsConflicts(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except ProviderError as error:
            if error.status_code != 409:
                raise
        return await super().submit(call)


class WrongConflict(WrongBase, Lost):
    provider = with_session(RepeatsConflicts)
    fails = "test_a_lost_answer_makes_no_second_job[409]"
    says = "Was the create repeated"


# --- what it says of itself


class WrongListing(WrongBase, Light):
    provider = KeyedAcme
    fails = "test_its_offers_are_listed_without_a_key"
    says = "Without a key"


class Anonymous(Wrong):
    __module__ = AcmeProvider.__module__
    console: ClassVar[str] = ""


class WrongIntroduction(WrongBase, Catalogue):
    provider = Anonymous
    fails = "test_the_provider_introduces_itself"
    says = ".console is empty"


class WrongDate(WrongBase, Catalogue):
    provider = with_rows(lambda spec: msgspec.structs.replace(spec, as_of=date(2999, 1, 1)))
    fails = "test_a_fact_has_a_source_and_a_date[paper]"
    says = "yet to come"


class WrongHaste(WrongBase, Catalogue):
    provider = with_rows(lambda spec: msgspec.structs.replace(spec, latency=None))
    fails = "test_a_live_offer_says_how_long_it_takes[paper]"
    says = "has no latency"


def forgotten(spec: ModelSpec) -> ModelSpec:
    gone = Lifecycle(stage=Stage.RETIRED, retired=date(2026, 1, 1))
    return spec if spec.id != "acme/stone" else msgspec.structs.replace(spec, lifecycle=gone)


class WrongGrave(WrongBase, Catalogue):
    provider = with_rows(forgotten)
    fails = "test_a_retired_offer_says_since_when_and_what_instead[stone]"
    says = "lifecycle.replaced_by"


class WrongNames(WrongBase, Catalogue):
    provider = with_rows(lambda spec: msgspec.structs.replace(spec, aliases=("the-best",)))
    fails = "test_names_are_unique"
    says = "'the-best' means both"


def odd(spec: ModelSpec) -> ModelSpec:
    return msgspec.structs.replace(spec, sizes={"240p": {"16:9": (427, 240)}})


class WrongSides(WrongBase, Modes):
    provider = with_rows(odd)
    fails = "test_a_mode_knows_its_frame_size[paper-text_to_video]"
    says = "sides are even"


class SilentAboutReadiness(Wrong):
    __module__ = AcmeProvider.__module__

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        raise ProviderUnavailableError("Something is missing.")


class WrongAdvice(WrongBase, Credentials):
    provider = SilentAboutReadiness
    fails = "test_offers_without_a_key_are_not_ready"
    says = "without naming a variable"


class AlwaysGreets(AcmeSession):
    async def ping(self) -> str:
        return "hello"


class WrongPing(WrongBase, Credentials):
    provider = with_session(AlwaysGreets)
    fails = "test_ping_checks_the_key"
    says = "DID NOT RAISE"


# --- requests


class TidiesPrompts(AcmeSession):
    def _body(self, call: SubmitCall) -> dict[str, Any]:
        body = super()._body(call)
        return {**body, "prompt": " ".join(body["prompt"].split())}


class WrongPrompt(WrongBase, Requests):
    provider = with_session(TidiesPrompts)
    fails = "test_the_prompt_reaches_the_vendor_as_it_is"
    says = "was told another prompt"


class Impatient(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except RateLimitError as error:
            error.retry_after = 0.0
            raise


class WrongPatience(WrongBase, Refusals):
    provider = with_session(Impatient)
    speed = 10.0  # at the usual one a machine that is busy seems to wait
    fails = "test_a_limit_is_waited_out"
    says = "was not obeyed"


class FearsTheWorst(AcmeSession):
    async def submit(self, call: SubmitCall) -> Submission:
        try:
            return await super().submit(call)
        except ProviderUnavailableError as error:
            error.accepted = None
            raise


class WrongFear(WrongBase, Refusals):
    provider = with_session(FearsTheWorst)
    fails = "test_an_unreachable_vendor_is_asked_again"
    says = "Nothing was sent"


# --- jobs


class WrongKill(WrongBase, Killed):
    provider = with_session(RemembersJobs)
    fails = "test_a_killed_process_loses_nothing"
    says = "of a killed process cannot be resumed"


class LeavesItOpen(AcmeSession):
    async def close(self) -> None:
        import socket

        socket.socket()  # nobody closes it


class WrongClose(WrongBase, Clips):
    provider = with_session(LeavesItOpen)
    fails = "test_a_client_leaves_nothing_open"
    says = "leaves something open"


class CountsWhatWasAsked(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        found = await super().poll(job)
        wanted, came = job.request.count, len(found.outputs)
        return replace(found, outputs=(*found.outputs, *found.outputs[: wanted - came]) if came else found.outputs)


class WrongCount(WrongBase, Endings):
    provider = with_session(CountsWhatWasAsked)
    fails = "test_clips_that_were_withheld_are_not_paid_for[paper-text_to_video]"
    says = "clips of"


class CancelsTooLate(AcmeSession):
    async def cancel(self, job: ProviderJob) -> Cancellation:
        await super().cancel(job)
        return Cancellation(accepted=True)


class WrongCancelling(WrongBase, Endings):
    provider = with_session(CancelsTooLate)
    fails = "test_a_cancel_that_comes_too_late_says_so"
    says = "DID NOT RAISE"


class FetchesItself(AcmeSession):
    """The first half of a clip is a clip, too."""

    async def poll(self, job: ProviderJob) -> Snapshot:
        found = await super().poll(job)
        if not found.outputs:
            return found
        import httpx

        async with httpx.AsyncClient() as http:
            files = [(await http.get(output.url or "")).content for output in found.outputs]
        return replace(found, outputs=tuple(Output(data=data[: len(data) // 2]) for data in files))


class WrongHalf(WrongBase, Deliveries):
    provider = with_session(FetchesItself)
    fails = "test_a_download_that_fails_is_made_good[503]"
    says = "The clip does not come"


class UploadsOnce(AcmeSession):
    async def prepare(self, call: SubmitCall) -> dict[str, Any]:
        try:
            return await super().prepare(call)
        except ProviderError as error:
            error.retryable = False
            raise


class WrongUpload(WrongBase, Leftovers):
    provider = with_session(UploadsOnce)
    fails = "test_an_upload_that_fails_is_repeated"
    says = ""


class DeafToWebhooks(Wrong):
    __module__ = AcmeProvider.__module__

    def notice(
        self, headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Any:
        found = super().notice(headers, body, environment, settings)
        return replace(found, provider_job_id="another")


class WrongDelivery(WrongBase, Notices):
    provider = DeafToWebhooks
    fails = "test_a_genuine_delivery_names_its_job"
    says = "The delivery is about"


class HangsWithTheVendor(AcmeSession):
    async def poll(self, job: ProviderJob) -> Snapshot:
        try:
            return await super().poll(job)
        except ProviderError as error:
            if error.status_code == 401:
                return Snapshot(status=JobStatus.FAILED, error=GenerationFailedError("The key does not work."))
            raise


class WrongRevocation(WrongBase, Polls):
    provider = with_session(HangsWithTheVendor)
    fails = "test_a_poll_that_is_refused_leaves_the_job_to_be_resumed"
    says = "left the job failed"


class WrongHook(WrongBase, Light):
    @staticmethod
    def provider() -> Provider:
        made = AcmeProvider()
        made.name = "acne"  # type: ignore[misc]
        return made

    fails = "test_its_hook_makes_the_provider"
    says = "returned the provider 'acme', not 'acne'"


class WrongMissingQuote(WrongBase, Clips):
    provider = AcmeProvider
    quotes = (Quoted("paper", {"duration": 4, "resolution": "240p"}, "0.40"),)
    fails = "test_every_priced_offer_has_a_quote_worked_out"
    says = "Work out a price by hand for acme/stone"
