"""Jobs that nobody knows the outcome of: what is known, where a person can look, and what to type then."""

from __future__ import annotations

from typing import Any

from videogen_core import Client, JobStatus, VideogenError
from videogen_core.provider import Recovery
from videogen_core.states import JobRecord

from .screen import Screen
from .tables import facts
from .words import age

__all__ = ["advise", "doubt", "show_unknown"]

_SEARCHES = {
    "by_ref": "`videogen resume {job}` asks for it by our own id",
    "by_list": "`videogen resume {job}` looks for it in the provider's list",
    "by_time": "`videogen resume {job}` names the jobs that it may be",
}


def doubt(client: Client, job: JobRecord) -> dict[str, Any]:
    """What is known of one such job, as plain JSON data."""
    attempt = job.attempt
    allowed = _recovery(client, job)
    return {
        "reason": (attempt.error or job.error or {}).get("message"),
        "asked_at": attempt.started_at.isoformat(),
        "held": None if attempt.hold is None else str(attempt.hold),
        "reference": attempt.client_ref,
        "search": "none" if allowed is None else allowed.reconcile,
        "console": (allowed.console or None) if allowed is not None else None,
        "on_unknown": job.on_unknown,
    }


def _recovery(client: Client, job: JobRecord) -> Recovery | None:
    """What can be done, when the plugin can be loaded; a job of one that is gone is listed all the same."""
    try:
        plugin = client.workspace.registry.plugins.load(job.provider)
    except VideogenError:
        return None
    if plugin.provider is None:
        return None
    for spec in plugin.models:
        if spec.id == job.attempt.offer:
            return plugin.provider.recovery(spec)
    return Recovery(reconcile=plugin.provider.reconcile, console=plugin.provider.console)


def show_unknown(screen: Screen, client: Client, jobs: list[JobRecord]) -> None:
    """Print each with what a person can do about it."""
    for number, job in enumerate(jobs):
        if number:
            screen.line("")
        known = doubt(client, job)
        search = _SEARCHES.get(known["search"], "").format(job=job.id)
        attempt = job.attempt
        facts(
            screen,
            [
                ("job", job.id),
                ("offer", attempt.offer),
                ("prompt", " ".join(job.request.prompt.split())),
                ("asked", f"{attempt.started_at:%Y-%m-%d %H:%M:%S} UTC, {age(attempt.started_at)}"),
                ("held", "an unknown amount" if attempt.hold is None else f"${attempt.hold:.2f}"),
                ("reference", attempt.client_ref),
                ("reason", str(known["reason"] or "")),
                ("search", search or "the provider lets nobody look for a job"),
                ("look", known["console"] or f"at {attempt.provider}, for a job of that time"),
                *_verbs(job.id),
            ],
        )


def _verbs(job_id: str) -> list[tuple[str, str]]:
    settle = f"videogen jobs settle {job_id}"
    return [
        ("it is there", f"{settle} --attach ID"),
        ("it is not", f"{settle} --abandon"),
        ("make it anyway", f"{settle} --resubmit --i-accept-paying-twice"),
    ]


def advise(screen: Screen, client: Client, job_id: str) -> None:
    """Beside an error, which names the console: what to type, when the job is one of these."""
    job = client.job(job_id).record
    if job.status is not JobStatus.UNKNOWN:
        return
    for when, command in _verbs(job_id):
        screen.say(f"{when}: {command}")
