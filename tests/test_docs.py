"""Every example of README.md and docs/ runs, and prints what the page says.

How a fenced block is treated, by its language:

- ``python``: run; the blocks of one page share one namespace. ``bash``: run by bash, with ``videogen`` on the path and
  with what the blocks before it exported.
- ``toml``, ``json``: must parse. ``text`` and the rest: only shown.
- With ``title="name"`` a block is a file: it is written under that name instead of being run. With
  ``title="name, continued"`` it goes on with that file, after an empty line.

A comment on the line above a block changes that: ``<!-- not run: reason -->``, ``<!-- exits 2 -->``, and for a ``text``
or ``json`` block ``<!-- output -->`` or ``<!-- output with stderr -->``: what the block above it must have printed. A
block with ``<!-- needs package -->`` runs where that package is installed, as ``nox -s docs`` has it; elsewhere a test
is skipped for it. ``<!-- plugins: runway, veo -->`` anywhere on a page: which of our plugins it uses, beside
the one that it is named after.

The pages of FOLLOWED install things: ``nox -s kit`` follows them in an empty environment, see ``test_kit``.

All blocks of a page run in order, in one process, in a folder and with a VIDEOGEN_HOME of their own. After a change in
what is printed, ``python tests/test_docs.py --update [PAGE...]`` writes the new output into the pages; read the diff.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib.metadata
import importlib.util
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise, zip_longest
from pathlib import Path

import pytest

from videogen_core import plugins
from videogen_core.catalog import parse_catalog
from videogen_core.spec import Stage

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LUMEN = ROOT / "docs" / "plugins" / "videogen-lumen"  # what the tutorial for authors builds; their other pages use it
NOT_RUN = {
    "README.md": ["pip install . && videogen generate", "pip install nox && nox -s tests"],
    "docs/index.md": ["pip install ."],
    "docs/tutorial/first-clip.md": ["pip install ."],
    "docs/how-to/postgres.md": ["pip install 'videogen-core[postgres]'", "videogen ledger && videogen ledger check"],
    "docs/how-to/local.md": ["pip install 'videogen-local[torch]'", "videogen check -m local//data/my-wan"],
    "docs/how-to/minimax.md": ["pip install videogen-minimax"],
    "docs/how-to/provider.md": ["pip install -e ."],
    "docs/how-to/replicate.md": ["pip install videogen-replicate", "export REPLICATE_API_TOKEN"],
    "docs/explanation/figures.md": ["nox -s bench -- --page docs/explanation/figures.md"],
    "docs/how-to/runway.md": ["pip install videogen-runway", "export RUNWAYML_API_SECRET"],
    "docs/how-to/veo.md": ["pip install videogen-core videogen-veo", "pip install 'videogen-veo[testing]'"],
    "docs/how-to/fastapi.md": ["pip install fastapi uvicorn"],
    "docs/tutorial/real-key.md": ["pip install videogen-runway", "export RUNWAYML_API_SECRET"],
    "docs/how-to/servers.md": ["vllm serve", "pip install 'videogen-local[torch]'"],
    "docs/how-to/emulate.md": ["videogen emulate tempo"],
    "docs/how-to/shapes.md": ["pip install 'videogen-local[torch]'", "from importlib.resources import files"],
    "docs/plugins/new-plugin.md": ["cd videogen-acme"],
    "docs/plugins/publishing.md": ["python -m build"],
}
FOLLOWED = ["docs/plugins/tutorial.md"]
SHOWN_HOME = "/home/you"  # stands for the folder that a page runs in
# What one block exports holds in the next, as in a reader's terminal.
_AST = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_KEEP_EXPORTS = "[ ! -f .exports ] || . ./.exports; trap 'export -p > .exports' EXIT"

_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>[^\n]*?) -->\n\n?)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass
class Block:
    """One fenced block of a page."""

    language: str
    body: str
    mark: str
    title: str
    line: int
    span: tuple[int, int]
    indent: str
    printed: str | None = field(default=None)

    @property
    def skipped(self) -> bool:
        return self.mark.startswith("not run:")

    @property
    def needs(self) -> str:
        """The package that it cannot run without; empty for most."""
        return self.mark.removeprefix("needs ") if self.mark.startswith("needs ") else ""

    @property
    def is_possible(self) -> bool:
        return not self.needs or importlib.util.find_spec(self.needs) is not None

    @property
    def runs(self) -> bool:
        return self.language in ("python", "bash") and not self.skipped and not self.title and self.is_possible

    @property
    def is_output(self) -> bool:
        return self.mark.startswith("output")


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in _FENCE.finditer(text):
        indent, body = match["indent"], match["body"]
        if indent:
            body = "\n".join(line.removeprefix(indent) for line in body.split("\n"))
        title = re.search(r'title="([^"]+)"', match["info"])
        line = text.count("\n", 0, match.start("language")) + 1
        found.append(
            Block(
                match["language"],
                body,
                match["mark"] or "",
                title[1] if title else "",
                line,
                match.span("body"),
                indent,
            )
        )
    return found


# --- what may differ between two runs ---------------------------------------------------------------------------

_VARIES = [
    (re.compile(r"\bvg-\d{8}-\d{6}-[0-9a-f]{10}"), "JOB"),
    (re.compile(r"\bsb-(create-)?[0-9a-f]{32}"), "PROVIDER-JOB"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "HASH"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)"), "MOMENT"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "MOMENT"),
    (re.compile(r"\b\d{4}-\d\d-\d\d \d\d:\d\d(?= UTC)"), "MOMENT"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b[\w.-]+:\d+(:\d+:\w+:\w+/\d+)?(#\d+)?(?=\s*$|\")", re.MULTILINE), "WHO"),
    (re.compile(r"\b\d+ (s|min) ago"), "AGO"),
    (re.compile(r"\b\d+(\.\d+)? (kB|MB|B)\b"), "SIZE"),
    (re.compile(r'"(size|seq)": \d+'), r'"\1": N'),
    (re.compile(r"(?<=in |s, |g, |e, |d, )\d+(\.\d+)? s\b(?!,? \d)"), "N s"),  # elapsed
    (re.compile(r"(?<=free  )\s*\d+(\.\d+)? s\b"), "N s"),  # took
    (re.compile(r"(sandbox/sandbox +\$0\.00 +)\d+ s"), r"\1N s"),  # latency, observed
    (re.compile(r'"latency": [\d.]+'), '"latency": N'),
    (re.compile(r'"score": "[\d.]+"'), '"score": N'),
    (re.compile(r"(N s +economy +)[\d.]+"), r"\1N"),
]


def normal(text: str) -> list[str]:
    """Lines without what varies, and without the width of columns."""
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


# --- running a page, in a process of its own --------------------------------------------------------------------


class ExampleError(Exception):
    """An example does not do what the page says."""


def run_page(path: Path, folder: Path) -> list[Block]:
    """Run every block of a page in ``folder``; the blocks come back with what they printed.

    Raises:
        ExampleError: A block failed, or left with another exit code than the page says.
    """
    shutil.copytree(ROOT / "docs" / "examples", folder / "docs" / "examples")
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    page = blocks(path.read_text(encoding="utf-8"))
    names: dict[str, object] = {"__name__": "__main__"}
    for block, after in zip_longest(page, page[1:]):
        if block.title and not block.is_output:
            write(block, folder)
        elif block.runs:
            both = after is not None and after.mark == "output with stderr"
            try:
                run = _run_python if block.language == "python" else _run_bash
                printed = run(block, names, both)
            except (Exception, SystemExit) as error:
                said = "".join(traceback.format_exception(error)) if not isinstance(error, ExampleError) else str(error)
                raise ExampleError(f"{path.name}, line {block.line}:\n{block.body}\n{said}") from error
            block.printed = printed.replace(str(folder), SHOWN_HOME)
    return page


def write(block: Block, folder: Path) -> None:
    """Write the file that a block is, or the rest of one."""
    name, _, more = block.title.partition(", ")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    before = f"{target.read_text(encoding='utf-8')}\n" if more == "continued" else ""
    target.write_text(before + block.body, encoding="utf-8")


def _run_python(block: Block, names: dict[str, object], both: bool) -> str:
    code = compile(block.body, f"<line {block.line}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        answer = eval(code, names)
        if inspect.isawaitable(answer):
            import asyncio

            async def wait() -> None:
                await answer

            asyncio.run(wait())
    return printed.getvalue()


def _run_bash(block: Block, names: dict[str, object], both: bool) -> str:
    expected = int(block.mark.removeprefix("exits ")) if block.mark.startswith("exits ") else 0
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"{_KEEP_EXPORTS}\n{block.body}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if both else subprocess.PIPE,
        text=True,
        timeout=300,
    )
    if done.returncode != expected:
        raise ExampleError(f"exit code {done.returncode}, not {expected}\n{done.stdout}\n{done.stderr or ''}")
    return done.stdout


def outputs(page: list[Block]) -> Iterator[tuple[Block, str]]:
    """Each block that shows output, with what the block above it printed."""
    for before, block in pairwise(page):
        if block.is_output and before.is_possible:
            if before.printed is None:
                raise ExampleError(f"line {block.line}: the block above it does not run")
            yield block, before.printed


# The provider's plugin that a page is about; the others are as if they were not installed.
ABOUT = {path.stem.partition("_")[2] for path in (ROOT / "plugins").glob("videogen_*")}


def _without_plugins(page: Path) -> dict[str, str]:
    """Block the plugins that may be installed beside the core, unless the page is about blocking them."""
    text = page.read_text(encoding="utf-8")
    if "plugins =" in text:
        return {}
    named = re.search(r"<!-- plugins: (.+) -->", text)
    used = {page.stem, *(named[1].split(", ") if named else ())}
    return {"VIDEOGEN_PLUGINS": ",".join(f"-{name}" for name in sorted(ABOUT - used))}


def environment(folder: Path, page: Path) -> dict[str, str]:
    """The environment that a page runs with: nothing of this machine's user but the path."""
    ours = ("VIDEOGEN_", "PYTEST_", "COV_", "COLUMNS", "LINES", "FORCE_COLOR")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    scripts = str(Path(sys.executable).parent)
    return {
        **kept,
        **({"PYTHONPATH": str(LUMEN / "src")} if page.parent == LUMEN.parent else {}),
        "PATH": f"{scripts}{os.pathsep}{kept.get('PATH', '')}",
        "VIDEOGEN_HOME": str(folder / ".home"),
        "VIDEOGEN_CONFIG_DIR": str(folder / ".config"),
        **_without_plugins(page),
        "NO_COLOR": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def main(arguments: list[str]) -> int:
    """``--check FOLDER PAGE`` runs one page and compares; ``--update [PAGE...]`` writes its output into it."""
    if arguments[0] == "--check":
        path, folder = Path(arguments[2]), Path(arguments[1])
        for block, printed in outputs(run_page(path, folder)):
            shown, real = normal(block.body), normal(printed)
            if shown != real:
                diff = "\n".join(difflib.unified_diff(shown, real, "the page", "the example", lineterm=""))
                raise ExampleError(f"{path.name}, line {block.line}: the output differs\n{diff}\n\nin full:\n{printed}")
        return 0
    if arguments[0] == "--run":
        path, folder = Path(arguments[2]), Path(arguments[1])
        page = run_page(path, folder)
        json.dump([[block.span, block.indent, printed] for block, printed in outputs(page)], sys.stdout)
        return 0
    chosen = [Path(argument).resolve() for argument in arguments[1:]] or PAGES
    for path in chosen:
        text = path.read_text(encoding="utf-8")
        found = json.loads(_in_process("--run", path))
        for (start, end), indent, printed in reversed(found):
            body = "".join(f"{indent}{line}".rstrip() + "\n" for line in printed.strip("\n").splitlines())
            if normal(body) != normal(text[start:end]):
                text = text[:start] + body + text[end:]
        path.write_text(text, encoding="utf-8")
    return 0


def _in_process(mode: str, path: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="page-") as name:
        folder = Path(name).resolve()
        done = subprocess.run(
            [sys.executable, __file__, mode, str(folder), str(path)],
            env=environment(folder, path),
            capture_output=True,
            text=True,
            timeout=300,
        )
    if done.returncode:
        raise ExampleError(done.stderr[-6000:])
    return done.stdout


# --- tests ------------------------------------------------------------------------------------------------------


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


_WITH_EXAMPLES = [
    page
    for page in PAGES
    if any(block.runs for block in blocks(page.read_text(encoding="utf-8"))) and _name(page) not in FOLLOWED
]


@pytest.mark.parametrize("path", _WITH_EXAMPLES, ids=_name)
def test_examples_run_and_print_what_the_page_says(path: Path) -> None:
    try:
        _in_process("--check", path)
    except ExampleError as failure:
        pytest.fail(str(failure), pytrace=False)


_NEEDED = sorted({block.needs for page in PAGES for block in blocks(page.read_text(encoding="utf-8")) if block.needs})


@pytest.mark.parametrize("package", _NEEDED)
def test_what_examples_need_is_installed(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the examples of {package} are not run: it is not installed")


def test_only_what_installs_is_not_run() -> None:
    skipped = {
        _name(path): [block.body.splitlines()[0] for block in blocks(path.read_text(encoding="utf-8")) if block.skipped]
        for path in PAGES
    }
    skipped = {name: lines for name, lines in skipped.items() if lines}
    assert skipped.keys() == NOT_RUN.keys()
    for name, lines in skipped.items():
        assert len(lines) == len(NOT_RUN[name])
        assert all(line.startswith(known) for line, known in zip(lines, NOT_RUN[name], strict=True)), name


def test_the_tutorial_for_authors_builds_what_lies_beside_it(tmp_path: Path) -> None:
    """Its blocks, written one after another, are the finished files: no more, no fewer, and the same to the letter."""
    page = ROOT / "docs" / "plugins" / "tutorial.md"
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.title:
            write(block, tmp_path)
    built = {
        path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*.*") if path.is_file()
    }
    ours = (".py", ".toml")
    done = {path.relative_to(LUMEN).as_posix(): path.read_text() for path in LUMEN.rglob("*") if path.suffix in ours}
    assert built == done


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_data_blocks_parse(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = blocks(text)
    assert len(found) == len(re.findall(r"^ *```\w", text, re.MULTILINE)), "a fence is not closed"
    for block in found:
        assert block.language in ("python", "bash", "toml", "json", "text"), f"line {block.line}: {block.language}"
        if block.language == "toml" and "[[models]]" in block.body:
            parse_catalog(block.body, origin=f"line {block.line}")
        elif block.language == "toml":
            tomllib.loads(block.body)
        elif block.language == "json":
            json.loads(block.body)


_LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)|(?:src|href)=\"([^\"]+)\"")


_COMPOUND = (ast.For, ast.With, ast.If, ast.Try, ast.While, ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)


@pytest.mark.parametrize("path", _WITH_EXAMPLES, ids=_name)
def test_examples_can_be_pasted_at_a_prompt(path: Path) -> None:
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.language == "python" and block.runs:
            for before, after in pairwise(compile(block.body, "", "exec", _AST).body):
                apart = after.lineno > (before.end_lineno or 0) + 1
                assert apart or not isinstance(before, _COMPOUND), (
                    f"line {block.line + after.lineno}: no empty line above"
                )


@pytest.mark.parametrize("path", PAGES, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for match in _LINK.finditer(text):
        target, _, anchor = (match[1] or match[2]).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (path.parent / target).resolve() if target else path
        assert linked.exists(), f"{match[0]} leads nowhere"
        if anchor and linked.suffix == ".md":
            known = _anchors(linked)
            assert anchor in known or anchor.rpartition(".")[0] in known, f"{match[0]}: no such heading"


def _anchors(path: Path) -> set[str]:
    """What can be linked to: headings as they become ids, and the names that the reference documents."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
    return slugs | set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {path.relative_to(ROOT / "docs").as_posix() for path in PAGES[1:]}


def test_the_directory_has_every_model_of_every_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, with its tasks, its price rules and where they were read; what is gone stands apart."""
    installed = tuple(importlib.metadata.entry_points(group=plugins.GROUP))  # other tests see the core's alone
    monkeypatch.setattr(plugins, "_entry_points", lambda: installed)
    spec = importlib.util.spec_from_file_location("directory", ROOT / "docs" / "directory.py")
    assert spec is not None
    assert spec.loader is not None
    directory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(directory)

    files = [ROOT / "src/videogen_core/sandbox/catalog.toml", *(ROOT / "plugins").glob("*/src/*/catalog.toml")]
    rows = {row.id: row for file in files for row in parse_catalog(file.read_text(), origin=file.name).models}
    assert len(files) > len(ABOUT)
    today = date(2026, 11, 21)
    text = directory.filled((ROOT / "docs" / "models.md").read_text(encoding="utf-8"), directory.offers(), today)
    current, leaving = text.split("## Deprecated and retired")
    for name, row in rows.items():
        gone = row.lifecycle.stage_on(today) in (Stage.DEPRECATED, Stage.RETIRED)
        here, elsewhere = (leaving, current) if gone else (current, leaving)
        found = re.findall(f'<tr id="{name.replace("/", "--")}".*?</tr>', here, re.DOTALL)
        assert len(found) == 1, name
        assert f'<tr id="{name.replace("/", "--")}"' not in elsewhere, name
        assert f'data-tasks="{" ".join(task.value for task in row.tasks)}"' in found[0]
        assert str(row.as_of) in found[0]
        assert found[0].count("<small>") == len(row.prices), "a line of the price list, with its source"
        assert all(str(day) in found[0] for day in (row.lifecycle.released, row.lifecycle.retired) if day), name
    assert set(re.findall(r'<a href="#([^"]+)"', text)) <= set(re.findall(r'<tr id="([^"]+)"', text))


def test_every_public_name_is_in_the_reference() -> None:
    import videogen_core

    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "reference").glob("*.md")))
    documented = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)}
    documented |= set(re.findall(r"`(\w+)`", text))
    assert set(videogen_core.__all__) - documented == {"__version__"}


def test_the_command_line_page_has_every_command_and_option() -> None:
    from typer.main import get_command

    from videogen_core.cli.app import app

    text = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    words = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*|(?<=`)[a-z][a-z-]*\b", text, re.IGNORECASE))
    program = get_command(app)
    commands = vars(program)["commands"]
    wanted = {name for name in commands if " " not in name}
    assert [name for name in commands if f"`{name}" not in text] == []
    for command in (program, *commands.values()):
        options = (option for option in command.params if option.param_type_name == "option")
        wanted |= {name for option in options for name in (*option.opts, *option.secondary_opts)}
    assert wanted - words == set()


def test_the_configuration_page_has_every_setting() -> None:
    from videogen_core import Settings

    text = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert listed == set(Settings.__struct_fields__) - {"environment", "inline_catalog", "origin"}


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ExampleError as failure:
        sys.exit(str(failure))
