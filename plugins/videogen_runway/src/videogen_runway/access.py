"""The key, and where the API is. Looks at settings only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from videogen_core import MissingCredentialsError

__all__ = ["BASE_URL", "KEY", "VERSION", "api_key", "base_url", "custom_headers"]

KEY = "RUNWAYML_API_SECRET"
BASE_URL = "https://api.dev.runwayml.com"  # not api.runwayml.com
VERSION = "2024-11-06"
"""Of the API, as the header ``X-Runway-Version`` has it; the only one known by 2026-11-20."""


def api_key(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The key, without the blanks that are easily copied along.

    Raises:
        MissingCredentialsError: There is none, or none that could be sent.
    """
    found = str(settings.get("api_key") or environment.get(KEY) or "").strip()
    if not found:
        raise MissingCredentialsError(f"{KEY} is not set.", hint="Make a key at https://dev.runwayml.com.")
    if not all("!" <= sign <= "~" for sign in found):
        raise MissingCredentialsError(f"{KEY} is no key: it holds blanks or other signs that no key has.")
    return found


def base_url(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """Where the API is: as set, as Runway's SDK would find it, else Runway itself."""
    return str(settings.get("base_url") or environment.get("RUNWAYML_BASE_URL") or BASE_URL).strip().rstrip("/")


def custom_headers(environment: Mapping[str, str]) -> dict[str, str]:
    """The further headers that the user wants sent, a line each; the SDK would not look for them in ``.env``."""
    lines = environment.get("RUNWAYML_CUSTOM_HEADERS", "").splitlines()
    parts = [line.partition(":") for line in lines if ":" in line]
    return {name.strip(): value.strip() for name, _, value in parts}
