"""Answers within bounds: Runway's SDK reads and unpacks whatever comes, however much it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from videogen_core.calls import MAX_ANSWER
from videogen_core.outcomes import accepted

if TYPE_CHECKING:
    import httpx

__all__ = ["within_bounds"]


async def within_bounds(response: httpx.Response) -> None:
    """A hook of the HTTP client: bound what is about to be read.

    Raises:
        httpx.DecodingError: The answer is compressed, which was not asked for.
    """
    import httpx

    refused = accepted(response.status_code) is False
    if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
        if not refused:
            raise httpx.DecodingError("the answer is compressed, which was not asked for", request=response.request)
        del response.headers["content-encoding"]
        response.stream = httpx.ByteStream(b"")  # a refusal counts without its words
        return
    assert isinstance(response.stream, httpx.AsyncByteStream)
    response.stream = _bounded(response.stream, refused)


def _bounded(inner: httpx.AsyncByteStream, refused: bool) -> httpx.AsyncByteStream:
    import httpx

    class Bounded(httpx.AsyncByteStream):
        """The same, up to a length. Of a refusal, what there is is enough."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            try:
                async for chunk in inner:
                    size += len(chunk)
                    if size > MAX_ANSWER:
                        raise httpx.DecodingError(f"the answer is longer than {MAX_ANSWER:,} bytes")
                    yield chunk
            except httpx.HTTPError:
                if not refused:
                    raise

        async def aclose(self) -> None:
            await inner.aclose()

    return Bounded()
