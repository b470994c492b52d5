"""What becomes of open connections when the process forks: parent and child must not go on with the same one."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["follow"]


class Forkable(Protocol):
    """Something with a connection."""

    def before_fork(self) -> None:
        """Wait until nothing is under way, and keep it so."""

    def after_fork(self, *, child: bool) -> None:
        """Go on, in the parent or in the child."""


_followed: weakref.WeakSet[Forkable] = weakref.WeakSet()
_forking: list[Forkable] = []


def follow(store: Forkable) -> None:
    """Tell a store of every fork of this process, for as long as it exists."""
    _followed.add(store)


def _before() -> None:
    for store in list(_followed):
        store.before_fork()
        _forking.append(store)


def _after(*, child: bool) -> None:
    while _forking:
        _forking.pop().after_fork(child=child)


os.register_at_fork(
    before=_before, after_in_parent=lambda: _after(child=False), after_in_child=lambda: _after(child=True)
)
