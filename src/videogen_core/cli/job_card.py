"""One job in detail: what was asked, every try, and what happened when."""

from __future__ import annotations

from collections.abc import Sequence

from videogen_core import Attempt, Event, JobStatus
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
            ("held", dollars(job.attempt.hold) if job.attempts and job.attempt.open and job.attempt.hold else ""),
            ("max cost", "" if job.max_cost is None else dollars(job.max_cost)),
            ("tags", ", ".join(f"{key}={value}" for key, value in job.tags.items())),
            *(("moved", f"{change['field']} from {change['asked']} to {change['used']}") for change in job.changes),
            *(("video", f"{video.path or video.url} ({video_facts(video)})") for video in job.videos),
            ("cached", f"from the cache, made by {job.cached}" if job.cached else ""),
            *(("orphan", _orphan(attempt, theirs)) for attempt in job.attempts for theirs in attempt.orphans),
            ("error", str((job.error or {}).get("message", ""))),
            ("hint", str((job.error or {}).get("hint") or "")),
            *_next(job),
        ],
    )
    if job.attempts:
        screen.line("")
        _attempts(screen, job.attempts)
    if events:
        screen.line("")
        _events(screen, events)


def _orphan(attempt: Attempt, provider_job_id: str) -> str:
    return f"{provider_job_id}: {attempt.provider} has attempt {attempt.number} as this too, and may charge for it"


def _next(job: JobRecord) -> list[tuple[str, str]]:
    """What to type to go on."""
    if job.done:
        return []
    look = [("or", f"videogen jobs settle {job.id}")] if job.status is JobStatus.UNKNOWN else []
    return [("next", f"videogen resume {job.id}"), *look]


def _attempts(screen: Screen, attempts: Sequence[Attempt]) -> None:
    show_table(
        screen,
        [
            Column("attempt", [str(attempt.number) for attempt in attempts], right=True),
            Column("offer", [attempt.offer for attempt in attempts], wrap=20),
            Column("status", [attempt.status.value for attempt in attempts]),
            Column("estimate", [str(attempt.quote) for attempt in attempts], spare=3),
            Column("held", [_held(attempt) for attempt in attempts], spare=6, right=True),
            Column("cost", [dollars(attempt.cost) for attempt in attempts], right=True),
            Column("as", [attempt.cost_origin or "" for attempt in attempts], spare=5),
            Column("took", [_took(attempt) for attempt in attempts], spare=1, right=True),
            Column("provider job", [attempt.provider_job_id or "" for attempt in attempts], spare=4, wrap=20),
            Column("error", [str((attempt.error or {}).get("message", "")) for attempt in attempts], spare=2, wrap=24),
        ],
    )


def _held(attempt: Attempt) -> str:
    """What was set aside; shown as long as it is more than nothing."""
    return dollars(attempt.hold) if attempt.hold else ""


def _took(attempt: Attempt) -> str:
    return "" if attempt.finished_at is None else seconds((attempt.finished_at - attempt.started_at).total_seconds())


def _events(screen: Screen, events: Sequence[Event]) -> None:
    show_table(
        screen,
        [
            Column("time (UTC)", [f"{event.at:%H:%M:%S}" for event in events]),
            Column("event", [event.type for event in events]),
            Column("what happened", [_words(event) for event in events], wrap=30),
            Column("by", [_who(event.actor) for event in events], spare=1),
        ],
    )


def _who(actor: str) -> str:
    """Host and process, and the fence of the lease: ``build-3:4711#2``."""
    host, _, rest = actor.partition(":")
    process = rest.partition(":")[0]
    fence = actor.rpartition("#")[2] if "#" in actor else ""
    return "".join([host, f":{process}" if process else "", f"#{fence}" if fence else ""])


def _words(event: Event) -> str:
    percent = f"{event.progress:.0%}" if event.type == "progress" and event.progress else ""
    return " ".join(part for part in (percent, event.message) if part)
