"""Creates whose answer is lost: nobody pays twice, and what can be found again is found."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from videogen_core import AsyncClient, Provider, Result, SubmissionUnknownError, VideogenError

from ..faults import Fault
from .refusals import sound
from .rig import Rig
from .suite import Suite, each

__all__ = ["Lost"]

_SUBMIT_SECONDS = 0.6  # real ones, after which an answer that hangs counts as lost


@dataclass(frozen=True)
class _Loss:
    id: str
    fault: Fault


_LOSSES = (
    _Loss("reset", Fault("reset", on="create")),
    _Loss("reset_amid_the_body", Fault("reset", on="create", part="body")),
    _Loss("close", Fault("close", on="create")),
    _Loss("truncated", Fault("truncated", on="create")),
    _Loss("hang", Fault("hang", on="create")),
    _Loss("500", Fault("status", on="create", status=500)),
    _Loss("502", Fault("status", on="create", status=502, body="html")),
    _Loss("503", Fault("status", on="create", status=503)),
    _Loss("408", Fault("status", on="create", status=408)),
    _Loss("409", Fault("status", on="create", status=409)),
    _Loss("redirect", Fault("redirect", on="create", location="http://127.0.0.1:9/elsewhere")),
    _Loss("504", Fault("status", on="create", status=504, body="html")),
    _Loss("empty", Fault("empty", on="create")),
    _Loss("html", Fault("html", on="create")),
    _Loss("invalid_json", Fault("invalid_json", on="create")),
    _Loss("no_id", Fault("no_id", on="create")),
)


_DROPPED = _Loss("dropped", Fault("reset", on="create"))  # by the session itself, where there is no wire


class Lost(Suite):
    """The vendor has accepted, and its answer does not come."""

    @each("loss", lambda suite: _LOSSES if suite.workshop is None else (_DROPPED,))
    async def test_a_lost_answer_makes_no_second_job(self, rig: Rig, loss: _Loss) -> None:
        """Repeated under its key, or found again, where the vendor lets one; else ``unknown``, and so it stays."""
        if loss.fault.status in self.rejects:
            pytest.skip(f"the vendor documents {loss.fault.status} as not accepted")
        await rig.lose(loss.fault)
        limit = {"submit_timeout": _SUBMIT_SECONDS} if loss.fault.what == "hang" else {}
        async with rig.client(**limit) as client:
            outcome = await _outcome(rig, client)
            assert rig.created == 1, (
                f"After an answer lost by {loss.id} the vendor has {rig.created} jobs. Was the create repeated, by the "
                "plugin or by the vendor's SDK, or was accepted=False said of it?"
            )
            if _findable(rig.provider):
                await self._found(rig, client, loss.id, outcome)
            else:
                await self._unknown(rig, client, loss.id, outcome)

    async def _found(self, rig: Rig, client: AsyncClient, loss: str, outcome: Result | VideogenError) -> None:
        if isinstance(outcome, SubmissionUnknownError):
            (outcome,) = await client.resume(timeout=60.0)
        provider = rig.provider
        way = "idempotency" if provider.idempotency else f"reconcile = {provider.reconcile!r}"
        if isinstance(outcome, VideogenError):
            raise AssertionError(f"{way}, and a create lost by {loss} does not come back: {outcome}") from outcome
        assert rig.whose(outcome.path)["job"] == rig.jobs[0].id
        repeated = len(rig.creates) > 1
        assert not repeated or provider.idempotency, f"{len(rig.creates)} creates were sent without idempotency."

    async def _unknown(self, rig: Rig, client: AsyncClient, loss: str, outcome: Result | VideogenError) -> None:
        job = await rig.only_job(client)
        assert isinstance(outcome, SubmissionUnknownError), (
            f"A create lost by {loss} ended as {type(outcome).__name__} ({outcome}). Nobody knows whether it was "
            "accepted: raise an error whose accepted is not False."
        )
        assert (job.status, job.money) == ("unknown", "held"), (
            f"{loss}: the job is {job.status}, its money {job.money}."
        )
        assert rig.provider.console in str(outcome), (
            f"{loss}: the error does not say where a person can look (console)."
        )
        await client.resume(timeout=60.0)
        rig.one_create(f"A create lost by {loss}, then resumed")
        sound(outcome)

    async def test_a_request_that_may_have_arrived_is_not_repeated(self, rig: Rig) -> None:
        """Cut off before the vendor acted, which from here looks the same as after."""
        if _findable(rig.provider):
            pytest.skip("whether it arrived can be found out here")
        rig.vendor.inject(Fault("reset", on="create", at="before"))
        async with rig.client() as client:
            outcome = await _outcome(rig, client)
        assert isinstance(outcome, SubmissionUnknownError), f"It ended as {type(outcome).__name__}: {outcome}"
        sent = len(rig.creates)
        assert (sent, rig.created) == (1, 0), f"{sent} creates were sent: a reset connection was asked again."

    async def test_a_person_can_attach_what_was_lost(self, rig: Rig) -> None:
        """Given the vendor's id, as its console shows it, `adopt` finds what `poll` needs."""
        silent = [Fault("status", on=kind, status=503, at="before", times=None) for kind in ("list", "poll", "other")]
        await rig.lose(Fault("reset", on="create", times=None), *silent, times=None, hidden=True)
        async with rig.client(submit_timeout=10.0) as client:
            outcome = await _outcome(rig, client)
            assert isinstance(outcome, SubmissionUnknownError), f"It ended as {type(outcome).__name__}: {outcome}"
            rig.calm()
            job = await rig.only_job(client)
            try:
                await job.settle(attach=rig.jobs[0].id)
                result = await job.wait(timeout=60.0)
            except VideogenError as error:
                raise AssertionError(
                    f"The vendor's id {rig.jobs[0].id!r} cannot be attached: {error} Session.adopt gives the handle "
                    "that poll() needs, from the id alone."
                ) from error
        assert rig.created == 1, f"{rig.created} jobs were made."
        assert rig.whose(result.path)["job"] == rig.jobs[0].id

    def test_what_it_says_of_lost_creates_fits_together(self, rig: Rig) -> None:
        """``idempotency``, ``reconcile``, ``list_lag`` and the emulator's own kind of vendor."""
        provider, kind = rig.provider, rig.emulator.traits.kind
        says = {"by_ref": "B", "by_list": "C", "by_time": "D"}.get(
            provider.reconcile, "A" if provider.idempotency else "N"
        )
        assert kind == says or (provider.idempotency and kind == "A"), (
            f"reconcile is {provider.reconcile!r} and idempotency {provider.idempotency:g}, and the emulator is a "
            f"vendor of kind {kind}: A knows keys, B our ids, C lists inputs, D lists times, N nothing. See Traits."
        )
        assert provider.list_lag >= rig.emulator.traits.list_lag, (
            f"list_lag is {provider.list_lag:g} s; the emulator shows a job after {rig.emulator.traits.list_lag:g} s."
        )

    async def test_what_is_reconciled_can_be_found(self, rig: Rig) -> None:
        """Where ``reconcile`` says that a job can be looked for, the session has ``find``."""
        provider = rig.provider
        if provider.reconcile == "none":
            pytest.skip("the provider says that nothing can be looked for")
        assert await rig.overrides("find"), f"reconcile is {provider.reconcile!r}, and the session has no find()."


def _findable(provider: Provider) -> bool:
    return bool(provider.idempotency) or provider.reconcile in ("by_ref", "by_list")


async def _outcome(rig: Rig, client: AsyncClient) -> Result | VideogenError:
    try:
        return await rig.generate(client)
    except VideogenError as error:
        return error
