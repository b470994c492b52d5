"""The control plane: what tests tell an emulator and ask of it, from this process or another, under ``/_emulator``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .faults import PROFILES, Fault
from .lifecycle import Script

if TYPE_CHECKING:
    from .emulator import Emulator

__all__ = ["CONTROL", "control_routes"]

CONTROL = "/_emulator"
_Action = Callable[["Emulator", Any], Any]


def _about(emulator: Emulator, asked: Any) -> Any:
    return {
        "name": emulator.name,
        "seed": emulator.seed,
        "api_url": emulator.api_url,
        "delivery_url": emulator.delivery_url,
        "traits": msgspec.to_builtins(emulator.traits),
        "now": emulator.clock.now(),
        "speed": emulator.clock.speed,
        "faults_armed": len(emulator.faults),
        "environment": emulator.environment(),
        "mistakes": emulator.mistakes,
        "leftovers": emulator.leftovers(),
    }


def _journal(emulator: Emulator, asked: Any) -> Any:
    return emulator.journal.entries(asked.get("kind"), asked.get("since", 0))


def _stats(emulator: Emulator, asked: Any) -> Any:
    return {**emulator.journal.counts(), **emulator.vendor.stats()}


def _jobs(emulator: Emulator, asked: Any) -> Any:
    return emulator.vendor.shown()


def _inject(emulator: Emulator, asked: Any) -> Any:
    emulator.faults.add(*msgspec.convert(asked.get("faults", []), list[Fault]))
    if "profile" in asked:
        emulator.faults.add(*PROFILES[asked["profile"]])
    return _about(emulator, asked)


def _calm(emulator: Emulator, asked: Any) -> Any:
    emulator.faults.clear()
    return _about(emulator, asked)


def _script(emulator: Emulator, asked: Any) -> Any:
    emulator.vendor.add_scripts(*msgspec.convert(asked.get("scripts", []), list[Script]))
    if "default" in asked:
        emulator.vendor.script = msgspec.convert(asked["default"], Script)
    return _about(emulator, asked)


def _clock(emulator: Emulator, asked: Any) -> Any:
    if "speed" in asked:
        emulator.clock.run(asked["speed"])
    emulator.clock.advance(asked.get("advance", 0))
    return _about(emulator, asked)


def _traits(emulator: Emulator, asked: Any) -> Any:
    emulator.change(**asked)
    return _about(emulator, asked)


def _reset(emulator: Emulator, asked: Any) -> Any:
    emulator.reset(seed=asked.get("seed"))
    return _about(emulator, asked)


_ACTIONS: dict[str, _Action] = {
    "": _about,
    "/journal": _journal,
    "/stats": _stats,
    "/jobs": _jobs,
    "/inject": _inject,
    "/calm": _calm,
    "/script": _script,
    "/clock": _clock,
    "/traits": _traits,
    "/reset": _reset,
}


def control_routes(emulator: Emulator) -> list[Route]:
    """A path for each action; all take a JSON object and answer with JSON, none meets a fault."""
    return [Route(CONTROL + path, _handler(emulator, act), methods=["POST", "GET"]) for path, act in _ACTIONS.items()]


def _handler(emulator: Emulator, act: _Action) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            asked = msgspec.json.decode(await request.body() or b"{}", type=dict[str, Any])
            answer, status = msgspec.json.encode(act(emulator, asked)), 200
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            answer, status = msgspec.json.encode({"error": f"{type(error).__name__}: {error}"}), 400
        return Response(answer, status, media_type="application/json")

    return handle
