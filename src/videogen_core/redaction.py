"""What may be shown and logged: text without keys, tokens and the query strings of URLs."""

from __future__ import annotations

import logging
import re
import traceback
from urllib.parse import urlsplit

from .secret import MASK, masked

__all__ = ["CauseError", "RedactingFilter", "cause_of", "quiet_http_logging", "redact", "redact_url", "said"]

_HTTP_LOGGERS = (
    "httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpcore.socks",
)  # fmt: skip

_URL = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,19}://)(?:[^\s/?#@\"'<>]*@)?(?P<rest>[^\s?#\"'<>\\]*)[?#]?[^\s\"'<>]*", re.I
)
_QUERY = re.compile(r"\?[\w.~%\[\]-]+=[^\s\"'<>]*")  # of a relative address
_SCHEME_TOKEN = re.compile(r"\b(?P<name>bearer|basic|token|key)(?P<gap>\s+)[A-Za-z0-9._~+/=|:-]{8,}", re.I)
_NAMED = re.compile(
    r"(?P<name>\b(?:x-goog-api-key|x-api-key|api[-_]?key|access[-_]?token|client[-_]?secret|secret|password|token"
    r"|authorization|cookie|signature)\b[\"']?\s*(?:[:=]|,(?=\s*b?[\"']))\s*b?[\"']?)(?P<value>[^\s\"',;&}\])]{4,})",
    re.I,
)
_ILLEGAL = re.compile(r"(Illegal header value)\b.*")  # which h11 then quotes


def redact(text: str) -> str:
    """The text without what looks like a key (query strings and users of URLs, tokens), nor any key that is known.

    Known is what a `Secret` or a `Sealed` holds; it is found in base64, URL-encoded and escaped too.
    """
    text = _ILLEGAL.sub(rf"\1 {MASK}", masked(text))
    text = _QUERY.sub(f"?{MASK}", _URL.sub(_shorten, text))
    text = _SCHEME_TOKEN.sub(rf"\g<name>\g<gap>{MASK}", text)
    return _NAMED.sub(_mask_value, text)


def _shorten(match: re.Match[str]) -> str:
    kept = match["scheme"] + match["rest"]
    return kept if match[0] == kept else f"{kept}?{MASK}"


def _mask_value(match: re.Match[str]) -> str:
    # "Authorization: Bearer ***" has been dealt with; its scheme word is worth reading
    return match[0] if match["value"].lower() in ("bearer", "basic", "token", "key") else match["name"] + MASK


class CauseError(Exception):
    """What an exception from elsewhere said, redacted, and where it came from.

    It stands in for it as the cause of one of ours: the original's text may hold an address with a key in it, and the
    variables of its frames whatever was being sent.
    """


def cause_of(error: BaseException, depth: int = 5) -> CauseError:
    """The stand-in for an exception that is not ours: ``raise OurError(...) from cause_of(error)``."""
    found = CauseError(redact(f"{type(error).__module__}.{type(error).__qualname__}: {error}"))
    frames = traceback.extract_tb(error.__traceback__)
    if frames:
        places = "".join(f"\n  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames[-8:])
        found.add_note(f"raised at{places}")
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and depth:
        found.__cause__ = cause_of(before, depth - 1)
    return found


def said(error: BaseException) -> str:
    """What an exception that is not ours says, which may be an address with a key in it."""
    return redact(f"{type(error).__name__}: {error}")


def redact_url(url: str) -> str:
    """Scheme, host and path of a URL: no user, query or fragment."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
    except ValueError:
        return "(a URL that cannot be read)"


class RedactingFilter(logging.Filter):
    """Redacts every record that passes, its traceback included."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info and record.exc_info[0]:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
            record.exc_text, record.exc_info = redact(text), None
        return True


def quiet_http_logging() -> None:
    """Keep URLs out of the log: httpx writes each one at INFO, and httpcore the headers of answers at DEBUG.

    Both loggers are raised to WARNING where nobody has set a level, and redacted where somebody has.
    """
    for name in ("httpx", "httpcore"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)
    for name in _HTTP_LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(each, RedactingFilter) for each in logger.filters):
            logger.addFilter(RedactingFilter())
