"""The plugin before the tests that every provider passes, against the emulated MiniMax."""

from __future__ import annotations

from typing import Any, ClassVar

from videogen_core import ModelSpec, Task
from videogen_core.testing.conformance import ProviderSuite, Quoted, Rig
from videogen_minimax.plugin import MinimaxProvider


class TestMinimax(ProviderSuite):
    provider = MinimaxProvider
    quotes: ClassVar[Any] = [
        Quoted("hailuo-2.3", {"duration": 6, "resolution": "768p"}, "0.28"),
        Quoted("hailuo-2.3", {"duration": 10, "resolution": "768p"}, "0.56"),
        Quoted("hailuo-2.3", {"duration": 6, "resolution": "1080p"}, "0.49"),
        Quoted("hailuo-2.3-fast", {"duration": 6, "resolution": "768p"}, "0.19"),
        Quoted("hailuo-2.3-fast", {"duration": 10, "resolution": "768p"}, "0.32"),
        Quoted("hailuo-2.3-fast", {"duration": 6, "resolution": "1080p"}, "0.33"),
        Quoted("hailuo-02", {"task": "image_to_video", "duration": 6, "resolution": "512p"}, "0.10"),
        Quoted("hailuo-02", {"task": "image_to_video", "duration": 10, "resolution": "512p"}, "0.15"),
        Quoted("hailuo-02", {"task": "first_last_frame", "duration": 10, "resolution": "768p"}, "0.56"),
        Quoted("hailuo-02", {"duration": 6, "resolution": "1080p"}, "0.49"),
        Quoted("minimax-h3", {"duration": 5, "resolution": "768p"}, "0.40"),
        Quoted("minimax-h3", {"duration": 6, "resolution": "2k"}, "0.78"),
        Quoted("minimax-h3", {"task": "upscale_video"}, ("0.0896", "0.755")),  # of 2 to 15.1 s, since nobody has looked
        Quoted("minimax-h3-max", {"duration": 10, "resolution": "480p"}, "0.50"),
        Quoted("minimax-h3-max", {"duration": 5, "resolution": "768p"}, "0.40"),
    ]
    option_values: ClassVar[Any] = {"reference_audio": [["https://sounds.example/rain.mp3"]]}

    def media(self, rig: Rig, spec: ModelSpec, task: Task, name: str, number: int) -> Any:
        if name == "video":  # one to be made once more has to be H3's own, which is larger than what journals keep
            return "https://clips.example/source.mp4"
        return super().media(rig, spec, task, name, number)

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        if field.endswith(".reference_audio") and task is not Task.REFERENCE_TO_VIDEO:
            return "sounds go with references only"
        return "a clip that is made once more takes no seed" if field == "seed" and task is Task.UPSCALE_VIDEO else ""
