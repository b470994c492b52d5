"""``doctor --online``: whether providers answer, each within ten seconds."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import anyio

from videogen_core import Client, Context, VideogenError

__all__ = ["ping_all"]

_LIMIT = 10.0  # seconds


def ping_all(client: Client, names: list[str]) -> dict[str, dict[str, Any]]:
    """Ask providers, all at once: name -> ``{"ok", "message"}``."""
    answers: dict[str, dict[str, Any]] = {}

    async def one(name: str) -> None:
        ok, message = await _ping(client, name)
        answers[name] = {"ok": ok, "message": message}

    async def every() -> None:
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(one, name)

    anyio.run(every)
    return answers


async def _ping(client: Client, name: str) -> tuple[bool, str]:
    try:
        with anyio.fail_after(_LIMIT):
            session = client.workspace.registry.plugins.provider(name).connect(_context(client, name))
            try:
                return True, await session.ping()
            finally:
                with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                    await session.close()
    except TimeoutError:
        return False, f"no answer within {_LIMIT:g} seconds"
    except VideogenError as error:
        return False, error.message
    except Exception as error:  # a plugin's bug must not hide what the others say
        return False, f"{type(error).__name__}: {error}"


def _context(client: Client, name: str) -> Context:
    settings = client.settings
    http = import_module("videogen_core.transport").client  # not exported: only sessions of plugins are to have it
    return Context(settings=settings.provider(name), environment=settings.environment, http=http)
