"""Configuration: one value per key, from the strongest source that has it.

Highest first: arguments, environment (``VIDEOGEN_*``), ``.env`` in the working folder, ``videogen.toml`` in the working
folder, ``config.toml`` in the user's configuration folder, defaults.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from .errors import ConfigurationError
from .secret import MASK, Sealed, looks_secret

__all__ = ["Environment", "Settings", "load_settings"]

PREFIX = "VIDEOGEN_"
PROJECT_FILE = "videogen.toml"
USER_FILE = "config.toml"
CATALOG_KEYS = ("models", "override", "aliases")


class Environment(Sealed[str]):
    """Environment variables with ``.env`` beneath them. Its values never show in a repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Environment of {len(self)} variables>"


_POSITIVE = {
    **dict.fromkeys(("timeout", "patience", "submit_timeout", "poll_interval"), "seconds"),
    "cache_days": "days",
}


class _Quiet(dict[str, Any]):
    """What was read so far. Crash reports show local variables, so it shows its names only."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


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
        poll_interval: Most seconds between two looks at a job, for emulators and tests; None = as suits the model and
            the vendor. ``VIDEOGEN_POLL_INTERVAL``.
        webhook_url: Address of your application under which vendors tell news of jobs; each job gets
            ``<webhook_url>/<provider>/<reference>``. ``VIDEOGEN_WEBHOOK_URL``.
        timezone: IANA name of the zone in which days begin, for budgets and costs; None = the machine's.
            ``VIDEOGEN_TIMEZONE``.
        cache_days: Days that a clip is served from the cache after it was made. ``VIDEOGEN_CACHE_DAYS``.
        cache_bytes: Most bytes that the cache may hold; the clips used least recently go first. 0 = keep none.
            ``VIDEOGEN_CACHE_BYTES``.
        provenance: Default of ``provenance=``: ``no``, ``sidecar`` or ``embed``. ``VIDEOGEN_PROVENANCE``.
        sandbox: Whether the sandbox may be the last resort of every route. ``VIDEOGEN_SANDBOX``.
        plugins: Plugins to load, comma separated; ``-name`` blocks one. Empty = all. ``VIDEOGEN_PLUGINS``.
        territory: ISO country code that model licences must not exclude. ``VIDEOGEN_TERRITORY``.
        commercial: Only models whose licence allows commercial use. ``VIDEOGEN_COMMERCIAL``.
        revenue_usd: What you, or your company, earn in a year; model licences with a lower limit are refused.
            ``VIDEOGEN_REVENUE_USD``.
        accept_licenses: Names of the licences with limits that you have read and may use; comma separated in
            ``VIDEOGEN_ACCEPT_LICENSES``.
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
    poll_interval: float | None = None
    webhook_url: str | None = None
    timezone: str | None = None
    cache_days: float = 30.0
    cache_bytes: int = 10 * 1024**3
    provenance: Literal["no", "sidecar", "embed"] = "no"
    sandbox: bool = False
    plugins: str = ""
    territory: str | None = None
    commercial: bool = False
    revenue_usd: Decimal | None = None
    accept_licenses: tuple[str, ...] | str = ()
    allow_private_addresses: bool = False
    probe_in_process: bool = False
    providers: Mapping[str, Mapping[str, Any]] = {}
    # Not settings themselves, but read with them.
    environment: Mapping[str, str] = Environment()
    inline_catalog: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def __post_init__(self) -> None:
        for name, unit in _POSITIVE.items():
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name}: expected a positive number of {unit}")
        if self.cache_bytes < 0:
            raise ValueError("cache_bytes: expected a number of bytes, zero or more")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("concurrency: at least 1")
        for name, amount in (("max_cost", self.max_cost), ("revenue_usd", self.revenue_usd)):
            if amount is not None and not (amount.is_finite() and amount >= 0):
                raise ValueError(f"{name}: expected an amount of zero or more")

        msgspec.structs.force_setattr(self, "providers", _sealed(self.providers))

    def __repr__(self) -> str:
        return f"Settings(home={str(self.home)!r}, ledger={_shown_address(self.ledger)!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same for rich, which msgspec would show every field to."""
        return [("home", str(self.home)), ("ledger", _shown_address(self.ledger))]

    def provider(self, name: str) -> Mapping[str, Any]:
        """The ``[providers.NAME]`` table of one provider; it shows no value by itself."""
        return self.providers.get(name) or Sealed()

    @property
    def ledger_path(self) -> str:
        """Where the ledger is: a path, ``memory``, or a URL."""
        return self.ledger or str(self.home / "ledger.db")

    @property
    def accepted_licenses(self) -> tuple[str, ...]:
        """The licences that the user has said yes to, one by one."""
        names = self.accept_licenses
        listed = names.split(",") if isinstance(names, str) else names
        return tuple(name.strip() for name in listed if name.strip())

    @property
    def cache_folder(self) -> Path:
        """Where clips are kept for requests that are made again with ``cache=``."""
        return self.home / "cache"

    def folder(self, provider: str) -> Path:
        """Where a provider keeps what is its own; it need not exist."""
        return self.home / "providers" / provider

    def shown(self) -> list[tuple[str, str, str]]:
        """Name, value and source of every setting, for ``videogen config``; provider values are not shown."""
        rows = []
        for name in _NAMES:
            value: Any = getattr(self, name)
            if name == "ledger":
                value = _shown_address(value)
            if name == "providers":
                value = {key: sorted(table) for key, table in self.providers.items()}
            rows.append((name, "" if value is None else str(value), self.origin.get(name, "default")))
        return rows


def _sealed(providers: Any) -> Any:
    """Provider tables that show no value; what are none are left for whoever checks them."""
    if not isinstance(providers, Mapping):
        return providers
    if isinstance(providers, Sealed):
        return providers
    return Sealed({name: Sealed(table) if isinstance(table, Mapping) else table for name, table in providers.items()})


def _shown_address(ledger: str | None) -> str | None:
    """A database address without its password, wherever in it that is."""
    if ledger is None or "://" not in ledger:
        return ledger
    return re.sub(r"\?.*", f"?{MASK}", re.sub(r"://.*@", f"://{MASK}@", ledger))


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
    environment = Environment(os.environ if environ is None else environ, _dotenv(folder / ".env"))
    given = _Quiet({k: v for k, v in arguments.items() if v is not None})
    del environ, arguments  # crash reports show local variables
    values, origin, catalog_parts = _Quiet(), dict[str, str](), dict[str, Any]()
    user_file = _user_folder(environment, "config") / USER_FILE
    for path in (user_file, folder / PROJECT_FILE):
        _take(_read_toml(path), str(path), values, origin, catalog_parts)
    _take(_from_environment(environment), "environment", values, origin, {})
    _take(given, "argument", values, origin, {})
    if "home" not in values:
        values["home"] = _user_folder(environment, "data")
    values["home"] = Path(values["home"]).expanduser().absolute()
    return _convert(values, origin, environment, catalog_parts)


def _take(found: _Quiet, source: str, values: _Quiet, origin: dict[str, str], catalog: dict[str, Any]) -> None:
    """Lay one source over those below it."""
    for key in found:
        if key in CATALOG_KEYS:
            catalog[key] = _laid_over(catalog.get(key), found[key], f"{source}: {key}")
            continue
        if key not in _NAMES:
            raise ConfigurationError(f"{source}: unknown setting {key!r}.", hint=f"Settings: {', '.join(_NAMES)}.")
        if key == "providers":
            values[key] = _tables(values.get(key, {}), found[key], source)
        else:
            values[key] = found[key]
        origin[key] = source


def _tables(weaker: Mapping[str, Any], stronger: object, source: str) -> Sealed[Any]:
    """The provider tables of two sources; a table counts whole."""
    if not isinstance(stronger, Mapping) or not all(isinstance(table, Mapping) for table in stronger.values()):
        del weaker, stronger
        raise ConfigurationError(f"{source}: providers: expected a table per provider, [providers.NAME].")
    sealed: Sealed[Any] = _sealed({**weaker, **stronger})
    return sealed


def _laid_over(weaker: Any, stronger: Any, place: str) -> list[Any] | dict[str, Any]:
    """Rows of two files add up; tables are laid over each other."""
    if not isinstance(stronger, (list, dict)) or (weaker is not None and type(weaker) is not type(stronger)):
        kind = type(stronger).__name__
        del weaker, stronger
        raise ConfigurationError(f"{place}: expected tables, got {kind}.")
    if isinstance(stronger, dict):
        return {**(weaker if isinstance(weaker, dict) else {}), **stronger}
    return [*(weaker if isinstance(weaker, list) else []), *stronger]


def _convert(values: _Quiet, origin: dict[str, str], environment: Environment, catalog: dict[str, Any]) -> Settings:
    fields = {f.name: f.type for f in msgspec.structs.fields(Settings)}
    converted = _Quiet(providers=values.pop("providers", {}))
    for key in values:
        try:
            converted[key] = msgspec.convert(values[key], fields[key], strict=False, dec_hook=_decode, str_keys=True)
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


def _from_environment(environment: Mapping[str, str]) -> _Quiet:
    """Every ``VIDEOGEN_*`` variable that names a setting; ``VIDEOGEN_CONFIG_DIR`` only says where files are."""
    found = _Quiet()
    for variable in environment:
        if not variable.startswith(PREFIX) or variable == f"{PREFIX}CONFIG_DIR":
            continue
        name, text = variable[len(PREFIX) :].lower(), environment[variable].strip()
        if name in _NAMES and name != "providers" and text:
            found[name] = text
    return found


def _dotenv(path: Path) -> Mapping[str, str]:
    """The variables of an ``.env`` file.

    Raises:
        ConfigurationError: It cannot be read, or holds keys and can be read by everybody.
    """
    if not path.is_file():
        return Sealed()
    fault, found = "", _Quiet()
    try:
        from dotenv import dotenv_values

        found.update((key, value) for key, value in dotenv_values(path).items() if value is not None)
    except OSError as error:
        fault = str(error.strerror)
    except UnicodeDecodeError:
        fault = "it is not UTF-8"
    if fault:  # raised out here: the exception that is left behind hangs on to the text of the file
        raise ConfigurationError(f"{path} cannot be read: {fault}.")
    _check_private(path, [name for name in found if looks_secret(name) and found[name]])
    return Sealed(found)


def _read_toml(path: Path) -> _Quiet:
    """The settings of a file; none when there is no such file.

    Raises:
        ConfigurationError: It cannot be read, is not valid, or holds keys and can be read by everybody.
    """
    fault, found = "", _Quiet()
    try:
        found.update(tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal))
    except (FileNotFoundError, NotADirectoryError):
        return found
    except OSError as error:
        fault = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        fault = "cannot be read: it is not UTF-8"
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        fault = f"is not valid TOML: {error}"
    if fault:  # as above
        raise ConfigurationError(f"{path} {fault}.")
    _check_private(path, list(_keys_in(found.get("providers"))))
    return found


def _keys_in(tables: Any, place: str = "providers") -> Iterator[str]:
    """Where provider tables hold keys, such as ``providers.acme.api_key``."""
    for name, value in tables.items() if isinstance(tables, Mapping) else ():
        if isinstance(value, Mapping):
            yield from _keys_in(value, f"{place}.{name}")
        elif looks_secret(name) and isinstance(value, str) and value:
            yield f"{place}.{name}"


def _check_private(path: Path, keys: list[str]) -> None:
    """Refuse a file that holds keys and that everybody may read."""
    if keys and os.name == "posix" and path.stat().st_mode & stat.S_IROTH:
        raise ConfigurationError(
            f"{path} holds {keys[0]}, and every user of this machine may read it.",
            hint=f"Run: chmod 600 {shlex.quote(str(path))}",
        )


def _user_folder(environment: Mapping[str, str], kind: str) -> Path:
    if kind == "config" and (override := environment.get(f"{PREFIX}CONFIG_DIR")):
        return Path(override).expanduser()
    import platformdirs

    folder = platformdirs.user_config_dir if kind == "config" else platformdirs.user_data_dir
    return Path(folder("videogen", appauthor=False))
