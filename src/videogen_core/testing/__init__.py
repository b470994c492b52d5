"""For plugin authors: a vendor on loopback that can be told how its jobs go and what goes wrong.

Subclass `Emulator` to describe a vendor's HTTP API, `serve` it from a thread or `serve_process` it on its own, tell it
how jobs go with a `Script` and what breaks with a `Fault`, and count requests in its journal. Needs
``pip install 'videogen-core[testing]'``.
"""

from __future__ import annotations

from importlib.util import find_spec

if not (find_spec("starlette") and find_spec("uvicorn")):
    raise ImportError("videogen_core.testing needs more than the core: pip install 'videogen-core[testing]'")

from .clips import Clip, make_clip, owner
from .clock import Clock
from .delivery import sign_path, verify_path
from .emulator import Emulator
from .faults import PROFILES, Fault
from .forms import Part, read_form
from .journal import Entry
from .lifecycle import ENDED, Script
from .remote import EmulatorClient, EmulatorError
from .server import ServerProcess, ServerThread, serve, serve_process
from .vendor import Refusal, Traits, Vendor, VendorJob, current_entry
from .webhooks import post, sign_webhook

__all__ = [
    "ENDED",
    "PROFILES",
    "Clip",
    "Clock",
    "Emulator",
    "EmulatorClient",
    "EmulatorError",
    "Entry",
    "Fault",
    "Part",
    "Refusal",
    "Script",
    "ServerProcess",
    "ServerThread",
    "Traits",
    "Vendor",
    "VendorJob",
    "current_entry",
    "make_clip",
    "owner",
    "post",
    "read_form",
    "serve",
    "serve_process",
    "sign_path",
    "sign_webhook",
    "verify_path",
]
