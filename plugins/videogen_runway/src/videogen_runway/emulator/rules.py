"""What each model takes on each endpoint, from ``rules.toml``, and whether a body keeps to it."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from .kinds import Sight, check_field
from .refusals import InvalidBody, issue

__all__ = ["ENDPOINTS", "checked", "rules", "table"]

ENDPOINTS = (
    "text_to_video",
    "image_to_video",
    "video_to_video",
    "character_performance",
    "video_upscale",
    "video_to_hdr",
)


@cache
def table() -> dict[str, Any]:
    """The whole file, numbers exact."""
    text = resources.files(__package__).joinpath("rules.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)


@cache
def rules(endpoint: str) -> dict[str, dict[str, str]]:
    """The fields of each model of an endpoint, as the file writes them."""
    rows = table()[endpoint]
    return {model: {k: v for k, v in row.items() if k != "models"} for row in rows for model in row["models"]}


def checked(endpoint: str, body: Any, sight: Sight) -> None:
    """Return when a body keeps to the rules of its model.

    Raises:
        InvalidBody: With everything that is wrong.
    """
    if not isinstance(body, dict):
        raise InvalidBody([issue([], "Expected object", "invalid_type")])
    models = rules(endpoint)
    fields = models.get(str(body.get("model")))
    if fields is None:
        known = " | ".join(repr(model) for model in models)
        raise InvalidBody([issue(["model"], f"Invalid discriminator value. Expected {known}", "invalid_union")])
    issues = [issue([name], "Required", "invalid_type") for name, rule in fields.items() if _lacks(body, name, rule)]
    for name, value in body.items():
        if name == "model":
            continue
        if name not in fields:
            issues.append(issue([], f"Unrecognized key(s) in object: '{name}'", "unrecognized_keys"))
        else:
            issues += check_field([name], value, fields[name].split(), sight)
    issues = issues or list(_together(endpoint, body))
    if issues:
        raise InvalidBody(issues)


def _lacks(body: dict[str, Any], name: str, rule: str) -> bool:
    return rule.endswith("!") and body.get(name) is None


# --- fields that depend on each other


def _together(endpoint: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    found = [*_frames(body), *_profile(body), *_guides(body), *_shots(body)]
    if endpoint == "image_to_video" and str(body["model"]).startswith("wan3"):
        keyed = _positions(body) != [None]
        if keyed and not str(body.get("ratio", "auto")).startswith("auto_"):
            found.append(issue(["ratio"], "Keyframe requests must use an auto ratio"))
    guided = body.get("references") or body.get("referenceVideos")
    if body.get("ratio") == "adaptive" and endpoint == "text_to_video" and not guided:
        found.append(issue(["ratio"], "adaptive needs image or video references"))
    if body["model"] == "seedance2_5" and endpoint == "video_to_video":
        found += _seedance_mode(body)
    return found


def _positions(body: dict[str, Any]) -> list[str | None]:
    """Of the pictures: a bare address is the first frame."""
    given = body.get("promptImage")
    return [item.get("position") for item in given] if isinstance(given, list) else ["first"]


def _frames(body: dict[str, Any]) -> list[dict[str, Any]]:
    if not isinstance(body.get("promptImage"), list):
        return []
    places = _positions(body)
    if None in places and any(places):
        return [issue(["promptImage"], "Keyframes and references cannot be mixed")]
    if any(places.count(place) > 1 for place in ("first", "last")):
        return [issue(["promptImage"], "Each position may be given once")]
    if "last" in places and "first" not in places:
        return [issue(["promptImage"], "You must specify a frame in position `first`")]
    return []


def _profile(body: dict[str, Any]) -> list[dict[str, Any]]:
    profile, form = body.get("proresProfile"), body.get("outputFormat")
    if profile is None or form == "prores":
        return []
    if form == "hdr_prores" and profile in ("422", "422 HQ", "4444"):
        return []
    return [issue(["proresProfile"], f"proresProfile is not valid with {form or 'mp4'}")]


def _guides(body: dict[str, Any]) -> list[dict[str, Any]]:
    if body["model"] != "grok_imagine_1_5":
        return []
    found = []
    if body.get("referenceAudio") and not body.get("references"):
        found.append(issue(["referenceAudio"], "Audio references require at least one image reference"))
    if body.get("references") and body.get("resolution") == "1080p":
        found.append(issue(["resolution"], "Requests with image references are capped at 720p"))
    return found


def _shots(body: dict[str, Any]) -> list[dict[str, Any]]:
    shots = (body.get("providerSettings") or {}).get("multiPrompt")
    if shots and not 3 <= sum(shot["duration"] for shot in shots) <= 15:
        return [issue(["providerSettings", "multiPrompt"], "All segments together must last 3 to 15 seconds")]
    return []


def _seedance_mode(body: dict[str, Any]) -> list[dict[str, Any]]:
    mode = body.get("mode", "reference")
    if mode == "reference":
        return []
    found = [] if body.get("promptText") else [issue(["promptText"], f"Required with mode {mode}")]
    if "ratio" in body:
        found.append(issue(["ratio"], f"ratio may not be provided with mode {mode}"))
    if mode == "edit" and body.get("duration") != "auto":
        found.append(issue(["duration"], "edit requires duration 'auto'"))
    return found
