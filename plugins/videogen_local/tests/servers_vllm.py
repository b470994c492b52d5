"""The plugin with a server that speaks the dialect vllm-omni."""

from __future__ import annotations

from typing import ClassVar, Literal

from servers_rig import OneServer
from videogen_core import Provider, hookimpl

__all__ = ["VllmOmniAlone", "videogen_provider"]


class VllmOmniAlone(OneServer):
    dialect: ClassVar[str] = "vllm-omni"
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_list"
    emulator: ClassVar[str] = "videogen_local.emulator:VllmOmniEmulator"


@hookimpl
def videogen_provider() -> Provider:
    return VllmOmniAlone()
