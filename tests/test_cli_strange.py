"""The command line among strange texts and on strange terminals: nothing steers the terminal, no word gets lost."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from test_cli import SCRIPT, SHORT, Run, here, run, script
from test_cli_compare import Terminal
from videogen_core.cli.visible import visible

__all__ = ["here", "run"]  # fixtures

EVIL = "a \x1b[31mred\x1b[0m \x1b]0;title\x07 boat\b\u009b2J \u202etxet \x7f"
STEERING = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
OUR_OWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_what_steers_a_terminal_is_shown_as_a_sign() -> None:
    assert visible("a\x1b[2J\r\nb\tc\u009b\u202e") == "a␛[2J\nb\tc��"
    assert visible("漢字 🎬 é") == "漢字 🎬 é"


def test_no_prompt_tag_or_error_steers_the_terminal(run: Run, here: Path) -> None:
    assert run("generate", EVIL, *SHORT, "-o", "a.mp4", "--tag", f"k={EVIL}", "--provenance", "sidecar").code == 0
    (job,) = run("jobs", "--json").json["jobs"]
    for command in (
        ("jobs",),
        ("jobs", job["id"]),
        ("show", "a.mp4"),
        ("costs", "--by", "tag:k"),
        ("models", EVIL),
        ("check", EVIL, "-m", EVIL),
        ("generate", "boat", "-m", "sandbox", "-r", EVIL),
        ("generate", "boat", *SHORT, "-O", f"sandbox.{EVIL}=1"),
        ("budgets", "remove", EVIL),
        (EVIL,),
    ):
        answer = run(*command)
        assert not STEERING.search(answer.out + answer.err), (command, answer)
    assert job["request"]["prompt"] == EVIL
    assert "\x9b" not in run("jobs", "--json").out, "JSON escapes it"


def test_a_terminal_is_not_steered_either(here: Path) -> None:
    for command in (("generate", EVIL, *SHORT, "-o", "a.mp4"), ("jobs",)):
        terminal = Terminal(*command)
        terminal.leave()
        assert not STEERING.search(OUR_OWN.sub("", terminal.seen)), (command, terminal.seen)
        assert "title\x07" not in terminal.seen


@pytest.mark.parametrize("columns", [10, 40])
def test_no_word_is_lost_however_narrow(run: Run, columns: int) -> None:
    assert run("generate", "漢字 a boat", *SHORT, "-o", "a.mp4", "-q").code == 0
    (job,) = run("jobs", "--json").json["jobs"]
    for command in (("jobs",), ("jobs", job["id"]), ("models", "sandbox")):
        terminal = Terminal(*command, columns=columns)
        assert terminal.leave() == 0, terminal.seen
        together = re.sub(r"\s", "", terminal.seen)
        if command[0] == "jobs":
            assert job["id"] in together, terminal.seen
            assert "succeeded" in together
        assert "…" not in together.replace("prompt…", ""), terminal.seen


def test_wide_letters_keep_columns_straight(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("漢字漢字漢字", "plain"):
        assert run("budgets", "set", name, "--limit", "5").code == 0
    first, second = (line for line in run("budgets").out.splitlines() if "everything" in line)
    assert abs(second.index("everything") - first.index("everything")) == 6, "six letters take two columns each"


def test_a_reader_that_leaves_is_no_error(here: Path) -> None:
    command = f"{SCRIPT} models --json | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode in (0, 141), done.stderr) == (True, "")


@pytest.mark.parametrize("closed", ["1", "2"])
def test_closed_streams_are_no_error(here: Path, closed: str) -> None:
    command = f"{SCRIPT} generate boat {' '.join(SHORT)} -o a.mp4 {closed}>&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done
    assert (here / "a.mp4").exists()


def test_a_home_that_cannot_be_used_is_told_in_words(here: Path) -> None:
    (here / "file").write_text("")
    home = str(here / "file" / "below")
    for command in (("generate", "boat", *SHORT), ("jobs",), ("doctor",)):
        answer = script(*command, VIDEOGEN_HOME=home)
        assert "Traceback" not in answer.err + answer.out, answer
        assert "Internal error" not in answer.err + answer.out, answer


def test_a_file_that_is_no_file_of_rows_is_told_in_words(run: Run, here: Path) -> None:
    (here / "excel.csv").write_text("prompt;seed\na boat;1\n")
    (here / "tabs.csv").write_text("prompt\tseed\na boat\t1\n")
    (here / "broken.csv").symlink_to("/proc/self/mem")  # can be opened, and not read
    for name, words in (
        ("excel", "separated by semicolons; save the file with commas"),
        ("tabs", "separated by tabs"),
        ("broken", "The file of rows cannot be read: Input/output error."),
    ):
        answer = run("batch", f"{name}.csv", "-o", "out", *SHORT)
        assert (answer.code, answer.out) == (2, ""), answer
        assert words in answer.err


def test_a_large_file_with_broken_rows_names_the_first_and_is_quick(run: Run, here: Path) -> None:
    rows = [json.dumps({"prompt": f"boat {n}"}) for n in range(3000)]
    rows[7] = '{"prompt": '
    rows[1999] = json.dumps({"prompt": "boat", "durration": 4})
    rows[2999] = json.dumps({"prompt": EVIL, "resolution": EVIL})
    (here / "rows.jsonl").write_text("\n".join(rows))
    code, out, err = run("batch", "rows.jsonl", "-o", "out", *SHORT[:2])
    assert (code, out) == (2, "")
    for line in (8, 2000, 3000):
        assert f"row {line}:" in err
    assert not STEERING.search(err)
    assert run("jobs").out == ""
