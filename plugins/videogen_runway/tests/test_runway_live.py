"""One real clip, for people with a key: run pytest with --live and this file. It costs about 0.24 US dollars."""

from __future__ import annotations

from pathlib import Path

import pytest

from videogen_core import Client


@pytest.mark.live
def test_a_clip_is_made_and_booked(tmp_path: Path) -> None:
    with Client(home=tmp_path / "home") as videogen:
        result = videogen.generate(
            "A paper boat drifting down a rainy street",
            model="runway/gen-4.5",
            duration=2,
            resolution="720p",
            max_cost="0.30",
            output=tmp_path / "boat.mp4",
        )
    assert result.videos[0].duration == pytest.approx(2, abs=0.75)
    assert result.cost is not None
    assert 0 < result.cost <= 0.30
