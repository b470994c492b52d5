"""What a job handle shows, sync and async alike."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from .states import Artifact, JobRecord, JobStatus, Money

__all__ = ["Handle"]


class Handle:
    """What sync and async job handles show of a job; reading it touches neither network nor disk."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record

    @property
    def record(self) -> JobRecord:
        """The whole record, as last read."""
        return self._record

    @property
    def id(self) -> str:
        """Our id; the same in every process that shares the ledger."""
        return self._record.id

    @property
    def status(self) -> JobStatus:
        """Status as last read."""
        return self._record.status

    @property
    def money(self) -> Money:
        """Where its money is."""
        return self._record.money

    @property
    def artifact(self) -> Artifact:
        """Where its video is."""
        return self._record.artifact

    @property
    def progress(self) -> float | None:
        """0 to 1, where the provider says."""
        return self._record.progress

    @property
    def model(self) -> str:
        """The offer that works on it."""
        return self._record.offer

    @property
    def provider(self) -> str:
        """Adapter id."""
        return self._record.provider

    @property
    def provider_job_id(self) -> str | None:
        """The vendor's id, once accepted."""
        return self._record.provider_job_id

    @property
    def cost(self) -> Decimal | None:
        """USD of all attempts; None when it is not known."""
        return self._record.cost

    @property
    def created_at(self) -> datetime:
        """Aware UTC."""
        return self._record.created_at

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return self._record.to_dict()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.status} {self.model}>"
