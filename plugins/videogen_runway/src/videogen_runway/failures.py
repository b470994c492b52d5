"""What Runway's SDK raises, as this library's errors. Whether a create was accepted the core decides, by the status."""

from __future__ import annotations

from typing import Any

from videogen_core import (
    ConfigurationError,
    InsufficientCreditsError,
    ModelRetiredError,
    ModelSpec,
    ProviderError,
    ProviderProtocolError,
    VideogenError,
)
from videogen_core.outcomes import Answer, unavailable

__all__ = ["failure"]

_HINTS = {
    401: "Check RUNWAYML_API_SECRET: it may be wrong or disabled, or the account suspended.",
    403: "The account may not use this model.",
    429: "Runway's daily limit counts the last 24 hours, for each model; a higher tier raises it.",
}
_NO_CREDITS = "not have enough credits"
_HEADERS = ("x-runway-version", "x-runway-on-behalf-of")


def failure(error: BaseException, *, action: str, spec: ModelSpec | None = None) -> VideogenError:
    """What an exception of the SDK stands for; raise it where the original, which holds the key, is no longer at hand.

    Args:
        error: What was raised.
        action: What was being done: ``submit``, ``poll`` ….
        spec: The offer, where there is one.
    """
    import httpx
    import runwayml

    if isinstance(error, VideogenError):
        return error
    if isinstance(error, runwayml.APIStatusError):
        return _of_answer(error.response, action, spec)
    if isinstance(error, runwayml.APIConnectionError):
        error = error.__cause__ or httpx.NetworkError("the connection failed")
    if isinstance(error, TimeoutError):
        error = httpx.ReadTimeout("no answer came in time")
    if isinstance(error, (httpx.HTTPError, OSError)):
        return unavailable(error, provider="runway", action=action)
    return ProviderProtocolError(
        f"Runway's answer to the {action} cannot be read ({type(error).__name__}).", provider="runway", retryable=True
    )


def _of_answer(response: Any, action: str, spec: ModelSpec | None) -> VideogenError:
    headers = {str(name).lower(): str(value) for name, value in response.headers.items()}
    answer = Answer(provider="runway", status=response.status_code, headers=headers, body=response.content)
    told = _told(answer)
    error = answer.error(_sentence(told), model=None if spec is None else spec.id)
    error.hint = _HINTS.get(answer.status, error.hint)
    return _refined(error, told, action) if error.status_code == 400 else error


def _told(answer: Answer) -> dict[str, Any]:
    try:
        return answer.json(dict[str, Any])
    except ProviderProtocolError:
        return {}


def _issues(told: dict[str, Any]) -> list[tuple[str, str]]:
    """The fields that a validation complains of, with what is wrong."""
    found = told.get("issues")
    issues = [issue for issue in found if isinstance(issue, dict)] if isinstance(found, list) else []
    return [(_path(issue.get("path")), str(issue.get("message") or "")) for issue in issues]


def _path(path: object) -> str:
    return ".".join(str(part) for part in path) if isinstance(path, list) else ""


def _sentence(told: dict[str, Any]) -> str:
    """Runway's words: the error, and each field that is wrong."""
    words = told.get("error")
    issues = "; ".join(f"{path}: {why}" if path else why for path, why in _issues(told))
    return ": ".join(part for part in (words if isinstance(words, str) else "", issues) if part)


def _refined(error: ProviderError, told: dict[str, Any], action: str) -> VideogenError:
    """A 400, as the class that Runway's words tell; it has no codes for these."""
    words = str(told.get("error") or "").lower()
    if _NO_CREDITS in words:
        return _as(
            InsufficientCreditsError, error, "Buy some at https://dev.runwayml.com; those of the app do not count."
        )
    if any(header in words for header in _HEADERS):
        return ConfigurationError(
            error.message,
            hint="Partner accounts say whom they act for: RUNWAYML_CUSTOM_HEADERS='X-Runway-On-Behalf-Of: ID'.",
        )
    if action == "submit" and any(path == "model" for path, _ in _issues(told)):
        return _as(ModelRetiredError, error, "Runway no longer has this model, or not on this endpoint.")
    return error


def _as(kind: type[ProviderError], error: ProviderError, hint: str) -> ProviderError:
    return kind(
        error.message,
        provider=error.provider,
        model=error.model,
        code=error.code,
        status_code=error.status_code,
        request_id=error.request_id,
        retry_after=error.retry_after,
        accepted=error.accepted,
        hint=hint,
    )
