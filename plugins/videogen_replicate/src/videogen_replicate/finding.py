"""Looking for a prediction whose create got no answer, in the list of predictions, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from videogen_core import Found, Submission, SubmitCall

from . import failures
from .api import Api
from .arguments import model_input
from .predictions import created_at
from .uploads import Room, data_uri

__all__ = ["find", "same_input"]

_PAGES = 5  # of a hundred predictions each
_BEFORE = timedelta(seconds=120)  # by which clocks may differ

_ELSEWHERE = object()
"""Stands for an upload, whose address is another one each time."""


async def find(api: Api, call: SubmitCall, started_at: datetime) -> tuple[Found, ...]:
    """Every prediction that the create may have made: those of the model, and any that was made from our inputs.

    One is ours when its model and its inputs are exactly ours; with an upload among them nobody can tell, nor where the
    list was not read as far back as the create, since another like it may stand there.
    """
    wanted = model_input(call.spec, call.request, call.options, await _media(call))
    found: list[Found] = []
    cursor: str | None = ""
    for _ in range(_PAGES):
        cursor, rows, now = await _page(api, cursor)
        found += _candidates(rows, call, wanted, now)
        oldest = created_at(rows[-1]) if rows else None
        if cursor is None or (oldest is not None and oldest < started_at - _BEFORE):
            return tuple(found)
    return tuple(replace(each, ours=False) for each in found)


async def _media(call: SubmitCall) -> dict[str, Any]:
    """The inputs as the create told them, as far as that is the same each time."""
    found: dict[str, Any] = {}
    room = Room()
    for name, media in call.request.media():
        if media.url is not None:
            found[name] = media.url
        else:
            data = await call.read(media)
            found[name] = data_uri(data, video=name == "video") if room.takes(data) else _ELSEWHERE
    return found


async def _page(api: Api, cursor: str | None) -> tuple[str | None, list[Mapping[str, Any]], datetime | None]:
    """The cursor of the next page, a page, and what time it is at Replicate."""
    answer = await api.read("/v1/predictions", action="find", params={"cursor": cursor} if cursor else {})
    if not answer.ok:
        raise failures.refused(answer)
    page = answer.json(dict[str, Any])
    rows = page.get("results")
    if not isinstance(rows, list):
        raise answer.garbled("a list of predictions without results")
    following = page.get("next")
    # only the cursor is taken: the token goes to no address that an answer names
    cursors = parse_qs(urlsplit(following).query).get("cursor", []) if isinstance(following, str) else []
    return next(iter(cursors), None), [row for row in rows if isinstance(row, Mapping)], answer.date


def _candidates(
    rows: list[Mapping[str, Any]], call: SubmitCall, wanted: Mapping[str, Any], now: datetime | None
) -> list[Found]:
    model = call.spec.id.partition("/")[2]
    found = []
    for row in rows:
        name, made = row.get("id"), created_at(row)
        of_model, of_input = str(row.get("model")).lower() == model, same_input(row, wanted)
        if not isinstance(name, str) or not (of_model or of_input):
            continue
        age = None if now is None or made is None else max((now - made).total_seconds(), 0.0)
        found.append(Found(submission=Submission(provider_job_id=name), ours=of_model and of_input, age=age))
    return found


def same_input(told: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a prediction was made from exactly these inputs."""
    return told.get("input") == dict(wanted)
