"""What a create asked for, and reading it: JSON objects whose every field is documented."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, TypeVar

import msgspec
from starlette.requests import Request

from .answers import invalid

__all__ = ["Order", "read"]

T = TypeVar("T")


@dataclass(frozen=True)
class Order:
    """A task as it was asked for.

    Attributes:
        api: That it was asked of.
        prompt: The text.
        price: USD, if it is charged for.
        facts: What V2 shows of it.
        usage: What V2 counts, if it is charged for.
    """

    api: Literal["v1", "v2"]
    prompt: str
    price: Decimal
    facts: dict[str, Any]
    usage: dict[str, Any]


async def read(request: Request, shape: type[T]) -> tuple[T, dict[str, Any]]:
    """The body of a create, and the same as plain JSON.

    Raises:
        Refusal: It has a field that is not documented, or a value of another type.
    """
    data = await request.body()
    try:
        return msgspec.json.decode(data, type=shape), msgspec.json.decode(data)
    except msgspec.MsgspecError as error:
        raise invalid(str(error)) from error
