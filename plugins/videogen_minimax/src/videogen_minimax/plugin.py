"""The provider: which models there are, and whether they can be used. Nothing heavy is imported before it connects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from videogen_core import Context, ModelSpec, Notice, Provider, Session, VideoRequest, hookimpl

from . import access, callbacks, prompts

__all__ = ["MinimaxProvider", "videogen_provider"]


class MinimaxProvider(Provider):
    """MiniMax, on both of its APIs.

    V2 lists tasks with their model, size, length and time, but not their prompt, so what may be a lost create is shown
    to a person and never taken by itself. V1 lists nothing; there, only a callback can tell the id of a lost one.
    """

    name: ClassVar[str] = "minimax"
    plugin_api: ClassVar[int] = 2
    title: ClassVar[str] = "MiniMax (Hailuo)"
    setup: ClassVar[str] = (
        "Set MINIMAX_API_KEY to a key from platform.minimax.io; for one from platform.minimaxi.com set "
        "MINIMAX_REGION=cn as well."
    )
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_time"
    list_lag: ClassVar[float] = 5.0  # not documented
    reconcile_window: ClassVar[float | None] = 7 * 86_400.0
    signed_webhooks: ClassVar[bool] = False
    console: ClassVar[str] = "https://platform.minimax.io (in China: https://platform.minimaxi.com)"
    poll_every: ClassVar[float] = 10.0  # as the documentation asks
    emulator: ClassVar[str] = "videogen_minimax.emulator:MinimaxEmulator"

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        access.access(environment, settings)

    def account(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
        return access.api_key(environment, settings)

    def advice(self, spec: ModelSpec, request: VideoRequest) -> tuple[str, ...]:
        return (*super().advice(spec, request), *prompts.advice(spec, request))

    def notice(
        self, headers: Mapping[str, str], body: bytes, environment: Mapping[str, str], settings: Mapping[str, Any]
    ) -> Notice:
        return callbacks.notice(body)

    def connect(self, context: Context) -> Session:
        from .session import MinimaxSession

        return MinimaxSession(context)


@hookimpl
def videogen_provider() -> Provider:
    """The plugin's provider."""
    return MinimaxProvider()
