"""What ``doctor`` looks at besides plugins: interpreter, libraries, folder, ledger."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from videogen_core import Client, VideogenError

__all__ = ["Finding", "environment_facts"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        value: What was found.
        ok: Whether it is as it should be.
        hint: What to do when it is not.
    """

    name: str
    value: str
    ok: bool = True
    hint: str | None = None

    @property
    def shown(self) -> str:
        """Value and hint."""
        return f"{self.value}. {self.hint}" if self.hint else self.value

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        return asdict(self)


def environment_facts(client: Client) -> list[Finding]:
    """Look at everything; what breaks on the way is a finding, not an error."""
    looks: dict[str, Callable[[], Finding]] = {
        "Python": lambda: Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        "videogen-core": lambda: Finding("videogen-core", version("videogen-core")),
        "SQLite": lambda: Finding("SQLite", _sqlite()),
        "FFmpeg": lambda: Finding("FFmpeg", _ffmpeg()),
        "HTTP": lambda: Finding("HTTP", f"httpx {import_module('httpx').__version__}"),
        "home": lambda: _home(client.settings.home),
        "ledger": lambda: _ledger(client),
    }
    return [_look(name, look) for name, look in looks.items()]


def _look(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except VideogenError as error:
        return Finding(name, error.message.rstrip("."), ok=False, hint=error.hint)
    except Exception as error:  # a library that cannot be loaded, say
        hint = "Reinstall it: pip install --force-reinstall videogen-core"
        return Finding(name, f"{type(error).__name__}: {error}", ok=False, hint=hint)


def _sqlite() -> str:
    apsw = import_module("apsw")  # by name: the doctor examines what the ledger uses, and uses it for nothing
    return f"{apsw.sqlite_lib_version()} in apsw {apsw.apsw_version()}"


def _ffmpeg() -> str:
    av = import_module("av")
    libraries = {name: ".".join(map(str, number)) for name, number in av.library_versions.items()}
    codec = "with H.264" if "libx264" in av.codecs_available else "without an H.264 encoder, so without the sandbox"
    return f"libavcodec {libraries.get('libavcodec', '?')} in PyAV {av.__version__}, {codec}"


def _home(home: Path) -> Finding:
    hint = "Set VIDEOGEN_HOME to a folder that you may write to."
    nearest = next((folder for folder in (home, *home.parents) if folder.exists()), home)
    if not nearest.is_dir():
        return Finding("home", f"{nearest} is not a folder", ok=False, hint=hint)
    try:
        if nearest == home:
            with tempfile.TemporaryFile(dir=home):
                return Finding("home", f"{home}, writable")
    except OSError as error:
        return Finding("home", f"{home} cannot be written to: {error.strerror}", ok=False, hint=hint)
    if not os.access(nearest, os.W_OK):
        return Finding("home", f"{home} is not there and {nearest} cannot be written to", ok=False, hint=hint)
    return Finding("home", f"{home}, made on first use")


def _ledger(client: Client) -> Finding:
    location = client.settings.ledger_path
    shown = location.rpartition("@")[2] if "://" in location else location
    if location != "memory" and "://" not in location and not Path(location).exists():
        return Finding("ledger", f"{shown}, made on first use")
    jobs = client.workspace.ledger().jobs(unfinished=True, limit=None)
    waiting = f"{len(jobs)} unfinished jobs" if len(jobs) != 1 else "1 unfinished job"
    return Finding("ledger", f"{shown}, opens, {waiting if jobs else 'nothing unfinished'}")
