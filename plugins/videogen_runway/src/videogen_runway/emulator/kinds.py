"""The kinds of fields that ``rules.toml`` names: whether a value is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .refusals import issue

__all__ = ["Sight", "check_field"]

Path = list[str | int]
Issues = list[dict[str, Any]]


class Lookup(Protocol):
    """Says what is wrong with an address of an input, if anything."""

    def __call__(self, address: str, family: str) -> str | None: ...


@dataclass
class Sight:
    """What a check may look at besides the value.

    Attributes:
        look: Says what is wrong with an address.
        sizes: The groups of sizes, each as a set.
        asked: The addresses that were found, by family: ``image``, ``video``, ``audio``.
    """

    look: Lookup
    sizes: dict[str, frozenset[str]]
    asked: dict[str, list[str]] = field(default_factory=dict)


Check = Callable[[Path, Any, list[str], Sight], Issues]


def check_field(path: Path, value: Any, rule: list[str], sight: Sight) -> Issues:
    """What is wrong with the value of a field."""
    kind, *words = [word for word in rule if word != "!"]
    return _KINDS[kind](path, value, words, sight)


def _wrong(path: Path, expected: str, code: str = "invalid_type") -> Issues:
    return [issue(path, f"Expected {expected}", code)]


# --- plain values


def _text(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    if not isinstance(value, str):
        return _wrong(path, "string")
    length = len(value.encode("utf-16-le")) // 2 if "utf16" in words else len(value)
    if not 1 <= length <= int(words[0]):
        return [issue(path, f"String must contain 1 to {words[0]} character(s)", "too_big" if length else "too_small")]
    return []


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _int(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    low, high = int(words[0]), int(words[1])
    if not _whole(value):
        return _wrong(path, "integer")
    return [] if low <= value <= high else [issue(path, f"Number must be {low} to {high}", "too_big")]


def _ints(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    fits = _whole(value) and str(value) in words
    return [] if fits else _wrong(path, " | ".join(words), "invalid_literal")


def _auto(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    return [] if value == "auto" else _int(path, value, words, sight)


def _number(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong(path, "number")
    return [] if float(words[0]) <= value <= float(words[1]) else [issue(path, f"Number must be {' to '.join(words)}")]


def _bool(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    return [] if isinstance(value, bool) else _wrong(path, "boolean")


def _seed(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    return _int(path, value, ["0", "4294967295"], sight)


def _one(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    choices = " ".join(words).split("|")
    return [] if value in choices else _wrong(path, " | ".join(map(repr, choices)), "invalid_enum_value")


def _ratio(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    known = [size for group in words for size in sorted(sight.sizes[group])]
    return [] if value in known else _wrong(path, " | ".join(map(repr, known)), "invalid_enum_value")


# --- inputs


def _address(path: Path, value: Any, family: str, sight: Sight) -> Issues:
    if not isinstance(value, str):
        return _wrong(path, "string")
    sight.asked.setdefault(family, []).append(value)
    problem = sight.look(value, family)
    return [] if problem is None else [issue(path, problem)]


def _video(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    return _address(path, value, "video", sight)


def _frames(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    if isinstance(value, str):
        return _address(path, value, "image", sight)
    places = {*words} - {"free"} | ({None} if "free" in words else set())
    found = _list(path, value, 30, {"uri", "position"}, "image", sight)
    if not found:
        for number, item in enumerate(value):
            if item.get("position") not in places:
                found += _wrong([*path, number, "position"], f"one of {words}", "invalid_enum_value")
    return found


def _references(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    if isinstance(value, str) and "positions" in words:
        return _address(path, value, "image", sight)
    keys = {"uri", "position"} if "positions" in words else {"uri"}
    return _list(path, value, int(words[0]), keys, "image", sight)


def _sounds(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    return _list(path, value, int(words[0]), {"uri", "type"}, "audio", sight)


def _clips(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    return _list(path, value, int(words[0]), {"uri", "type"}, "video", sight)


def _plainclips(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    return _list(path, value, int(words[0]), {"uri"}, "video", sight)


def _list(path: Path, value: Any, most: int, keys: set[str], family: str, sight: Sight) -> Issues:
    """A list of ``{uri}`` and what else ``keys`` names; a ``type`` must be there and be the family."""
    if not isinstance(value, list) or not value:
        return _wrong(path, "non-empty array")
    found = [issue(path, f"Array must contain at most {most} element(s)", "too_big")] if len(value) > most else []
    for number, item in enumerate(value):
        place = [*path, number]
        if not isinstance(item, dict) or not item.keys() <= keys or "uri" not in item:
            found += _wrong(place, f"object of {', '.join(sorted(keys))}")
        elif "type" in keys and item.get("type") != family:
            found += _wrong([*place, "type"], repr(family), "invalid_literal")
        else:
            found += _address([*place, "uri"], item["uri"], family, sight)
    return found


def _keyframes(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    if not isinstance(value, list) or not 0 < len(value) <= int(words[0]):
        return _wrong(path, f"array of 1 to {words[0]}")
    found: Issues = []
    for number, item in enumerate(value):
        place = [*path, number]
        timed = isinstance(item, dict) and len(item.keys() & {"seconds", "at"}) == 1
        if not timed or not item.keys() <= {"uri", "seconds", "at", "range"} or "uri" not in item:
            found += _wrong(place, "uri and one of seconds, at")
            continue
        found += _address([*place, "uri"], item["uri"], "image", sight)
        if "range" in item and set(item["range"]) != {"start_seconds", "end_seconds"}:
            found += _wrong([*place, "range"], "start_seconds and end_seconds")
    if not found and len({"range" in item for item in value}) > 1:
        found.append(issue(path, "All keyframes must either set a range or none may"))
    return found


def _character(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    if not isinstance(value, dict) or set(value) != {"type", "uri"} or value["type"] not in ("image", "video"):
        return _wrong(path, "type (image, video) and uri")
    return _address([*path, "uri"], value["uri"], value["type"], sight)


def _performance(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    if not isinstance(value, dict) or set(value) != {"type", "uri"} or value["type"] != "video":
        return _wrong(path, "type (video) and uri")
    return _address([*path, "uri"], value["uri"], "video", sight)


# --- settings


def _moderation(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    fits = isinstance(value, dict) and set(value) <= {"publicFigureThreshold"}
    fits = fits and value.get("publicFigureThreshold", "auto") in ("auto", "low")
    return [] if fits else _wrong(path, "publicFigureThreshold: auto | low")


def _shots(path: Path, value: Any, words: list[str], sight: Sight) -> Issues:
    keys = {"multiPrompt", "shotType"} | ({"keepOriginalSound"} if "sound" in words else set())
    if not isinstance(value, dict) or not set(value) <= keys:
        return _wrong(path, ", ".join(sorted(keys)))
    found: Issues = []
    if value.get("shotType", "customize") not in ("intelligence", "customize"):
        found += _wrong([*path, "shotType"], "intelligence | customize", "invalid_enum_value")
    if not isinstance(value.get("keepOriginalSound", True), bool):
        found += _wrong([*path, "keepOriginalSound"], "boolean")
    shots = value.get("multiPrompt", [])
    fits = isinstance(shots, list) and all(_is_shot(shot) for shot in shots)
    return found if fits else [*found, *_wrong([*path, "multiPrompt"], "array of prompt and duration")]


def _is_shot(shot: Any) -> bool:
    return (
        isinstance(shot, dict)
        and set(shot) == {"prompt", "duration"}
        and isinstance(shot["prompt"], str)
        and _whole(shot["duration"])
    )


_KINDS: dict[str, Check] = {
    "text": _text,
    "int": _int,
    "ints": _ints,
    "auto": _auto,
    "number": _number,
    "bool": _bool,
    "seed": _seed,
    "one": _one,
    "ratio": _ratio,
    "video": _video,
    "frames": _frames,
    "references": _references,
    "sounds": _sounds,
    "clips": _clips,
    "plainclips": _plainclips,
    "keyframes": _keyframes,
    "character": _character,
    "performance": _performance,
    "moderation": _moderation,
    "shots": _shots,
}
