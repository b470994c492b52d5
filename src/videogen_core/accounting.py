"""Money over many jobs: budgets and costs, asked of the ledger; one wording for sync and async clients."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .budget import BudgetState, make_budget
from .cost import CostLine
from .errors import ConfigurationError, RequestError
from .settings import Settings
from .workspace import Workspace

__all__ = ["acknowledge_budget", "budgets", "costs", "moment", "remove_budget", "set_budget", "timezone"]


def timezone(settings: Settings) -> str:
    """IANA name of the zone in which the user's days begin.

    Raises:
        ConfigurationError: It is not known.
    """
    name = settings.timezone
    try:
        if name is None:
            import tzlocal

            name = tzlocal.get_localzone_name() or "UTC"
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(
            f"timezone: {name!r} is not known.",
            hint="Set VIDEOGEN_TIMEZONE to a name such as Europe/Berlin; `pip install tzdata` if the system has none.",
        ) from error


def moment(value: Any, zone: str, *, field: str) -> datetime | None:
    """A point in time from what a user wrote: a datetime, a date, ``2026-11-01``, an ISO time, or ``7d`` ago.

    Raises:
        RequestError: It is none of these.
    """
    if value is None:
        return None
    found = value
    if isinstance(value, str):
        ago = re.fullmatch(r"(\d{1,5})([hdw])", value.strip())
        if ago:
            return datetime.now(UTC) - timedelta(hours=int(ago[1]) * {"h": 1, "d": 24, "w": 168}[ago[2]])
        try:
            found = datetime.fromisoformat(value.strip())
        except ValueError:
            found = None
    elif isinstance(value, date) and not isinstance(value, datetime):
        found = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - midnight where the user is
    if isinstance(found, datetime):
        with suppress(OverflowError):  # the first or the last day that there is, in a zone that is ahead or behind
            return (found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    raise RequestError(f"{field}: {value!r} is no time.", hint="Write 2026-11-01, an ISO time, or 7d.")


def costs(workspace: Workspace, by: Any, since: Any, until: Any) -> list[CostLine]:
    """What was spent."""
    zone = timezone(workspace.settings)
    start, end = moment(since, zone, field="since"), moment(until, zone, field="until")
    if not isinstance(by, str):
        raise RequestError(f"by: expected the name of a group, got {by!r}.")
    return workspace.ledger().costs(by=by, since=start, until=end, timezone=zone)


def budgets(workspace: Workspace) -> list[BudgetState]:
    """Every budget."""
    return workspace.ledger().budgets()


def set_budget(
    workspace: Workspace,
    name: str,
    *,
    limit: Any,
    period: str = "month",
    timezone: str | None = None,
    provider: str | None = None,
    model: str | None = None,
    tags: Mapping[str, str] | None = None,
    warn: Iterable[float] = (0.8,),
) -> BudgetState:
    """Add or change a budget."""
    budget = make_budget(
        name,
        limit=limit,
        period=period,
        timezone=timezone or _zone(workspace.settings),
        provider=provider,
        model=model,
        tags=tags,
        warn=warn,
    )
    return workspace.ledger().set_budget(budget)


_zone = timezone


def remove_budget(workspace: Workspace, name: str) -> None:
    """Remove a budget.

    Raises:
        RequestError: There is none of that name.
    """
    if not workspace.ledger().remove_budget(name):
        raise _missing(workspace, name)


def acknowledge_budget(workspace: Workspace, name: str) -> None:
    """Unblock a budget.

    Raises:
        RequestError: There is none of that name.
    """
    if not workspace.ledger().acknowledge(name):
        raise _missing(workspace, name)


def _missing(workspace: Workspace, name: str) -> RequestError:
    names = ", ".join(state.budget.name for state in workspace.ledger().budgets())
    return RequestError(f"There is no budget {name!r}.", hint=f"Budgets: {names or 'none'}.")
