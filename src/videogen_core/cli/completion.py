"""What the shell proposes after an option. It must be quick, and silent when anything is wrong."""

from __future__ import annotations

from collections.abc import Callable

from videogen_core import CAMERA_MOVES, Client, Task

__all__ = [
    "budgets",
    "budgets_and_verbs",
    "camera",
    "job_ids",
    "jobs_and_verbs",
    "models",
    "providers",
    "tasks",
    "words",
]

Completer = Callable[[str], list[str]]


def words(*choices: str) -> Completer:
    """Propose fixed words."""
    return lambda incomplete: [choice for choice in choices if choice.startswith(incomplete)]


tasks = words(*Task)
camera = words(*CAMERA_MOVES)


def kinds(incomplete: str) -> list[str]:
    """Kinds of vendor that a new plugin can start from."""
    from videogen_core.scaffold import KINDS

    return words(*KINDS)(incomplete)


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


def budgets(incomplete: str) -> list[str]:
    """Names of budgets."""
    try:
        with Client() as client:
            if not client.workspace.has_ledger:  # looking must not create a ledger
                return []
            names = [state.budget.name for state in client.budgets()]
    except Exception:  # whatever it is, nothing may be printed while the shell completes a word
        return []
    return [name for name in names if name.startswith(incomplete)]


def budgets_and_verbs(incomplete: str) -> list[str]:
    """What may come after ``budgets``."""
    return [*words("set", "remove", "acknowledge")(incomplete), *budgets(incomplete)]


def jobs_and_verbs(incomplete: str) -> list[str]:
    """What may come after ``jobs``."""
    return [*words("settle")(incomplete), *job_ids(incomplete)]


def job_ids(incomplete: str) -> list[str]:
    """Ids of recent jobs, newest first."""
    try:
        with Client() as client:
            if not client.workspace.has_ledger:  # looking must not create a ledger
                return []
            return [job.id for job in client.jobs(limit=50) if job.id.startswith(incomplete)]
    except Exception:  # whatever it is, nothing may be printed while the shell completes a word
        return []
