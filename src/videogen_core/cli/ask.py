"""``route``, ``estimate`` and ``check``: everything that can be known before anything is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from videogen_core import Candidate, Client, Quote, Route, Violation

from . import completion
from .failures import exit_code, report
from .make import read_prompt
from .options import CHOICE, CLIP, Prompt, takes
from .ready import placeholder_advice
from .screen import Screen
from .tables import Column, facts, show_table
from .words import dollars, seconds

__all__ = ["check", "estimate", "route"]

_NOTE = "No provider is ready; `videogen generate` would make a placeholder with the sandbox."


@takes(CLIP, CHOICE)
def route(screen: Screen, arguments: dict[str, Any], prompt: Prompt = None) -> int:
    """Say which model would be chosen, which come next, and why each other one would not."""
    text = read_prompt(prompt)
    with Client() as client:
        found = client.route(text, **arguments)
        named = "model" in arguments or "providers" in arguments
        advice = None if named or found.candidates else placeholder_advice(client)
    if advice is not None:  # then it is the sandbox that `generate` would use
        with Client(sandbox=True) as client:
            found = client.route(text, **arguments)
    failure = None if found.candidates else found.failure()
    if screen.json:
        screen.emit(found.to_dict())
        return 0 if failure is None else exit_code(failure)
    if screen.out.is_terminal:
        _show_route(screen, found)
    else:
        screen.line(found.explain())
    for sentence in [] if advice is None else [_NOTE, *advice]:
        screen.say(sentence, "yellow")
    if failure is None:
        return 0
    failure.hint = None  # it would point at this very command
    return report(screen, failure)


def _show_route(screen: Screen, found: Route) -> None:
    candidates, rejected = found.candidates, found.rejected
    blank = [""] * len(rejected)
    places = ["chosen", *(str(place) for place in range(2, len(candidates) + 1))][: len(candidates)]
    shown = [candidate.to_dict() for candidate in candidates]
    complete = show_table(
        screen,
        [
            Column("", [*places, *("refused" for _ in rejected)]),
            Column("offer", [*(c.offer for c in candidates), *(r.offer for r in rejected)], wrap=32),
            Column("price", [*(_price(c) for c in candidates), *blank], spare=1),
            Column("takes", [*(_speed(c) for c in candidates), *blank], spare=2),
            Column("tier", [*(c.spec.tier.value for c in candidates), *blank], spare=4),
            Column("score", [*(str(row["score"]) for row in shown), *blank], spare=5, right=True),
            Column("why", [*(_remarks(c) for c in candidates), *(r.message for r in rejected)], wrap=24),
        ],
    )
    if not complete:
        screen.say("A wider terminal shows more columns.", "dim")


def _price(candidate: Candidate) -> str:
    low, high = candidate.low, candidate.high
    return dollars(high) if low is None or low == high else f"{dollars(low)} to {dollars(high)}"


def _speed(candidate: Candidate) -> str:
    return "unknown" if candidate.latency is None else seconds(candidate.latency)


def _remarks(candidate: Candidate) -> str:
    moved = [f"{change.field} moved from {change.asked} to {change.used}" for change in candidate.changes]
    return "; ".join((["placeholder, no real model"] if candidate.spec.placeholder else []) + moved)


@takes(CLIP, CHOICE)
def estimate(screen: Screen, arguments: dict[str, Any], prompt: Prompt = None) -> None:
    """Say what a clip would cost, line by line, with the source and date of each price. No key is needed."""
    with Client() as client:
        if "model" not in arguments and "providers" not in arguments and not _has_models(client):
            arguments["model"] = "sandbox"
            screen.say("No provider is installed; this is the price of a placeholder from the sandbox.", "yellow")
        quote = client.estimate(read_prompt(prompt), **arguments)
    if screen.json:
        screen.emit(quote.to_dict())
    else:
        _show_quote(screen, quote)


def _has_models(client: Client) -> bool:
    return any(not spec.placeholder for spec in client.models())


def _show_quote(screen: Screen, quote: Quote) -> None:
    if quote.lines:
        lines = quote.lines
        show_table(
            screen,
            [
                Column("item", [line.label for line in lines], wrap=16),
                Column("quantity", [f"{line.quantity.normalize():f} {line.unit}" for line in lines], right=True),
                Column("each", [dollars(line.unit_price) for line in lines], right=True),
                Column("low", [dollars(line.low) for line in lines], right=True),
                Column("high", [dollars(line.high) for line in lines], right=True),
            ],
        )
        screen.line("")
    total = dollars(quote.high) if quote.low == quote.high else f"{dollars(quote.low)} to {dollars(quote.high)}"
    read = "" if quote.as_of is None else f", read on {quote.as_of}"
    facts(
        screen,
        [("offer", quote.offer), ("total", total), ("source", f"{quote.source or 'unknown'}{read}")]
        + [("note", note) for note in quote.notes],
    )


@takes(CLIP)
def check(
    screen: Screen,
    arguments: dict[str, Any],
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", metavar="NAME", help="The model, or provider/model.", autocompletion=completion.models
        ),
    ],
    prompt: Prompt = None,
) -> int:
    """List every rule that a request breaks at a model, and the nearest request that works.

    Without a prompt all the rest is checked. The exit code is 0 when the request is valid, else 2.
    """
    with Client() as client:
        violations = client.check("…" if prompt is None else read_prompt(prompt), model=model, **arguments)
    if screen.json:
        screen.emit({"valid": not violations, "violations": [violation.to_dict() for violation in violations]})
    elif violations:
        _show_violations(screen, violations)
    else:
        screen.line("valid")
    return 2 if violations else 0


def _show_violations(screen: Screen, violations: list[Violation]) -> None:
    for violation in violations:
        screen.line(violation.message)
    nearest = violations[0].nearest_request
    if nearest is None:
        screen.say("No change of values makes this request valid.")
    elif nearest:
        screen.line(f"The nearest request that works: {_flags(nearest)}")


def _flags(changes: Mapping[str, Any]) -> str:
    """Changed values as options of the command line; None = the option is left out."""
    words = []
    for name, value in changes.items():
        flag = "--" + name.replace("_", "-")
        if value is None:
            words.append(f"no {flag}")
        elif isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words.append(f"{flag} {value:g}" if isinstance(value, float) else f"{flag} {value}")
    return " ".join(words) if not any(word.startswith("no ") for word in words) else ", ".join(words)
