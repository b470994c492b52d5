"""Hugging Face's hub: what a repository holds, and a download of just what a pipeline needs.

Nothing is downloaded unless a person asks for it with ``videogen local pull``. A download is pinned to the commit that
was looked at, and only weights as safetensors, configurations and tokenizers are fetched: no pickles and no Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from videogen_core import ConfigurationError, ModelNotFoundError, ProviderUnavailableError

from .folders import INDEXES
from .library import Library, Pulled

__all__ = ["Listing", "fetch", "is_offline", "look", "missing", "wanted"]

_KINDS = (".safetensors", ".json", ".model", ".txt", ".spm", ".jinja")
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DIFFUSERS_OFFLINE")


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What a repository holds of a pipeline.

    Attributes:
        repo: In its own spelling.
        revision: The commit that was looked at.
        license: As its card says; empty = it does not.
        files: Name -> bytes, of what is needed.
        gated: Whether its terms have to be accepted at the hub first.
    """

    repo: str
    revision: str
    license: str = ""
    files: dict[str, int]
    gated: bool = False

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(self.files.values())


def is_offline(environment: Mapping[str, str]) -> bool:
    """Whether the user has forbidden the hub's clients to use the network."""
    return any(environment.get(name, "").strip().upper() in ("1", "ON", "YES", "TRUE") for name in _OFFLINE)


def look(repo: str, environment: Mapping[str, str], *, revision: str | None = None) -> Listing:
    """Ask what a repository holds.

    Args:
        repo: ``owner/name``.
        environment: May hold ``HF_TOKEN``, and may forbid to ask.
        revision: A commit, branch or tag; None = the main branch.

    Raises:
        ConfigurationError: Offline, or huggingface_hub is not installed.
        ModelNotFoundError: No such repository, no pipeline, or its terms have not been accepted.
        ProviderUnavailableError: The hub cannot be asked now.
    """
    hub = _hub(environment, f"ask for {repo}")
    try:
        api = hub.HfApi(token=environment.get("HF_TOKEN") or None)
        info = api.model_info(repo, revision=revision, files_metadata=True)
    except Exception as error:
        raise _refusal(error, repo) from error
    return _listing(info, repo)


def _listing(info: Any, repo: str) -> Listing:
    files = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if not any(index in files for index in INDEXES):
        raise ModelNotFoundError(
            f"{repo} is no pipeline: it has neither {' nor '.join(INDEXES)}.",
            hint="Many models have a second repository in diffusers' format, often with -Diffusers in its name.",
        )
    tags = info.tags or ()
    stated = (tag.partition(":")[2] for tag in tags if tag.startswith("license:"))
    return Listing(
        repo=info.id or repo,
        revision=str(info.sha),
        license=next(stated, ""),
        files=wanted(files),
        gated=bool(info.gated),
    )


def wanted(files: Mapping[str, int]) -> dict[str, int]:
    """What a pipeline needs of the files of a repository.

    Its index at the top and what lies in the components' folders; of weights that come in several precisions the plain
    ones, since those are what the pipeline loads.
    """
    found = {}
    for name, size in files.items():
        depth = name.count("/")
        if not name.endswith(_KINDS) or depth > 1 or (depth == 0 and name not in (*INDEXES, "videogen.toml")):
            continue
        found[name] = size
    plain = {name.rpartition("/")[0] for name in found if ".safetensors" in name and not _is_variant(name)}
    return {name: size for name, size in found.items() if not (_is_variant(name) and name.rpartition("/")[0] in plain)}


def _is_variant(name: str) -> bool:
    return ".safetensors" in name and any(
        f".{variant}" in name for variant in ("fp16", "bf16", "fp8", "int8", "non_ema")
    )


def missing(name: str, environment: Mapping[str, str]) -> ModelNotFoundError:
    """Why a repository that is not on this machine cannot be used: what to pull, how large it is, under which licence.

    Asks the hub where that is allowed and possible; nothing is downloaded.
    """
    hint = f"Run: videogen local pull {name}"
    try:
        listing = look(name, environment)
    except (ConfigurationError, ProviderUnavailableError) as error:
        return ModelNotFoundError(f"{name} is not on this machine. {error.message}", hint=hint)
    except ModelNotFoundError as error:
        return error
    return ModelNotFoundError(
        f"{listing.repo} is not on this machine: {listing.bytes / 1e9:.1f} GB to download, licence "
        f"{listing.license or 'not stated'}.",
        hint=hint,
    )


def fetch(
    listing: Listing, library: Library, environment: Mapping[str, str], told: Callable[[int, int], None]
) -> Pulled:
    """Download what was listed; an interrupted download goes on where it was when it is asked for again.

    Args:
        listing: What `look` found.
        library: Where it goes.
        environment: As for `look`.
        told: Called with bytes that are here, and bytes in all.

    Raises:
        ConfigurationError, ModelNotFoundError, ProviderUnavailableError: As for `look`.
    """
    hub = _hub(environment, f"pull {listing.repo}")
    hub.utils.disable_progress_bars()  # ours is shown
    place = library.place(listing.repo)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    here = 0
    for name, size in listing.files.items():
        try:
            hub.hf_hub_download(
                listing.repo,
                name,
                revision=listing.revision,
                local_dir=place,
                token=environment.get("HF_TOKEN") or None,
            )
        except Exception as error:
            raise _refusal(error, listing.repo) from error
        _verify(place / name, size)
        here += size
        told(here, listing.bytes)
    pulled = Pulled(
        repo=listing.repo,
        revision=listing.revision,
        license=listing.license,
        bytes=listing.bytes,
        pulled_at=datetime.now(UTC),
    )
    library.note(pulled)
    return msgspec.structs.replace(pulled, folder=str(place))


def _verify(path: Path, size: int) -> None:
    if path.stat().st_size != size:
        path.unlink()
        raise ProviderUnavailableError(
            f"{path.name} arrived with another length than the hub announced.", hint="Pull it again.", provider="local"
        )


def _hub(environment: Mapping[str, str], what: str) -> Any:
    if is_offline(environment):
        raise ConfigurationError(
            f"Offline mode is on, so nobody can {what}.", hint=f"Unset {' and '.join(_OFFLINE)} to go online."
        )
    try:
        import huggingface_hub
    except ImportError as error:
        raise ConfigurationError(
            "huggingface_hub is not installed.", hint="Run: pip install 'videogen-local[torch]'"
        ) from error
    return huggingface_hub


def _refusal(error: Exception, repo: str) -> Exception:
    """The hub client's error as one of ours; the token is in none of its messages."""
    kind = type(error).__name__
    if kind == "GatedRepoError":
        return ModelNotFoundError(
            f"{repo} is only for who has accepted its terms.",
            hint=f"Accept them at https://huggingface.co/{repo} and set HF_TOKEN to a token of yours.",
        )
    if kind in ("RepositoryNotFoundError", "RevisionNotFoundError", "HFValidationError", "EntryNotFoundError"):
        return ModelNotFoundError(
            f"The hub has no {repo}, or it is private.", hint="Look the name up at https://huggingface.co/models."
        )
    return ProviderUnavailableError(
        f"The hub cannot be asked for {repo}: {kind}.", provider="local", hint="Try again later."
    )
