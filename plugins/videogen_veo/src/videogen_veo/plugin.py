"""The provider: which models there are, and whether they can be used. Google's SDK is imported at the first request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from videogen_core import Context, ModelSpec, Provider, Session, hookimpl

from . import access

__all__ = ["VeoProvider", "videogen_provider"]


class VeoProvider(Provider):
    """Google's video models.

    A create whose answer was lost cannot be found again: Vertex AI lists no operations of its models, and the
    Interactions API lists no interactions.
    """

    name: ClassVar[str] = "veo"
    plugin_api: ClassVar[int] = 2
    title: ClassVar[str] = "Google (Veo, Gemini Omni)"
    setup: ClassVar[str] = (
        "Set GEMINI_API_KEY for Gemini Omni; for Veo set GOOGLE_CLOUD_PROJECT and sign in with "
        "`gcloud auth application-default login`, or name a service account's file in GOOGLE_APPLICATION_CREDENTIALS."
    )
    console: ClassVar[str] = (
        "https://console.cloud.google.com/billing shows what was charged; neither API lists its video jobs."
    )
    concurrency: ClassVar[int] = 8
    poll_every: ClassVar[float] = 5.0
    emulator: ClassVar[str] = "videogen_veo.emulator:VeoEmulator"

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        access.check_any(environment, settings)

    def check_offer(self, spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        access.access_to(spec, environment, settings)

    def account(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
        return access.account(environment, settings)

    def connect(self, context: Context) -> Session:
        from .session import VeoSession

        return VeoSession(context)


@hookimpl
def videogen_provider() -> Provider:
    """The plugin's provider."""
    return VeoProvider()
