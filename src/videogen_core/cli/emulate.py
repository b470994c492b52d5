"""``emulate``: a vendor's HTTP API on this machine, so that an application can be tried and tested for free."""

from __future__ import annotations

import secrets
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from videogen_core import Client, ConfigurationError, PluginError

from . import completion
from .interrupts import TerminatedError
from .options import takes
from .screen import Screen

if TYPE_CHECKING:
    from videogen_core.testing import Emulator

__all__ = ["emulate"]

_OURS = {"VIDEOGEN_ALLOW_PRIVATE_ADDRESSES": "1", "VIDEOGEN_POLL_INTERVAL": "0.5"}
"""Clips are otherwise not fetched from this machine, and jobs are asked for as seldom as real ones."""


@takes()
def emulate(
    screen: Screen,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the provider.", autocompletion=completion.providers)
    ],
    port: Annotated[int, typer.Option("--port", metavar="PORT", help="Port of the API; 0 = any that is free.")] = 0,
    delivery_port: Annotated[
        int, typer.Option("--delivery-port", metavar="PORT", help="Port of the clips; 0 = any that is free.")
    ] = 0,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    seconds: Annotated[float, typer.Option("--seconds", metavar="SECONDS", help="How long a job takes.", min=0)] = 2.0,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            metavar="NUMBER",
            help="Decides the ids of jobs. Left out, they are others each time, since a ledger knows those of before.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a provider's HTTP API on this machine until Ctrl-C: real clips, no key, no charge.

    Standard output has the variables to export; with them an application runs against the emulator unchanged.
    """
    emulator = _emulator(name, seconds, secrets.randbelow(2**32) if seed is None else seed)
    from videogen_core.testing import ServerThread

    try:
        server = ServerThread(emulator, host=host, port=port, delivery_port=delivery_port)
        server.start()
    except (OSError, OverflowError) as error:
        ports = " and ".join(str(each) for each in (port, delivery_port) if each) or "any port"
        raise ConfigurationError(
            f"The emulator cannot listen at {host} on {ports}: {error}.",
            hint="Choose another --port or --delivery-port; 0 is any that is free.",
        ) from error
    try:
        _announce(screen, emulator)
        server.wait()
    except TerminatedError:
        raise
    except KeyboardInterrupt:
        screen.say("Stopped.")
    finally:
        server.stop()


def _announce(screen: Screen, emulator: Emulator) -> None:
    environment = {**emulator.environment(), **_OURS}
    if screen.json:
        addresses = {"api_url": emulator.api_url, "delivery_url": emulator.delivery_url}
        screen.emit({"name": emulator.name, **addresses, "environment": environment})
        return
    screen.say(f"{emulator.name} is emulated at {emulator.api_url}; Ctrl-C stops it. In another shell:")
    for variable, value in environment.items():
        screen.line(f"export {variable}={shlex.quote(value)}")


def _emulator(name: str, seconds: float, seed: int) -> Emulator:
    """The emulator of a provider.

    Raises:
        PluginError: No such plugin, or it ships no emulator.
        ConfigurationError: What an emulator needs is not installed.
    """
    with Client() as client:
        registry = client.workspace.registry
        target = registry.plugins.provider(name).emulator or registry.extensions.emulator(name)
    if not target:
        raise PluginError(f"The plugin {name!r} ships no emulator.")
    try:
        from videogen_core.testing import Script
        from videogen_core.testing.loading import load_emulator
    except ImportError as error:
        raise ConfigurationError(
            "Emulators need more than the core.", hint="Run: pip install 'videogen-core[testing]'"
        ) from error
    try:
        return load_emulator(target, {"script": Script(running=seconds, times=None), "seed": seed})
    except Exception as error:  # a plugin's bug
        raise PluginError(
            f"The emulator of {name!r}, {target}, cannot be made: {type(error).__name__}: {error}."
        ) from error
