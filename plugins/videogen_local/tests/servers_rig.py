"""The plugin with one server alone, for the tests that every provider passes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from videogen_core import Context, MissingCredentialsError, ModelSpec, Session
from videogen_local import servers
from videogen_local.plugin import LocalProvider
from videogen_local.servers import VARIABLE
from videogen_local.servers.offering import CONSOLE
from videogen_local.servers.settings import servers as configured

__all__ = ["OneServer"]


class OneServer(LocalProvider):
    """What the plugin offers where nothing is configured but a server in variables of the environment."""

    idempotency: ClassVar[float] = 0.0
    concurrency: ClassVar[int] = 8
    console: ClassVar[str] = CONSOLE
    dialect: ClassVar[str]

    def models(self) -> tuple[ModelSpec, ...]:
        told = {"URL": "http://127.0.0.1:9", "DIALECT": self.dialect, "MODEL": "emulated/ti2v", "PACE": "10"}
        rate = {"USD_PER_HOUR": str(Decimal("3.6"))}
        return servers.offers({f"{VARIABLE}{key}": value for key, value in (told | rate).items()}, {}, Path("/no"), ())

    def offers(
        self, environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path
    ) -> tuple[ModelSpec, ...]:
        return self.models()

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        if not configured(environment, settings):
            raise MissingCredentialsError(f"{VARIABLE}URL is not set.")
        for server in configured(environment, settings).values():
            server.key(environment)

    def connect(self, context: Context) -> Session:
        return servers.Engine(context)
