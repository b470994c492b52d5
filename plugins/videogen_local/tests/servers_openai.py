"""The plugin with a server that speaks the dialect openai."""

from __future__ import annotations

from typing import ClassVar, Literal

from servers_rig import OneServer
from videogen_core import Provider, hookimpl

__all__ = ["OpenaiAlone", "videogen_provider"]


class OpenaiAlone(OneServer):
    dialect: ClassVar[str] = "openai"
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_list"
    emulator: ClassVar[str] = "videogen_local.emulator:OpenaiEmulator"


@hookimpl
def videogen_provider() -> Provider:
    return OpenaiAlone()
