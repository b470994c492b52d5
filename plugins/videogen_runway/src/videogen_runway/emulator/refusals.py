"""How Runway says no: a sentence, and for a body that is wrong every field of it."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from videogen_core.testing import Refusal

__all__ = ["NO_CREDITS", "InvalidBody", "issue", "refusal_answer"]

NO_CREDITS = "You do not have enough credits to run this task."
_DOCS = "https://docs.dev.runwayml.com/api"
_INVALID = "Validation of body failed"
# A word of the harness's -> HTTP status, and Runway's words; None = the status's own
_WORDS: dict[str, tuple[int, str]] = {
    "invalid_request": (400, _INVALID),
    "insufficient_credits": (400, NO_CREDITS),
    "content_policy": (400, _INVALID),
    "unauthorized": (401, "Unauthorized"),
    "forbidden": (403, "Model variant is not available"),
    "not_found": (404, "Could not find Task"),
    "expired": (404, "Could not find Task"),
    "conflict": (409, "The task cannot be cancelled any more."),
    "rate_limited": (429, "You have reached the daily limit of this model."),
    "unavailable": (503, "Service unavailable"),
}


def issue(path: list[str | int], message: str, code: str = "custom") -> dict[str, Any]:
    """One thing that is wrong with a body."""
    return {"code": code, "path": path, "message": message}


class InvalidBody(Refusal):
    """400 for a body, with all that is wrong with it at once.

    Args:
        issues: What is wrong, at least one.
    """

    def __init__(self, issues: list[dict[str, Any]]) -> None:
        super().__init__(400, "invalid_request", _INVALID)
        self.issues = issues


def refusal_answer(refusal: Refusal) -> Response:
    """A refusal as Runway words it."""
    status, words = _WORDS.get(refusal.code, (refusal.status, refusal.message))
    if refusal.status not in (400, status):  # a fault that chose its own
        status = refusal.status
    if isinstance(refusal, InvalidBody):
        return JSONResponse({"error": words, "issues": refusal.issues, "docUrl": _DOCS}, 400)
    return JSONResponse({"error": words if refusal.code in _WORDS else refusal.message}, status)
