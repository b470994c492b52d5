"""The key, and the host that it is for. Looks at settings only, never at the network."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from videogen_core import ConfigurationError, MissingCredentialsError

__all__ = ["HOSTS", "Access", "access", "api_key", "base_url"]

HOSTS = {"global": "https://api.minimax.io", "cn": "https://api.minimaxi.com"}
"""Region -> where its API is."""

_CONSOLES = {"global": "platform.minimax.io", "cn": "platform.minimaxi.com"}
_VERSION = re.compile(r"(/v[12])?/*$")  # people paste …/v1, and a request would then go to /v1/v1/…
_KEY = re.compile(r"[\x21-\x7e]+")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Access:
    """How MiniMax is reached.

    Attributes:
        url: Root of the API, without a version and without a slash at its end.
        key: API key.
        region: ``global``, ``cn``, or empty where the user has named a host of his own.
    """

    url: str
    key: str
    region: str = ""

    def __repr__(self) -> str:
        return f"Access({self.url!r})"

    @property
    def advice(self) -> str:
        """What to try when the key is refused: most often it is one of the other region."""
        host = urlsplit(self.url).netloc
        if self.region:
            other = "cn" if self.region == "global" else "global"
            return (
                f"A key works in its own region only, and this one was sent to {host} ({self.region}). If it is from "
                f"{_CONSOLES[other]}, set MINIMAX_REGION={other}; otherwise check MINIMAX_API_KEY."
            )
        return (
            f"A key works in its own region only, and this one was sent to {host}, as MINIMAX_API_HOST says: check "
            "that the key is for that host."
        )


def api_key(environment: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """The key; empty when there is none."""
    return str(settings.get("api_key") or environment.get("MINIMAX_API_KEY") or "").strip()


def access(environment: Mapping[str, str], settings: Mapping[str, Any]) -> Access:
    """The key, and where it is to be sent: a host that is named goes before a region.

    Raises:
        MissingCredentialsError: There is no key.
        ConfigurationError: The key or the region is none, or the host cannot be used.
    """
    key = api_key(environment, settings)
    if not key:
        raise MissingCredentialsError(
            "MINIMAX_API_KEY is not set.", hint="Get a key at platform.minimax.io (in China: platform.minimaxi.com)."
        )
    if not _KEY.fullmatch(key):  # the HTTP library would say so with the key in its exception
        raise ConfigurationError(
            "MINIMAX_API_KEY holds a blank or a character that no key has.", hint="Copy the key once more, alone."
        )
    host = settings.get("api_host") or environment.get("MINIMAX_API_HOST")
    if host:
        return Access(base_url(str(host)), key)
    region = str(settings.get("region") or environment.get("MINIMAX_REGION") or "global").strip().lower()
    if region not in HOSTS:
        raise ConfigurationError(
            f"MINIMAX_REGION: {region[:40]!r} is none of {', '.join(HOSTS)}.",
            hint="Set MINIMAX_API_HOST for any other host.",
        )
    return Access(HOSTS[region], key, region)


def base_url(text: str) -> str:
    """The root of an API, from whatever people write: a bare host, an address with a version, with slashes behind it.

    Raises:
        ConfigurationError: It is no address, or the key would travel in the clear.
    """
    url = text.strip()
    url = _VERSION.sub("", url if "://" in url else f"https://{url}")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:  # the port is none, or a bracket is not closed
        usable = None
    if not usable or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            "MINIMAX_API_HOST is no address of an API.", hint=f"Write the root alone, such as {HOSTS['global']}."
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigurationError(
            f"MINIMAX_API_HOST: the key would be sent to {parts.hostname} in the clear.", hint="Write https://."
        )
    return url
