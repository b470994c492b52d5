"""MiniMax's callbacks: the handshake, and what a delivery is about. Nothing in them is signed.

What vouches for a delivery is its address: it holds our own id of the attempt, which nobody else can guess. Whoever
takes deliveries in passes it on as ``reference``, without which none counts. Even then a delivery is only a hint:
MiniMax is asked with our own key, also whether there is a task of the id that it names.
"""

from __future__ import annotations

import json
from typing import Any

from videogen_core import Notice, WebhookError

__all__ = ["challenge", "notice"]

_LONGEST = 4096  # characters of a challenge


def challenge(body: bytes) -> dict[str, str] | None:
    """The answer to MiniMax's handshake; None when the request is none, but a delivery.

    MiniMax posts ``{"challenge": "…"}`` to an address while it takes a create that names it, and wants the same back as
    JSON within three seconds; otherwise nothing is ever delivered there. Call this before ``Client.webhook``::

        if (answer := videogen_minimax.challenge(body)) is not None:
            return JSONResponse(answer)

    Args:
        body: Of the request, as it came.
    """
    told = _read(body)
    value = told.get("challenge") if told is not None else None
    return {"challenge": value} if isinstance(value, str) and 0 < len(value) <= _LONGEST else None


def notice(body: bytes) -> Notice:
    """What a delivery is about: it has the shape of the answer to a query, of either API.

    Raises:
        WebhookError: It is the handshake, or has no such shape.
    """
    told = _read(body)
    if told is None:
        raise WebhookError("A delivery of MiniMax's is a JSON object.")
    if "challenge" in told:
        raise WebhookError("This is MiniMax's handshake.", hint="Answer with videogen_minimax.challenge(body).")
    task = told.get("task")
    return Notice(provider_job_id=_id(task.get("id") if isinstance(task, dict) else told.get("task_id")))


def _id(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value else None


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
