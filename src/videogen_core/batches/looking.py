"""A row before anything is spent: what it asks for, what tells it from the others, and what the ledger knows of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from ..arguments import sort_arguments
from ..delivery import Delivery
from ..engine import Engine
from ..errors import RequestError
from ..request import VideoRequest
from ..routing import Policy
from ..states import JobRecord, JobStatus
from .rows import Row
from .tally import Tally

__all__ = ["TAG", "Looked", "Looker"]

TAG = "batch"
"""Tag of every job of a batch; its value is the batch's name."""
_CHOICE = ("model", "providers", "prefer", "quality", "fit")
_ENDED_WITHOUT = (JobStatus.FAILED, JobStatus.CANCELLED)
# What says nothing of the row, when it cost nothing: the next run tries such a row again.
_NOT_THE_ROW = frozenset(
    {
        *("BudgetExceededError", "AuthenticationError", "MissingCredentialsError", "ConfigurationError"),
        *("InsufficientCreditsError", "ProviderUnavailableError", "RateLimitError"),
    }
)


@dataclass(frozen=True)
class Looked:
    """A row that makes sense.

    Attributes:
        row: The row.
        request: What it asks for, its inputs inspected.
        policy: How an offer is chosen.
        delivery: Where the clip goes, under the idempotency key of the job that is to be made, or is there.
        key: What tells the row from others in every run.
        job: Its present job; None = one is to be made.
    """

    row: Row
    request: VideoRequest
    policy: Policy
    delivery: Delivery
    key: str
    job: JobRecord | None


@dataclass(frozen=True)
class Looker:
    """Looks at rows in their order; blocks.

    Attributes:
        engine: Whose settings and ledger.
        name: Of the batch.
        keyed: Whether the same row is the same job; else every run makes it anew.
        defaults: Arguments of every row that does not say otherwise.
        folder: Where clips go, and where a row's own relative ``output`` begins; None = as the settings say.
        retry_failed: Whether rows that failed get a new job.
        tally: Counts rows that are alike.
    """

    engine: Engine
    name: str
    keyed: bool
    defaults: Mapping[str, Any]
    folder: Path | None
    retry_failed: bool
    tally: Tally

    def look(self, row: Row) -> Looked:
        """Read one row and find its job.

        Raises:
            VideogenError: What is wrong with it.
        """
        if row.fault is not None:
            raise row.fault
        arguments = {**self.defaults, **row.arguments}
        arguments["output"] = self._output(row)
        prompt = arguments.pop("prompt", None)
        request, policy, delivery = sort_arguments(self.engine.settings, prompt, arguments, call="batch")
        if TAG in delivery.tags or delivery.idempotency_key is not None:
            raise RequestError(f"tags.{TAG} and idempotency_key are the batch's own.", hint="Leave them out.")
        delivery = replace(delivery, tags={**delivery.tags, TAG: self.name})
        planner = self.engine.planner
        request = planner.inspect(request)
        sent = planner.prepare(request).request  # as extensions want it, which is what the ledger knows
        sent = request if sent == request else planner.inspect(sent)
        key = self._key(row, sent, arguments)
        if not self.keyed:
            return Looked(row, request, policy, delivery, key, None)
        job, number = self._present(key, sent)
        if job is not None and self._again(job):
            job, number = None, number + 1
        return Looked(row, request, policy, replace(delivery, idempotency_key=f"{key}/{number}"), key, job)

    def check(self, looked: Looked) -> Decimal | None:
        """Find out whether a new row can be made, whatever the budgets have left; its price at most, in USD.

        Raises:
            VideogenError: Why it cannot.
        """
        named = looked.row.arguments.get("output")
        if named is not None and "{" not in str(named) and self.tally.count(f"output {named}") > 1:
            raise RequestError(f"output: an earlier row goes to {named}, too.", hint="Give each row a name of its own.")
        return self.engine.rehearse(looked.request, looked.policy, looked.delivery)

    def _output(self, row: Row) -> str | None:
        named = row.arguments.get("output", self.defaults.get("output"))
        if self.folder is None:
            return None if named is None else str(named)
        if named is None:
            return f"{self.folder}{os.sep}"
        ending = os.sep if str(named).endswith(("/", os.sep)) else ""
        return f"{self.folder / str(named)}{ending}"

    def _key(self, row: Row, request: VideoRequest, arguments: Mapping[str, Any]) -> str:
        """The clip and the choice of its maker, the batch, and which of those rows that are alike it is.

        Where the clip goes and what it may cost are not in it: to change them is not to ask for another clip.
        """
        choice = {name: _plain(arguments[name]) for name in _CHOICE if arguments.get(name) is not None}
        alike = _digest([self.name, row.name, request.fingerprint(), choice])
        return f"batch-{alike}-{self.tally.count(alike)}"

    def _present(self, key: str, request: VideoRequest) -> tuple[JobRecord | None, int]:
        """The row's latest job and its number; a row that was tried again after a failure has several."""
        ledger, number = self.engine.recorder.ledger, 1
        job = ledger.find(f"{key}/1", request)
        while job is not None and job.status in _ENDED_WITHOUT:
            later = ledger.find(f"{key}/{number + 1}", request)
            if later is None:
                break
            job, number = later, number + 1
        return job, number

    def _again(self, job: JobRecord) -> bool:
        if job.status not in _ENDED_WITHOUT:
            return False
        innocent = str((job.error or {}).get("type")) in _NOT_THE_ROW and not job.at_risk
        return self.retry_failed or innocent


def _plain(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:32]
