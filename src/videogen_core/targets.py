"""Where a clip goes: its name, and whether it can be written there, before anything is spent."""

from __future__ import annotations

import errno
import os
import re
import shutil
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigurationError, RequestError
from .partials import claim, temporary

__all__ = ["check_target", "target_path", "with_ending"]

_MIN_FREE = 64 * 1024**2


def target_path(
    output: str | None,
    *,
    folder: Path,
    model: str,
    provider: str,
    job_id: str,
    index: int,
    count: int,
    suffix: str = ".mp4",
) -> Path:
    """The absolute path of one file. Nothing that a server said becomes part of it.

    Args:
        output: A file, a folder (existing, or with a slash at its end), a template with ``{model}``, ``{provider}``,
            ``{job_id}`` and ``{index}``, or None for a file in ``folder``.
        folder: The library's own folder.
        model: Shared model name.
        provider: Adapter id.
        job_id: Our id of the job.
        index: Which of the files, from 0; names count from 1.
        count: How many there are; with more than one, names end in ``-1``, ``-2``, … unless ``{index}`` is used.
        suffix: For names that we choose.

    Raises:
        RequestError: The template has an unknown field or unbalanced braces.
    """
    numbered = False
    if output is None:
        path = folder / f"{_component(job_id)}{suffix}"
    elif not output.strip() or "\0" in output:
        raise RequestError("output: the path is empty or holds a null character.")
    else:
        values = {"model": _component(model), "provider": _component(provider), "job_id": _component(job_id)}
        text, numbered = _fill(output, {**values, "index": index + 1})
        path = Path(text)
        if text.endswith(("/", os.sep)) or path.is_dir():
            path /= f"{values['model']}-{values['job_id']}{suffix}"
    if count > 1 and not numbered:
        stem, ending = _split(path.name)
        path = path.with_name(f"{stem}-{index + 1}{ending}")
    return path.absolute()


def with_ending(path: Path, ending: str | None) -> Path:
    """The same place for a file of another kind; None = the path as it is."""
    return path if ending is None else path.with_name(_split(path.name)[0] + ending)


def _component(value: str) -> str:
    """A value as one harmless part of a file name."""
    return re.sub(r"[^\w.+=@-]+", "-", value).lstrip(".-")[:100] or "unnamed"


def _split(name: str) -> tuple[str, str]:
    # not Path.suffix, for which "veo-3.1-fast" ends in ".1-fast"
    match = re.search(r"\.[A-Za-z0-9]{2,4}$", name)
    return (name[: match.start()], match[0]) if match and match.start() else (name, "")


def _fill(template: str, values: Mapping[str, Any]) -> tuple[str, bool]:
    """The template with its fields filled in, and whether ``{index}`` was one of them."""
    hint = f"Fields: {', '.join('{' + name + '}' for name in values)}; write {{{{ for a brace."
    parts, numbered = [], False
    try:
        for literal, name, spec, conversion in string.Formatter().parse(template):
            parts.append(literal)
            if name is None:
                continue
            if name not in values or conversion:
                raise RequestError(f"output: unknown field {{{name}}} in {template!r}.", hint=hint)
            numbered = numbered or name == "index"
            parts.append(format(values[name], spec or ""))
    except ValueError as error:
        raise RequestError(f"output: {template!r} is not a valid template: {error}.", hint=hint) from error
    return "".join(parts), numbered


def check_target(
    output: str | None,
    *,
    folder: Path,
    model: str,
    provider: str,
    job_id: str,
    index: int,
    count: int,
    suffix: str = ".mp4",
    overwrite: bool = False,
) -> Path:
    """Find out, before anything is spent, whether `target_path` can be written; blocks. Creates no folder.

    Args:
        output, folder, model, provider, job_id, index, count, suffix: As for `target_path`.
        overwrite: Whether an existing file may be replaced.

    Raises:
        RequestError: The file exists, or its folder cannot be written.
        ConfigurationError: The disk is full or read-only.
    """
    path = target_path(
        output, folder=folder, model=model, provider=provider, job_id=job_id, index=index, count=count, suffix=suffix
    )
    try:
        if len(os.fsencode(path.name)) > 255:
            raise RequestError(f"output: the name {path.name[:40]!r}… is too long.")
        if path.is_dir():
            raise RequestError(f"output: {path} is a folder.", hint="Put a slash at its end to store a file in it.")
        if os.path.lexists(path) and not overwrite:
            raise RequestError(f"output: {path} already exists.", hint="Choose another name, or pass overwrite=True.")
        parent = next(ancestor for ancestor in path.parents if ancestor.exists())
        if not parent.is_dir():
            raise RequestError(f"output: {parent} is a file, not a folder.", hint="Choose another folder.")
        _check_writable(parent)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise RequestError(f"output: {path} cannot be written: {reason}.", hint="Choose another folder.") from error
    return path


def _check_writable(folder: Path) -> None:
    """Create a file and remove it: permission bits and flags do not tell about quotas and special file systems."""
    try:
        free = shutil.disk_usage(folder).free
        if free < _MIN_FREE:
            raise ConfigurationError(
                f"output: only {free:,} bytes are free in {folder}; {_MIN_FREE:,} are needed.",
                hint="Free some space, or choose another disk.",
            )
        _make_file(folder)
    except OSError as error:
        kind = ConfigurationError if error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT) else RequestError
        raise kind(f"output: {folder} cannot be written: {error.strerror}.", hint="Choose another folder.") from error


def _make_file(folder: Path) -> None:
    """Make a file that is gone at once: without a name where the system can, so that a kill leaves nothing."""
    nameless = getattr(os, "O_TMPFILE", None)
    if nameless is not None:
        try:
            os.close(os.open(folder, nameless | os.O_WRONLY, 0o600))
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):  # not on this file system
                raise
    with temporary(folder) as name:
        claim(name)
        name.unlink(missing_ok=True)
