"""What a route says of how a local model would fit, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from videogen_core import ModelSpec, VideoRequest
from videogen_core.capabilities import resolve
from videogen_local.fitting import known_devices, remark, remember_devices
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
