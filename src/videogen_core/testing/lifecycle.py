"""What becomes of a vendor's job: a script, off which its state is read, given the time and the polls so far."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

__all__ = ["ENDED", "Ending", "Script", "State", "state_of"]

Ending = Literal["succeeded", "failed", "blocked", "cancelled", "empty"]
State = Literal["throttled", "queued", "running", "succeeded", "failed", "blocked", "cancelled", "empty"]
ENDED = frozenset({"succeeded", "failed", "blocked", "cancelled", "empty"})
"""The states after which nothing more happens."""


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The life of a job. Seconds are the vendor's, see `Clock`.

    Attributes:
        throttled: Seconds in which it is held back before it is queued.
        queued: Seconds in the queue.
        running: Seconds of work, over which its progress rises from 0 to 1.
        polls: How many polls at least must find it unfinished; with no seconds given, exactly so many do.
        ending: ``succeeded``, ``failed``, ``blocked`` (by content policy), ``cancelled`` (by the vendor itself), or
            ``empty`` (succeeded without any output).
        code: The vendor's own code of a failure; "" = what the vendor's description says by itself.
        message: The vendor's words about a failure.
        outputs: How many clips come; None = as many as were asked for.
        charged: Whether it costs money; None = a success does, other endings do not.
        word: A status word that no documentation knows, shown while it is running.
        cancel: ``yes``, ``no`` (refused), ``gone`` (the vendor then forgets the job), or ``ignored`` (the vendor says
            yes and goes on).
        expired: How many downloads find their address expired although it is fresh.
        match: Only for creates whose body or path holds this text; "" = any.
        times: How many creates it is for; None = all to come.
    """

    throttled: float = 0.0
    queued: float = 0.0
    running: float = 0.0
    polls: int = 0
    ending: Ending = "succeeded"
    code: str = ""
    message: str = ""
    outputs: int | None = None
    charged: bool | None = None
    word: str = ""
    cancel: Literal["yes", "no", "gone", "ignored"] = "yes"
    expired: int = 0
    match: str = ""
    times: int | None = 1

    @property
    def seconds(self) -> float:
        """From the create to the end, when nobody cancels it."""
        return self.throttled + self.queued + self.running

    def cost(self, price: Decimal) -> Decimal:
        """What the vendor takes at the end for a job of that price."""
        charged = self.ending == "succeeded" if self.charged is None else self.charged
        return price if charged else Decimal(0)


def state_of(script: Script, age: float, polls: int) -> tuple[State, float]:
    """State and progress (0 to 1) of a job that is ``age`` vendor seconds old and was asked for ``polls`` times."""
    share = min(polls / script.polls, 1.0) if script.polls else 1.0
    if age < script.throttled:
        return "throttled", 0.0
    if age < script.throttled + script.queued:
        return "queued", 0.0
    worked = age - script.throttled - script.queued
    progress = min(worked / script.running, share) if worked < script.running else share
    if progress >= 1.0:
        return script.ending, 1.0
    if not script.seconds and polls == 0 and script.polls > 1:
        return "queued", 0.0  # counted in polls alone: it is seen in the queue once
    return "running", max(progress, 0.0)
