"""Every test, of the core and of the plugins: its own home, nobody's configuration, and no way to spend money."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("videogen", deadline=None)  # a busy machine is no mistake
settings.load_profile("videogen")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="run the tests that talk to vendors and cost money")
    parser.addoption("--kit", action="store_true", help="run the tests that install wheels into empty environments")
    parser.addoption("--chaos", action="store_true", help="run the long tests: thousands of kills, faults and mutants")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {
        "live": "talks to a vendor and costs money; run with --live and a key",
        "kit": "installs wheels; run with --kit, as nox -s kit does",
        "chaos": "takes many minutes; run with --chaos, or nox -s chaos",
    }
    for marker, reason in reasons.items():
        if config.getoption(f"--{marker}"):
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _own_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VIDEOGEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIDEOGEN_CONFIG_DIR", str(tmp_path / "config"))
    place = request.path.relative_to(request.config.rootpath).parts
    if place[0] == "plugins":  # its tests see this provider, and none that is installed beside it
        monkeypatch.setenv("VIDEOGEN_PLUGINS", f"{place[1].removeprefix('videogen_')},sandbox")
