"""The shape of the library, checked against ``architecture``: imports, light loading, sizes, the version."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import videogen
import videogen_core
from architecture import (
    ACTIONS,
    ACTIONS_ALLOWED,
    ALLOWED,
    EDGES_MAY_ALSO,
    HARMLESS,
    IMPURE,
    LAYERS,
    ONLY_FOR_TYPES,
    ONLY_IMPORTERS,
    PUBLIC_MODULES,
    PURE,
    ROOT,
    SOURCE,
    dotted,
    files,
    imports,
    our_imports,
    parsed,
    unit,
    units,
)


def test_every_module_has_its_place_in_the_table() -> None:
    # `cli` and `testing` may still be to come; nothing else may be missing, and nothing may be new
    present = set(units()) - {"__init__"}
    assert present <= set(ALLOWED), "say in LAYERS what the new module may import"
    assert set(ALLOWED) - present <= {"cli", "testing"}


@pytest.mark.parametrize("module", sorted(set(ALLOWED) & set(units())))
def test_a_module_imports_what_the_table_says(module: str) -> None:
    allowed = ALLOWED[module]
    if allowed == {"PUBLIC"}:
        allowed = PUBLIC_MODULES | {"PUBLIC"} | EDGES_MAY_ALSO.get(module, {}).keys()
    assert our_imports(for_types=False)[module] <= allowed
    assert our_imports(for_types=True)[module] <= allowed | ONLY_FOR_TYPES.get(module, set())


def test_the_table_promises_nothing_that_is_not_used() -> None:
    real = our_imports(for_types=False)
    spare = {m: names - real[m] for m, names in ALLOWED.items() if m in real and names != {"PUBLIC"}}
    assert {module: names for module, names in spare.items() if names} == {}


def test_layers_point_one_way() -> None:
    level = {module: number for number, layer in enumerate(LAYERS.values()) for module in layer}
    for module, names in ALLOWED.items():
        assert {name for name in names - {"PUBLIC"} if level[name] > level[module]} == set(), module


def test_there_is_no_cycle() -> None:
    graph = {m: {n for n in names if n != "PUBLIC"} for m, names in our_imports(for_types=False).items()}
    graph.pop("__init__")  # it imports nothing before it is asked for a name
    while leaves := {module for module, names in graph.items() if not names & graph.keys()}:
        graph = {module: names for module, names in graph.items() if module not in leaves}
    assert graph == {}, "these import each other"


def test_no_file_imports_itself_in_a_circle_within_a_package() -> None:
    """Inside a package, between files: only what runs when a file is loaded counts."""
    names = {dotted(path): path for path in files()}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        loaded = {node for node in parsed(path).body if isinstance(node, ast.Import | ast.ImportFrom)}
        lines = {node.lineno for node in loaded}
        targets = {item.target for item in imports(path) if item.line in lines}
        graph[name] = {t if t in names else t.rpartition(".")[0] for t in targets} & names.keys() - {name}
    while leaves := {name for name, found in graph.items() if not found & graph.keys()}:
        graph = {name: found for name, found in graph.items() if name not in leaves}
    assert graph == {}


def test_only_the_edges_import_the_package_itself() -> None:
    for module, targets in our_imports(for_types=False).items():
        if ALLOWED.get(module) != {"PUBLIC"}:
            assert "PUBLIC" not in targets, f"{module} imports from videogen_core instead of the module that has it"


@pytest.mark.parametrize("module", sorted(ALLOWED.keys() & {"cli", "sandbox", "scaffold", "testing"} & set(units())))
def test_the_edges_use_public_names_only(module: str) -> None:
    for path in units()[module]:
        for item in imports(path):
            head, _, rest = item.target.partition(".")
            first, _, name = rest.partition(".")
            if head not in ("videogen_core", "videogen") or item.for_types or first == module:
                continue
            if first in EDGES_MAY_ALSO.get(module, {}):
                continue
            if first in PUBLIC_MODULES:
                exported = getattr(importlib.import_module(f"videogen_core.{first}"), "__all__", ())
                assert name in ("", *exported), f"{path}:{item.line}: {item.target} is not public"
            else:
                assert first in ("", *videogen_core.__all__), f"{path}:{item.line}: {item.target} is not public"


def test_libraries_are_imported_where_they_belong() -> None:
    strays = [
        f"{path.relative_to(ROOT)}:{item.line} imports {item.target}"
        for path in files()
        for item in imports(path)
        if not item.for_types and unit(path) not in ONLY_IMPORTERS.get(item.target.partition(".")[0], {unit(path)})
    ]
    assert strays == []


@pytest.mark.parametrize("module", sorted(PURE))
def test_the_pure_layer_does_no_io(module: str) -> None:
    tree = parsed(SOURCE / f"{module}.py")
    heads = {item.target.partition(".")[0] for item in imports(SOURCE / f"{module}.py")}
    assert heads & IMPURE == set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in HARMLESS:
            assert node.attr in HARMLESS[node.value.id], f"{module}:{node.lineno} uses {ast.unparse(node)}"
    acting = {f"{module}.{name}:{line}": call for name, line, call in _actions(tree)}
    excused = {place for place in acting if place.rpartition(":")[0] in ACTIONS_ALLOWED}
    assert {place: call for place, call in acting.items() if place not in excused} == {}


def _actions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, int, str]]:
    """Calls of ACTIONS, with the function that they are in."""
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{node.name}" if prefix else node.name
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ACTIONS:
                yield name, node.lineno, ast.unparse(node.func)
        yield from _actions(node, name)


# --- the core knows no vendor -----------------------------------------------------------------------------------

VENDORS = re.compile(
    r"\b(veo|runway(ml)?|minimax|hailuo|replicate|kling|kuaishou|luma|pika|pixverse|seedance|vidu|haiper|sora|openai|"
    r"vertex|gemini|fal)\b",
    re.IGNORECASE,
)


def _texts(path: Path) -> Iterator[ast.Constant]:
    """String constants, docstrings left out."""
    nodes = list(ast.walk(parsed(path)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def test_no_code_names_a_vendor() -> None:
    """What the core knows of vendors is data (``known_plugins.toml``); no code can branch on one.

    A sentence may name one as an example, in a hint or in the command line's help; nothing is compared with sentences.
    """
    named = [
        f"{path.relative_to(ROOT)}:{text.lineno}: {text.value!r}"
        for path in files()
        for text in _texts(path)
        if len(str(text.value).split()) < 3 and VENDORS.search(str(text.value))
    ]
    assert named == []


# --- light import -----------------------------------------------------------------------------------------------

_HEAVY = """
    httpx httpcore apsw av PIL anyio pluggy typer click rich msgspec platformdirs sqlite3 stamina importlib.metadata
    dotenv asyncio ssl socket logging
"""
HEAVY = set(_HEAVY.split())
Added = Callable[[str], set[str]]


def loaded_by(code: str, tmp_path: Path) -> dict[str, list[str]]:
    """What a fresh interpreter has loaded, and which threads it runs, after ``code``."""
    script = (
        f"{code}\nimport json, sys\n"
        "threads = sys.modules.get('threading')\n"
        "names = [t.name for t in threads.enumerate()] if threads else ['MainThread']\n"
        "print(json.dumps({'modules': sorted(sys.modules), 'threads': names}))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("VIDEOGEN_", "COV_", "COVERAGE_"))}
    environment |= {"VIDEOGEN_HOME": str(tmp_path / "home"), "VIDEOGEN_CONFIG_DIR": str(tmp_path / "config")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture
def added_by(tmp_path: Path) -> Added:
    """Modules that a piece of code loads beyond those of a bare interpreter."""
    bare = set(loaded_by("pass", tmp_path)["modules"])

    def measure(code: str) -> set[str]:
        found = loaded_by(code, tmp_path)
        assert found["threads"] == ["MainThread"]
        return set(found["modules"]) - bare

    return measure


@pytest.mark.promise("T26")
@pytest.mark.parametrize("name", ["videogen", "videogen_core"])
def test_importing_loads_next_to_nothing(added_by: Added, name: str) -> None:
    added = added_by(f"import {name}")
    assert added & HEAVY == set()
    assert {module for module in added if module.partition(".")[0] not in sys.stdlib_module_names} <= {
        "videogen",
        "videogen_core",
    }


def test_importing_makes_no_file(added_by: Added, tmp_path: Path) -> None:
    added_by("import videogen; videogen.estimate; videogen.Client")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_sandbox_loads_no_media_library(added_by: Added) -> None:
    assert added_by("import videogen_core.sandbox.plugin") & {"av", "PIL", "httpx", "apsw", "numpy"} == set()


def test_asking_loads_no_io_library(added_by: Added, tmp_path: Path) -> None:
    """Listing, checking, estimating and routing need no HTTP, SQL, media or CLI module, and leave no file behind."""
    code = (
        "import videogen\n"
        "videogen.estimate(model='sandbox', duration=2)\n"
        "videogen.route('x', model='sandbox').explain()\n"
        "videogen.check('x', model='sandbox')\n"
        "videogen.max_duration(model='sandbox', max_cost=1)\n"
        "videogen.models()"
    )
    assert added_by(code) & {"av", "PIL", "httpx", "apsw", "sqlite3", "typer", "rich", "stamina"} == set()
    assert list(tmp_path.iterdir()) == []


# --- what is shipped: the contents of the built wheel are compared with git by `nox -s build` ---------------------


def tracked() -> list[str]:
    """The files of the repository that git knows, or is about to."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "src"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


@pytest.mark.promise("T26")
def test_a_wheel_holds_our_packages_and_nothing_that_runs_by_itself() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert project["tool"]["hatch"]["build"]["targets"].keys() == {"wheel", "sdist"}
    assert "hooks" not in project["tool"]["hatch"]["build"]
    assert project["build-system"] == {"requires": ["hatchling>=1.27"], "build-backend": "hatchling.build"}
    for name in tracked():
        assert any(name.startswith(f"{package}/") for package in packages), name
        assert Path(name).suffix in (".py", ".toml", ".typed", ".sql", ".tmpl"), f"{name}: code or data of another kind"
    scripts, entry_points = project["project"]["scripts"], project["project"]["entry-points"]
    assert scripts == {"videogen": "videogen_core.cli:main"}
    assert entry_points == {
        "videogen.plugins": {"sandbox": "videogen_core.sandbox.plugin"},
        "videogen.extensions": {"otel": "videogen_core.telemetry"},
    }


@pytest.mark.promise("T26")
@pytest.mark.parametrize("name", ["videogen", "videogen_core"])
def test_importing_touches_no_network_no_process_and_no_file(name: str, tmp_path: Path) -> None:
    code = f"""
import sys

def watch(event, details):
    if event == "open":
        refused = isinstance(details[1], str) and bool(set(details[1]) & set("wax+"))
    else:
        kinds = ("socket.", "subprocess.", "urllib.", "os.exec", "os.fork", "os.posix_spawn", "os.system")
        refused = event.startswith(kinds)
    if refused or event in ("os.mkdir", "os.remove", "os.rename"):
        raise SystemExit(f"{{event}} {{details}}")

sys.dont_write_bytecode = True
sys.addaudithook(watch)
import {name} as face
for public in face.__all__:
    getattr(face, public)
"""
    loaded_by(code, tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- sizes ------------------------------------------------------------------------------------------------------

LONGEST_FILE = 600
LONGEST_FUNCTION = 50
# file, or file:function -> why it is better long
LONG_ALL_THE_SAME: dict[str, str] = {}


def test_no_file_is_too_long() -> None:
    lengths = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in files()}
    assert {k: n for k, n in lengths.items() if n > LONGEST_FILE and k not in LONG_ALL_THE_SAME} == {}


def function_lengths(path: Path) -> Iterator[tuple[str, int]]:
    """Lines of each function, its docstring not counted."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            length = (node.end_lineno or 0) - node.lineno + 1 - docstring
            yield f"{path.relative_to(ROOT)}:{node.name}", length


def test_no_function_is_too_long() -> None:
    long = {k: n for path in files() for k, n in function_lengths(path) if n > LONGEST_FUNCTION}
    assert {k: n for k, n in long.items() if k not in LONG_ALL_THE_SAME} == {}


def test_every_exception_is_still_needed() -> None:
    sizes = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in files()}
    long = {k for k, n in sizes.items() if n > LONGEST_FILE}
    long |= {k for path in files() for k, n in function_lengths(path) if n > LONGEST_FUNCTION}
    assert set(LONG_ALL_THE_SAME) <= long


# --- one version ------------------------------------------------------------------------------------------------


def test_the_changelog_knows_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\d+\.\d+\.\d+\S*) — (\d{4}-\d{2}-\d{2})$", changelog, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert headings, "headings look like `## 1.2.3 — 2026-01-31`"
    assert headings[0][0] == project["version"]
    assert headings == sorted(headings, key=lambda h: [int(n) for n in re.findall(r"\d+", h[0])], reverse=True)
    assert videogen.__version__ == project["version"]


def test_both_packages_are_typed() -> None:
    for package in ("videogen", "videogen_core"):
        assert (ROOT / "src" / package / "py.typed").is_file()
