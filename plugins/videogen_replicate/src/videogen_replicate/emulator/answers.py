"""How Replicate says no."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from videogen_core.testing import Refusal

from .checking import InvalidInput

__all__ = ["error_answer"]

# A word of the harness's, or one that faults name -> HTTP status, title
_SAID: dict[str, tuple[int, str]] = {
    "unauthorized": (401, "Unauthenticated"),
    "insufficient_credits": (402, "Insufficient credit"),
    "billing": (402, "Insufficient credit"),
    "disabled": (422, "Invalid version or not permitted"),
    "invalid_input": (422, "Input validation failed"),
}
_DETAILS = {
    "unauthorized": "You did not pass a valid authentication token",
    "insufficient_credits": "You have insufficient credit to run this model.",
    "billing": "You have insufficient credit to run this model.",
    "not_found": "The requested resource could not be found.",
    "invalid_input": "- input: prompt is required\n",
    "disabled": "The specified version does not exist (or perhaps you don't have permission to use it?)",
}
_TOLD = "The emulator was told to answer so."


def error_answer(refusal: Refusal, resets_in: int) -> Response:
    """A refusal in Replicate's shape.

    Args:
        refusal: What is refused.
        resets_in: Seconds that a 429 names.
    """
    status, title = _SAID.get(refusal.code, (refusal.status, ""))
    status = status if refusal.status == 400 else refusal.status  # 400 = a fault leaves the status to the vendor
    detail = refusal.message if refusal.message != _TOLD else _DETAILS.get(refusal.code, refusal.message)
    if status == 429:
        detail = f"Request was throttled. Your rate limit resets in ~{resets_in}s."
        return JSONResponse({"detail": detail}, status)
    body: dict[str, Any] = {"detail": detail, "status": status}
    if title:
        body["title"] = title
    fields = refusal.fields if isinstance(refusal, InvalidInput) else []
    if refusal.code == "invalid_input":
        fields = fields or [("input", "prompt is required")]
        body["invalid_fields"] = [{"type": "invalid", "field": name, "description": why} for name, why in fields]
    return JSONResponse(body, status)
