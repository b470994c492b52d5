"""The keyword arguments of the public calls, typed once, and sorted into what they are about."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from .capabilities import Fit
from .delivery import Delivery
from .errors import RequestError
from .planning import make_policy
from .request import VideoRequest
from .routing import Policy, Prefer
from .secret import masked
from .settings import Settings
from .states import ProvenanceUse, Unknown

__all__ = [
    "FILTERS",
    "ChoiceArgs",
    "ClipArgs",
    "DeliveryArgs",
    "FilterArgs",
    "GenerateArgs",
    "RouteArgs",
    "absolute_output",
    "callback",
    "known_names",
    "seconds",
    "sort_arguments",
]

MediaArg = Any  # a path, URL, data URI, bytes or PIL image; checked by `Media.of`


class ClipArgs(TypedDict, total=False):
    """What the clip is to be. A field left out takes the model's default."""

    task: str | None
    duration: float | None
    resolution: str | None
    aspect_ratio: str | None
    audio: bool | None
    fps: float | None
    seed: int | None
    count: int
    image: MediaArg
    last_frame: MediaArg
    reference_images: Iterable[MediaArg] | None
    video: MediaArg
    negative_prompt: str | None
    camera: str | Iterable[str] | None
    options: Mapping[str, Mapping[str, Any]] | None


class ChoiceArgs(TypedDict, total=False):
    """How the offer is to be chosen."""

    model: str | Iterable[str] | None
    providers: str | Iterable[str] | None
    prefer: Prefer | None
    quality: Literal["economy", "standard", "premium"] | None
    max_cost: str | float | Decimal | None
    allow_unknown_price: bool
    accept_licenses: str | Iterable[str] | None
    fit: Fit


class DeliveryArgs(TypedDict, total=False):
    """Where the clip goes, and what happens when an offer fails.

    ``cache``: True = a clip that was made of the same request, with the same seed, is given again, and this one is kept
    for the next time; ``"any"`` = requests without a seed as well. ``provenance``: ``"sidecar"`` = how a clip was made
    is written into a JSON file beside it, ``"embed"`` = into the clip itself, where its format takes it; None = as the
    settings say. ``on_unknown``: ``"resubmit"`` = a create without an answer is sent again when its provider cannot be
    asked, although both may be charged. ``rewrites``: how many times an installed extension may say a prompt in other
    words that a provider has blocked; each is a new attempt with its own price, within the same ``max_cost``.
    """

    output: str | os.PathLike[str] | None
    overwrite: bool
    fallback: bool
    fallback_on_policy: bool
    rewrites: int
    cache: bool | Literal["any"]
    provenance: ProvenanceUse | None
    idempotency_key: str | None
    on_unknown: Unknown
    tags: Mapping[str, str] | None


class FilterArgs(TypedDict, total=False):
    """Which offers ``models`` lists; each filter left out lets everything through.

    ``max_price_per_second`` is in USD, ``duration`` in seconds; ``ready``: whether the provider has its credentials;
    ``retired``: True lists retired models too.
    """

    task: str | None
    provider: str | None
    audio: bool | None
    resolution: str | None
    duration: float | None
    max_price_per_second: str | float | Decimal | None
    quality: Literal["economy", "standard", "premium"] | None
    ready: bool | None
    retired: bool


class RouteArgs(ClipArgs, ChoiceArgs, total=False):
    """Arguments of ``route`` and ``estimate``."""


class GenerateArgs(ClipArgs, ChoiceArgs, DeliveryArgs, total=False):
    """Arguments of ``generate`` and ``submit``."""


_CLIP = frozenset(ClipArgs.__annotations__)
_CHOICE = frozenset(ChoiceArgs.__annotations__)
FILTERS = frozenset(FilterArgs.__annotations__)
_MOST_REWRITES = 5  # each may cost as much as the first try
_DELIVERY = frozenset(DeliveryArgs.__annotations__)


def sort_arguments(
    settings: Settings, prompt: Any, arguments: Mapping[str, Any], *, call: str
) -> tuple[VideoRequest, Policy, Delivery]:
    """Check the arguments of a call and sort them into request, policy and delivery.

    Raises:
        RequestError: One is unknown, or has a wrong type or value.
        InvalidMediaError: A media argument is none.
    """
    making = call in ("generate", "submit", "batch")
    known_names(arguments, _CLIP | _CHOICE | (_DELIVERY if making else frozenset()), call=call)
    _without_keys(arguments)
    picked = {group: {k: v for k, v in arguments.items() if k in group} for group in (_CLIP, _CHOICE, _DELIVERY)}
    request = VideoRequest.make(prompt, **picked[_CLIP])
    policy = make_policy(settings, **picked[_CHOICE])
    return request, policy, _delivery(settings, **picked[_DELIVERY])


def _without_keys(arguments: Mapping[str, Any]) -> None:
    """Refuse a known key where it would be written down.

    Raises:
        RequestError: One is among the options or tags, or is the idempotency key.
    """
    for name in ("options", "tags", "idempotency_key"):
        if masked(str(arguments.get(name))) != str(arguments.get(name)):
            raise RequestError(
                f"{name}: one of your keys is in it, and the ledger would keep it in clear text.",
                hint="A key belongs in the environment, in .env or in the table [providers.NAME] of the configuration.",
            )


def known_names(arguments: Mapping[str, Any], known: frozenset[str], *, call: str) -> None:
    """Refuse an argument that a call does not have, with the name that was probably meant.

    Raises:
        RequestError: One is unknown.
    """
    for name in arguments:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise RequestError(
                f"{call}() has no argument {name!r}.",
                hint=f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(sorted(known))}.",
            )


def _delivery(
    settings: Settings,
    *,
    output: Any = None,
    overwrite: Any = False,
    fallback: Any = True,
    fallback_on_policy: Any = False,
    rewrites: Any = 0,
    cache: Any = False,
    provenance: Any = None,
    idempotency_key: Any = None,
    on_unknown: Any = "keep",
    tags: Any = None,
) -> Delivery:
    for name, flag in (("overwrite", overwrite), ("fallback", fallback), ("fallback_on_policy", fallback_on_policy)):
        if not isinstance(flag, bool):
            raise RequestError(f"{name}: expected True or False, got {flag!r}.")
    if isinstance(rewrites, bool) or not isinstance(rewrites, int) or not 0 <= rewrites <= _MOST_REWRITES:
        raise RequestError(f"rewrites: expected a number from 0 to {_MOST_REWRITES}, got {rewrites!r}.")
    if idempotency_key is not None and not (isinstance(idempotency_key, str) and 0 < len(idempotency_key) <= 255):
        raise RequestError("idempotency_key: expected 1 to 255 characters.")
    if not isinstance(cache, bool) and cache != "any":
        raise RequestError(f"cache: expected True, False or 'any', got {cache!r}.")
    kept = settings.provenance if provenance is None else provenance
    if kept not in get_args(ProvenanceUse):
        raise RequestError(f"provenance: {kept!r} is not possible.", hint="Allowed: no, sidecar, embed.")
    if on_unknown not in ("keep", "resubmit"):
        raise RequestError(f"on_unknown: {on_unknown!r} is not possible.", hint="Allowed: keep, resubmit.")
    labels = {} if tags is None else tags
    if not isinstance(labels, Mapping) or not all(isinstance(x, str) for pair in labels.items() for x in pair):
        raise RequestError(f"tags: expected a dict of text to text, got {tags!r}.", hint="Write tags={'team': 'ads'}.")
    return Delivery(
        output=absolute_output(settings.output if output is None else output),
        overwrite=overwrite,
        fallback=fallback,
        fallback_on_policy=fallback_on_policy,
        rewrites=rewrites,
        idempotency_key=idempotency_key,
        tags=dict(labels),
        cache="any" if cache == "any" else "seeded" if cache else "no",
        provenance=kept,
        on_unknown=on_unknown,
    )


def absolute_output(output: Any) -> str | None:
    """The output made absolute, so that it means the same in another process; a folder keeps its separator.

    Raises:
        RequestError: It is no path.
    """
    if output is None:
        return None
    if not isinstance(output, (str, os.PathLike)) or not os.fspath(output) or "\x00" in str(output):
        raise RequestError(f"output: expected a file, a folder/ or a template, got {output!r}.")
    text = os.fspath(output)
    try:
        path = str(Path(text).expanduser().absolute())
        is_folder = text.endswith(("/", os.sep)) or Path(path).is_dir()
    except (OSError, RuntimeError) as error:  # a name too long; a ~user that is not there
        reason = getattr(error, "strerror", None) or error
        raise RequestError(f"output: {text[:80]!r} cannot be used: {reason}.") from error
    return path + os.sep if is_folder else path


def callback(on_event: Any) -> Any:
    """The user's listener, when it is one.

    Raises:
        RequestError: It cannot be called.
    """
    if on_event is not None and not callable(on_event):
        raise RequestError(f"on_event: expected a function, got {on_event!r}.")
    return on_event


def seconds(timeout: Any) -> float:
    """A timeout as a number.

    Raises:
        RequestError: It is not a positive, finite number.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
        raise RequestError(f"timeout: expected a positive number of seconds, got {timeout!r}.")
    return float(timeout)
