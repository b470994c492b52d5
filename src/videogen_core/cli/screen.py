"""Where output goes: results on standard output, everything for people's eyes on standard error."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO

from .visible import visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["Screen"]

_STEERING = re.compile("[\x7f-\x9f]")
_PIPE_WIDTH = 400  # a pipe has no width, so nothing is wrapped or cut for it


@dataclass(frozen=True)
class Screen:
    """The two streams of one command.

    Attributes:
        json: Print one JSON document and nothing else on standard output.
        quiet: Nothing on standard error but errors.
    """

    json: bool = False
    quiet: bool = False

    @cached_property
    def out(self) -> Console:
        """Standard output, for tables."""
        return _console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """Standard error."""
        return _console(sys.stderr)

    @property
    def watched(self) -> bool:
        """Whether standard error is a terminal on which boxes can be drawn and bars can move.

        Not whether it has colours: FORCE_COLOR gives them to pipes as well, and NO_COLOR takes them from terminals.
        """
        return self.err.file.isatty() and not self.err.is_dumb_terminal

    def emit(self, document: Any) -> None:
        """Print the JSON document of the command."""
        import msgspec

        encoded = msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2)
        # JSON lets these stand as they are, and a terminal would obey some of them
        print(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode()), flush=True)

    def line(self, text: str) -> None:
        """Print a line of result, as it is: no colour, no wrapping; into a pipe to the letter, for it may be a path."""
        print(visible(text) if sys.stdout is not None and sys.stdout.isatty() else text, flush=True)

    def show(self, *renderables: RenderableType, aside: bool = False, width: int | None = None) -> None:
        """Print tables and the like as the result, or aside: for people's eyes only.

        Args:
            renderables: What to print.
            aside: Whether on standard error.
            width: Columns to print in, however narrow the terminal is: it wraps lines then, and loses no words.
        """
        console = self.err if aside else self.out
        if console.is_terminal:
            wide = console if width is None else _console(sys.stderr if aside else sys.stdout, width)
            wide.print(*renderables, sep="\n")
            return
        with console.capture() as captured:
            console.print(*renderables, sep="\n")
        for line in captured.get().splitlines():
            if aside:
                self.say(line.rstrip())
            else:
                self.line(line.rstrip())

    def say(self, text: str, style: str = "") -> None:
        """Tell the user something that is not the result."""
        if not self.quiet:
            with suppress(OSError):  # nobody is listening
                self.err.print(text, style=style, markup=False, highlight=False, soft_wrap=not self.err.is_terminal)


def _console(stream: TextIO | None, width: int | None = None) -> Console:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class Harmless(Console):
        """Shows what is in texts, and never obeys it; rich lets most control characters through."""

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    stream = stream or io.StringIO()  # the stream was closed before we started
    in_a_pipe = not stream.isatty() and not os.environ.get("COLUMNS", "").isdigit()
    return Harmless(file=stream, highlight=False, width=_PIPE_WIDTH if in_a_pipe else width)
