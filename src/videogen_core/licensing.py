"""What the licence of an open model forbids, and whether the user has said yes to it.

Requirements come first: what the settings say of the user (where they are, what they earn, that it is for business) is
never overruled by a yes. After that a licence that limits anybody at all is used only with a yes that names it, because
nobody reads the terms of a model that a router has picked.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Protocol

from .spec import License

__all__ = ["EVERY_LICENSE", "is_excluded", "license_key", "license_refusal"]

EVERY_LICENSE = "*"
"""A yes to every licence, for questions that spend nothing."""

_MEMBERS = """
    AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE
"""  # since 2020-02-01
_EUROPEAN_UNION = frozenset(_MEMBERS.split())
_OTHER_CODES = {"UK": "GB", "EL": "GR"}  # what people and the European Union write for ISO's own


def license_key(name: str) -> str:
    """How the name of a licence is compared: small letters, one hyphen for what is neither letter nor digit."""
    return re.sub(r"[^a-z0-9.]+", "-", name.strip().lower()).strip("-") if name != EVERY_LICENSE else EVERY_LICENSE


def is_excluded(terms: License, territory: str) -> bool:
    """Whether a licence leaves a country out; ``EU`` among its territories means every member state."""
    code = territory.strip().upper()
    code = _OTHER_CODES.get(code, code)
    excluded = {_OTHER_CODES.get(name.upper(), name.upper()) for name in terms.excluded_territories}
    if "EU" in excluded:
        excluded |= _EUROPEAN_UNION
    return bool(excluded & _EUROPEAN_UNION) if code == "EU" else code in excluded


class User(Protocol):
    """What a policy says of the user.

    Attributes:
        commercial: Whether the clips are for business.
        territory: Country code of the user.
        revenue_usd: What the user, or their company, earns in a year.
        accept_licenses: Names of the licences that the user has said yes to.
    """

    @property
    def commercial(self) -> bool: ...
    @property
    def territory(self) -> str | None: ...
    @property
    def revenue_usd(self) -> Decimal | None: ...
    @property
    def accept_licenses(self) -> tuple[str, ...]: ...


def license_refusal(terms: License, user: User) -> str | None:
    """Why a user may not use a model under these terms; None when they may."""
    if user.commercial and not terms.commercial:
        return f"{terms.name} forbids commercial use"
    if user.territory and is_excluded(terms, user.territory):
        return f"{terms.name} excludes {user.territory.strip().upper()}"
    limit = terms.revenue_limit_usd
    if user.revenue_usd is not None and limit is not None and user.revenue_usd >= limit:
        return f"{terms.name} is for who earns less than ${limit:,} a year"
    said_yes = {license_key(name) for name in user.accept_licenses}
    if not terms.limits or EVERY_LICENSE in said_yes or license_key(terms.name) in said_yes:
        return None
    read = f" ({terms.url})" if terms.url else ""
    note = f"; {terms.note}" if terms.note else ""
    return (
        f"its licence, {terms.name}, has limits: {', '.join(terms.limits)}{note}. Read it{read}, and if you may use "
        f"the model, say accept_licenses={license_key(terms.name)!r}"
    )
