"""Rows of a batch, one after the other: from a file of JSON lines or a CSV file, or from a list. A file of any length
takes the memory of one row."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..errors import RequestError
from ..request import VideoRequest
from ..strict_json import NotJSONError, decode

__all__ = ["Row", "rows_of_file", "rows_of_list"]

_MAX_LINE = 64 * 1024**2
_ADDRESS = re.compile(r"data:|[A-Za-z][A-Za-z0-9+.-]+://", re.IGNORECASE)
_FILES = ("image", "last_frame", "video")
_SWITCHES = frozenset({"audio", "overwrite", "fallback", "fallback_on_policy", "allow_unknown_price", "cache"})
_WHOLE = frozenset({"seed", "count"})
_OTHERS = {";": "semicolons", "\t": "tabs"}  # as spreadsheets write them in some countries
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Row:
    """One request.

    Attributes:
        number: Its line in the file, or its place in the list, from 1.
        arguments: Those of ``generate``, ``prompt`` among them.
        name: What it calls itself (``id``).
        fault: Why it cannot be read.
    """

    number: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    fault: RequestError | None = None


def rows_of_list(requests: Iterable[Any]) -> Iterator[Row]:
    """Rows from prompts, mappings of arguments, and `VideoRequest` objects."""
    for number, request in enumerate(requests, 1):
        if isinstance(request, str):
            yield Row(number, {"prompt": request})
        elif isinstance(request, VideoRequest):
            yield Row(number, _fields(request))
        else:
            yield _row(number, request)


def _fields(request: VideoRequest) -> dict[str, Any]:
    plain = {info.name: info.default for info in msgspec.structs.fields(VideoRequest)}
    given = {name: getattr(request, name) for name in plain}
    return {"task": request.task, **{name: value for name, value in given.items() if value and value != plain[name]}}


def rows_of_file(path: Path) -> Callable[[], Iterator[Row]]:
    """What reads the rows of a file from its beginning, each time that it is called.

    A line of JSON is an object of arguments, or a text, which is the prompt; the first line of a CSV file names them.
    A relative path in a row is one from the folder of the file.

    Raises:
        RequestError: There is no such file, or its name does not say what it is.
    """
    if not path.is_file():
        raise RequestError(f"{path} is no file.", hint="Name a file of rows: prompts.jsonl or prompts.csv.")
    kinds = {".jsonl": _json_lines, ".ndjson": _json_lines, ".csv": _csv_lines}
    read = kinds.get(path.suffix.lower())
    if read is None:
        raise RequestError(
            f"{path.name}: the name does not say what is in it.", hint="Call it .jsonl (JSON lines) or .csv."
        )
    return lambda: _located(read(path), path.parent)


def _located(rows: Iterator[Row], folder: Path) -> Iterator[Row]:
    """The rows with their relative paths made absolute."""
    for row in _readable(rows):
        changes: dict[str, Any] = {n: _beside(row.arguments[n], folder) for n in _FILES if n in row.arguments}
        references = row.arguments.get("reference_images")
        if isinstance(references, list):
            changes["reference_images"] = [_beside(item, folder) for item in references]
        yield Row(row.number, {**row.arguments, **changes}, row.name, row.fault) if changes else row


def _readable(rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except OSError as error:
        raise RequestError(f"The file of rows cannot be read: {error.strerror or error}.") from error


def _beside(value: Any, folder: Path) -> Any:
    if not isinstance(value, str) or not value.strip() or _ADDRESS.match(value):
        return value
    return os.fspath(folder.absolute() / Path(value).expanduser())


# --- JSON lines


def _json_lines(path: Path) -> Iterator[Row]:
    number = 0
    with path.open("rb") as file:
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            if len(line) > _MAX_LINE:
                yield _bad(number, f"the line has more than {_MAX_LINE:,} bytes")
                return
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                yield _json_row(number, text)


def _json_row(number: int, text: bytes) -> Row:
    try:
        found = decode(text)
    except NotJSONError as error:
        return _bad(number, f"the line cannot be read: {error}")
    return Row(number, {"prompt": found}) if isinstance(found, str) else _row(number, found)


def _row(number: int, found: Any) -> Row:
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        return _bad(number, "expected an object of arguments, or a text that is the prompt")
    arguments = {key: value for key, value in found.items() if value is not None}
    name = arguments.pop("id", "")
    if not isinstance(name, str | int) or len(str(name)) > 200:
        return _bad(number, "id: expected a short text or a number")
    return Row(number, arguments, str(name))


# --- CSV


def _csv_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        started = 1
        try:
            names = [name.strip() for name in next(lines, [])]
            if len(set(names)) != len(names) or "" in names:
                yield _bad(1, "the first line names the columns, each with a name of its own")
                return
            if len(names) == 1 and (other := next((name for sign, name in _OTHERS.items() if sign in names[0]), None)):
                yield _bad(1, f"the columns are separated by {other}; save the file with commas")
                return
            started = lines.line_num + 1
            for cells in lines:
                if any(cells):
                    yield _csv_row(started, names, cells)
                started = lines.line_num + 1
        except UnicodeDecodeError:
            yield _bad(started, "the file is not UTF-8 text from here on")
        except csv.Error as error:
            yield _bad(started, f"the file cannot be read from here on: {error}")


def _csv_row(number: int, names: list[str], cells: list[str]) -> Row:
    if len(cells) != len(names):
        return _bad(number, f"it has {len(cells)} cells, the first line names {len(names)} columns")
    try:
        return _row(number, {name: _value(name, cell) for name, cell in zip(names, cells, strict=True) if cell.strip()})
    except NotJSONError as error:
        return _bad(number, f"a cell cannot be read: {error}")


def _value(column: str, cell: str) -> Any:
    """What a cell means; what it cannot mean is left as text, so that the request's own check says what is wrong."""
    text = cell.strip()
    if column in _SWITCHES:
        return _WORDS.get(text.lower(), text)
    if column in _WHOLE and text.isascii() and text.isdigit():
        return int(text)
    if column in ("options", "tags") or (column != "prompt" and text.startswith("[")):
        return decode(text.encode())
    if column == "reference_images":
        return [text]
    return cell if column in ("prompt", "negative_prompt") else text


def _bad(number: int, why: str) -> Row:
    return Row(number, fault=RequestError(f"{why}."))
