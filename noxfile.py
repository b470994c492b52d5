"""Every check of this repository, each in an environment of its own: ``nox -l`` lists them, ``nox -s tests`` runs one.

The sessions install through pip's own configuration, so that a mirror or an offline wheel folder works as it stands.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"
nox.options.sessions = ["lint", "types", "tests"]
# `tests_all` runs on whatever is installed; a missing Python is shown as skipped, in CI too.
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).parent
DIST = ROOT / "dist"
PYPROJECT = nox.project.load_toml("pyproject.toml")
PROMPT = "A paper boat drifting down a rainy street"

# Where builds of torch without CUDA come from; empty = wherever pip finds torch, which may be gigabytes more.
TORCH_FOR_CPU = os.environ.get("VIDEOGEN_TORCH_INDEX", "")

# What a wheel of the core cannot work without.
IN_THE_WHEEL = (
    "videogen/__init__.py",
    "videogen/py.typed",
    "videogen_core/known_plugins.toml",
    "videogen_core/py.typed",
    "videogen_core/sandbox/catalog.toml",
    "videogen_core/scaffold/templates/plugin/pyproject.toml.tmpl",
    "videogen_core/scaffold/templates/plugin/.github/workflows/ci.yml.tmpl",
)

# Opens the clip as a player would: container, streams, and every frame decoded.
PROBE = """
import sys, av
with av.open(sys.argv[1]) as clip:
    video = clip.streams.video[0]
    frames = sum(1 for _ in clip.decode(video))
    codec, seconds = video.codec_context.name, clip.duration / av.time_base
print(f"{sys.argv[1]}: {codec} {video.width}x{video.height}, {frames} frames, {seconds:.1f} s")
assert "mp4" in clip.format.name and codec == "h264" and frames > 1 and seconds > 0.5
"""

# A pipeline with random weights, in the folder where a session is.
TINY = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import tiny
tiny.save("wan", pathlib.Path("tiny"))
"""

GENERATE = """
import sys, videogen
told = []
arguments = {"model": sys.argv[1], "output": sys.argv[2], "overwrite": True, "seed": 1}
result = videogen.generate("a red circle", **arguments, on_event=told.append)
assert any("denoising" in event.message for event in told), "no step was told"
print(result.path, result.cost)
"""


def _group(name: str) -> list[str]:
    """A dependency group, read here because pip before 25.1 does not know ``--group``."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


def _distributions() -> list[Path]:
    """The core, then every plugin that lies in this repository."""
    return [ROOT, *sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))]


def _install(session: nox.Session, *more: str, editable: bool = False) -> None:
    """The core and every plugin, in one go, so that pip sees all that they ask for together."""
    for folder in _distributions():
        more += ("-e", str(folder)) if editable else (str(folder),)
    session.install(*more)


def _run_tests(session: nox.Session) -> None:
    _install(session, *_group("tests"))
    # one more than the smallest CI machine has cores, since many tests wait; pass `-- -n 0 --pdb` to debug
    session.log("what the documentation shows is tried by `nox -s docs`, which builds it as well")
    session.run("pytest", "-n", "3", "--ignore=tests/test_docs.py", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The test suite, on the Python that runs nox."""
    _run_tests(session)


@nox.session
def tests_local(session: nox.Session) -> None:
    """The tests that run models, with a torch for the processor; `tests` leaves them out and says so."""
    session.install("torch>=2.6", "--index-url", TORCH_FOR_CPU) if TORCH_FOR_CPU else None
    local = ROOT / "plugins" / "videogen_local"
    session.install(str(ROOT), f"{local}[torch]", *_group("tests"))
    session.env["OMP_NUM_THREADS"] = "1"  # more threads than free cores make torch many times slower
    session.run("pytest", "-n", "2", str(local / "tests"), *session.posargs)


@nox.session(python=nox.project.python_versions(PYPROJECT))
def tests_all(session: nox.Session) -> None:
    """The test suite, on every supported Python that is installed."""
    _run_tests(session)


@nox.session
def chaos(session: nox.Session) -> None:
    """The long tests alone: thousands of kills, faults and mutants, in many minutes."""
    _install(session, *_group("tests"))
    hour = "-o", "faulthandler_timeout=3600"  # a test that takes minutes does not hang here
    session.run("pytest", "--chaos", "-m", "chaos", "-n", "2", *hour, *session.posargs)


@nox.session
def tests_ray(session: nox.Session) -> None:
    """The documented recipe for Ray Serve: two workers of videogen-local on processors. Installs gigabytes."""
    _install(session, *_group("tests"))
    session.install(f"{ROOT / 'plugins' / 'videogen_local'}[torch]", "ray[serve]>=2.60,<3")
    tests = "plugins/videogen_local/tests/test_local_ray.py", "tests/test_recipes.py"
    session.run("pytest", *tests, "-n", "0", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and formatting."""
    session.install(*_group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Strict types, and the public API as a user's type checker sees it."""
    _install(session, *_group("types"), editable=True)
    sources = [str(folder / "src") for folder in _distributions()]
    session.run("mypy", *sources, "noxfile.py", "benchmarks", "tests/typing")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, strictly, and every example in it."""
    _install(session, *_group("tests"))
    if (ROOT / "mkdocs.yml").exists():
        session.install(*_group("docs"), *_group("recipes"))
        session.run("mkdocs", "build", "--strict", env={"VIDEOGEN_HOME": session.create_tmp()})  # a page is a notebook
    else:
        session.warn("there is no mkdocs.yml")
    if (ROOT / "tests/test_docs.py").exists():
        session.run("pytest", "-n", "3", "tests/test_docs.py", "tests/test_recipes.py", *session.posargs)
    else:
        session.warn("there is no tests/test_docs.py")


@nox.session
def build(session: nox.Session) -> None:
    """Every wheel and sdist, into ``dist/``, and a look into the wheels."""
    session.install(*_group("build"))
    shutil.rmtree(DIST, ignore_errors=True)  # an old wheel must not pass for a new one
    for folder in _distributions():
        session.run("python", "-m", "build", "--outdir", str(DIST), str(folder))
    for wheel in sorted(DIST.glob("*.whl")):
        _check_wheel(session, wheel)


def _tracked(session: nox.Session, folder: Path) -> set[str]:
    """The files of a distribution's ``src`` that git knows, as a wheel names them; none outside a checkout."""
    if not (ROOT / ".git").exists():
        return set()
    listed = session.run("git", "-C", str(folder / "src"), "ls-files", external=True, silent=True)
    return set(str(listed).split())


def _entry_points(folder: Path) -> set[str]:
    """The entry points that a distribution's ``pyproject.toml`` names, as lines of ``entry_points.txt``."""
    project = nox.project.load_toml(folder / "pyproject.toml")["project"]
    groups = {"console_scripts": project.get("scripts", {}), **project.get("entry-points", {})}
    return {f"[{group}] {name} = {target}" for group, names in groups.items() for name, target in names.items()}


def _check_wheel(session: nox.Session, wheel: Path) -> None:
    """The wheel holds what git tracks and registers what ``pyproject.toml`` says: nothing less, and nothing more."""
    folder = next(
        folder
        for folder in _distributions()
        if nox.project.load_toml(folder / "pyproject.toml")["project"]["name"].replace("-", "_")
        == wheel.name.partition("-")[0]
    )
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        lines = "".join(archive.read(n).decode() for n in names if n.endswith("entry_points.txt")).splitlines()
    faults = [f"no {what}" for what in ("py.typed", "LICENSE") if not any(n.endswith(f"/{what}") for n in names)]
    faults += [f"{name} would run at every start of Python" for name in names if name.endswith(".pth")]
    if wheel.name.startswith("videogen_core-"):
        faults += [f"no {name}" for name in IN_THE_WHEEL if name not in names]
    shipped = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    if tracked := _tracked(session, folder):
        faults += [f"{name}, which git does not track" for name in sorted(shipped - tracked)]
        faults += [f"no {name}" for name in sorted(tracked - shipped)]
    group, registered = "", set()
    for line in lines:
        group = line if line.startswith("[") else group
        registered |= {f"{group} {line}"} if "=" in line else set()
    faults += [f"the entry point {line!r}" for line in sorted(registered ^ _entry_points(folder))]
    if faults:
        session.error(f"{wheel.name}: {'; '.join(faults)}")
    session.log(f"{wheel.name}: {len(names)} files, as it should be")


@nox.session(requires=["build"])
def demo(session: nox.Session) -> None:
    """What a stranger does: install the wheels in an empty environment and make a clip; then one with each provider."""
    session.install(*map(str, sorted(DIST.glob("*.whl"))))
    folder = Path(session.create_tmp())
    clip = folder / "boat.mp4"
    clip.unlink(missing_ok=True)  # a former demo's clip must not pass for this one's
    session.chdir(folder)  # away from the sources, so that only what is installed can be imported
    session.env["VIDEOGEN_HOME"] = str(folder / "home")
    session.run("videogen", "generate", PROMPT, "-o", clip.name)
    session.run("python", "-c", PROBE, clip.name)
    (core,) = DIST.glob("videogen_core-*.whl")
    session.install(f"{core}[testing]")
    for plugin in _distributions()[1:]:
        _emulated_clip(session, plugin.name.removeprefix("videogen_"))


@nox.session(requires=["build"])
def kit(session: nox.Session) -> None:
    """What a stranger does who writes a plugin: follows the tutorial, and starts from each template; wheels only."""
    (core,) = DIST.glob("videogen_core-*.whl")
    session.install(str(core), *_group("tests"), "virtualenv")
    session.run("pytest", "--kit", "tests/test_kit.py", "-n", "0", "-o", "faulthandler_timeout=1200", *session.posargs)


def _emulated_clip(session: nox.Session, provider: str) -> None:
    """Serve a provider's vendor on this machine, and make a clip there on the command line."""
    videogen = shutil.which("videogen", path=session.bin)
    command = [str(videogen), "emulate", provider, "--json", "--seconds", "0.2"]
    known = {name: value for name, value in {**os.environ, **session.env}.items() if value is not None}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=known) as vendor:
        try:
            told = ""
            while not told.endswith("}\n}\n"):  # the environment is its last field
                line = vendor.stdout.readline() if vendor.stdout else ""
                if not line:
                    session.error(f"videogen emulate {provider} ended:\n{told}")
                told += line
            variables = json.loads(told)["environment"]
            clip = f"{provider}.mp4"
            choice = ("--provider", provider, "--task", "text_to_video", "--prefer", "cheapest", "--overwrite")
            session.run("videogen", "generate", PROMPT, *choice, "-o", clip, env=variables)
            session.run("python", "-c", PROBE, clip)
        finally:
            vendor.terminate()


@nox.session(requires=["build"])
def demo_local(session: nox.Session) -> None:
    """Likewise with a model on this machine: wheels and torch in an empty environment, a tiny pipeline, two clips."""
    core, local = next(DIST.glob("videogen_core-*.whl")), next(DIST.glob("videogen_local-*.whl"))
    session.install(str(core), f"{local}[torch]")
    folder = Path(session.create_tmp())
    session.chdir(folder)
    quick = {"VIDEOGEN_POLL_INTERVAL": "0.02"}  # a tiny clip is made between two looks otherwise
    session.env.update(VIDEOGEN_HOME=str(folder / "home"), OMP_NUM_THREADS="1", **quick)
    tests = str(ROOT / "plugins" / "videogen_local" / "tests")
    session.run("python", "-c", TINY, tests)
    model = ("--model", "local/./tiny")
    session.run("videogen", "route", "--duration", "0.5", *model)
    session.run("videogen", "generate", PROMPT, *model, "-o", "shell.mp4", "--overwrite")
    session.run("python", "-c", PROBE, "shell.mp4")
    session.run("python", "-c", GENERATE, "local/./tiny", "python.mp4")
    session.run("python", "-c", PROBE, "python.mp4")


@nox.session
def bench(session: nox.Session) -> None:
    """The figures that we promise, each beside its baseline; ``-- --strict`` fails when one is missed."""
    session.install("torch>=2.6", "--index-url", TORCH_FOR_CPU) if TORCH_FOR_CPU else None
    session.install(".", f"{ROOT / 'plugins' / 'videogen_local'}[torch]", *_group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)
