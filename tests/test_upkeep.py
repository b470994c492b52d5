"""Catalogues looked after: what lint finds, what is old, what a change changes; and ours are clean."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from architecture import PLUGINS, ROOT
from videogen_core import ModelSpec
from videogen_core.catalog import parse_catalog
from videogen_core.cli import main
from videogen_core.upkeep import differences, facts, lint

TODAY = date(2026, 11, 21)
GOOD = """
source = "https://acme.example/pricing"
as_of = 2026-11-01

[[models]]
id = "acme/reel"
title = "Reel"
maker = "Acme"
aliases = ["reel-001"]
latency = { typical = 60 }
default = { duration = 4, resolution = "720p", audio = false }
prices = [
    { amount = 0.10, resolutions = ["720p"] },
    { amount = 0.20, resolutions = ["1080p"], as_of = 2026-10-01 },
    { amount = 0.05, kind = "surcharge", audio = true, label = "sound" },
]

[[models.modes]]
tasks = ["text_to_video"]
durations = [4, 8]
resolutions = ["720p", "1080p"]
audio = [true, false]

[[models]]
id = "acme/old"
title = "Old"
maker = "Acme"
lifecycle = { stage = "retired", retired = 2026-05-01, replaced_by = "reel" }
"""


def specs(text: str = GOOD, *changes: tuple[str, str]) -> tuple[ModelSpec, ...]:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return parse_catalog(text, origin="test").models


@pytest.mark.parametrize(
    ("change", "rule", "level", "says"),
    [
        (('"https://acme.example/pricing"', '" "'), "source", "error", "has no source"),
        (('"https://acme.example/pricing"', '"a friend"'), "source", "warning", "nobody can look up 'a friend'"),
        (("as_of = 2026-11-01", "as_of = 2026-12-01"), "date", "error", "yet to come"),
        (("as_of = 2026-10-01", "as_of = 2026-01-01"), "stale", "warning", "324 days ago; look again at https://acme"),
        (('title = "Reel"', ""), "title", "error", "no title"),
        (('maker = "Acme"', ""), "maker", "error", "no maker"),
        (("latency = { typical = 60 }", ""), "latency", "error", "no latency"),
        (("retired = 2026-05-01, ", ""), "lifecycle", "error", "since when"),
        ((', replaced_by = "reel"', ""), "lifecycle", "error", "what instead"),
        (('replaced_by = "reel"', 'replaced_by = "film"'), "replacement", "warning", "no model of this catalogue"),
        (("retired = 2026-05-01", "released = 2026-08-01, retired = 2026-05-01"), "lifecycle", "error", "order"),
        (
            ("latency", 'lifecycle = { retired = 2027-01-10, replaced_by = "old" }\nlatency'),
            "retires",
            "warning",
            "retires on 2027-01-10, in 50 days; use old",
        ),
        (("latency", 'lifecycle = { stage = "deprecated" }\nlatency'), "lifecycle", "warning", "what instead"),
        (("{ amount = 0.10", "{ amount = 0"), "price", "warning", "base price is zero"),
        (
            ('resolutions = ["1080p"], as_of', 'resolutions = ["4k"], as_of'),
            "gap",
            "warning",
            "text_to_video, 4 s, 1080p, with sound",
        ),
        (('["reel-001"]', '["old"]'), "name", "error", "means acme/reel as well"),
    ],
)
def test_lint_finds(change: tuple[str, str], rule: str, level: str, says: str) -> None:
    assert lint(specs(), today=TODAY) == []
    (remark, *_) = [remark for remark in lint(specs(GOOD, change), today=TODAY) if remark.rule == rule]
    assert (remark.level, says in remark.message) == (level, True), remark


def test_surcharges_alone_are_no_price() -> None:
    alone = specs(
        GOOD,
        ('{ amount = 0.10, resolutions = ["720p"] },', ""),
        ("{ amount = 0.20", '{ kind = "surcharge", amount = 0.20'),
    )
    assert [r.rule for r in lint(alone, today=TODAY)] == ["price"]


def test_facts_are_told_apart_by_their_dates() -> None:
    found = facts(specs())
    assert [(fact.offer, fact.what, fact.age(TODAY)) for fact in found] == [
        ("acme/reel", "the price per second for 1080p", 51),
        ("acme/old", "the row", 20),
        ("acme/reel", "the row", 20),
    ]


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (("amount = 0.10", "amount = 0.12"), "price", "the price per second for 720p: 0.10 USD -> 0.12 USD (+20.0 %)"),
        (("amount = 0.10", "low = 0.05, amount = 0.10"), "price", "0.10 USD -> 0.05 to 0.10 USD"),
        (
            ('{ amount = 0.10, resolutions = ["720p"] },', ""),
            "price",
            "the price per second for 720p is gone: 0.10 USD",
        ),
        (("as_of = 2026-10-01", "as_of = 2026-11-20"), "fact", "2026-10-01 -> 2026-11-20"),
        (("retired = 2026-05-01", "retired = 2026-06-01"), "lifecycle", "lifecycle.retired: 2026-05-01 -> 2026-06-01"),
        (("durations = [4, 8]", "durations = [4]"), "capability", "modes.durations: 4, 8 -> 4"),
        (('title = "Reel"', 'title = "Reel 2"'), "capability", "title: Reel -> Reel 2"),
        (('id = "acme/old"', 'id = "acme/older"'), "removed", "gone"),
    ],
)
def test_differences_are_told(change: tuple[str, str], kind: str, says: str) -> None:
    assert differences(specs(), specs()) == []
    found = differences(specs(), specs(GOOD, change))
    assert (found[0].kind, says in found[0].message) == (kind, True), found
    assert [back.kind for back in differences(specs(GOOD, change), specs())] != []


# --- the commands -----------------------------------------------------------------------------------------------


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command in an empty folder: its exit code, and what it printed, as JSON where that was asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path / "home"))

    def told(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = main(("catalog", *arguments))
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments else out + err

    return told


def test_the_exit_code_of_lint_is_fit_for_ci(told: Callable[..., Any]) -> None:
    Path("good.toml").write_text(GOOD)
    assert told("lint", "good.toml")[0] == 0
    Path("warned.toml").write_text(GOOD.replace('"https://acme.example/pricing"', '"a friend"'))
    assert told("lint", "warned.toml")[0] == 0
    assert told("lint", "warned.toml", "--strict")[0] == 2
    Path("bad.toml").write_text(GOOD.replace('title = "Reel"', ""))
    code, document = told("lint", "good.toml", "bad.toml", "--json")
    assert (code, document["ok"], document["offers"]) == (2, False, 4)
    assert document["remarks"] == [
        {
            "catalogue": "bad.toml",
            "offer": "acme/reel",
            "rule": "title",
            "level": "error",
            "message": "it has no title.",
        }
    ]
    Path("broken.toml").write_text("[[models]]\nid = 3")
    code, said = told("lint", "broken.toml")
    assert (code, "error: broken.toml:" in said) == (2, True)
    code, said = told("lint", "sandbox")
    assert (code, said) == (0, "1 offer: 0 errors, 0 warnings.\n")
    assert "no file and no installed provider" in told("lint", "nothing.toml")[1]


def test_stale_lists_what_is_old_and_what_goes(told: Callable[..., Any]) -> None:
    Path("c.toml").write_text(GOOD.replace("latency", "lifecycle = { retired = 2999-01-10 }\nlatency", 1))
    code, document = told("stale", "c.toml", "--days", "20000", "--json")
    assert (code, document["stale"]) == (0, [])
    assert document["retiring"] == [{"offer": "acme/reel", "retired": "2999-01-10", "replaced_by": None}]
    code, said = told("stale", "c.toml", "--days", "0")
    assert code == 2
    assert "the price per second for 1080p" in said
    assert "acme/reel retires on 2999-01-10." in said
    assert "older than 0 days" in said


def test_diff_compares_with_git_and_with_what_is_installed(told: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "repo" / "src"
    folder.mkdir(parents=True)
    file = folder / "catalog.toml"
    file.write_text(GOOD)

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=n", "-c", "user.email=e@x.example", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    file.write_text(GOOD.replace("amount = 0.10", "amount = 0.08"))
    name = "repo/src/catalog.toml"
    code, said = told("diff", name)
    assert (code, "0.10 USD -> 0.08 USD (-20.0 %)" in said) == (0, True)
    assert told("diff", name, "--exit-code")[0] == 2
    assert told("diff", f"HEAD:{name}", f"HEAD:{name}", "--exit-code")[0] == 0
    code, document = told("diff", "sandbox", name, "--json")
    assert [each["kind"] for each in document["differences"]] == ["added", "added", "removed"]
    code, said = told("diff", f"nowhere:{name}", name)
    assert (code, "git has no catalog.toml of nowhere" in said) == (2, True)
    code, said = told("diff", f"--upload-pack=x:{name}", name)
    assert code == 2
    Path("alone.toml").write_text(GOOD)
    assert "git has no alone.toml of HEAD" in told("diff", "alone.toml")[1]


def test_a_verb_is_needed(told: Callable[..., Any]) -> None:
    assert told()[0] == 2
    assert "Possible: lint, diff, stale" in told("polish")[1]


# --- ours -------------------------------------------------------------------------------------------------------

OURS = [ROOT / "src/videogen_core/sandbox/catalog.toml"]
OURS += [path for plugin in PLUGINS for path in plugin.folder.glob("src/*/catalog*.toml")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.parent.name)
def test_our_own_catalogues_have_no_mistakes(path: Path) -> None:
    """On the day of their newest fact, so that the test does not fail by itself one day; `stale` is for that."""
    ours = parse_catalog(path.read_text(encoding="utf-8"), origin=str(path)).models
    newest = max(fact.as_of for fact in facts(ours))
    assert [remark for remark in lint(ours, today=newest) if remark.level == "error"] == []
