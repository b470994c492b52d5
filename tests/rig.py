"""Jobs of the Acme plugin against its emulator in another process, driven by processes that can be killed at any time.

A `Zygote` has imported everything and forks a driver in a few milliseconds, so that hundreds can be killed in a minute.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import anyio
import pytest

import mutants
from acme.plugin import AcmeProvider, AcmeSession
from videogen_core import (
    AsyncClient,
    Client,
    Context,
    Provider,
    Session,
    SubmitCall,
    VideogenError,
    WebhookError,
    hookimpl,
)
from videogen_core.budget import make_budget
from videogen_core.ledger import open_ledger
from videogen_core.retry import Backoff

mutants.apply()  # in drivers, too

HERE = Path(__file__).parent
REF = "x-client-ref"
"""Header of a create, so that the vendor's journal can be laid beside our ledger whatever its class."""
STRANGER = "stranger"
"""What it holds in creates that a test sends past us."""
_SETPRIV_DEATH = 1  # PR_SET_PDEATHSIG


class CountedAcme(AcmeProvider):
    """Acme, whose creates carry our own id of the attempt in a header that the vendor ignores."""

    __module__ = AcmeProvider.__module__  # its catalogue lies there

    def connect(self, context: Context) -> Session:
        return _counted(super().connect(context))


def _counted(session: Session) -> Session:
    session.__class__ = CountedSession
    return session


class CountedSession(AcmeSession):
    def _headers(self, call: SubmitCall) -> dict[str, str]:
        return {**super()._headers(call), REF: call.client_ref}


@hookimpl
def videogen_provider() -> Provider:
    """As an installed plugin, for the command line; see `installed`."""
    return CountedAcme()


def installed(folder: Path, url: str, home: Path) -> dict[str, str]:
    """Make a folder in which Acme is an installed plugin; returns the variables with which a command finds it."""
    info = folder / "acme_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[videogen.plugins]\nacme = rig\n")
    return {
        "PYTHONPATH": os.pathsep.join([str(folder), str(HERE)]),
        "ACME_URL": url,
        "ACME_KEY": "test-key",
        "VIDEOGEN_HOME": str(home),
        "VIDEOGEN_CONFIG_DIR": str(folder),
        "VIDEOGEN_ALLOW_PRIVATE_ADDRESSES": "1",
        "VIDEOGEN_PROBE_IN_PROCESS": "1",
    }


def arguments(home: Path | str, url: str, **changes: Any) -> dict[str, Any]:
    """What a client takes to work with an emulator; ``kind``, ``list_lag`` and ``request`` are for the plugin."""
    plugin = {name: changes.pop(name) for name in ("kind", "list_lag") if name in changes}
    provider = CountedAcme(url=url, key="test-key", timeout=changes.pop("request", 5.0), **plugin)
    return {
        "home": Path(home),
        "plugins": [provider],
        "allow_private_addresses": True,
        "probe_in_process": True,
        "submit_timeout": 5.0,
        **changes,
    }


def client(home: Path | str, url: str, **changes: Any) -> AsyncClient:
    return AsyncClient(**arguments(home, url, **changes))


def sync_client(home: Path | str, url: str, **changes: Any) -> Client:
    return Client(**arguments(home, url, **changes))


def with_budget(location: str) -> None:
    """Open a ledger and give it a budget, whose counters its own check then lays beside its holds."""
    ledger = open_ledger(location)
    ledger.set_budget(make_budget("all", limit=1000, period="total", timezone="UTC"))
    ledger.close()


def hurry(patch: pytest.MonkeyPatch | None = None, *, factor: float = 0.05, proof: float = 0.4) -> None:
    """Wait less long between requests, and be sooner convinced.

    Args:
        patch: Undoes it; None = for a process that does nothing else.
        factor: By which waits are shorter; none is below 60 ms.
        proof: Seconds in the place of a minute.
    """
    from videogen_core import downloads, transitions
    from videogen_core.engine import reconciling
    from videogen_core.engine.clock import Clock

    async def sleep(self: Clock, seconds: float) -> None:
        await anyio.sleep(seconds if seconds <= 0.06 else max(0.06, seconds * factor))

    patch = patch or pytest.MonkeyPatch()
    patch.setattr(Clock, "sleep", sleep)
    patch.setattr(transitions, "PROOF_SECONDS", proof)
    patch.setattr(reconciling, "_LOOK_EVERY", proof / 4)
    defaults: Any = downloads.save.__kwdefaults__
    patch.setitem(defaults, "backoff", Backoff(first=0.02, cap=0.1, attempts=5))


# --- processes


class Driver:
    """A process that was forked to run a function."""

    def __init__(self, zygote: Zygote, pid: int, log: Path) -> None:
        self._zygote = zygote
        self.pid = pid
        self.log = log
        self.status: int | None = None

    def signal(self, number: int) -> None:
        if self.status is None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(self.pid, number)

    def kill(self) -> int:
        """SIGKILL, and wait; the status is ``-9`` unless it had ended already."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        if self.status is None:
            self.status = int(self._zygote.told()["status"])
        return self.status

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


class Zygote:
    """A process that forks drivers, one at a time.

    Args:
        modules: Imported before the first fork.
    """

    def __init__(self, *modules: str) -> None:
        paths = os.pathsep.join([str(HERE), *(path for path in sys.path if path)])
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "rig.py"), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        self._number = 0
        self.told()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.kill()
        self._process.wait()

    def told(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the zygote has died")
        found: dict[str, Any] = json.loads(line)
        return found

    def warm(self, function: str, **config: Any) -> None:
        """Run a function in the zygote itself, so that what it loads is there for every driver."""
        self._write(function=function, config=config)
        self.told()

    def _write(self, **task: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()

    def start(self, function: str, folder: Path, **config: Any) -> Driver:
        """Fork a driver that runs ``module:function(**config)``.

        What it writes goes to a file in ``folder``; what it raises ends it with status 1.
        """
        self._number += 1
        log = folder / f"driver-{self._number}.log"
        self._write(function=function, config=config, log=str(log))
        return Driver(self, int(self.told()["pid"]), log)


def _zygote(modules: list[str]) -> None:
    for name in modules:
        importlib.import_module(name)
    _die_with_parent()
    _tell(ready=True)
    for line in sys.stdin:
        task = json.loads(line)
        if "log" not in task:
            _function(task["function"])(**task["config"])
            while threading.active_count() > 1:  # a thread that holds a lock would leave it held in every driver
                time.sleep(0.01)
            _tell(warm=True)
            continue
        pid = os.fork()
        if pid == 0:
            _die_with_parent()
            os._exit(_driven(task))
        _tell(pid=pid)
        _, status = os.waitpid(pid, 0)
        _tell(status=os.waitstatus_to_exitcode(status))


def _tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _driven(task: dict[str, Any]) -> int:
    descriptor = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = _function(task["function"])(**task["config"])
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SETPRIV_DEATH, signal.SIGKILL)


# --- the user's application, which vendors tell news


class Application:
    """Takes webhook deliveries at ``url`` and hands them to a client, as an application would.

    Attributes:
        videogen: The client; None = it is not up yet, and answers 503.
        answers: The status of each answer, in order.
    """

    def __init__(self) -> None:
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(application.take(self.path, dict(self.headers), body))
                self.end_headers()

            def log_message(self, *told: object) -> None:
                return

        self.videogen: Client | None = None
        self.answers: list[int] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The status that a delivery is answered with."""
        _, _, provider, reference = path.split("/")
        status = 503
        if self.videogen is not None:
            try:
                self.videogen.webhook(provider, headers=headers, body=body, reference=reference)
                status = 200
            except WebhookError as error:
                status = error.status_code
            except VideogenError:
                status = 503
        self.answers.append(status)
        return status

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


# --- times


def within(seconds: float, condition: Any) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: It is not in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s")
        time.sleep(0.01)


if __name__ == "__main__":
    _zygote(sys.argv[1:])
