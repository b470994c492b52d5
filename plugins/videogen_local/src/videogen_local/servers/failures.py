"""What a server says when something does not work, as this library's errors: of a request, and of a job."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from videogen_core import (
    ContentPolicyError,
    GenerationFailedError,
    ProviderError,
    ProviderProtocolError,
    RejectedRequestError,
)
from videogen_core.outcomes import Answer

from .settings import Endpoint, Server

__all__ = ["failed", "forgotten", "refused", "words"]

_POLICY = re.compile(r"moderation|content.?policy|safety|guardrail|nsfw|blocked", re.IGNORECASE)
_MEMORY = re.compile(r"out of memory|OutOfMemory|CUDA OOM", re.IGNORECASE)
_LONGEST = 2000  # characters of a server's words
_CHANGE = "Change the prompt or the picture."


def words(told: Any) -> tuple[str, str]:
    """Code and message of an error, as each of these servers writes one; empty where it does not say.

    FastAPI has ``detail``, a text or a list of fields; OpenAI and vLLM have ``error`` or the error itself.
    """
    if isinstance(told, str):
        return "", told.strip()[:_LONGEST]
    if not isinstance(told, Mapping):
        return "", ""
    if isinstance(detail := told.get("detail"), list):
        return "", "; ".join(_field(each) for each in detail)[:_LONGEST]
    inner = told.get("error") or detail
    if inner is not None and inner is not told:
        return words(inner)
    code = told.get("code")
    return "" if code is None else str(code)[:80], str(told.get("message") or "").strip()[:_LONGEST]


def _field(found: Any) -> str:
    """One field that FastAPI refuses, with why."""
    if not isinstance(found, Mapping):
        return str(found)
    place = found.get("loc")
    name = ".".join(str(part) for part in place if part != "body") if isinstance(place, list) else ""
    return ": ".join(part for part in (name, str(found.get("msg") or "is wrong")) if part)


def refused(answer: Answer, server: Server, endpoint: Endpoint, *, model: str | None = None) -> ProviderError:
    """The error of an answer that is no success.

    Args:
        answer: The server's.
        server: Which one.
        endpoint: Where.
        model: Offer id.
    """
    code, message = words(_body(answer))
    if not message:
        message = "an HTML page" if answer.text.lstrip()[:1] == "<" else answer.text
    error = answer.error(f"{message} (at {endpoint.label})", code=code or None, model=model)
    if isinstance(error, RejectedRequestError) and _POLICY.search(f"{code} {message}"):
        return ContentPolicyError(
            error.message,
            provider="local",
            model=model,
            code=code or None,
            status_code=answer.status,
            request_id=answer.request_id,
            accepted=error.accepted,
            hint=_CHANGE,
        )
    if answer.status in (401, 403):
        error.hint = _key_hint(server)
    if answer.status == 422 and server.dialect.encoding == "multipart":
        error.hint = f"Does it speak the dialect {server.dialect.name!r}?"
    return error


def _key_hint(server: Server) -> str:
    if server.key_env:
        return f"Check {server.key_env}: it is not the key that the server was started with."
    return f"It wants a key: name its variable as key_env in [providers.local.servers.{server.name}]."


def failed(told: Any, server: Server, endpoint: Endpoint, *, model: str) -> ProviderError:
    """The error of a job that failed.

    Args:
        told: The job's ``error``, whatever it is.
        server: Which one has made it.
        endpoint: Where.
        model: Offer id.
    """
    code, message = words(told)
    text = f"{server.dialect.title} at {endpoint.label} could not make it: {message or 'no reason is given'}"
    kind: type[ProviderError] = GenerationFailedError
    hint = None
    if _POLICY.search(f"{code} {message}"):
        kind, hint = ContentPolicyError, _CHANGE
    elif _MEMORY.search(message):
        hint = "Its device has too little memory for this: ask for a smaller size or a shorter clip."
    error = kind(text, provider="local", model=model, code=code or None, hint=hint)
    error.charged = None  # its machine may have worked on it: the time that it took says what it cost
    return error


def forgotten(server: Server, endpoint: Endpoint, job: str, *, model: str) -> ProviderError:
    """The error of a job that its server has no more."""
    error = GenerationFailedError(
        f"{server.dialect.title} at {endpoint.label} does not know the job {job} any more.",
        provider="local",
        model=model,
        status_code=404,
        hint="These servers keep jobs in memory: it was restarted, or somebody has deleted the job. Generate it again. "
        "An address must lead to one server, not to several behind a balancer; list those as urls.",
    )
    error.charged = None
    return error


def _body(answer: Answer) -> Any:
    try:
        return answer.json()
    except ProviderProtocolError:
        return None
