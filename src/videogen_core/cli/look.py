"""``plugins`` and ``config``: what is installed, and what is configured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from videogen_core import Client, RequestError

from . import completion
from .options import takes
from .ready import setup_advice
from .screen import Screen
from .tables import Column, show_table

__all__ = ["config", "plugin_facts", "plugins"]


_VERBS = ("verify",)


@takes()
def plugins(
    screen: Screen,
    verb: Annotated[
        str | None, typer.Argument(metavar="[VERB]", help="See below.", autocompletion=completion.words(*_VERBS))
    ] = None,
) -> None:
    """List the installed plugins and whether they can be used. `verify NAME` tests one."""
    if verb is not None:
        raise RequestError(f"plugins: {verb!r} is not possible.", hint="Possible: verify NAME.")
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
            Column("API", ["" if row["plugin_api"] is None else str(row["plugin_api"]) for row in found], spare=4),
            Column("state", [row["state"] for row in found]),
            Column("models", [str(row["models"]) for row in found], right=True),
            Column("ready", ["yes" if row["ready"] else "no" for row in found]),
            Column("hooks", [_hooks(row) for row in found], spare=5, wrap=20),
            Column("why not", [row["reason"] or "" for row in found], spare=1, wrap=24),
        ],
    )
    if not any(row["ready"] and row["kind"] == "provider" and row["name"] != "sandbox" for row in found):
        for sentence in advice:
            screen.say(sentence, "dim")


def plugin_facts(client: Client) -> list[dict[str, Any]]:
    """What is known of every plugin, after an attempt to load it; no secret is in it."""
    registry = client.workspace.registry
    rows = []
    for plugin in registry.plugins.load_all():
        extends = plugin.kind == "extension"
        reason = plugin.error or None if extends else registry.readiness(plugin.name)
        if extends and "videogen_models" in plugin.hooks:
            _ = registry.extensions.models  # asked now, so that what is wrong with them shows
        rows.append(
            {
                "name": plugin.name,
                "kind": plugin.kind,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "state": plugin.state,
                "error": plugin.error or None,
                "plugin_api": plugin.api,
                "hooks": list(plugin.hooks),
                "faults": list(plugin.faults),
                "models": len(plugin.models),
                "ready": reason is None,
                "reason": reason,
                "setup": (plugin.provider.setup if plugin.provider is not None else "") or None,
            }
        )
    return rows


def _hooks(row: dict[str, Any]) -> str:
    """What an extension does, in the words of its hooks."""
    extending = [hook.removeprefix("videogen_") for hook in row["hooks"] if hook != "videogen_provider"]
    return ", ".join(extending) if row["kind"] == "extension" else ""


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
