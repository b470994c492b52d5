"""The plugin with models of this machine alone, for the tests that every provider passes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from videogen_core import Context, ModelSpec, Provider, Session, hookimpl
from videogen_local import folders
from videogen_local.plugin import LocalProvider
from videogen_local.rows import completed
from videogen_local.switches import switched

__all__ = ["PIPELINES", "HereAlone", "videogen_provider"]

PIPELINES = "LOCAL_TINY_PIPELINES"
"""Variable with a folder of pipelines; each becomes an offer."""


class HereAlone(LocalProvider):
    """What the plugin offers to somebody who has some pipelines on this machine, and no server."""

    def models(self) -> tuple[ModelSpec, ...]:
        rows = {spec.id: switched(completed(spec)) for spec in super().models()}
        found = []
        for place in sorted(Path(os.environ[PIPELINES]).iterdir()):
            spec = rows.get(f"local/{place.name}") or folders.look(place, f"local/{place.name}")
            latency = spec.latency or rows["local/shapes"].latency
            vendor = {**spec.vendor, "folder": str(place)}
            found.append(msgspec.structs.replace(spec, vendor=vendor, latency=latency, maker="nobody"))
        return tuple(found)

    def offers(
        self, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path
    ) -> tuple[ModelSpec, ...]:
        return self.models()

    def connect(self, context: Context) -> Session:
        from here_bench import Telling

        return Telling(context)


@hookimpl
def videogen_provider() -> Provider:
    return HereAlone()
