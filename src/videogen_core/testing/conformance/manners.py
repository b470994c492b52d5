"""A guest in somebody's process: the plugin changes nothing there, and nothing of what it is given."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

from videogen_core import PLUGIN_API, Provider
from videogen_core.engine import watching

from .rig import Rig
from .suite import Suite

__all__ = ["Manners"]

_LOOK = """
import builtins, json, logging, os, pathlib, signal, socket, sys, threading
from importlib.metadata import EntryPoint
import anyio, asyncio, httpx
from videogen_core import Client, plugins, transport
from videogen_core.provider import Context

def state():
    handlers = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
    places = {f"builtins.{name}": getattr(builtins, name) for name in ("open", "print", "__import__")}
    for owner in (socket.socket, httpx.Client, httpx.AsyncClient, httpx.HTTPTransport, httpx.AsyncHTTPTransport):
        for name in ("connect", "send", "request", "handle_request", "handle_async_request", "__init__"):
            if hasattr(owner, name):
                places[f"{owner.__module__}.{owner.__name__}.{name}"] = getattr(owner, name)
    places |= {"socket.getaddrinfo": socket.getaddrinfo, "sys.excepthook": sys.excepthook}
    places |= {"threading.excepthook": threading.excepthook, "sys.stdout": sys.stdout, "sys.stderr": sys.stderr}
    return {
        **{name: repr(value) for name, value in places.items()},
        "the signal handlers": handlers,
        "os.environ": dict(os.environ),
        "the working folder": os.getcwd(),
        "the root logger": [logging.root.level, [type(each).__name__ for each in logging.root.handlers]],
        "the running threads": sorted(each.name for each in threading.enumerate()),
        "the event loop policy": repr(type(asyncio.get_event_loop_policy())),
    }

name, module = sys.argv[1:]
before = state()
loaded = EntryPoint(name, module, plugins.GROUP).load()
provider = loaded.videogen_provider()
provider.models()
provider.check_ready(dict(os.environ), {})
asked = state()

async def connect():
    before = state()  # a running loop has a handler of its own
    mine = {"settings": {}, "environment": dict(os.environ), "folder": pathlib.Path(os.environ["VIDEOGEN_HOME"])}
    session = provider.connect(Context(http=transport.client, **mine))
    during = state()
    await session.close()
    return [each for each in before if before[each] != during[each] and each != "the running threads"]

told = {
    "imported": [each for each in before if before[each] != asked[each]],
    "connected": anyio.run(connect),
}
sys.__stderr__.write("TOLD " + json.dumps(told) + chr(10))
"""


class Manners(Suite):
    """What is none of a plugin's business."""

    def test_it_says_which_interface_it_was_written_for(self) -> None:
        """As a plain number in its own class: a default would change with the core."""
        kind = type(self.new_provider())
        own = [each for each in kind.__mro__ if "plugin_api" in vars(each) and each is not Provider]
        assert own, f"{kind.__name__} does not say plugin_api = {PLUGIN_API}, so it is served as of API 1."
        stated = kind.plugin_api
        assert stated == PLUGIN_API, (
            f"{kind.__name__}.plugin_api is {stated}; this suite is of plugin API {PLUGIN_API}."
        )

    def test_it_leaves_the_process_as_it_is(self, rig: Rig) -> None:
        """Importing, asking and connecting change no handler, variable, logger or library, and print nothing."""
        done = subprocess.run(
            [sys.executable, "-c", _LOOK, rig.name, rig.module],
            env=rig.child_environment(),
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("TOLD ")]
        assert lines, f"The plugin cannot be imported and connected in a process of its own:\n{done.stderr[-3000:]}"
        told: dict[str, list[str]] = json.loads(lines[-1].removeprefix("TOLD "))
        for when, changed in told.items():
            assert not changed, (
                f"Being {when}, the plugin changes {', '.join(changed)}. That belongs to the program it is a guest of: "
                "keep what it needs in its session."
            )
        assert not done.stdout.strip(), f"The plugin prints: {done.stdout.strip()[:200]!r}. Use logging."

    async def test_it_changes_nothing_that_it_is_given(self, rig: Rig) -> None:
        """Neither the request nor the offer nor the handle: they are what the ledger and the next job rely on."""
        async with rig.client() as client:
            session = await rig.session(client)
            call = await rig.call(session)
            before = copy.deepcopy((call.request, call.spec, call.prepared))
            job = await rig.submit(client)
            await session.submit(call)
            known = watching.provider_job(job.record, rig.case.spec)
            handle, request = copy.deepcopy((known.handle, known.request))
            await session.poll(known)
            await session.close()
        for name, was in zip(("request", "spec", "prepared"), before, strict=True):
            assert was == getattr(call, name), f"submit() changes SubmitCall.{name}, which is not its own: copy it."
        assert handle == known.handle, (
            "poll() changes ProviderJob.handle: what it keeps there is lost with the process."
        )
        assert request == known.request, "poll() changes ProviderJob.request, which is not its own: copy it first."
