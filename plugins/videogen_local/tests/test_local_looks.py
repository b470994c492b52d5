"""When a job on this machine is looked at again: as its steps are due, and never so rarely that its end is missed."""

from __future__ import annotations

import pytest

from local_rig import need_torch

need_torch()
from videogen_local.here.engine import look_after  # noqa: E402
from videogen_local.here.spool import State  # noqa: E402


def running(step: int, steps: int, each: float) -> State:
    remaining = each * (steps - step) * 1.12
    told = {"step": step, "steps": steps, "pace": each, "seconds": each * step, "remaining": remaining}
    return State(status="running", phase="denoising", **told)


@pytest.mark.parametrize(
    ("each", "steps", "least", "most"),
    [(0.05, 50, 0.1, 0.2), (0.3, 50, 0.5, 1.0), (0.3, 400, 1, 1), (2.5, 50, 2.5, 2.5), (60, 50, 5, 5)],
)
def test_steps_are_seen_as_they_come_or_about_once_a_second(each: float, steps: int, least: float, most: float) -> None:
    assert least <= look_after(running(10, steps, each), 0.0) <= most


def test_a_look_in_the_middle_of_a_step_waits_for_the_rest_of_it() -> None:
    assert look_after(running(10, 50, 4.0), 3.0) == 1.0
    assert look_after(running(10, 50, 4.0), 300.0) == 0.1, "it is overdue"


def test_the_last_step_is_not_overslept() -> None:
    assert look_after(running(49, 50, 0.4), 0.2) == pytest.approx(0.2)
    assert look_after(running(10, 50, 4.5), 3.0) == 1.5


def test_what_nobody_can_foresee_is_looked_at_ever_more_rarely() -> None:
    for state in (State(status="running", phase="loading"), State(status="queued")):
        assert [look_after(state, quiet) for quiet in (0.0, 2.0, 60.0)] == [0.1, 0.4, 1.0]
