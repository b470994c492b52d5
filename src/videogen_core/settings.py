"""Configuration: one value per key, from the strongest source that has it.

Highest first: arguments, environment (``VIDEOGEN_*``), ``.env`` in the working folder, ``videogen.toml`` in the working
folder, ``config.toml`` in the user's configuration folder, defaults.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from .errors import ConfigurationError

__all__ = ["Environment", "Settings", "load_settings"]

PREFIX = "VIDEOGEN_"
PROJECT_FILE = "videogen.toml"
USER_FILE = "config.toml"
CATALOG_KEYS = ("models", "override", "aliases")


class Environment(Mapping[str, str]):
    """Environment variables with ``.env`` beneath them. Its values never show in a repr."""

    def __init__(self, *layers: Mapping[str, str]) -> None:
        self._layers = layers

    def __getitem__(self, key: str) -> str:
        for layer in self._layers:
            if key in layer:
                return layer[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter({key for layer in self._layers for key in layer})

    def __len__(self) -> int:
        return len({key for layer in self._layers for key in layer})

    def __repr__(self) -> str:
        return f"<Environment of {len(self)} variables>"


_POSITIVE = {"timeout": "seconds", "patience": "seconds", "submit_timeout": "seconds", "cache_days": "days"}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be configured.

    Attributes:
        home: Folder of the ledger, staged inputs and clips without an ``output``. ``VIDEOGEN_HOME``.
        ledger: Path of the ledger, ``memory``, or a database URL; None = ``<home>/ledger.db``. ``VIDEOGEN_LEDGER``.
        output: Default of ``output=``. ``VIDEOGEN_OUTPUT``.
        catalog: A TOML file with more models, overrides and aliases. ``VIDEOGEN_CATALOG``.
        max_cost: USD per call unless the call says otherwise. ``VIDEOGEN_MAX_COST``.
        timeout: Seconds that a wait may take unless the call says otherwise. ``VIDEOGEN_TIMEOUT``.
        patience: Seconds to wait out rate limits and outages of one provider before the next offer is tried.
            ``VIDEOGEN_PATIENCE``.
        concurrency: Jobs at once per provider; None = what each plugin says. ``VIDEOGEN_CONCURRENCY``.
        submit_timeout: Seconds that a create may take before its answer counts as lost. ``VIDEOGEN_SUBMIT_TIMEOUT``.
        webhook_url: Address of your application under which vendors tell news of jobs; each job gets
            ``<webhook_url>/<provider>/<reference>``. ``VIDEOGEN_WEBHOOK_URL``.
        timezone: IANA name of the zone in which days begin, for budgets and costs; None = the machine's.
            ``VIDEOGEN_TIMEZONE``.
        cache_days: Days that a clip is served from the cache after it was made. ``VIDEOGEN_CACHE_DAYS``.
        cache_bytes: Most bytes that the cache may hold; the clips used least recently go first. 0 = keep none.
            ``VIDEOGEN_CACHE_BYTES``.
        sandbox: Whether the sandbox may be the last resort of every route. ``VIDEOGEN_SANDBOX``.
        plugins: Plugins to load, comma separated; ``-name`` blocks one. Empty = all. ``VIDEOGEN_PLUGINS``.
        territory: ISO country code that model licences must not exclude. ``VIDEOGEN_TERRITORY``.
        commercial: Only models whose licence allows commercial use. ``VIDEOGEN_COMMERCIAL``.
        allow_private_addresses: Whether media may be fetched from private addresses (emulators on loopback).
            ``VIDEOGEN_ALLOW_PRIVATE_ADDRESSES``.
        probe_in_process: Whether clips are decoded in this process instead of in a child, whose time and memory are
            limited and whose crash is survived. ``VIDEOGEN_PROBE_IN_PROCESS``.
        providers: Settings per provider, the ``[providers.NAME]`` tables. Keys belong in the environment instead.
    """

    home: Path
    ledger: str | None = None
    output: str | None = None
    catalog: Path | None = None
    max_cost: Decimal | None = None
    timeout: float = 900.0
    patience: float = 120.0
    concurrency: int | None = None
    submit_timeout: float = 120.0
    webhook_url: str | None = None
    timezone: str | None = None
    cache_days: float = 30.0
    cache_bytes: int = 10 * 1024**3
    sandbox: bool = False
    plugins: str = ""
    territory: str | None = None
    commercial: bool = False
    allow_private_addresses: bool = False
    probe_in_process: bool = False
    providers: dict[str, dict[str, Any]] = {}
    # Not settings themselves, but read with them.
    environment: Mapping[str, str] = Environment()
    inline_catalog: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def __post_init__(self) -> None:
        for name, unit in _POSITIVE.items():
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}: expected a positive number of {unit}")
        if self.cache_bytes < 0:
            raise ValueError("cache_bytes: expected a number of bytes, zero or more")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("concurrency: at least 1")
        if self.max_cost is not None and not (self.max_cost.is_finite() and self.max_cost >= 0):
            raise ValueError("max_cost: expected an amount of zero or more")

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r}, ledger={self.ledger!r})"

    def provider(self, name: str) -> dict[str, Any]:
        """The ``[providers.NAME]`` table of one provider."""
        return self.providers.get(name, {})

    @property
    def ledger_path(self) -> str:
        """Where the ledger is: a path, ``memory``, or a URL."""
        return self.ledger or str(self.home / "ledger.db")

    @property
    def cache_folder(self) -> Path:
        """Where clips are kept for requests that are made again with ``cache=``."""
        return self.home / "cache"

    def shown(self) -> list[tuple[str, str, str]]:
        """Name, value and source of every setting, for ``videogen config``; provider values are not shown."""
        rows = []
        for name in _NAMES:
            value: Any = getattr(self, name)
            if name == "ledger" and value and "@" in value:
                value = re.sub(r"//[^@/]*@", "//…@", value)  # a password in a database address
            if name == "providers":
                value = {key: sorted(table) for key, table in self.providers.items()}
            rows.append((name, "" if value is None else str(value), self.origin.get(name, "default")))
        return rows


_NAMES = tuple(name for name in Settings.__struct_fields__ if name not in ("environment", "inline_catalog", "origin"))


def load_settings(
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    **arguments: Any,
) -> Settings:
    """Read the configuration.

    Args:
        environ: Environment variables; None = the process's.
        folder: Working folder, where ``.env`` and ``videogen.toml`` are looked for; None = the current one.
        **arguments: Settings that win over every other source; None values are skipped.

    Raises:
        ConfigurationError: A file cannot be read, a key is unknown, or a value is out of range.
    """
    folder = folder or Path.cwd()
    environment = Environment(environ if environ is not None else os.environ, _dotenv(folder / ".env"))
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    catalog_parts: dict[str, Any] = {}
    user_file = _user_folder(environment, "config") / USER_FILE
    for path in (user_file, folder / PROJECT_FILE):
        _take(_read_toml(path), str(path), values, origin, catalog_parts)
    _take(_from_environment(environment), "environment", values, origin, {})
    _take({k: v for k, v in arguments.items() if v is not None}, "argument", values, origin, {})
    if "home" not in values:
        values["home"] = _user_folder(environment, "data")
    values["home"] = Path(values["home"]).expanduser().absolute()
    return _convert(values, origin, environment, catalog_parts)


def _take(
    found: dict[str, Any], source: str, values: dict[str, Any], origin: dict[str, str], catalog: dict[str, Any]
) -> None:
    """Lay one source over those below it."""
    for key, value in found.items():
        if key in CATALOG_KEYS:
            catalog[key] = _laid_over(catalog.get(key), value, f"{source}: {key}")
            continue
        if key not in _NAMES:
            raise ConfigurationError(f"{source}: unknown setting {key!r}.", hint=f"Settings: {', '.join(_NAMES)}.")
        if key == "providers" and isinstance(value, Mapping):
            value = {**values.get(key, {}), **value}
        values[key] = value
        origin[key] = source


def _laid_over(weaker: Any, stronger: Any, place: str) -> list[Any] | dict[str, Any]:
    """Rows of two files add up; tables are laid over each other."""
    if not isinstance(stronger, (list, dict)) or (weaker is not None and type(weaker) is not type(stronger)):
        raise ConfigurationError(f"{place}: expected tables, got {stronger!r}.")
    if isinstance(stronger, dict):
        return {**(weaker if isinstance(weaker, dict) else {}), **stronger}
    return [*(weaker if isinstance(weaker, list) else []), *stronger]


def _convert(
    values: dict[str, Any], origin: dict[str, str], environment: Environment, catalog: dict[str, Any]
) -> Settings:
    fields = {f.name: f.type for f in msgspec.structs.fields(Settings)}
    converted: dict[str, Any] = {}
    for key, value in values.items():
        try:
            converted[key] = msgspec.convert(value, fields[key], strict=False, dec_hook=_decode, str_keys=True)
        except (msgspec.ValidationError, ValueError, ArithmeticError) as error:
            raise ConfigurationError(f"{origin.get(key, 'argument')}: {key}: {error}.") from error
    try:
        return Settings(
            **converted,
            environment=environment,
            inline_catalog=catalog,
            origin=origin,
        )
    except ValueError as error:
        raise ConfigurationError(f"Configuration: {error}.") from error


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, (str, os.PathLike)):
        return Path(value).expanduser()
    raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Every ``VIDEOGEN_*`` variable that names a setting; ``VIDEOGEN_CONFIG_DIR`` only says where files are."""
    found: dict[str, Any] = {}
    for variable in environment:
        if not variable.startswith(PREFIX) or variable == f"{PREFIX}CONFIG_DIR":
            continue
        name, text = variable[len(PREFIX) :].lower(), environment[variable].strip()
        if name in _NAMES and name != "providers" and text:
            found[name] = text
    return found


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    return {key: value for key, value in dotenv_values(path).items() if value is not None}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error


def _user_folder(environment: Mapping[str, str], kind: str) -> Path:
    if kind == "config" and (override := environment.get(f"{PREFIX}CONFIG_DIR")):
        return Path(override).expanduser()
    import platformdirs

    folder = platformdirs.user_config_dir if kind == "config" else platformdirs.user_data_dir
    return Path(folder("videogen", appauthor=False))
