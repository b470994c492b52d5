"""``videogen local``: pull models from the hub, list what is on this machine, and delete it."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from videogen_core import Client, ConfigurationError, ModelNotFoundError, RequestError

from . import hub
from .library import Library, Pulled

__all__ = ["app"]

app = typer.Typer(
    help="Models on this machine: pull them from Hugging Face's hub, list them, delete them.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
_Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_LOOK = 0.5  # seconds between two looks at how much has arrived


@contextmanager
def _library() -> Iterator[tuple[Library, dict[str, str], Any]]:
    """The user's library, environment and offers."""
    with Client() as client:
        settings = client.workspace.settings
        environment = dict(settings.environment)
        yield Library(settings.folder("local"), environment), environment, client


@app.command()
def pull(
    repo: Annotated[str, typer.Argument(metavar="MODEL", help="owner/name at the hub, or a model of this provider.")],
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="COMMIT", help="A commit, branch or tag; default: main.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    as_json: _Json = False,
) -> None:
    """Download a pipeline. It says first how large it is and under which licence, and asks."""
    screen = Console(stderr=True)
    with _library() as (library, environment, client):
        repo = _repository(repo, client)
        listing = hub.look(repo, environment, revision=revision)
        known = library.find(listing.repo)
        if known is not None and known.revision == listing.revision and known.pulled_at is not None:
            screen.print(f"{known.repo} is here already, at {known.revision[:12]}.")
            _say(known, as_json=as_json)
            return
        _check_space(listing, library)
        screen.print(
            f"{listing.repo} at {listing.revision[:12]}: {_size(listing.bytes)} in {len(listing.files)} files, "
            f"licence {listing.license or 'not stated'}."
        )
        if not yes and not _agreed():
            raise RequestError("Nothing was downloaded.", hint="Say --yes to download without being asked.")
        pulled = _downloaded(listing, library, environment, screen)
        screen.print(f'videogen generate "…" --model local/{pulled.repo.lower()}')
        _say(pulled, as_json=as_json)


def _agreed() -> bool:
    return sys.stdin.isatty() and typer.confirm("Download it?", err=True)


def _repository(name: str, client: Any) -> str:
    """The repository that a name means: one of the hub's, or that of a model of the catalogue."""
    wanted = name.strip().removeprefix("https://huggingface.co/").strip("/")
    rows = [spec for spec in client.models(provider="local") if spec.vendor.get("repo")]
    for spec in rows:
        if wanted.lower() in (spec.id, spec.name, spec.id.removeprefix("local/"), *spec.aliases):
            return str(spec.vendor["repo"])
    if wanted.count("/") != 1:
        raise ModelNotFoundError(
            f"{name!r} is no repository of the hub.",
            hint="Write owner/name, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers, or one of: "
            + ", ".join(spec.id.removeprefix("local/") for spec in rows),
        )
    return wanted


def _check_space(listing: hub.Listing, library: Library) -> None:
    place = library.folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    here = _arrived(library.place(listing.repo))
    if listing.bytes - here > free:
        raise ConfigurationError(
            f"{listing.repo} takes {_size(listing.bytes)}, and {_size(free)} are free at {place}.",
            hint="Free some space, or set VIDEOGEN_HOME to a place on a larger disk.",
        )


def _downloaded(listing: hub.Listing, library: Library, environment: dict[str, str], screen: Console) -> Pulled:
    """Download with a bar, which looks at what has arrived on disk."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    done = threading.Event()
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(listing.repo, total=listing.bytes)

        def look() -> None:
            while not done.wait(_LOOK):
                bar.update(task, completed=min(_arrived(library.place(listing.repo)), listing.bytes))

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            return hub.fetch(listing, library, environment, lambda here, whole: bar.update(task, completed=here))
        finally:
            done.set()
            watcher.join()


def _arrived(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) if place.is_dir() else 0


@app.command("list")
def list_models(as_json: _Json = False) -> None:
    """List the models that were pulled."""
    with _library() as (library, _, _client):
        found = library.pulled()
    if as_json:
        print(json.dumps({"models": [_plain(pulled) for pulled in found]}))
        return
    for pulled in found:
        terms = pulled.license or "licence not stated"
        print(f"local/{pulled.repo.lower()}  {_size(pulled.bytes)}  {terms}  {pulled.revision[:12]}  {pulled.folder}")
    if not found:
        Console(stderr=True).print("No model was pulled. `videogen models --provider local` lists what there is.")


@app.command()
def rm(
    repo: Annotated[str, typer.Argument(metavar="MODEL", help="owner/name of a model that was pulled.")],
    as_json: _Json = False,
) -> None:
    """Delete a model that was pulled; what lies in the hub's own cache stays."""
    with _library() as (library, _, client):
        removed = library.remove(_repository(repo.removeprefix("local/"), client))
    if removed is None:
        raise ModelNotFoundError(f"{repo} was not pulled.", hint="`videogen local list` lists what was.")
    Console(stderr=True).print(f"Deleted {removed.folder}.")
    _say(removed, as_json=as_json)


def _say(pulled: Pulled, *, as_json: bool) -> None:
    print(json.dumps(_plain(pulled)) if as_json else pulled.folder)


def _plain(pulled: Pulled) -> dict[str, Any]:
    at = pulled.pulled_at.isoformat() if pulled.pulled_at else None
    return {
        "model": f"local/{pulled.repo.lower()}",
        "repo": pulled.repo,
        "revision": pulled.revision,
        "license": pulled.license,
        "bytes": pulled.bytes,
        "pulled_at": at,
        "folder": pulled.folder,
    }


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**8 else f"{count / 1e6:.1f} MB"
