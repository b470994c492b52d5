"""How the command line looks: errors, widths and colours; the examples in its help; completion in each shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from test_cli import SCRIPT, SHORT, Run, here, on_terminal, run, script

__all__ = ["here", "run"]  # fixtures

PRACTICE = Path(__file__).parents[1] / "docs" / "examples" / "practice.toml"
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")


def lines_of(seen: str) -> list[str]:
    return [ESCAPE.sub("", line).strip("\r") for line in seen.splitlines()]


# --- errors


@pytest.mark.parametrize("columns", [40, 75, 200])
def test_an_error_stands_in_a_box_that_fits(columns: int) -> None:
    _, _, seen = on_terminal("generate", "x", "-m", "nope", columns=columns)
    box = [line for line in lines_of(seen) if line[:1] in "╭│╰" and line]
    assert box[0].startswith("╭─ error ─")
    assert {len(line) for line in box} == {min(columns, 100)}
    words = " ".join(line.strip("│ ") for line in box[1:-1])
    assert "No installed plugin offers a model named 'nope'. `videogen models` lists what there is." in words
    assert COLOUR.search(seen)


def test_where_no_box_can_be_drawn_an_error_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, seen = on_terminal("generate", "x", "-m", "nope", columns=39)
    assert any(line.startswith("error: No installed") for line in lines_of(seen))
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(PRACTICE))
    _, _, seen = on_terminal("generate", "x", *SHORT, "-O", "sandbox.fail=generation_failed", term="dumb")
    assert re.search(r"^error: ", seen, re.M)
    assert "\x1b" not in seen
    assert "╭" not in seen
    assert "asking sandbox/sandbox" in seen, "lines instead of a bar"


def test_force_color_gives_a_pipe_colours_and_no_boxes() -> None:
    code, out, err = script("generate", "x", "-m", "nope", FORCE_COLOR="1", NO_COLOR="")
    assert (code, out) == (2, "")
    assert COLOUR.search(err)
    assert lines_of(err)[0] == "error: No installed plugin offers a model named 'nope'."
    code, out, err = script("generate", "x", *SHORT, "-o", "x.mp4", FORCE_COLOR="1", NO_COLOR="")
    assert (code, out.endswith("x.mp4\n")) == (0, True)
    assert "\x1b[2K" not in err, "no bar that moves"


# --- tables


@pytest.fixture
def spent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(PRACTICE))
    for model, cost in (("practice-pro", "0.30"), ("practice-lite", "0.10")):
        assert run("generate", "x", "-m", model, "-d", "1", "-r", "144p", "-O", f"sandbox.cost={cost}", "-q").code == 0


def out_on_terminal(*arguments: str, **variables: str) -> list[str]:
    """What the script writes to a standard output that is a terminal."""
    import pty

    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **variables}
    process = subprocess.Popen(
        [str(SCRIPT), *arguments], stdout=end, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment
    )
    os.close(end)
    seen = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end was closed
            break
        if not data:
            break
        seen += data
    process.communicate(timeout=30)
    os.close(terminal)
    return lines_of(seen.decode())


@pytest.mark.usefixtures("spent")
def test_costs_have_bars_on_a_terminal_only(run: Run) -> None:
    _, pro, lite, total = out_on_terminal("costs", PYTHONIOENCODING="utf-8")
    assert pro.rstrip().endswith("$0.30  " + "█" * 10)
    assert lite.rstrip().endswith("$0.10  " + "█" * 3 + "▍")
    assert total.rstrip().endswith("$0.40"), "the sum has none"
    _, pro, lite, _ = out_on_terminal("costs", PYTHONIOENCODING="ascii")
    assert pro.rstrip().endswith("$0.30  " + "#" * 10)
    assert lite.rstrip().endswith("$0.10  " + "#" * 3)
    wide = out_on_terminal("costs", COLUMNS="120", PYTHONIOENCODING="utf-8")
    assert wide[1].rstrip().endswith("█" * 20)
    narrow = out_on_terminal("costs", COLUMNS="40", PYTHONIOENCODING="utf-8")
    assert max(map(len, narrow)) <= 40
    for plain in (run("costs").out, *("".join(out_on_terminal("costs", kind)) for kind in ("--json", "--csv"))):
        assert not set("█▍#") & set(plain)


def test_models_are_sorted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(PRACTICE))

    def names(*arguments: str) -> list[str]:
        return [row["id"].partition("/")[2] for row in run("models", *arguments, "--json").json["models"]]

    assert names() == ["practice-broke", "practice-lite", "practice-pro", "sandbox"]
    assert names("--sort", "price") == ["sandbox", "practice-broke", "practice-lite", "practice-pro"]
    assert names("--sort", "tier") == ["practice-broke", "practice-pro", "practice-lite", "sandbox"]
    assert names("--sort", "latency") == ["sandbox", "practice-lite", "practice-pro", "practice-broke"]
    assert re.search(r"^practice-lite .* 20 s", run("models", "--sort", "latency").out, re.M)
    assert run("generate", "x", "-m", "practice-pro", "-d", "1", "-r", "144p", "-q").code == 0
    assert names("--sort", "latency")[0] == "practice-pro", "it was seen to be quick"
    answer = run("models", "--sort", "beauty")
    assert (answer.code, "Say one of name, price" in answer.err) == (2, True)


def test_models_are_found_by_words(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_model = PRACTICE.read_text().replace(
        'maker = "videogen"', 'maker = "Paper Boats"\nlicense = { name = "boat-community" }', 1
    )
    (tmp_path / "c.toml").write_text(open_model)
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(tmp_path / "c.toml"))

    def names(*arguments: str) -> list[str]:
        return [row["id"].partition("/")[2] for row in run("models", *arguments, "--json").json["models"]]

    assert names("--maker", "paper") == ["practice-pro"]
    assert names("--license", "any") == names("--license", "COMMUNITY") == ["practice-pro"]
    assert names("--license", "apache") == []
    assert names("--search", "lite PRACTICE") == ["practice-lite"]
    assert names("--search", "boats") == ["practice-pro"]
    assert names("--search", "practice", "--quality", "premium") == ["practice-broke"]
    assert "boat-community" in run("models", "--license", "any").out


LONG = """
source = "https://acme.example"
as_of = 2026-11-20
[[models]]
id = "acme/seedream-with-a-long-name-1.5-pro"
maker = "A Maker Of Long Names"
license = { name = "a-licence-with-a-long-name" }
latency = { typical = 4000 }
prices = [
    { amount = 0.0131, unit = "second", resolutions = ["480p"] },
    { amount = 0.0612, unit = "second", resolutions = ["4k"] },
]
default = { duration = 4 }
[[models.modes]]
tasks = ["text_to_video", "image_to_video", "first_last_frame"]
durations = { min = 2, max = 12 }
resolutions = ["480p", "4k"]
audio = [true, false]
"""


@pytest.mark.parametrize("columns", range(60, 201, 20))
def test_the_table_of_models_fits_and_cuts_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    (tmp_path / "models.toml").write_text(LONG)
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(tmp_path / "models.toml"))
    monkeypatch.setenv("COLUMNS", str(columns))
    for order in ("name", "price", "latency", "maker", "tier"):
        out = run("models", "--sort", order).out
        assert max(map(len, out.splitlines())) <= columns, order
        assert "$0.0131-0.0612" in out, "cut"
        assert {"latency": "1 h 6 min", "maker": "A Maker", "tier": "standard"}.get(order, "") in out
    if columns == 200:
        assert "a-licence-with-a-long-name" in run("models").out


# --- help


def commands() -> dict[str, Any]:
    from typer.main import get_command

    from videogen_core.cli.app import app

    found: dict[str, Any] = vars(get_command(app))["commands"]
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_help_teaches_by_examples_that_can_be_typed(name: str) -> None:
    command = commands()[name]
    title, *examples = command.epilog.split("\n\n")
    assert title.strip("[]/bold") in ("Example", "Examples")
    own = 0
    for example in examples:
        line = example.replace("\\[", "[")
        for part in re.findall(r"videogen [^|>)]+", line.split(" > ")[0]):
            words = shlex.split(part)[1:]
            typed = " ".join(words[:2]) if " ".join(words[:2]) in commands() else words[0]
            arguments = words[len(typed.split()) :]
            commands()[typed].make_context(typed, arguments)  # raises for an option that there is not
            own += typed.startswith(name)
    assert own >= 1


# --- completion


def complete(shell: str, line: str) -> str:
    variables = {"_VIDEOGEN_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    if shell == "bash":
        variables |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    return script(**variables, _TYPER_COMPLETE_FISH_ACTION="get-args").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_in_each_shell(shell: str) -> None:
    source = script(_VIDEOGEN_COMPLETE=f"source_{shell}")
    assert source.code == 0
    assert f"_VIDEOGEN_COMPLETE=complete_{shell}" in source.out
    assert "compare" in complete(shell, "videogen comp")
    assert "--max-cost" in complete(shell, "videogen compare --max")
    assert "latency" in complete(shell, "videogen models --sort ")
    assert "sandbox/sandbox" in complete(shell, "videogen compare -m sand")


def test_bash_itself_completes() -> None:
    typed = """
    source <(_VIDEOGEN_COMPLETE=source_bash videogen)
    COMP_WORDS=(videogen models --sort la); COMP_CWORD=3
    _videogen_completion videogen
    echo "${COMPREPLY[@]}"
    complete -p videogen
    """
    path = f"{SCRIPT.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", typed], capture_output=True, text=True, timeout=60, env={**os.environ, "PATH": path}
    )
    assert done.stdout.splitlines()[0] == "latency", done.stderr
    assert "-F _videogen_completion videogen" in done.stdout


# --- many jobs at once


def test_more_jobs_than_lines_leave_room_for_those_that_move(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [
        run("submit", f"x {n}", *SHORT, "-O", f"sandbox.delay={1 + 2 * (n == 7)}", "-q").out.strip() for n in range(8)
    ]
    monkeypatch.setenv("LINES", "8")
    code, out, seen = on_terminal("resume")
    assert (code, len(out.splitlines())) == (0, 8)
    assert jobs[7] in seen, "the one that takes longest came into view"
