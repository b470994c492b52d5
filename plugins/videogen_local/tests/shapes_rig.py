"""What the tests of `local/shapes` take from its training: the world it knows, and the scorer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy comes with videogen-local[torch]")

PLUGIN = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PLUGIN / "training"))

import scorer  # noqa: E402
import world  # noqa: E402

__all__ = ["scorer", "world"]
