"""Looking for a job whose create got no answer, in the lists of all addresses of its server, newest first.

Nobody's id of ours is kept by these servers. Where a record echoes the prompt, the size and the length, those speak for
it; the engine holds its age against the create and asks that it be the only one that no other job of ours is. Where it
does not echo the prompt, what fits is shown to a person and never taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from videogen_core import Found, Submission

from . import failures
from .asking import Client
from .bodies import Wanted
from .jobs import created_at
from .settings import Endpoint

__all__ = ["find", "records", "submission_of"]

_PAGE = 100
_PAGES = 10
_BEFORE = timedelta(seconds=120)  # by which clocks may differ


async def find(client: Client, told: Wanted, started_at: datetime) -> tuple[Found, ...]:
    """Every job that the create may have made.

    Args:
        client: Of the server.
        told: What the create said.
        started_at: When it was about to be sent.

    Raises:
        ProviderError: An address cannot be asked, so that nobody knows what it has.
    """
    found: list[Found] = []
    for endpoint in client.server.endpoints:
        rows, now = await records(client, endpoint, since=started_at - _BEFORE)
        found += _candidates(rows, endpoint, told, now)
    return tuple(found)


async def records(
    client: Client, endpoint: Endpoint, *, since: datetime | None = None
) -> tuple[list[Mapping[str, Any]], datetime | None]:
    """The jobs of an address, newest first, and what time it is there; none where it has no list.

    Args:
        client: Of the server.
        endpoint: Which address.
        since: Older ones are left out; None = only the first page.

    Raises:
        ProviderError: It cannot be asked now.
    """
    rows: list[Mapping[str, Any]] = []
    after: str | None = None
    now: datetime | None = None
    for _ in range(_PAGES):
        query: dict[str, Any] = {"limit": _PAGE, "order": "desc"} | ({} if after is None else {"after": after})
        answer = await client.ask(
            endpoint,
            "GET",
            "/v1/videos",
            action="list jobs",
            params=query,
        )
        if answer.status in (404, 405, 501):
            return [], None
        if not answer.ok:
            raise failures.refused(answer, client.server, endpoint)
        now = answer.date
        told = answer.json()
        page = told.get("data") if isinstance(told, Mapping) else told
        if not isinstance(page, list):
            raise answer.garbled("a list of jobs without jobs")
        rows += [row for row in page if isinstance(row, Mapping) and isinstance(row.get("id"), str)]
        oldest = created_at(rows[-1]) if rows else None
        if since is None or len(page) < _PAGE or (oldest is not None and oldest < since):
            break
        if rows[-1]["id"] == after:  # the page was the same again: it does not know `after`
            break
        after = rows[-1]["id"]
    return rows, now


def submission_of(job: str, endpoint: Endpoint, **more: Any) -> Submission:
    """A job by its server's id, and where it is: two servers may have one id each for a job of their own."""
    return Submission(provider_job_id=f"{job}@{endpoint.label}", handle={"job": job, "at": endpoint.label}, **more)


def _candidates(
    rows: list[Mapping[str, Any]], endpoint: Endpoint, told: Wanted, now: datetime | None
) -> Iterator[Found]:
    for row in rows:
        made = created_at(row)
        if not _fits(row, told.values):
            continue
        age = None if now is None or made is None else max((now - made).total_seconds(), 0.0)
        yield Found(submission=submission_of(row["id"], endpoint), ours=_is_ours(row, told), age=age)


def _is_ours(row: Mapping[str, Any], told: Wanted) -> bool:
    """Whether a record speaks for the very create: it echoes the prompt, and there is no picture that it does not."""
    prompt = told.values.get("prompt")
    return bool(prompt) and row.get("prompt") == prompt and told.picture is None


def _fits(row: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether all that a record says is what was asked for."""
    prompt, size, seconds = (row.get(name) for name in ("prompt", "size", "seconds"))
    if prompt is not None and prompt != values.get("prompt"):
        return False
    if size and "size" in values and size != values["size"]:
        return False
    if seconds is None or "seconds" not in values:
        return True
    try:
        off = abs(int(seconds) - int(values["seconds"]))
    except (TypeError, ValueError):
        return True
    return off == 0 if prompt is not None else off <= 1  # without a prompt it was counted back from the frames
