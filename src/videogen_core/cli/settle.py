"""``jobs settle``: the word of a person about a job that nobody knows the outcome of, or about what one has cost."""

from __future__ import annotations

from typing import Annotated

import typer

from videogen_core import Client, Job, JobStatus, RequestError

from .options import JobId, takes
from .screen import Screen
from .words import dollars

__all__ = ["settle"]

_Attach = Annotated[
    str | None, typer.Option("--attach", metavar="ID", help="The provider has it under this id; it goes on from there.")
]
_Abandon = Annotated[
    bool, typer.Option("--abandon", help="Nothing comes of it; --cost says what it was charged, else nothing.")
]
_Resubmit = Annotated[
    bool, typer.Option("--resubmit", help="Ask for it again; what was held for the first is booked as spent.")
]
_Accept = Annotated[
    bool, typer.Option("--i-accept-paying-twice", help="Needed with --resubmit: the first may be charged as well.")
]
_Cost = Annotated[
    str | None, typer.Option("--cost", metavar="USD", help="Alone: what an attempt that is over has cost in truth.")
]
_Attempt = Annotated[
    int | None, typer.Option("--attempt", metavar="NUMBER", help="Which attempt --cost is of; else the last.", min=1)
]


@takes()
def settle(
    screen: Screen,
    job: JobId,
    attach: _Attach = None,
    abandon: _Abandon = False,
    resubmit: _Resubmit = False,
    i_accept_paying_twice: _Accept = False,
    cost: _Cost = None,
    attempt: _Attempt = None,
) -> None:
    """Say what became of an unknown job, or what an attempt has cost. Look at the provider before you do.

    Prints the job's status on standard output.
    """
    _sane(attach, abandon, resubmit, i_accept_paying_twice, cost, attempt)
    with Client() as client:
        settled = client.job(job).settle(attach=attach, abandon=abandon, resubmit=resubmit, cost=cost, attempt=attempt)
    if screen.json:
        screen.emit(settled.to_dict())
        return
    screen.line(settled.status.value)
    screen.say(_told(settled))


def _sane(
    attach: str | None, abandon: bool, resubmit: bool, accepted: bool, cost: str | None, attempt: int | None
) -> None:
    """Refuse what contradicts itself; nothing that was typed is passed over.

    Raises:
        RequestError: It does.
    """
    verbs = [name for name, said in (("--attach", attach), ("--abandon", abandon), ("--resubmit", resubmit)) if said]
    if attach == "":
        raise RequestError("--attach: an empty id is none.")
    if len(verbs) > 1:
        raise RequestError(f"{' and '.join(verbs)} exclude each other.", hint="Say what you found, in one word.")
    if not verbs and cost is None:
        raise RequestError(
            "Say what is to be settled.", hint="--attach ID, --abandon, --resubmit, or --cost USD of what is over."
        )
    if resubmit and not accepted:
        raise RequestError(
            "--resubmit asks for it again although the first may have been accepted, and both may be charged.",
            hint="Look at the provider first. If you want that all the same, add --i-accept-paying-twice.",
        )
    if accepted and not resubmit:
        raise RequestError("--i-accept-paying-twice belongs to --resubmit.")
    if cost is not None and (attach or resubmit):
        raise RequestError(f"--cost does not go with {verbs[0]}.", hint="The cost of it comes when it is done.")
    if attempt is not None and verbs:
        raise RequestError(f"--attempt does not go with {verbs[0]}: it is about the last attempt.")


def _told(job: Job) -> str:
    resume = f"`videogen resume {job.id}`"
    if job.status is JobStatus.CREATED:
        return f"Job {job.id} is to be asked for again: {resume} does it."
    if not job.record.done:
        return f"Job {job.id} is {job.status.value}: {resume} waits for it and fetches it."
    booked = "unknown" if job.cost is None else "nothing" if job.cost == 0 else dollars(job.cost)
    return f"Job {job.id} is {job.status.value}. Its cost is {booked}."
