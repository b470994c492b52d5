"""The command line as a user meets it: the real script in a pipe and on a terminal, and every command's output."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from videogen_core import ModelSpec
from videogen_core.cli import main

SCRIPT = Path(sys.executable).with_name("videogen")
SHORT = ("-m", "sandbox", "-d", "1", "-r", "144p", "--fps", "8")
JOB_ID = re.compile(r"vg-\d{8}-\d{6}-[0-9a-f]{10}")

PAID = """
[override."sandbox/sandbox"]
prices = [{ amount = 0.25, label = "as if" }]
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every command runs in a folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("COLUMNS", raising=False)
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run(*arguments: str) -> Answer:
        code = main(arguments)
        out, err = capsys.readouterr()
        return Answer(code, out, err)

    return run


def script(*arguments: str, stdin: str | bytes | None = None, **environment: str) -> Answer:
    """Run the installed script."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [str(SCRIPT), *arguments],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def started(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start the script and wait until the provider has the job; with it comes the job's id."""
    process = subprocess.Popen(
        [str(SCRIPT), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "queued" in line:
            return process, JOB_ID.findall(line)[0]
    raise AssertionError(f"it was never queued: {process.wait()}")


# --- making clips


def test_generate_in_a_pipe_prints_the_path_and_nothing_else(here: Path) -> None:
    code, out, err = script("generate", "a paper boat", *SHORT)
    path = Path(out.rstrip("\n"))
    assert (code, out) == (0, f"{path}\n")
    assert path.parent == here
    assert path.name.startswith("sandbox-vg-")
    assert path.read_bytes()[4:8] == b"ftyp"
    assert "\x1b" not in err
    for word in ("queued", "256x144", "free", "placeholder"):
        assert word in err


def test_generate_without_any_provider_says_so_and_what_to_set_up(run: Run, here: Path) -> None:
    code, out, err = run("generate", "a boat", "-d", "1", "-r", "144p", "-o", "boat.mp4")
    assert (code, out) == (0, f"{here / 'boat.mp4'}\n")
    assert "No provider is ready" in err
    assert "pip install videogen-veo" in err


def test_a_placeholder_that_was_asked_for_needs_no_excuse(run: Run) -> None:
    assert "No provider is ready" not in run("generate", "a boat", *SHORT).err


def test_generate_as_json(run: Run) -> None:
    code, out, err = run("generate", "a boat", *SHORT, "--audio", "--json", "--quiet")
    result = json.loads(out)
    assert (code, err) == (0, "")
    assert set(result) == {
        "job_id", "model", "provider", "path", "videos", "cost", "attempts", "changes", "placeholder", "cached",
    }  # fmt: skip
    assert result["placeholder"] is True
    assert Decimal(result["cost"]) == 0
    (video,) = result["videos"]
    assert (video["width"], video["height"], video["duration"], video["has_audio"]) == (256, 144, 1.0, True)


def test_the_prompt_comes_from_standard_input(here: Path) -> None:
    assert script("generate", "-", *SHORT, "-o", "a.mp4", stdin="a boat\n").code == 0
    (job,) = script("jobs", "--json").json["jobs"]
    assert job["request"]["prompt"] == "a boat"


def test_every_option_reaches_the_library(run: Run, here: Path) -> None:
    arguments: tuple[str, ...] = (
        *SHORT,
        "-a",
        "1:1",
        "--no-audio",
        "--seed",
        "7",
        "-n",
        "2",
        "--negative-prompt",
        "rain",
    )
    arguments += ("--camera", "push in", "--camera", "tilt up", "-O", "sandbox.delay=0", "-O", 'sandbox.fail_at="poll"')
    arguments += ("--max-cost", "1.50", "--fit", "nearest", "--tag", "team=ads", "--tag", "run=1", "--no-fallback")
    arguments += ("--idempotency-key", "k1", "--fallback-on-policy", "--allow-unknown-price", "--prefer", "cheapest")
    arguments += ("--on-unknown", "resubmit")
    answer = run("generate", "a boat", *arguments, "-o", "clips/{model}.mp4", "--overwrite", "-q")
    assert answer.code == 0, answer.err
    assert [Path(line).name for line in answer.out.split()] == ["sandbox-1.mp4", "sandbox-2.mp4"]
    job = run("jobs", JOB_ID.findall(run("jobs").out)[0], "--json").json
    request = job["request"]
    assert request["options"] == {"sandbox": {"delay": 0, "fail_at": "poll"}}
    assert (request["camera"], request["seed"], request["count"]) == (["push in", "tilt up"], 7, 2)
    assert (request["aspect_ratio"], request["audio"], request["fps"]) == ("1:1", False, 8.0)
    assert (job["tags"], job["max_cost"], job["fit"]) == ({"team": "ads", "run": "1"}, "1.50", "nearest")
    assert (job["idempotency_key"], job["fallback_on_policy"], job["overwrite"]) == ("k1", True, True)
    assert job["on_unknown"] == "resubmit"
    assert job["output"] == str(here / "clips/{model}.mp4")


def test_images_are_taken(run: Run, here: Path) -> None:
    from PIL import Image

    for name in ("first.png", "last.png", "look.png"):
        Image.new("RGB", (320, 180), "red").save(here / name)
    answer = run("generate", "x", *SHORT, "-i", "first.png", "--last-frame", "last.png", "--json", "-q")
    assert answer.code == 0, answer.out
    assert run("check", "-m", "sandbox", "--reference-image", "look.png", "--reference-image", "first.png").code == 0


def test_a_job_outlives_its_command(run: Run, here: Path) -> None:
    submitted = script("submit", "a boat", *SHORT, "-O", "sandbox.delay=0.5", "-o", "boat.mp4")
    job_id = submitted.out.strip()
    assert submitted.code == 0
    assert JOB_ID.fullmatch(job_id)
    assert f"videogen resume {job_id}" in submitted.err
    assert [job["id"] for job in run("jobs", "--unfinished", "--json").json["jobs"]] == [job_id]
    resumed = script("resume", job_id)
    assert (resumed.code, resumed.out) == (0, f"{here / 'boat.mp4'}\n")
    assert (here / "boat.mp4").exists()
    assert run("resume").err == "Nothing to resume.\n"


def test_resume_takes_up_all_that_is_left(run: Run, here: Path) -> None:
    jobs = [run("submit", f"boat {n}", *SHORT, "-O", "sandbox.delay=0.2", "-q").out.strip() for n in range(2)]
    jobs.append(run("submit", "x", *SHORT, "-O", "sandbox.refuse=true", "-q").out.strip())
    answer = run("resume", "--json", "-q")
    assert answer.code == 4
    rows = answer.json["jobs"]
    assert [row["job_id"] for row in rows] == jobs
    assert [row["result"] is None for row in rows] == [False, False, True]
    assert [row["error"] and row["error"]["type"] for row in rows] == [None, None, "ContentPolicyError"]


def test_resume_to_another_place(run: Run, here: Path) -> None:
    jobs = [run("submit", "a boat", *SHORT, "-q").out.strip() for _ in range(2)]
    assert run("resume", *jobs, "-o", "one.mp4").code == 2
    answer = run("resume", *jobs, "-o", "clips/")
    assert answer.code == 0
    assert {Path(line).parent for line in answer.out.split()} == {here / "clips"}


def test_cancel(run: Run) -> None:
    job_id = run("submit", "a boat", *SHORT, "-O", "sandbox.delay=60").out.strip()
    assert run("cancel", job_id).out == "cancelled\n"
    again = run("cancel", job_id, "--json")
    assert (again.code, again.json["error"]["type"]) == (2, "RequestError")
    assert run("jobs", "--status", "cancelled", "--json").json["jobs"][0]["id"] == job_id


# --- interrupted, timed out


def test_ctrl_c_says_how_to_resume_and_resume_does(here: Path) -> None:
    process, job_id = started("generate", "a boat", *SHORT, "-O", "sandbox.delay=2", "-o", "boat.mp4")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert err.count(f"videogen resume {job_id}") == 1, "the library's own warning is not shown beside ours"
    assert "Traceback" not in err
    resumed = script("resume", job_id)
    assert (resumed.code, resumed.out) == (0, f"{here / 'boat.mp4'}\n")


def test_ctrl_c_as_json() -> None:
    process, job_id = started("generate", "a boat", *SHORT, "-O", "sandbox.delay=60", "--json")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    error = json.loads(out)["error"]
    assert (process.returncode, error["type"], error["job_id"]) == (130, "StoppedError", job_id)


def test_sigterm_is_as_good() -> None:
    process, job_id = started("generate", "a boat", *SHORT, "-O", "sandbox.delay=60")
    process.terminate()
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143
    assert err.count(f"videogen resume {job_id}") == 1


def test_a_second_ctrl_c_leaves_at_once() -> None:
    code = """
import time
from videogen_core.cli.interrupts import interruptible, under_way
with interruptible():
    under_way["vg-1"] = None
    try:
        print("ready", flush=True)
        time.sleep(30)
    except KeyboardInterrupt:
        print("stopping", flush=True)
        time.sleep(30)
"""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    for word in ("ready\n", "stopping\n"):
        assert process.stdout.readline() == word
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 130
    assert "videogen resume vg-1" in err


def test_what_the_library_warns_of_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    from videogen_core.cli.notices import library_warnings
    from videogen_core.cli.screen import Screen

    logger = logging.getLogger("videogen")
    for quiet in (False, True):
        with library_warnings(Screen(quiet=quiet)):
            logger.warning("clips are decoded %s", "here")
            logger.info("nobody wants to know")
    assert capsys.readouterr() == ("", "warning: clips are decoded here\n")
    assert logger.handlers == []


def test_a_timeout_is_resumable(run: Run) -> None:
    code, out, err = run("generate", "a boat", *SHORT, "-O", "sandbox.delay=60", "--timeout", "0.3", "-q")
    assert (code, out) == (5, "")
    assert f"videogen resume {JOB_ID.findall(err)[0]}" in err


# --- progress


def on_terminal(
    *arguments: str, columns: int = 100, term: str = "xterm-256color", **variables: str
) -> tuple[int, str, str]:
    """Run the script with standard error on a terminal; its output, and what the terminal got."""
    terminal, end = pty.openpty()
    own = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    environment = {**own, "TERM": term, "COLUMNS": str(columns), **variables}
    process = subprocess.Popen(
        [str(SCRIPT), *arguments], stdout=subprocess.PIPE, stderr=end, stdin=subprocess.DEVNULL, env=environment
    )
    os.close(end)
    seen = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                seen += os.read(terminal, 65536)
            except OSError:  # the other end was closed
                break
    out, _ = process.communicate(timeout=10)
    os.close(terminal)
    return process.returncode, out.decode(), seen.decode()


def test_a_terminal_gets_a_bar_with_stage_and_times(here: Path) -> None:
    code, out, seen = on_terminal("generate", "a boat", *SHORT, "-O", "sandbox.delay=1.5", "-o", "boat.mp4")
    assert (code, out) == (0, f"{here / 'boat.mp4'}\n")
    for word in ("━", "running", "usually 0:02", "sandbox/sandbox", "%"):
        assert word in seen, seen
    assert str(here / "boat.mp4") not in seen


def test_an_error_on_a_terminal_stands_in_a_box() -> None:
    code, out, seen = on_terminal("generate", "x", "-m", "nope", columns=60)
    assert (code, out) == (2, "")
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).strip() for line in seen.splitlines()]
    assert any(line.startswith("╭─ error ─") for line in lines)
    assert max(map(len, lines)) <= 60


def test_no_color_is_respected() -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    assert coloured.search(on_terminal("generate", "x", "-m", "nope")[2])
    assert coloured.search(on_terminal("generate", "x", "-m", "nope", NO_COLOR="1")[2]) is None


# --- what can be known before


def test_models_is_a_table(run: Run) -> None:
    head, row = run("models").out.splitlines()
    for title in (
        "model",
        "provider",
        "tasks",
        "seconds",
        "resolution",
        "audio",
        "per second",
        "tier",
        "stage",
        "ready",
    ):
        assert title in head
    assert re.fullmatch(
        r"sandbox +sandbox +videogen +text image .* +0.5-60 +144p-1080p +optional +free +economy +ga +yes", row
    )


@pytest.mark.parametrize("columns", ["40", "60", "80", "140"])
def test_a_table_fits_its_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for command in (["models"], ["models", "sandbox"], ["plugins"], ["config"], ["doctor"], ["jobs"]):
        out = run(*command).out
        if columns != "40":
            assert max(map(len, out.splitlines()), default=0) <= int(columns), command


def test_models_filters(run: Run) -> None:
    assert run("models", "--task", "extend_video", "--audio", "-d", "5", "-r", "1080p", "--ready").out
    assert run("models", "--max-price-per-second", "0", "--quality", "economy", "--provider", "sandbox").out
    for nothing in (("--task", "animate_character"), ("-d", "100"), ("--not-ready",), ("--quality", "premium")):
        answer = run("models", *nothing)
        assert (answer.code, answer.out) == (0, ""), nothing
        assert run("models", *nothing, "--json").json["models"] == []


def test_models_as_json_are_catalogue_rows(run: Run) -> None:
    document = run("models", "--json").json
    (row,) = document["models"]
    assert document["not_ready"] == {}
    assert (row["id"], row["model"], row["prices"][0]["amount"]) == ("sandbox/sandbox", "sandbox", "0")
    schema = run("models", "--json-schema").json
    properties = schema["$defs"]["ModelSpec"]["properties"]
    assert set(row) == set(properties), "every field is there, set or not"
    assert msgspec.convert(row, ModelSpec, strict=False).id == "sandbox/sandbox"


def test_one_model_in_detail(run: Run) -> None:
    out = run("models", "sandbox/sandbox").out
    for word in ("text_to_video", "0.5-60", "sandbox.delay", "placeholder", "videogen-core, read on", "push in"):
        assert word in out
    answer = run("models", "sandbux")
    assert answer.code == 2
    assert "sandbox" in answer.err


FOLDING = """
source = "https://acme.example"
as_of = 2026-11-20
[[models]]
id = "acme/reel"
negative_prompt = "fold"
[[models.modes]]
tasks = ["text_to_video"]
[models.options.fold]
type = "boolean"
"""


def test_a_card_says_what_becomes_of_a_negative_prompt(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(name: str) -> str:
        (line,) = (line for line in run("models", name).out.splitlines() if line.startswith("negative prompt"))
        return line.removeprefix("negative prompt").strip()

    rows = {"reel": FOLDING, "none": FOLDING.replace('negative_prompt = "fold"\n', "")}
    for name, row in rows.items():
        (tmp_path / "models.toml").write_text(row.replace("acme/reel", f"acme/{name}"))
        monkeypatch.setenv("VIDEOGEN_CATALOG", str(tmp_path / "models.toml"))
        rows[name] = shown(f"acme/{name}")
    assert rows == {"reel": "folded into the prompt, with acme.fold=true", "none": "no"}
    assert shown("sandbox") == "yes"


def test_estimate(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.toml").write_text(PAID)
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(tmp_path / "prices.toml"))
    out = run("estimate", "-m", "sandbox", "-d", "8").out
    assert re.search(r"as if +8 s +\$0.25 +\$2.00 +\$2.00", out)
    assert re.search(r"total +\$2.00", out)
    assert re.search(r"source +videogen-core, read on \d{4}-", out)
    quote = run("estimate", "-m", "sandbox", "-d", "8", "--json").json
    assert (quote["low"], quote["high"], quote["currency"], quote["lines"][0]["quantity"]) == (
        "2.00",
        "2.00",
        "USD",
        "8.00",
    )


def test_route(run: Run) -> None:
    answer = run("route", "-m", "sandbox", "-d", "2")
    assert answer.code == 0
    assert re.search(r"^chosen +sandbox/sandbox", answer.out, re.M)
    document = run("route", "-m", "sandbox", "--json").json
    assert document["chosen"] == "sandbox/sandbox"
    assert set(document) == {"chosen", "candidates", "rejected", "prepared", "ranked_by"}


def test_route_shows_what_generate_would_do(run: Run) -> None:
    answer = run("route")
    assert answer.code == 0
    assert "chosen" in answer.out
    assert "would make a placeholder" in answer.err


def test_a_route_to_nowhere(run: Run) -> None:
    answer = run("route", "-m", "sandbox", "-d", "100")
    assert answer.code == 2
    assert "refused" in answer.out
    assert "allowed: 0.5 to 60" in answer.err
    refused = run("route", "-m", "sandbox", "-d", "100", "--json")
    assert (refused.code, refused.json["chosen"], refused.err) == (2, None, "")


def test_check(run: Run) -> None:
    assert run("check", "-m", "sandbox", "-d", "2") == (0, "valid\n", "")
    answer = run("check", "a boat", "-m", "sandbox", "-d", "100", "-r", "4k")
    assert answer.code == 2
    assert "duration: 100" in answer.out
    assert "resolution: '4k'" in answer.out
    assert "The nearest request that works: --duration 60 --resolution 1080p" in answer.out
    document = run("check", "a boat", "-m", "sandbox", "-d", "100", "--json").json
    assert document["valid"] is False
    assert document["violations"][0]["nearest_request"] == {"duration": 60.0}


# --- jobs


def test_jobs_list_and_one_job(run: Run) -> None:
    assert run("jobs").err == "No jobs.\n"
    run("generate", "a boat in the rain", *SHORT, "--tag", "team=ads", "-q")
    job_id = run("generate", "x", *SHORT, "-O", "sandbox.refuse=true", "--json", "-q").json["error"]["job_id"]
    lines = run("jobs").out.splitlines()
    assert len(lines) == 3
    assert re.match(rf"{job_id} +failed +sandbox/sandbox", lines[1])
    assert "a boat in the rain" in lines[2]
    assert len(run("jobs", "--limit", "1").out.splitlines()) == 2
    assert len(run("jobs", "--tag", "team=ads").out.splitlines()) == 2
    card = run("jobs", job_id).out
    for word in ("content policy", "attempt", "accepted", "submitting", "released"):
        assert word in card
    document = run("jobs", job_id, "--json").json
    assert [event["type"] for event in document["events"]][:3] == ["created", "submitting", "accepted"]


# --- the installation


def test_plugins(run: Run) -> None:
    answer = run("plugins")
    assert re.search(r"sandbox +videogen-core +\S+ +2 +loaded +1 +yes", answer.out)
    rows = {row["name"]: row for row in run("plugins", "--json").json["plugins"]}
    assert rows.keys() == {"sandbox", "otel"}
    row = rows["sandbox"]
    assert (row["state"], row["ready"], row["error"]) == ("loaded", True, None)


def test_config(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "videogen.toml").write_text("timeout = 60\n[providers.veo]\napi_key = 'hush-hush'\n")
    (here / "videogen.toml").chmod(0o600)
    answer = run("config")
    assert re.search(r"timeout +60.0 +\S*videogen.toml", answer.out)
    assert re.search(r"home +\S+ +environment", answer.out)
    assert "hush-hush" not in answer.out
    monkeypatch.setenv("VIDEOGEN_LEDGER", "postgresql://me:hush-hush@host/db?password=hush-hush")
    answer = run("config", "--json")
    assert "hush-hush" not in answer.out
    assert {row["name"]: row["source"] for row in answer.json["settings"]}["timeout"].endswith("videogen.toml")
    assert [Path(row["path"]).name for row in answer.json["files"] if row["found"]] == ["videogen.toml"]


def test_version_and_help(run: Run) -> None:
    assert re.fullmatch(r"videogen \d+\.\d+\S*\n", run("--version").out)
    assert run().code == 0
    assert run("-h").out == run().out
    commands = ("generate", "submit", "models", "route", "estimate", "check", "jobs", "resume", "cancel", "plugins")
    for command in (*commands, "doctor", "config"):
        assert command in run().out
        text = run(command, "--help").out
        assert "Example" in text
        assert f"videogen {command}" in text
        assert "--json" in text


def test_completion() -> None:
    words = {"_VIDEOGEN_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    assert script(COMP_WORDS="videogen generate --prefer ", **words).out.split() == [
        "cheapest", "fastest", "best", "balanced",
    ]  # fmt: skip
    assert "sandbox/sandbox" in script(COMP_WORDS="videogen generate -m san", **words).out


@pytest.mark.parametrize("command", ["--help", "models", "estimate -m sandbox", "route -m sandbox", "check -m sandbox"])
def test_looking_is_light(command: str) -> None:
    code = f"""
import sys
from videogen_core.cli import main
assert not {{"typer", "rich"}} & set(sys.modules)
assert main({command.split()!r}) == 0
print("loaded:", sorted({{"httpx", "apsw", "av", "PIL", "asyncio"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "loaded: []", done.stderr


def test_a_reader_that_goes_away_is_no_error() -> None:
    for command in ("models --json-schema", "models", "jobs"):
        line = f"set -o pipefail; '{SCRIPT}' {command} | true"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30)
        assert done.stderr in ("", "No jobs.\n")
        assert done.returncode in (0, 141)
