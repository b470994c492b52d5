"""Make the pictures of the documentation from real runs: ``python docs/capture.py``.

The ``.svg`` files in ``images/`` are what a terminal shows; the commands really run, in a folder of their own, and
somebody answers when they ask. ``images/frame.png`` is a frame of a clip that they make, ``images/contact-sheet.png``
is the one of ``videogen compare``.
"""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import av
from PIL import Image
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

DOCS = Path(__file__).resolve().parent
PRO, LITE = ("-m", "practice-pro"), ("-m", "practice-lite")
BOAT = "A paper boat drifting down a rainy street"


class Shot(NamedTuple):
    """One picture of a terminal.

    Attributes:
        columns: Its width.
        commands: What is typed into it.
        before: Commands that are run first, and not shown.
        lines: So many of each command's are shown; 0 = all.
    """

    columns: int
    commands: tuple[tuple[str, ...], ...]
    before: tuple[tuple[str, ...], ...] = ()
    lines: int = 0


def spent(model: str, cost: str, *more: str) -> tuple[str, ...]:
    return ("videogen", "generate", "x", "-m", model, "-d", "1", "-r", "144p", "-O", f"sandbox.cost={cost}", *more)


SHOTS = {
    "terminal": Shot(
        100,
        (
            ("videogen", "check", "A paper boat", *PRO, "-d", "7", "-r", "1080p"),
            ("videogen", "estimate", *PRO, "-d", "8", "-r", "1080p", "--audio"),
            ("videogen", "route", "A paper boat", *PRO, *LITE, "-d", "8", "--max-cost", "0.50"),
            ("videogen", "generate", BOAT, *PRO, "-o", "boat.mp4"),
        ),
    ),
    "compare": Shot(100, (("videogen", "compare", BOAT, *PRO, *LITE, "-d", "4", "-r", "720p", "-o", "boats"),)),
    "costs": Shot(
        80,
        (("videogen", "costs", "--since", "7d"),),
        before=(
            spent("practice-pro", "0.80"),
            spent("practice-pro", "0.10", "-O", "sandbox.fail=generation_failed", "-O", "sandbox.charged=true"),
            spent("practice-lite", "0.16"),
            spent("sandbox", "0.35"),
        ),
    ),
    "models": Shot(80, (("videogen", "models", "--audio", "--sort", "price"),), lines=14),
    "error": Shot(80, (("videogen", "generate", BOAT, *PRO, "-d", "7", "-r", "1080p"),)),
}
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
COLOURS = [(255, 118, 128), (140, 220, 140), (255, 200, 100), (130, 170, 255), (210, 150, 255), (110, 215, 225)]
THEME = TerminalTheme(
    (27, 22, 42),
    (226, 222, 240),
    [(60, 54, 82), *COLOURS, (226, 222, 240)],
    [(120, 112, 148), *COLOURS, (255, 255, 255)],
)


def on_a_terminal(command: tuple[str, ...], folder: Path, columns: int) -> str:
    """Run a command on a pseudo-terminal, and say yes when it asks; gives what it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        settings = {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color", "VIDEOGEN_HOME": str(folder)}
        settings |= {"VIDEOGEN_CATALOG": "practice.toml", "VIDEOGEN_CONFIG_DIR": str(folder)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        os.execvpe(command[0], command, {**os.environ, **settings, "PATH": path})
    written, answered = b"", False
    try:
        while chunk := os.read(terminal, 65536):
            written += chunk
            if b"[y/N] " in written and not answered:
                os.write(terminal, b"y\n")
                answered = True
    except OSError:  # the other end is closed
        pass
    os.waitpid(pid, 0)
    return written.decode()


def as_left(written: str) -> list[str]:
    """The lines that are left on the screen when all is done; colours are kept."""
    lines, row, begins = [""], 0, True
    for part in re.split(r"(\r\n|\n|\r|\x1b\[\d*A|\x1b\[\d*K|\x1b\[\?\d+[hl])", written):
        if part in ("\r\n", "\n"):
            row, begins = row + 1, True
            lines += [""] * (row + 1 - len(lines))
        elif match := re.fullmatch(r"\x1b\[(\d*)A", part):
            row, begins = max(row - int(match[1] or 1), 0), True
        elif re.fullmatch(r"\x1b\[\d*K", part):
            lines[row] = ""
        elif part == "\r":
            begins = True
        elif part and not part.startswith("\x1b[?"):
            lines[row] = part if begins else lines[row] + part
            begins = False
    return [line.rstrip() for line in lines]


def shown(command: tuple[str, ...]) -> Text:
    words = " ".join(f'"{word}"' if " " in word else word for word in command)
    return Text.assemble(("$ ", "bold bright_magenta"), (words, "bold"))


def without_web_fonts(svg: str) -> str:
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!-- Generated .*? -->\s*", "", svg)
    return re.sub(r"font-family: [^;]*Fira Code[^;]*;", f"font-family: {FONT};", svg)


def take(name: str, shot: Shot, folder: Path) -> None:
    """Run the commands of a picture, and store it."""
    console = Console(
        record=True, width=shot.columns, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for command in shot.before:
        on_a_terminal(command, folder, shot.columns)
    for number, command in enumerate(shot.commands):
        lines = as_left(on_a_terminal(command, folder, shot.columns).replace(str(folder), "/home/you"))
        while lines and not lines[-1]:
            lines.pop()
        if number:
            console.print()
        console.print(shown(command))
        for line in lines[: shot.lines or None]:
            console.print(Text.from_ansi(line), soft_wrap=True)
        if 0 < shot.lines < len(lines):
            console.print("…", style="dim")
    svg = console.export_svg(title="videogen", theme=THEME, unique_id=f"videogen-{name}", font_aspect_ratio=0.61)
    (DOCS / "images" / f"{name}.svg").write_text(without_web_fonts(svg), encoding="utf-8")


def costing(catalog: str) -> str:
    """The models to practise on, with what a clip costs booked as if it were real."""
    for cost in ("0.40", "0.08"):
        catalog = catalog.replace(
            'cost = { type = "number", default = 0 }', f"cost = {{ type = 'number', default = {cost} }}", 1
        )
    return catalog


def main() -> None:
    (DOCS / "images").mkdir(exist_ok=True)
    practice = (DOCS / "examples" / "practice.toml").read_text(encoding="utf-8")
    for name, shot in SHOTS.items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary).resolve()
            text = costing(practice) if name == "compare" else practice
            (folder / "practice.toml").write_text(text, encoding="utf-8")
            take(name, shot, folder)
            if name == "terminal":
                with av.open(str(folder / "boat.mp4")) as clip:
                    frames = [frame.to_image() for frame in clip.decode(video=0)]
                picture = frames[len(frames) // 4].resize((840, 472), Image.Resampling.LANCZOS)
                picture.quantize(192).save(DOCS / "images" / "frame.png", optimize=True)
            if name == "compare":
                with Image.open(folder / "boats" / "contact-sheet.png") as sheet:
                    small = sheet.convert("RGB").resize((sheet.width // 2, sheet.height // 2), Image.Resampling.LANCZOS)
                small.quantize(128).save(DOCS / "images" / "contact-sheet.png", optimize=True)


if __name__ == "__main__":
    main()
