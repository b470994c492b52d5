"""The program itself: commands of one word, and of two, such as ``budgets set``."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

__all__ = ["Program"]


class Program(TyperGroup):
    """A flat list of commands; the first two words are one command where there is one of that name."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that a command line begins with."""
        words = " ".join(args[:2])
        if len(args) > 1 and words in self.commands:
            return words, self.commands[words], args[2:]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Propose first words; the argument of each proposes the second."""
        return [item for item in super().shell_complete(ctx, incomplete) if " " not in str(item.value)]
