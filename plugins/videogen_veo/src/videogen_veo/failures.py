"""What Google's SDK raises, as this library's errors.

The SDK has two families of exceptions that know nothing of each other, lets the HTTP library's own through, and parses
what it should refuse. `failure` takes all of it; whether a create was accepted the core decides, from the status alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio

from videogen_core import (
    AuthenticationError,
    ConfigurationError,
    ModelRetiredError,
    ModelSpec,
    PermissionDeniedError,
    ProviderError,
    ProviderProtocolError,
    VideogenError,
)
from videogen_core.outcomes import Answer, unavailable

from . import policy
from .clients import Wire, no_token, watched

__all__ = ["asked", "failure", "reading", "server_fault"]

T = TypeVar("T")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")
# what else than the model may not be found; "project" is no such word, since Google says it of models, too
_OF_INPUT = re.compile(r"\binteraction\b|\bfile\b|\bfiles/|\bbucket\b|\bobject\b|gs://", re.IGNORECASE)


async def asked(
    ask: Callable[[], Awaitable[T]],
    action: str,
    seconds: float,
    *,
    spec: ModelSpec | None = None,
    wire: Wire | None = None,
) -> T:
    """One request of the SDK's, with a deadline of our own and our errors.

    Args:
        ask: Sends it.
        action: See `failure`.
        seconds: For everything.
        spec: See `failure`.
        wire: Filled in with what went over it.

    Raises:
        ProviderError: It failed.
    """
    fault: BaseException
    wire = Wire() if wire is None else wire
    token = watched.set(wire)
    try:
        with anyio.fail_after(seconds):
            return await ask()
    except Exception as error:
        fault = failure(error, action=action, spec=spec, unsent=not wire.sent)
    finally:
        watched.reset(token)
    raise fault  # out here: the exception that is left behind holds the request


@contextmanager
def reading(action: str, spec: ModelSpec) -> Iterator[None]:
    """Within, what is no answer at all raises our error: the SDK lets through text where its types say an object.

    Args:
        action: See `failure`.
        spec: The offer.

    Raises:
        ProviderProtocolError: The answer cannot be read.
    """
    try:
        yield
    except (AttributeError, TypeError, ValueError, LookupError) as error:
        fault = type(error).__name__
    else:
        return
    raise ProviderProtocolError(
        f"Google's answer to a {action} is not what it should be ({fault}).",
        provider="veo",
        model=spec.id,
        retryable=action != "submit",
    )


def failure(error: BaseException, *, action: str, spec: ModelSpec | None = None, unsent: bool = False) -> VideogenError:
    """What an exception of the SDK stands for; raise it ``from None``, since the original holds the request.

    Args:
        error: What was raised.
        action: What was being done: ``submit``, ``poll`` ….
        spec: The offer, where there is one.
        unsent: Whether it is known that no request has gone out.
    """
    from google.auth.exceptions import GoogleAuthError
    from google.genai import _interactions as interactions, errors

    if isinstance(error, VideogenError):
        return error
    if unsent and isinstance(error, (ValueError, TypeError)):
        told = f"{type(error).__name__}: {error}"
        return ConfigurationError(f"Google's SDK did not take the {action}, and nothing was sent: {told[:500]}")
    if isinstance(error, GoogleAuthError):
        return no_token(error)
    if isinstance(error, errors.APIError):
        return _of_answer(error.code, error.response, error.details, action, spec)
    if isinstance(error, interactions.APIConnectionError):
        return _of_wire(error.__cause__ or error, action)
    if isinstance(error, interactions.APIError):
        response = getattr(error, "response", None)
        return _of_answer(error.status_code or 0, response, error.body, action, spec)
    return _of_wire(error, action)


def _of_wire(error: BaseException, action: str) -> ProviderError:
    """The error of an exchange that failed on its way, or whose answer cannot be read."""
    import httpx

    if isinstance(error, (httpx.HTTPError, TimeoutError, OSError)):
        return unavailable(error, provider="veo", action=action)
    return ProviderProtocolError(
        f"Google's answer to the {action} cannot be read ({type(error).__name__}).", provider="veo", retryable=True
    )


# --- answers


class _Words:
    """What an error body says, in any of the three shapes that Google gives it."""

    def __init__(self, body: Any) -> None:
        if isinstance(body, list) and len(body) == 1:
            body = body[0]
        told = body.get("error", body) if isinstance(body, Mapping) else {}
        told = told if isinstance(told, Mapping) else {"message": str(told)}
        code = told.get("status") or told.get("code")
        self.code = None if code is None else str(code)
        self.message = str(told.get("message") or (body if isinstance(body, str) else ""))
        found = told.get("details")
        details = [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []
        self.reasons = {str(item.get("reason")) for item in details}
        waits = [_SECONDS.fullmatch(str(item.get("retryDelay", ""))) for item in details]
        self.wait = next((wait[1] for wait in waits if wait), None)


def _of_answer(status: int, response: Any, body: Any, action: str, spec: ModelSpec | None) -> ProviderError:
    words = _Words(body)
    headers = {str(name).lower(): str(value) for name, value in getattr(response, "headers", {}).items()}
    if words.wait is not None:
        headers.setdefault("retry-after", words.wait)
    answer = Answer(provider="veo", status=status, headers=headers, body=_bytes(body))
    if 200 <= status < 300 or status == 0:
        return answer.garbled(f"the {action} was answered with something else than JSON of the documented shape")
    model = None if spec is None else spec.id
    error = answer.error(words.message, code=words.code, model=model)
    return _refined(error, words, action, spec)


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body, default=str).encode()


def _refined(error: ProviderError, words: _Words, action: str, spec: ModelSpec | None) -> ProviderError:
    """The same, of the class that Google's own code tells better than the status."""
    status = error.status_code
    if status == 400 and ("API_KEY_INVALID" in words.reasons or "api key not valid" in words.message.lower()):
        return _as(AuthenticationError, error, "Check GEMINI_API_KEY (or GOOGLE_API_KEY, which goes before it).")
    of_account = action != "cancel" and not _OF_INPUT.search(words.message)
    if status == 400 and (words.code or "").upper() == "FAILED_PRECONDITION" and of_account:
        return _as(PermissionDeniedError, error, "Switch billing on for the project, or use it from another country.")
    if status == 400 and action == "submit" and policy.is_block(words.message):
        return policy.blocked(
            words.message, model=error.model, accepted=False, status_code=400, request_id=error.request_id
        )
    if status == 404 and action == "submit" and spec is not None and not _OF_INPUT.search(words.message):
        return _as(ModelRetiredError, error, _instead(spec))
    if status == 400 and action == "poll":
        return _of_lost_interaction(error, words)
    return error


def _of_lost_interaction(error: ProviderError, words: _Words) -> ProviderError:
    """A poll that is answered with 400: the id is unknown, or the vendor has a bad moment."""
    if "invalid interaction name" in words.message.lower():
        error.status_code = 404  # what this means, and what the core asks for
        return error
    return _as(ProviderProtocolError, error, None, retryable=True)


def _as(
    kind: type[ProviderError], error: ProviderError, hint: str | None, *, retryable: bool | None = None
) -> ProviderError:
    return kind(
        error.message,
        provider=error.provider,
        model=error.model,
        code=error.code,
        status_code=error.status_code,
        request_id=error.request_id,
        retry_after=error.retry_after,
        accepted=error.accepted,
        retryable=retryable,
        hint=hint or error.hint,
    )


def _instead(spec: ModelSpec) -> str:
    instead = spec.lifecycle.replaced_by or spec.vendor.get("instead")
    use = f" Use {instead}." if instead else ""
    return f"Google has retired {spec.name}, or no longer has it in this location.{use}"


def server_fault(code: object) -> bool:
    """Whether the code of a failed job (google.rpc) is the vendor's own trouble."""
    return code in (4, 8, 10, 13, 14)
