"""One call to MiniMax: sent once, with the key to its own host only, and read as strictly as if it were hostile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from videogen_core import Context, ProviderProtocolError
from videogen_core.calls import call
from videogen_core.outcomes import Answer

from .access import Access
from .failures import problem

if TYPE_CHECKING:
    import httpx

__all__ = ["Api"]

T = TypeVar("T")
_SECONDS = 60.0


class Api:
    """MiniMax's HTTP API.

    Args:
        context: Of the session.
        reach: Where it is, and the key.
    """

    def __init__(self, context: Context, reach: Access) -> None:
        self.reach = reach
        self._http: httpx.AsyncClient = context.http(
            base_url=reach.url, headers={"Authorization": f"Bearer {reach.key}"}
        )

    async def close(self) -> None:
        """Release connections."""
        await self._http.aclose()

    async def ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        action: str,
        model: str | None = None,
        timeout: float = _SECONDS,
        **parts: Any,
    ) -> tuple[T, Answer]:
        """Send one request and read what it is answered.

        Args:
            method: HTTP method.
            path: From the root of the API.
            kind: What the answer has to be.
            action: What is being done, for messages.
            model: Offer id.
            timeout: Seconds for everything.
            **parts: Of the request, as `videogen_core.calls.call` takes them.

        Raises:
            ProviderError: It was refused, got no answer, or one that cannot be read.
        """
        answer = await call(self._http, method, path, provider="minimax", action=action, timeout=timeout, **parts)
        del parts
        error = problem(answer, _body(answer), model=model, advice=self.reach.advice)
        if error is not None:
            raise error
        return answer.json(kind), answer


def _body(answer: Answer) -> Any:
    try:
        return answer.json()
    except ProviderProtocolError:
        return None
