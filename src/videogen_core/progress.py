"""How far a job is, in the words that the command line and notebooks show."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from .states import Event

__all__ = ["REMARKS", "STAGES", "Progress"]

STAGES = {
    "submitting": "asking",
    "accepted": "queued",
    "retrying": "waiting",
    "fallback": "asking",
    "settled": "made",
    "downloading": "storing",
    "stored": "stored",
}
REMARKS = {"retrying", "fallback", "warning", "rejected", "unknown", "resumed", "cancelled"}
"""Types of events whose message is worth keeping."""


@dataclass
class Progress:
    """How far one job is.

    Attributes:
        job_id: The job.
        offer: Who works on it, once known.
        stage: One word.
        share: 0 to 1, where the provider says.
        expected: Seconds that the offer usually takes.
        since: When it began, on the monotonic clock.
        left: Seconds until it is done, as the provider said at ``told``, on the monotonic clock.
    """

    job_id: str
    offer: str = ""
    stage: str = "asking"
    share: float | None = None
    expected: float | None = None
    since: float = field(default_factory=time.monotonic)
    left: float | None = None
    told: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.since

    @property
    def guess(self) -> float | None:
        """How much of the bar to fill: what the provider says, else what the clock suggests; None = no idea."""
        if self.share is not None and (self.share > 0 or not self.expected):
            return self.share
        return min(self.elapsed / self.expected, 0.95) if self.expected else None

    def hear(self, event: Event) -> bool:
        """Take in what happened; True when another offer works on it now, so that `expected` is to be found anew."""
        offer = event.data.get("offer")
        changed = isinstance(offer, str) and offer != self.offer
        if changed:
            self.offer = str(offer)
        self.stage = STAGES.get(event.type, event.status.value)
        self.share = event.progress
        left = event.data.get("remaining")
        self.left, self.told = left if isinstance(left, int | float) else None, time.monotonic()
        return changed

    @property
    def remaining(self) -> float | None:
        """Seconds until it is done, as the provider expected and less what has passed since; None = it does not say."""
        return None if self.left is None else max(self.left - (time.monotonic() - self.told), 0.0)
