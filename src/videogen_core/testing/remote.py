"""Talking to an emulator's control plane, from the test's own process or from another."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from .faults import Fault
from .journal import Entry
from .lifecycle import Script

__all__ = ["EmulatorClient", "EmulatorError"]

_TIMEOUT = 30.0


class EmulatorError(Exception):
    """The emulator cannot be reached, did not understand, or has a mistake itself."""


class EmulatorClient:
    """An emulator that runs somewhere.

    Args:
        url: Of its API.
        delivery_url: Of its files; None = ask it.
    """

    def __init__(self, url: str, delivery_url: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._delivery_url = delivery_url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.url}>"

    @property
    def delivery_url(self) -> str:
        """Where it serves files."""
        if self._delivery_url is None:
            self._delivery_url = str(self.about()["delivery_url"])
        return self._delivery_url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the plugin and the vendor's SDK here."""
        return dict(self.about()["environment"])

    # --- asking

    def about(self) -> dict[str, Any]:
        """Name, seed, addresses, traits, the vendor's time, and mistakes of the emulator itself."""
        found: dict[str, Any] = self._ask("")
        return found

    def journal(self, kind: str | None = None, *, since: int = 0) -> list[Entry]:
        """The requests of a kind, or all, with a ``seq`` above ``since``."""
        asked = {"since": since} if kind is None else {"kind": kind, "since": since}
        return msgspec.convert(self._ask("/journal", asked), list[Entry])

    def count(self, kind: str) -> int:
        """How many requests of a kind have come, however they went."""
        return int(self.stats()["kinds"].get(kind, 0))

    @property
    def created(self) -> int:
        """How many jobs were made, heard of or not."""
        return int(self.stats()["created"])

    def stats(self) -> dict[str, Any]:
        """Counts of requests and jobs, and the sum of all charges in USD as text."""
        found: dict[str, Any] = self._ask("/stats")
        return found

    def jobs(self) -> list[dict[str, Any]]:
        """Every job that was ever made, oldest first."""
        found: list[dict[str, Any]] = self._ask("/jobs")
        return found

    # --- telling

    def inject(self, *faults: Fault) -> None:
        """Arm faults."""
        self._ask("/inject", {"faults": faults})

    def inject_profile(self, name: str) -> None:
        """Arm a named set of faults, such as ``storm``."""
        self._ask("/inject", {"profile": name})

    def calm(self) -> None:
        """Disarm all faults."""
        self._ask("/calm")

    def script(self, *scripts: Script) -> None:
        """Say how the next jobs go."""
        self._ask("/script", {"scripts": scripts})

    def script_all(self, script: Script) -> None:
        """Say how jobs go that no other script is for."""
        self._ask("/script", {"default": script})

    def advance(self, seconds: float) -> None:
        """Put the vendor's clock forward."""
        self._ask("/clock", {"advance": seconds})

    def run(self, speed: float) -> None:
        """Let the vendor's clock run at another speed; 0 stops it."""
        self._ask("/clock", {"speed": speed})

    def change(self, **traits: Any) -> None:
        """Make it another sort of vendor, such as ``kind="B", list_lag=0.3``."""
        self._ask("/traits", traits)

    def reset(self, *, seed: int | None = None) -> None:
        """Forget all jobs, scripts, faults and requests."""
        self._ask("/reset", {} if seed is None else {"seed": seed})

    def _ask(self, action: str, asked: Mapping[str, Any] | None = None) -> Any:
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT)
        try:
            connection.request("POST", f"/_emulator{action}", msgspec.json.encode(asked or {}))
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise EmulatorError(f"{self.url} does not answer: {error}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise EmulatorError(f"{self.url} did not understand {action!r}: {text.decode(errors='replace')}")
        return json.loads(text)
