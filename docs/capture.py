"""Make the pictures of the README from real runs: ``python docs/capture.py``.

``images/terminal.svg`` is what a terminal of 100 columns shows; the commands really run, in a folder of their own.
``images/frame.png`` is a frame of the clip that they make.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

DOCS = Path(__file__).resolve().parent
COLUMNS = 100
COMMANDS = (
    ("videogen", "check", "A paper boat", "-m", "practice-pro", "-d", "7", "-r", "1080p"),
    ("videogen", "estimate", "-m", "practice-pro", "-d", "8", "-r", "1080p", "--audio"),
    ("videogen", "route", "A paper boat", "-m", "practice-pro", "-m", "practice-lite", "-d", "8", "--max-cost", "0.50"),
    ("videogen", "generate", "A paper boat drifting down a rainy street", "-m", "practice-pro", "-o", "boat.mp4"),
)
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
COLOURS = [(255, 118, 128), (140, 220, 140), (255, 200, 100), (130, 170, 255), (210, 150, 255), (110, 215, 225)]
THEME = TerminalTheme(
    (27, 22, 42),
    (226, 222, 240),
    [(60, 54, 82), *COLOURS, (226, 222, 240)],
    [(120, 112, 148), *COLOURS, (255, 255, 255)],
)


def on_a_terminal(command: tuple[str, ...], folder: Path) -> str:
    """Run a command on a pseudo-terminal; gives what it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        settings = {"COLUMNS": str(COLUMNS), "LINES": "40", "TERM": "xterm-256color", "VIDEOGEN_HOME": str(folder)}
        settings |= {"VIDEOGEN_CATALOG": "practice.toml", "VIDEOGEN_CONFIG_DIR": str(folder)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        os.execvpe(command[0], command, {**os.environ, **settings, "PATH": path})
    written = b""
    try:
        while chunk := os.read(terminal, 65536):
            written += chunk
    except OSError:  # the other end is closed
        pass
    os.waitpid(pid, 0)
    return written.decode()


def as_left(written: str) -> list[str]:
    """The lines that are left on the screen when all is done; colours are kept."""
    lines, row = [""], 0
    for part in re.split(r"(\r\n|\n|\r|\x1b\[\d*A|\x1b\[\d*K|\x1b\[\?\d+[hl])", written):
        if part in ("\r\n", "\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif match := re.fullmatch(r"\x1b\[(\d*)A", part):
            row = max(row - int(match[1] or 1), 0)
        elif re.fullmatch(r"\x1b\[\d*K", part):
            lines[row] = ""
        elif part == "\r" or part.startswith("\x1b[?"):
            continue
        elif part:
            lines[row] = part if lines[row] and "\r" in written else lines[row] + part
    return [line.rstrip() for line in lines]


def shown(command: tuple[str, ...]) -> Text:
    words = " ".join(f'"{word}"' if " " in word else word for word in command)
    return Text.assemble(("$ ", "bold bright_magenta"), (words, "bold"))


def without_web_fonts(svg: str) -> str:
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!-- Generated .*? -->\s*", "", svg)
    return re.sub(r"font-family: [^;]*Fira Code[^;]*;", f"font-family: {FONT};", svg)


def main() -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        shutil.copy(DOCS / "examples" / "practice.toml", folder)
        for number, command in enumerate(COMMANDS):
            lines = as_left(on_a_terminal(command, folder).replace(str(folder), "/home/you"))
            while lines and not lines[-1]:
                lines.pop()
            if number:
                console.print()
            console.print(shown(command))
            for line in lines:
                console.print(Text.from_ansi(line), soft_wrap=True)
        with av.open(str(folder / "boat.mp4")) as clip:
            frames = [frame.to_image() for frame in clip.decode(video=0)]
    picture = frames[len(frames) // 4].resize((840, 472), Image.Resampling.LANCZOS)
    (DOCS / "images").mkdir(exist_ok=True)
    picture.quantize(192).save(DOCS / "images" / "frame.png", optimize=True)
    svg = console.export_svg(title="videogen", theme=THEME, unique_id="videogen", font_aspect_ratio=0.61)
    (DOCS / "images" / "terminal.svg").write_text(without_web_fonts(svg), encoding="utf-8")


if __name__ == "__main__":
    main()
