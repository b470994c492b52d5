"""The catalogue: prices worked out by hand from Google's lists, names, and what is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from veo_pictures import picture
from videogen_core import BudgetExceededError, Client, ModelNotFoundError

FAST, LITE, OMNI = "veo-3.1-fast", "veo-3.1-lite", "gemini-omni-1.1-flash"


@pytest.fixture
def videogen(tmp_path: Path) -> Iterator[Client]:
    with Client(home=tmp_path / "home") as client:
        yield client


# --- case 25: prices


@pytest.mark.parametrize(
    ("model", "clip", "low", "high"),
    [
        ("veo-3.1", {"duration": 8, "resolution": "1080p", "audio": True, "count": 2}, "6.40", "6.40"),
        ("veo-3.1", {"duration": 8, "resolution": "720p", "audio": False}, "1.60", "1.60"),
        ("veo-3.1", {"duration": 4, "resolution": "4k", "audio": True}, "2.40", "2.40"),
        (FAST, {"duration": 4, "resolution": "720p"}, "0.40", "0.40"),
        (FAST, {"duration": 4, "resolution": "720p", "audio": False}, "0.32", "0.40"),
        (FAST, {"duration": 8, "resolution": "4k", "audio": False}, "2.00", "2.00"),
        (LITE, {"duration": 8, "resolution": "1080p", "audio": True}, "0.64", "0.64"),
        (LITE, {"duration": 4, "resolution": "720p", "audio": False}, "0.12", "0.12"),
        # 10 s x 5,792 x 0.3 tokens x 17.50 USD a million = 0.30408, and at most 0.02 for prompt and thoughts
        (OMNI, {"duration": 10, "resolution": "360p"}, "0.30", "0.32408"),
        (OMNI, {"duration": 4, "resolution": "1080p"}, "0.60", "0.62816"),
    ],
)
def test_quotes(videogen: Client, model: str, clip: dict[str, Any], low: str, high: str) -> None:
    quote = videogen.estimate(model=model, **clip)
    assert (quote.low, quote.high) == (Decimal(low), Decimal(high))
    assert quote.as_of is not None
    assert "http" in (quote.source or "")


def test_a_price_that_google_does_not_publish_is_unknown_until_it_is_configured(
    videogen: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert videogen.estimate(model="gemini-omni-1.2-flash").high is None
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    with Client(home=tmp_path / "home") as ready, pytest.raises(BudgetExceededError, match="unknown"):
        _ = ready.route("a boat", model="gemini-omni-1.2-flash", max_cost=5).chosen
    own = tmp_path / "own.toml"
    own.write_text('[override."veo/gemini-omni-1.2-flash"]\nprices = [{ amount = 0.07, resolutions = ["720p"] }]\n')
    with Client(home=tmp_path / "home", catalog=own) as configured:
        assert configured.estimate(model="gemini-omni-1.2-flash", duration=10).high == Decimal("0.70")


# --- names


@pytest.mark.parametrize(
    ("name", "offer"),
    [
        ("veo-3.1-fast", "veo/veo-3.1-fast"),
        ("veo-3.1-fast-generate-001", "veo/veo-3.1-fast"),
        ("veo-3.1-fast-generate-preview", "veo/veo-3.1-fast"),
        ("google/veo-3.1-fast", "veo/veo-3.1-fast"),
        ("publishers/google/models/veo-3.1-generate-001", "veo/veo-3.1"),
        ("veo-3.1-lite-generate-preview", "veo/veo-3.1-lite"),
        ("Gemini-Omni-1.1-Flash-Preview", "veo/gemini-omni-1.1-flash"),
        ("gemini-omni", "veo/gemini-omni-1.2-flash"),
    ],
)
def test_names_lead_to_the_offer(videogen: Client, name: str, offer: str) -> None:
    assert videogen.workspace.planner.offers(name)[0].id == offer


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("veo-3.0-generate-001", "veo-3.1"),
        ("veo-3.0-generate-preview", "veo-3.1"),
        ("veo-3.0-fast-generate-001", "veo-3.1-fast"),
        ("veo-2.0-generate-001", "veo-3.1"),
        ("google/veo-2.0", "veo-3.1"),  # "veo-2" is still offered elsewhere
    ],
)
def test_retired_models_say_since_when_and_what_to_use(videogen: Client, name: str, instead: str) -> None:
    with pytest.raises(ModelNotFoundError, match="retired on 2026-06-30") as caught:
        videogen.estimate(model=name)
    assert caught.value.hint == f"Use {instead}."


# --- cases 6, 7, 8, 10 and 11: what a model cannot do


@pytest.mark.parametrize(
    ("model", "request_", "field"),
    [
        (OMNI, {"duration": 2.5}, "duration"),
        (OMNI, {"duration": 11}, "duration"),
        (OMNI, {"audio": False}, "audio"),
        (OMNI, {"count": 2}, "count"),
        (OMNI, {"seed": 1}, "seed"),
        (OMNI, {"negative_prompt": "rain"}, "negative_prompt"),
        (OMNI, {"resolution": "480p"}, "resolution"),
        (FAST, {"duration": 5}, "duration"),
        (FAST, {"count": 5}, "count"),
        (FAST, {"seed": 2**32}, "seed"),
        (FAST, {"aspect_ratio": "1:1"}, "aspect_ratio"),
        (FAST, {"options": {"veo": {"enhance_prompt": False}}}, "options.veo.enhance_prompt"),
        (FAST, {"options": {"veo": {"person_generation": "everybody"}}}, "options.veo.person_generation"),
        (FAST, {"options": {"veo": {"webhook_config": {}}}}, "options.veo.webhook_config"),
        (OMNI, {"options": {"veo": {"store": False}}}, "options.veo.store"),
        (FAST, {"reference_images": 4, "duration": 8}, "reference_images"),
        (FAST, {"reference_images": 3, "duration": 6}, "duration"),
        (FAST, {"reference_images": 1, "image": 1, "task": "reference_to_video"}, "inputs"),
        (FAST, {"reference_images": 1, "image": 1, "last_frame": 1, "task": "first_last_frame"}, "inputs"),
        (LITE, {"reference_images": 1, "duration": 8}, "task"),
        (LITE, {"resolution": "4k"}, "resolution"),
        (FAST, {"video": "gs://b/clip.mp4", "task": "edit_video"}, "task"),
        (FAST, {"image": "ftp://b/boat.png"}, "image"),
    ],
)
def test_what_a_model_cannot_do_is_refused_by_field(
    videogen: Client, model: str, request_: dict[str, Any], field: str
) -> None:
    violations = videogen.check("a boat", model=model, **with_pictures(request_))
    assert field in {violation.field for violation in violations}


@pytest.mark.parametrize(
    ("model", "request_"),
    [
        *((FAST, {"duration": seconds}) for seconds in (4, 6, 8)),
        (OMNI, {"duration": 3.5}),
        (FAST, {"reference_images": 3, "duration": 8}),
        (FAST, {"image": 1, "last_frame": 2}),
        (FAST, {"duration": 6, "resolution": "1080p"}),
        (FAST, {"negative_prompt": "rain", "seed": 2**32 - 1}),
        (FAST, {"video": "gs://b/clip.mp4", "task": "extend_video"}),
        (OMNI, {"negative_prompt": "rain", "options": {"veo": {"fold_negative_prompt": True}}}),
        (OMNI, {"video": "interaction://v1_abc"}),
        (OMNI, {"video": "interaction://v1_abc", "task": "extend_video", "duration": 5}),
    ],
)
def test_what_a_model_can_do_is_accepted(videogen: Client, model: str, request_: dict[str, Any]) -> None:
    assert videogen.check("a boat", model=model, **with_pictures(request_)) == []


def with_pictures(request: dict[str, Any]) -> dict[str, Any]:
    """The same with pictures for numbers: one, or as many references."""
    made = dict(request)
    for name in ("image", "last_frame"):
        if isinstance(made.get(name), int):
            made[name] = picture(made[name])
    if "reference_images" in made:
        made["reference_images"] = [picture(number) for number in range(made["reference_images"])]
    return made
