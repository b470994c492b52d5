"""Errors as people and programs see them: a sentence with a hint, or JSON; and the exit code of each."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from videogen_core import (
    BudgetExceededError,
    ConfigurationError,
    JobTimeoutError,
    LedgerError,
    RequestError,
    VideogenError,
    errors,
)

from .interrupts import StoppedError, resume_command, under_way
from .screen import Screen

__all__ = ["exit_code", "exit_code_of", "internal", "report"]

_CODES: tuple[tuple[type[VideogenError], int], ...] = (
    (RequestError, 2),
    (ConfigurationError, 2),
    (LedgerError, 2),
    (BudgetExceededError, 3),
    (JobTimeoutError, 5),
)
_NARROWEST = 40  # columns; below that a box takes more room than its sentence
_PROVIDER = 4  # whatever else: the provider refused, failed, or could not be heard


def exit_code(error: VideogenError) -> int:
    """The exit code of an error."""
    if isinstance(error, StoppedError):
        return error.exit_code
    return exit_code_of(type(error).__name__)


def exit_code_of(name: str) -> int:
    """The exit code of an error of ours that only its type is known of."""
    found = getattr(errors, name, VideogenError)
    return next((code for kind, code in _CODES if issubclass(found, kind)), _PROVIDER)


def report(screen: Screen, error: VideogenError) -> int:
    """Show an error and return its exit code."""
    _print(screen, error.to_dict())
    return exit_code(error)


def report_usage(screen: Screen, error: Any) -> int:
    """Show a mistake in the command line itself, found by typer."""
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path} --help` shows how." if context is not None else None
    _print(screen, {"type": "UsageError", "message": str(error.format_message()), "hint": hint})
    return 2


def internal(screen: Screen, error: BaseException) -> int:
    """Show a bug of ours; the traceback only for those who asked for it."""
    if os.environ.get("VIDEOGEN_DEBUG"):
        with suppress(OSError):
            traceback.print_exception(error, file=sys.stderr)
    resume = resume_command(list(under_way))
    hint = "Please report it with the output of `videogen doctor` and of the same command with VIDEOGEN_DEBUG=1 set."
    _print(
        screen,
        {
            "type": "InternalError",
            "message": f"Internal error in videogen: {type(error).__name__}: {str(error)[:500]}",
            "hint": f"{hint} {resume}" if resume else hint,
        },
    )
    return 1


def _print(screen: Screen, error: dict[str, Any]) -> None:
    if screen.json:
        screen.emit({"error": error})
        return
    message, hint = str(error["message"]), str(error["hint"] or "")
    job = str(error.get("job_id", ""))
    about = {"hint": hint, "job": "" if job in message + hint else f"`videogen jobs {job}` shows it."}
    with suppress(OSError):  # standard error may be gone
        if screen.watched and screen.err.width >= _NARROWEST:
            _print_box(screen, message, filter(None, about.values()))
        else:
            _print_lines(screen, {"error": message, **about})


def _print_lines(screen: Screen, parts: dict[str, str]) -> None:
    from rich.text import Text

    for name, text in parts.items():
        if text:
            line = Text.assemble((name, "bold red" if name == "error" else "bold"), f": {text}")
            screen.err.print(line, soft_wrap=True)


def _print_box(screen: Screen, message: str, hints: Iterable[str]) -> None:
    from rich.panel import Panel
    from rich.text import Text

    body = Text(message)
    for hint in hints:
        body.append(f"\n{hint}", style="dim")
    screen.err.print(
        Panel(body, title="error", title_align="left", border_style="red", width=min(100, screen.err.width))
    )
