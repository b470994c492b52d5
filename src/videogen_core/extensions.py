"""Asks extensions, one after the other, and believes none of them: bounded in time, checked, and left out when wrong.

Nothing that an extension does can stop a request, but for one thing: `videogen_prepare` may refuse it in words, with a
`RequestError`. What goes wrong is told once, by name, in the log ``videogen`` and in `Plugin.faults`.
"""

from __future__ import annotations

import copy
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from functools import cached_property
from typing import Any, NamedTuple

from .errors import ContentPolicyError, RequestError
from .plugins import Plugin, Plugins, sound_specs
from .redaction import said
from .request import VideoRequest
from .routing import Route
from .spec import ModelSpec

__all__ = ["Extensions", "Prepared", "Rewritten", "notes"]

SECONDS: dict[str, float] = {
    "videogen_models": 2.0,
    "videogen_emulator": 2.0,
    "videogen_prepare": 1.0,
    "videogen_rank": 1.0,
    "videogen_rewrite_prompt": 30.0,
}
"""How long each hook may take."""
_MOST_FAULTS = 20
_LONGEST_PROMPT = 600_000  # characters, as a request's own
_INPUTS = ("image", "last_frame", "reference_images", "video")
_TARGET = re.compile(r"[\w.]+:\w+")

logger = logging.getLogger("videogen")


class Prepared(NamedTuple):
    """A request as extensions have prepared it, and each field that one has changed."""

    request: VideoRequest
    changes: tuple[dict[str, Any], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The changes as sentences."""
        return tuple(notes(self.changes))


def notes(changes: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each change that an extension has made, among those of a job."""
    for change in changes:
        if "by" in change:
            yield f"{change['by']} has set {change['field']} to {_short(change['used'])}"


class Rewritten(NamedTuple):
    """A prompt in other words, and whose they are."""

    prompt: str
    by: str


class _Faulty(Exception):  # noqa: N818 - never seen outside
    """What an extension returned is of no use; the text says why."""


class Extensions:
    """The extensions of one client.

    Args:
        plugins: Where they are; those that ask for it are imported when the first question comes.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._lock = threading.Lock()
        self._hung: set[tuple[str, str]] = set()

    @cached_property
    def _loaded(self) -> tuple[Plugin, ...]:
        return tuple(self._plugins.extensions())

    def having(self, hook: str) -> list[Plugin]:
        """The extensions that implement a hook, by name."""
        return [plugin for plugin in self._loaded if hook in plugin.hooks]

    # --- hooks

    @cached_property
    def models(self) -> tuple[ModelSpec, ...]:
        """More offers; where two extensions have one of the same id, the first has it."""
        found: dict[str, ModelSpec] = {}
        for plugin, specs in self._answers("videogen_models", sound_specs):
            for spec in specs:
                if spec.id in found:
                    self.blame(plugin, f"it offers {spec.id}, which another extension does as well")
                found.setdefault(spec.id, spec)
            plugin.models = specs
        return tuple(found.values())

    def emulator(self, provider: str) -> str:
        """Where an emulator of a provider's vendor is, as ``module:name``; empty when nobody has one."""
        found = (target for _, target in self._answers("videogen_emulator", _target, provider=provider))
        return str(next(found, ""))

    def prepare(self, request: VideoRequest) -> Prepared:
        """The request as it is to be sent.

        Raises:
            RequestError: An extension refuses it.
        """
        changes: list[dict[str, Any]] = []
        for plugin in self.having("videogen_prepare"):
            before = request

            def checked(fields: Any, before: VideoRequest = before) -> VideoRequest:
                return _changed(before, fields)

            answer = self._ask(plugin, "videogen_prepare", checked, request=_own(request))
            if answer is None:
                continue
            request = answer
            changes += _differences(before, request, plugin.name)
        return Prepared(request, tuple(changes))

    def rank(self, route: Route) -> Route:
        """The route with its candidates in the order of the first extension that has one, where the user has none."""
        if route.policy.models or not self.having("videogen_rank") or len(route.candidates) < 2:
            return route
        offers = {candidate.offer for candidate in route.candidates}
        given = {"candidates": _own(route.candidates), "policy": _own(route.policy)}
        for plugin, order in self._answers(
            "videogen_rank", lambda answer: _order(answer, offers), request=_own(route.request), **given
        ):
            return route.reordered({offer: place for place, offer in enumerate(order)}, by=plugin.name)
        return route

    def rewrite(self, request: VideoRequest, error: ContentPolicyError) -> Rewritten | None:
        """The blocked prompt in other words; None when nobody has any."""
        hook = "videogen_rewrite_prompt"
        for plugin, prompt in self._answers(hook, _prompt, request=_own(request), error=copy.copy(error)):
            if prompt != request.prompt:
                return Rewritten(prompt, plugin.name)
        return None

    # --- asking

    def _answers(self, hook: str, check: Callable[[Any], Any], **given: Any) -> Iterator[tuple[Plugin, Any]]:
        for plugin in self.having(hook):
            answer = self._ask(plugin, hook, check, **given)
            if answer is not None:
                yield plugin, answer

    def _ask(self, plugin: Plugin, hook: str, check: Callable[[Any], Any], **given: Any) -> Any:
        """What an extension answers, checked; None when it has nothing to say, or nothing sensible."""
        if (plugin.name, hook) in self._hung:
            return None
        outcome: list[Any] = []

        def run() -> None:
            try:
                answer = plugin.calls[hook](**given)
                outcome.append(None if answer is None else check(answer))
            except BaseException as error:  # its sys.exit() ends nothing either
                outcome.append(error)

        context = copy_context()
        name = f"videogen-{plugin.name}-{hook}"
        thread = threading.Thread(target=context.run, args=(run,), name=name, daemon=True)
        thread.start()
        thread.join(SECONDS[hook])
        if not outcome:
            self._hung.add((plugin.name, hook))
            self.blame(plugin, f"{hook} took more than {SECONDS[hook]:g} s, and is not called any more")
            return None
        answer = outcome[0]
        if hook == "videogen_prepare" and isinstance(answer, RequestError):
            raise answer
        if isinstance(answer, _Faulty):
            self.blame(plugin, f"{hook} answered nonsense: {answer}")
            return None
        if isinstance(answer, BaseException):
            self.blame(plugin, f"{hook} failed: {said(answer)}")
            return None
        return answer

    def blame_for(self, offer: str, fault: str) -> None:
        """The same for whoever has added an offer."""
        for plugin in self.having("videogen_models"):
            if any(spec.id == offer for spec in plugin.models):
                self.blame(plugin, f"the offer {offer} {fault}")

    def blame(self, plugin: Plugin, fault: str) -> None:
        """Tell once what an extension has done wrong."""
        with self._lock:
            known = fault in plugin.faults or len(plugin.faults) >= _MOST_FAULTS
            if not known:
                plugin.faults.append(fault)
        if not known:
            logger.warning(
                "The plugin %s was left out: %s. VIDEOGEN_PLUGINS=-%s blocks it.", plugin.origin, fault, plugin.name
            )


def _own(value: Any) -> Any:
    """A copy to give away: whoever changes it changes nothing of ours."""
    return copy.deepcopy(value)


# --- what may be answered


def _target(answer: Any) -> str:
    if not isinstance(answer, str) or not _TARGET.fullmatch(answer):
        raise _Faulty(f"{_short(answer)} is not module:name")
    return answer


def _prompt(answer: Any) -> str:
    if not isinstance(answer, str) or not answer.strip() or len(answer) > _LONGEST_PROMPT:
        raise _Faulty(f"{_short(answer)} is no prompt")
    return answer


def _order(answer: Any, offers: set[str]) -> Sequence[str]:
    if not isinstance(answer, list | tuple) or len(answer) > 10 * len(offers):
        raise _Faulty(f"{_short(answer)} is no list of offers")
    if strange := [each for each in answer if not isinstance(each, str) or each not in offers]:
        raise _Faulty(f"{_short(strange[0])} is none of the candidates")
    return list(dict.fromkeys(answer))


def _changed(request: VideoRequest, fields: Any) -> VideoRequest:
    """The request with some fields replaced, each checked as a user's is."""
    if not isinstance(fields, Mapping):
        raise _Faulty(f"{_short(fields)} is no mapping of fields to values")
    if strange := [each for each in fields if each not in VideoRequest.__struct_fields__]:
        raise _Faulty(f"{_short(strange[0])} is no field of a request")
    told = {name: getattr(request, name) for name in VideoRequest.__struct_fields__} | dict(fields)
    if "task" not in fields and any(name in _INPUTS for name in fields):
        told["task"] = None  # follows from the inputs
    try:
        return VideoRequest.make(**told)
    except RequestError as error:  # of ours, about its values: not its own refusal
        raise _Faulty(error.message) from error


def _differences(before: VideoRequest, after: VideoRequest, by: str) -> list[dict[str, Any]]:
    old, new = before.given(), after.given()
    names = [name for name in VideoRequest.__struct_fields__ if old.get(name) != new.get(name)]
    return [{"field": name, "asked": old.get(name), "used": new.get(name), "by": by} for name in names]


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}…"
