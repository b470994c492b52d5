"""The hooks that a plugin implements, and the marker it uses.

A provider is a module named by an entry point of the group ``videogen.plugins``; the entry point's name is the name of
the provider::

    [project.entry-points."videogen.plugins"]
    acme = "videogen_acme.plugin"

    # videogen_acme/plugin.py
    from videogen_core import hookimpl

    @hookimpl
    def videogen_provider():
        return AcmeProvider()

Every other hook is looked for in modules of the group ``videogen.extensions``, whose entry points may have any name.
The two are apart so that a provider is imported only when it is wanted, while an extension is asked about every
request. One module may be named in both.

An implementation may take fewer arguments than its hook has, so that a new argument breaks no plugin. What an extension
returns is judged like network input; one that raises, answers nonsense or takes too long is named in a warning and left
out, and the request goes on without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .errors import ContentPolicyError
    from .provider import Provider
    from .request import VideoRequest
    from .routing import Candidate, Policy
    from .spec import ModelSpec
    from .states import Event

__all__ = [
    "PROJECT",
    "hookimpl",
    "videogen_emulator",
    "videogen_models",
    "videogen_on_event",
    "videogen_prepare",
    "videogen_provider",
    "videogen_rank",
    "videogen_rewrite_prompt",
]

PROJECT = "videogen"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec(firstresult=True)
def videogen_provider() -> Provider | None:
    """Return the plugin's provider. Called once per process, when the provider is first wanted."""
    return None


@hookspec(firstresult=True)
def videogen_models() -> Iterable[ModelSpec] | None:
    """Return more offers of providers that other plugins serve: models of a private account, a new one of today.

    Called once per process, for two seconds at most. An offer that the provider's own catalogue has is refused;
    changing one is what the user's catalogue is for. No network, no key.
    """
    return None


@hookspec(firstresult=True)
def videogen_emulator(provider: str) -> str | None:
    """Return ``module:name`` of an `Emulator` of a provider's vendor, for ``videogen emulate``; None = not here.

    Asked only for a provider whose own plugin ships none; for two seconds at most.

    Args:
        provider: Its adapter id.
    """
    return None


@hookspec(firstresult=True)
def videogen_prepare(request: VideoRequest) -> Mapping[str, Any] | None:
    """Change a request before an offer is chosen for it: house style, a watermark, a rule of the firm.

    The fields that are returned are checked as the user's own are. What was changed, and by whom, is told: in
    ``Route.prepared``, by an event, and in the job's ``changes``. Asked for an estimate and a route too, so that the
    price is that of the request that is sent; so the same request must give the same answer. There is one second.

    Args:
        request: As the user made it, and as the extensions before this one, by name, have prepared it. A copy.

    Returns:
        Field -> new value, as ``generate`` takes them, ``prompt`` included; None or nothing = as it is.

    Raises:
        RequestError: It must not be sent. That is the user's answer; nothing was spent. Any other exception is a
            mistake of the extension, and leaves the request as it is.
    """
    return None


@hookspec(firstresult=True)
def videogen_rank(request: VideoRequest, candidates: Sequence[Candidate], policy: Policy) -> Sequence[str] | None:
    """Order the offers that can take a request, where the choice is the router's.

    Not asked when the user has named models: their order is the user's. Nothing can be let in that was refused, and
    placeholders stay last. The first extension, by name, that answers decides. There is one second.

    Args:
        request: What is wanted. A copy.
        candidates: Every offer that can take it, as the router ranks them.
        policy: How the user wants it chosen.

    Returns:
        Ids of offers, best first; those left out follow as they were. None = as it is.
    """
    return None


@hookspec(firstresult=True)
def videogen_rewrite_prompt(request: VideoRequest, error: ContentPolicyError) -> str | None:
    """Say in other words what a provider has refused to make.

    Asked only when the user allows it with ``rewrites=N``, and no more than so often for a job. What is returned is
    asked of the same offer as a new attempt, with its own price, its own place in the ledger and within the same
    ``max_cost``; an event tells of it, and of what the blocked attempt cost. The first extension, by name, that answers
    decides. There are thirty seconds, since it may ask a language model.

    Args:
        request: As the provider was told. A copy.
        error: What it said; ``charged`` is whether the blocked attempt was paid for, None where nobody knows.

    Returns:
        The new prompt; None or the same text = leave it.
    """
    return None


@hookspec
def videogen_on_event(event: Event) -> None:
    """Hear of what happens to jobs in this process, in order; for metrics, a log, a message to somebody.

    Called in a thread of the extension's own, in a copy of the caller's context variables, after the ledger has it. A
    job never waits for it: while it is slow, events queue up, and beyond a thousand they are dropped and counted.
    Events hold no prompt and no key.

    Args:
        event: A copy.
    """
