"""How jobs end: by the vendor's word, by the user's, or not within the time that there is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from videogen_core import (
    ContentPolicyError,
    GenerationFailedError,
    JobCancelledError,
    JobTimeoutError,
    ProviderError,
    RequestError,
    VideogenError,
)

from .cases import Case
from .refusals import sound
from .rig import Rig
from .suite import Suite, each

__all__ = ["Endings"]


@dataclass(frozen=True)
class _Ending:
    id: str
    error: type[VideogenError]
    script: dict[str, Any] = field(default_factory=dict)


_ENDINGS = (
    _Ending("failed", GenerationFailedError, {"ending": "failed"}),
    _Ending("failed_and_charged", GenerationFailedError, {"ending": "failed", "charged": True}),
    _Ending("blocked", ContentPolicyError, {"ending": "blocked"}),
    _Ending("empty", ProviderError, {"ending": "empty"}),
    _Ending("cancelled", JobCancelledError, {"ending": "cancelled"}),
)


class Endings(Suite):
    """Jobs that were accepted and did not end well."""

    @each("ending", lambda suite: _ENDINGS)
    async def test_a_bad_end_says_so_and_what_it_cost(self, rig: Rig, ending: _Ending) -> None:
        """The error of the right class; the vendor's charge is the job's cost."""
        documented = self.charges.get(ending.script["ending"])
        if documented is not None and ending.script.get("charged"):
            pytest.skip(f"the vendor documents whether {ending.script['ending']} is charged; see Suite.charges")
        rig.end(**{"polls": 1, "charged": documented, **ending.script})
        async with rig.client() as client:
            await rig.limit(client)
            with pytest.raises(VideogenError) as caught:
                await rig.generate(client)
            job = await rig.only_job(client)
            held, settled = await rig.booked(client)
        error = caught.value
        assert isinstance(error, ending.error), (
            f"A job that ended {ending.id} raised {type(error).__name__}: {error.message} Expected "
            f"{ending.error.__name__}: map the vendor's word to Snapshot.status, and its reason to Snapshot.error."
        )
        rig.one_create(f"A job that ended {ending.id}")
        assert held == 0, f"{ending.id}: ${held} are still held."
        if job.record.attempt.quote.known and not rig.unwired:
            self._cost(rig, ending.id, job, settled)
        sound(error)

    def _cost(self, rig: Rig, ending: str, job: Any, settled: Any) -> None:
        charged, origin = rig.charged, job.record.attempt.cost_origin
        if origin == "assumed":  # nobody knows: the vendor does not say, so the whole quote is booked
            assert settled >= charged, f"{ending}: ${settled} were booked and the vendor took ${charged}."
            return
        assert job.cost == charged, (
            f"{ending}: the cost is ${job.cost} and the vendor took ${charged}. Snapshot.cost is what the vendor says; "
            "error.charged is whether it was paid for, None where nobody can tell. What the vendor documents goes "
            "into the suite's charges."
        )

    @each("clip", lambda suite: _several(suite), instead="no mode makes several clips in one call")
    async def test_clips_that_were_withheld_are_not_paid_for(self, rig: Rig, clip: Case) -> None:
        """Fewer come than were asked for: they are kept, and the cost is theirs alone."""
        count = clip.mode.count
        rig.script(outputs=count - 1)
        async with rig.client() as client:
            result = await rig.generate(client, clip.changed(count=count), output=f"{rig.folder}/clips/")
        assert len(result.videos) == count - 1, f"{clip.id}: {len(result.videos)} clips of {count - 1} that came."
        numbers = [rig.whose(video.path).get("number") for video in result.videos]
        assert len(set(numbers)) == count - 1, f"{clip.id}: a clip came twice: {numbers}."
        if result.attempts[0].quote.known:
            assert result.cost == rig.charged, f"{clip.id}: cost ${result.cost}, the vendor took ${rig.charged}."

    async def test_a_job_is_cancelled_or_says_that_it_cannot_be(self, rig: Rig) -> None:
        """Where the session has ``cancel``, the vendor stops; where it has not, the user is told and the clip comes."""
        can = await rig.overrides("cancel")
        rig.hold(queued=100_000.0 if can else 0.0, polls=0 if can else 1)  # some vendors stop nothing else
        async with rig.client() as client:
            job = await rig.submit(client)
            if not can:
                with pytest.raises(RequestError, match="did not stop"):
                    await job.cancel()
                result = await job.wait(timeout=60.0)
                assert rig.whose(result.path)["job"] == rig.creates[0].job
                return
            await job.cancel()
            with pytest.raises(JobCancelledError):
                await job.wait(timeout=60.0)
        going = rig.going
        assert job.status == "cancelled", f"After cancel() the job is {job.status}."
        assert not going, f"After cancel() the vendor's job is {going[0]}: was it told to stop?"

    async def test_a_cancel_that_comes_too_late_says_so(self, rig: Rig) -> None:
        """The vendor refuses: the user is told, and the job goes on to its clip."""
        if not await rig.overrides("cancel"):
            pytest.skip("the provider cannot cancel")
        if not rig.unwired:
            rig.script(polls=2, cancel="no")
        async with rig.client() as client:
            job = await rig.submit(client)
            if rig.unwired:
                await rig.over()  # what has ended cannot be stopped any more
            with pytest.raises((RequestError, ProviderError)):
                await job.cancel()
            result = await job.wait(timeout=60.0)
        assert rig.whose(result.path)["job"] == rig.creates[0].job

    async def test_a_wait_that_is_over_leaves_the_job_to_be_resumed(self, rig: Rig) -> None:
        """The error has the job's id, and another client with the same ledger finishes it."""
        rig.hold(running=100_000.0)
        async with rig.client() as client:
            with pytest.raises(JobTimeoutError) as caught:
                await rig.generate(client, timeout=0.3)
            job = await rig.only_job(client)
        assert caught.value.job_id == job.id, "JobTimeoutError has another job's id."
        rig.let_go(100_000)
        async with rig.client() as client:
            (result,) = await client.resume(timeout=60.0)
        if isinstance(result, VideogenError):
            raise AssertionError(f"A job that another client began cannot be resumed: {result}") from result
        rig.one_create("A job that was resumed")
        assert rig.whose(result.path)["job"] == rig.creates[0].job


def _several(suite: type[Suite]) -> list[Case]:
    found = [case for case in suite.modes() if case.mode.count > 1]
    return sorted(found, key=lambda case: (len(case.inputs), case.size))[:1]
