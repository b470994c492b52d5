"""``videogen new-plugin``: names, folders, and what it writes, as far as that can be seen without installing it.

That it installs, and passes its own tests, ruff and mypy, is in ``test_kit``.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

import videogen_core.plugins
from architecture import Plugin, strange_imports
from test_cli import Run, here, run
from videogen_core import PLUGIN_API, Client, ConfigurationError, RequestError, scaffold
from videogen_core.cli.completion import kinds
from videogen_core.scaffold import KINDS, new_plugin
from videogen_core.testing import serve
from videogen_core.testing.loading import load_emulator

__all__ = ["here", "run"]  # fixtures

DAY = date(2026, 11, 21)
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder."""
    found = tmp_path / "place"
    found.mkdir()
    return found


# --- what it writes ---------------------------------------------------------------------------------------------


@pytest.fixture
def path() -> Iterator[list[str]]:
    """The import path, as it was once the test is over, and no module of a plugin that was written."""
    before, modules = list(sys.path), set(sys.modules)
    yield sys.path
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith("videogen_tried"):
            del sys.modules[name]


@each_kind
def test_it_makes_a_clip_with_its_own_emulator(
    kind: str, tmp_path: Path, path: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = new_plugin("tried", kind=kind, folder=tmp_path / "it")
    path.insert(0, str(made.folder / "src"))
    point = importlib.metadata.EntryPoint("tried", "videogen_tried.plugin", videogen_core.plugins.GROUP)
    monkeypatch.setattr(videogen_core.plugins, "_entry_points", lambda: (point,))
    with serve(load_emulator("videogen_tried.emulator:TriedEmulator", {"seed": 3})) as vendor:
        for name, value in vendor.environment.items():
            monkeypatch.setenv(name, value)
        with Client(home=tmp_path / "home", allow_private_addresses=True, poll_interval=0.1) as client:
            (spec,) = client.models(provider="tried")
            clip = {"model": spec.id, "duration": 2, "resolution": "360p", "audio": False, "seed": 4}
            result = client.generate("a boat", **clip, output=tmp_path / "boat.mp4")
        assert vendor.created == 1
    assert result.cost == Decimal("0.10")  # two seconds of 0.05
    assert result.videos[0].width == 640


@each_kind
def test_it_uses_what_is_public_and_nothing_else(kind: str, tmp_path: Path) -> None:
    made = new_plugin("tried", kind=kind, folder=tmp_path / "it")
    assert strange_imports(Plugin(made.folder)) == []


@each_kind
def test_it_is_a_whole_repository_with_nothing_left_to_fill_in(kind: str, tmp_path: Path) -> None:
    made = new_plugin("much-tried", kind=kind, folder=tmp_path / "it", today=DAY)
    for wanted in (".github/workflows/ci.yml", ".gitignore", "LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml"):
        assert wanted in made.files
    assert set(made.files) == {
        file.relative_to(made.folder).as_posix() for file in made.folder.rglob("*") if file.is_file()
    }
    for name in made.files:
        text = (made.folder / name).read_text(encoding="utf-8")
        assert "$" not in text.replace("${{", "").replace("$ ", ""), name
        assert "TODO" not in text, name
        if name.endswith(".py"):
            compile(text, name, "exec")
    assert KINDS[kind] in (made.folder / "README.md").read_text(encoding="utf-8")
    assert "(c) 2026" in (made.folder / "LICENSE").read_text(encoding="utf-8")


def test_its_project_says_what_it_is(tmp_path: Path) -> None:
    made = new_plugin("much-tried", kind="webhook", folder=tmp_path / "it")
    project = tomllib.loads((made.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "videogen-much-tried"
    assert project["entry-points"] == {"videogen.plugins": {"much-tried": "videogen_much_tried.plugin"}}
    floor = ".".join(importlib.metadata.version("videogen-core").split(".")[:2])
    assert f"videogen-core[webhooks]>={floor},<{int(floor[0]) + 1}" in project["dependencies"]
    plugin = (made.folder / "src/videogen_much_tried/plugin.py").read_text(encoding="utf-8")
    assert "class MuchTriedProvider(Provider):" in plugin
    assert '"MUCH_TRIED_API_KEY"' in plugin
    assert f"plugin_api: ClassVar[int] = {PLUGIN_API}\n" in plugin
    catalog = tomllib.loads((made.folder / "src/videogen_much_tried/catalog.toml").read_text(encoding="utf-8"))
    assert catalog["models"][0]["id"] == "much-tried/spark-1"


def test_the_kinds_differ(tmp_path: Path) -> None:
    texts = set()
    for kind in KINDS:
        made = new_plugin("tried", kind=kind, folder=tmp_path / kind)
        texts.add("".join((made.folder / name).read_text(encoding="utf-8") for name in made.files))
    assert len(texts) == len(KINDS)


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("Acme", "Such as acme."),
        ("acme_video", "Such as acme-video."),
        ("acme--video", "Such as acme-video."),
        ("-acme", "Such as acme."),
        ("acme-", "Such as acme."),
        ("3d", "Such as d."),
        ("a" * 21, f"Such as {'a' * 20}."),
        ("", "Such as acme."),
        ("Ω", "Such as acme."),
        ("../acme", "Such as acme."),
        ("acme\n", "Such as acme."),
        ("videogen-acme", "Give the provider's name alone: acme."),
    ],
)
def test_a_name_that_cannot_be(place: Path, name: str, hint: str) -> None:
    with pytest.raises(RequestError) as caught:
        new_plugin(name, folder=place / "it")
    assert hint in str(caught.value)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("name", ["core", "videogen", "sandbox", "taken"])
def test_a_name_that_somebody_has(place: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"The name {name!r} is taken: "):
        new_plugin(name, folder=place / "it", taken={"taken": "me"})


def test_a_kind_that_there_is_not(place: Path) -> None:
    with pytest.raises(RequestError, match="poll, webhook, sync, inline"):
        new_plugin("acme", kind="telex", folder=place / "it")


# --- folders ----------------------------------------------------------------------------------------------------


def test_nothing_is_overwritten(place: Path) -> None:
    (place / "full").mkdir()
    (place / "full" / "mine.txt").write_text("mine")
    (place / "file").write_text("mine")
    (place / "dangling").symlink_to(place / "nowhere")
    for name in ("full", "file", "dangling"):
        with pytest.raises(RequestError, match="is there already, and nothing is overwritten"):
            new_plugin("acme", folder=place / name)
    assert sorted(path.name for path in place.rglob("*")) == ["dangling", "file", "full", "mine.txt"]


def test_an_empty_folder_is_filled(place: Path) -> None:
    (place / "empty").mkdir()
    assert "README.md" in new_plugin("acme", folder=place / "empty").files
    assert (place / "empty").stat().st_mode & 0o777 == 0o755


def test_a_write_that_fails_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, written = Path.write_text, []

    def fail(path: Path, *args: object, **kwargs: object) -> int:
        written.append(path)
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        return write(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(ConfigurationError, match="No space left"):
        new_plugin("acme", folder=place / "it")
    assert list(place.iterdir()) == []


def test_a_change_that_no_longer_fits_is_noticed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes a template hears of the kinds that were made of it."""
    change = {"file": "src/package/plugin.py", "old": "no such line", "new": ""}
    monkeypatch.setattr(scaffold, "_changes", lambda root, kind: [change])
    with pytest.raises(AssertionError, match="is not once in the template"):
        new_plugin("acme", kind="sync", folder=place / "it")


# --- on the command line ----------------------------------------------------------------------------------------


def test_the_command_writes_it_and_says_what_is_next(run: Run, here: Path) -> None:
    answer = run("new-plugin", "acme-two", "--kind", "inline")
    assert (answer.code, answer.out) == (0, f"{here / 'videogen-acme-two'}\n")
    for words in ("pip install -e '.[dev]'", "videogen emulate acme-two", KINDS["inline"]):
        assert words in answer.err
    told = run("new-plugin", "acme-three", "--folder", "x/y", "--json")
    assert (told.code, told.json["name"], told.json["kind"]) == (0, "acme-three", "poll")
    assert told.json["folder"] == str(here / "x" / "y")
    assert "pyproject.toml" in told.json["files"]


@pytest.mark.parametrize("name", ["sandbox", "veo", "runway"])
def test_the_command_knows_names_that_are_taken(run: Run, here: Path, name: str) -> None:
    answer = run("new-plugin", name)
    assert (answer.code, answer.out, list(here.iterdir())) == (2, "", [])
    assert f"The name {name!r} is taken" in answer.err


def test_the_help_names_every_kind(run: Run) -> None:
    said = run("new-plugin", "--help").out
    assert all(kind in said for kind in KINDS)
    assert kinds("s") == ["sync"]
