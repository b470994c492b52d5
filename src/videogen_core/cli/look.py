"""``plugins`` and ``config``: what is installed, and what is configured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer

from videogen_core import Client

from .options import takes
from .ready import setup_advice
from .screen import Screen
from .tables import Column, show_table

__all__ = ["config", "plugin_facts", "plugins"]


@takes()
def plugins(screen: Screen) -> None:
    """List the installed plugins and whether they can be used."""
    with Client() as client:
        found = plugin_facts(client)
        advice = setup_advice(client)
    if screen.json:
        screen.emit({"plugins": found})
        return
    show_table(
        screen,
        [
            Column("plugin", [row["name"] for row in found]),
            Column("distribution", [row["distribution"] for row in found], spare=3),
            Column("version", [row["version"] for row in found], spare=2),
            Column("state", [row["state"] for row in found]),
            Column("models", [str(row["models"]) for row in found], right=True),
            Column("ready", ["yes" if row["ready"] else "no" for row in found]),
            Column("why not", [row["reason"] or "" for row in found], spare=1, wrap=24),
        ],
    )
    if not any(row["ready"] and row["name"] != "sandbox" for row in found):
        for sentence in advice:
            screen.say(sentence, "dim")


def plugin_facts(client: Client) -> list[dict[str, Any]]:
    """What is known of every plugin, after an attempt to load it; no secret is in it."""
    registry = client.workspace.registry
    rows = []
    for plugin in registry.plugins.load_all():
        reason = registry.readiness(plugin.name)
        rows.append(
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "state": plugin.state,
                "error": plugin.error or None,
                "models": len(plugin.models),
                "ready": reason is None,
                "reason": reason,
                "setup": (plugin.provider.setup if plugin.provider is not None else "") or None,
            }
        )
    return rows


@takes()
def config(screen: Screen) -> None:
    """Show every setting, its value and where it comes from."""
    with Client() as client:
        settings = [
            {"name": name, "value": _without_password(value), "source": source}
            for name, value, source in client.settings.shown()
        ]
        files = [{"path": str(path), "found": path.is_file()} for path in _files(client)]
    if screen.json:
        screen.emit({"settings": settings, "files": files})
        return
    show_table(
        screen,
        [
            Column("setting", [str(row["name"]) for row in settings]),
            Column("value", [str(row["value"]) for row in settings], wrap=20),
            Column("source", [str(row["source"]) for row in settings], wrap=16),
        ],
    )
    screen.line("")
    show_table(
        screen,
        [
            Column("file, weakest first", [str(row["path"]) for row in files], wrap=40),
            Column("found", ["yes" if row["found"] else "no" for row in files]),
        ],
    )


def _without_password(value: str) -> str:
    """An address without user and password, and without the parameters that may hold one."""
    return re.sub(r"(://)[^/@\s]*@", r"\1…@", value).partition("?")[0] if "://" in value else value


def _files(client: Client) -> list[Path]:
    """Where settings are looked for, the weakest first."""
    environment = client.settings.environment
    folder = environment.get("VIDEOGEN_CONFIG_DIR") or typer.get_app_dir("videogen")
    here = Path.cwd()
    files = [Path(folder).expanduser() / "config.toml", here / "videogen.toml", here / ".env"]
    return files + ([client.settings.catalog] if client.settings.catalog is not None else [])
