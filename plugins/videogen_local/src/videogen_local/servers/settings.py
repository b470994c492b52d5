"""Which servers the user has: ``[providers.local.servers.NAME]``, and one more in variables of the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from videogen_core import ConfigurationError, MissingCredentialsError, RequestError, Task, VideoRequest
from videogen_core.secret import Secret

from . import VARIABLE
from .dialects import Dialect, dialect

__all__ = ["Endpoint", "Server", "named", "servers"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
_KEYS = frozenset(
    {"url", "urls", "dialect", "model", "key_env", "usd_per_hour", "pace", "like", "tasks", "sizes", "seconds", "fps"}
)
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Endpoint:
    """One address of a server.

    Attributes:
        url: Without a trailing slash; the paths below it begin with ``/v1``.
    """

    url: str

    @property
    def label(self) -> str:
        """What tells it from the others, in ids of jobs and in messages: host, port and path."""
        parts = urlsplit(self.url)
        return f"{parts.netloc}{parts.path}"


@dataclass(frozen=True, kw_only=True)
class Server:
    """One model on one or several machines, as the user has set it up.

    Attributes:
        name: The offer is ``local/NAME``.
        endpoints: Where it is; each takes a share of the jobs.
        dialect: How it is talked to.
        model: What it serves; "" = it is asked.
        key_env: The variable with its key; "" = it wants none.
        usd_per_hour: Price of each of its machines; None = not known.
        pace: Seconds of work per second of clip, least and most; None = not known yet.
        like: A catalogue row whose rules are those of the model; "" = as the model's name says.
        tasks: Kinds of work; empty = as the model has them.
        sizes: Pixels that it makes; empty = as the model has them.
        seconds: Lengths that it makes; empty = as the model has them.
        fps: Frames per second that it makes; None = as the model has them.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    dialect: Dialect
    model: str = ""
    key_env: str = ""
    usd_per_hour: Decimal | None = None
    pace: tuple[Decimal, Decimal] | None = None
    like: str = ""
    tasks: tuple[Task, ...] = ()
    sizes: tuple[tuple[int, int], ...] = field(default=())
    seconds: tuple[float, ...] = ()
    fps: float | None = None

    @property
    def usd_per_second(self) -> Decimal | None:
        """Price of a second of work."""
        return None if self.usd_per_hour is None else self.usd_per_hour / _SECONDS_PER_HOUR

    def key(self, environment: Mapping[str, str]) -> Secret | None:
        """Its key.

        Raises:
            MissingCredentialsError: It wants one, and there is none.
        """
        if not self.key_env:
            return None
        found = environment.get(self.key_env, "").strip()
        if not found:
            raise MissingCredentialsError(
                f"{self.key_env} is not set; the server {self.name!r} wants a key.",
                hint="Set it to the key that the server was started with, or leave key_env out.",
            )
        return Secret(found)

    def at(self, label: str) -> Endpoint:
        """The endpoint that a job was made at.

        Raises:
            ConfigurationError: The settings have it no more.
        """
        for endpoint in self.endpoints:
            if endpoint.label == label:
                return endpoint
        raise ConfigurationError(
            f"The server {self.name!r} has no address {label} any more, where a job of yours is.",
            hint=f"Add it again to providers.local.servers.{self.name}.urls, and resume the job.",
        )


def servers(environment: Mapping[str, str], settings: Mapping[str, Any]) -> dict[str, Server]:
    """Every server by its name.

    Raises:
        ConfigurationError: One is described wrongly; the message says where and how.
    """
    tables = settings.get("servers", {})
    if not isinstance(tables, Mapping):
        raise ConfigurationError("providers.local.servers: expected a table for each server, by its name.")
    found = {}
    for name, table in tables.items():
        where = f"providers.local.servers.{name}"
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{where}: a name has small letters, digits, dots, dashes and underscores.")
        found[name] = _server(name, table, where)
    told = _told(environment)
    if told and "server" not in found:
        found["server"] = _server("server", told, f"{VARIABLE}*")
    return found


def named(name: str, environment: Mapping[str, str], settings: Mapping[str, Any]) -> Server:
    """The server of that name.

    Raises:
        ConfigurationError: The settings have none, or one is described wrongly.
    """
    known = servers(environment, settings)
    if name not in known:
        raise ConfigurationError(
            f"The settings have no server {name!r}.",
            hint=f"Describe it in [providers.local.servers.{name}] of videogen.toml.",
        )
    return known[name]


def _told(environment: Mapping[str, str]) -> dict[str, Any]:
    """The server that variables describe; empty when there is none."""
    urls = [url for url in re.split(r"[\s,]+", environment.get(f"{VARIABLE}URL", "")) if url]
    if not urls:
        return {}
    table: dict[str, Any] = {"urls": urls}
    for key in ("dialect", "model", "usd_per_hour", "like", "fps"):
        if value := environment.get(f"{VARIABLE}{key.upper()}", "").strip():
            table[key] = value
    if pace := environment.get(f"{VARIABLE}PACE", "").strip():
        table["pace"] = pace.split("-")
    if environment.get(f"{VARIABLE}KEY", "").strip():
        table["key_env"] = f"{VARIABLE}KEY"
    return table


def _server(name: str, table: Any, where: str) -> Server:
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{where}: expected a table with url and dialect.")
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise ConfigurationError(
            f"{where}: {unknown[0]!r} is not a setting of servers.", hint=f"Known: {', '.join(sorted(_KEYS))}."
        )
    return Server(
        name=name,
        endpoints=_endpoints(table, where),
        dialect=dialect(table.get("dialect", "vllm-omni"), where=f"{where}.dialect"),
        model=_text(table, "model", where),
        key_env=_text(table, "key_env", where),
        usd_per_hour=_number(table["usd_per_hour"], f"{where}.usd_per_hour") if "usd_per_hour" in table else None,
        pace=_pace(table.get("pace"), f"{where}.pace"),
        like=_text(table, "like", where),
        tasks=tuple(_task(each, f"{where}.tasks") for each in _list(table, "tasks", where)),
        sizes=tuple(_size(each, f"{where}.sizes") for each in _list(table, "sizes", where)),
        seconds=tuple(sorted(float(_number(each, f"{where}.seconds")) for each in _list(table, "seconds", where))),
        fps=float(_number(table["fps"], f"{where}.fps")) if "fps" in table else None,
    )


def _endpoints(table: Mapping[str, Any], where: str) -> tuple[Endpoint, ...]:
    said = [table["url"]] if "url" in table else []
    said += _list(table, "urls", where)
    found = tuple(Endpoint(_address(each, f"{where}.url")) for each in said)
    if not found:
        raise ConfigurationError(f"{where}.url: where is it?", hint='Write url = "http://HOST:PORT".')
    labels = [endpoint.label for endpoint in found]
    if len(set(labels)) < len(labels):
        raise ConfigurationError(f"{where}.urls: an address is there twice.")
    return found


def _address(said: Any, where: str) -> str:
    url = str(said).strip().rstrip("/").removesuffix("/v1").rstrip("/")
    parts = urlsplit(url)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is none
        usable = False
    if not usable or parts.query or parts.fragment or not url.isascii() or " " in url:
        raise ConfigurationError(f"{where}: expected an address such as http://gpu1:8091.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"{where}: the address holds a user name or password, which messages would show.",
            hint="Put a key into a variable of the environment, and name it in key_env.",
        )
    return url


def _text(table: Mapping[str, Any], key: str, where: str) -> str:
    found = table.get(key, "")
    if not isinstance(found, str):
        raise ConfigurationError(f"{where}.{key}: expected text, got {found!r}.")
    return found.strip()


def _list(table: Mapping[str, Any], key: str, where: str) -> list[Any]:
    found = table.get(key, [])
    if not isinstance(found, list | tuple):
        raise ConfigurationError(f"{where}.{key}: expected a list, got {found!r}.")
    return list(found)


def _number(said: Any, where: str) -> Decimal:
    try:
        found = Decimal(str(said)) if not isinstance(said, bool) else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or not 0 < found < 10**6:
        raise ConfigurationError(f"{where}: expected a number above 0, got {said!r}.")
    return found


def _pace(said: Any, where: str) -> tuple[Decimal, Decimal] | None:
    if said is None:
        return None
    ends = [_number(each, where) for each in (said if isinstance(said, list | tuple) else [said])]
    if len(ends) not in (1, 2) or ends[0] > ends[-1]:
        raise ConfigurationError(f"{where}: expected seconds of work per second of clip, or the least and the most.")
    return ends[0], ends[-1]


def _task(said: Any, where: str) -> Task:
    try:
        task = Task(str(said))
    except ValueError:
        task = None
    if task not in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO):
        raise ConfigurationError(f"{where}: expected text_to_video or image_to_video, got {said!r}.")
    return task


def _size(said: Any, where: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(str(said))
    if found is None or int(found[1]) % 2 or int(found[2]) % 2:
        raise ConfigurationError(f"{where}: expected even sides such as 832x480, got {said!r}.")
    try:
        VideoRequest.make(resolution=f"{min(int(found[1]), int(found[2]))}p")
    except RequestError as error:
        raise ConfigurationError(f"{where}: {error.message}") from error
    return int(found[1]), int(found[2])
