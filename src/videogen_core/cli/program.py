"""The program itself: commands of one word, of two, such as ``budgets set``, and those that plugins bring."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

from videogen_core import Client, PluginError

__all__ = ["Program"]


class Program(TyperGroup):
    """A flat list of commands; the first two words are one command where there is one of that name.

    A word that is no command of ours may be the name of a plugin that has commands of its own.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that a command line begins with."""
        words = " ".join(args[:2])
        if len(args) > 1 and words in self.commands:
            return words, self.commands[words], args[2:]
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of our commands, or else the app of the plugin of that name."""
        return super().get_command(ctx, cmd_name) or _plugin_app(cmd_name)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Propose first words; the argument of each proposes the second."""
        return [item for item in super().shell_complete(ctx, incomplete) if " " not in str(item.value)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help, and the plugins that have commands of their own."""
        super().format_help(ctx, formatter)
        with Client() as client:
            plugins = [plugin for plugin in client.workspace.registry.plugins.load_all() if plugin.provider is not None]
        rows = [(p.name, f"Commands of the plugin {p.distribution}.") for p in plugins if _target(p.provider)]
        if rows:
            typer.echo("\n".join(f" videogen {name} …  {what}" for name, what in rows))


def _target(provider: Any) -> str:
    return str(provider.commands)


def _plugin_app(name: str) -> Any:
    """The app of a plugin as a command; None when there is no such plugin, or it has none.

    Raises:
        PluginError: What the plugin names cannot be imported, or is no app.
    """
    from typer.main import get_command

    with Client() as client:
        plugins = client.workspace.registry.plugins
        if name not in plugins.names():
            return None
        target = _target(plugins.provider(name))
    if not target:
        return None
    module, _, attribute = target.partition(":")
    try:
        app = getattr(importlib.import_module(module), attribute)
        command = get_command(app)
    except Exception as error:  # a plugin's bug
        raise PluginError(
            f"The commands of {name!r}, {target}, cannot be used: {type(error).__name__}: {error}."
        ) from error
    command.name = name
    return command
