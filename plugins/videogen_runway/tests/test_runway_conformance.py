"""The plugin before the tests that every provider passes, against the emulated Runway."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from PIL import Image

from videogen_core import ModelSpec, Task
from videogen_core.testing.conformance import ProviderSuite, Quoted, Rig
from videogen_runway.plugin import RunwayProvider

# Tests that ask for many clips take minutes with 30 offers. Of these tests every run has the offers that differ most in
# what is sent; `nox -s chaos` has all.
DEAR = (
    "test_every_value_reaches_the_vendor",
    "test_a_clip",
    "test_a_job_leaves_nothing_behind",
)
ALWAYS = (
    "gen-4.5", "act-two", "enhance-frame-rate", "veo-3.1-fast", "gemini-omni-1.1-flash", "kling-o3-standard", "wan-3",
)  # fmt: skip


class Thrifty:
    """A `pytest.Metafunc` whose further offers are for the long run only."""

    def __init__(self, metafunc: pytest.Metafunc) -> None:
        self._metafunc = metafunc
        self.fixturenames = metafunc.fixturenames
        self.function = metafunc.function

    def parametrize(self, name: str, cases: Sequence[Any], ids: Sequence[str]) -> None:
        """Sort the cases into those that always run and those that take patience."""
        sorted_cases = [case if case.model in ALWAYS else pytest.param(case, marks=pytest.mark.chaos) for case in cases]
        self._metafunc.parametrize(name, sorted_cases, ids=ids)


class TestRunway(ProviderSuite):
    provider = RunwayProvider
    # Worked out from the price list: credits of a cent, a second, and what comes on top.
    quotes: ClassVar[Any] = [
        Quoted("gen-4.5", {"duration": 5}, "0.60"),
        Quoted("gen-4-turbo", {"duration": 10}, "0.50"),
        Quoted("veo-3.1", {"duration": 8, "audio": True}, "3.20"),
        Quoted("veo-3.1", {"duration": 8, "audio": False}, "1.60"),
        Quoted("veo-3.1-fast", {"duration": 4, "audio": True}, "0.60"),
        Quoted("seedance-2.0", {"duration": 4, "resolution": "4k"}, "6.00"),
        Quoted("seedance-2.0-fast", {"duration": 5}, "1.45"),
        Quoted("seedance-2.0-mini", {"duration": 4}, "0.64"),
        Quoted("seedance-2.5", {"duration": 4, "resolution": "480p"}, "0.80"),
        Quoted("kling-3.0-standard", {"duration": 5, "audio": True}, "0.65"),
        Quoted("kling-3.0-pro", {"duration": 5, "audio": True}, "0.85"),
        Quoted("hailuo-3", {"duration": 6, "resolution": "2k"}, "0.90"),
        Quoted("hailuo-3-max", {"duration": 10, "resolution": "480p"}, "0.50"),
        Quoted("happyhorse-1.0", {"duration": 5, "resolution": "1080p"}, "1.50"),
        Quoted("wan-3", {"duration": 10, "resolution": "1080p"}, "2.00"),
        Quoted("wan-3-prime", {"duration": 5, "resolution": "480p"}, "0.34"),
        Quoted("gemini-omni-flash", {"duration": 10}, "1.00"),
        Quoted("gemini-omni-1.1-flash", {"duration": 10, "resolution": "1080p"}, "1.50"),
        # 16 for each of 4 s, and 1 for the picture: measured at Runway in August 2026
        Quoted("grok-imagine-1.5", {"duration": 4, "resolution": "720p", "task": "image_to_video"}, "0.65"),
        Quoted("grok-imagine-1.5-lite", {"duration": 15, "resolution": "1080p"}, "2.10"),
        Quoted("aleph-2", {"task": "edit_video"}, "0.56"),  # a source of 2 s
        Quoted("act-two", {"task": "animate_character"}, "0.15"),  # of 3 s
        Quoted("ruby", {"task": "convert_to_hdr"}, ("0.40", "0.80")),  # of 2 s
        Quoted("magnific-upscaler-creative", {"task": "upscale_video", "resolution": "1k"}, ("0.335664", "0.84")),
    ]
    option_values: ClassVar[Any] = {
        "keyframes": [[{"uri": "https://example.com/a.png", "at": 0.5}]],
        "multi_prompt": [[{"prompt": "A boat", "duration": 3}, {"prompt": "It sinks", "duration": 2}]],
        "reference_audio": [["https://example.com/a.mp3"]],
        "reference_videos": [["https://example.com/a.mp4"]],
    }

    def pytest_generate_tests(self, metafunc: Any) -> None:
        super().pytest_generate_tests(Thrifty(metafunc) if metafunc.function.__name__ in DEAR else metafunc)

    def media(self, rig: Rig, spec: ModelSpec, task: Task, name: str, number: int) -> Any:
        """References are as small as can be: thirty of the usual ones would not fit into what the journal keeps."""
        if name != "reference_images":
            return super().media(rig, spec, task, name, number)
        buffer = io.BytesIO()
        Image.new("RGB", (40, 40), (number * 8, 99, 99)).save(buffer, format="PNG")
        return buffer.getvalue()

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        option = field.rpartition(".")[2]
        if option == "prores_profile":
            return "goes with an output_format only"
        if option in spec.vendor.get("only", {}):
            return "not for all of the model's tasks"
        return ""
