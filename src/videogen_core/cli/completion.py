"""What the shell proposes after an option. It must be quick, and silent when anything is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from videogen_core import CAMERA_MOVES, Client, Task

__all__ = ["camera", "job_ids", "models", "providers", "tasks", "words"]

Completer = Callable[[str], list[str]]


def words(*choices: str) -> Completer:
    """Propose fixed words."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


tasks = words(*Task)
camera = words(*CAMERA_MOVES)


def models(incomplete: str) -> list[str]:
    """Names of models and offers."""
    try:
        with Client() as client:
            offers = client.models()
    except Exception:  # whatever it is, nothing may be printed while the shell completes a word
        return []
    names = {spec.name for spec in offers} | {spec.id for spec in offers}
    return sorted(name for name in names if name.startswith(incomplete))


def providers(incomplete: str) -> list[str]:
    """Names of installed providers."""
    try:
        with Client() as client:
            names = client.workspace.registry.plugins.names()
    except Exception:  # whatever it is, nothing may be printed while the shell completes a word
        return []
    return [name for name in names if name.startswith(incomplete)]


def job_ids(incomplete: str) -> list[str]:
    """Ids of recent jobs, newest first."""
    try:
        with Client() as client:
            if not Path(client.settings.ledger_path).exists():  # looking must not create a ledger
                return []
            return [job.id for job in client.jobs(limit=50) if job.id.startswith(incomplete)]
    except Exception:  # whatever it is, nothing may be printed while the shell completes a word
        return []
