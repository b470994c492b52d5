"""``doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from videogen_core import Client, ConfigurationError, VideogenError

from .environment import Finding, environment_facts
from .look import plugin_facts
from .options import takes
from .ready import setup_advice
from .screen import Screen
from .tables import Column, show_table

__all__ = ["doctor"]


@takes()
def doctor(
    screen: Screen,
    online: Annotated[
        bool, typer.Option("--online", help="Ask every ready provider whether it can be reached.")
    ] = False,
) -> int:
    """Examine the installation: plugins, credentials (never their value), ledger, libraries.

    The exit code is 0 when nothing is broken; a provider without a key is not broken.
    """
    try:
        client = Client()
    except ConfigurationError as error:  # it is what a doctor is asked about
        return _wrong_settings(screen, error)
    with client:
        client.workspace.registry.plugins.examine()
        plugins = plugin_facts(client)
        answers = _pings(client, plugins) if online else {}
        notes = {
            row["name"]: client.workspace.registry.notes(row["name"]) for row in plugins if row["kind"] == "provider"
        }
        facts = environment_facts(client)
        advice = setup_advice(client)
    for row in plugins:
        row["notes"] = notes.get(row["name"], [])
        row["online"] = answers.get(row["name"]) if row["kind"] == "provider" else None
    ok = all(fact.ok for fact in facts) and not any(map(_broken, plugins))
    if screen.json:
        environment = [fact.to_dict() for fact in facts]
        screen.emit({"ok": ok, "environment": environment, "plugins": plugins, "advice": advice})
    else:
        _show_environment(screen, facts)
        _show_plugins(screen, plugins, online=online)
        _show_notes(screen, notes)
        _show_end(screen, ok, plugins, advice)
    return 0 if ok else 2


def _wrong_settings(screen: Screen, error: VideogenError) -> int:
    if not screen.json:
        screen.line("The configuration cannot be read, so nothing else could be examined.")
    raise error


def _broken(row: dict[str, Any]) -> bool:
    unreachable = row["online"] is not None and not row["online"]["ok"]
    return row["state"] == "failed" or bool(row["faults"]) or unreachable


def _pings(client: Client, plugins: list[dict[str, Any]]) -> dict[str, Any]:
    from .reach import ping_all

    return ping_all(client, [row["name"] for row in plugins if row["ready"] and row["kind"] == "provider"])


def _show_environment(screen: Screen, facts: list[Finding]) -> None:
    show_table(
        screen,
        [
            Column("here", [fact.name for fact in facts]),
            Column("", ["ok" if fact.ok else "broken" for fact in facts]),
            Column("found", [fact.shown for fact in facts], wrap=30),
        ],
    )
    screen.line("")


def _show_plugins(screen: Screen, plugins: list[dict[str, Any]], *, online: bool) -> None:
    columns = [
        Column("plugin", [row["name"] for row in plugins]),
        Column("from", [f"{row['distribution']} {row['version']}".strip() for row in plugins], spare=2, wrap=16),
        Column("state", [row["state"] for row in plugins]),
        Column("models", [str(row["models"]) for row in plugins], right=True, spare=3),
        Column("ready", [_readiness(row) for row in plugins], wrap=24),
    ]
    if online:
        columns.append(Column("online", [_online(row) for row in plugins], wrap=20))
    show_table(screen, columns)


def _show_notes(screen: Screen, notes: dict[str, list[str]]) -> None:
    for name, sentences in notes.items():
        if sentences:
            screen.line("")
        for sentence in sentences:
            screen.show(f"{name}: {sentence}")


def _readiness(row: dict[str, Any]) -> str:
    if row["faults"]:
        return f"{row['kind']}, broken: {'; '.join(row['faults'])}"
    return "yes" if row["ready"] else f"no: {row['reason']}"


def _online(row: dict[str, Any]) -> str:
    answer = row["online"]
    if answer is None:
        return "not asked"
    return f"{'yes' if answer['ok'] else 'no'}: {answer['message']}"


def _show_end(screen: Screen, ok: bool, plugins: list[dict[str, Any]], advice: list[str]) -> None:
    if not any(row["ready"] and row["kind"] == "provider" and row["name"] != "sandbox" for row in plugins):
        screen.line("")
        for sentence in advice:
            screen.show(sentence)
    screen.line("")
    screen.line("Nothing is broken." if ok else "Something is broken; see above.")
