"""What plugins return, judged like network input: what can be kept is kept, and nothing of it can hurt the ledger."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from ..errors import GenerationFailedError, ProviderError
from ..outcomes import usable_id
from ..provider import Output, Provider, Snapshot, Submission, SubmitCall
from ..redaction import redact
from ..retry import MAX_RETRY_AFTER
from ..states import JobStatus

__all__ = ["advice", "amount", "pause", "snapshot", "submission"]

_MAX_REPLY = 64 * 1024


def advice(provider: Provider, call: SubmitCall) -> tuple[str, ...]:
    """What a plugin has to say about a request; nothing, if it breaks, since advice is no reason to stop."""
    given = call.spec, call.request
    try:
        # ours changes nothing, and a copy of a model takes longer than the rest of it
        given = given if type(provider).advice is Provider.advice else copy.deepcopy(given)
        return tuple(redact(str(text)) for text in provider.advice(*given))
    except Exception:
        return ()


def submission(answer: object) -> Submission:
    """An acceptance. Without a usable id nothing was promised; with one, no other mistake may lose it.

    Raises:
        TypeError: It is no `Submission`.
        ValueError: It holds no usable id.
    """
    if not isinstance(answer, Submission):
        raise TypeError(f"submit returned {type(answer).__name__}, not a Submission")
    name = answer.provider_job_id
    if not isinstance(name, str) or not usable_id(name):
        raise ValueError("the provider's answer holds no usable job id")
    request_id = answer.request_id
    return replace(
        answer,
        handle=_plain(answer.handle),
        request_id=None if request_id is None else str(request_id),
        poll_after=pause(answer.poll_after),
        reply=redact(str(answer.reply or ""))[:_MAX_REPLY],
    )


def snapshot(answer: object) -> Snapshot:
    """The news of a poll.

    Raises:
        TypeError: It is no `Snapshot`, or its outputs are none.
        ValueError: Its status is none.
    """
    if not isinstance(answer, Snapshot):
        raise TypeError(f"poll returned {type(answer).__name__}, not a Snapshot")
    outputs = tuple(answer.outputs or ())
    if not all(isinstance(output, Output) for output in outputs):
        raise TypeError("poll returned outputs that are none")
    error: Any = answer.error
    if error is not None and not isinstance(error, ProviderError):
        error = GenerationFailedError(redact(f"{type(error).__name__}: {error}"))
    return replace(
        answer,
        status=JobStatus(answer.status),
        progress=_number(answer.progress),
        message=redact(str(answer.message or "")),
        outputs=outputs,
        cost=amount(answer.cost),
        error=error,
        poll_after=pause(answer.poll_after),
        remaining=_seconds(answer.remaining),
    )


def pause(seconds: object) -> float | None:
    """Seconds that a provider asks to wait: never for ever, never back in time; None when it says nothing usable."""
    number = _number(seconds)
    return None if number is None else min(max(number, 0.0), MAX_RETRY_AFTER)


def _seconds(value: object) -> float | None:
    number = _number(value)
    return None if number is None or number < 0 else number


def amount(cost: object) -> Decimal | None:
    """USD that a provider says; None when it is no amount."""
    try:
        found = cost if isinstance(cost, Decimal) else Decimal(str(cost))
    except InvalidOperation:
        return None
    return found if found.is_finite() and found >= 0 else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _plain(handle: object) -> dict[str, Any]:
    try:
        plain = msgspec.json.decode(msgspec.json.encode(handle, enc_hook=str))
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return {}
    return plain if isinstance(plain, dict) else {}
