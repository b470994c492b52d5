"""The offers of servers: from the settings and what is remembered, without the network, or by asking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from videogen_core import ConfigurationError, Context, ModelSpec, Recovery

from . import settings as configured
from .asking import Client
from .memory import Known, Memory
from .rules import offer
from .settings import Server

__all__ = ["CONSOLE", "check", "discover", "memory_of", "offers", "recovery"]

CONSOLE = "GET /v1/videos at each address of the server lists its jobs"
"""Where a person can look for a job."""


def memory_of(server: Server, folder: Path) -> Memory:
    """What is kept of a server."""
    return Memory(folder, server.name, tuple(endpoint.url for endpoint in server.endpoints))


def offers(
    environment: Mapping[str, str], settings: Mapping[str, Any], folder: Path, rows: Iterable[ModelSpec]
) -> tuple[ModelSpec, ...]:
    """An offer for each server whose model the settings name, or that has said it before.

    Args:
        environment: Environment variables.
        settings: ``[providers.local]``.
        folder: The provider's own.
        rows: The catalogue of models that run here.

    Raises:
        ConfigurationError: A server is described wrongly, or has the name of a model of the catalogue.
    """
    rows = tuple(rows)
    taken = {row.id for row in rows}
    found = []
    for server in configured.servers(environment, settings).values():
        memory = memory_of(server, folder)
        known = _known(server, memory)
        if known is None:
            continue
        spec = offer(server, known, memory.paces(), rows)
        if spec.id in taken:
            raise ConfigurationError(
                f"providers.local.servers.{server.name}: {spec.id} is a model of the catalogue already.",
                hint="Give the server another name.",
            )
        found.append(spec)
    return tuple(found)


def _known(server: Server, memory: Memory) -> Known | None:
    """What a server serves, as far as that is known without asking it."""
    said = memory.known()
    if not server.model:
        return said
    same = said is not None and said.model.lower() == server.model.lower()
    return said if same else Known(model=server.model)


async def discover(name: str, context: Context, rows: Iterable[ModelSpec]) -> ModelSpec | None:
    """The offer of a server that has to be asked what it serves; None when no server has that name.

    Raises:
        ConfigurationError: It is described wrongly, or serves another model than the settings say.
        ProviderError: It cannot be asked now.
    """
    server = configured.servers(context.environment, context.settings).get(name)
    if server is None:
        return None
    client = Client(context, server)
    try:
        known = await client.serves()
    finally:
        await client.close()
    memory = memory_of(server, context.folder)
    memory.learn(known)
    return offer(server, known, memory.paces(), rows)


def check(spec: ModelSpec, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Return when a server's offer can be used; looks at the settings only.

    Raises:
        MissingCredentialsError: Its key is missing.
        ConfigurationError: The settings have no such server.
    """
    configured.named(str(spec.vendor.get("server")), environment, settings).key(environment)


def recovery(spec: ModelSpec) -> Recovery:
    """What can be done about a lost create: no server knows an id of ours, so nothing is ever sent again by itself."""
    return Recovery(reconcile=spec.vendor.get("reconcile", "none"), console=CONSOLE)
