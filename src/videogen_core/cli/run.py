"""One command line from start to exit code; no exception leaves it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from videogen_core import VideogenError

from .failures import internal, report, report_usage
from .interrupts import PipeClosedError, StoppedError, interruptible
from .notices import library_warnings
from .screen import Screen

__all__ = ["run"]

_BROKEN_PIPE = 141  # as the shell reports a program that SIGPIPE ended


def run(arguments: list[str]) -> int:
    """Run a command and return the exit code."""
    options = _before_dashes(arguments)
    screen = Screen(json="--json" in options, quiet=bool({"-q", "--quiet"} & set(options)))
    _tolerate_any_text()
    try:
        with interruptible(), library_warnings(screen):
            return _reported(screen, arguments)
    except KeyboardInterrupt as stop:  # before or after the command itself
        return report(screen, StoppedError(stop))
    except (PipeClosedError, BrokenPipeError):
        _silence(sys.stdout)
        return _BROKEN_PIPE


def _reported(screen: Screen, arguments: list[str]) -> int:
    try:
        code = _invoke(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except VideogenError as error:
        return report(screen, error)
    except (PipeClosedError, BrokenPipeError):
        raise
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's own, whichever copy of click it brings
            return report_usage(screen, error)
        return internal(screen, error)


def _invoke(arguments: list[str]) -> int:
    from typer.main import get_command

    from .app import app

    try:
        answer: Any = get_command(app).main(arguments or ["--help"], prog_name="videogen", standalone_mode=False)
    except SystemExit as stop:  # shell completion ends so
        answer = stop.code
    return answer if isinstance(answer, int) else 0


def _before_dashes(arguments: list[str]) -> list[str]:
    """Where options may be: looked at before the command line is parsed, because an error in it is JSON with --json."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _tolerate_any_text() -> None:
    """A character that the terminal cannot show must not end the program."""
    stream: Any = sys.stdout
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="surrogateescape" if stream.encoding.lower() in ("utf-8", "utf8") else "replace")


def _silence(stream: Any) -> None:
    """What is still buffered has nowhere to go; the interpreter must not complain about it at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
