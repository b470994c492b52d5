"""Where clips are made when there is no vendor: what the suite has in the place of an emulator.

A provider that runs models on this machine sends nothing, so there is no answer to break on its way. All else that the
suite proves holds for it as well: what was asked is what is made, once, whoever is killed meanwhile. A `Workshop` lets
the suite look at that. It is written beside the suite, and it asks what really lies on the disk, not the plugin.
"""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from videogen_core import ProviderUnavailableError, Session

from ..journal import Entry
from ..vendor import VendorJob

__all__ = ["Answers", "Workshop", "no_wire"]


class Workshop(ABC):
    """The jobs of one test, of whichever process.

    Args:
        home: The user's videogen home.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    @abstractmethod
    def creates(self) -> list[Entry]:
        """Every create, oldest first: ``job``, whether it was ``created``, and what was asked as the ``body``."""

    @abstractmethod
    def made(self, entry: Entry) -> VendorJob:
        """What is made of a create, read from what was put on record."""

    @abstractmethod
    def owner(self, clip: bytes) -> str:
        """The job that a clip is of, told by the clip."""

    @abstractmethod
    def ended(self, job: str) -> bool:
        """Whether a job is over."""

    @abstractmethod
    def hold(self) -> None:
        """Let no job come to its end until `let_go`, in no process."""

    @abstractmethod
    def let_go(self) -> None:
        """Undo what `hold` and `spoil` have done; also called when a test ends."""

    @abstractmethod
    def spoil(self) -> None:
        """Let every job fail that begins from now on, until `let_go`."""

    @abstractmethod
    def leftovers(self) -> list[str]:
        """What is kept for jobs that are over, as paths or ids."""


class Answers:
    """Answers of a session that get lost once they are given.

    Args:
        kind: The session's class.
        provider: Adapter id.
        patch: Undone when the test ends.
    """

    def __init__(self, kind: type[Session], provider: str, patch: pytest.MonkeyPatch) -> None:
        self._left: int | None = 0
        self._hidden = False
        submit, find = kind.submit, kind.find

        async def losing(session: Any, call: Any) -> Any:
            told = await submit(session, call)
            if self._left == 0:
                return told
            self._left = None if self._left is None else self._left - 1
            raise ProviderUnavailableError("The answer to the create was lost.", provider=provider)

        async def hiding(session: Any, call: Any, started_at: Any) -> Any:
            if self._hidden:
                raise ProviderUnavailableError("It cannot be asked now.", provider=provider)
            return await find(session, call, started_at)

        patch.setattr(kind, "submit", losing)
        patch.setattr(kind, "find", hiding)

    def lose(self, *, times: int | None = 1, hidden: bool = False) -> None:
        """Lose the next answers to creates; ``hidden``: nothing is found either. ``times=0`` ends it."""
        self._left, self._hidden = times, hidden


def no_wire(patch: pytest.MonkeyPatch) -> None:
    """Let nothing in this process connect to anything: a provider with a wire has to be tested with an emulator."""

    def refuse(self: socket.socket, address: Any) -> Any:
        raise OSError(
            f"The plugin wanted to talk to {address!r}, and its suite has a workshop, which says that there is nobody "
            "to talk to. A provider with a vendor is tested with Provider.emulator."
        )

    patch.setattr(socket.socket, "connect", refuse)
    patch.setattr(socket.socket, "connect_ex", refuse)
