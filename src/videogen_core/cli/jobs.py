"""``jobs``, ``resume`` and ``cancel``: what outlives the command that started it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from videogen_core import (
    Client,
    Job,
    JobStatus,
    JobTimeoutError,
    RequestError,
    Result,
    SubmissionUnknownError,
    VideogenError,
)
from videogen_core.states import TERMINAL

from . import completion
from .failures import exit_code, report
from .job_card import show_job
from .make import show_result
from .options import JobId, pairs, takes
from .progress import following
from .screen import Screen
from .tables import Column, show_table
from .unknowns import advise, doubt, show_unknown
from .words import age, dollars

__all__ = ["cancel", "jobs", "resume"]

_Status = Annotated[
    str | None,
    typer.Option("--status", metavar="STATUS", help="Only this status.", autocompletion=completion.words(*JobStatus)),
]
_Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="Only with this label; may be repeated.")
]
_Unfinished = Annotated[bool, typer.Option("--unfinished", help="Only what `videogen resume` would pick up.")]
_Unknown = Annotated[
    bool, typer.Option("--unknown", help="Only what nobody knows the outcome of, and what you can do about each.")
]
_Limit = Annotated[int, typer.Option("--limit", metavar="NUMBER", help="At most so many; 0 = all.", min=0)]
_One = Annotated[
    str | None,
    typer.Argument(metavar="[JOB]", help="Show one job with its events.", autocompletion=completion.jobs_and_verbs),
]
_Some = Annotated[
    list[str] | None,
    typer.Argument(metavar="[JOB]...", help="Which; none = all unfinished.", autocompletion=completion.job_ids),
]
_Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="PATH", help="Another place than the job was made with.")
]
_Wait = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Longest wait; none = no limit.")]


@takes()
def jobs(
    screen: Screen,
    job: _One = None,
    status: _Status = None,
    tag: _Tags = None,
    unfinished: _Unfinished = False,
    unknown: _Unknown = False,
    limit: _Limit = 50,
) -> None:
    """List jobs, newest first; or show one with its attempts and events."""
    with Client() as client:
        if job is not None:
            _one(screen, client, job)
            return
        status = _status(status, unknown)
        found = client.jobs(
            status=status, tags=pairs("--tag", tag or ()) or None, unfinished=unfinished, limit=limit or None
        )
        if unknown:
            _unknown(screen, client, found)
            return
    if screen.json:
        screen.emit({"jobs": [job.to_dict() for job in found]})
    elif found:
        _show_table(screen, found)
    else:
        screen.say("No jobs.")


def _status(status: str | None, unknown: bool) -> str | None:
    """What ``--unknown`` and ``--status`` say together.

    Raises:
        RequestError: They contradict each other.
    """
    if unknown and status not in (None, JobStatus.UNKNOWN):
        raise RequestError(f"--unknown and --status {status} exclude each other.")
    return JobStatus.UNKNOWN if unknown else status


def _unknown(screen: Screen, client: Client, found: list[Job]) -> None:
    records = [job.record for job in found]
    if screen.json:
        screen.emit({"jobs": [{**record.to_dict(), "unknown": doubt(client, record)} for record in records]})
    elif records:
        show_unknown(screen, client, records)
    else:
        screen.say("No jobs are unknown.")


def _one(screen: Screen, client: Client, job_id: str) -> None:
    job, events = client.job(job_id), client.events(job_id)
    if screen.json:
        screen.emit({**job.to_dict(), "events": [event.to_dict() for event in events]})
    else:
        show_job(screen, job.record, events)


def _show_table(screen: Screen, found: list[Job]) -> None:
    complete = show_table(
        screen,
        [
            Column("job", [job.id for job in found]),
            Column("status", [job.status.value for job in found]),
            Column("model", [job.model for job in found], spare=2),
            Column("made", [age(job.created_at) for job in found], spare=1),
            Column("cost", [_cost(job) for job in found], right=True, spare=3),
            Column("video", [job.artifact.value for job in found], spare=5),
            Column("prompt", [_cut(job.record.request.prompt) for job in found], spare=4, wrap=24),
        ],
    )
    if not complete:
        screen.say("`videogen jobs JOB` shows all of one.", "dim")


def _cost(job: Job) -> str:
    """What it cost, or is expected to."""
    if not job.record.attempts:
        return ""
    if job.cost is None and job.status not in TERMINAL:
        high = job.record.attempt.quote.high
        return dollars(high) if not high else f"~{dollars(high)}"
    return dollars(job.cost)


def _cut(text: str, most: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


@takes()
def resume(screen: Screen, job: _Some = None, output: _Output = None, timeout: _Wait = None) -> int:
    """Go on with jobs that an earlier command left behind: look for those without an answer, wait, download, verify.

    Prints the paths of the clips on standard output. Several jobs given by name are waited for one after the other.
    """
    with Client() as client:
        if job:
            waiting = [client.job(job_id) for job_id in dict.fromkeys(job)]
        else:
            waiting = list(reversed(client.jobs(unfinished=True, limit=None)))
        if output is not None and len(waiting) > 1 and not _makes_several(output):
            raise RequestError(
                "--output: one file for several jobs.", hint="Write a folder/ or a template such as '{job_id}.mp4'."
            )
        answers = _wait(screen, client, waiting, all_at_once=not job and output is None, output=output, timeout=timeout)
        return _show_answers(screen, client, answers)


def _makes_several(output: str) -> bool:
    return output.endswith("/") or "{job_id}" in output


Answers = list[tuple[str, Result | VideogenError]]


def _wait(
    screen: Screen, client: Client, waiting: list[Job], *, all_at_once: bool, output: str | None, timeout: float | None
) -> Answers:
    with following(screen, client, waiting) as follower:
        if all_at_once:
            found = client.resume(timeout=timeout, on_event=follower)
            return [(job.id, answer) for job, answer in zip(waiting, found, strict=False)]
        answers: Answers = []
        for job in waiting:
            try:
                answers.append((job.id, job.wait(timeout, on_event=follower, output=output)))
            except VideogenError as error:
                answers.append((job.id, error))
        return answers


def _show_answers(screen: Screen, client: Client, answers: Answers) -> int:
    codes = [exit_code(answer) for _, answer in answers if isinstance(answer, VideogenError)]
    if screen.json:
        screen.emit({"jobs": [_answer(job_id, answer) for job_id, answer in answers]})
        return max(codes, default=0)
    if not answers:
        screen.say("Nothing to resume.")
    for job_id, answer in answers:
        if isinstance(answer, VideogenError):
            report(screen, answer)
            if isinstance(answer, SubmissionUnknownError | JobTimeoutError):
                advise(screen, client, job_id)
        else:
            show_result(screen, answer)
    return max(codes, default=0)


def _answer(job_id: str, answer: Result | VideogenError) -> dict[str, Any]:
    failed = isinstance(answer, VideogenError)
    return {
        "job_id": job_id,
        "result": None if failed else answer.to_dict(),
        "error": answer.to_dict() if failed else None,
    }


@takes()
def cancel(screen: Screen, job: JobId) -> None:
    """Ask the provider to stop a job. Whether it charges for it all the same is the provider's word."""
    with Client() as client:
        answer = client.job(job).cancel()
    if screen.json:
        screen.emit(answer.to_dict())
        return
    screen.line(answer.status.value)
    charged = "" if answer.cost is None else f" Its cost is {dollars(answer.cost)}."
    screen.say(f"Job {answer.id} is {answer.status.value}.{charged}")
