"""The provider: which models there are, and whether they can be used.

Replicate's client is imported at the first request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from videogen_core import Context, ModelSpec, Notice, Provider, Session, hookimpl

from . import access, notices

__all__ = ["ReplicateProvider", "videogen_provider"]


class ReplicateProvider(Provider):
    """Video models on Replicate.

    A create whose answer was lost is looked for in the list of predictions, whose entries tell their inputs until an
    hour after their end.
    """

    name: ClassVar[str] = "replicate"
    plugin_api: ClassVar[int] = 2
    title: ClassVar[str] = "Replicate"
    setup: ClassVar[str] = "Set REPLICATE_API_TOKEN to a token from https://replicate.com/account/api-tokens."
    console: ClassVar[str] = "https://replicate.com/predictions"
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_list"
    list_lag: ClassVar[float] = 5.0  # not documented; a guess on the safe side
    reconcile_window: ClassVar[float | None] = 3600.0
    concurrency: ClassVar[int] = 16
    emulator: ClassVar[str] = "videogen_replicate.emulator:ReplicateEmulator"

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        access.token(environment, settings)
        access.cancel_after(settings)
        access.check_hardware(settings)

    def account(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
        return access.token(environment, settings)

    async def discover(self, name: str, context: Context) -> ModelSpec | None:
        from . import discovery

        return await discovery.discover(name, context, self.models())

    def notice(
        self, headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Notice:
        return notices.read(headers, body, environment, settings)

    def connect(self, context: Context) -> Session:
        from .session import ReplicateSession

        return ReplicateSession(context)


@hookimpl
def videogen_provider() -> Provider:
    """The plugin's provider."""
    return ReplicateProvider()
