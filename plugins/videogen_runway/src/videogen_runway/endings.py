"""Why a task failed: Runway's failure codes as this library's errors."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any

from videogen_core import ContentPolicyError, GenerationFailedError, ProviderError, ProviderUnavailableError

__all__ = ["failed"]

_KINDS: dict[str, type[ProviderError]] = {
    "content": ContentPolicyError,
    "generation": GenerationFailedError,
    "unavailable": ProviderUnavailableError,
}
_UNKNOWN = {"error": "generation", "retry": False, "hint": "This failure code is new to the plugin."}


@cache
def _codes() -> dict[str, dict[str, Any]]:
    text = resources.files(__package__).joinpath("failure_codes.toml").read_text(encoding="utf-8")
    return {row["prefix"]: row for row in tomllib.loads(text)["codes"]}


def _meaning(code: str | None) -> dict[str, Any]:
    """What a code means; none at all is a fault of the server's."""
    parts = (code or "INTERNAL").split(".")
    prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((_codes()[prefix] for prefix in prefixes if prefix in _codes()), _UNKNOWN)


def failed(code: str | None, words: str, *, model: str, charged: bool | None) -> ProviderError:
    """The error of a task that failed.

    Args:
        code: Runway's ``failureCode``.
        words: Runway's ``failure``.
        model: Offer id.
        charged: Whether the task says that it was paid for; None = it does not say.
    """
    meaning = _meaning(code)
    named = f" ({code})" if code else ""
    return _KINDS[meaning["error"]](
        f"Runway could not make it{named}: {words.strip() or 'no reason is given'}",
        provider="runway",
        model=model,
        code=code,
        retryable=bool(meaning["retry"]),
        charged=meaning.get("charged") if charged is None else charged,
        hint=meaning["hint"],
    )
