"""What Replicate says when something does not work, as this library's errors: of a request, and of a prediction."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from videogen_core import (
    ContentPolicyError,
    GenerationFailedError,
    ModelRetiredError,
    ProviderError,
    ProviderProtocolError,
    ProviderUnavailableError,
    RejectedRequestError,
)
from videogen_core.outcomes import Answer

__all__ = ["failed", "refused"]

_RESETS = re.compile(r"resets in ~?(\d+(?:\.\d+)?)\s*s", re.IGNORECASE)
_CODE = re.compile(r"\bE\d{3,4}\b")
_POLICY = re.compile(r"sensitive|nsfw|moderation|content policy|safety", re.IGNORECASE)
_GONE = re.compile(r"invalid version|not permitted|disabled", re.IGNORECASE)
_KINDS: dict[str, type[ProviderError]] = {
    "policy": ContentPolicyError,
    "rejected": RejectedRequestError,
    "unavailable": ProviderUnavailableError,
    "failed": GenerationFailedError,
}
_CHANGE = "Change the prompt or the inputs."
_RETRY = "The same request may succeed later."


# --- of a request


@dataclass(frozen=True)
class _Words:
    """What the body of a refusal says; it may be anything, HTML included."""

    title: str = ""
    detail: str = ""
    fields: tuple[str, ...] = ()

    @classmethod
    def of(cls, answer: Answer) -> _Words:
        try:
            body = answer.json()
        except ProviderProtocolError:
            return cls()
        if not isinstance(body, Mapping):
            return cls()
        return cls(
            title=str(body.get("title") or ""),
            detail=str(body.get("detail") or ""),
            fields=tuple(_fields(body.get("invalid_fields"))),
        )

    @property
    def message(self) -> str:
        detail = "; ".join(self.fields) or self.detail.strip().lstrip("- ")
        return ": ".join(part for part in (self.title, detail) if part)


def _fields(found: Any) -> list[str]:
    """The fields that were refused, each with why."""
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    return [f"{row.get('field') or 'input'}: {row.get('description') or row.get('type') or 'invalid'}" for row in rows]


def refused(answer: Answer, *, model: str | None = None, create: bool = False) -> ProviderError:
    """The error of an answer that is no success.

    Args:
        answer: Replicate's.
        model: Offer id.
        create: Whether a prediction was to be made, or its model was looked at for that.
    """
    words = _Words.of(answer)
    if answer.status == 429 and answer.retry_after is None and (found := _RESETS.search(words.detail)):
        answer = replace(answer, headers={**answer.headers, "retry-after": found[1]})
    message = words.message or ("an HTML page" if answer.text.lstrip()[:1] == "<" else "")
    error = answer.error(message, model=model)
    if create and (answer.status == 404 or (answer.status == 422 and _GONE.search(words.title))):
        return ModelRetiredError(
            error.message,
            provider=error.provider,
            model=model,
            status_code=error.status_code,
            request_id=error.request_id,
            accepted=error.accepted,
            hint="The model is gone, private, or not open to this account; `videogen models` lists others.",
        )
    return error


# --- of a prediction


@cache
def _codes() -> dict[str, dict[str, Any]]:
    text = resources.files(__package__).joinpath("error_codes.toml").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = tomllib.loads(text)["codes"]
    return table


def failed(told: object, *, model: str, charged: bool | None) -> ProviderError:
    """The error of a prediction that failed, with Replicate's words in it.

    Args:
        told: The prediction's ``error``, whatever it is.
        model: Offer id.
        charged: Whether it was paid for; None where that is not documented.
    """
    text = _text(told)
    found = _CODE.search(text)
    known = _codes().get(found[0], {}) if found else {}
    kind = known.get("kind") or ("policy" if _POLICY.search(text) else "failed")
    meaning = f" ({known['meaning']})" if "meaning" in known else ""
    error = _KINDS[kind](
        f"Replicate could not make it{meaning}: {text}",
        provider="replicate",
        model=model,
        code=found[0] if found else None,
        hint=_CHANGE if kind in ("policy", "rejected") else _RETRY if known.get("retry") else None,
    )
    error.charged = charged  # not what is true of most errors of the class: this one came after work
    return error


def _text(told: object) -> str:
    """An error as text: usually it is one, but some models give an object or a list."""
    if isinstance(told, Mapping):
        told = told.get("message") or told.get("detail") or dict(told)
    return str(told or "").strip()[:2000] or "no reason is given"
