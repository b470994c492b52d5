"""The provider: which models there are, and whether they can be used. Runway's SDK is imported at the first request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from videogen_core import Context, ModelSpec, Provider, Session, VideoRequest, hookimpl

from . import access

__all__ = ["RunwayProvider", "videogen_provider"]


class RunwayProvider(Provider):
    """Runway's video models, and those that it hosts.

    A create whose answer was lost cannot be found again: the API knows no idempotency keys and lists no tasks.
    """

    name: ClassVar[str] = "runway"
    plugin_api: ClassVar[int] = 2
    title: ClassVar[str] = "Runway"
    setup: ClassVar[str] = "Set RUNWAYML_API_SECRET to a key from https://dev.runwayml.com, and buy credits there."
    console: ClassVar[str] = "https://dev.runwayml.com shows what was charged; the API lists no tasks."
    concurrency: ClassVar[int] = 8
    poll_every: ClassVar[float] = 5.0  # as its SDK says
    emulator: ClassVar[str] = "videogen_runway.emulator:RunwayEmulator"

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        access.api_key(environment, settings)

    def account(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
        return access.api_key(environment, settings)

    def advice(self, spec: ModelSpec, request: VideoRequest) -> tuple[str, ...]:
        said = super().advice(spec, request)
        if request.prompt and spec.vendor.get("prompt") is False:
            return (*said, f"prompt: {spec.title} takes none; it is not sent.")
        return said

    def connect(self, context: Context) -> Session:
        from .session import RunwaySession

        return RunwaySession(context)


@hookimpl
def videogen_provider() -> Provider:
    """The plugin's provider."""
    return RunwayProvider()
