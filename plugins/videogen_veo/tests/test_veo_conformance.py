"""The plugin before the tests that every provider passes, against the emulated Google."""

from __future__ import annotations

from typing import Any, ClassVar

from videogen_core import ModelSpec, Task
from videogen_core.testing.conformance import ProviderSuite, Quoted
from videogen_veo.plugin import VeoProvider


class TestVeo(ProviderSuite):
    provider = VeoProvider
    speed = 50.0  # access tokens live for an hour
    quotes: ClassVar[Any] = [
        Quoted("veo-3.1", {"duration": 8, "resolution": "1080p", "audio": True, "count": 2}, "6.40"),
        Quoted("veo-3.1-fast", {"duration": 4, "resolution": "720p", "audio": True}, "0.40"),
        Quoted("veo-3.1-lite", {"duration": 8, "resolution": "1080p", "audio": True}, "0.64"),
        Quoted("gemini-omni-1.1-flash", {"duration": 10, "resolution": "360p"}, ("0.30", "0.32408")),
        Quoted("gemini-omni-flash-preview", {"duration": 10, "resolution": "720p"}, ("1.00", "1.0336")),
    ]
    option_values: ClassVar[Any] = {
        "output_gcs_uri": ["gs://clips/of/mine/"],
        "pubsub_topic": ["projects/p/topics/t"],
        "labels": [{"team": "ads"}],
    }

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        if value == "allow_all":
            return "only for projects that Google has allow-listed"
        if field.endswith("resize_mode") and task not in (Task.IMAGE_TO_VIDEO, Task.FIRST_LAST_FRAME):
            return "it is for a first frame"
        if value == "uri" and "gemini" not in spec.vendor:
            return "on Vertex AI a file needs a bucket"
        if field.endswith("fold_negative_prompt"):
            return "it lets a negative prompt in, and says nothing by itself"
        if field.endswith("output_gcs_uri") and "gemini" in spec.vendor:
            return "the emulator's variables lead this model to the Gemini API, which knows no buckets"
        return ""
