"""The architecture as a table, and what reads the real one from the sources. ``test_structure`` compares the two.

A module may import from the modules named beside it and from no other. To change that, change the table in the same
commit and say why.
"""

from __future__ import annotations

import ast
import importlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "videogen_core"

# Module or package -> what it may import of ours at run time. A layer imports only from itself and the ones above it.
LAYERS: dict[str, dict[str, str]] = {
    "pure: no I/O, no clock, no event loop": {
        "secret": "",
        "strict_json": "",
        "errors": "secret",
        "request": "errors",
        "spec": "errors request",
        "limits": "request spec",
        "licensing": "spec",
        "capabilities": "errors request spec limits",
        "matching": "capabilities limits request spec",
        "pricing": "errors request spec capabilities",
        "catalog": "errors spec matching pricing",
        "retry": "",
        "tracing": "",
        "polling": "",
        "budget": "errors",
        "cost": "",
        "upkeep": "pricing request spec",
        "states": "request pricing",
        "transitions": "errors request pricing states",
        "explaining": "errors capabilities pricing",
        "routing": "errors request spec licensing capabilities pricing catalog budget explaining",
        "delivery": "states",
        "cachekey": "request spec states",
    },
    "what plugins implement": {
        "provider": "errors request spec limits catalog states",
        "hookspecs": "",
    },
    "one kind of I/O each": {
        "settings": "errors secret",
        "redaction": "secret",
        "_guard": "",
        "_lanes": "",
        "transport": "errors retry redaction _guard _lanes",
        "outcomes": "errors secret strict_json retry redaction transport",
        "calls": "errors secret retry redaction transport outcomes",
        "webhooks": "errors secret",
        "plugins": "errors spec provider hookspecs redaction",
        "discovery": "errors spec provider settings redaction transport plugins",
        "extensions": "errors request spec routing redaction plugins",
        "sinks": "states redaction plugins extensions",
        "registry": "errors request spec catalog provider settings redaction plugins discovery extensions",
        "ledger": "errors request retry states budget cost",
        "containers": "",
        "probing": "errors containers",
        # apart from probing, because the child is to load no more than a decoder needs
        "probe_child": "errors probing",
        "clips": "errors states containers probing probe_child",
        "media": "errors request containers clips",
        "images": "errors request containers media",
        "partials": "errors states clips",
        "xmp": "",
        "provenance": "errors request states partials xmp",
        "targets": "errors partials",
        "cache": "errors states partials",
        "downloads": "errors retry states provider redaction transport partials",
    },
    "orchestration": {
        "planning": "errors request spec licensing limits capabilities pricing catalog retry budget routing settings "
        "extensions registry ledger media",
        "engine": "errors request spec capabilities pricing retry polling states transitions cachekey routing delivery "
        "provider settings redaction transport outcomes extensions sinks registry ledger cache media clips partials "
        "targets downloads planning xmp provenance tracing",
        "workspace": "budget settings registry ledger planning",
        "_portal": "",
        "arguments": "errors secret request capabilities routing delivery settings states planning",
        "progress": "states",
        "notebook": "states progress",
        # an extension, as a stranger could write it
        "telemetry": "hookspecs retry states tracing",
        "handle": "states",
        "questions": "request spec limits pricing routing workspace arguments",
        "accounting": "errors budget cost settings workspace",
        "batches": "errors strict_json request pricing states budget routing delivery engine arguments",
        "async_client": "errors redaction request spec limits pricing states budget cost ledger routing "
        "settings sinks engine workspace arguments handle questions accounting batches notebook",
        "sync_client": "errors request spec limits pricing states budget cost ledger routing settings "
        "workspace _portal arguments handle questions accounting async_client batches notebook",
        "default": "errors request spec pricing states budget cost routing async_client sync_client batches",
    },
    # Written as an outsider would write them: against `videogen_core` itself and the modules of PUBLIC_MODULES.
    "edges": {
        "sandbox": "PUBLIC",
        "cli": "PUBLIC",
        "testing": "PUBLIC",
        "scaffold": "PUBLIC",
    },
}

# What an edge may import besides, and why.
EDGES_MAY_ALSO = {
    "testing": {
        "sandbox": "the emulators deliver real clips, and the sandbox's renderer makes them",
        "engine": "the conformance suite lets the engine wait by the emulator's clock, and looks at sessions",
        "downloads": "likewise, between the tries of a download",
        "retry": "likewise",
        "plugins": "the conformance suite puts one plugin in the place of those that are installed",
    },
    "cli": {
        "testing": "`videogen emulate` serves an emulator",
        "scaffold": "`videogen new-plugin` writes a plugin",
        "sandbox": "the contact sheet of `videogen compare` is written in the letters of its renderer",
        "_portal": "`videogen compare` waits for several jobs at once, and Ctrl-C must stop all in good order",
    },
}

# Documented as modules, besides the names that `videogen_core` exports.
PUBLIC_MODULES = {
    *("capabilities", "catalog", "errors", "hookspecs", "provider", "request", "spec", "states"),
    *("calls", "containers", "outcomes", "pricing", "progress", "secret", "upkeep", "webhooks"),
}

# What only annotations refer to, so that it need not be importable at run time.
ONLY_FOR_TYPES = {
    "default": {"arguments", "limits", "engine"},
    "sync_client": {"engine"},
    "explaining": {"routing", "spec"},
    "hookspecs": {"errors", "provider", "request", "routing", "spec", "states"},
}

ALLOWED = {module: set(names.split()) for layer in LAYERS.values() for module, names in layer.items()}
PURE = set(LAYERS["pure: no I/O, no clock, no event loop"])

# Libraries that only these modules may import at run time, lazily or not.
ONLY_IMPORTERS = {
    "httpx": {"transport", "_guard", "_lanes", "calls"},
    "stamina": {"calls"},
    "standardwebhooks": {"webhooks"},
    "apsw": {"ledger"},
    "psycopg": {"ledger"},
    "tzlocal": {"accounting"},
    "pluggy": {"hookspecs", "plugins"},
    "platformdirs": {"settings"},
    "dotenv": {"settings"},
    "av": {"probing", "probe_child", "sandbox", "testing", "cli"},
    "PIL": {"media", "images", "sandbox", "testing", "cli"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli"},
    "opentelemetry": {"telemetry"},
    "pytest": {"testing"},
    "starlette": {"testing"},
    "uvicorn": {"testing"},
}

# Modules that do I/O, wait, or run things; none has a place in the pure layer.
_IMPURE = """
    anyio apsw asyncio av builtins concurrent ctypes dotenv glob http httpx logging mmap multiprocessing PIL
    platformdirs pluggy queue select selectors shutil signal socket sqlite3 ssl stamina subprocess tempfile threading
    time trio
"""
IMPURE = set(_IMPURE.split())
# Of modules that do both: the harmless part.
HARMLESS = {"os": {"PathLike", "fspath", "fsdecode", "sep"}, "io": {"BytesIO", "StringIO"}, "random": {"Random"}}
# Calls that touch the disk, the terminal, the clock or chance.
_ACTIONS = """
    open print input exists is_file is_dir read_text read_bytes write_text write_bytes mkdir unlink stat iterdir
    now utcnow today token_hex urandom uuid4
"""
ACTIONS = set(_ACTIONS.split())
# module.function -> why it may all the same.
ACTIONS_ALLOWED = {
    "states.Video._repr_html_": "a notebook asks the finished clip to show itself; nothing else calls it",
    "states.new_job_id": "mints an id; the time in it is an argument",
}


@dataclass(frozen=True)
class Import:
    """One import statement: of what, and whether only type checkers see it."""

    target: str
    for_types: bool
    line: int


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def files() -> tuple[Path, ...]:
    return tuple(sorted(SOURCE.rglob("*.py")))


def unit(path: Path) -> str:
    """The row of the table that a file belongs to: a module, or a package as a whole."""
    first = path.relative_to(SOURCE).parts[0]
    return "__init__" if first == "__init__.py" else first.removesuffix(".py")


def dotted(path: Path) -> str:
    """The name by which a file below a ``src`` is imported."""
    root = next(folder for folder in path.parents if folder.name == "src")
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def units() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in files():
        found.setdefault(unit(path), []).append(path)
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file, inside functions too, with relative names made absolute."""
    package = dotted(path) if path.name == "__init__.py" else dotted(path).rpartition(".")[0]

    def visit(node: ast.AST, for_types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, for_types, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = ".".join(package.split(".")[: len(package.split(".")) - child.level + 1]) if child.level else ""
                module = ".".join(part for part in (base, child.module) if part)
                yield from (Import(f"{module}.{alias.name}", for_types, child.lineno) for alias in child.names)
            else:
                yield from visit(child, for_types or is_type_checking(child))

    return tuple(visit(parsed(path), False))


def own(target: str) -> str | None:
    """Which of our modules an import means; ``PUBLIC`` for an exported name; None when it is not ours."""
    head, _, rest = target.partition(".")
    if head not in ("videogen_core", "videogen"):
        return None
    first = rest.partition(".")[0]
    return first if first in units() else "PUBLIC"


@cache
def our_imports(*, for_types: bool) -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports."""
    found: dict[str, set[str]] = {name: set() for name in units()}
    for path in files():
        for item in imports(path):
            target = own(item.target)
            if target is not None and target != unit(path) and item.for_types == for_types:
                found[unit(path)].add(target)
    return found


# --- plugins: distributions of their own beside the core --------------------------------------------------------


@dataclass(frozen=True)
class Plugin:
    """One folder of ``plugins``, as its ``pyproject.toml`` tells of it."""

    folder: Path

    @property
    def project(self) -> dict[str, Any]:
        found: dict[str, Any] = tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return found

    @property
    def packages(self) -> list[Path]:
        return sorted(path for path in (self.folder / "src").iterdir() if path.is_dir() and path.suffix == "")

    @property
    def files(self) -> list[Path]:
        return sorted((self.folder / "src").rglob("*.py"))

    @property
    def entry_points(self) -> dict[str, str]:
        """Provider -> the module that is imported when it is wanted."""
        found: dict[str, str] = self.project["entry-points"]["videogen.plugins"]
        return found


PLUGINS = [Plugin(path.parent) for path in sorted(ROOT.glob("plugins/*/pyproject.toml"))]


def strange_imports(plugin: Plugin, others: Sequence[Plugin] = PLUGINS) -> list[str]:
    """What a plugin imports of the core that is not public, and of other plugins, for type checkers too.

    Its ``emulator``, a module or a package, may use `videogen_core.testing`.
    """
    own = {path.name for path in plugin.packages}
    foreign = {path.name for other in others for path in other.packages} - own
    return [
        f"{path.relative_to(plugin.folder)}:{item.line}: {item.target}"
        for path in plugin.files
        for item in imports(path)
        if item.target.partition(".")[0] in foreign
        or not _is_public(item.target, of_emulator=dotted(path).split(".")[1:2] == ["emulator"])
    ]


def _is_public(target: str, *, of_emulator: bool) -> bool:
    head, _, rest = target.partition(".")
    if head not in ("videogen_core", "videogen"):
        return True
    first, _, name = rest.partition(".")
    if head == "videogen_core" and first in (PUBLIC_MODULES | {"testing"} if of_emulator else PUBLIC_MODULES):
        return name in ("", *importlib.import_module(f"videogen_core.{first}").__all__)
    return rest in ("", *importlib.import_module(head).__all__)
