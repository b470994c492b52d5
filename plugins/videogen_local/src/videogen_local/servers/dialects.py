"""What tells one server of ``/v1/videos`` from another, read from ``dialects.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec

from videogen_core import ConfigurationError

__all__ = ["Dialect", "dialect", "dialects"]


class Dialect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one kind of server wants to be talked to.

    Attributes:
        name: In settings.
        title: For people.
        encoding: How a create is written: ``json``, ``multipart``, or ``multipart_with_files``: JSON unless a file goes
            along.
        fields: Our field -> theirs. What is missing cannot be told, so offers do not have it. ``guidance`` is the scale
            of a model's first expert, which works while there is much noise, and ``guidance_2`` of the second one;
            ``one_guidance`` stands for both where a request gives only one.
        form: Our fields that a form reads under their own names; empty = all.
        form_extra: The field of a form that takes the others, as JSON.
        seconds_as_text: Whether JSON has the seconds as text.
        image: How pictures are told: ``file`` in a form, or ``data_url``.
        models: Paths that may say which model is served; the first that answers counts.
        fixed_seed: Whether every job has the same seed unless it is told one; then it is told one, drawn by us.
        clip: The field of a record that is null where a job has ended well and yet made no clip; "" = none tells.
        progress: Whether what it says of progress means anything before the end.
        cancel: What DELETE does to a job that has not ended: ``abort`` stops and forgets it, ``none``: it runs on.
        reconcile: Whether the records of its list echo the prompt (``by_list``), or only size and time (``by_time``),
            or there is no list (``none``).
        source: Where it was read.
        as_of: When.
    """

    name: str
    title: str = ""
    encoding: Literal["json", "multipart", "multipart_with_files"]
    fields: Mapping[str, str]
    form: tuple[str, ...] = ()
    form_extra: str = ""
    seconds_as_text: bool = False
    image: Literal["file", "data_url"] = "file"
    models: tuple[str, ...] = ("/v1/models",)
    fixed_seed: bool = False
    clip: str = ""
    progress: bool = True
    cancel: Literal["abort", "none"] = "none"
    reconcile: Literal["by_list", "by_time", "none"] = "none"
    source: str = ""
    as_of: date | None = None

    def takes(self, field: str) -> bool:
        """Whether it can be told a field of ours."""
        return field in self.fields


@cache
def dialects() -> Mapping[str, Dialect]:
    """Every dialect that is known, by name."""
    text = resources.files(__package__).joinpath("dialects.toml").read_text(encoding="utf-8")
    return {name: _made({"name": name, **table}) for name, table in tomllib.loads(text).items()}


def dialect(said: Any, *, where: str) -> Dialect:
    """The dialect that settings name, or describe: a table that has ``like`` and what is different.

    Args:
        said: A name, or a table.
        where: Of the settings, for messages.

    Raises:
        ConfigurationError: There is no such dialect, or the table is wrong.
    """
    table = {"like": said} if isinstance(said, str) else dict(said) if isinstance(said, Mapping) else {}
    like = table.pop("like", None)
    known = dialects().get(str(like))
    if known is None:
        raise ConfigurationError(
            f"{where}: {like!r} is no dialect.", hint=f"Known: {', '.join(dialects())}; a table names one as `like`."
        )
    if not table:
        return known
    base: dict[str, Any] = msgspec.to_builtins(known)
    changed = table.pop("fields", {})
    try:
        fields = {**base["fields"], **msgspec.convert(changed, dict[str, str])}
        return _made({**base, **table, "fields": {name: theirs for name, theirs in fields.items() if theirs}})
    except (msgspec.ValidationError, TypeError) as error:
        raise ConfigurationError(f"{where}: {error}.") from None


def _made(table: Mapping[str, Any]) -> Dialect:
    return msgspec.convert(table, Dialect)
