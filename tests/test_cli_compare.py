"""``videogen compare``: prices first, a yes before money, all at the same time, a table and a contact sheet after."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import subprocess
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from test_cli import SCRIPT, Run, here, run, script
from videogen_core import Client
from videogen_core.cli.frames import pictures
from videogen_core.cli.sheet import Strip, save_sheet

__all__ = ["here", "run"]  # fixtures

PRACTICE = Path(__file__).parents[1] / "docs" / "examples" / "practice.toml"
TWO = ("-m", "practice-pro", "-m", "practice-lite", "-d", "1", "-r", "144p")  # $0.10 and $0.02
THREE = (*TWO, "-m", "practice-broke")
ROW = {"model", "offer", "estimate", "cost", "seconds", "seed", "job_id", "result", "error"}
PAPER = (27, 22, 42)


@pytest.fixture(autouse=True)
def prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(PRACTICE))


class Terminal:
    """The script with all three streams on a terminal, and somebody who answers."""

    def __init__(self, *arguments: str, columns: int = 100) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            own = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
            variables = {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40"}
            os.execve(SCRIPT, [str(SCRIPT), *arguments], {**own, **variables})
        self.seen = ""
        # a letter may come in two pieces, and the terminal's echo of a key between them
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def until(self, word: str) -> None:
        """Read until a word is there."""
        deadline = time.monotonic() + 60
        while word not in self.seen:
            assert time.monotonic() < deadline, self.seen
            assert self._read(), self.seen

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def leave(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            pass
        os.close(self._end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bool:
        try:
            if select.select([self._end], [], [], 0.2)[0]:
                data = os.read(self._end, 65536)
                self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._decoder.decode(data))
                return bool(data)
        except OSError:  # the other end was closed
            return False
        return True


# --- before anything is spent


def test_a_script_must_say_yes(run: Run, here: Path) -> None:
    answer = run("compare", "a boat", *TWO)
    assert (answer.code, answer.out) == (2, "")
    assert re.search(r"sandbox/practice-pro +\$0.10 .*\nsandbox/practice-lite +\$0.02 ", answer.err)
    assert "All together: up to $0.12." in answer.err
    assert "hint: Say --yes" in answer.err
    assert run("compare", "a boat", *TWO, "--json").json["error"]["type"] == "RequestError"
    assert run("jobs", "--json").json["jobs"] == []
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((*TWO, "--max-cost", "0.11"), 3, "up to $0.12, and --max-cost is $0.11"),
        ((*TWO, "--max-cost", "much"), 2, "expected US dollars"),
        (("-m", "practice-pro"), 2, "two models or more"),
        ((), 2, "two models or more"),
        (("-m", "practice-pro", "-m", "sandbox/practice-pro"), 2, "the same offer, sandbox/practice-pro"),
        (("-m", "practice-pro", "-m", "practice-life"), 2, "practice-lite"),
        ((*TWO, "--seed", "7"), 2, "it takes no seed"),
        ((*THREE, "-r", "1080p"), 2, "3 of the models cannot make this clip"),
    ],
)
def test_what_cannot_be_compared_is_refused(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    answer = run("compare", "a boat", *arguments, "--yes")
    assert (answer.code, answer.out) == (code, "")
    assert words in answer.err
    assert run("jobs", "--json").json["jobs"] == []


def test_a_price_that_nobody_knows_is_no_part_of_a_limit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.toml").write_text(re.sub(r"prices = \[\{ amount = 0.02.*\n", "", PRACTICE.read_text()))
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(tmp_path / "c.toml"))
    answer = run("compare", "a boat", *TWO, "--max-cost", "1", "--yes")
    assert (answer.code, answer.out) == (2, "")
    assert "The price of sandbox/practice-lite is unknown" in answer.err
    answer = run("compare", "a boat", *TWO, "--max-cost", "1", "--yes", "--allow-unknown-price", "--json", "-q")
    assert answer.code == 0, answer.out
    limits = {job["id"]: job["max_cost"] for job in run("jobs", "--json").json["jobs"]}
    assert sum(map(Decimal, limits.values())) == 1, limits


def test_files_in_the_way_are_seen_before_anything_is_spent(run: Run, here: Path) -> None:
    (here / "out").mkdir()
    (here / "out" / "sandbox-practice-lite.mp4").write_bytes(b"mine")
    answer = run("compare", "a boat", *TWO, "--yes", "-o", "out")
    assert (answer.code, "is there already" in answer.err) == (2, True)
    assert run("jobs", "--json").json["jobs"] == []
    assert run("compare", "a boat", *TWO, "--yes", "-o", "out", "--overwrite", "-q").code == 0


# --- made


def test_one_that_fails_does_no_harm(run: Run, here: Path) -> None:
    answer = run(
        "compare", "a boat", *THREE, "--yes", "-o", "out", "-O", "sandbox.delay=1", "--tag", "team=ads", "--json"
    )
    assert answer.code == 4, answer.out
    document = answer.json
    assert set(document) == {"prompt", "rows", "cost", "sheet"}
    pro, lite, broke = document["rows"]
    assert all(set(row) == ROW for row in document["rows"])
    assert (pro["model"], pro["offer"], pro["estimate"]["high"]) == ("practice-pro", "sandbox/practice-pro", "0.10")
    assert Path(pro["result"]["path"]) == here / "out" / "sandbox-practice-pro.mp4"
    assert (lite["error"], broke["result"], broke["error"]["type"]) == (None, None, "InsufficientCreditsError")
    assert Path(document["sheet"]) == here / "out" / "contact-sheet.png"
    jobs = run("jobs", "--tag", "team=ads", "--json").json["jobs"]
    assert {job["id"] for job in jobs} == {row["job_id"] for row in document["rows"]}
    assert {job["max_cost"] for job in jobs} == {"0.10", "0.02", "0.01"}, "no more than was agreed to"


def test_they_are_made_at_the_same_time(run: Run) -> None:
    code, out, _ = run("compare", "a boat", *TWO, "--yes", "-o", "out", "-O", "sandbox.delay=1", "--json", "-q")
    assert code == 0, out
    spans = []
    for row in run("jobs", "--json").json["jobs"]:
        events = {event["type"]: _at(event) for event in run("jobs", row["id"], "--json").json["events"]}
        spans.append((events["accepted"], events["settled"]))
    assert max(begin for begin, _ in spans) < min(end for _, end in spans), spans


def _at(event: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(event["at"])


@pytest.mark.parametrize("columns", ["60", "100", "200"])
def test_the_table_fits(run: Run, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    answer = run("compare", "a boat", *TWO, "--yes", "-o", "out", "-O", "sandbox.cost=0.02")
    head, pro, lite, *rest = answer.out.splitlines()
    assert re.search(r"^model +price +time", head)
    assert re.search(r"^sandbox/practice-pro +\$0.02 +\S+ s", pro)
    assert re.search(r"^sandbox/practice-lite +\$0.02 +\S+ s", lite)
    assert "contact-sheet.png" in rest[-1]
    if columns != "60":
        assert "256x144, 1 s" in pro
        assert "sandbox-practice-pro.mp4" in pro
    assert max(map(len, (head, pro, lite))) <= int(columns)


# --- somebody at a terminal


def test_a_person_is_asked_and_may_say_no(here: Path) -> None:
    terminal = Terminal("compare", "a boat", *TWO, "-o", "out")
    terminal.until("Spend up to $0.12? [y/N]")
    terminal.type("n\n")
    assert terminal.leave() == 130
    assert "Nothing was sent." in terminal.seen
    assert not (here / "out").exists()


def test_a_person_who_says_yes_sees_a_bar_for_each(here: Path) -> None:
    terminal = Terminal("compare", "a boat", *THREE, "-o", "out", "-O", "sandbox.delay=1")
    terminal.until("[y/N]")
    terminal.type("y\n")
    assert terminal.leave() == 4
    for word in ("running", "usually 0:20", "━", "sandbox/practice-broke", "╭─ error ─", "contact-sheet.png"):
        assert word in terminal.seen, terminal.seen
    assert (here / "out" / "contact-sheet.png").exists()


def test_the_same_command_goes_on_after_ctrl_c_and_makes_the_sheet(here: Path) -> None:
    command = ("compare", "a boat", *TWO, "-O", "sandbox.delay=4", "--yes")
    terminal = Terminal(*command, columns=140)
    terminal.until("running")
    time.sleep(1)  # both
    terminal.type("\x03")
    assert terminal.leave() == 130
    said = " ".join(re.sub("[│╭╮╰╯─]", " ", terminal.seen).split())
    (folder,) = re.findall(r"The same command with `-o (\S+)` goes on with the clips, pays for none twice", said)
    assert "videogen resume" not in said
    begun = {job["id"] for job in script("jobs", "--unfinished", "--json").json["jobs"]}
    assert len(begun) == 2
    assert not (here / folder / "contact-sheet.png").exists()

    answer = script(*command, "-o", folder, "--json")
    assert answer.code == 0, answer
    assert {row["job_id"] for row in answer.json["rows"]} == begun
    assert Path(answer.json["sheet"]) == here / folder / "contact-sheet.png"
    assert {job["id"] for job in script("jobs", "--json").json["jobs"]} == begun, "nothing was made twice"


def test_a_killed_comparison_goes_on_even_if_nothing_is_left_of_the_budget(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOGEN_POLL_INTERVAL", "0.2")
    assert run("budgets", "set", "all", "--limit", "0.12", "--period", "total").code == 0
    command = ("compare", "a boat", *TWO, "-O", "sandbox.delay=4", "-O", "sandbox.cost=0.02", "--yes", "-o", "out")
    process = subprocess.Popen([str(SCRIPT), *command], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    begun = set()
    while len(begun) < 2:
        line = process.stderr.readline()
        assert line, "it ended"
        begun |= {line.partition(":")[0]} if "queued" in line else set()
    process.kill()
    process.wait()
    process.stderr.close()

    answer = run(*command)
    assert answer.code == 0, answer
    assert len(re.findall(r"^sandbox/practice-\w+ +under way +.*costs nothing more", answer.err, re.M)) == 2
    assert (here / "out" / "contact-sheet.png").exists()
    assert len(run("jobs", "--json").json["jobs"]) == 2
    assert run("costs", "--json").json["total"]["spent"] == "0.04"


def test_what_is_made_already_is_not_made_again_unless_asked_for(run: Run, here: Path) -> None:
    command = ("compare", "a boat", *THREE, "--yes", "-o", "out")
    assert run(*command, "-q").code == 4
    first = {job["id"] for job in run("jobs", "--json").json["jobs"]}
    (here / "out" / "sandbox-practice-lite.mp4").unlink()

    answer = run(*command)
    assert answer.code == 4
    assert re.search(r"^sandbox/practice-pro +made ", answer.err, re.M)
    assert "All together: up to $0.03" in answer.err, "the one that is gone and the one that failed"
    assert len(run("jobs", "--json").json["jobs"]) == 5

    assert run(*command, "-q", "--json", "--overwrite").code == 4
    jobs = run("jobs", "--json").json["jobs"]
    assert len(jobs) == 8
    assert {job["tags"]["compare"] for job in jobs} == {str(here / "out")}
    assert first < {job["id"] for job in jobs}
    assert "is the command's own" in run(*command, "--tag", "compare=x").err


# --- the picture


def is_paper(sheet: Image.Image, box: tuple[int, int, int, int]) -> bool:
    (only,) = sheet.crop(box).getcolors(maxcolors=100_000) or [None]
    colour = only[1] if only is not None else None
    return isinstance(colour, tuple) and all(abs(a - b) < 6 for a, b in zip(colour, PAPER, strict=True))


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wide clip and an upright one."""
    folder = tmp_path_factory.mktemp("clips")
    found = {}
    with Client(home=folder / "home") as client:
        for name, shape in {"wide": "16:9", "upright": "9:16"}.items():
            found[name] = folder / f"{name}.mp4"
            client.generate(
                "a boat", model="sandbox", duration=1, resolution="144p", aspect_ratio=shape, output=found[name]
            )
    return found


def test_words_of_any_length_stay_within_the_sheet(tmp_path: Path, clips: dict[str, Path]) -> None:
    long = "a paper boat drifting down a rainy street 雨の街 " * 40
    strips = [
        Strip("provider/" + "very-long-name-" * 30, "$123,456.00", "remark " * 60, clips["wide"]),
        Strip("a/b", "$1" * 200, "remark", clips["upright"]),
        Strip("a/c", "", "No clip: " + "because " * 80, None),
    ]
    save_sheet(tmp_path / "sheet.png", long, strips)
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = opened.convert("RGB")
    assert sheet.format is None
    assert is_paper(sheet, (0, 0, 20, sheet.height))
    assert is_paper(sheet, (sheet.width - 20, 0, sheet.width, sheet.height))
    assert is_paper(sheet, (0, sheet.height - 12, sheet.width, sheet.height))


def test_frames_come_from_all_over_a_clip_in_its_shape(clips: dict[str, Path]) -> None:
    for name, shape in {"wide": (200, 112), "upright": (112, 200)}.items():
        frames = pictures(clips[name], 3, 200, 200)
        assert [frame.size for frame in frames] == [shape] * 3
        assert len({frame.tobytes() for frame in frames}) == 3, "they differ"


def test_a_clip_that_cannot_be_decoded_costs_no_sheet(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 20)
    assert pictures(tmp_path / "bad.mp4", 3, 200, 200) == []
    assert pictures(tmp_path / "none.mp4", 3, 200, 200) == []
    save_sheet(tmp_path / "sheet.png", "a boat", [Strip("a/b", "$1", "", tmp_path / "bad.mp4")])
    assert (tmp_path / "sheet.png").exists()


def test_the_decoder_is_told_no_secret(tmp_path: Path, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    told: dict[str, Any] = {}
    real = subprocess.run

    def spy(*arguments: Any, **options: Any) -> Any:
        told.update(options)
        return real(*arguments, **options)

    monkeypatch.setenv("ACME_API_KEY", "hush-hush")
    monkeypatch.setattr(subprocess, "run", spy)
    assert len(pictures(clips["wide"], 2, 100, 100)) == 2
    assert "hush-hush" not in str(told["env"])
