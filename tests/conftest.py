"""Every test has its own home, no configuration of the machine's user, and no way to spend money."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from disks import read_only_disk as read_only_disk, small_disk as small_disk


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="run the tests that talk to vendors and cost money")
    parser.addoption("--chaos", action="store_true", help="run the long tests: thousands of kills, faults and mutants")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {
        "live": "talks to a vendor and costs money; run with --live and a key",
        "chaos": "takes many minutes; run with --chaos, or nox -s chaos",
    }
    for marker, reason in reasons.items():
        if config.getoption(f"--{marker}"):
            continue
        for item in items:
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("VIDEOGEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIDEOGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("VIDEOGEN_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend
