"""The provider: what it is called, what it needs, and how a lost create is found again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from videogen_core import Context, MissingCredentialsError, Provider, Session, hookimpl


class LumenProvider(Provider):
    name: ClassVar[str] = "lumen"
    title: ClassVar[str] = "Lumen"
    plugin_api: ClassVar[int] = 2
    setup: ClassVar[str] = "Set LUMEN_KEY to a key from https://lumen.example/keys."
    console: ClassVar[str] = "https://lumen.example/jobs"
    emulator: ClassVar[str] = "videogen_lumen.emulator:Lumen"
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_ref"
    list_lag: ClassVar[float] = 1.0

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        if not environment.get("LUMEN_KEY"):
            raise MissingCredentialsError("LUMEN_KEY is not set.", hint=self.setup)

    def account(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
        return environment.get("LUMEN_KEY", "")

    def connect(self, context: Context) -> Session:
        from .session import LumenSession

        return LumenSession(context)


@hookimpl
def videogen_provider() -> Provider:
    return LumenProvider()
