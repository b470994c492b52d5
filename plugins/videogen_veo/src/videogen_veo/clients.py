"""Google's SDK, imported when first wanted: one client for each of its APIs and locations, and OAuth tokens."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread

from videogen_core import AuthenticationError, ConfigurationError, Context, MissingCredentialsError

from . import access

if TYPE_CHECKING:
    import httpx
    from google.auth.credentials import Credentials
    from google.genai import Client

__all__ = ["Clients", "refused_credentials", "sent"]

sent: ContextVar[list[str] | None] = ContextVar("sent", default=None)
"""The requests that have gone out since it was set, so that what the SDK refuses by itself is known to be harmless."""

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
        self.http = context.http(event_hooks={"request": [_note]})

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
        import google.auth
        from google.auth.exceptions import GoogleAuthError

        environment, settings = self._context.environment, self._context.settings
        project = access.project(environment, settings)
        path = access.credentials_file(environment, settings)
        try:
            if path is not None:
                load: Any = google.auth.load_credentials_from_file  # it has no annotations
                found, own = load(str(path), scopes=[_SCOPE])
            else:
                found, own = google.auth.default(scopes=[_SCOPE])
        except GoogleAuthError as error:
            raise MissingCredentialsError(f"Vertex AI cannot be used: {_first_line(error)}") from None
        if not (project or own):
            raise MissingCredentialsError("Vertex AI cannot be used: set GOOGLE_CLOUD_PROJECT.")
        return found, project or str(own)


async def _note(request: httpx.Request) -> None:
    seen = sent.get()
    if seen is not None:
        seen.append(request.method)


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
