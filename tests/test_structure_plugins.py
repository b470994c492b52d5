"""The shape of every plugin under ``plugins/``: what it imports, what importing it costs, what it ships, its sizes."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from architecture import PLUGINS, ROOT, Plugin, dotted, strange_imports
from test_structure import HEAVY, LONGEST_FILE, LONGEST_FUNCTION, Added, added_by, function_lengths

__all__ = ["added_by"]  # fixture

NOT_YET = HEAVY - {"msgspec", "pluggy", "importlib.metadata", "asyncio", "ssl", "socket", "logging"}
"""What nobody needs who only asks; the rest the standard library loads for reasons of its own, or `hookimpl` needs."""

each = pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.folder.name)


def of_distribution(requirement: str) -> set[str]:
    """The modules of a distribution that is asked for; none when it is not installed."""
    name = re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]
    try:
        files = importlib.metadata.files(name) or ()
    except importlib.metadata.PackageNotFoundError:
        return set()
    parts = [Path(file).with_suffix("").parts for file in files if file.suffix == ".py"]
    return {".".join(part for part in each if part != "__init__") for each in parts}


# --- the plugins ------------------------------------------------------------------------------------------------


@each
def test_it_uses_what_is_public_and_no_other_plugin(plugin: Plugin) -> None:
    assert strange_imports(plugin) == []


@pytest.mark.promise("T26")
@each
def test_importing_it_loads_no_sdk_and_nothing_heavy(plugin: Plugin, added_by: Added) -> None:
    """Of every entry point: what a provider can do and costs is asked often, and long before it is used."""
    sdks = {module for wanted in plugin.project["dependencies"] for module in of_distribution(wanted)}
    sdks -= of_distribution("videogen-core")
    for module in plugin.entry_points.values():
        here = f"import sys; sys.path.insert(0, {str(plugin.folder / 'src')!r}); import {module} as light; "
        added = added_by(f"{here}assert light.__file__.startswith({str(plugin.folder)!r}), light.__file__")
        assert added & sdks == set()
        assert added & NOT_YET == set()


@each
def test_it_names_its_entry_points_after_modules_of_its_own(plugin: Plugin) -> None:
    ours = {dotted(path) for path in plugin.files}
    assert plugin.entry_points
    for name, module in plugin.entry_points.items():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
        assert module in ours


@each
def test_it_ships_what_a_distribution_needs(plugin: Plugin) -> None:
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        assert (plugin.folder / name).is_file(), name
    for package in plugin.packages:
        assert (package / "py.typed").is_file(), "users' type checkers look for it"
    project = plugin.project
    assert project["name"].replace("-", "_") in {package.name for package in plugin.packages}
    assert "Typing :: Typed" in project["classifiers"]
    changelog = (plugin.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(project['version'])} ", changelog, re.MULTILINE)


@each
def test_it_asks_for_a_range_of_the_core(plugin: Plugin) -> None:
    project = plugin.project
    more = [wanted for extra in project.get("optional-dependencies", {}).values() for wanted in extra]
    of_the_core = [wanted for wanted in (*project["dependencies"], *more) if wanted.startswith("videogen-core")]
    assert of_the_core
    for wanted in of_the_core:
        assert re.fullmatch(r"videogen-core(\[\w+\])?>=\d+\.\d+(\.\d+)?,<\d+", wanted), wanted


@each
def test_nothing_of_it_is_too_long(plugin: Plugin) -> None:
    files = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in plugin.files}
    assert {name: n for name, n in files.items() if n > LONGEST_FILE} == {}
    functions = {name: n for path in plugin.files for name, n in function_lengths(path)}
    assert {name: n for name, n in functions.items() if n > LONGEST_FUNCTION} == {}


# --- the rules --------------------------------------------------------------------------------------------------


def written(folder: Path, **sources: str) -> Plugin:
    """A plugin named as its folder, with these modules; ``__`` in a name is a folder."""
    package = folder / "src" / f"videogen_{folder.name}"
    for name, source in sources.items():
        path = package / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return Plugin(folder)


@pytest.mark.parametrize(
    ("module", "source", "strange"),
    [
        ("plugin", "from videogen_core import Provider, hookimpl", None),
        ("plugin", "from videogen_core.calls import call", None),
        ("plugin", "import videogen_core.errors", None),
        ("plugin", "import videogen", None),
        ("plugin", "from . import answers\nfrom .answers import parse\nimport videogen_tempo.answers", None),
        ("plugin", "import json, httpx", None),
        ("emulator", "from videogen_core.testing import Emulator", None),
        ("emulator__routes", "from videogen_core.testing import Emulator", None),
        ("plugin", "from videogen_core.calls import _secret", "videogen_core.calls._secret"),
        ("plugin", "from videogen_core.ledger import Ledger", "videogen_core.ledger.Ledger"),
        ("plugin", "import videogen_core.engine", "videogen_core.engine"),
        ("plugin", "from videogen_core import registry", "videogen_core.registry"),
        ("plugin", "from videogen_core.testing import Emulator", "videogen_core.testing.Emulator"),
        ("emulators", "from videogen_core.testing import Emulator", "videogen_core.testing.Emulator"),
        ("emulator", "import videogen_core.testing.wire", "videogen_core.testing.wire"),
        ("emulator", "from videogen_core.sandbox.render import render", "videogen_core.sandbox.render.render"),
        ("plugin", "def f():\n    from videogen_core.settings import Settings", "videogen_core.settings.Settings"),
        (
            "plugin",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from videogen_core.engine import Engine",
            "videogen_core.engine.Engine",
        ),
        ("plugin", "import videogen_other.catalog", "videogen_other.catalog"),
        ("plugin", "def f():\n    from videogen_other import x", "videogen_other.x"),
    ],
)  # fmt: skip
def test_what_counts_as_strange(tmp_path: Path, module: str, source: str, strange: str | None) -> None:
    plugin, other = written(tmp_path / "tempo", **{module: source}), written(tmp_path / "other", plugin="")
    found = [line.rpartition(" ")[2] for line in strange_imports(plugin, [plugin, other])]
    assert found == ([] if strange is None else [strange])


def test_the_modules_of_a_distribution() -> None:
    assert {"httpx", "httpx._client"} <= of_distribution("httpx>=0.28,<1")
    assert of_distribution("nobody-has-written-this[yet]>=1") == set()
