"""``show``: how a clip was made, read back from the clip, and the same once more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from videogen_core import Client, Provenance, RequestError, read_provenance

from .make import show_result
from .options import Timeout, takes
from .progress import following
from .screen import Screen
from .tables import facts
from .words import dollars, moment, plain, seconds, size

__all__ = ["show"]

File = Annotated[Path, typer.Argument(metavar="FILE", help="A clip made with --provenance sidecar or embed.")]
Again = Annotated[bool, typer.Option("--again", help="Make the request again, which is paid for again.")]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="PATH", help="With --again: where the new clip goes.")
]
MostCost = Annotated[
    str | None, typer.Option("--max-cost", metavar="USD", help="With --again: refuse before spending more than that.")
]


@takes()
def show(
    screen: Screen,
    file: File,
    again: Again = False,
    output: Output = None,
    max_cost: MostCost = None,
    timeout: Timeout = None,
) -> None:
    """Tell how a clip was made: what was asked of which model, when, and what it cost.

    It is read from the clip itself or the file beside it, and the clip's checksum is compared.
    """
    found = read_provenance(file)
    if again:
        _repeat(screen, found, output, max_cost, timeout)
        return
    if output is not None or max_cost is not None:
        raise RequestError("--output and --max-cost go with --again.", hint=f"videogen show {file} --again -o new.mp4")
    if screen.json:
        screen.emit(found.to_dict())
        return
    facts(screen, _facts(found))


def _repeat(screen: Screen, found: Provenance, output: str | None, max_cost: str | None, timeout: float | None) -> None:
    arguments: dict[str, Any] = found.arguments()
    prompt = arguments.pop("prompt", None)
    with Client() as client:
        arguments["output"] = output or client.settings.output or "./"
        if max_cost is not None:
            arguments["max_cost"] = max_cost
        with following(screen, client, prompt=prompt or "") as follower:
            result = client.generate(prompt, timeout=timeout, on_event=follower, **arguments)
    show_result(screen, result)


def _facts(found: Provenance) -> list[tuple[str, str]]:
    asked = {name: value for name, value in found.request.items() if name not in ("prompt", "options")}
    return [
        ("prompt", str(found.request.get("prompt", ""))),
        ("model", f"{found.model}, by {found.offer}{', a placeholder' if found.placeholder else ''}"),
        *((name.replace("_", " "), _value(value)) for name, value in asked.items()),
        *((name, _value(table)) for name, table in found.request.get("options", {}).items()),
        ("job", f"{found.job_id}, clip {found.clip}{', from the cache' if found.cached else ''}"),
        ("at the vendor", found.provider_job_id or ""),
        ("made", f"{moment(found.created_at)}{_took(found)}"),
        ("cost", dollars(found.cost)),
        ("file", _file(found)),
        ("sha256", f"{found.sha256}, as it was made"),
        ("marks", ", ".join(found.marks)),
        ("versions", ", ".join(f"{name} {number}" for name, number in found.versions.items())),
    ]


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_value(one)}" for name, one in value.items())
    return ", ".join(map(plain, value)) if isinstance(value, list) else plain(value)


def _took(found: Provenance) -> str:
    if found.accepted_at is None or found.finished_at is None:
        return ""
    return f", in {seconds((found.finished_at - found.accepted_at).total_seconds())}"


def _file(found: Provenance) -> str:
    known = [f"{found.width} x {found.height}"] if found.width else []
    known += [f"{found.fps:g} fps"] if found.fps else []
    known += [seconds(found.duration)] if found.duration else []
    return ", ".join([*known, size(found.size), "with sound" if found.has_audio else "silent"])
