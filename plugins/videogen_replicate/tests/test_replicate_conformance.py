"""The plugin passes the suite that every provider passes."""

from __future__ import annotations

from functools import cache
from typing import Any

from videogen_core import ModelSpec, Task
from videogen_core.testing.conformance import ProviderSuite, Quoted
from videogen_replicate.plugin import ReplicateProvider


class TestReplicate(ProviderSuite):
    """Against the emulator, over the official client.

    The quotes are worked out by hand from third parties' price surveys; see the catalogue for their dates.
    """

    provider = ReplicateProvider
    option_values = {
        "multi_prompt": ['[{"prompt": "a boat", "duration": 2}]', '[{"prompt": "a kite", "duration": 3}]'],
        "audio": ["https://example.com/rain.mp3", "https://example.com/wind.mp3"],
        "effect": ["Let's YMCA!", "Kiss Me"],
        "concepts": [["orbit_left"], ["push_in", "handheld"]],
    }
    quotes = (
        Quoted("google/veo-3.1", {"duration": 8, "audio": True}, "3.20"),  # 8 x 0.40
        Quoted("google/veo-3.1", {"duration": 8, "audio": False}, "1.60"),  # 8 x 0.20
        Quoted("google/veo-3.1-fast", {"duration": 6, "audio": True}, "0.90"),  # 6 x 0.15
        Quoted("google/veo-3.1-fast", {"duration": 6, "audio": False}, "0.60"),
        Quoted("google/veo-3.1-lite", {"duration": 4, "resolution": "720p"}, "0.20"),  # 4 x 0.05
        Quoted("google/veo-3.1-lite", {"duration": 8, "resolution": "1080p"}, "0.64"),  # 8 x 0.08
        Quoted("google/veo-3", {"duration": 8, "audio": True}, "3.20"),
        Quoted("google/veo-3-fast", {"duration": 8, "audio": True}, "1.20"),  # 8 x 0.15
        Quoted("google/veo-2", {"duration": 5}, "2.50"),  # 5 x 0.50
        Quoted("kwaivgi/kling-v2.6", {"duration": 10, "audio": True}, "1.40"),  # 10 x 0.14
        Quoted("kwaivgi/kling-v2.6", {"duration": 5, "audio": False}, "0.35"),  # 5 x 0.07
        Quoted("kwaivgi/kling-v2.5-turbo-pro", {"duration": 10}, "0.70"),  # 10 x 0.07
        Quoted("minimax/hailuo-2.3", {"resolution": "768p", "duration": 6}, "0.28"),  # by the clip
        Quoted("minimax/hailuo-2.3", {"resolution": "768p", "duration": 10}, "0.56"),
        Quoted("minimax/hailuo-2.3", {"resolution": "1080p", "duration": 6}, "0.49"),
        Quoted("minimax/hailuo-2.3-fast", {"resolution": "768p", "duration": 10}, "0.32"),
        Quoted("minimax/hailuo-2.3-fast", {"resolution": "1080p", "duration": 6}, "0.33"),
        Quoted("minimax/hailuo-02", {"resolution": "512p", "duration": 10}, "0.15"),
        Quoted("minimax/hailuo-02", {"resolution": "1080p"}, "0.49"),
        Quoted("minimax/video-01", {}, "0.50"),
        Quoted("minimax/video-01-live", {}, "0.50"),
        Quoted("minimax/video-01-director", {}, "0.50"),
        Quoted("wan-video/wan-2.2-t2v-fast", {"resolution": "480p"}, "0.05"),
        Quoted(
            "wan-video/wan-2.2-t2v-fast",
            {"resolution": "720p", "options": {"replicate": {"interpolate_output": True}}},
            "0.145",
        ),
        Quoted("wan-video/wan-2.2-i2v-fast", {"resolution": "720p"}, "0.11"),
        Quoted("alibaba/wan-3", {"resolution": "1080p", "duration": 10}, "2.00"),  # 10 x 0.20
        Quoted("alibaba/wan-3", {"resolution": "480p", "duration": 30}, "1.50"),  # 30 x 0.05
        Quoted("bytedance/seedance-2.0", {"resolution": "720p", "duration": 5}, "0.90"),  # 5 x 0.18
        Quoted("bytedance/seedance-2.0", {"resolution": "1080p", "duration": 15}, "6.75"),  # 15 x 0.45
        Quoted("bytedance/seedance-2.0-fast", {"duration": 7}, "0.70"),  # 7 x 0.10
        Quoted("bytedance/seedance-1.5-pro", {"resolution": "720p", "duration": 10, "audio": False}, "0.26"),
        Quoted("pixverse/pixverse-v6", {"duration": 10}, ("0.50", "2.30")),  # 10 x 0.05 to 10 x 0.23
        Quoted("xai/grok-imagine-video", {"duration": 15}, "0.75"),  # 15 x 0.05
    )

    def unfit(self, spec: ModelSpec, task: Task, field: str, value: Any) -> str:
        """What is told in the same way as elsewhere is tried there, since there are so many models."""
        if (other := _first_like(spec.id)) != spec.id:
            return f"told as that of {other}"
        if task is not spec.modes[0].tasks[0] and (
            field in ("seed", "negative_prompt") or field.startswith("options.")
        ):
            return f"told as with {spec.modes[0].tasks[0].value}"
        return ""


@cache
def _first_like(model: str) -> str:
    """The first offer of the catalogue whose requests are put in the same words."""
    specs = {spec.id: spec for spec in ReplicateProvider().models() if spec.modes}
    wanted = _words(specs[model])
    return next(name for name, spec in specs.items() if _words(spec) == wanted)


def _words(spec: ModelSpec) -> Any:
    told = spec.vendor.get("fields", {})
    modes = [
        (m.tasks, m.durations, m.resolutions if "resolution" in told else (), m.aspect_ratios, m.audio, m.allows)
        for m in spec.modes
    ]
    return spec.vendor, spec.options, spec.sizes, spec.seed, spec.negative_prompt, modes
