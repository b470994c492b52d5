"""``python -m videogen_core.testing.conformance.child PROVIDER MODULE SPEED ARGUMENT...``: ``videogen``, in a hurry.

The command line in a process of its own, with one plugin, whether it is installed or not, and a fast clock.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from videogen_core import plugins

from ..clock import Clock
from .hurry import hurry, only_loopback

__all__ = ["main"]


def main(provider: str, module: str, speed: str, *arguments: str) -> int:
    """Run a command; returns its exit code."""
    patch = pytest.MonkeyPatch()
    plugin = EntryPoint(provider, module, plugins.GROUP)
    patch.setattr(plugins, "_entry_points", lambda: (plugin,))
    hurry(patch, Clock(float(speed)))
    only_loopback(patch)
    videogen = EntryPoint("videogen", "videogen_core.cli:main", "console_scripts").load()
    return int(videogen(arguments))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
