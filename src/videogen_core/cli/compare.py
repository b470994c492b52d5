"""``compare``: one prompt, several models, side by side."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .make import read_prompt
from .options import CHOICE, CLIP, DELIVERY, Prompt, Timeout, takes
from .screen import Screen

__all__ = ["compare"]

_Folder = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FOLDER", help="Folder for the clips and the contact sheet; else one by the time."
    ),
]
_MaxCost = Annotated[
    str | None,
    typer.Option("--max-cost", metavar="USD", help="Refuse before spending when all together may cost more."),
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Spend what it costs without asking; needed in a script.")]

_WHO = tuple(option for option in CHOICE if option.name not in ("quality", "max_cost"))
_HOW = tuple(option for option in DELIVERY if option.name in ("overwrite", "provenance", "on_unknown", "tag"))


@takes(CLIP, _WHO, _HOW)
def compare(
    screen: Screen,
    arguments: dict[str, Any],
    prompt: Prompt = None,
    output: _Folder = None,
    max_cost: _MaxCost = None,
    yes: _Yes = False,
    timeout: Timeout = None,
) -> int:
    """Make the same clip with several models at the same time, and put them side by side.

    Prices are shown first, and on a terminal you are asked before anything is spent. A model that fails does not harm
    the others. The contact sheet is a picture with frames of every clip.
    """
    from .comparing import side_by_side  # with it come the event loop, the decoder and the painter

    return side_by_side(
        screen, read_prompt(prompt), arguments, output=output, max_cost=max_cost, yes=yes, timeout=timeout
    )
