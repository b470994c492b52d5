"""One job in detail: what was asked, every try, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence

from videogen_core import Attempt, Event
from videogen_core.states import JobRecord

from .screen import Screen
from .tables import Column, facts, show_table
from .words import dollars, fields, seconds, video_facts

__all__ = ["show_job"]


def show_job(screen: Screen, job: JobRecord, events: Sequence[Event]) -> None:
    """Print a job."""
    facts(
        screen,
        [
            ("job", job.id),
            ("status", job.status.value),
            ("model", job.offer),
            ("prompt", job.request.prompt),
            *((name.replace("_", " "), value) for name, value in fields(job.request)),
            ("progress", "" if job.progress is None or job.progress >= 1 else f"{job.progress:.0%}"),
            ("made", f"{job.created_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("money", f"{job.money.value}, {dollars(job.cost)}" if job.attempts else job.money.value),
            ("max cost", "" if job.max_cost is None else dollars(job.max_cost)),
            ("tags", ", ".join(f"{key}={value}" for key, value in job.tags.items())),
            *(("moved", f"{change['field']} from {change['asked']} to {change['used']}") for change in job.changes),
            *(("video", f"{video.path or video.url} ({video_facts(video)})") for video in job.videos),
            ("error", str((job.error or {}).get("message", ""))),
            ("hint", str((job.error or {}).get("hint") or "")),
            ("next", "" if job.done else f"videogen resume {job.id}"),
        ],
    )
    if job.attempts:
        screen.line("")
        _attempts(screen, job.attempts)
    if events:
        screen.line("")
        _events(screen, events)


def _attempts(screen: Screen, attempts: Sequence[Attempt]) -> None:
    show_table(
        screen,
        [
            Column("attempt", [str(attempt.number) for attempt in attempts], right=True),
            Column("offer", [attempt.offer for attempt in attempts], wrap=20),
            Column("status", [attempt.status.value for attempt in attempts]),
            Column("estimate", [str(attempt.quote) for attempt in attempts], spare=3),
            Column("cost", [dollars(attempt.cost) for attempt in attempts], right=True),
            Column("took", [_took(attempt) for attempt in attempts], spare=1, right=True),
            Column("provider job", [attempt.provider_job_id or "" for attempt in attempts], spare=4, wrap=20),
            Column("error", [str((attempt.error or {}).get("message", "")) for attempt in attempts], spare=2, wrap=24),
        ],
    )


def _took(attempt: Attempt) -> str:
    return "" if attempt.finished_at is None else seconds((attempt.finished_at - attempt.started_at).total_seconds())


def _events(screen: Screen, events: Sequence[Event]) -> None:
    show_table(
        screen,
        [
            Column("time (UTC)", [f"{event.at:%H:%M:%S}" for event in events]),
            Column("event", [event.type for event in events]),
            Column("what happened", [_words(event) for event in events], wrap=30),
        ],
    )


def _words(event: Event) -> str:
    percent = f"{event.progress:.0%}" if event.type == "progress" and event.progress else ""
    return " ".join(part for part in (percent, event.message) if part)
