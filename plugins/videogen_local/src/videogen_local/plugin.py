"""The provider: which models there are on this machine, and whether they can be used.

Nothing here imports torch or diffusers; they load when the first job runs. What drives servers, asks the hub or plans
memory loads when a question needs it: every process that lists models loads this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from videogen_core import Context, ModelSpec, Provider, Recovery, Session, VideoRequest, hookimpl

from . import models, servers

__all__ = ["LocalProvider", "videogen_provider"]


class LocalProvider(Provider):
    """Models that run here, and on servers of the user's own.

    A job that this machine runs is a folder on its disk, named by our own id: a lost answer is no loss, and the same id
    is the same job.
    """

    name: ClassVar[str] = "local"
    plugin_api: ClassVar[int] = 2
    title: ClassVar[str] = "This machine"
    setup: ClassVar[str] = (
        "Run: pip install 'videogen-local[torch]'. Servers of your own are named in [providers.local]."
    )
    idempotency: ClassVar[float] = 365 * 86_400.0
    reconcile: ClassVar[Literal["by_ref", "by_list", "by_time", "none"]] = "by_ref"
    concurrency: ClassVar[int] = 64  # they queue per device
    rests: ClassVar[bool] = False
    discovery_seconds: ClassVar[float] = 0.0
    commands: ClassVar[str] = "videogen_local.commands:app"
    console: ClassVar[str] = "the folder providers/local/jobs of your videogen home"
    emulator: ClassVar[str] = "videogen_local.emulator:LocalEmulator"

    def offers(
        self, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path
    ) -> tuple[ModelSpec, ...]:
        here = models.offers(self.models(), environment, settings, folder)
        if not servers.are_described(environment, settings):
            return here
        return (*here, *servers.offers(environment, settings, folder, here))

    async def discover(self, name: str, context: Context) -> ModelSpec | None:
        from . import hub

        rows = models.offers(self.models(), context.environment, context.settings, context.folder)
        found = await servers.discover(name, context, rows)
        found = found or models.discovered(name, context.environment, context.settings, context.folder)
        if found is None and name.count("/") == 1:
            from anyio import to_thread

            raise await to_thread.run_sync(hub.missing, name, context.environment)
        return found

    def check_offer(self, spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        if spec.vendor.get("engine", "here") == "here":
            models.check_here(spec)
        else:
            servers.check(spec, environment, settings)

    def recovery(self, spec: ModelSpec) -> Recovery:
        return servers.recovery(spec) if spec.vendor.get("engine") == "server" else super().recovery(spec)

    def remark(
        self,
        spec: ModelSpec,
        request: VideoRequest,
        environment: Mapping[str, str],
        settings: Mapping[str, Any],
        folder: Path,
    ) -> str:
        if spec.vendor.get("engine", "here") != "here":
            return ""
        from . import fitting

        return fitting.remark(spec, request, folder)

    def notes(self, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
        if missing := models.missing_packages():
            return (f"no model runs on this machine: {', '.join(missing)} not installed.",)
        from . import fitting

        return fitting.notes(models.offers(self.models(), environment, settings, folder), folder)

    def tailored(
        self,
        spec: ModelSpec,
        request: VideoRequest,
        environment: Mapping[str, str],
        settings: Mapping[str, Any],
        folder: Path,
    ) -> ModelSpec:
        if spec.vendor.get("engine", "here") != "here":
            return spec
        from . import costs

        return costs.tailored(spec, request, settings, models.timings_in(folder))

    def connect(self, context: Context) -> Session:
        from .session import LocalSession

        return LocalSession(context)


@hookimpl
def videogen_provider() -> Provider:
    """The plugin's provider."""
    return LocalProvider()
