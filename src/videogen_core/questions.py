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
    return workspace.planner.estimate(workspace.planner.inspect(_prompted(request)), policy)


def route(workspace: Workspace, prompt: str | None, arguments: Mapping[str, Any]) -> Route:
    request, policy, _ = sort_arguments(workspace.settings, prompt, arguments, call="route")
    return workspace.planner.route(workspace.planner.inspect(_prompted(request)), policy)


def check(workspace: Workspace, prompt: str | None, model: str, arguments: Mapping[str, Any]) -> list[Violation]:
    request, _, _ = sort_arguments(workspace.settings, prompt, arguments, call="check")
    return workspace.planner.check(workspace.planner.inspect(request), model)


def max_duration(
    workspace: Workspace, prompt: str | None, model: str, max_cost: Any, arguments: Mapping[str, Any]
) -> float | None:
    request, _, _ = sort_arguments(workspace.settings, prompt, arguments, call="max_duration")
    return workspace.planner.max_duration(workspace.planner.inspect(_prompted(request)), model, max_cost)


def models(workspace: Workspace, filters: Mapping[str, Any]) -> list[ModelSpec]:
    """The offers that match every filter."""
    known_names(filters, FILTERS, call="models")
    return workspace.planner.models(**filters)


def _prompted(request: VideoRequest) -> VideoRequest:
    """An estimate or a route needs no prompt: what it says is not part of the question yet."""
    return request if request.prompt else msgspec.structs.replace(request, prompt="…")
