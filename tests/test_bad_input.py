"""Every wrong argument is refused with a sentence that helps, before a job exists or a byte is sent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vendor import Acme
from videogen_core import Client, ConfigurationError, InvalidMediaError, ModelNotFoundError, RequestError, VideogenError

NAN = math.nan
WRONG: list[tuple[dict[str, Any], type[VideogenError], str]] = [
    ({"prompt": 3}, RequestError, "expected text"),
    ({"prompt": "   "}, RequestError, "needs one"),
    ({"prompt": "x" * 10_000_000}, RequestError, "more than any model takes"),
    ({"prompt": "\ud800"}, RequestError, "surrogate"),
    ({"negative_prompt": "a\0b"}, RequestError, "NUL"),
    ({"duration": "soon"}, RequestError, "seconds"),
    ({"duration": -1}, RequestError, "seconds"),
    ({"duration": NAN}, RequestError, "seconds"),
    ({"duration": 3}, RequestError, "allowed: 1, 2, 4"),
    ({"resolution": "1280x720"}, RequestError, "aspect_ratio="),
    ({"aspect_ratio": "wide"}, RequestError, "16:9"),
    ({"audio": "yes"}, RequestError, "True or False"),
    ({"fps": 0}, RequestError, "frames per second"),
    ({"seed": 1.5}, RequestError, "whole number"),
    ({"count": 0}, RequestError, "whole number"),
    ({"count": 99}, RequestError, "at most 4"),
    ({"image": "{tmp}/nope.png"}, InvalidMediaError, "does not exist"),
    ({"image": "{tmp}/folder"}, InvalidMediaError, "is a folder"),
    ({"image": "{tmp}/notes.png"}, InvalidMediaError, "neither an image"),
    ({"image": "{tmp}/broken.png"}, InvalidMediaError, "cannot be decoded"),
    ({"image": 42}, InvalidMediaError, "path"),
    ({"image": b""}, InvalidMediaError, "empty"),
    ({"image": "data:image/png;base64,@@"}, InvalidMediaError, "data URI"),
    ({"reference_images": "a.png"}, RequestError, "list of images"),
    ({"video": "{tmp}/notes.png"}, InvalidMediaError, "neither"),
    ({"camera": 3}, RequestError, "moves"),
    ({"camera": ["fly"]}, RequestError, "'fly'"),
    ({"options": {"acme": 3}}, RequestError, "dict per provider"),
    ({"options": {"acme": {"speed": 1}}}, RequestError, "unknown option"),
    ({"options": {"nobody": {"x": 1}}}, RequestError, "nobody"),
    ({"options": {"acme": {"script": {"x": NAN}}}}, RequestError, "NaN"),
    ({"max_cost": -1}, RequestError, "max_cost"),
    ({"max_cost": "NaN"}, RequestError, "max_cost"),
    ({"max_cost": "lots"}, RequestError, "US dollars"),
    ({"model": "papper"}, ModelNotFoundError, "Did you mean paper"),
    ({"model": []}, RequestError, "list of names"),
    ({"prefer": "nicest"}, RequestError, "cheapest"),
    ({"quality": "good"}, RequestError, "economy"),
    ({"fit": "close"}, RequestError, "nearest"),
    ({"providers": ["nobody"]}, RequestError, "nobody"),
    ({"task": "dance"}, RequestError, "text_to_video"),
    ({"output": "{tmp}/notes.png/clip.mp4"}, RequestError, "is a file"),
    ({"output": "{tmp}/notes.png"}, RequestError, "overwrite=True"),
    ({"output": "{tmp}/{{nope}}.mp4"}, RequestError, "{nope}"),
    ({"output": "{tmp}/" + "n" * 5000}, RequestError, "output"),
    ({"output": "x\0.mp4"}, RequestError, "output"),
    ({"output": "/proc/clip.mp4"}, ConfigurationError, "/proc"),
    ({"tags": {"a": 1}}, RequestError, "tags"),
    ({"idempotency_key": ""}, RequestError, "255"),
    ({"timeout": -1}, RequestError, "timeout"),
    ({"timeout": "long"}, RequestError, "timeout"),
    ({"on_event": 3}, RequestError, "on_event"),
    ({"overwrite": "yes"}, RequestError, "overwrite"),
    ({"durration": 3}, RequestError, "Did you mean 'duration'"),
]


@pytest.fixture
def videogen(tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.png").write_text("these are only notes")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"0" * 100)
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as client:
        yield client


@pytest.mark.parametrize(("arguments", "kind", "says"), WRONG, ids=[str(w[0])[:40] for w in WRONG])
def test_it_is_refused(
    videogen: Client, tmp_path: Path, arguments: dict[str, Any], kind: type[VideogenError], says: str
) -> None:
    def placed(value: Any) -> Any:
        return (
            value.replace("{tmp}", str(tmp_path)).replace("{{", "{").replace("}}", "}")
            if isinstance(value, str)
            else value
        )

    call = {"prompt": "boat", "model": "paper", **{key: placed(value) for key, value in arguments.items()}}
    with pytest.raises(kind) as caught:
        videogen.generate(call.pop("prompt"), **call)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 2_000, "a message is for reading"
    assert videogen.jobs() == []
    assert not list((tmp_path / "vendor" / "acme").iterdir())


def test_a_full_or_read_only_ledger_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with Client(home=tmp_path / "file" / "home") as client, pytest.raises(VideogenError) as caught:
        client.generate("boat", model="sandbox")
    assert str(tmp_path / "file") in str(caught.value)
