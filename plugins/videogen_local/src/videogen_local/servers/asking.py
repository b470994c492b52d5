"""Requests to one server, at any of its addresses, and the first question to it: which model it serves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from videogen_core import ConfigurationError, Context, ProviderError, ProviderUnavailableError
from videogen_core.calls import call
from videogen_core.outcomes import Answer

from . import failures
from .memory import Known
from .settings import Endpoint, Server

if TYPE_CHECKING:
    import httpx

__all__ = ["Client"]

_SECONDS = 20.0
"""For a question. A server on the next machine that takes longer is not well."""


class Client:
    """Talks to one server, within one event loop.

    Args:
        context: Of the session.
        server: As the user has set it up.

    Raises:
        MissingCredentialsError: It wants a key, and there is none.
    """

    def __init__(self, context: Context, server: Server) -> None:
        self.server = server
        self._context = context
        self._key = server.key(context.environment)
        self._http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Release connections."""
        if self._http is not None:
            await self._http.aclose()

    def headers(self) -> dict[str, str]:
        """What vouches for us, for the server's own addresses only."""
        return {} if self._key is None else {"Authorization": f"Bearer {self._key.reveal()}"}

    async def ask(
        self, endpoint: Endpoint, method: str, path: str, *, action: str, timeout: float = _SECONDS, **parts: Any
    ) -> Answer:
        """One request, sent once; the answer, whatever its status.

        Raises:
            ProviderUnavailableError: It failed on the wire.
        """
        if self._http is None:
            self._http = self._context.http(headers=self.headers())
        url = f"{endpoint.url}{path}"
        try:
            return await call(self._http, method, url, provider="local", action=action, timeout=timeout, **parts)
        except ProviderUnavailableError as error:
            if error.accepted is False:
                error.hint = f"Nothing was sent. Is the server at {endpoint.label} running?"
            raise

    async def serves_at(self, endpoint: Endpoint) -> Known | None:
        """What the server at one address serves; None = it does not say.

        Raises:
            ProviderError: It cannot be asked now, or wants another key.
        """
        for path in self.server.dialect.models:
            answer = await self.ask(endpoint, "GET", path, action="ask for its model")
            if answer.ok and (known := _known(answer)) is not None:
                return known
            if not answer.ok and answer.status not in (404, 405, 501):
                raise failures.refused(answer, self.server, endpoint)
        return None

    async def serves(self) -> Known:
        """What it serves, as the first address says that can be asked.

        Raises:
            ConfigurationError: It serves another model than the settings say, or does not say which.
            ProviderError: No address can be asked now.
        """
        trouble: ProviderError | None = None
        for endpoint in self.server.endpoints:
            try:
                known = await self.serves_at(endpoint)
            except ProviderUnavailableError as error:
                trouble = error
                continue
            return self.expected(known, endpoint)
        assert trouble is not None  # a server has an address at least
        raise trouble

    def expected(self, known: Known | None, endpoint: Endpoint) -> Known:
        """What is served at an address, if it is what the settings say.

        Raises:
            ConfigurationError: It is something else, or nobody says what.
        """
        wanted = self.server.model
        if known is None and not wanted:
            raise ConfigurationError(
                f"The server at {endpoint.label} does not say which model it serves.",
                hint=f'Write model = "…" into [providers.local.servers.{self.server.name}].',
            )
        if known is not None and wanted and known.model.lower() != wanted.lower():
            raise other_model(self.server, endpoint, known.model, wanted)
        return known or Known(model=wanted)


def other_model(server: Server, endpoint: Endpoint, serves: str, wanted: str) -> ConfigurationError:
    """The error of an address where another model is served than was thought."""
    return ConfigurationError(
        f"The server at {endpoint.label} serves {serves!r}, not {wanted!r}. Nothing was sent.",
        hint=f"Ask again for what it serves now, or correct [providers.local.servers.{server.name}].",
    )


def _known(answer: Answer) -> Known | None:
    """What an answer says of a model: OpenAI's list of models, or SGLang's description of its one."""
    told = answer.json()
    if not isinstance(told, Mapping):
        return None
    if isinstance(path := told.get("model_path"), str) and path:
        return Known(model=path, pipeline=_text(told, "pipeline_class"), task_type=_text(told, "task_type"))
    rows = told.get("data")
    first = rows[0] if isinstance(rows, list) and rows else None
    if isinstance(first, Mapping) and isinstance(name := first.get("id"), str) and name:
        return Known(model=name)
    return None


def _text(told: Mapping[str, Any], key: str) -> str:
    found = told.get(key)
    return found if isinstance(found, str) else ""
