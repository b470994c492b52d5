"""Offers collected: read from TOML, looked up by any of their names, overridden by the user.

A catalogue file holds ``source`` and ``as_of`` for all its rows and a list of ``[[models]]``; see `ModelSpec` for the
keys; ``like = "provider/name"`` takes what a row does not say itself from an earlier one, its id, names, title and
lifecycle apart. A user's file may also hold ``[aliases]`` (name = model) and ``[override."provider/name"]`` tables
whose keys replace those of a row.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec

from .errors import ConfigurationError, ModelNotFoundError, RequestError
from .matching import ModeIndex
from .pricing import PriceIndex
from .spec import ModelSpec, Stage

__all__ = ["Catalog", "CatalogFile", "completed", "parse_catalog", "read_catalog"]


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
    return read_catalog(raw, origin=origin)


def read_catalog(table: Mapping[str, Any], *, origin: str) -> CatalogFile:
    """Read a catalogue that is already parsed.

    Raises:
        ConfigurationError: An unknown key, or a value out of range; the message says where.
    """
    raw = dict(table)
    common: dict[str, Any] = {key: raw.pop(key) for key in ("source", "as_of") if key in raw}
    unknown = raw.keys() - {"models", "override", "aliases"}
    if unknown:
        raise ConfigurationError(
            f"{origin}: unknown key {sorted(unknown)[0]!r}.",
            hint='A catalogue holds source, as_of, [[models]], [override."provider/name"] and [aliases].',
        )
    rows = raw.get("models", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ConfigurationError(f"{origin}: models must be a list of tables.", hint="Write [[models]] before each.")
    models = tuple(_row({**common, **row}, origin) for row in _alike(rows, origin))
    ids = [spec.id for spec in models]
    if twice := [id_ for id_ in ids if ids.count(id_) > 1]:
        raise ConfigurationError(f"{origin}: the offer {twice[0]} is defined twice.")
    override: dict[str, dict[str, Any]] = _table(raw, "override", dict, origin)
    aliases: dict[str, str] = _table(raw, "aliases", str, origin)
    return CatalogFile(models=models, override=override, aliases=aliases)


_OWN = ("id", "model", "title", "aliases", "lifecycle")


def _alike(rows: list[dict[str, Any]], origin: str) -> Iterator[dict[str, Any]]:
    """The rows, with what a row that is ``like`` an earlier one does not say itself taken from there."""
    known: dict[str, dict[str, Any]] = {}
    for row in rows:
        plain = dict(row)
        if "like" in plain:
            model = known.get(str(plain.pop("like")))
            if model is None:
                raise ConfigurationError(
                    f"{origin}: {row.get('id')}: like = {row['like']!r} names no row above.",
                    hint="Write the id of a row that comes first.",
                )
            plain = {**{key: value for key, value in model.items() if key not in _OWN}, **plain}
        known[str(plain.get("id"))] = plain
        yield plain


def _table(raw: Mapping[str, Any], name: str, kind: type, origin: str) -> dict[str, Any]:
    table = raw.get(name, {})
    if not isinstance(table, dict) or not all(isinstance(value, kind) for value in table.values()):
        raise ConfigurationError(f"{origin}: [{name}] must map names to {kind.__name__} values.")
    return table


def _row(row: Mapping[str, Any], origin: str) -> ModelSpec:
    name = row.get("id", "a model without id")
    plain = dict(row)
    for key in ("vendor", "options"):  # holds free values, in which a Decimal would be a surprise
        if key in plain:
            plain[key] = _floats(plain[key])
    if isinstance(plain.get("prices"), list):
        plain["prices"] = [_price(price) for price in plain["prices"]]
    try:
        return msgspec.convert(plain, ModelSpec)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{origin}: {name}: {error}.") from error


def _price(row: Any) -> Any:
    return {**row, "options": _floats(row["options"])} if isinstance(row, dict) and "options" in row else row


def _floats(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _floats(item) for key, item in value.items()}
    return [_floats(item) for item in value] if isinstance(value, list) else value


def _key(name: str) -> str:
    """A name as it is looked up: lower case, single spaces."""
    return " ".join(name.lower().split())


class Catalog:
    """An immutable set of offers, ordered by id so that nothing depends on the order of registration."""

    def __init__(self, offers: Iterable[ModelSpec] = (), *, aliases: Mapping[str, str] | None = None) -> None:
        by_id: dict[str, ModelSpec] = {}
        for spec in offers:
            if spec.id in by_id:
                raise ConfigurationError(f"The offer {spec.id} is defined twice.")
            by_id[spec.id] = spec
        self.offers: tuple[ModelSpec, ...] = tuple(by_id[key] for key in sorted(by_id))
        self._aliases = {_key(name): _key(target) for name, target in (aliases or {}).items()}
        for start in self._aliases:
            self._follow(start)

    def _follow(self, name: str) -> str:
        """The name that an alias ends at; the name itself when it is no alias."""
        seen = [name]
        while (target := self._aliases.get(seen[-1])) is not None:
            if target in seen:
                raise ConfigurationError(f"The aliases {' -> '.join([*seen, target])} run in a circle.")
            seen.append(target)
        return seen[-1]

    def __len__(self) -> int:
        return len(self.offers)

    @cached_property
    def _names(self) -> dict[str, list[int]]:
        """Every name an offer answers to, in lower case, with the positions of the offers."""
        names: dict[str, list[int]] = {}
        for position, spec in enumerate(self.offers):
            own = {spec.name, f"{spec.provider}/{spec.name}"}
            own |= {*spec.aliases, *(f"{spec.provider}/{alias}" for alias in spec.aliases)}
            for name in {_key(name) for name in own}:
                names.setdefault(name, []).append(position)
        names.update({spec.id: [position] for position, spec in enumerate(self.offers)})  # an id means one offer
        return names

    @cached_property
    def index(self) -> ModeIndex:
        """The mode index, built when the first route needs it."""
        return ModeIndex(self.offers)

    @cached_property
    def prices(self) -> PriceIndex:
        """The price index, built when the first route needs it."""
        return PriceIndex(self.offers)

    @cached_property
    def positions(self) -> dict[str, int]:
        """The position of each offer by its id."""
        return {spec.id: position for position, spec in enumerate(self.offers)}

    @cached_property
    def standing(self) -> list[int]:
        """For each offer the position of the first one of equal provider, tier, lifecycle, licence and origin.

        What a router holds for or against them is the same, so it needs to be worked out only once.
        """
        first: dict[Any, int] = {}
        keys = (
            (s.provider, s.tier, s.lifecycle, s.license, s.placeholder, s.first_party, s.outline is None)
            for s in self.offers
        )
        return [first.setdefault(key, position) for position, key in enumerate(keys)]

    @cached_property
    def standing_masks(self) -> dict[int, int]:
        """The modes of all offers of equal `standing`, as bit masks of the `index`."""
        return self.index.masks(self.standing)

    @cached_property
    def typical_latency(self) -> list[float | None]:
        """The catalogued seconds of each offer, by position."""
        return [None if spec.latency is None else spec.latency.typical for spec in self.offers]

    def meant(self, name: str) -> str:
        """A name in the one spelling, with the user's aliases followed to their end."""
        return self._follow(_key(name))

    def find(self, name: str) -> list[int]:
        """Positions of the offers that a name means; empty when there is none.

        An id means one offer; a shared model name means every offer of the model.
        """
        return self._names.get(self.meant(name), [])

    def lookup(self, name: str, *, today: date, hint: str | None = None) -> list[ModelSpec]:
        """The offers that a name means, the maker's own first, retired ones left out.

        Args:
            name: Any name of a model or offer.
            today: To tell which have been retired.
            hint: What to add when the name is unknown.

        Raises:
            RequestError: The name is not text.
            ModelNotFoundError: Nobody offers it, or all its offers are retired.
        """
        if not isinstance(name, str):
            raise RequestError(f"model: expected a name, got {type(name).__name__}.")
        offers = [self.offers[position] for position in self.find(name)]
        if not offers:
            target = self.meant(name)
            alias = f" (your alias for {target!r})" if target != _key(name) else ""
            close = self.closest(target)
            meant = f"Did you mean {' or '.join(close)}? " if close else ""
            raise ModelNotFoundError(
                f"No installed plugin offers a model named {name[:100]!r}{alias}.",
                hint=(meant + (hint or "`videogen models` lists what there is.")).strip(),
            )
        alive = [spec for spec in offers if spec.lifecycle.stage_on(today) is not Stage.RETIRED]
        if not alive:
            raise retired(offers[0], name)
        return sorted(alive, key=lambda spec: (not spec.first_party, spec.id))

    def closest(self, name: str, count: int = 3) -> list[str]:
        """The known names most like ``name``."""
        key = _key(name[:200])
        shared = {spec.name for spec in self.offers} | {spec.id for spec in self.offers}
        found = difflib.get_close_matches(key, sorted(shared), n=count, cutoff=0.6)
        if not found:
            found = [known for known in sorted(shared) if key and (key in known or known in key)][:count]
        return found

    def merged(self, file: CatalogFile, *, origin: str) -> Catalog:
        """This catalogue with a user's file applied: rows added or replaced, keys overridden, aliases added.

        Raises:
            ConfigurationError: An override names no offer or makes a row invalid, or aliases run in a circle.
        """
        rows = {spec.id: spec for spec in self.offers}
        rows.update({spec.id: spec for spec in file.models})
        for id_, changes in file.override.items():
            if id_ not in rows:
                near = difflib.get_close_matches(id_, rows, n=1)
                raise ConfigurationError(
                    f"{origin}: [override.{id_!r}] names no offer.", hint=f"Did you mean {near[0]}?" if near else None
                )
            row = msgspec.to_builtins(rows[id_], builtin_types=(date, Decimal))
            if "modes" in changes:
                row.pop("outline", None)  # completed by hand
            rows[id_] = _row({**row, **changes, "id": id_}, f"{origin}: [override]")
        return Catalog(rows.values(), aliases={**self._aliases, **file.aliases})


def completed(row: ModelSpec, live: ModelSpec) -> ModelSpec:
    """An outline with what its provider says it takes.

    Names, stage, speed and prices stay those of the row, each price with where and when it was read. A price that does
    not fit what was learned applies to no request, so that the cost of one is unknown rather than wrong.

    Args:
        row: The outline.
        live: The offer of the same id as its provider describes it.
    """
    prices = tuple(
        msgspec.structs.replace(price, source=price.source or row.source, as_of=price.as_of or row.as_of)
        for price in row.prices
    )
    said = {
        field.name: value
        for field in msgspec.structs.fields(row)
        if field.name not in _LEARNED and (value := getattr(row, field.name)) not in (field.default, {})
    }
    return msgspec.structs.replace(
        live,
        **said,
        aliases=tuple(dict.fromkeys((*row.aliases, *live.aliases))),
        prices=prices or live.prices,
        vendor={**live.vendor, **row.vendor},
    )


_LEARNED = ("outline", "source", "as_of", "aliases", "prices", "vendor")
"""What a completed outline has of its provider, or of both; of the rest the row has the last word."""


def retired(spec: ModelSpec, asked: str) -> ModelNotFoundError:
    """The error for a model that is gone: since when, and what to use."""
    life = spec.lifecycle
    since = f" on {life.retired}" if life.retired else ""
    instead = f"Use {life.replaced_by}." if life.replaced_by else "`videogen models` lists what there is."
    note = f" {life.note}" if life.note else ""
    return ModelNotFoundError(f"{asked} ({spec.id}) was retired{since}.{note}", hint=instead)
