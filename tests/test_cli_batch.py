"""``videogen batch`` as a user meets it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from test_cli_compare import Terminal
from videogen_core.cli import main

SHORT = ("-m", "sandbox", "-d", "1", "-r", "144p", "--fps", "8")
PAID = '[override."sandbox/sandbox"]\nprices = [{ amount = 0.25, label = "as if" }]\n'


class Answer(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "rows.csv").write_text("prompt,seed\na paper boat,1\na paper boat,1\na kite,\n")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VIDEOGEN_PROBE_IN_PROCESS", "1")
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Answer:
        code = main(arguments)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run


def facts(out: str) -> dict[str, str]:
    return dict(line.split(maxsplit=1) for line in out.splitlines() if not line.startswith(" "))


def test_a_batch_is_made_and_the_next_run_finds_it_made(run: Run, here: Path) -> None:
    code, out, err = run("batch", "rows.csv", "-o", "out", *SHORT)
    assert (code, facts(out)["succeeded"], facts(out)["rows"]) == (0, "3", "3")
    assert "3 rows in order" in err
    assert len(list((here / "out").glob("*.mp4"))) == 3
    code, out, err = run("batch", "rows.csv", "-o", "out", *SHORT)
    assert (code, facts(out)["succeeded"]) == (0, "3")
    assert "3 of them ended before" in err
    assert len(list((here / "out").glob("*.mp4"))) == 3
    assert len((here / "out" / "results.jsonl").read_text().splitlines()) == 3


def test_wrong_rows_are_listed_by_line_and_nothing_is_sent(run: Run, here: Path) -> None:
    (here / "rows.csv").write_text("prompt,duration\nboat,1\nboat,-1\nboat,x\n")
    code, out, err = run("batch", "rows.csv", "-o", "out", *SHORT)
    assert (code, out) == (2, "")
    assert "row 3:" in err
    assert "row 4:" in err
    assert "nothing was sent" in err
    code, out, _ = run("batch", "rows.csv", "-o", "out", *SHORT, "--json")
    assert (code, [fault["row"] for fault in json.loads(out)["error"]["faults"]]) == (2, [3, 4])
    assert run("jobs").out == ""


def test_a_dry_run_says_what_it_would_cost(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "prices.toml").write_text(PAID)
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(here / "prices.toml"))
    code, out, _ = run("batch", "rows.csv", "-o", "out", *SHORT, "--dry-run")
    assert code == 0
    assert "costs at most  $0.75" in out
    assert not (here / "out").exists()


def test_a_budget_that_is_used_up_ends_with_its_code(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "prices.toml").write_text(PAID)
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(here / "prices.toml"))
    (here / "rows.jsonl").write_text('"a boat"\n"a kite"\n"a cat"\n')
    paid = ("-O", "sandbox.cost=0.25")
    code, out, err = run("batch", "rows.jsonl", "-o", "out", *SHORT, *paid, "--budget", "0.50")
    assert (code, facts(out)["left"], facts(out)["spent"]) == (3, "1", "$0.50 of $0.50")
    assert "Stopped: " in err
    assert "Raise the batch's own budget (`--budget`" in err
    assert "1 row left. The same command goes on" in err
    report: dict[str, Any] = json.loads(
        run("batch", "rows.jsonl", "-o", "out", *SHORT, *paid, "--budget", "1", "--json").out
    )
    assert (report["succeeded"], report["spent"], report["stopped"]) == (3, "0.75", None)


def test_failed_rows_have_an_exit_code_and_are_made_again_on_request(run: Run, here: Path) -> None:
    (here / "rows.jsonl").write_text(
        json.dumps({"prompt": "boat", "options": {"sandbox": {"fail": "content_policy"}}}) + '\n"kite"\n'
    )
    code, out, err = run("batch", "rows.jsonl", "-o", "out", *SHORT)
    assert (code, facts(out)["failed"]) == (4, "1")
    assert "--retry-failed" in err
    run("batch", "rows.jsonl", "-o", "out", *SHORT, "--retry-failed")
    assert len(json.loads(run("jobs", "--json").out)["jobs"]) == 3


def test_a_folder_is_needed(run: Run) -> None:
    code, _, err = run("batch", "rows.csv")
    assert code == 2
    assert "-o out/" in err


# --- while it runs


@pytest.mark.parametrize("columns", [60, 100])
def test_a_terminal_shows_elapsed_and_expected_time_and_a_summary_that_fits(here: Path, columns: int) -> None:
    delays = [2.5, 2.5, 2.5, 2.5, 0.1, 0.1, 0.1, 3]  # so that it stands at 0/8 for a while, and at 7/8
    rows = [{"prompt": "boat", "seed": n, "options": {"sandbox": {"delay": d}}} for n, d in enumerate(delays)]
    (here / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    slow = ("--budget", "3", "--max-concurrency", "4")
    terminal = Terminal("batch", "rows.jsonl", "-o", "out", *SHORT, *slow, columns=columns)
    assert terminal.leave() == 0
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", terminal.seen) if line.strip()]
    assert max(map(len, lines)) <= columns
    # the catalogue's usual time, before rows have ended
    expected = re.compile(r"^0/8 ━+ 0:0[1-9], about 0:\d\d left, \$0.00 of \$3.00$")
    assert any(expected.search(line) for line in lines), lines
    assert any(re.match(r"[5-7]/8 .* 0:\d\d, about 0:\d\d left, ", line) for line in lines), "its own pace"
    summary = [line.split() for line in lines if "/8" not in line and "checking" not in line]
    assert [words[0] for words in summary if words[0].isalpha()] == ["rows", "succeeded", "spent", "results"]


def test_a_pipe_hears_now_and_then(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videogen_core.cli.batch._SILENCE", 0.0)
    (here / "rows.jsonl").write_text("".join(f'"boat {number}"\n' for number in range(7)))
    code, _, err = run("batch", "rows.jsonl", "-o", "out", *SHORT, "--max-concurrency", "1")
    assert code == 0
    assert re.search(r"^6 of 7 made, \d+ s so far, about \d+ s left$", err, re.M), err
    assert re.search(r"^7 of 7 made, \d+ s so far$", err, re.M), err
    assert "\x1b" not in err


# --- its budget


def test_the_budget_of_a_batch_that_is_over_is_kept_and_not_in_the_way(run: Run, here: Path) -> None:
    assert run("batch", "rows.csv", "-o", "out", *SHORT, "--budget", "2").code == 0
    code, out, err = run("budgets")
    assert (code, out) == (0, "")
    assert "Left out: the budget of a batch that is over. --all shows all." in err
    run("budgets", "set", "batch", "--limit", "9", "--tag", f"batch={here / 'out'}")  # a user's own
    out = run("budgets").out
    assert "$9.00" in out
    assert "$2.00" not in out
    assert "$2.00" in run("budgets", "--all").out
    assert len(json.loads(run("budgets", "--json").out)["budgets"]) == 2
    assert "$2.00" in run("budgets", f"batch {here / 'out'}").out


def test_the_budget_of_a_batch_is_shown_while_rows_are_under_way(run: Run, here: Path) -> None:
    code, _, _ = run(
        "batch", "rows.csv", "-o", "out", *SHORT, "-O", "sandbox.delay=60", "--budget", "2", "--timeout", "1"
    )
    assert code == 5
    assert "$2.00" in run("budgets").out
