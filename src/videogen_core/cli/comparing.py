"""What ``compare`` does: prices, the question, the clips, the table and the picture."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from videogen_core import Client, ConfigurationError, RequestError, Result, VideogenError

from .contenders import Contender, Outcome, check_names, check_prices, line_up, make_all, total
from .earlier import Earlier
from .failures import exit_code, report
from .interrupts import goes_on_by_itself
from .progress import following
from .screen import Screen
from .sheet import Strip, save_sheet
from .tables import Column, facts, show_table
from .words import dollars, seconds, size

__all__ = ["side_by_side"]

_SHEET = "contact-sheet.png"
_NO = 130  # as if they had been interrupted at the question


def side_by_side(
    screen: Screen,
    text: str | None,
    arguments: Mapping[str, Any],
    *,
    output: str | None,
    max_cost: str | None,
    yes: bool,
    timeout: float | None,
) -> int:
    """Make the clips, and show what came of them; gives the exit code."""
    named = output or f"compare-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    folder = Path(named).expanduser().absolute()
    with Client() as client:
        earlier = Earlier(client, folder, arguments, anew=arguments.get("overwrite", False))
        contenders = line_up(client, text, arguments.get("model", ()), arguments, earlier)
        if not screen.json:
            _show_prices(screen, contenders)
        allow_unknown = arguments.get("allow_unknown_price", False)
        limits = check_prices(contenders, max_cost, allow_unknown=allow_unknown)
        if not arguments.get("overwrite"):
            check_names(folder, contenders, _SHEET)
        if not _agreed(screen, contenders, yes=yes):
            screen.say("Nothing was sent.")
            return _NO
        with goes_on_by_itself(_again(named, by_time=not output)):
            with following(screen, client, prompt=text or "") as follower:
                outcomes = make_all(
                    client,
                    text,
                    contenders,
                    arguments,
                    limits=limits,
                    folder=folder,
                    tags=earlier.tags,
                    timeout=timeout,
                    follower=follower,
                )
            sheet = _sheet(screen, folder, text or "", outcomes, arguments.get("seed"))
    _show(screen, text, outcomes, arguments.get("seed"), folder=folder, sheet=sheet)
    return max((exit_code(outcome.error) for outcome in outcomes if outcome.error is not None), default=0)


def _again(folder: str, *, by_time: bool) -> str:
    """What to do after Ctrl-C."""
    where = f" with `-o {shlex.quote(folder)}`" if by_time else ""
    return f"The same command{where} goes on with the clips, pays for none twice, and makes the contact sheet."


# --- before anything is spent


def _show_prices(screen: Screen, contenders: list[Contender]) -> None:
    if screen.quiet:
        return
    candidates = [contender.candidate for contender in contenders]
    show_table(
        screen,
        [
            Column("model", [contender.offer for contender in contenders], wrap=20),
            Column("price", [_price(contender) for contender in contenders], right=True),
            Column(
                "usually takes",
                ["" if c is None or c.latency is None else seconds(c.latency) for c in candidates],
                spare=2,
                right=True,
            ),
            Column("clip", ["" if c is None else _clip(c.request) for c in candidates], spare=1),
            Column("remark", [_remark(contender) for contender in contenders], spare=3, wrap=20),
        ],
        aside=True,
    )
    if not any(contender.refusal for contender in contenders):
        screen.say(f"All together: {_together(contenders)}.", "bold")


def _price(contender: Contender) -> str:
    found = contender.candidate
    if contender.asked_for:
        return "made" if contender.job is not None and contender.job.record.done else "under way"
    if found is None:
        return "refused"
    return dollars(found.high) if found.low in (None, found.high) else f"{dollars(found.low)} to {dollars(found.high)}"


def _clip(request: Any) -> str:
    length = f"{request.duration:g} s" if request.duration else None
    return " ".join(part for part in (length, request.resolution, request.aspect_ratio) if part)


def _remark(contender: Contender) -> str:
    if contender.refusal is not None:
        return contender.refusal.message
    if contender.asked_for:
        return "by an earlier run; costs nothing more"
    found = contender.candidate
    assert found is not None
    moved = [f"{change.field} moved from {change.asked} to {change.used}" for change in found.changes]
    return "; ".join((["a placeholder, no real video"] if found.spec.placeholder else []) + moved)


def _together(contenders: list[Contender]) -> str:
    known, unknown = total(contenders)
    if not unknown:
        return f"up to {dollars(known)}" if known else "free"
    more = f"{unknown} of unknown price"
    return f"up to {dollars(known)}, and {more}" if known else more


def _agreed(screen: Screen, contenders: list[Contender], *, yes: bool) -> bool:
    """Whether the user agrees to the price, where there is one.

    Raises:
        RequestError: There is nobody to ask.
    """
    known, unknown = total(contenders)
    if yes or not (known or unknown):
        return True
    if screen.json or not screen.watched or sys.stdin is None or not sys.stdin.isatty():
        raise RequestError(
            f"It costs {_together(contenders)}, and there is nobody to ask; nothing was sent.",
            hint="Say --yes, best with --max-cost.",
        )
    screen.err.print(f"Spend {_together(contenders)}? [y/N] ", end="", markup=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


# --- afterwards


def _seed(outcome: Outcome, seed: int | None) -> str:
    return "" if seed is None or outcome.result is None else str(seed)


def _measures(result: Result) -> str:
    """Pixels, seconds and bytes of the first clip."""
    if not result.videos:
        return ""
    video = result.videos[0]
    facts = [
        f"{video.width}x{video.height}" if video.width else "",
        f"{video.duration:g} s" if video.duration is not None else "",
        size(video.size),
    ]
    return ", ".join(fact for fact in facts if fact)


def _sheet(screen: Screen, folder: Path, prompt: str, outcomes: list[Outcome], seed: int | None) -> Path | None:
    """Paint the contact sheet; None when there is no clip, or no room for it."""
    strips = [strip for outcome in outcomes for strip in _strips(outcome, seed)]
    if not any(strip.clip for strip in strips):
        return None
    path = folder / _SHEET
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_sheet(path, prompt, strips)
    except OSError as error:
        failure = ConfigurationError(f"The contact sheet cannot be written to {path}: {error.strerror}.")
        screen.say(f"warning: {failure.message} The clips are there.", "yellow")
        return None
    return path


def _strips(outcome: Outcome, seed: int | None) -> list[Strip]:
    """A row of the sheet for each clip of a contender."""
    name = outcome.contender.offer
    if outcome.result is None:
        why = outcome.error.message if outcome.error is not None else ""
        return [Strip(name, "", f"No clip: {why}", None)]
    time = "" if outcome.seconds is None else seconds(outcome.seconds)
    rows = []
    for number, video in enumerate(outcome.result.videos, 1):
        many = f" ({number} of {len(outcome.result.videos)})" if len(outcome.result.videos) > 1 else ""
        remark = [
            f"{video.width}x{video.height}" if video.width else "",
            f"{video.duration:g} s" if video.duration is not None else "",
            f"made in {time}" if time else "",
            f"seed {seed}" if seed is not None else "",
            "a placeholder" if outcome.result.placeholder else "",
        ]
        rows.append(Strip(f"{name}{many}", dollars(outcome.cost), ", ".join(filter(None, remark)), video.path))
    return rows


def _show(
    screen: Screen, prompt: str | None, outcomes: list[Outcome], seed: int | None, *, folder: Path, sheet: Path | None
) -> None:
    spent = sum((outcome.cost for outcome in outcomes if outcome.cost is not None), Decimal(0))
    if screen.json:
        rows = [_row(outcome, seed) for outcome in outcomes]
        document = {"prompt": prompt, "rows": rows, "cost": str(spent)}
        screen.emit({**document, "sheet": None if sheet is None else str(sheet)})
        return
    results = [outcome.result for outcome in outcomes]
    complete = show_table(
        screen,
        [
            Column("model", [outcome.contender.offer for outcome in outcomes], wrap=24),
            Column("price", [dollars(o.cost) if o.result else "" for o in outcomes], right=True),
            Column("time", ["" if o.seconds is None else seconds(o.seconds) for o in outcomes], right=True),
            Column("size", ["failed" if r is None else _measures(r) for r in results], spare=1),
            Column("seed", [_seed(outcome, seed) for outcome in outcomes], spare=2, right=True),
            Column("file", [_files(outcome) for outcome in outcomes], spare=3),
        ],
    )
    if not complete:
        screen.say("A wider terminal shows more columns, --json shows all.", "dim")
    screen.line("")
    facts(
        screen, [("together", dollars(spent)), ("folder", str(folder)), ("contact sheet", sheet.name if sheet else "")]
    )
    for outcome in outcomes:
        if outcome.error is not None:
            _report(screen, outcome.contender.offer, outcome.error)


def _report(screen: Screen, offer: str, error: VideogenError) -> None:
    if offer not in error.message:
        screen.say(f"{offer}:")
    report(screen, error)


def _files(outcome: Outcome) -> str:
    """The names in the folder."""
    if outcome.result is None:
        return ""
    return " ".join(video.path.name for video in outcome.result.videos if video.path is not None)


def _row(outcome: Outcome, seed: int | None) -> dict[str, Any]:
    found = outcome.contender.candidate
    low, high = (None, None) if found is None else (found.low, found.high)
    return {
        "model": outcome.contender.named,
        "offer": outcome.contender.offer,
        "estimate": {"low": None if low is None else str(low), "high": None if high is None else str(high)},
        "cost": None if outcome.cost is None else str(outcome.cost),
        "seconds": outcome.seconds,
        "seed": seed,
        "job_id": outcome.job_id,
        "result": None if outcome.result is None else outcome.result.to_dict(),
        "error": None if outcome.error is None else outcome.error.to_dict(),
    }
