"""``doctor --online``: whether providers answer, each within ten seconds."""

from __future__ import annotations

from typing import Any

import anyio

from videogen_core import AsyncClient, Client, VideogenError

__all__ = ["ping_all"]


def ping_all(client: Client, names: list[str]) -> dict[str, dict[str, Any]]:
    """Ask providers, all at once: name -> ``{"ok", "message"}``."""
    answers: dict[str, dict[str, Any]] = {}

    async def one(name: str) -> None:
        try:
            answers[name] = {"ok": True, "message": await AsyncClient.on(client.workspace).ping(name)}
        except VideogenError as error:
            answers[name] = {"ok": False, "message": error.message}

    async def every() -> None:
        async with anyio.create_task_group() as group:
            for name in names:
                group.start_soon(one, name)

    anyio.run(every)
    return answers
