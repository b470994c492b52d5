"""Which requests are the same request to the cache, and which may be answered from it at all. Pure.

The key of a clip covers whatever decides what a provider makes of a request, so that two requests with one key could
have had each other's clip. What cannot be known, such as the bytes behind an address, means no key and no cache.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .request import Media, VideoRequest
from .spec import ModelSpec
from .states import CacheUse

__all__ = ["cache_key", "is_cacheable"]

_VERSION = 1  # of what a key covers, how it is written, and what an entry holds; a new one makes every entry a stranger
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_cacheable(request: VideoRequest, spec: ModelSpec, use: CacheUse) -> bool:
    """Whether a clip for this request may be taken from the cache, and put there.

    Without a seed, the same words mean another clip each time, so sharing one must be asked for: ``cache="any"``.
    """
    if use == "any":
        return True
    return use == "seeded" and request.seed is not None and spec.seed is not None


def cache_key(request: VideoRequest, spec: ModelSpec, *, account: str) -> str | None:
    """A sha256 over everything that decides what comes out; None when something of it cannot be known.

    Args:
        request: Resolved, so that every default is written out; its inputs inspected, so that their hashes are known.
        spec: The offer that it is resolved for.
        account: What tells the user's account at the provider from another one; only a hash of it goes in.
    """
    inputs = {field: _digest(media) for field, media in request.media()}
    if None in inputs.values():
        return None
    options = {name: option.default for name, option in spec.options.items() if option.default is not None}
    facts = {
        "version": _VERSION,
        "account": hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest(),
        "offer": spec.id,
        # wire name, endpoint and version of the model, as the plugin tells them to the provider
        "revision": spec.vendor,
        "pixels": spec.sizes.get(request.resolution or "", {}).get(request.aspect_ratio or ""),
        "output": "video",
        "prompt": request.prompt,
        "task": request.task.value,
        "duration": request.duration,
        "resolution": request.resolution,
        "aspect_ratio": request.aspect_ratio,
        "audio": request.audio,
        "fps": request.fps,
        "seed": request.seed,
        "count": request.count,
        "negative_prompt": request.negative_prompt,
        "camera": request.camera,
        # those for other providers are not sent to this one
        "options": {**options, **request.options.get(spec.provider, {})},
        "inputs": inputs,
    }
    try:
        text = json.dumps(_canonical(facts), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()
    except (TypeError, ValueError, RecursionError):  # no plain data, NaN, half of a surrogate pair, endless nesting
        return None


def _digest(media: Media) -> str | None:
    """The sha256 of an input's bytes; None for a file or address that nobody has looked into."""
    if media.data is not None:
        return hashlib.sha256(media.data).hexdigest()
    claimed = (media.sha256 or "").lower()
    return claimed if _SHA256.fullmatch(claimed) else None


def _canonical(value: Any) -> Any:
    """Plain data in its one spelling: a number becomes text, and text is marked so that it is never taken for one."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return "=" + str.__str__(value)
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is not text")
        return {str.__str__(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    raise TypeError(f"{type(value).__name__} is not plain data")


def _number(value: float | Decimal) -> str:
    """A number as text: 8, 8.0 and Decimal("8.00") are "8", and 0.1 is Decimal("0.1"); exact, however many digits."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("not a number")
        value = Decimal(repr(float(value)))
    sign, digits, exponent = Decimal(value).as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("not a number")
    written = "".join(map(str, digits)).lstrip("0")
    significant = written.rstrip("0")
    if not significant:
        return "0"
    exponent += len(written) - len(significant)
    return f"{'-' if sign else ''}{significant}{f'e{exponent}' if exponent else ''}"
