"""Offers collected: read from TOML, looked up by any of their names, overridden by the user.

A catalogue file holds ``source`` and ``as_of`` for all its rows and a list of ``[[models]]``; see `ModelSpec` for the
keys. A user's file may also hold ``[aliases]`` (name = model) and ``[override."provider/name"]`` tables whose keys
replace those of a row.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from .errors import ConfigurationError, ModelNotFoundError
from .matching import ModeIndex
from .spec import ModelSpec, Stage

__all__ = ["Catalog", "CatalogFile", "parse_catalog"]


class CatalogFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a catalogue file says: whole rows, changes to rows of others, and aliases."""

    models: tuple[ModelSpec, ...] = ()
    override: dict[str, dict[str, Any]] = {}
    aliases: dict[str, str] = {}


def parse_catalog(text: str, *, origin: str) -> CatalogFile:
    """Read a catalogue file.

    Args:
        text: TOML.
        origin: Where it came from, for messages.

    Raises:
        ConfigurationError: Not TOML, an unknown key, or a value out of range; the message says where.
    """
    try:
        raw = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{origin} is not valid TOML: {error}.") from error
    common = {key: raw.pop(key) for key in ("source", "as_of") if key in raw}
    unknown = raw.keys() - {"models", "override", "aliases"}
    if unknown:
        raise ConfigurationError(
            f"{origin}: unknown key {sorted(unknown)[0]!r}.",
            hint='A catalogue holds source, as_of, [[models]], [override."provider/name"] and [aliases].',
        )
    rows = raw.get("models", [])
    models = tuple(_row({**common, **row}, origin) for row in rows)
    override: dict[str, dict[str, Any]] = _table(raw, "override", dict, origin)
    aliases: dict[str, str] = _table(raw, "aliases", str, origin)
    return CatalogFile(models=models, override=override, aliases=aliases)


def _table(raw: Mapping[str, Any], name: str, kind: type, origin: str) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict) or not all(isinstance(value, kind) for value in table.values()):
        raise ConfigurationError(f"{origin}: [{name}] must map names to {kind.__name__} values.")
    return table


def _row(row: Mapping[str, Any], origin: str) -> ModelSpec:
    name = row.get("id", "a model without id")
    try:
        return msgspec.convert(dict(row), ModelSpec, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigurationError(f"{origin}: {name}: {error}.") from error


class Catalog:
    """An immutable set of offers, ordered by id so that nothing depends on the order of registration."""

    def __init__(self, offers: Iterable[ModelSpec] = (), *, aliases: Mapping[str, str] | None = None) -> None:
        by_id: dict[str, ModelSpec] = {}
        for spec in offers:
            if spec.id in by_id:
                raise ConfigurationError(f"The offer {spec.id} is defined twice.")
            by_id[spec.id] = spec
        self.offers: tuple[ModelSpec, ...] = tuple(by_id[key] for key in sorted(by_id))
        self._aliases = {name.strip().lower(): target.strip().lower() for name, target in (aliases or {}).items()}

    def __len__(self) -> int:
        return len(self.offers)

    @cached_property
    def _names(self) -> dict[str, list[int]]:
        """Every name an offer answers to, in lower case, with the positions of the offers."""
        names: dict[str, list[int]] = {}
        for position, spec in enumerate(self.offers):
            own = {spec.id, spec.name, f"{spec.provider}/{spec.name}"}
            own |= {alias.lower() for alias in spec.aliases}
            own |= {f"{spec.provider}/{alias.lower()}" for alias in spec.aliases}
            for name in own:
                names.setdefault(name, []).append(position)
        return names

    @cached_property
    def index(self) -> ModeIndex:
        """The mode index, built when the first route needs it."""
        return ModeIndex(self.offers)

    def find(self, name: str) -> list[int]:
        """Positions of the offers that a name means; empty when there is none.

        An id means one offer; a shared model name means every offer of the model.
        """
        key = " ".join(name.lower().split())
        for _ in range(8):  # aliases of aliases, but no circles
            if key not in self._aliases:
                break
            key = self._aliases[key]
        return self._names.get(key, [])

    def lookup(self, name: str, *, today: date, hint: str | None = None) -> list[ModelSpec]:
        """The offers that a name means, the maker's own first, retired ones left out.

        Args:
            name: Any name of a model or offer.
            today: To tell which have been retired.
            hint: What to add when the name is unknown.

        Raises:
            ModelNotFoundError: Nobody offers it, or all its offers are retired.
        """
        offers = [self.offers[position] for position in self.find(name)]
        if not offers:
            close = self.closest(name)
            meant = f"Did you mean {' or '.join(close)}? " if close else ""
            raise ModelNotFoundError(
                f"No installed plugin offers a model named {name!r}.",
                hint=(meant + (hint or "`videogen models` lists what there is.")).strip(),
            )
        alive = [spec for spec in offers if spec.lifecycle.stage_on(today) is not Stage.RETIRED]
        if not alive:
            raise retired(offers[0], name)
        return sorted(alive, key=lambda spec: (not spec.first_party, spec.id))

    def closest(self, name: str, count: int = 3) -> list[str]:
        """The known names most like ``name``."""
        key = name.lower().strip()
        shared = {spec.name for spec in self.offers} | {spec.id for spec in self.offers}
        found = difflib.get_close_matches(key, sorted(shared), n=count, cutoff=0.6)
        if not found:
            found = [known for known in sorted(shared) if key and (key in known or known in key)][:count]
        return found

    def merged(self, file: CatalogFile, *, origin: str) -> Catalog:
        """This catalogue with a user's file applied: rows added or replaced, keys overridden, aliases added.

        Raises:
            ConfigurationError: An override names no offer, or makes a row invalid.
        """
        rows = {spec.id: spec for spec in self.offers}
        rows.update({spec.id: spec for spec in file.models})
        for id_, changes in file.override.items():
            if id_ not in rows:
                near = difflib.get_close_matches(id_, rows, n=1)
                raise ConfigurationError(
                    f"{origin}: [override.{id_!r}] names no offer.", hint=f"Did you mean {near[0]}?" if near else None
                )
            rows[id_] = _row({**msgspec.to_builtins(rows[id_]), **changes, "id": id_}, origin)
        return Catalog(rows.values(), aliases={**self._aliases, **file.aliases})


def retired(spec: ModelSpec, asked: str) -> ModelNotFoundError:
    """The error for a model that is gone: since when, and what to use."""
    life = spec.lifecycle
    since = f" on {life.retired}" if life.retired else ""
    instead = f"Use {life.replaced_by}." if life.replaced_by else "`videogen models` lists what there is."
    note = f" {life.note}" if life.note else ""
    return ModelNotFoundError(f"{asked} ({spec.id}) was retired{since}.{note}", hint=instead)
