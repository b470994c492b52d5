"""The plugin with a server that speaks the dialect sglang."""

from __future__ import annotations

from typing import ClassVar, Literal

from servers_rig import OneServer
from videogen_core import Provider, hookimpl

__all__ = ["SglangAlone", "videogen_provider"]


class SglangAlone(OneServer):
    dialect: ClassVar[str] = "sglang"
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_time"
    emulator: ClassVar[str] = "videogen_local.emulator:SglangEmulator"


@hookimpl
def videogen_provider() -> Provider:
    return SglangAlone()
