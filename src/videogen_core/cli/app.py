"""The commands, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from . import (
    ask,
    batch,
    budgets,
    catalog,
    compare,
    costs,
    doctor,
    emulate,
    jobs,
    ledger,
    look,
    make,
    models,
    new_plugin,
    settle,
    show,
    verify,
)
from .program import Program

__all__ = ["app"]

app = typer.Typer(
    name="videogen",
    cls=Program,
    help="Generate video with any model. Know the price before you pay, and lose nothing that you paid for.",
    epilog='Start here: videogen generate "A paper boat drifting down a rainy street" -o boat.mp4',
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"videogen {version('videogen-core')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options before the command."""


_PANELS: dict[str, dict[Callable[..., int | None], tuple[str, ...]]] = {
    "Make": {
        make.generate: (
            'videogen generate "A paper boat drifting down a rainy street"',
            'videogen generate "…" -m veo-3.1-fast -d 8 -r 1080p --audio --max-cost 1.50 -o boat.mp4',
            'videogen generate "It sails away" --image boat.png --prefer cheapest',
            'videogen generate "…" --seed 7 --cache',
            "echo a prompt | videogen generate - -m sandbox -O sandbox.delay=3",
        ),
        make.submit: (
            'JOB=$(videogen submit "…" -m veo-3.1-fast -d 8)',
            'videogen resume "$JOB"',
        ),
        compare.compare: (
            'videogen compare "A paper boat drifting down a rainy street" -m veo-3.1-fast -m hailuo-2.3',
            'videogen compare "…" -m veo/veo-3.1-fast -m runway/veo3.1_fast -d 8 -o boats/ --max-cost 3 --yes',
            'videogen compare "…" -m practice-pro -m practice-lite --seed 7 --fit nearest --json',
        ),
        batch.batch: (
            "videogen batch prompts.jsonl -o out/ --budget 50",
            "videogen batch prompts.csv -o out/ -m veo-3.1-fast -d 8 --dry-run",
            "videogen batch prompts.csv -o out/ --retry-failed",
        ),
    },
    "Know before you pay": {
        models.models: (
            "videogen models --task image_to_video --audio --max-price-per-second 0.20",
            "videogen models veo-3.1-fast",
            "videogen models --json | jq '.models[].id'",
        ),
        ask.route: ("videogen route -d 8 --audio --max-cost 1 --prefer cheapest",),
        ask.estimate: ("videogen estimate -m veo-3.1-fast -d 8 -r 1080p --audio",),
        ask.check: ("videogen check -m veo-3.1-fast -d 5 -r 1080p",),
    },
    "Jobs": {
        jobs.jobs: (
            "videogen jobs --unfinished",
            "videogen jobs --unknown",
            "videogen jobs --status failed --tag team=ads",
            "videogen jobs vg-20261120-153000-7f3ac01b2d",
        ),
        jobs.resume: ("videogen resume", "videogen resume vg-20261120-153000-7f3ac01b2d -o boat.mp4"),
        show.show: ("videogen show boat.mp4", "videogen show boat.mp4 --again --max-cost 1 -o another.mp4"),
        jobs.cancel: ("videogen cancel vg-20261120-153000-7f3ac01b2d",),
        settle.settle: (
            "videogen jobs settle vg-20261120-153000-7f3ac01b2d --attach 3f2b77c0",
            "videogen jobs settle vg-20261120-153000-7f3ac01b2d --abandon --cost 0.40",
            "videogen jobs settle vg-20261120-153000-7f3ac01b2d --resubmit --i-accept-paying-twice",
            "videogen jobs settle vg-20261120-153000-7f3ac01b2d --cost 0.40 --attempt 1",
        ),
    },
    "Money": {
        budgets.budgets: ("videogen budgets", "videogen budgets ads"),
        budgets.set_budget: (
            "videogen budgets set daily --limit 25 --period day",
            "videogen budgets set ads --limit 400 --tag team=ads --warn 0.5 --warn 0.8",
            "videogen budgets set daily --limit 30",
        ),
        budgets.remove_budget: ("videogen budgets remove ads",),
        budgets.acknowledge_budget: ("videogen budgets acknowledge ads",),
        costs.costs: (
            "videogen costs --since 7d",
            "videogen costs --by day --since 2026-11-01 --until 2026-12-01",
            "videogen costs --by tag:team --csv > costs.csv",
        ),
    },
    "The ledger": {
        ledger.ledger: ("videogen ledger",),
        ledger.check_ledger: ("videogen ledger check",),
        ledger.migrate_ledger: ("videogen ledger migrate",),
        ledger.export_ledger: ("videogen ledger export > ledger.jsonl",),
        ledger.vacuum_ledger: ("videogen ledger vacuum", "videogen ledger vacuum --older-than 90d"),
    },
    "This installation": {
        look.plugins: ("videogen plugins",),
        doctor.doctor: ("videogen doctor", "videogen doctor --online"),
        look.config: ("videogen config",),
    },
    "For tests": {
        emulate.emulate: ("videogen emulate veo --port 8080",),
    },
    "For those who write plugins": {
        verify.verify_plugin: (
            "videogen plugins verify acme",
            "videogen plugins verify acme --suite test_acme.py",
        ),
        new_plugin.new_plugin: (
            "videogen new-plugin acme",
            "videogen new-plugin acme --kind webhook --folder code/acme",
        ),
        catalog.catalog: ("videogen catalog lint",),
        catalog.lint_catalog: (
            "videogen catalog lint",
            "videogen catalog lint src/videogen_acme/catalog.toml --strict",
        ),
        catalog.stale_catalog: ("videogen catalog stale", "videogen catalog stale veo --days 90"),
        catalog.diff_catalogs: (
            "videogen catalog diff src/acme/catalog.toml",
            "videogen catalog diff v1.2:src/acme/catalog.toml acme --exit-code",
        ),
    },
}


_NAMES = {
    settle.settle: "jobs settle",
    budgets.set_budget: "budgets set",
    budgets.remove_budget: "budgets remove",
    budgets.acknowledge_budget: "budgets acknowledge",
    verify.verify_plugin: "plugins verify",
    catalog.lint_catalog: "catalog lint",
    catalog.stale_catalog: "catalog stale",
    catalog.diff_catalogs: "catalog diff",
    ledger.check_ledger: "ledger check",
    ledger.migrate_ledger: "ledger migrate",
    ledger.export_ledger: "ledger export",
    ledger.vacuum_ledger: "ledger vacuum",
}
"""Commands of two words; the others are called like their functions."""


def _escaped(example: str) -> str:
    return example.replace("[", r"\[")


for _panel, _commands in _PANELS.items():
    for _command, _examples in _commands.items():
        _lines = ["[bold]Examples[/bold]" if len(_examples) > 1 else "[bold]Example[/bold]", *map(_escaped, _examples)]
        app.command(_NAMES.get(_command), rich_help_panel=_panel, epilog="\n\n".join(_lines))(_command)
