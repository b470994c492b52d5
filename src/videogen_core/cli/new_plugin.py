"""``new-plugin``: write a plugin for a vendor that does not exist, to be made one for a vendor that does."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from videogen_core import Client

from . import completion
from .options import takes
from .ready import known_distributions
from .screen import Screen

__all__ = ["new_plugin"]


@takes()
def new_plugin(
    screen: Screen,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the provider, such as acme.")],
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="The kind of vendor to start from: poll, webhook, sync (a create is answered when the clip is done), "
            "or inline (the clip comes within an answer).",
            autocompletion=completion.kinds,
        ),
    ] = "poll",
    folder: Annotated[
        Path | None,
        typer.Option("--folder", metavar="FOLDER", help="Where to write it; else videogen-NAME here.", file_okay=False),
    ] = None,
) -> None:
    """Write a provider's plugin as a whole repository: code, catalogue, emulator, tests, CI, README and licence.

    It works as it is written: install it, run its tests, and make a clip with its emulator.
    """
    from videogen_core import scaffold

    made = scaffold.new_plugin(name, kind=kind, folder=folder, taken=_taken())
    if screen.json:
        screen.emit({"name": made.name, "kind": made.kind, "folder": str(made.folder), "files": made.files})
        return
    screen.line(str(made.folder))
    screen.say(
        f"It is a plugin for a vendor that does not exist: {scaffold.KINDS[kind]}. Try it as it stands:\n"
        f"  cd {shlex.quote(str(made.folder))}\n"
        "  pip install -e '.[dev]'\n"
        "  pytest\n"
        f"  videogen emulate {name}\n"
        "Its README says what to change, and in which order."
    )


def _taken() -> dict[str, str]:
    """Names that a new plugin cannot have, and who has them."""
    taken = {
        distribution.removeprefix("videogen-"): f"{distribution} is a plugin of this project"
        for distribution in known_distributions()
    }
    with Client() as client:
        plugins = client.workspace.registry.plugins
        for known in plugins.names():
            found = plugins.plugin(known)
            taken[known] = f"the installed plugin {found.distribution or found.target} has it"
    return taken
