"""Importing a plugin, listing its offers and asking about them load no library and need no key."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from videogen_core import plugins

from .rig import Rig
from .suite import Suite

__all__ = ["Light"]

_HEAVY = ("httpx", "httpx2", "anyio", "av", "PIL", "requests", "aiohttp", "torch", "grpc")
_ASK = """
import json, sys
from importlib.metadata import EntryPoint
from videogen_core import plugins
name, module, questions = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
before = set(sys.modules)
plugins._entry_points = lambda: (EntryPoint(name, module, plugins.GROUP),)
import videogen_core
client = videogen_core.Client()
listed = [spec.id for spec in client.models()]
for question in questions:
    client.estimate(**question)
    client.check(**question)
    client.route(**question)
print(json.dumps({"listed": listed, "loaded": sorted(set(sys.modules) - before)}))
"""


class Light(Suite):
    """Cheap to import, and honest about where it is."""

    def test_importing_and_asking_load_nothing_heavy(self, rig: Rig) -> None:
        """In a process of its own, without any key: no library of the plugin's is loaded before it connects."""
        told = self._asked(rig)
        heavy = {*_HEAVY, *_requirements(rig.module)}
        strays = sorted({name for name in told["loaded"] if any(_within(name, each) for each in heavy)})
        assert not strays, (
            f"Importing {rig.module}, listing, checking, estimating and routing loaded {', '.join(strays[:8])}. "
            "Import such libraries inside connect() or the session's methods, and under TYPE_CHECKING for annotations."
        )

    def test_its_offers_are_listed_without_a_key(self, rig: Rig) -> None:
        """Every live offer shows, whether it can be used or not."""
        listed = set(self._asked(rig)["listed"])
        missing = [spec.id for spec in self.live() if spec.id not in listed]
        assert not missing, (
            f"models() does not list {', '.join(missing)} without a key; Provider.models must need none."
        )

    def test_its_hook_makes_the_provider(self, rig: Rig) -> None:
        """What an entry point leads to: a module whose ``videogen_provider`` returns it."""
        hook = getattr(sys.modules[rig.module], "videogen_provider", None)
        assert callable(hook), (
            f"{rig.module} has no function videogen_provider with @hookimpl, so no user can install it."
        )
        made = hook()
        assert made.name == rig.name, f"videogen_provider() returned the provider {made.name!r}, not {rig.name!r}."

    def test_its_entry_point_is_right(self, rig: Rig) -> None:
        """The distribution registers that module under the provider's name."""
        found = _distribution(rig.module)
        if found is None:
            pytest.skip(f"{rig.module} belongs to no installed distribution")
        points = [each for each in found.entry_points if each.group == plugins.GROUP]
        targets = {each.name: each.module for each in points}
        assert targets.get(rig.name) == rig.module, (
            f"{found.name} registers {targets or 'nothing'} in the group {plugins.GROUP!r}; write "
            f'[project.entry-points."{plugins.GROUP}"] {rig.name} = "{rig.module}" in its pyproject.toml.'
        )

    def _asked(self, rig: Rig) -> dict[str, Any]:
        questions = [_question(case) for case in self.clips() if not case.inputs]
        foreign = {name for name in os.environ if name.startswith("VIDEOGEN_")} | rig.own.keys()
        environment = {k: v for k, v in rig.child_environment().items() if k not in foreign}
        environment |= {name: rig.environment[name] for name in ("VIDEOGEN_HOME", "VIDEOGEN_CONFIG_DIR")}
        done = subprocess.run(
            [sys.executable, "-c", _ASK, rig.name, rig.module, json.dumps(questions)],
            env=environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (
            f"Without a key, the plugin cannot be asked about its offers:\n{done.stderr[-3000:]}"
        )
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


def _question(case: Any) -> dict[str, Any]:
    return {"prompt": case.prompt, **case.arguments}


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _distribution(module: str) -> importlib.metadata.Distribution | None:
    """The installed distribution that a module is of."""
    for point in importlib.metadata.entry_points(group=plugins.GROUP):
        if point.module == module and point.dist is not None:
            return point.dist
    owners = importlib.metadata.packages_distributions().get(module.partition(".")[0], [])
    return importlib.metadata.distribution(owners[0]) if owners else None


def _requirements(module: str) -> set[str]:
    """Top-level modules of what a plugin's distribution requires, the core's own requirements left out."""
    found = _distribution(module)
    if found is None:
        return set()
    wanted = _required(found) - {"videogen-core"} - _required(importlib.metadata.distribution("videogen-core"))
    packages: dict[str, set[str]] = {}
    for package, owners in importlib.metadata.packages_distributions().items():
        for owner in owners:
            packages.setdefault(_canonical(owner), set()).add(package)
    return {package for name in wanted for package in packages.get(name, ())}


def _required(distribution: importlib.metadata.Distribution) -> set[str]:
    return {_canonical(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in distribution.requires or ()}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
