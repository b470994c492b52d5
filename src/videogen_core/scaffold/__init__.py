"""``videogen new-plugin``: a whole repository for a provider's plugin, which works as it is written.

The templates in ``templates/plugin`` are a whole plugin, for a vendor that is polled; names, dates and a sentence are
all that varies in them, and `string.Template` of the standard library fills those in. Another kind of vendor is a list
of changes to them, each of which must fit exactly once: ``templates/webhook.toml`` and its like say how such a vendor
differs, and nothing else. Neither needs a template engine, whose conditions would hide both.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from videogen_core import PLUGIN_API, ConfigurationError, RequestError, __version__

__all__ = ["KINDS", "NewPlugin", "new_plugin"]

KINDS: dict[str, str] = {
    "poll": "it gives a job an id at once, and is asked until the clip is done",
    "webhook": "it gives a job an id at once, and tells a web address of the user's when the clip is done",
    "sync": "it answers a create when the clip is done, or after half a minute with a job that goes on",
    "inline": "it is asked until the clip is done, and its answer then holds the clip itself",
}
"""The kinds of vendor to start from, and what such a vendor does."""

LONGEST_NAME = 20
"""Characters; what is written for longer ones would break lines of 120."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SUFFIX = ".tmpl"
_RESERVED = {
    "core": "the core itself is called videogen-core",
    "videogen": "the core's own variables begin with VIDEOGEN_",
    "sandbox": "the core's own provider is called so",
}


@dataclass(frozen=True, kw_only=True)
class NewPlugin:
    """What was written.

    Attributes:
        name: The provider's.
        kind: One of `KINDS`.
        folder: The repository.
        files: In it, as relative paths, sorted.
    """

    name: str
    kind: str
    folder: Path
    files: tuple[str, ...]


def new_plugin(
    name: str,
    *,
    kind: str = "poll",
    folder: Path | None = None,
    taken: Mapping[str, str] | None = None,
    today: date | None = None,
) -> NewPlugin:
    """Write a repository; either all of it is there afterwards, or nothing.

    Args:
        name: Of the provider: lower-case letters, digits and single hyphens.
        kind: The kind of vendor to start from, of `KINDS`.
        folder: Where; must not exist, or be empty. None = ``videogen-NAME`` in the working folder.
        taken: Names of providers that others have, with who has them.
        today: The date that facts and the licence get; None = today, UTC.

    Raises:
        RequestError: The name, the kind or the folder cannot be used.
        ConfigurationError: The folder cannot be written.
    """
    _check_name(name, taken or {})
    if kind not in KINDS:
        raise RequestError(
            f"There is no kind of vendor {kind[:80]!r} to start from.", hint=f"Choose one of {', '.join(KINDS)}."
        )
    target = (folder or Path(f"videogen-{name}")).absolute()
    _check_folder(target)
    words = _words(name, kind, today or datetime.now(UTC).date())
    written = dict(sorted(_files(kind, words).items()))
    _write(target, written)
    return NewPlugin(name=name, kind=kind, folder=target, files=tuple(written))


# --- names ------------------------------------------------------------------------------------------------------


def _check_name(name: str, taken: Mapping[str, str]) -> None:
    """Let a name pass that can be a provider's, a package's and a variable's.

    Raises:
        RequestError: It cannot, or somebody has it.
    """
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        close = _like(name)
        raise RequestError(
            f"{name[:80]!r} cannot be the name of a provider: it has to be 1 to {LONGEST_NAME} lower-case letters, "
            "digits and single hyphens, and begin with a letter.",
            hint=f"Such as {close}." if close else "Such as acme.",
        )
    if name.startswith("videogen-"):
        raise RequestError(
            f"{name!r} would make a distribution called videogen-{name}.",
            hint=f"Give the provider's name alone: {name.removeprefix('videogen-')}.",
        )
    whose = {**taken, **_RESERVED}.get(name)
    if whose is not None:
        raise RequestError(
            f"The name {name!r} is taken: {whose}.",
            hint="Two plugins of one name are both refused, so choose another.",
        )


def _like(name: str) -> str:
    """A name that is allowed and like the given one; empty when nothing of it can be kept."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower().removeprefix("videogen")).strip("-").lstrip("0123456789-")
    return plain[:LONGEST_NAME].rstrip("-")


def _words(name: str, kind: str, today: date) -> dict[str, str]:
    """What templates call ``$word``."""
    parts = name.split("-")
    package = f"videogen_{name.replace('-', '_')}"
    floor = ".".join(__version__.split(".")[:2])
    versions = f">={floor},<{int(floor.partition('.')[0]) + 1}"
    extra = "[webhooks]" if kind == "webhook" else ""
    return {
        "name": name,
        "NAME": name.replace("-", "_").upper(),
        "Class": "".join(part.capitalize() for part in parts),
        "title": " ".join(part.capitalize() for part in parts),
        "package": package,
        "distribution": f"videogen-{name}",
        "core": f"videogen-core{extra}{versions}",
        "core_testing": f"videogen-core[testing]{versions}",
        "kind_sentence": KINDS[kind],
        "plugin_api": str(PLUGIN_API),
        "today": today.isoformat(),
        "year": str(today.year),
    }


# --- files ------------------------------------------------------------------------------------------------------


def _files(kind: str, words: Mapping[str, str]) -> dict[str, str]:
    """Relative path -> text of every file of a plugin for a vendor of that kind."""
    root = resources.files(__name__) / "templates"
    plain = {path.removesuffix(_SUFFIX): text for path, text in _templates(root / "plugin")}
    for change in _changes(root, kind):
        assert plain[change["file"]].count(change["old"]) == 1, f"{kind}: {change['old']!r} is not once in the template"
        plain[change["file"]] = plain[change["file"]].replace(change["old"], change["new"])
    own = f"src/{words['package']}/"
    return {path.replace("src/package/", own): Template(text).substitute(words) for path, text in plain.items()}


def _changes(root: Traversable, kind: str) -> list[dict[str, str]]:
    """How the files of a kind differ from those for a vendor that is polled."""
    if kind == "poll":
        return []
    table = tomllib.loads((root / f"{kind}.toml").read_text(encoding="utf-8"))
    changes: list[dict[str, str]] = table["changes"]
    return changes


def _templates(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, str]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _templates(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield f"{prefix}{entry.name}", entry.read_text(encoding="utf-8")


def _check_folder(target: Path) -> None:
    """Let a folder pass that is not there, or has nothing in it.

    Raises:
        RequestError: It is there already.
    """
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise RequestError(
            f"{target} is there already, and nothing is overwritten.", hint="Choose another with --folder."
        )


def _write(target: Path, files: Mapping[str, str]) -> None:
    """Write all files into a folder beside it, which then takes the place.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            for name, text in files.items():
                path = draft / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            draft.chmod(0o755)  # a temporary folder is its owner's alone
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigurationError(
            f"{target} cannot be written: {error}.", hint="Choose another with --folder."
        ) from error
