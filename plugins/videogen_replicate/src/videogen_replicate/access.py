"""What the settings say: the token, where the API is, and after how long Replicate is to give a prediction up."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

from videogen_core import ConfigurationError, MissingCredentialsError

__all__ = ["base_url", "cancel_after", "check_hardware", "rates", "token", "usd_per_second"]

_BASE_URL = "https://api.replicate.com"
_TOKEN = re.compile(r"[\x21-\x7e]+")
_LONGEST = 30
"""Minutes, after which Replicate ends a prediction by itself."""


def token(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The API token.

    Raises:
        MissingCredentialsError: There is none, a blank one, or what cannot be one.
    """
    found = str(settings.get("api_token") or environment.get("REPLICATE_API_TOKEN") or "").strip()
    if not found:
        raise MissingCredentialsError(
            "REPLICATE_API_TOKEN is not set.", hint="Make a token at https://replicate.com/account/api-tokens."
        )
    if not _TOKEN.fullmatch(found):
        raise MissingCredentialsError(
            "REPLICATE_API_TOKEN holds characters that no token has.", hint="Copy the token again, and nothing else."
        )
    return found


def base_url(environment: Mapping[str, str]) -> str:
    """Where the API is; the paths below it begin with ``/v1``."""
    return (environment.get("REPLICATE_BASE_URL") or _BASE_URL).strip().rstrip("/")


def cancel_after(settings: Mapping[str, Any]) -> str:
    """After how long a prediction is cancelled, as its header says it. It bounds the cost of what nobody waits for.

    Raises:
        ConfigurationError: The setting is no number of minutes.
    """
    minutes = settings.get("cancel_after_minutes", _LONGEST)
    if not isinstance(minutes, int) or isinstance(minutes, bool) or not 1 <= minutes <= _LONGEST:
        raise ConfigurationError(
            f"providers.replicate.cancel_after_minutes: expected a whole number from 1 to {_LONGEST}, got {minutes!r}."
        )
    return f"{minutes}m"


def usd_per_second(model: str, settings: Mapping[str, Any]) -> Decimal | None:
    """What the hardware costs that the user says a model runs on; None = not said. The API does not tell.

    Args:
        model: ``owner/name``.
        settings: Of the provider.
    """
    table = settings.get("hardware")
    return rates().get(str(table.get(model))) if isinstance(table, Mapping) else None


def check_hardware(settings: Mapping[str, Any]) -> None:
    """Return when every hardware that the settings name is known.

    Raises:
        ConfigurationError: One is not.
    """
    table = settings.get("hardware", {})
    for model, name in table.items() if isinstance(table, Mapping) else [("", table)]:
        if name not in rates():
            raise ConfigurationError(
                f"providers.replicate.hardware: {name!r}, of {model or 'no model'}, is not known.",
                hint=f"Known: {', '.join(rates())}.",
            )


@cache
def rates() -> dict[str, Decimal]:
    """USD per second of each kind of hardware."""
    text = resources.files(__package__).joinpath("hardware.toml").read_text(encoding="utf-8")
    return {name: Decimal(usd) for name, usd in tomllib.loads(text)["usd_per_second"].items()}
