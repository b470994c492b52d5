"""What a plugin uploads for a job is gone from the vendor when the job is."""

from __future__ import annotations

import pytest

from videogen_core import VideogenError

from ..faults import Fault
from .cases import Case
from .rig import Rig
from .suite import Suite, each

__all__ = ["Leftovers"]


class Leftovers(Suite):
    """Uploads, and what else `prepare` makes."""

    @each("clip", lambda suite: _with_inputs(suite), instead="no offer takes inputs")
    async def test_a_job_leaves_nothing_behind(self, rig: Rig, clip: Case) -> None:
        """Done, refused or failed: `clean_up` removes it."""
        async with rig.client() as client:
            await rig.generate(client, clip)
            self._nothing(rig, "a clip was made")
            rig.end(ending="failed")
            with pytest.raises(VideogenError):
                await rig.generate(client, clip, overwrite=True)
            self._nothing(rig, "a job has failed")
            if rig.unwired:
                rig.note("A create that is refused by a vendor, since there is none.")
                return
            rig.vendor.inject(Fault("status", on="create", status=400, at="before"))
            with pytest.raises(VideogenError):
                await rig.generate(client, clip, overwrite=True)
            self._nothing(rig, "a create was refused")

    def _nothing(self, rig: Rig, when: str) -> None:
        left = rig.leftovers
        assert not left, (
            f"After {when}, the vendor still has {', '.join(left[:5])}. Session.clean_up removes what prepare() made; "
            "it gets the job's handle, or what prepare() returned where the create was refused."
        )

    async def test_an_upload_that_fails_is_repeated(self, rig: Rig) -> None:
        """Nothing was asked for yet, so the job is tried again, and there is one."""
        cases = _with_inputs(type(self))
        if not cases:
            pytest.skip("no offer takes inputs")
        rig.vendor.inject(Fault("status", on="upload", status=503, at="before"))
        async with rig.client() as client:
            await rig.generate(client, cases[0])
        if not rig.emulator.journal.entries("upload"):
            pytest.skip("inputs travel with the create")
        rig.one_create("An upload that failed once")


def _with_inputs(suite: type[Suite]) -> list[Case]:
    """A request for each kind of input."""
    found: dict[tuple[str, ...], Case] = {}
    for case in sorted(suite.clips(), key=lambda case: case.size):
        if case.inputs:
            found.setdefault(case.inputs, case)
    return list(found.values())
