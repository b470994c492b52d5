"""What a vendor knows: its jobs, who may find them again and how, when they end, and what they cost.

All of it is in memory and no request costs more than what it shows, so that ten thousand jobs can be polled at once.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any, Literal

import msgspec

from .clips import Clip
from .clock import Clock
from .journal import Entry, Journal
from .lifecycle import ENDED, Script, State, state_of

__all__ = ["Idempotency", "Refusal", "Traits", "Vendor", "VendorJob", "current_entry"]

Idempotency = Literal["A", "B", "C", "D", "N"]
"""How a lost create can be found: A = by sending it again with its key, B = by our own id, C = in a list that echoes
the input, D = in a list that does not, N = not at all."""

current_entry: ContextVar[Entry | None] = ContextVar("current_entry", default=None)
"""The request that is being served, in the journal."""


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """The vendor says no: raise it anywhere in a handler, and `Emulator.refusal` words it.

    Args:
        status: HTTP status.
        code: ``invalid_request``, ``unauthorized``, ``not_found``, ``conflict``, ``rate_limited``, ``unavailable`` …,
            for the vendor's description to translate.
        message: A sentence.
        headers: Sent along.
    """

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


class Traits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What sort of vendor it is. Seconds are the vendor's, see `Clock`.

    Attributes:
        kind: How a lost create can be found again.
        list_lag: Seconds until a new job shows in lists and under our own id.
        key_lifetime: Seconds for which an idempotency key is known (kind A).
        poll_every: Seconds between two polls of one job, below which it answers 429; 0 = no limit.
        concurrency: Jobs that work at once; the others are throttled. None = all.
        url_lifetime: Seconds for which the address of a clip works; None = for ever.
        retention: Seconds after its end for which a job's clips are kept; None = for ever.
    """

    kind: Idempotency = "N"
    list_lag: float = 0.0
    key_lifetime: float = 86_400.0
    poll_every: float = 0.0
    concurrency: int | None = None
    url_lifetime: float | None = None
    retention: float | None = None


@dataclass(slots=True, eq=False)
class VendorJob:
    """A job as its vendor has it.

    Attributes:
        id: The vendor's id.
        seq: Its number, from 1.
        clip: What its files are like.
        count: How many were asked for.
        model: The vendor's name of the model.
        ref: The client's own id of it.
        key: Its idempotency key.
        body: What was asked, to be echoed: plain JSON.
        webhook: Where to tell of its end.
        script: Its life.
        created: When it was made, in the vendor's seconds since 1970.
        polls: How often it was asked for.
        polled: When it was last asked for, or 0.
        cancelled: When it was cancelled, or None.
        downloads: How often its files were asked for.
    """

    id: str
    seq: int
    clip: Clip
    count: int
    model: str
    ref: str
    key: str
    body: Any
    webhook: str
    script: Script
    created: float
    digest: str = field(default="", repr=False)
    polls: int = 0
    polled: float = 0.0
    cancelled: float | None = None
    downloads: int = 0

    def look(self, now: float) -> tuple[State, float]:
        """State and progress (0 to 1) at a moment."""
        if self.cancelled is not None and now >= self.cancelled:
            return "cancelled", 0.0
        return state_of(self.script, now - self.created, self.polls)

    @property
    def ends(self) -> float:
        """When it ends, as far as the clock alone decides."""
        return self.created + self.script.seconds if self.cancelled is None else self.cancelled

    @property
    def outputs(self) -> int:
        """How many clips it makes."""
        if self.script.ending != "succeeded":
            return 0
        return self.count if self.script.outputs is None else self.script.outputs


def default_price(job: VendorJob) -> Decimal:
    """Ten cents a second of every clip asked for."""
    return Decimal("0.10") * Decimal(str(job.clip.duration)) * job.count


class Vendor:
    """The jobs of one account.

    Args:
        clock: Decides how far they are.
        journal: Told of creates.
        traits: What sort of vendor it is.
        seed: Decides the ids.
        script: The life of a job that no other script is for.
        new_id: Makes an id from a number and a source of chance.
        price: USD of a job that is charged for, at its full count.

    Attributes:
        on_change: Told of each new job, and of each that is cancelled.
    """

    def __init__(
        self,
        clock: Clock,
        journal: Journal,
        *,
        traits: Traits,
        seed: int = 0,
        script: Script,
        new_id: Callable[[int, Random], str],
        price: Callable[[VendorJob], Decimal] = default_price,
    ) -> None:
        self.clock = clock
        self.journal = journal
        self.traits = traits
        self.seed = seed
        self.script = script
        self._new_id = new_id
        self._price = price
        self.on_change: Callable[[VendorJob], None] = lambda job: None
        self.clear()

    def clear(self) -> None:
        """Forget all jobs and scripts."""
        self.jobs: dict[str, VendorJob] = {}
        self._order: list[VendorJob] = []
        self._by_key: dict[str, VendorJob] = {}
        self._by_ref: dict[str, list[VendorJob]] = {}
        self._scripts: list[tuple[Script, int | None]] = []
        self._slots: list[float] = []  # when each working slot becomes free

    # --- creates

    def add_scripts(self, *scripts: Script) -> None:
        """Say how the next jobs go; the first script that fits a create is taken."""
        self._scripts.extend((script, script.times) for script in scripts)

    def create(
        self,
        clip: Clip,
        *,
        count: int = 1,
        model: str = "",
        ref: str = "",
        key: str = "",
        body: Any = None,
        webhook: str = "",
        text: str = "",
        script: Script | None = None,
    ) -> VendorJob:
        """A new job, or for a vendor of kind A the one that this key made before.

        Args:
            clip: What its files are like.
            count: How many of them.
            model: The vendor's name of the model.
            ref: The client's own id.
            key: Idempotency key.
            body: What was asked, as plain JSON; it is echoed, and compared when a key comes again.
            webhook: Where to tell of its end.
            text: What a script's ``match`` is looked for in; "" = the body as JSON.
            script: Its life, as `take_script` gave it; None = the first that fits.

        Raises:
            Refusal: 409: the key was used for another request.
        """
        now = self.clock.now()
        written = json.dumps(body, sort_keys=True, default=str)
        digest = hashlib.sha256(written.encode()).hexdigest()
        entry = current_entry.get()
        known = self._by_key.get(key) if key and self.traits.kind == "A" else None
        if known is not None and now - known.created < self.traits.key_lifetime:
            if known.digest != digest:
                raise Refusal(409, "conflict", "This idempotency key was used for another request.")
            self.journal.job(entry, known.id, key, created=False)
            return known
        number = len(self._order) + 1
        job = VendorJob(
            id=self._new_id(number, Random(f"{self.seed}/{number}")),
            seq=number,
            clip=clip,
            count=count,
            model=model,
            ref=ref,
            key=key,
            body=body,
            webhook=webhook,
            script=self._throttled(script or self.take_script(text or written), now),
            created=now,
            digest=digest,
        )
        self.jobs[job.id] = job
        self._order.append(job)
        if key:
            self._by_key[key] = job
        if ref:
            self._by_ref.setdefault(ref, []).append(job)
        self.journal.job(entry, job.id, ref or key, created=True)
        self.on_change(job)
        return job

    def take_script(self, text: str) -> Script:
        """The script for the next job whose create holds this text; it counts as used.

        For a vendor whose create answers otherwise for some scripts, such as with a refusal; pass it on to `create`.
        """
        for place, (script, left) in enumerate(self._scripts):
            if script.match not in text:
                continue
            if left is not None and left <= 1:
                del self._scripts[place]
            elif left is not None:
                self._scripts[place] = script, left - 1
            return script
        return self.script

    def _throttled(self, script: Script, now: float) -> Script:
        """The script of a job that may have to wait for a slot; a slot that a cancel frees early is not noticed."""
        if self.traits.concurrency is None:
            return script
        start = now
        if len(self._slots) >= self.traits.concurrency:
            start = max(now, heapq.heappop(self._slots))
        heapq.heappush(self._slots, start + script.seconds)
        return msgspec.structs.replace(script, throttled=script.throttled + start - now)

    # --- reading

    def get(self, job_id: str) -> VendorJob:
        """A job, by its id.

        Raises:
            Refusal: 404.
        """
        job = self.jobs.get(job_id)
        if job is None:
            raise Refusal(404, "not_found", f"There is no job {job_id[:80]!r}.")
        self.journal.job(current_entry.get(), job.id, job.ref or job.key, created=False)
        return job

    def poll(self, job_id: str) -> tuple[VendorJob, State, float]:
        """A job, its state and its progress (0 to 1); counts as having been asked for.

        Raises:
            Refusal: 404; 429 when it is asked for too soon.
        """
        job = self.get(job_id)
        now = self.clock.now()
        wait = job.polled + self.traits.poll_every - now
        if wait > 0:
            raise Refusal(429, "rate_limited", "Polled too soon.", {"retry-after": f"{wait:.0f}"})
        state, progress = job.look(now)
        job.polls += 1
        job.polled = now
        return job, state, progress

    def find(self, ref: str) -> list[VendorJob]:
        """The jobs of a client's own id, oldest first, once they show.

        Raises:
            Refusal: 404: this vendor knows no such id.
        """
        if self.traits.kind != "B":
            raise Refusal(404, "not_found", "Jobs cannot be asked for by an id of yours.")
        return [job for job in self._by_ref.get(ref, ()) if self._shows(job)]

    def listed(self, *, before: int | None = None, limit: int = 100) -> list[VendorJob]:
        """The newest jobs that show, newest first.

        Args:
            before: Only jobs with a smaller ``seq``.
            limit: At most so many.

        Raises:
            Refusal: 404: this vendor has no list.
        """
        if self.traits.kind == "N":
            raise Refusal(404, "not_found", "There is no list of jobs.")
        return list(self._newest(before, limit))

    def _newest(self, before: int | None, limit: int) -> Iterator[VendorJob]:
        place = len(self._order) if before is None else min(before - 1, len(self._order))
        while place > 0 and limit > 0:
            place -= 1
            job = self._order[place]
            if job.id in self.jobs and self._shows(job):
                limit -= 1
                yield job

    def _shows(self, job: VendorJob) -> bool:
        return job.created + self.traits.list_lag <= self.clock.now()

    # --- endings

    def cancel(self, job_id: str) -> tuple[VendorJob, bool]:
        """Stop a job; False when it is over, or its script does not allow it.

        Raises:
            Refusal: 404.
        """
        job = self.get(job_id)
        now = self.clock.now()
        if job.look(now)[0] in ENDED or job.script.cancel == "no":
            return job, False
        if job.script.cancel != "ignored":
            job.cancelled = now
            self.on_change(job)
        if job.script.cancel == "gone":
            del self.jobs[job.id]
        return job, True

    def forget(self, job_id: str) -> VendorJob:
        """Delete a job, as some vendors let one; it still counts as created.

        Raises:
            Refusal: 404.
        """
        job = self.get(job_id)
        del self.jobs[job.id]
        return job

    def charged(self, job: VendorJob) -> Decimal:
        """USD taken for a job so far."""
        state = job.look(self.clock.now())[0]
        if state not in ENDED or (state == "cancelled" and job.cancelled is not None):
            return Decimal(0)
        price = self._price(job)
        if state == "succeeded" and job.script.outputs is not None and job.count:
            price = price * min(job.outputs, job.count) / job.count
        return job.script.cost(price)

    def stats(self) -> dict[str, Any]:
        """Counts by state and the sum of all charges; looks at every job."""
        now = self.clock.now()
        states: dict[str, int] = {}
        for job in self._order:
            state = job.look(now)[0]
            states[state] = states.get(state, 0) + 1
        total = sum((self.charged(job) for job in self._order), Decimal(0))
        return {"jobs": len(self._order), "states": states, "charged": str(total)}

    def shown(self) -> list[dict[str, Any]]:
        """Every job that was ever made, oldest first, as plain data for tests."""
        now = self.clock.now()
        return [
            {
                "id": job.id,
                "seq": job.seq,
                "ref": job.ref or job.key,
                "model": job.model,
                "count": job.count,
                "created": job.created,
                "state": job.look(now)[0],
                "polls": job.polls,
                "downloads": job.downloads,
                "charged": str(self.charged(job)),
            }
            for job in self._order
        ]
