"""Every promise of docs/explanation/reliability.md is named by a test: ``@pytest.mark.promise("S1", …)``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "reliability.md"

_NUMBERS = {"S": 9, "B": 8, "C": 5, "D": 7, "P": 2, "R": 3, "W": 6, "K": 6, "X": 6, "U": 1, "G": 2, "M": 2, "L": 5}
INVARIANTS = {f"{letter}{number}" for letter, most in _NUMBERS.items() for number in range(1, most + 1)}
PLAN = {f"T{number}" for number in range(1, 27)}
# what may be without a test, and why
LATER = {"T18": "the REST server is to come"}


def listed() -> list[str]:
    """The names at the left of the page's tables."""
    return re.findall(r"^\| ([A-Z]\d+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def named(path: Path) -> Iterator[tuple[str, int]]:
    """What the markers of a file name, with the line; ``*NAMES`` is a tuple of the same file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tuples = {
        ast.unparse(node.targets[0]): node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.promise"):
            for argument in node.args:
                value = tuples.get(ast.unparse(argument.value)) if isinstance(argument, ast.Starred) else argument
                assert value is not None, f"{path.name}:{node.lineno}: name promises as plain text"
                found = ast.literal_eval(value)
                yield from ((name, node.lineno) for name in (found if isinstance(found, tuple) else (found,)))


def test_the_page_lists_every_promise_once() -> None:
    found = listed()
    assert len(found) == len(set(found))
    assert set(found) == INVARIANTS | PLAN
    assert LATER.keys() <= set(found)


def test_every_promise_is_named_by_a_test() -> None:
    proven = {name for path in TESTS.rglob("*.py") for name, _ in named(path)}
    missing = sorted((INVARIANTS | PLAN) - LATER.keys() - proven, key=lambda name: (name[0], int(name[1:])))
    assert not missing, f"no test names {' '.join(missing)}"


def test_no_test_names_what_nobody_promised() -> None:
    strange = [
        f"{path.relative_to(TESTS)}:{line}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for name, line in named(path)
        if name not in INVARIANTS | PLAN
    ]
    assert strange == []
