"""An estimate from a cold process: ``videogen.estimate`` beside ``import pydantic``, which many programs pay anyway."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .figures import Figure, interpreter_times

ESTIMATE = "import videogen; videogen.estimate(model='sandbox', duration=8)"


def measure(*, repeat: int = 15) -> list[Figure]:
    """From the start of the interpreter to the price, and to its end."""
    with tempfile.TemporaryDirectory() as folder:
        bare, pydantic, cold = interpreter_times(["pass", "import pydantic", ESTIMATE], Path(folder), repeat=repeat)
    return [
        Figure(
            name="videogen.estimate from a cold process, against `import pydantic`",
            value=cold / pydantic,
            unit="x",
            limit=4,
            baseline=f"{cold * 1000:.0f} ms, pydantic {pydantic * 1000:.0f} ms, bare {bare * 1000:.0f} ms",
        )
    ]
