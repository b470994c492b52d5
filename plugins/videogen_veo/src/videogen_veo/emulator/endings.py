"""How jobs that bring no clip show that, in the words that Google has for it."""

from __future__ import annotations

from typing import Any

import msgspec

from videogen_core.testing import Script

from .answers import GoogleRefusal

__all__ = [
    "STATUS_WORDS",
    "adjusted",
    "check_prompt",
    "interaction_errors",
    "op_error",
    "refusal_text",
    "refuse_at_create",
    "refused_reason",
]

STATUS_WORDS = frozenset({"incomplete", "budget_exceeded", "requires_action"})
"""Endings of an interaction that a failed script's code may name."""

_REFUSED = (
    "The prompt could not be submitted. This prompt contains words that might violate Google's Responsible AI "
    "practices. Try rephrasing the prompt. Support codes: 64151117"
)
_FILTERED = (
    "The video was filtered out because it might violate Google's Responsible AI practices. You were not charged for "
    "it. Support codes: 58061214"
)


def check_prompt(prompt: str) -> None:
    """Let a prompt pass that is within the rules.

    Raises:
        GoogleRefusal: 400.
    """
    if "forbidden" in prompt:
        raise GoogleRefusal(400, "content_policy", _REFUSED)


def refuse_at_create(script: Script) -> Script:
    """The script, unless it says that the job is not even made.

    Raises:
        GoogleRefusal: 400.
    """
    if script.ending == "blocked" and script.code == "create":
        raise GoogleRefusal(400, "content_policy", script.message or _REFUSED)
    return script


def adjusted(script: Script, family: str) -> Script:
    """The script in the harness's terms: some clips of a filtered job come, and Omni's tokens are paid for anyhow."""
    if family == "veo" and script.ending == "blocked" and script.code == "filtered" and script.outputs:
        return msgspec.structs.replace(script, ending="succeeded")
    lost = script.ending == "empty" and script.code == "shape"
    if script.charged is None and (lost or family == "omni"):
        return msgspec.structs.replace(script, charged=True)
    return script


def refused_reason(script: Script) -> str:
    """Why a clip was filtered out."""
    return script.message or _FILTERED


def op_error(script: Script, state: str) -> dict[str, Any]:
    """The error of an operation: a canonical code and words."""
    if state == "blocked":
        return {"code": 3, "message": script.message or _REFUSED}
    if state == "cancelled":
        return {"code": 1, "message": script.message or "The operation was cancelled."}
    code = int(script.code) if script.code.isdecimal() else 13
    return {"code": code, "message": script.message or "Video generation failed due to an internal server issue."}


def refusal_text(script: Script) -> str:
    """What a model says instead of making a clip."""
    return script.message or "I can't generate that video. Please try another prompt."


def interaction_errors(script: Script, state: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Where an interaction that failed says why: in its list of errors, or in its last step."""
    message = script.message or ("The output was blocked." if state == "blocked" else "An internal error has occurred.")
    if script.code == "step":
        word = "SAFETY" if state == "blocked" else "INTERNAL"
        error = {"code": 3 if state == "blocked" else 13, "message": f"{word}: {message}"}
        return {"steps": [*steps, {"type": "model_output", "error": error}]}
    if script.code in STATUS_WORDS:
        return {"steps": steps}
    default = "SAFETY" if state == "blocked" else "internal_error"
    code = default if script.code in ("", "operation", "failed") else script.code
    return {"steps": steps, "errors": [{"code": code, "message": message}]}
