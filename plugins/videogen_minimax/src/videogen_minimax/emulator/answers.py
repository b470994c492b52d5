"""How MiniMax says no: V1 with 200 and a code inside, V2 with a status, an error type and a code in its words."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from videogen_core.testing import Refusal

__all__ = ["invalid", "refused"]

# The harness's words as MiniMax's codes; a code of MiniMax's own stands for itself.
_CODES = {
    "invalid_request": "2013",
    "not_found": "2013",
    "conflict": "2013",
    "unauthorized": "1004",
    "wrong_key": "2049",
    "insufficient_credits": "1008",
    "forbidden": "2061",
    "content_policy": "1026",
    "rate_limited": "1002",
    "unavailable": "1000",
    "expired": "2013",
}
_STATUS_CODES = {401: "1004", 402: "1008", 403: "2061", 422: "1026", 429: "1002"}
_WORDS = {
    "1000": "unknown error",
    "1001": "timeout",
    "1002": "rate limit, please retry later",
    "1004": "login fail: Please carry the API secret key in the 'Authorization' field of the request header",
    "1008": "insufficient balance",
    "1026": "video description contains sensitive content",
    "1027": "output contains sensitive content",
    "2013": "invalid params",
    "2049": "invalid api key",
    "2056": "usage limit exceeded",
    "2061": "your current token plan does not support this model",
}
# V2: code -> HTTP status and error type; whatever is not here is a 400.
_V2 = {
    "1000": (500, "server_error"),
    "1001": (500, "server_error"),
    "1002": (429, "rate_limit_error"),
    "1004": (401, "authorized_error"),
    "1008": (402, "insufficient_balance_error"),
    "1013": (500, "server_error"),
    "1024": (500, "server_error"),
    "1026": (422, "unprocessable_entity_error"),
    "1027": (422, "unprocessable_entity_error"),
    "1033": (500, "server_error"),
    "2049": (401, "authorized_error"),
    "2056": (429, "rate_limit_error"),
    "2061": (403, "permission_error"),
}


def invalid(message: str) -> Refusal:
    """The refusal of a request that is wrong."""
    return Refusal(400, "2013", f"invalid params, {message}")


def refused(refusal: Refusal, path: str, number: int) -> Response:
    """A refusal in the shape of the API that was asked.

    Args:
        refusal: Its code is one of the harness's words, or MiniMax's own.
        path: That was asked for.
        number: Of the request.
    """
    code = refusal.code if refusal.code.isdecimal() else _CODES.get(refusal.code, "1000")
    if refusal.code in ("unavailable", "invalid_request") and refusal.status in _STATUS_CODES:
        code = _STATUS_CODES[refusal.status]  # of a fault that names a status alone
    own = refusal.code == code and refusal.message.startswith("invalid params")
    words = refusal.message if own or code not in _WORDS else _WORDS[code]
    if code == "2013" and not own:
        words = f"invalid params, {refusal.message}"
    if not path.startswith("/v2/"):
        return JSONResponse({"task_id": "", "base_resp": {"status_code": int(code), "status_msg": words}})
    status, kind = _V2.get(code, (400, "bad_request_error"))
    error = {"type": kind, "message": f"{words} ({code})", "http_code": str(status)}
    return JSONResponse({"type": "error", "error": error, "request_id": f"v2req{number:06d}"}, status)
