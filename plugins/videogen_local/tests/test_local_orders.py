"""What a request comes to, and what is refused before anything is loaded: all of it without torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from videogen_core import ModelSpec, RequestError, VideoRequest
from videogen_core.capabilities import resolve
from videogen_local import orders
from videogen_local.orders import Order, order
from videogen_local.plugin import LocalProvider
from videogen_local.rows import completed
from videogen_local.switches import switched


@pytest.fixture
def spec(tmp_path: Path) -> ModelSpec:
    """Wan 2.1, as if it were here."""
    row = next(spec for spec in LocalProvider().models() if spec.id == "local/wan-2.1-t2v-1.3b")
    return msgspec.structs.replace(switched(completed(row)), vendor={**row.vendor, "folder": str(tmp_path)})


def ordered(spec: ModelSpec, options: dict[str, Any], **values: Any) -> Order:
    resolved = resolve(spec, VideoRequest.make("a boat", options={"local": options}, **values)).request
    return order(spec, resolved, options)


def test_frames_and_duration_agree_or_are_refused(spec: ModelSpec) -> None:
    assert ordered(spec, {}, duration=5).frames == 81
    assert ordered(spec, {"num_frames": 77}, duration=5).frames == 77
    with pytest.raises(RequestError, match=r"9 frames at 16 a second last 0\.56 s, and duration is 5 s") as caught:
        ordered(spec, {"num_frames": 9})
    assert caught.value.hint == "Give duration=1 as well."
    assert ordered(spec, {"num_frames": 9}, duration=1).frames == 9
    with pytest.raises(RequestError) as caught:
        ordered(spec, {"num_frames": 49})
    assert caught.value.hint == "Give duration=3 as well."


# --- adaptations


def adaptation(path: Path) -> Path:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    return path


def test_an_adaptation_is_found_from_any_folder(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation(tmp_path / "ink.safetensors")
    monkeypatch.chdir(tmp_path)
    (lora,) = ordered(spec, {"loras": ["ink.safetensors"]}).loras
    assert lora.path == str(tmp_path / "ink.safetensors"), "another process may make the clip, in another folder"


def shut(path: Path) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("missing", "there is no file"),
        ("a folder", "there is no file"),
        ("text", "is damaged: its header does not fit"),
        ("cut off", "is damaged: it is cut off"),
        ("a pickle", r"is no \.safetensors file"),
        ("a number", r"loras: Expected"),
        ("shut", "cannot be read"),
    ],
)
def test_what_is_no_adaptation_is_refused(
    spec: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, said: str
) -> None:
    path = tmp_path / "ink.safetensors"
    match what:
        case "a folder":
            path.mkdir()
        case "text":
            path.write_text("version https://git-lfs.github.com/spec/v1")
        case "cut off":
            path.write_bytes(adaptation(path).read_bytes()[:-2])
        case "a pickle":
            path = tmp_path / "ink.pt"
        case "shut":
            adaptation(path)
            monkeypatch.setattr(orders, "read_header", shut)  # root can read what is shut to others
    with pytest.raises(RequestError, match=said):
        ordered(spec, {"loras": [7 if what == "a number" else str(path)]})
