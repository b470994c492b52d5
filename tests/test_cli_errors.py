"""What the command line says when something is wrong: a sentence, a hint and an exit code, never a traceback."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import videogen_core.plugins
from test_cli import JOB_ID, SCRIPT, SHORT, Answer, Run, here, run, script
from videogen_core.cli import main

__all__ = ["here", "run"]  # fixtures

MAKE = ("generate", "a boat", *SHORT)

PLUGINS = {
    "acme": """
        from videogen_core import MissingCredentialsError, Provider, Session, hookimpl

        class Acme(Provider):
            name, setup, console = "acme", "Set ACME_KEY.", "acme.example/console"
            def models(self): return ()
            def check_ready(self, environment, settings):
                if "ACME_KEY" not in environment:
                    raise MissingCredentialsError("ACME_KEY is not set.")
            def connect(self, context): return Talk()

        class Talk(Session):
            async def submit(self, call): raise ConnectionResetError("no answer from acme")
            async def poll(self, job): ...
            async def ping(self): raise ConnectionError("no route to acme")

        @hookimpl
        def videogen_provider(): return Acme()
    """,
    "broken": "raise RuntimeError('it is broken')",
    "rude": "raise SystemExit(7)",
}


ACME = """
source = "https://acme.example"
as_of = 2026-11-20
[[models]]
id = "acme/reel"
default = { duration = 4, resolution = "720p", aspect_ratio = "16:9" }
prices = [{ amount = 0.10 }]
[[models.modes]]
tasks = ["text_to_video"]
durations = [4]
resolutions = ["720p"]
aspect_ratios = ["16:9"]
"""


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three more plugins: one without its key, one that cannot be imported, one that ends the program."""
    entry_points = list(videogen_core.plugins._entry_points())
    for name, source in PLUGINS.items():
        (tmp_path / f"cli_{name}.py").write_text(textwrap.dedent(source))
        entry_points.append(importlib.metadata.EntryPoint(name, f"cli_{name}", videogen_core.plugins.GROUP))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(videogen_core.plugins, "_entry_points", lambda: tuple(entry_points))
    yield
    for name in PLUGINS:
        sys.modules.pop(f"cli_{name}", None)


def plain(answer: Answer) -> None:
    """One error, said properly, and nothing on standard output."""
    assert answer.out == ""
    assert answer.err.count("error: ") == 1
    assert "Traceback" not in answer.err
    assert "Internal error" not in answer.err


# --- bad input: exit code 2 before anything is spent


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-d", "abc"], "duration"),
        (["-d", "nan"], "duration"),
        (["-d", "inf"], "duration"),
        (["-d", "-1"], "duration"),
        (["-d", "0"], "duration"),
        (["-d", "100"], "0.5 to 60"),
        (["-r", "4k"], "144p"),
        (["-r", "sharp"], "resolution"),
        (["-a", "wide"], "aspect_ratio"),
        (["-a", "0:9"], "aspect_ratio"),
        (["--fps", "1000000"], "fps"),
        (["--seed", "-1"], "seed"),
        (["--seed", "1.5"], "--seed"),
        (["-n", "0"], "count"),
        (["-n", "many"], "--count"),
        (["-n", "5"], "count"),
        (["--image", "missing.png"], "missing.png"),
        (["--image", "."], "image"),
        (["--image", "text.txt"], "image"),
        (["--image", ""], "image"),
        (["--image", "ftp://example.com/a.png"], "image"),
        (["--last-frame", "missing.png"], "last_frame"),
        (["--reference-image", "missing.png"], "reference_images"),
        (["--video", "missing.mp4"], "missing.mp4"),
        (["--task", "juggle"], "task"),
        (["--task", "image_to_video"], "image"),
        (["--camera", "somersault"], "camera"),
        (["-O", "sandbox.nope=1"], "nope"),
        (["-O", "sandbox.delay=soon"], "delay"),
        (["-O", "sandbox.delay=-1"], "delay"),
        (["-O", "sandbox.delay"], "KEY=VALUE"),
        (["-O", "delay=1"], "PROVIDER.NAME=VALUE"),
        (["-O", "sandbox.delay=1", "-O", "sandbox.delay=2"], "twice"),
        (["-O", "nobody.x=1"], "nobody"),
        (["--max-cost", "-1"], "max_cost"),
        (["--max-cost", "nan"], "max_cost"),
        (["--max-cost", "cheap"], "max_cost"),
        (["--prefer", "nicest"], "cheapest, fastest, best, balanced"),
        (["--quality", "ultra"], "economy, standard, premium"),
        (["--fit", "loose"], "exact, nearest, at_least"),
        (["--provider", "nobody"], "nobody"),
        (["-m", "no-such-model"], "no-such-model"),
        (["-m", ""], "model"),
        (["-o", ""], "output"),
        (["-o", "{nope}.mp4"], "nope"),
        (["-o", "text.txt/boat.mp4"], "text.txt"),
        (["-o", "text.txt"], "text.txt"),
        (["-o", "/proc/boat.mp4"], "/proc"),
        (["--tag", "team"], "KEY=VALUE"),
        (["--idempotency-key", ""], "idempotency_key"),
        (["--timeout", "-5"], "timeout"),
        (["--timeout", "nan"], "timeout"),
        (["--timeout", "long"], "--timeout"),
        (["--no-such-option"], "--no-such-option"),
        (["a second prompt"], "a second prompt"),
    ],
)
def test_a_wrong_argument_of_generate(run: Run, here: Path, arguments: list[str], word: str) -> None:
    (here / "text.txt").write_text("this is no picture")
    answer = run(*MAKE, *arguments, "-q")
    assert answer.code == 2, answer.err
    assert word in answer.err
    plain(answer)
    left = run("jobs", "--json").json["jobs"]
    assert [job for job in left if job["attempts"]] == [], "something was sent"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["frobnicate"], "frobnicate"),
        (["generat", "x"], "generate"),
        (["models", "--task", "juggle"], "task"),
        (["models", "--max-price-per-second", "-1"], "max_price_per_second"),
        (["models", "--provider", "nobody"], "nobody"),
        (["models", "--quality", "ultra"], "economy"),
        (["models", "no-such-model"], "no-such-model"),
        (["check", "x"], "--model"),
        (["check", "x", "-m", "no-such-model"], "no-such-model"),
        (["estimate", "-m", "no-such-model"], "no-such-model"),
        (["estimate", "-m", "sandbox", "-d", "100"], "0.5 to 60"),
        (["estimate", "-o", "x.mp4"], "-o"),
        (["jobs", "vg-nope"], "vg-nope"),
        (["jobs", "--status", "lost"], "queued"),
        (["jobs", "--limit", "-1"], "--limit"),
        (["jobs", "--tag", "team"], "KEY=VALUE"),
        (["resume", "vg-nope"], "vg-nope"),
        (["cancel"], "JOB"),
        (["cancel", "vg-nope"], "vg-nope"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_wrong_argument_of_the_others(run: Run, arguments: list[str], word: str, as_json: bool) -> None:
    answer = run(*arguments, *(["--json"] if as_json else []))
    assert answer.code == 2, answer.err
    if as_json:
        error = answer.json["error"]
        assert answer.err == ""
        assert word in f"{error['message']} {error['hint']}"
        assert {"type", "message", "hint"} <= set(error)
    else:
        assert word in answer.err
        plain(answer)


@pytest.mark.parametrize(
    ("stdin", "word"),
    [
        (b"", "empty"),
        (b"\xff\xfe\xfd", "UTF-8"),
        (b"boat " * 2_000_000, "9,999,999"),
        (b"a\x00b", "prompt"),
    ],
    ids=["empty", "binary", "10 MB", "null"],
)
def test_a_wrong_prompt_on_standard_input(stdin: bytes, word: str) -> None:
    answer = script("generate", "-", *SHORT, "-q", stdin=stdin)
    assert answer.code == 2
    assert word in answer.err
    assert len(answer.err) < 1000
    plain(answer)


def test_a_missing_prompt(run: Run) -> None:
    answer = run("generate", *SHORT, "-q")
    assert (answer.code, "prompt" in answer.err) == (2, True)


# --- the environment is wrong


@pytest.mark.parametrize(
    ("variables", "word"),
    [
        ({"VIDEOGEN_TIMEOUT": "soon"}, "timeout"),
        ({"VIDEOGEN_MAX_COST": "-1"}, "max_cost"),
        ({"VIDEOGEN_CATALOG": "missing.toml"}, "missing.toml"),
        ({"VIDEOGEN_HOME": "/proc/videogen"}, "/proc/videogen"),
        ({"VIDEOGEN_HOME": "/dev/null/home"}, "/dev/null"),
        ({"VIDEOGEN_LEDGER": "mongo://somewhere"}, "mongo"),
    ],
)
def test_a_wrong_environment(run: Run, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], word: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    answer = run(*MAKE, "-q")
    assert answer.code == 2, answer.err
    assert word in answer.err
    plain(answer)


def test_a_ledger_that_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.db").write_bytes(b"this is no database" * 1000)
    answer = run("jobs")
    assert answer.code == 2
    plain(answer)
    examined = run("doctor", "--json")
    assert (examined.code, examined.json["ok"]) == (2, False)
    assert [row["name"] for row in examined.json["environment"] if not row["ok"]] == ["ledger"]


def test_a_wrong_file_of_settings(run: Run, here: Path) -> None:
    (here / "videogen.toml").write_text("timeout = [")
    for command in ("models", "doctor", "config"):
        answer = run(command, "--json")
        assert (answer.code, answer.json["error"]["type"]) == (2, "ConfigurationError")


# --- money, providers


def test_over_budget_is_3(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prices.toml").write_text('[override."sandbox/sandbox"]\nprices = [{ amount = 0.25 }]\n')
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(tmp_path / "prices.toml"))
    for command in ("generate", "submit", "route"):
        answer = run(command, "x", "-m", "sandbox", "-d", "8", "--max-cost", "1", "--json")
        assert answer.code == 3
    assert run("generate", "x", "-m", "sandbox", "-d", "8", "--max-cost", "1", "-q").code == 3
    assert run("jobs", "--json").json["jobs"] == []


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("fail=authentication", "AuthenticationError"),
        ("fail=insufficient_credits", "InsufficientCreditsError"),
        ("fail=generation_failed", "GenerationFailedError"),
        ("refuse=true", "ContentPolicyError"),
    ],
)
def test_a_provider_that_fails_is_4(run: Run, option: str, kind: str) -> None:
    answer = run(*MAKE, "-O", f"sandbox.{option}", "--json", "-q")
    error = answer.json["error"]
    assert (answer.code, error["type"], error["provider"], error["charged"]) == (4, kind, "sandbox", False)
    assert JOB_ID.fullmatch(error["job_id"])


def test_a_lost_reply_is_looked_for_at_once(run: Run) -> None:
    answer = run(*MAKE, "-O", "sandbox.lose_reply=true")
    assert answer.code == 0
    assert "may have accepted" in answer.err
    assert "sandbox took it as sb-" in run("jobs", JOB_ID.findall(answer.err)[0]).out


@pytest.mark.usefixtures("plugins")
def test_a_lost_reply_that_nobody_can_look_for_is_4(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "very-secret")
    monkeypatch.setenv("VIDEOGEN_CATALOG", "acme.toml")
    Path("acme.toml").write_text(ACME)
    answer = run("generate", "a boat", "-m", "acme/reel", "-q")
    assert answer.code == 4
    assert "may have accepted" in answer.err
    job_id = JOB_ID.findall(answer.err)[0]
    assert run("jobs", "--status", "unknown").out.count(job_id) == 1
    resumed = run("resume", job_id)
    assert resumed.code == 4
    for words in ("console (acme.example/console)", f"it is not: videogen jobs settle {job_id} --abandon"):
        assert words in resumed.err
    assert "acme.example/console" in run("jobs", "--unknown").out


HANGS = """
import time
from videogen_core import Provider, Session, hookimpl

class Hangs(Provider):
    name, reconcile = "acme", "none"
    def models(self): return ()
    def connect(self, context): return Talk()

class Talk(Session):
    async def submit(self, call):
        import anyio
        print("asked", flush=True)
        await anyio.sleep(600)
    async def poll(self, job): ...

@hookimpl
def videogen_provider(): return Hangs()
"""


@pytest.mark.promise("X4", "T11")
def test_a_create_that_hangs_is_waited_for_and_left_at_the_second_ctrl_c(here: Path) -> None:
    """The first Ctrl-C waits for the answer, which may be paid for; the second does not, and the job is on record."""
    installed = here / "site"
    (installed / "hangs-1.0.dist-info").mkdir(parents=True)
    (installed / "hangs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: hangs\nVersion: 1.0\n")
    (installed / "hangs-1.0.dist-info" / "entry_points.txt").write_text("[videogen.plugins]\nacme = hangs\n")
    (installed / "hangs.py").write_text(HANGS)
    (here / "acme.toml").write_text(ACME)
    path = os.pathsep.join(filter(None, (str(installed), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "VIDEOGEN_CATALOG": "acme.toml"}
    process = subprocess.Popen(
        [str(SCRIPT), "generate", "a boat", "-m", "acme/reel"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=5)
    assert process.returncode == 130
    job_id = JOB_ID.findall(err)[0]
    assert f"`videogen resume {job_id}`" in err
    assert "once more leaves at once" in err
    assert script("jobs", job_id, "--json", VIDEOGEN_CATALOG="acme.toml").json["status"] == "submitting"


# --- bugs of ours


def test_a_bug_is_said_in_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def buggy(*_: object, **__: object) -> None:
        raise ZeroDivisionError("ouch")

    monkeypatch.setattr("videogen_core.Client.models", buggy)
    answer = run("models")
    assert (answer.code, answer.out) == (1, "")
    assert "Internal error in videogen: ZeroDivisionError: ouch" in answer.err
    assert "VIDEOGEN_DEBUG=1" in answer.err
    assert "Traceback" not in answer.err
    assert run("models", "--json").json["error"]["type"] == "InternalError"
    monkeypatch.setenv("VIDEOGEN_DEBUG", "1")
    assert "Traceback" in run("models").err


def test_streams_that_are_closed_do_no_harm(here: Path) -> None:
    line = f"'{SCRIPT}' generate x {' '.join(SHORT)} -o a.mp4 >&- 2>&- <&-"
    assert subprocess.run(["bash", "-c", line], timeout=30).returncode == 0
    assert (here / "a.mp4").exists()


def test_a_terminal_without_unicode_is_no_reason_to_fail() -> None:
    environment = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for command in (["models"], ["generate", "--help"], ["models", "--json"]):
        assert script(*command, **environment).code == 0
    assert script("generate", "a boat", *SHORT, **environment).code == 0


# --- plugins that are not well


@pytest.mark.usefixtures("plugins")
def test_a_sick_plugin_takes_nobody_down(run: Run) -> None:
    answer = run("plugins", "--json")
    rows = {row["name"]: row for row in answer.json["plugins"]}
    assert {name: row["state"] for name, row in rows.items()} == {
        "acme": "loaded", "broken": "failed", "otel": "loaded", "rude": "failed", "sandbox": "loaded",
    }  # fmt: skip
    assert rows["acme"]["reason"] == "ACME_KEY is not set."
    assert run(*MAKE, "-q").code == 0


@pytest.mark.usefixtures("plugins")
def test_doctor_says_what_is_broken(run: Run) -> None:
    answer = run("doctor")
    assert answer.code == 2
    for words in ("it is broken", "ACME_KEY is not set.", "SQLite", "libavcodec", "Something is broken"):
        assert words in answer.out


@pytest.mark.usefixtures("plugins")
def test_doctor_online_reports_who_cannot_be_reached(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "very-secret")
    monkeypatch.setenv("VIDEOGEN_PLUGINS", "-broken,-rude")
    assert run("doctor").code == 0
    answer = run("doctor", "--online", "--json")
    assert answer.code == 2
    assert "very-secret" not in answer.out
    online = {row["name"]: row["online"] for row in answer.json["plugins"]}
    assert online["sandbox"]["ok"] is True
    assert online["acme"]["ok"] is False
    assert "ConnectionError: no route to acme" in online["acme"]["message"]
    assert online["broken"] is None


@pytest.mark.usefixtures("plugins")
def test_without_a_ready_provider_the_setup_of_each_is_told(run: Run) -> None:
    answer = run("generate", "x", "-d", "1", "-r", "144p")
    assert answer.code == 0
    assert "acme: ACME_KEY is not set. Set ACME_KEY." in answer.err


def test_doctor_of_a_healthy_installation(run: Run) -> None:
    answer = run("doctor", "--online", "--json")
    assert (answer.code, answer.json["ok"]) == (0, True)
    names = [row["name"] for row in answer.json["environment"]]
    assert names == ["Python", "videogen-core", "SQLite", "FFmpeg", "HTTP", "home", "ledger"]
    assert not Path(os.environ["VIDEOGEN_HOME"]).exists(), "looking made something"
    assert json.loads(answer.out)["plugins"][0]["online"]["ok"] is True


def test_main_returns_and_does_not_exit() -> None:
    assert main(["--version"]) == 0
