"""``videogen models --refresh``: what a provider says of its models today, beside the catalogue."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vendor import Acme, install, offer
from videogen_core import AuthenticationError, Context, ModelNotFoundError, ModelSpec, Provider
from videogen_core.cli import main
from videogen_core.cli.refresh import GONE, changes
from videogen_core.spec import Defaults, OptionSpec, Outline, Price, Span, Task

PAPER = offer("acme")


def changed(**mode: Any) -> ModelSpec:
    default = PAPER.default if mode.get("durations", True) else Defaults()
    return msgspec.structs.replace(PAPER, modes=(msgspec.structs.replace(PAPER.modes[0], **mode),), default=default)


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (PAPER, []),
        (changed(durations=(1.0, 2.0, 8.0)), ["durations: new: 8; gone: 4"]),
        (changed(durations=Span(min=1, max=4, step=1)), ["durations: new: 3"]),
        (changed(durations=()), []),
        (changed(resolutions=("240p", "720p", "4k")), ["resolutions: new: 4k"]),
        (msgspec.structs.replace(PAPER, seed=7), ["seed: new"]),
        (msgspec.structs.replace(PAPER, negative_prompt=True), ["negative_prompt: new"]),
        (msgspec.structs.replace(PAPER, options={}), ["options: gone: script"]),
    ],
)
def test_what_differs(live: ModelSpec, said: list[str]) -> None:
    assert list(changes(PAPER, live)) == said


def test_choices_of_an_option_are_compared() -> None:
    ours, theirs = (
        msgspec.structs.replace(PAPER, options={"style": OptionSpec(type="string", choices=choices)})
        for choices in (("ink", "oil"), ("ink", "chalk"))
    )
    assert list(changes(ours, theirs)) == ["options.style: new: chalk; gone: oil"]


class Describing(Acme):
    """Says the same of paper, has lost stone, and calls wax useless."""

    says: Any = None

    async def discover(self, name: str, context: Context) -> ModelSpec | None:
        match name:
            case "paper":
                return changed(durations=(1.0, 2.0))
            case "wax":
                raise ModelNotFoundError("acme/wax makes no videos.")
            case "glue":
                raise AuthenticationError("the key is wrong", provider="acme", status_code=401)
        return None


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Describing:
    provider = Describing(tmp_path, offers=(PAPER, offer("acme", "stone"), offer("acme", "wax")))
    install(monkeypatch, provider)
    return provider


@pytest.mark.usefixtures("acme")
def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--provider", "acme", "--refresh", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "asked": 3,
        "changed": {
            "acme/paper": ["durations: gone: 4"],
            "acme/stone": [GONE],
            "acme/wax": ["acme/wax makes no videos."],
        },
        "completed": {},
    }
    assert main(["models", "paper", "--refresh"]) == 0
    assert capsys.readouterr().out == "acme/paper\n  durations: gone: 4\n"


def test_of_an_outline_all_is_new_and_its_row_can_be_taken_over(
    acme: Describing, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = (
        Price(amount=Decimal("0.10"), resolutions=("720p",)),
        Price(amount=Decimal("0.20"), resolutions=("1080p",)),
    )
    acme._offers = (
        ModelSpec(
            id="acme/paper",
            model="sheet",
            outline=Outline(tasks=(Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)),
            prices=prices,
            source="a survey",
            as_of=date(2026, 9, 1),
        ),
    )
    for _ in range(2):  # the second time it is kept, and still shown beside what was shipped
        assert main(["models", "--provider", "acme", "--refresh", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["changed"] == {
            "acme/paper": [
                "tasks: gone: image_to_video",
                "durations: new: 1, 2",
                "resolutions: new: 240p, 720p",
                "aspect_ratios: new: 16:9",
                "options: new: script",
                "prices: 0.20 USD per second fits nothing: it has none of the resolutions 1080p",
            ]
        }
        row = msgspec.convert(told["completed"]["acme/paper"], ModelSpec, strict=False)
        assert (row.name, row.outline, row.prices[0].source, row.prices[0].as_of) == (
            "sheet",
            None,
            "a survey",
            date(2026, 9, 1),
        )
    assert main(["models", "--provider", "acme", "--refresh"]) == 0
    assert "1 were known in outline only" in capsys.readouterr().err


def test_a_refused_key_ends_it(acme: Describing, capsys: pytest.CaptureFixture[str]) -> None:
    acme._offers = (offer("acme", "glue"),)
    assert main(["models", "--provider", "acme", "--refresh"]) == 4
    assert "the key is wrong" in capsys.readouterr().err


def test_a_provider_that_describes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--provider", "sandbox", "--refresh"]) == 2
    assert "does not describe its models" in capsys.readouterr().err


@pytest.mark.usefixtures("acme")
def test_one_that_no_catalogue_lists_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def discover(self: Provider, name: str, context: Context) -> ModelSpec | None:
        return offer("acme", name, None)

    monkeypatch.setattr(Describing, "discover", discover)
    assert main(["models", "acme/owner/new-1"]) == 0
    assert "acme/owner/new-1" in capsys.readouterr().out
