"""What a route says of how a local model would fit, without torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from videogen_core import ModelSpec, VideoRequest
from videogen_core.capabilities import resolve
from videogen_core.cli import main
from videogen_local import models
from videogen_local.fitting import known_devices, notes, remark, remember_devices
from videogen_local.plans import Device
from videogen_local.plugin import LocalProvider
from videogen_local.rows import completed

GB = 2**30
ROWS = {spec.id: completed(spec) for spec in LocalProvider().models()}


def card(gigabytes: int) -> Device:
    return Device(kind="cuda", name="Card", total=gigabytes * GB, free=GB, ram_free=200 * GB)


def said(name: str, folder: Path, options: Mapping[str, Any] | None = None) -> str:
    spec: ModelSpec = ROWS[name]
    given = {} if options is None else {"options": {"local": dict(options)}}
    return remark(spec, resolve(spec, VideoRequest.make("a boat", **given)).request, folder)


def test_before_any_job_the_memory_is_told(tmp_path: Path) -> None:
    assert said("local/wan-2.1-t2v-1.3b", tmp_path).startswith("needs ")


@pytest.mark.parametrize(
    ("memory", "starts"),
    [(80, "resident on Card, "), (12, "model_offload on Card, "), (1, "does not fit Card: ")],
)
def test_the_plan_for_the_devices_of_this_machine(tmp_path: Path, memory: int, starts: str) -> None:
    remember_devices(tmp_path / "own", [card(memory)])
    assert said("local/wan-2.1-t2v-1.3b", tmp_path / "own").startswith(starts)


def test_what_runs_on_a_device_now_does_not_count(tmp_path: Path) -> None:
    remember_devices(tmp_path, [card(80)])
    (device,) = known_devices(tmp_path)
    assert device.free == device.total == 80 * GB


def test_options_count(tmp_path: Path) -> None:
    remember_devices(tmp_path, [card(24)])
    whole = said("local/wan-2.1-t2v-14b", tmp_path)
    assert said("local/wan-2.1-t2v-14b", tmp_path, {"num_frames": 5}) != whole


def test_a_doctor_is_told_of_each_device_and_what_fits_it(tmp_path: Path) -> None:
    assert notes(ROWS.values(), tmp_path) == (
        "no device was looked at yet; `videogen doctor --online` does, with torch, and so does the first job.",
    )
    remember_devices(tmp_path, [card(80), card(12)])
    large, small = notes(ROWS.values(), tmp_path)
    assert large.startswith("Card, 80.0 GB, seen on 20")
    whole = large.partition("as a whole: ")[2].partition(";")[0]
    assert "wan-2.1-t2v-14b" in whole
    assert "wan-2.1-t2v-14b" not in small.partition("as a whole: ")[2].partition(";")[0]
    assert "shapes" in small.partition("as a whole: ")[2]


def test_doctor_tells_it_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(models, "missing_packages", list)
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path))
    remember_devices(tmp_path / "providers" / "local", [card(80)])
    before = {"torch", "diffusers"} & set(sys.modules)
    assert main(["doctor", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out)["plugins"] if row["name"] == "local")
    assert row["notes"][0].startswith("Card, 80.0 GB, seen on")
    assert main(["doctor"]) == 0
    assert "local: Card, 80.0 GB" in capsys.readouterr().out
    assert {"torch", "diffusers"} & set(sys.modules) == before


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"kind": 3}]', b"\xff"])
def test_a_damaged_note_is_no_note(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "devices.json").write_bytes(content)
    assert known_devices(tmp_path) == []
    assert said("local/wan-2.1-t2v-1.3b", tmp_path).startswith("needs ")


def test_every_row_can_be_told_of(tmp_path: Path) -> None:
    remember_devices(tmp_path, [card(24)])
    for spec in ROWS.values():
        if "parameters" in spec.vendor and "text_to_video" in spec.tasks:
            assert "Card" in said(spec.id, tmp_path), spec.id
