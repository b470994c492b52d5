"""``python -m videogen_core.testing.serve module:name``: serve an emulator until it is told to stop.

The first line on standard output is a JSON object with its addresses.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time

import uvicorn

from .loading import load_emulator as load_emulator
from .server import bound, configured

__all__ = ["load_emulator", "main"]

_LAST_SECONDS = 2.0  # for an end in order, after which there is one without


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m videogen_core.testing.serve", description=__doc__)
    parser.add_argument("target", help="module:name of an Emulator class, or of a function that makes one")
    parser.add_argument("--options", default="{}", help="its keyword arguments, as a JSON object")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="of the API; 0 = any that is free")
    parser.add_argument("--delivery-port", type=int, default=0, help="of the files; 0 = any that is free")
    parser.add_argument("--with-parent", action="store_true", help="stop when standard input is closed")
    given = parser.parse_args(arguments)
    # uvicorn hands the signal on when it has stopped; an emulator may have files that go when the interpreter ends
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    emulator = load_emulator(given.target, json.loads(given.options))
    sockets = bound(given.host, (given.port, given.delivery_port))
    server = configured(emulator, sockets)
    told = {"name": emulator.name, "seed": emulator.seed, "pid": os.getpid()}
    told |= {"api_url": emulator.api_url, "delivery_url": emulator.delivery_url}
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    if given.with_parent:
        threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=sockets)


def _end_with_parent(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = server.force_exit = True
    time.sleep(_LAST_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
