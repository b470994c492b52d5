"""Money on the command line: budgets, costs, unknown jobs and the ledger's care."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import apsw
import pytest

from test_cli import JOB_ID, Answer, Run, here, run, script
from test_cli_errors import plain
from videogen_core import Client
from videogen_core.cli.job_card import _who

__all__ = ["here", "run"]  # fixtures

PRACTICE = Path(__file__).parents[1] / "docs" / "examples" / "practice.toml"
LITE = ("-m", "practice-lite", "-d", "2", "-r", "144p", "-q")  # $0.04
LOST = ("-O", "sandbox.lose_reply=true", "-O", "sandbox.findable=false")
BUDGET = {
    "name", "limit", "period", "timezone", "provider", "model", "tags", "warn", "starts", "ends", "settled", "held",
    "left", "blocked", "state",
}  # fmt: skip
LINE = {
    "key", "attempts", "succeeded", "failed", "unknown", "spent", "spent_on_failures", "assumed", "held", "unpriced",
}  # fmt: skip


@pytest.fixture(autouse=True)
def prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that cost something, and days that begin at midnight UTC."""
    monkeypatch.setenv("VIDEOGEN_CATALOG", str(PRACTICE))
    monkeypatch.setenv("VIDEOGEN_TIMEZONE", "UTC")


def lost(run: Run, *arguments: str) -> str:
    """The id of a job that nobody knows the outcome of; $0.10 are held for it."""
    answer = run("generate", "x", "-m", "practice-pro", "-d", "1", "-r", "144p", *LOST, *arguments)
    assert answer.code == 4, answer.err
    return JOB_ID.findall(answer.err)[0]


def spend(run: Run, amount: str, *arguments: str) -> None:
    """A clip that cost so much."""
    answer = run("generate", "a boat", *LITE, "-O", f"sandbox.cost={amount}", *arguments)
    assert answer.code == 0, answer.err


# --- budgets


def test_a_budget_is_set_shown_and_removed(run: Run) -> None:
    assert run("budgets").err.startswith("No budgets.")
    assert not Path(os.environ["VIDEOGEN_HOME"]).exists(), "looking made something"
    made = run("budgets", "set", "daily", "--limit", "25", "--period", "day", "--timezone", "Europe/Berlin")
    assert made.code == 0
    for row in (
        r"budget +daily",
        r"scope +everything",
        r"period +day, Europe/Berlin",
        r"limit +\$25.00",
        r"left +\$25",
    ):
        assert re.search(row, made.out), row
    arguments = (
        "--provider",
        "sandbox",
        "--model",
        "practice-lite",
        "--tag",
        "team=ads",
        "--warn",
        "0.5",
        "--warn",
        "1",
    )
    state = run("budgets", "set", "ads", "--limit", "4.5", *arguments, "--json").json
    assert set(state) == BUDGET
    assert (state["limit"], state["period"], state["timezone"]) == ("4.5", "month", "UTC")
    assert (state["provider"], state["model"], state["tags"]) == ("sandbox", "practice-lite", {"team": "ads"})
    assert (state["warn"], state["state"], state["blocked"]) == ([0.5, 1.0], "ok", None)
    assert [row["name"] for row in run("budgets", "--json").json["budgets"]] == ["ads", "daily"]
    assert [row["name"] for row in run("budgets", "ads", "--json").json["budgets"]] == ["ads"]
    assert re.search(r"warns at +50%, 100%", run("budgets", "ads").out)
    assert run("budgets", "remove", "ads", "--json").json == {"removed": "ads"}
    assert "removed" in run("budgets", "remove", "daily").err
    assert run("budgets", "--json").json == {"budgets": []}


def test_what_is_not_named_of_a_budget_stays(run: Run) -> None:
    run("budgets", "set", "ads", "--limit", "4", "--period", "day", "--tag", "team=ads", "--warn", "0.5")
    state = run("budgets", "set", "ads", "--limit", "8", "--json").json
    assert (state["limit"], state["period"], state["tags"], state["warn"]) == ("8", "day", {"team": "ads"}, [0.5])
    assert run("budgets", "set", "ads", "--period", "week", "--json").json["limit"] == "8"


@pytest.mark.promise("B1")
def test_a_budget_that_is_used_up_is_exit_code_3(run: Run) -> None:
    run("budgets", "set", "daily", "--limit", "0.05", "--period", "day")
    spend(run, "0.04")
    table = run("budgets").out
    assert re.search(r"daily +everything +day +\$0.05 +\$0.04 +\$0.00 +\$0.01 +warning +\d{4}-", table)
    refused = run("generate", "a boat", *LITE)
    assert refused.code == 3
    assert "daily" in refused.err
    assert "$0.01" in refused.err
    plain(refused)
    as_json = run("submit", "a boat", *LITE, "--json")
    assert (as_json.code, as_json.json["error"]["type"]) == (3, "BudgetExceededError")


@pytest.mark.promise("B3")
def test_a_budget_that_was_overcharged_is_blocked_until_somebody_has_seen_it(run: Run) -> None:
    run("budgets", "set", "daily", "--limit", "0.50", "--period", "day")
    spend(run, "0.30")  # although 0.04 were held
    (state,) = run("budgets", "--json").json["budgets"]
    assert (state["state"], state["settled"], state["left"]) == ("blocked", "0.3", "0")
    listed = run("budgets")
    assert "blocked" in listed.out
    assert "videogen budgets acknowledge daily" in listed.err
    assert run("generate", "a boat", *LITE).code == 3
    assert run("budgets", "acknowledge", "daily", "--json").json["state"] == "ok"
    assert run("generate", "a boat", *LITE).code == 0


def test_an_exhausted_budget_says_so(run: Run) -> None:
    run("budgets", "set", "all", "--limit", "0.04", "--period", "total")
    spend(run, "0.04")
    (state,) = run("budgets", "--json").json["budgets"]
    assert (state["state"], state["starts"], state["ends"]) == ("exhausted", None, None)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["budgets", "nobody"], "nobody"),
        (["budgets", "set", "x"], "limit"),
        (["budgets", "set"], "NAME"),
        (["budgets", "set", "", "--limit", "1"], "name"),
        (["budgets", "set", "x", "--limit", "-1"], "limit"),
        (["budgets", "set", "x", "--limit", "nan"], "limit"),
        (["budgets", "set", "x", "--limit", "much"], "limit"),
        (["budgets", "set", "x", "--limit", "0.0000001"], "limit"),
        (["budgets", "set", "x", "--limit", "1", "--period", "year"], "day, week, month, total"),
        (["budgets", "set", "x", "--limit", "1", "--timezone", "Mars/North"], "Mars/North"),
        (["budgets", "set", "x", "--limit", "1", "--tag", "team"], "KEY=VALUE"),
        (["budgets", "set", "x", "--limit", "1", "--warn", "80"], "warn"),
        (["budgets", "set", "x", "--limit", "1", "--warn", "much"], "--warn"),
        (["budgets", "remove", "nobody"], "nobody"),
        (["budgets", "remove"], "NAME"),
        (["budgets", "acknowledge", "nobody"], "nobody"),
        (["costs", "--by", "colour"], "tag:KEY"),
        (["costs", "--by", "tag:"], "tag:KEY"),
        (["costs", "--since", "yesterday"], "since"),
        (["costs", "--until", "2026-13-01"], "until"),
        (["ledger", "chekc"], "check, migrate, export, vacuum"),
        (["ledger", "vacuum", "--older-than", "old"], "--older-than"),
        (["ledger", "vacuum", "--older-than", "7d"], "30 days"),
        (["ledger", "vacuum", "--older-than", "999999d"], "--older-than"),
        (["jobs", "settle"], "JOB"),
        (["jobs", "settle", "vg-nope", "--abandon"], "vg-nope"),
        (["jobs", "settle", "vg-nope"], "--attach"),
        (["jobs", "settle", "vg-nope", "--attach", ""], "--attach"),
        (["jobs", "settle", "vg-nope", "--attach", "a", "--abandon"], "--attach and --abandon"),
        (["jobs", "settle", "vg-nope", "--resubmit"], "--i-accept-paying-twice"),
        (["jobs", "settle", "vg-nope", "--abandon", "--i-accept-paying-twice"], "--resubmit"),
        (["jobs", "settle", "vg-nope", "--attach", "a", "--cost", "1"], "--cost"),
        (["jobs", "settle", "vg-nope", "--abandon", "--attempt", "1"], "--attempt"),
        (["jobs", "settle", "vg-nope", "--cost", "1", "--attempt", "0"], "--attempt"),
        (["jobs", "--unknown", "--status", "failed"], "--unknown"),
        (["generate", "x", *LITE, "--on-unknown", "sell"], "keep, resubmit"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_wrong_argument(run: Run, arguments: list[str], word: str, as_json: bool) -> None:
    answer = run(*arguments, *(["--json"] if as_json else []))
    assert answer.code == 2, answer.err
    if as_json:
        error = answer.json["error"]
        assert word in f"{error['message']} {error['hint']}"
        assert answer.err == ""
    else:
        assert word in answer.err
        plain(answer)


def test_csv_and_json_exclude_each_other(run: Run) -> None:
    answer = run("costs", "--csv", "--json")
    assert (answer.code, answer.json["error"]["type"]) == (2, "RequestError")


# --- costs


def test_costs_by_everything(run: Run) -> None:
    assert run("costs").err == "Nothing was asked for in that time.\n"
    assert run("costs").out == ""
    spend(run, "0.04", "--tag", "team=ads")
    spend(run, "0.03")
    run("generate", "x", *LITE, "-O", "sandbox.refuse=true", "-O", "sandbox.charged=true", "-O", "sandbox.cost=0.02")
    lost(run, "-q")
    table = run("costs").out.splitlines()
    for title in ("model", "attempts", "succeeded", "failed", "unknown", "spent", "on failures", "held"):
        assert title in table[0]
    assert re.fullmatch(r"practice-lite +3 +2 +1 +0 +\$0.09 +\$0.02 +\$0.00", table[1])
    assert re.fullmatch(r"practice-pro +1 +0 +0 +1 +\$0.00 +\$0.00 +\$0.10", table[2])
    assert re.fullmatch(r"total +4 +2 +1 +1 +\$0.09 +\$0.02 +\$0.10", table[3])
    assert "jobs --unknown" in run("costs").err
    document = run("costs", "--by", "tag:team", "--json").json
    assert set(document) == {"by", "since", "until", "lines", "total"}
    assert {line["key"]: Decimal(line["spent"]) for line in document["lines"]} == {
        "ads": Decimal("0.04"),
        "": Decimal("0.05"),
    }
    assert all(set(line) == LINE for line in (*document["lines"], document["total"]))
    assert Decimal(document["total"]["spent"]) == Decimal("0.09")
    assert "(no tag)" in run("costs", "--by", "tag:team").out
    assert f"{datetime.now(UTC):%Y-%m-%d}" in run("costs", "--by", "day").out
    assert run("costs", "--by", "provider").out.splitlines()[1].startswith("sandbox ")
    assert len(run("costs", "--by", "total").out.splitlines()) == 2


def test_costs_of_a_time(run: Run) -> None:
    spend(run, "0.04")
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert len(run("costs", "--since", "7d", "--until", tomorrow, "--json").json["lines"]) == 1
    assert run("costs", "--since", tomorrow, "--json").json["lines"] == []
    assert run("costs", "--until", "2020-01-01", "--json").json["total"]["attempts"] == 0


def test_costs_as_csv_can_be_added_up(run: Run) -> None:
    spend(run, "0.04", "--tag", "team=a, b")
    spend(run, "0.03", "--tag", 'team="c"')
    answer = run("costs", "--by", "tag:team", "--csv")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert answer.err == ""
    assert list(rows[0]) == ["tag:team", *(name for name in run_fields())]
    assert {row["tag:team"]: row["spent"] for row in rows} == {"a, b": "0.04", '"c"': "0.03"}
    assert sum(Decimal(row["spent"]) for row in rows) == Decimal("0.07")
    assert len(list(csv.reader(io.StringIO(run("costs", "--csv", "--since", "2099-01-01").out)))) == 1


def run_fields() -> list[str]:
    from videogen_core import CostLine

    return [name for name in CostLine.__struct_fields__ if name != "key"]


def test_a_cost_that_nobody_confirmed_can_be_corrected(run: Run) -> None:
    job_id = lost(run, "-q")
    assert run("jobs", "settle", job_id, "--resubmit", "--i-accept-paying-twice", "-q").out == "created\n"
    assert run("cancel", job_id, "-q").code == 0
    remarks = run("costs").err
    assert "$0.10 of it is assumed" in remarks
    assert Decimal(run("costs", "--json").json["total"]["assumed"]) == Decimal("0.10")
    corrected = run("jobs", "settle", job_id, "--cost", "0.01", "--attempt", "1", "--json").json
    assert (corrected["cost"], corrected["attempts"][0]["cost_origin"]) == ("0.01", "person")
    total = run("costs", "--json").json["total"]
    assert (Decimal(total["spent"]), Decimal(total["assumed"])) == (Decimal("0.01"), 0)
    card = run("jobs", job_id).out
    assert "person" in card
    assert "corrected" in card


# --- when nobody knows


@pytest.mark.promise("S5")
def test_unknown_jobs_are_listed_with_what_can_be_done(run: Run) -> None:
    assert run("jobs", "--unknown").err == "No jobs are unknown.\n"
    run("generate", "a boat", *LITE)
    job_id = lost(run)
    answer = run("jobs", "--unknown")
    for row in (r"held +\$0.10", r"reason +sandbox was asked", r"search +`videogen resume", r"look +the sandbox keeps"):
        assert re.search(row, answer.out), row
    for verb in ("--attach ID", "--abandon", "--resubmit --i-accept-paying-twice"):
        assert f"videogen jobs settle {job_id} {verb}" in answer.out
    (row,) = run("jobs", "--unknown", "--json").json["jobs"]
    assert (row["id"], row["status"]) == (job_id, "unknown")
    assert set(row["unknown"]) == {"reason", "asked_at", "held", "reference", "search", "console", "on_unknown"}
    assert (row["unknown"]["held"], row["unknown"]["search"], row["unknown"]["on_unknown"]) == (
        "0.10",
        "by_list",
        "keep",
    )
    resumed = run("resume", job_id)
    assert resumed.code == 4
    assert f"it is not: videogen jobs settle {job_id} --abandon" in resumed.err
    assert f"videogen jobs settle {job_id}" in run("jobs", job_id).out


def test_an_unknown_job_of_a_plugin_that_is_gone_is_listed_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = lost(run, "-q")
    monkeypatch.setenv("VIDEOGEN_PLUGINS", "-sandbox")
    monkeypatch.delenv("VIDEOGEN_CATALOG")
    answer = run("jobs", "--unknown")
    assert (answer.code, job_id in answer.out) == (0, True)
    assert "lets nobody look" in answer.out


def test_a_job_that_is_there_goes_on(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOGEN_POLL_INTERVAL", "0.1")
    job_id = lost(run, "-q", "-o", "boat.mp4")
    wrong = run("jobs", "settle", job_id, "--attach", "somebody-elses")
    assert wrong.code == 4
    plain(wrong)
    assert run("jobs", "--unknown", "--json").json["jobs"][0]["id"] == job_id
    answer = run("jobs", "settle", job_id, "--attach", "sb-found-it")
    assert answer.out == "queued\n"
    assert f"videogen resume {job_id}" in answer.err
    assert run("resume", job_id).out == f"{here / 'boat.mp4'}\n"
    again = run("jobs", "settle", job_id, "--abandon")
    assert (again.code, "succeeded" in again.err) == (2, True)


def test_a_job_that_is_not_there_is_given_up(run: Run) -> None:
    run("budgets", "set", "all", "--limit", "0.15", "--period", "total")
    job_id = lost(run, "-q")
    (state,) = run("budgets", "--json").json["budgets"]
    assert Decimal(state["held"]) == Decimal("0.10")
    settled = run("jobs", "settle", job_id, "--abandon", "--json").json
    assert (settled["status"], settled["money"], settled["cost"]) == ("failed", "released", "0")
    (state,) = run("budgets", "--json").json["budgets"]
    assert (Decimal(state["held"]), Decimal(state["settled"])) == (0, 0)
    charged = lost(run, "-q")
    answer = run("jobs", "settle", charged, "--abandon", "--cost", "0.07")
    assert (answer.out, "$0.07" in answer.err) == ("failed\n", True)
    assert Decimal(run("costs", "--json").json["total"]["spent_on_failures"]) == Decimal("0.07")


@pytest.mark.promise("S5", "B8")
def test_settle_in_processes_of_their_own(here: Path) -> None:
    """One process loses a job, a second one is told what a person found, a third one fetches the clip."""
    environment = {"VIDEOGEN_HOME": str(here / "home")}
    arguments = ("-m", "practice-pro", "-d", "1", "-r", "144p", *LOST, "-o", "boat.mp4", "-q")
    first = script("generate", "a boat", *arguments, **environment)
    assert first.code == 4
    job_id = JOB_ID.findall(first.err)[0]
    refused = script("jobs", "settle", job_id, "--resubmit", **environment)
    assert (refused.code, refused.out) == (2, "")
    assert script("jobs", "--unknown", **environment).out.count(job_id) >= 4
    second = script("jobs", "settle", job_id, "--resubmit", "--i-accept-paying-twice", **environment)
    assert (second.code, second.out) == (0, "created\n")
    spent = script("costs", "--by", "total", "--json", **environment).json["total"]
    assert (Decimal(spent["assumed"]), spent["attempts"]) == (Decimal("0.10"), 1)
    third = script("resume", job_id, **environment)  # it loses its answers, always
    assert third.code == 4
    job = script("jobs", job_id, "--json", **environment).json
    assert [attempt["status"] for attempt in job["attempts"]] == ["failed", "unknown"]
    assert script("jobs", "settle", job_id, "--attach", "sb-2", "-q", **environment).out == "queued\n"
    fetched = script("resume", job_id, **environment)
    assert (fetched.code, fetched.out) == (0, f"{here / 'boat.mp4'}\n")
    assert script("ledger", "check", **environment) == (0, "The ledger is sound.\n", "")


def test_a_lost_reply_that_is_found_needs_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOGEN_POLL_INTERVAL", "0.1")
    assert run("generate", "x", *LITE, "-O", "sandbox.lose_reply=true").code == 0
    assert run("jobs", "--unknown", "--json").json == {"jobs": []}


# --- the ledger


def test_the_ledger_in_short(run: Run) -> None:
    nothing = run("ledger")
    assert "made on first use" in nothing.out
    assert not Path(os.environ["VIDEOGEN_HOME"]).exists(), "looking made something"
    assert run("ledger", "--json").json["schema"] is None
    lost(run, "-q")
    document = run("ledger", "--json").json
    assert set(document) == {"location", "schema", "latest", "unfinished", "unknown", "budgets"}
    assert (document["unfinished"], document["unknown"], document["schema"]) == (1, 1, document["latest"])
    assert re.search(r"unknown +1", run("ledger").out)


def tamper(statement: str) -> None:
    """Change the file behind the ledger's back, which is open meanwhile, so that its log is not folded away."""
    with Client() as client:
        assert client.ledger.schema()
        database = apsw.Connection(client.ledger.location)
        database.execute(statement)
        database.close()


@pytest.mark.promise("B5")
def test_check_finds_a_counter_that_is_wrong(run: Run) -> None:
    assert run("ledger", "check").out == "The ledger is sound.\n"
    run("budgets", "set", "all", "--limit", "5")
    spend(run, "0.04")
    assert run("ledger", "check", "--json").json == {"ok": True, "faults": []}
    tamper("UPDATE periods SET settled_micro = 7")
    answer = run("ledger", "check")
    assert answer.code == 2
    assert "The budget 'all' counts" in answer.out
    document = run("ledger", "check", "--json")
    assert (document.code, document.json["ok"], len(document.json["faults"])) == (2, False, 1)


def test_check_of_a_file_that_is_no_ledger(run: Run) -> None:
    home = Path(os.environ["VIDEOGEN_HOME"])
    home.mkdir()
    (home / "ledger.db").write_bytes(b"this is no database" * 1000)
    for verb in ("check", "migrate", "export", "vacuum"):
        answer = run("ledger", verb)
        assert answer.code == 2
        plain(answer)


@pytest.mark.promise("L3", "T20")
def test_migrate_says_from_which_schema_to_which(run: Run) -> None:
    from importlib import resources

    home = Path(os.environ["VIDEOGEN_HOME"])
    home.mkdir()
    oldest = resources.files("videogen_core.ledger").joinpath("migrations", first_migration()).read_text()
    with sqlite3.connect(home / "ledger.db") as database:
        database.executescript(f"{oldest}; PRAGMA application_id = {0x56474C31}; PRAGMA user_version = 1;")
    database.close()
    answer = run("ledger", "migrate", "--json")
    latest = answer.json["to"]
    assert (answer.code, answer.json["from"]) == (0, 1)
    assert latest > 1
    assert run("ledger", "migrate").out == f"The ledger has schema {latest}; there is nothing to do.\n"


def first_migration() -> str:
    from importlib import resources

    folder = resources.files("videogen_core.ledger").joinpath("migrations")
    return sorted(item.name for item in folder.iterdir() if item.name.endswith(".sql"))[0]


def test_export_is_a_document_on_each_line(run: Run) -> None:
    assert run("ledger", "export").out == ""
    run("budgets", "set", "all", "--limit", "5")
    spend(run, "0.04")
    job_id = lost(run, "-q")
    for arguments in ((), ("--json",)):
        records = [json.loads(line) for line in run("ledger", "export", *arguments).out.splitlines()]
        assert [set(record) for record in records] == [{"job", "events"}, {"job", "events"}, {"budget"}]
        assert records[1]["job"]["id"] == job_id
        assert [event["type"] for event in records[0]["events"]][:2] == ["created", "submitting"]
        assert records[2]["budget"]["name"] == "all"


@pytest.mark.promise("S9")
def test_vacuum_deletes_only_what_it_is_told_to(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    spend(run, "0.04")
    kept = lost(run, "-q")
    assert run("ledger", "vacuum").out == "Nothing was deleted.\n"
    assert len(run("jobs", "--json").json["jobs"]) == 2
    assert run("ledger", "vacuum", "--older-than", "30d", "--json").json["deleted"] == 0
    tamper("UPDATE jobs SET updated_at = updated_at - 100 * 86400")
    answer = run("ledger", "vacuum", "--older-than", "90d")
    assert answer.out.startswith("Deleted: 1, of those that ended before ")
    assert [job["id"] for job in run("jobs", "--json").json["jobs"]] == [kept]
    assert run("ledger", "vacuum", "--older-than", "2026-01-01", "--json").json["before"].startswith("202")


# --- the cache, keys


def test_the_options_of_delivery_reach_the_library(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(Client, "submit", lambda self, prompt, **arguments: asked.append(arguments) or 1 / 0)
    for flags in (("--cache",), ("--cache-any",), ("--cache", "--cache-any"), ()):
        run("submit", "x", *LITE, *flags, "--on-unknown", "resubmit", "--idempotency-key", "k")
    assert [each.get("cache") for each in asked] == [True, "any", "any", False]
    assert {(each["on_unknown"], each["idempotency_key"]) for each in asked} == {("resubmit", "k")}


def test_a_clip_from_the_cache_says_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    from videogen_core import Result, Video
    from videogen_core.cli.make import show_result
    from videogen_core.cli.screen import Screen

    video = Video(path=Path("boat.mp4"), size=1000, duration=1.0)
    result = Result(
        job_id="vg-1", model="veo-9", provider="acme", videos=(video,), cost=Decimal(0), attempts=(), cached=True
    )
    show_result(Screen(), result)
    out, err = capsys.readouterr()
    assert out == "boat.mp4\n"
    assert "from the cache, made by veo-9" in err


# --- what a card shows, what the shell proposes, what fits


def test_a_card_says_who_wrote_what(run: Run) -> None:
    job_id = lost(run, "-q")
    card = run("jobs", job_id).out
    assert re.search(r"held +\$0.10", card)
    assert re.search(rf"unknown .*:{os.getpid()}#1", card)


@pytest.mark.parametrize(
    ("actor", "short"),
    [
        ("", ""),
        ("build-3:4711:99:machine:ab12cd/2#7", "build-3:4711#7"),
        ("build-3:4711:99:machine:ab12cd", "build-3:4711"),
        ("webhook", "webhook"),
    ],
)
def test_the_writer_of_an_event_is_short(actor: str, short: str) -> None:
    assert _who(actor) == short


def test_an_orphan_is_shown(run: Run) -> None:
    from videogen_core import transitions

    job_id = lost(run, "-q")
    with Client() as client:
        job = client.ledger.get(job_id)
        found = transitions.accept(job, datetime.now(UTC), provider_job_id="sb-1", handle={})
        saved = client.ledger.save(found)
        late = transitions.accept_late(
            saved, datetime.now(UTC), client_ref=job.attempt.client_ref, provider_job_id="sb-2"
        )
        client.ledger.save(late)
    assert "orphan" in run("jobs", job_id).out
    assert "sb-2: sandbox has attempt 1 as this too" in run("jobs", job_id).out


@pytest.mark.parametrize("columns", [40, 60, 80, 140])
def test_everything_fits_its_terminal(run: Run, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    run("budgets", "set", "a-budget-with-a-long-name", "--limit", "1234.567891", "--tag", "team=advertising")
    spend(run, "0.04", "--tag", "team=advertising")
    lost(run, "-q")
    monkeypatch.setenv("COLUMNS", str(columns))
    commands: tuple[tuple[str, ...], ...] = (("budgets",), ("costs",), ("costs", "--by", "tag:team"), ("ledger",))
    for command in (*commands, ("jobs", "--unknown"), ("budgets", "a-budget-with-a-long-name")):
        out = run(*command).out
        if columns != 40:
            assert max(map(len, out.splitlines())) <= columns, command
    assert "practice-lite" in run("costs").out


def test_completion_of_names_and_verbs() -> None:
    script("budgets", "set", "daily", "--limit", "5")

    def complete(words: str, place: int) -> Answer:
        return script(COMP_WORDS=words, COMP_CWORD=str(place), _VIDEOGEN_COMPLETE="complete_bash")

    assert complete("videogen budgets ", 2).out.split() == ["set", "remove", "acknowledge", "daily"]
    assert complete("videogen budgets remove da", 3).out.split() == ["daily"]
    assert complete("videogen ledger ", 2).out.split() == ["check", "migrate", "export", "vacuum"]
    assert complete("videogen costs --by da", 3).out.split() == ["day"]
    assert complete("videogen jobs se", 2).out.split() == ["settle"]
    first = complete("videogen ", 1).out.split("\n")
    assert "budgets" in first
    assert not any(" " in word for word in first)


def test_help_of_two_words(run: Run) -> None:
    for command in ("jobs settle", "budgets set", "budgets remove", "budgets acknowledge", "ledger check"):
        assert command in run().out
        text = run(*command.split(), "--help").out
        assert f"videogen {command}" in text
        assert "Example" in text
    for command in ("ledger migrate", "ledger export", "ledger vacuum", "costs", "budgets", "ledger"):
        assert "Example" in run(*command.split(), "--help").out
