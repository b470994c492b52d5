"""Polls that go wrong: an accepted job is never lost over one."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from videogen_core import JobTimeoutError, ProviderError, VideogenError

from ..faults import Fault
from .refusals import sound
from .rig import Rig
from .suite import Suite, each

__all__ = ["Polls"]


@dataclass(frozen=True)
class _Trouble:
    id: str
    fault: Fault


_TROUBLES = (
    _Trouble("reset", Fault("reset", on="poll")),
    _Trouble("reset_amid_the_body", Fault("reset", on="poll", part="body")),
    _Trouble("close", Fault("close", on="poll")),
    _Trouble("truncated", Fault("truncated", on="poll")),
    _Trouble("500", Fault("status", on="poll", status=500)),
    _Trouble("502", Fault("status", on="poll", status=502, body="html")),
    _Trouble("503", Fault("status", on="poll", status=503, body="nothing")),
    _Trouble("429", Fault("status", on="poll", status=429, retry_after="2")),
    _Trouble("empty", Fault("empty", on="poll")),
    _Trouble("html", Fault("html", on="poll")),
    _Trouble("invalid_json", Fault("invalid_json", on="poll")),
)


class Polls(Suite):
    """The vendor has the job, and asking for it fails."""

    @each("trouble", lambda suite: _TROUBLES)
    async def test_a_poll_that_fails_loses_nothing(self, rig: Rig, trouble: _Trouble) -> None:
        """It is asked again, and the clip comes."""
        rig.script(polls=1)
        rig.vendor.inject(trouble.fault)
        async with rig.client() as client:
            try:
                result = await rig.generate(client)
            except VideogenError as error:
                raise AssertionError(
                    f"A poll broken by {trouble.id} ended the wait: {type(error).__name__}: {error.message} Raise a "
                    "ProviderError whose retryable is true; the job goes on at the vendor."
                ) from error
        met = [entry for entry in rig.emulator.journal.entries("poll") if entry.fault]
        assert met, "No poll met the fault: is its route of the kind 'poll' in the emulator?"
        rig.one_create(f"A poll broken by {trouble.id}")
        assert rig.whose(result.path)["job"] == rig.creates[0].job

    async def test_an_unknown_status_is_waited_out(self, rig: Rig) -> None:
        """A word that the vendor invents tomorrow is ``running`` with a message, and no end."""
        rig.script(polls=2, running=5.0, word="pondering-deeply")
        async with rig.client() as client:
            heard: list[str] = []
            try:
                await rig.generate(client, on_event=lambda event: heard.append(event.message))
            except VideogenError as error:
                raise AssertionError(
                    f"An unknown status ended the job as {type(error).__name__}: {error.message} It is "
                    "Snapshot(status=JobStatus.RUNNING, message=...)."
                ) from error
        assert "pondering" in " ".join(heard), "The word is nowhere told: put it into Snapshot.message."
        rig.one_create()

    async def test_a_poll_that_hangs_does_not_hold_the_user(self, rig: Rig) -> None:
        """The wait ends when its time is over, and the job is finished later."""
        rig.vendor.inject(Fault("hang", on="poll"))
        async with rig.client() as client:
            with pytest.raises(JobTimeoutError):
                await rig.generate(client, timeout=0.6)
        rig.vendor.calm()
        async with rig.client() as client:
            (result,) = await client.resume(timeout=60.0)
        assert not isinstance(result, VideogenError), f"The job cannot be resumed after a poll that hung: {result}"
        rig.one_create()

    async def test_a_poll_that_is_refused_leaves_the_job_to_be_resumed(self, rig: Rig) -> None:
        """A key that was revoked meanwhile: the user is told, and with a key that works the clip comes."""
        rig.vendor.inject(Fault("status", on="poll", status=401, at="before", times=None))
        async with rig.client() as client:
            with pytest.raises(ProviderError) as caught:
                await rig.generate(client, timeout=30.0)
            job = await rig.only_job(client)
            assert job.status in ("queued", "running"), f"A refused poll left the job {job.status}."
            rig.vendor.calm()
            result = await job.wait(timeout=60.0)
        sound(caught.value)
        rig.one_create()
        assert rig.whose(result.path)["job"] == rig.creates[0].job
