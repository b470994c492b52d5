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

from videogen_core import AuthenticationError, ConfigurationError, Context, MissingCredentialsError
from videogen_core.outcomes import Answer

from . import access

if TYPE_CHECKING:
    import httpx
    from google.auth.credentials import Credentials
    from google.genai import Client

__all__ = ["Clients", "Wire", "refused_credentials", "watched"]


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
        self.http = context.http(event_hooks={"request": [_note_request], "response": [_note_response]})

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            client.close()
        await self.http.aclose()

    async def get(self, backend: str, location: str = "") -> Client:
        """The client of an API.

        Args:
            backend: ``gemini`` or ``vertex``.
            location: Of Vertex AI.

        Raises:
            MissingCredentialsError: There are none for it.
            ConfigurationError: The event loop is not asyncio's.
        """
        key = (backend, location)
        async with self._lock:
            if key not in self._clients:
                _need_asyncio()
                if backend == "vertex":
                    await self._load_credentials()
                self._clients[key] = await to_thread.run_sync(self._make, backend, location)
        return self._clients[key]

    def _make(self, backend: str, location: str) -> Client:
        """In a thread: the SDK takes a second to import."""
        from google import genai
        from google.genai import types

        environment, settings = self._context.environment, self._context.settings
        options = types.HttpOptions(
            base_url=environment.get("GOOGLE_VERTEX_BASE_URL" if backend == "vertex" else "GOOGLE_GEMINI_BASE_URL"),
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_async_client=self.http,
        )
        if backend == "vertex":
            return genai.Client(
                enterprise=True,
                project=self._project,
                location=location,
                credentials=self._credentials,
                http_options=options,
            )
        key = access.api_key(environment, settings)
        if key is None:
            raise MissingCredentialsError("The Gemini API cannot be used: set GEMINI_API_KEY.")
        return genai.Client(enterprise=False, api_key=key, http_options=options)

    # --- OAuth

    async def token(self) -> str:
        """A valid OAuth token for Google Cloud.

        Raises:
            AuthenticationError: Google refuses the credentials, or cannot be asked.
            MissingCredentialsError: There are none.
        """
        async with self._lock:
            await self._load_credentials()
            credentials: Any = self._credentials
            if not credentials.valid:
                await self._refresh(credentials)
            return str(credentials.token)

    async def _refresh(self, credentials: Any) -> None:
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request

        try:
            with anyio.fail_after(_TOKEN_SECONDS):
                await to_thread.run_sync(credentials.refresh, Request(), abandon_on_cancel=True)
        except (GoogleAuthError, TimeoutError) as error:
            raise refused_credentials(error) from None

    async def _load_credentials(self) -> None:
        if self._credentials is None:
            self._credentials, self._project = await to_thread.run_sync(self._find_credentials)

    def _find_credentials(self) -> tuple[Credentials, str]:
        """In a thread: it reads files, and on Google's machines it asks one of theirs."""
        from google.auth.exceptions import GoogleAuthError

        environment, settings = self._context.environment, self._context.settings
        project = access.project(environment, settings)
        path = access.credentials_file(environment, settings)
        try:
            found, own = _default() if path is None else _of_file(path)
        except (GoogleAuthError, OSError, ValueError) as error:
            raise MissingCredentialsError(f"Vertex AI cannot be used: {_first_line(error)}") from None
        if not (project or own):
            raise MissingCredentialsError("Vertex AI cannot be used: set GOOGLE_CLOUD_PROJECT.")
        return found, project or str(own)


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


def refused_credentials(error: BaseException) -> AuthenticationError:
    """The error of credentials that Google does not take; nothing was sent to the model."""
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
