"""``videogen emulate``: the real script serves a vendor, and another process that knows only its variables uses it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

import videogen_core.plugins
from acme.plugin import AcmeProvider
from test_cli import SCRIPT, Run, here, run
from videogen_core.testing import EmulatorClient, ServerThread

__all__ = ["here", "run"]  # fixtures

HERE = Path(__file__).parent
MAKE = ("generate", "a boat", "-m", "acme/paper", "-d", "1", "-r", "180p", "-o", "boat.mp4")
OF_ACME = ["ACME_URL", "ACME_KEY", "ACME_WEBHOOK_SECRET"]
NAMES = [*OF_ACME, "VIDEOGEN_ALLOW_PRIVATE_ADDRESSES", "VIDEOGEN_POLL_INTERVAL"]
Emulate = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acme, as a distribution that processes of their own find as well."""
    info = tmp_path / "site" / "acme_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[videogen.plugins]\nacme = acme.plugin\n")
    known = os.environ.get("PYTHONPATH", "")
    paths = [str(info.parent), str(HERE), *known.split(os.pathsep)] if known else [str(info.parent), str(HERE)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    point = importlib.metadata.EntryPoint("acme", "acme.plugin", videogen_core.plugins.GROUP)
    both = (*videogen_core.plugins._entry_points(), point)
    monkeypatch.setattr(videogen_core.plugins, "_entry_points", lambda: both)


@pytest.fixture(autouse=True)
def _never_serves_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process there is nobody to stop it."""
    monkeypatch.setattr(ServerThread, "wait", lambda server: None)


@pytest.fixture
def emulate(installed: None) -> Iterator[Emulate]:
    running = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [str(SCRIPT), "emulate", "acme", *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        running.append(process)
        return process

    yield start
    for process in running:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def printed(process: subprocess.Popen[bytes]) -> str:
    """What it has printed once it says no more: by then it listens."""
    assert process.stdout is not None
    text = b""
    while select.select([process.stdout], [], [], 0.3 if text else 30.0)[0]:
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            raise AssertionError(f"it printed {text.decode()!r} and ended: {process.communicate()}")
        text += chunk
    return text.decode()


def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> tuple[int, str, float]:
    """Exit code, standard error, and how many seconds a signal took."""
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    return process.returncode, err.decode(), time.monotonic() - began


def test_its_variables_lead_an_application_to_it(emulate: Emulate, here: Path) -> None:
    process = emulate("--seconds", "0")
    lines = printed(process).splitlines(keepends=True)
    assert [line.split("=")[0] for line in lines] == [f"export {name}" for name in NAMES]
    shell = "".join(lines) + f'exec "{SCRIPT}" "$@"'
    done = subprocess.run(["bash", "-c", shell, "videogen", *MAKE], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{here / 'boat.mp4'}\n"), done.stderr
    assert (here / "boat.mp4").read_bytes()[4:8] == b"ftyp"
    vendor = EmulatorClient(lines[0].strip().partition("=")[2])
    assert (vendor.count("create"), vendor.created) == (1, 1)
    variables = {line.split("=")[0].removeprefix("export "): line.strip().partition("=")[2] for line in lines}
    assert vendor.environment == {name: variables[name] for name in OF_ACME}
    code, err, _ = ended(process, signal.SIGINT)
    assert code == 0
    assert err.startswith(f"acme is emulated at {vendor.url}; Ctrl-C stops it. In another shell:\n")


@pytest.mark.usefixtures("installed")
def test_without_its_variables_nothing_is_ready(run: Run) -> None:
    answer = run(*MAKE)
    assert (answer.code, "ACME_URL is not set" in answer.err) == (2, True)


def test_as_json_with_a_port_and_a_seed(emulate: Emulate) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = json.loads(printed(emulate("--json", "--seed", "5", "--port", str(port))))
    assert told.keys() == {"name", "api_url", "delivery_url", "environment"}
    assert (told["name"], told["api_url"]) == ("acme", f"http://127.0.0.1:{port}")
    assert list(told["environment"]) == NAMES
    assert (told["environment"]["ACME_URL"], told["environment"]["ACME_KEY"]) == (told["api_url"], "test-key")
    assert told["api_url"] != told["delivery_url"], "clips come from another origin, as with real vendors"
    assert EmulatorClient(told["api_url"]).about()["seed"] == 5


def test_a_job_takes_as_long_as_was_said(emulate: Emulate) -> None:
    told = json.loads(printed(emulate("--json", "--seconds", "3600")))
    key = {"Authorization": f"Bearer {told['environment']['ACME_KEY']}"}
    body = {"model": "paper", "prompt": "boat", "seconds": 1, "size": "96x64", "fps": 8, "audio": False}
    with httpx.Client(base_url=told["api_url"], headers=key, trust_env=False) as web:
        for _ in range(2):  # each of them, not only the first
            job = web.post("/v1/videos", json=body).json()["id"]
            assert web.get(f"/v1/videos/{job}").json()["status"] == "working"
        EmulatorClient(told["api_url"]).advance(3600)
        assert web.get(f"/v1/videos/{job}").json()["status"] == "done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_and_frees_the_port(emulate: Emulate, number: signal.Signals, code: int) -> None:
    process = emulate("--json")
    told = json.loads(printed(process))
    with httpx.Client(base_url=told["api_url"], trust_env=False) as web:
        web.get("/v1/videos")  # a connection that stays open
        found, err, seconds = ended(process, number)
    assert (found, seconds < 3.0) == (code, True)
    assert "Traceback" not in err
    assert err == ("Stopped.\n" if code == 0 else "") or "Terminated" in err
    for url in (told["api_url"], told["delivery_url"]):
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind((host, int(port)))


# --- what is wrong, in this process -----------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--port", "--delivery-port"])
@pytest.mark.usefixtures("installed")
def test_a_port_that_is_taken(run: Run, option: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        answer = run("emulate", "acme", option, port)
        told = run("emulate", "acme", option, port, "--json")
    assert (answer.code, answer.out) == (2, "")
    for word in (f"cannot listen at 127.0.0.1 on {port}", "in use", "Choose another --port or --delivery-port"):
        assert word in answer.err
    assert (told.code, told.json["error"]["type"]) == (2, "ConfigurationError")


@pytest.mark.parametrize(
    "arguments", [["--port", "70000"], ["--host", "192.0.2.1"], ["--host", "no.such.host.invalid"]]
)
@pytest.mark.usefixtures("installed")
def test_an_address_that_cannot_be_listened_on(run: Run, arguments: list[str]) -> None:
    answer = run("emulate", "acme", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert "The emulator cannot listen" in answer.err


def test_a_provider_that_is_not_there(run: Run) -> None:
    answer = run("emulate", "acme")
    assert (answer.code, answer.out) == (2, "")
    assert "No plugin named 'acme' is installed" in answer.err


def test_a_provider_without_an_emulator(run: Run) -> None:
    answer = run("emulate", "sandbox")
    assert (answer.code, answer.out) == (2, "")
    assert "The plugin 'sandbox' ships no emulator" in answer.err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("acme.emulator", "expected module:name"),
        ("acme.emulator:Nobody", "expected module:name"),
        ("acme.nowhere:AcmeEmulator", "No module named 'acme.nowhere'"),
        ("acme.plugin:AcmeProvider", "TypeError"),
    ],
)
@pytest.mark.promise("G1")
@pytest.mark.usefixtures("installed")
def test_an_emulator_that_cannot_be_made(run: Run, monkeypatch: pytest.MonkeyPatch, target: str, words: str) -> None:
    monkeypatch.setattr(AcmeProvider, "emulator", target)
    answer = run("emulate", "acme")
    assert (answer.code, answer.out) == (2, "")
    assert f"The emulator of 'acme', {target}, cannot be made" in answer.err
    assert words in answer.err


@pytest.mark.usefixtures("installed")
def test_what_emulators_need_may_not_be_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "videogen_core.testing", None)
    answer = run("emulate", "acme")
    assert (answer.code, answer.out) == (2, "")
    assert "pip install 'videogen-core[testing]'" in answer.err
