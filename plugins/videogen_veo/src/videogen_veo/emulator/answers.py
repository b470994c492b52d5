"""How Google says no: three shapes of one error, and a fourth of the token server's."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from videogen_core.testing import Refusal

__all__ = ["GoogleRefusal", "api_key_invalid", "error_answer"]

# HTTP status -> canonical status, the word of the Interactions API, the reason of Cloud Storage
_WORDS = {
    400: ("INVALID_ARGUMENT", "invalid_request", "invalid"),
    401: ("UNAUTHENTICATED", "unauthenticated", "authError"),
    402: ("FAILED_PRECONDITION", "failed_precondition", "accountDisabled"),
    403: ("PERMISSION_DENIED", "permission_denied", "forbidden"),
    404: ("NOT_FOUND", "not_found", "notFound"),
    405: ("UNIMPLEMENTED", "not_found", "methodNotAllowed"),
    408: ("DEADLINE_EXCEEDED", "timeout", "requestTimeout"),
    409: ("ABORTED", "conflict", "conflict"),
    412: ("FAILED_PRECONDITION", "failed_precondition", "conditionNotMet"),
    429: ("RESOURCE_EXHAUSTED", "too_many_requests", "rateLimitExceeded"),
    500: ("INTERNAL", "internal_error", "backendError"),
    501: ("UNIMPLEMENTED", "not_implemented", "notImplemented"),
    503: ("UNAVAILABLE", "service_unavailable", "backendError"),
    504: ("DEADLINE_EXCEEDED", "timeout", "backendError"),
}

# A word of the harness's, or a canonical status, that faults name -> HTTP status, and the canonical status if another
_CODES = {
    "invalid_request": (400, ""),
    "content_policy": (400, ""),
    "insufficient_credits": (400, "FAILED_PRECONDITION"),
    "FAILED_PRECONDITION": (400, "FAILED_PRECONDITION"),
    "API_KEY_INVALID": (400, ""),
    "unauthorized": (401, ""),
    "forbidden": (403, ""),
    "API_KEY_SERVICE_BLOCKED": (403, ""),
    "not_found": (404, ""),
    "expired": (404, ""),
    "conflict": (409, ""),
    "rate_limited": (429, ""),
    "unavailable": (503, ""),
}
_MESSAGES = {
    "insufficient_credits": "Billing is not enabled for this project, or its prepaid credits are used up.",
    "content_policy": "The prompt could not be submitted: it might violate the usage policy. Support codes: 64151117",
    "API_KEY_INVALID": "API key not valid. Please pass a valid API key.",
    "API_KEY_SERVICE_BLOCKED": "Requests to this API with this key are blocked.",
}
_INFO = "type.googleapis.com/google.rpc."
_RETRY_DELAY = "1"  # seconds
LISTED = "[]"
"""Ends the code of a fault whose error is to come as the only element of a list."""


class GoogleRefusal(Refusal):
    """A no that says more.

    Args:
        status: HTTP status.
        code: A word of the harness's.
        message: A sentence.
        reason: For ``google.rpc.ErrorInfo``; the error then comes from the front end, whatever the path.
        rpc: Canonical status, if another one than the HTTP status stands for.
    """

    def __init__(self, status: int, code: str, message: str, *, reason: str = "", rpc: str = "") -> None:
        super().__init__(status, code, message)
        self.reason = reason
        self.rpc = rpc


def api_key_invalid() -> GoogleRefusal:
    """400 for a key that is missing or wrong."""
    return GoogleRefusal(400, "API_KEY_INVALID", _MESSAGES["API_KEY_INVALID"], reason="API_KEY_INVALID")


def error_answer(refusal: Refusal, path: str) -> Response:
    """A refusal as the API that the path belongs to words it."""
    said = refusal if isinstance(refusal, GoogleRefusal) else _translated(refusal)
    shape = _front_end
    if "/storage/v1/" in path:
        shape = _storage
    elif "/interactions" in path and not said.reason and said.status != 401:
        shape = _interactions
    error = {"error": shape(said)}
    return JSONResponse([error] if refusal.code.endswith(LISTED) else error, said.status)


def _translated(refusal: Refusal) -> GoogleRefusal:
    """What a fault or the harness itself says, in Google's terms."""
    code = refusal.code.removesuffix(LISTED)
    status, rpc = _CODES.get(code, (refusal.status, ""))
    if refusal.status != 400:  # 400 = a fault that leaves the status to the vendor
        status = refusal.status
    reason = code if code.startswith("API_KEY_") else ""
    said = GoogleRefusal(status, code, _MESSAGES.get(code, refusal.message), reason=reason, rpc=rpc)
    said.headers = refusal.headers
    return said


def _words(status: int) -> tuple[str, str, str]:
    return _WORDS.get(status) or _WORDS[400 if status < 500 else 500]


def _front_end(said: GoogleRefusal) -> dict[str, Any]:
    status = said.rpc or _words(said.status)[0]
    error: dict[str, Any] = {"code": said.status, "message": said.message, "status": status}
    details = _retry_info(said)
    if said.reason:
        details.insert(0, {"@type": f"{_INFO}ErrorInfo", "reason": said.reason, "domain": "googleapis.com"})
    return {**error, "details": details} if details else error


def _interactions(said: GoogleRefusal) -> dict[str, Any]:
    error: dict[str, Any] = {"code": said.rpc.lower() or _words(said.status)[1], "message": said.message}
    details = _retry_info(said)
    return {**error, "details": details} if details else error


def _retry_info(said: GoogleRefusal) -> list[dict[str, Any]]:
    if said.status != 429:
        return []
    return [{"@type": f"{_INFO}RetryInfo", "retryDelay": f"{said.headers.get('retry-after', _RETRY_DELAY)}s"}]


def _storage(said: GoogleRefusal) -> dict[str, Any]:
    each = {"message": said.message, "domain": "global", "reason": _words(said.status)[2]}
    return {"code": said.status, "message": said.message, "errors": [each]}
