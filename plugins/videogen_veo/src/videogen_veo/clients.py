"""Google's SDK, imported when first wanted: one client for each of its APIs and locations, and OAuth tokens."""

from __future__ import annotations

import asyncio
import json
import os
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from videogen_core import (
    AuthenticationError,
    ConfigurationError,
    Context,
    MissingCredentialsError,
    ProviderError,
    ProviderUnavailableError,
)
from videogen_core.outcomes import Answer

from . import access

if TYPE_CHECKING:
    import httpx
    from google.auth.credentials import Credentials
    from google.genai import Client

__all__ = ["Clients", "Wire", "no_token", "watched"]


@dataclass
class Wire:
    """What went over the wire during a call of the SDK's, which does not say.

    Attributes:
        sent: Whether a request has gone out; what the SDK refuses by itself is harmless.
        headers: Of the last answer.
    """

    sent: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def request_id(self) -> str | None:
        """Google's id of the request, where it gives one."""
        return Answer(provider="veo", status=200, headers=self.headers).request_id


watched: ContextVar[Wire | None] = ContextVar("watched", default=None)
"""Where the requests of this task are noted."""

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN_SECONDS = 30.0


class Clients:
    """The clients of one event loop.

    The SDK's own retries are off: it would repeat a create, and with it the bill. Its HTTP client is the core's, which
    follows no redirects and opens a connection of its own for each request.

    Args:
        context: Of the session.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._clients: dict[tuple[str, str], Client] = {}
        self._lock = anyio.Lock()
        self._credentials: Credentials | None = None
        self._project: str | None = None
        self.http = context.http(event_hooks={"request": [_note_request], "response": [_note_response, self._judge]})

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        await self.http.aclose()

    async def get(self, backend: str, location: str = "") -> Client:
        """The client of an API, with a token that is good for its next request.

        Otherwise the SDK would fetch one amid a create, and what goes wrong there would look like a lost answer.

        Args:
            backend: ``gemini`` or ``vertex``.
            location: Of Vertex AI.

        Raises:
            MissingCredentialsError: There are none for it.
            ConfigurationError: The event loop is not asyncio's.
            ProviderError: See `token`.
        """
        key = (backend, location)
        async with self._lock:
            _need_asyncio()
            if backend == "vertex":
                await self._freshen()
            if key not in self._clients:
                self._clients[key] = await to_thread.run_sync(self._make, backend, location)
        return self._clients[key]

    def _make(self, backend: str, location: str) -> Client:
        """In a thread: the SDK takes a second to import, and its Interactions another, which it puts off until used."""
        from google import genai
        from google.genai import _interactions as _interactions, types

        environment, settings = self._context.environment, self._context.settings
        options = types.HttpOptions(
            base_url=environment.get("GOOGLE_VERTEX_BASE_URL" if backend == "vertex" else "GOOGLE_GEMINI_BASE_URL"),
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_async_client=self.http,
        )
        if backend == "vertex":
            client = genai.Client(
                enterprise=True,
                project=self._project,
                location=location,
                credentials=self._credentials,
                http_options=options,
            )
        else:
            key = access.api_key(environment, settings)
            if key is None:
                raise MissingCredentialsError("The Gemini API cannot be used: set GEMINI_API_KEY.")
            client = genai.Client(enterprise=False, api_key=key, http_options=options)
        _ = client.aio.interactions.create  # loads it
        return client

    # --- OAuth

    async def token(self) -> str:
        """A valid OAuth token for Google Cloud.

        Raises:
            AuthenticationError: Google refuses the credentials.
            ProviderUnavailableError: Google cannot be asked.
            MissingCredentialsError: There are none.
        """
        async with self._lock:
            return str((await self._freshen()).token)

    async def _freshen(self) -> Any:
        """The credentials, loaded and with a valid token."""
        if self._credentials is None:
            self._credentials, self._project = await to_thread.run_sync(self._find_credentials)
        credentials: Any = self._credentials
        fault: ProviderError
        try:
            if not credentials.valid:
                with anyio.fail_after(_TOKEN_SECONDS):
                    await to_thread.run_sync(_refresh, credentials, abandon_on_cancel=True)
            return credentials
        except Exception as error:
            fault = no_token(error)
        raise fault  # out here: the frames of the exception that is left behind hold the credentials

    async def _judge(self, response: httpx.Response) -> None:
        """Ask for another token next time when Google no longer takes the one there is."""
        if response.status_code == 401 and self._credentials is not None:
            self._credentials.token = None

    def _find_credentials(self) -> tuple[Credentials, str]:
        """In a thread: it reads files, and on Google's machines it asks one of theirs."""
        from google.auth.exceptions import GoogleAuthError

        environment, settings = self._context.environment, self._context.settings
        project = access.project(environment, settings)
        path = access.credentials_file(environment, settings)
        try:
            found, own = _default() if path is None else _of_file(path)
            if project or own:
                return found, project or str(own)
            lack = "set GOOGLE_CLOUD_PROJECT."
        except (GoogleAuthError, OSError, ValueError) as error:
            lack = _first_line(error)
        # out here: the frames of the exception that is left behind hold what is in the file
        raise MissingCredentialsError(f"Vertex AI cannot be used: {lack}")


def _of_file(path: Path) -> tuple[Any, str | None]:
    """Credentials of a file, each type by its own loader, as Google advises."""
    from google.oauth2 import credentials, service_account

    told = json.loads(path.read_text(encoding="utf-8"))
    kind = told.get("type") if isinstance(told, dict) else None
    load: Any  # these have no annotations
    if kind == "service_account":
        load = service_account.Credentials.from_service_account_info
    elif kind == "authorized_user":
        load = credentials.Credentials.from_authorized_user_info
    elif os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") == str(path):
        return _default()  # a workload's identity, say
    else:
        raise ValueError(f"{path} holds credentials of type {kind!r}: name it in GOOGLE_APPLICATION_CREDENTIALS.")
    return load(told, scopes=[_SCOPE]), None


def _refresh(credentials: Any) -> None:
    """In a thread: it imports another HTTP library, and asks Google with it."""
    from google.auth.transport.requests import Request

    credentials.refresh(Request())


def _default() -> tuple[Any, str | None]:
    """What Google's library finds by itself."""
    import google.auth

    found, project = google.auth.default(scopes=[_SCOPE])
    return found, project


async def _note_request(request: httpx.Request) -> None:
    if (wire := watched.get()) is not None:
        wire.sent = True


async def _note_response(response: httpx.Response) -> None:
    if (wire := watched.get()) is not None:
        wire.headers = {name.lower(): value for name, value in response.headers.items()}


def no_token(error: BaseException) -> ProviderError:
    """The error of a token that Google did not give; nothing was sent to the model."""
    from google.auth.exceptions import TransportError

    if isinstance(error, (TransportError, TimeoutError, OSError)) or getattr(error, "retryable", False):
        return ProviderUnavailableError(
            f"Google could not be asked for a token: {_first_line(error)}",
            provider="veo",
            accepted=False,
            hint="Nothing was sent to the model. Check the network connection and try again.",
        )
    return AuthenticationError(
        f"Google gave no token for these credentials: {_first_line(error)}",
        provider="veo",
        accepted=False,
        hint="Run `gcloud auth application-default login` again, or check GOOGLE_APPLICATION_CREDENTIALS.",
    )


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0][:300]


def _need_asyncio() -> None:
    """Say so where the SDK would break in the middle of a request.

    Raises:
        ConfigurationError: The loop is trio's.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "Google's SDK works on asyncio only.", hint="Use videogen.Client, or AsyncClient under asyncio."
        ) from None
