"""What MiniMax's refusals mean: V1 answers 200 with a code inside, V2 with a status and a code in its words.

The code decides, where it is known; otherwise the HTTP status does. Whether a create was accepted: a status that proves
a refusal is believed; with a status of 200 the code is, and an unknown code proves nothing.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from videogen_core import (
    AuthenticationError,
    ContentPolicyError,
    GenerationFailedError,
    InsufficientCreditsError,
    PermissionDeniedError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitError,
    RejectedRequestError,
)
from videogen_core.outcomes import Answer
from videogen_core.secret import masked

__all__ = ["code_of", "failed", "forgotten", "problem"]

_KINDS: dict[str, type[ProviderError]] = {
    "auth": AuthenticationError,
    "credits": InsufficientCreditsError,
    "permission": PermissionDeniedError,
    "policy": ContentPolicyError,
    "rate_limit": RateLimitError,
    "rejected": RejectedRequestError,
    "unavailable": ProviderUnavailableError,
}
_CODE = re.compile(r"\((\d{4,5})\)")
_LONGEST = 500  # characters of the vendor's words
_NO_TASK = re.compile(r"\b(invalid|unknown|no such) task|task[ _]?(id )?(is )?(invalid|not[ _]?(found|exist))", re.I)


class Code(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of ``codes.toml``."""

    error: str
    accepted: bool | None = None
    retry: bool = False
    wait: float | None = None
    hint: str | None = None


@cache
def _codes() -> dict[str, Code]:
    text = resources.files(__package__).joinpath("codes.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Code])


class Words(msgspec.Struct, frozen=True):
    """What an answer says about itself.

    Attributes:
        code: The vendor's, as text; empty when there is none.
        message: The vendor's.
        request_id: Of V2's errors.
        task: The id of a task, if it names one all the same.
        failed: Whether it has the shape of V2's errors.
    """

    code: str = ""
    message: str = ""
    request_id: str | None = None
    task: str = ""
    failed: bool = False


def _words(body: Any) -> Words:
    """The error that a body holds, in either shape."""
    if not isinstance(body, dict):
        return Words()
    task = body.get("task_id")
    named = str(task) if isinstance(task, str | int) and task else ""
    base, error = body.get("base_resp"), body.get("error")
    if isinstance(error, dict) and error:
        message = str(error.get("message") or error.get("type") or "")
        found = _CODE.findall(message)
        told = body.get("request_id")
        request_id = told if isinstance(told, str) else None
        return Words(found[-1] if found else "", message, request_id, named, failed=True)
    if isinstance(base, dict):
        return Words(code_of(base.get("status_code")), str(base.get("status_msg") or ""), None, named)
    return Words(task=named)


def _tells_status(body: Any) -> bool:
    """Whether it is V1's answer to a query: there the status counts, and the code only explains it."""
    return isinstance(body, dict) and isinstance(body.get("status"), str) and body["status"] != ""


def problem(answer: Answer, body: Any, *, model: str | None = None, advice: str = "") -> ProviderError | None:
    """The error that an answer stands for; None when it is none.

    Args:
        answer: Of either API.
        body: It parsed; None when it is no JSON.
        model: Offer id.
        advice: What to try when the key is refused.
    """
    words = _words(body)
    if answer.ok and (words.code in ("", "0") or _tells_status(body)) and not words.failed:
        return None
    row = _codes().get(words.code)
    said = words.message if f"({words.code})" in words.message or not words.code else f"{words.message} ({words.code})"
    if words.task:  # what may be there, and be charged, must not be lost
        said = f"it names the task {words.task[:80]}: {said}"
    error = answer.error(said.strip(), code=words.code or None, model=model)
    if words.request_id is not None:
        error.request_id = masked(words.request_id)
    if row is None or (error.accepted is False and row.accepted is None):
        return _advised(error, row, advice)  # the status says more than the code
    if answer.ok and not words.task:  # a task that has an id may be there, whatever the code
        error.accepted = row.accepted
    return _as(_KINDS[row.error], error, row, advice)


def _as(kind: type[ProviderError], error: ProviderError, row: Code, advice: str) -> ProviderError:
    return _advised(
        kind(
            error.message,
            provider="minimax",
            model=error.model,
            code=error.code,
            status_code=error.status_code,
            request_id=error.request_id,
            retryable=row.retry,
            charged=False if row.accepted is False else None,
            retry_after=error.retry_after if error.retry_after is not None else row.wait,
            accepted=error.accepted,
            hint=error.hint,
        ),
        row,
        advice,
    )


def _advised(error: ProviderError, row: Code | None, advice: str) -> ProviderError:
    if isinstance(error, AuthenticationError) and advice:
        error.hint = advice
    elif row is not None and row.hint is not None:
        error.hint = row.hint
    return error


def forgotten(error: ProviderError) -> ProviderError:
    """The error of a query, with the status that means "no such task" where the vendor says so in other words."""
    if isinstance(error, RejectedRequestError) and (_NO_TASK.search(error.message) or error.code == "2001"):
        error.status_code = 404
        error.hint = "MiniMax keeps a task for seven days, and shows it to the account alone that made it."
    return error


def failed(code: str, message: str, *, charged: bool | None = False) -> ProviderError:
    """Why a task failed that had been accepted.

    Args:
        code: The vendor's; empty or 0 when it gave none.
        message: The vendor's words.
        charged: Whether it was paid for.
    """
    row = _codes().get(code)
    policy = row is not None and row.error == "policy"
    said = message[:_LONGEST].strip()
    if said.lower() == "success":  # what base_resp says when it has nothing to say
        said = ""
    if policy:
        text = f"MiniMax's content filter blocked it: {said or 'no reason is given'}"
    else:
        text = f"MiniMax failed to make the clip: {said or 'no reason is given'}"
    return (ContentPolicyError if policy else GenerationFailedError)(
        text,
        provider="minimax",
        code=code if code not in ("", "0") else None,
        charged=charged,
        hint=row.hint if row is not None and policy else None,
    )


def code_of(value: Any) -> str:
    """A code as text, whether it came as a number or as text."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
