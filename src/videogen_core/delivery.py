"""What a caller wants besides the clip itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .states import CacheUse, ProvenanceUse, Unknown

__all__ = ["Delivery"]


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Where the clip goes, and what happens when an offer fails.

    Attributes:
        output: A file, a folder ending in a separator, or a template; None = the library's own folder.
        overwrite: Whether an existing file may be replaced.
        fallback: Whether other offers may be tried when the first fails.
        fallback_on_policy: Whether a content block counts as such a failure.
        rewrites: How often an extension may rewrite the prompt after one, and ask again as a new paid attempt.
        idempotency_key: The caller's name for this request.
        tags: The caller's labels.
        cache: Whether clips may come from the cache and go into it.
        provenance: Where it is kept how the clips were made.
        on_unknown: What is to become of a create without an answer.
    """

    output: str | None = None
    overwrite: bool = False
    fallback: bool = True
    fallback_on_policy: bool = False
    rewrites: int = 0
    idempotency_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    cache: CacheUse = "no"
    provenance: ProvenanceUse = "no"
    on_unknown: Unknown = "keep"
