"""``models``: a table to choose from, one model in detail, and the catalogue as JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
import typer

from videogen_core import Client, ModelSpec, VideogenError
from videogen_core.catalog import Catalog

from . import completion
from .choosing import ORDERS, check_order, in_order, narrowed, usual_seconds
from .model_card import show_model
from .options import takes
from .ready import alike, not_ready
from .refresh import refresh as compare, row_of
from .screen import Screen
from .tables import Column, show_table
from .words import audio_of, durations_of, price_per_second, resolutions_of, seconds, tasks_of

__all__ = ["models"]

_Name = Annotated[
    str | None,
    typer.Argument(metavar="[NAME]", help="Show one model in detail.", autocompletion=completion.models),
]
_Task = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help="Can do this.", autocompletion=completion.tasks)
]
_Provider = Annotated[
    str | None,
    typer.Option("--provider", metavar="NAME", help="Of this provider.", autocompletion=completion.providers),
]
_Audio = Annotated[
    bool | None, typer.Option("--audio/--no-audio", help="Can make sound, or be silent.", show_default=False)
]
_Resolution = Annotated[str | None, typer.Option("--resolution", "-r", metavar="NAME", help="Has this resolution.")]
_Duration = Annotated[str | None, typer.Option("--duration", "-d", metavar="SECONDS", help="Has this length.")]
_Price = Annotated[str | None, typer.Option("--max-price-per-second", metavar="USD", help="Costs no more than this.")]
_Quality = Annotated[
    str | None,
    typer.Option(
        "--quality",
        metavar="TIER",
        help="Is of this tier: economy, standard, premium.",
        autocompletion=completion.words("economy", "standard", "premium"),
    ),
]
_Maker = Annotated[
    str | None,
    typer.Option("--maker", metavar="NAME", help="Of this maker, such as google; a part of the name will do."),
]
_License = Annotated[
    str | None,
    typer.Option("--license", metavar="TEXT", help="Open, under a licence that is called so; any = under any licence."),
]
_Search = Annotated[
    str | None,
    typer.Option("--search", "-s", metavar="TEXT", help="Has these words in its names, title, maker or licence."),
]
_Sort = Annotated[
    str,
    typer.Option(
        "--sort",
        metavar="BY",
        help=f"{', '.join(ORDERS)}.",
        autocompletion=completion.words(*ORDERS),
        show_default=True,
    ),
]
_Ready = Annotated[bool | None, typer.Option("--ready/--not-ready", help="Can be used now.", show_default=False)]
_Retired = Annotated[bool, typer.Option("--retired", help="Retired ones too.")]
_Refresh = Annotated[
    bool,
    typer.Option("--refresh", help="Ask the provider, and show what is no longer as the catalogue has it."),
]
_Schema = Annotated[bool, typer.Option("--json-schema", help="Print the JSON Schema of a catalogue row and leave.")]


@takes()
def models(
    screen: Screen,
    name: _Name = None,
    task: _Task = None,
    provider: _Provider = None,
    audio: _Audio = None,
    resolution: _Resolution = None,
    duration: _Duration = None,
    max_price_per_second: _Price = None,
    quality: _Quality = None,
    maker: _Maker = None,
    under: _License = None,
    search: _Search = None,
    sort: _Sort = "name",
    ready: _Ready = None,
    retired: _Retired = False,
    refresh: _Refresh = False,
    json_schema: _Schema = False,
) -> None:
    """List the models that are installed, with what they can do and what they cost."""
    if json_schema:
        screen.emit(msgspec.json.schema(ModelSpec))
        return
    filters: dict[str, Any] = {
        "task": task,
        "provider": provider,
        "audio": audio,
        "resolution": resolution,
        "duration": duration,
        "max_price_per_second": max_price_per_second,
        "quality": quality,
        "ready": ready,
        "retired": retired or name is not None,
    }
    check_order(sort)
    with Client() as client:
        found = narrowed(client.models(**filters), maker=maker, under=under, search=search)
        found = in_order(client, found, sort)
        if name is not None:
            found = _named(client, screen, name, found)
        if refresh:
            compare(client, screen, _one_provider(provider, found), found)
            return
        reasons = not_ready(client)
        took = usual_seconds(client, found) if sort == "latency" else {}
    if screen.json:
        screen.emit({"models": [row_of(spec) for spec in found], "not_ready": reasons})
    elif name is not None:
        show_model(screen, found, reasons)
    else:
        _show_table(screen, found, reasons, sort, took)


def _one_provider(provider: str | None, found: list[ModelSpec]) -> str:
    """The provider that is to be asked."""
    names = {spec.provider for spec in found} if provider is None else {provider}
    if len(names) != 1:
        raise typer.BadParameter("say which provider is to be asked, with --provider NAME", param_hint="--refresh")
    return names.pop()


def _named(client: Client, screen: Screen, name: str, found: list[ModelSpec]) -> list[ModelSpec]:
    """The offers that a name means, retired ones too, and one that no catalogue lists."""
    key, planner = name.strip().lower(), client.workspace.planner
    catalog = _described(client, screen, key)
    meant = {catalog.offers[position].id: catalog.offers[position] for position in catalog.find(key)}
    if not meant:
        meant = {spec.id: spec for spec in planner.offers(key)}  # raises, naming the closest
    looked_up = meant.keys() - planner.catalog().positions.keys()
    return [meant[spec.id] for spec in found if spec.id in meant] + [meant[offer] for offer in sorted(looked_up)]


def _described(client: Client, screen: Screen, key: str) -> Catalog:
    """The catalogue with the models that a name means, as well as they can be known: an outline is shown, too."""
    planner = client.workspace.planner
    try:
        return planner.catalog((key,))
    except VideogenError as error:
        known = planner.catalog()
        if not known.find(key):
            raise
        screen.say(error.message, "dim")
        return known


def stage_of(spec: ModelSpec, day: date | None = None) -> str:
    """Where in its life an offer is today."""
    return spec.lifecycle.stage_on(day or datetime.now(UTC).date()).value


def _is_ready(spec: ModelSpec, reasons: dict[str, str]) -> str:
    return "no" if spec.outline or {spec.provider, spec.id} & reasons.keys() else "yes"


def _or_unknown(spec: ModelSpec, shown: str) -> str:
    return "?" if spec.outline and shown in ("", "no") else shown


def _show_table(
    screen: Screen, found: list[ModelSpec], reasons: dict[str, str], sort: str, took: dict[str, float]
) -> None:
    def spare(column: str, place: int) -> int:
        return 0 if column == sort else place  # what they are sorted by is never left out

    if not found:
        screen.say("No model matches. `videogen models` without filters lists all.")
        return
    complete = show_table(
        screen,
        [
            Column("model", [spec.name for spec in found], wrap=20),
            Column("provider", [spec.provider for spec in found]),
            Column("maker", [spec.maker for spec in found], spare=spare("maker", 8), wrap=10),
            Column("tasks", [_or_unknown(spec, tasks_of(spec)) for spec in found], spare=1, wrap=10),
            Column("seconds", [_or_unknown(spec, durations_of(spec)) for spec in found], spare=2),
            Column("resolution", [_or_unknown(spec, resolutions_of(spec)) for spec in found], spare=3),
            Column("audio", [_or_unknown(spec, audio_of(spec)) for spec in found], spare=5),
            Column("per second", [price_per_second(spec) for spec in found], right=True),
            *(
                [Column("takes", [seconds(took[s.id]) if s.id in took else "" for s in found], right=True)]
                if took
                else []
            ),
            Column("tier", [spec.tier.value for spec in found], spare=spare("tier", 6)),
            Column("stage", [stage_of(spec) for spec in found], spare=7),
            Column("licence", [spec.license.name if spec.license else "" for spec in found], spare=9),
            Column("ready", [_is_ready(spec, reasons) for spec in found], spare=4),
        ],
    )
    remarks = [] if complete else ["A wider terminal shows more columns, `videogen models NAME` shows all of one."]
    shown = {name for spec in found for name in (spec.provider, spec.id)}
    about = {name: why for name, why in reasons.items() if name in shown}
    remarks += [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} not ready: {why}" for names, why in alike(about)
    ]
    if any(spec.outline for spec in found):
        remarks.append(
            "What is not known (?) is asked for when you name the model, given a key: `videogen models NAME`."
        )
    for remark in remarks:
        screen.say(remark, "dim")
