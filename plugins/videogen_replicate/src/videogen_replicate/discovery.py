"""Looking a model up at Replicate, for `videogen_replicate.plugin.ReplicateProvider.discover`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from videogen_core import Context, ModelSpec

from . import failures
from .api import Api
from .schemas import spec_of

__all__ = ["discover"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")
_SECONDS = 25.0


async def discover(name: str, context: Context, rows: Iterable[ModelSpec] = ()) -> ModelSpec | None:
    """A model by ``owner/name``; None = there is none of that name that this account may see.

    Args:
        name: Of the model.
        context: Of the provider.
        rows: Of the catalogue.

    Raises:
        ModelNotFoundError: It makes no videos.
        ProviderError: Replicate cannot be asked, or describes it in a way that cannot be read.
    """
    if not _NAME.fullmatch(name):
        return None
    api = Api(context)
    try:
        answer = await api.read(f"/v1/models/{name}", action="look up the model", timeout=_SECONDS)
    finally:
        await api.close()
    if answer.status == 404:
        return None
    if not answer.ok:
        raise failures.refused(answer, model=f"replicate/{name}")
    told = answer.json(dict[str, Any])
    row = next((each for each in rows if each.id == f"replicate/{name}"), None)
    try:
        return spec_of(told, name, today=datetime.now(UTC).date(), row=row)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        fault = answer.garbled(f"a schema that cannot be read ({type(error).__name__})")
    raise fault
