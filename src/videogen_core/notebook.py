"""Progress in a notebook: a bar in the cell's output that moves by itself, and plain text where there is no HTML.

Shown where nobody listens to a job's events, in a Jupyter kernel alone. Pass ``on_event`` to have it otherwise.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .progress import REMARKS, Progress
from .states import Event

__all__ = ["listener"]

_FILLED = "height:100%;background:#7c4dff;border-radius:3px"


def listener(expected: Callable[[str], float | None]) -> Callable[[Event], None] | None:
    """What shows the events of jobs below the cell that is running; None outside of a notebook.

    Args:
        expected: Seconds that an offer usually takes.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return _Live(ipython, expected) if hasattr(shell, "kernel") else None


class _Live:
    """One display below a cell, with a line for each job.

    It is put there at once: on the thread and in the cell that made the call, while events come from elsewhere.
    """

    def __init__(self, ipython: Any, expected: Callable[[str], float | None]) -> None:
        self._expected = expected
        self._jobs: dict[str, Progress] = {}
        self._remarks: dict[str, str] = {}
        self._handle = ipython.display.display(self, display_id=True)

    def __call__(self, event: Event) -> None:
        progress = self._jobs.setdefault(event.job_id, Progress(event.job_id))
        if progress.hear(event):
            progress.expected = self._expected(progress.offer)
        if event.type in REMARKS and event.message:
            self._remarks[event.job_id] = event.message
        with suppress(Exception):  # nobody is watching any more; the job goes on
            self._handle.update(self)

    def __repr__(self) -> str:
        return "\n".join(_line(progress, self._remarks.get(name, "")) for name, progress in self._jobs.items()) or "…"

    def _repr_html_(self) -> str:
        return "".join(_row(progress, self._remarks.get(name, "")) for name, progress in self._jobs.items())


def _line(progress: Progress, remark: str) -> str:
    share = "" if progress.share is None else f" {progress.share:.0%}"
    return " ".join(filter(None, (f"{progress.stage}{share},", f"{progress.elapsed:.0f} s,", _name(progress), remark)))


def _row(progress: Progress, remark: str) -> str:
    words = f"<b>{html.escape(progress.stage)}</b>"
    words += "" if progress.share is None else f" {progress.share:.0%}"
    usual = f", usually {progress.expected:.0f} s" if progress.expected else ""
    note = f'<div style="color:#a60">{html.escape(remark)}</div>' if remark else ""
    return (
        '<div style="font-family:monospace;display:flex;gap:1em;align-items:center">'
        f'<span style="width:11em">{words}</span>{_bar(progress)}'
        f"<span>{progress.elapsed:.0f} s{usual}, {html.escape(_name(progress))}</span></div>{note}"
    )


def _bar(progress: Progress) -> str:
    """The share that is done; while only the clock tells, it grows by itself until the usual time is over."""
    share = 1.0 if progress.stage == "stored" else progress.guess or 0.0
    fill = f'<div style="width:{share:.0%};{_FILLED}"></div>'
    left = (progress.expected or 0.0) - progress.elapsed
    if progress.share is None and progress.stage not in ("stored", "failed", "cancelled") and left > 0:
        name = f"videogen-{progress.job_id[-10:]}"
        fill = (
            f"<style>@keyframes {name} {{from {{width:{share:.0%}}} to {{width:95%}}}}</style>"
            f'<div style="{_FILLED};animation:{name} {left:.0f}s linear forwards"></div>'
        )
    return f'<div style="flex:1;height:8px;background:#8883;border-radius:3px">{fill}</div>'


def _name(progress: Progress) -> str:
    return progress.offer or progress.job_id
