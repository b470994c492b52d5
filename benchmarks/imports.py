"""What ``import videogen`` costs, beside a bare interpreter."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from .figures import Figure, clean_environment, interpreter_times

HEAVY = "httpx apsw av PIL anyio pluggy typer rich msgspec platformdirs sqlite3 stamina importlib.metadata asyncio ssl"


def measure(*, repeat: int = 21) -> list[Figure]:
    """Start of the interpreter with and without the import, and the heavy modules that it loads."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bare, imported = interpreter_times(["pass", "import videogen"], home, repeat=repeat)
        heavy = _heavy_modules(home)
    return [
        Figure(
            name="import videogen, against a bare interpreter",
            value=imported / bare,
            unit="x",
            limit=1.5,
            baseline=f"{imported * 1000:.1f} ms, `python -c pass` {bare * 1000:.1f} ms",
        ),
        Figure(
            name="HTTP, SQL, media, CLI and vendor modules loaded by it",
            value=len(heavy),
            unit="modules",
            limit=0,
            baseline=", ".join(heavy) or "none",
        ),
    ]


def _heavy_modules(home: Path) -> list[str]:
    program = f"import videogen, sys; print(*[name for name in {HEAVY.split()!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean_environment(home), capture_output=True, text=True, check=True
    )
    return done.stdout.split()
