"""``catalog lint``, ``diff`` and ``stale``: for those who keep prices and lifecycles up to date, by hand and in CI."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from videogen_core import Client, ConfigurationError, ModelSpec, RequestError, VideogenError, upkeep
from videogen_core.catalog import parse_catalog

from . import completion
from .options import takes
from .screen import Screen
from .tables import Column, show_table

__all__ = ["catalog", "diff_catalogs", "lint_catalog", "stale_catalog"]

_VERBS = ("lint", "diff", "stale")
_GIT_SECONDS = 60.0
_Verb = Annotated[
    str | None, typer.Argument(metavar="[VERB]", help="See below.", autocompletion=completion.words(*_VERBS))
]
_Which = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CATALOGUE]...",
        help="A catalogue file, REVISION:FILE of git, or the name of an installed provider; left out: all of these.",
        autocompletion=completion.providers,
    ),
]
_Days = Annotated[int, typer.Option("--days", metavar="NUMBER", help="How old a fact may be.", min=0)]
_Old = Annotated[str, typer.Argument(metavar="OLD", help="A catalogue; or the only one, to be compared with git's.")]
_New = Annotated[str | None, typer.Argument(metavar="[NEW]", help="Another catalogue.", show_default=False)]


@takes()
def catalog(screen: Screen, verb: _Verb = None) -> int:
    """Look after catalogues of prices and models: `lint` finds mistakes, `stale` old facts, `diff` compares two."""
    said = "say what is to be done" if verb is None else f"{verb!r} is not possible"
    raise RequestError(f"catalog: {said}.", hint=f"Possible: {', '.join(_VERBS)}.")


@takes()
def lint_catalog(
    screen: Screen,
    which: _Which = None,
    days: _Days = upkeep.STALE_AFTER_DAYS,
    strict: Annotated[bool, typer.Option("--strict", help="Count warnings as errors.")] = False,
) -> int:
    """Find mistakes in catalogues: missing sources, dates to come, lifecycles that make no sense, names that clash.

    Warned of are retirements ahead, old facts, sources that nobody can look up, and settings without a price. The exit
    code is 2 when there are errors.
    """
    rows: list[dict[str, Any]] = []
    count = 0
    for name in which or _installed():
        try:
            specs = _specs(name)
        except VideogenError as error:  # what a catalogue that cannot be read has to be told of
            rows.append({"catalogue": name, "offer": "", "rule": "file", "level": "error", "message": error.message})
            continue
        count += len(specs)
        remarks = upkeep.lint(specs, today=_today(), days=days)
        rows += [{"catalogue": name, **msgspec.to_builtins(remark)} for remark in remarks]
    errors = sum(row["level"] == "error" for row in rows)
    bad = bool(errors or (strict and rows))
    if screen.json:
        screen.emit({"ok": not bad, "offers": count, "remarks": rows})
        return 2 if bad else 0
    for row in rows:
        screen.line(f"{row['level']}: {row['offer'] or row['catalogue']}: {row['message']}")
    warnings = len(rows) - errors
    screen.line(f"{_counted(count, 'offer')}: {_counted(errors, 'error')}, {_counted(warnings, 'warning')}.")
    return 2 if bad else 0


@takes()
def stale_catalog(screen: Screen, which: _Which = None, days: _Days = upkeep.STALE_AFTER_DAYS) -> int:
    """List what was read longer ago than 180 days, oldest first, and every retirement that lies ahead.

    The exit code is 2 when something is old.
    """
    today = _today()
    specs = [spec for name in which or _installed() for spec in _specs(name)]
    old = [fact for fact in upkeep.facts(specs) if fact.age(today) > days]
    ahead = sorted(
        (spec for spec in specs if spec.lifecycle.retired is not None and spec.lifecycle.retired > today),
        key=lambda spec: (spec.lifecycle.retired or today, spec.id),
    )
    if screen.json:
        facts = [{**msgspec.to_builtins(fact, builtin_types=(date,)), "age": fact.age(today)} for fact in old]
        retiring = [
            {"offer": spec.id, "retired": spec.lifecycle.retired, "replaced_by": spec.lifecycle.replaced_by}
            for spec in ahead
        ]
        screen.emit({"ok": not old, "days": days, "stale": facts, "retiring": retiring})
        return 2 if old else 0
    if old:
        show_table(
            screen,
            [
                Column("offer", [fact.offer for fact in old]),
                Column("what", [fact.what for fact in old], wrap=24),
                Column("read on", [str(fact.as_of) for fact in old]),
                Column("days ago", [str(fact.age(today)) for fact in old], right=True),
                Column("at", [fact.source for fact in old], spare=1, wrap=30),
            ],
        )
    for spec in ahead:
        instead = f"; use {spec.lifecycle.replaced_by}" if spec.lifecycle.replaced_by else ""
        screen.line(f"{spec.id} retires on {spec.lifecycle.retired}{instead}.")
    screen.line(f"{_counted(len(old), 'fact')} older than {days} days.")
    return 2 if old else 0


@takes()
def diff_catalogs(
    screen: Screen,
    old: _Old,
    new: _New = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 2 when there are differences.")] = False,
) -> int:
    """Say what is otherwise in another catalogue: prices in percent, lifecycles, capabilities.

    A catalogue is a file, REVISION:FILE of git, or an installed provider. A single file is compared with git's HEAD.
    """
    first, second = (f"HEAD:{old}", old) if new is None else (old, new)
    found = upkeep.differences(_specs(first), _specs(second))
    if screen.json:
        differences = [msgspec.to_builtins(each, enc_hook=str) for each in found]
        screen.emit({"old": first, "new": second, "differences": differences})
    else:
        for offer in dict.fromkeys(each.offer for each in found):
            screen.line(offer)
            for each in found:
                if each.offer == offer:
                    screen.line(f"  {each.message}")
        screen.line(f"{_counted(len(found), 'difference')} between {first} and {second}.")
    return 2 if found and exit_code else 0


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _today() -> date:
    return datetime.now(UTC).date()


def _installed() -> Sequence[str]:
    with Client() as client:
        return client.workspace.registry.plugins.names()


def _specs(name: str) -> tuple[ModelSpec, ...]:
    """The offers of a file, of a file at a revision, or of an installed provider.

    Raises:
        RequestError: There is none of that name.
        ConfigurationError: It cannot be read.
    """
    path = Path(name)
    if path.is_file():
        try:
            return parse_catalog(path.read_text(encoding="utf-8"), origin=name).models
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"The catalogue {name} cannot be read: {error}.") from error
    revision, colon, file = name.partition(":")
    if colon and revision and file:
        return parse_catalog(_of_git(revision, Path(file)), origin=name).models
    with Client() as client:
        plugins = client.workspace.registry.plugins
        if name not in plugins.names():
            raise RequestError(
                f"catalog: {name!r} is no file and no installed provider.",
                hint=f"Installed: {', '.join(plugins.names()) or 'none'}. Write REVISION:FILE for one of git's.",
            )
        plugins.provider(name)  # says what is wrong with it
        return plugins.load(name).models


def _of_git(revision: str, file: Path) -> str:
    """A file as it was, from the repository that it lies in.

    Raises:
        ConfigurationError: Git does not have it.
    """
    if revision.startswith("-"):
        raise RequestError(f"catalog: {revision!r} is no revision of git.")
    folder = file.parent if str(file.parent) else Path()
    command = ["git", "-C", str(folder), "show", f"{revision}:./{file.name}"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False)
        if done.returncode == 0:
            return done.stdout.decode("utf-8")
        why = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it does not say why"]
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        why = [str(error)]
    raise ConfigurationError(
        f"git has no {file.name} of {revision}: {why[0]}.", hint="Name two catalogues to compare files without git."
    )
