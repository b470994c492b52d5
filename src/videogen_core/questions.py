"""The questions that cost nothing, asked with a call's arguments: one wording for sync and async clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .arguments import FILTERS, known_names, sort_arguments
from .limits import Violation
from .pricing import Quote
from .request import VideoRequest
from .routing import Route
from .spec import ModelSpec
from .workspace import Workspace

__all__ = ["check", "estimate", "max_duration", "models", "route"]


def estimate(workspace: Workspace, prompt: str | None, arguments: Mapping[str, Any]) -> Quote:
    request, policy, _ = sort_arguments(workspace.settings, prompt, arguments, call="estimate")
    return workspace.planner.estimate(_inspected(workspace, request), policy)


def route(workspace: Workspace, prompt: str | None, arguments: Mapping[str, Any]) -> Route:
    request, policy, _ = sort_arguments(workspace.settings, prompt, arguments, call="route")
    prepared = workspace.planner.prepare(_prompted(request))
    found = workspace.planner.route(workspace.planner.inspect(prepared.request), policy)
    found.prepared = prepared.notes
    return found


def check(workspace: Workspace, prompt: str | None, model: str, arguments: Mapping[str, Any]) -> list[Violation]:
    request, _, _ = sort_arguments(workspace.settings, prompt, arguments, call="check")
    return workspace.planner.check(workspace.planner.inspect(workspace.planner.prepare(request).request), model)


def max_duration(
    workspace: Workspace, prompt: str | None, model: str, max_cost: Any, arguments: Mapping[str, Any]
) -> float | None:
    request, _, _ = sort_arguments(workspace.settings, prompt, arguments, call="max_duration")
    return workspace.planner.max_duration(_inspected(workspace, request), model, max_cost)


def models(workspace: Workspace, filters: Mapping[str, Any]) -> list[ModelSpec]:
    """The offers that match every filter."""
    known_names(filters, FILTERS, call="models")
    return workspace.planner.models(**filters)


def _inspected(workspace: Workspace, request: VideoRequest) -> VideoRequest:
    """As it would be sent."""
    return workspace.planner.inspect(workspace.planner.prepare(_prompted(request)).request)


def _prompted(request: VideoRequest) -> VideoRequest:
    """An estimate or a route needs no prompt: what it says is not part of the question yet."""
    return request if request.prompt else msgspec.structs.replace(request, prompt="…")
