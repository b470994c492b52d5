"""From a server and its model to an offer: the rules of the model, as far as the server can be told them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from videogen_core import (
    ConfigurationError,
    Defaults,
    Latency,
    MediaLimits,
    Mode,
    ModelSpec,
    OptionSpec,
    Price,
    PromptLimits,
    Span,
    Task,
    Tier,
    VideoRequest,
)

from ..families import FAMILIES, Family
from ..rows import family_of, offer_fields, options
from .bodies import FIELDS
from .memory import Known
from .settings import Server

__all__ = ["offer"]

_TASKS = (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
"""What ``/v1/videos`` can be told: text, and one picture."""
_TYPES = {"T2V": _TASKS[:1], "I2V": _TASKS[1:], "TI2V": _TASKS}
_TYPE_IN_NAME = re.compile(r"(?:^|[^a-z])(ti2v|i2v|t2v)(?:[^a-z]|$)", re.IGNORECASE)
_SHAPES = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "9:21", "3:2", "2:3")
_SIZES = ((832, 480), (480, 832), (480, 480), (1280, 720), (720, 1280), (720, 720))
_OPENAI_SIZES = ((1280, 720), (720, 1280))
_OPENAI_SECONDS = (4.0, 8.0, 12.0)
_SECONDS = Span(min=1, max=10)  # of a model about which nothing is known
_USUAL = 5.0  # seconds
_FPS = 24.0
_SEED = 2**31 - 1
_PICTURES = MediaLimits(formats=("image/png", "image/jpeg", "image/webp"), max_bytes=20 * 2**20)
_LATENCY = Latency(typical=120.0)
_AS_OF = date(2026, 11, 21)
_OPTIONS = {
    "steps": OptionSpec(type="integer", min=1, max=200, description="Denoising steps."),
    "guidance_scale": OptionSpec(
        type="number", min=0, max=20, description="Guidance scale; of the first expert, where a model has two."
    ),
    "guidance_scale_2": OptionSpec(
        type="number", min=0, max=20, description="Guidance scale of the second expert, which works on little noise."
    ),
    "flow_shift": OptionSpec(type="number", min=0, max=50, description="Shift of the noise schedule."),
    "lora": OptionSpec(type="object", description="A LoRA that lies on the server: name, path and scale."),
    "extra": OptionSpec(type="object", description="Parameters of the model that have no name of their own here."),
}

_Sizes = dict[str, dict[str, tuple[int, int]]]


def offer(
    server: Server, known: Known, paces: Mapping[str, tuple[Decimal, Decimal]], rows: Iterable[ModelSpec]
) -> ModelSpec:
    """The offer ``local/NAME`` of a server.

    Args:
        server: As the user has set it up; what it says of the model goes before everything else.
        known: What it serves.
        paces: How fast it has been, by resolution.
        rows: The catalogue of models that run here: one of them may be the same.

    Raises:
        ConfigurationError: ``like`` names no row, or the server cannot be told what the settings ask for.
    """
    row = _row(server, known, tuple(rows))
    family = family_of(row) if row is not None else FAMILIES.get(known.pipeline)
    if row is None and family is not None:
        row = _of_family(family, server, known)
    fps = server.fps or (row.output_fps if row is not None else None)
    if fps is None and row is None and server.dialect.takes("fps"):
        fps = _FPS
    modes, default, sizes = _rules(server, known, row)
    owner, _, name = known.model.rpartition("/")
    return ModelSpec(
        id=f"local/{server.name}",
        model=row.name if row else name.lower(),
        title=f"{row.title if row else known.model} at {server.name} ({server.dialect.title})",
        maker=row.maker if row else owner or server.dialect.title,
        modes=modes,
        default=default,
        prompt=row.prompt if row else PromptLimits(),
        image=row.image if row else _PICTURES,
        sizes=sizes,
        output_fps=fps,
        seed=_SEED if server.dialect.takes("seed") else None,
        negative_prompt=server.dialect.takes("negative_prompt") and (row is None or bool(row.negative_prompt)),
        options=_options(server, family),
        latency=_latency(server, row, default.duration),
        license=row.license if row else None,
        tier=row.tier if row else Tier.STANDARD,
        prices=_prices(server, paces),
        vendor={
            "engine": "server",
            "server": server.name,
            "model": known.model,
            "reconcile": server.dialect.reconcile,
            **({"pipeline": family.name} if family is not None else {}),
            **({"family": row.vendor["family"]} if row is not None and "family" in row.vendor else {}),
        },
        source=f"{server.dialect.source} and the settings",
        as_of=server.dialect.as_of or _AS_OF,
    )


def _row(server: Server, known: Known, rows: Sequence[ModelSpec]) -> ModelSpec | None:
    """The catalogue row of the same model, by the name that the settings give or by its repository."""
    if server.like:
        wanted = server.like.lower().removeprefix("local/")
        for row in rows:
            if wanted in (row.id.partition("/")[2], row.name):
                return row
        raise ConfigurationError(
            f"providers.local.servers.{server.name}.like: no model of the catalogue is called {server.like!r}.",
            hint="`videogen models --provider local` lists them.",
        )
    model = known.model.lower()
    return next((row for row in rows if str(row.vendor.get("repo", "")).lower() == model), None)


def _of_family(family: Family, server: Server, known: Known) -> ModelSpec:
    """A row for a model of which nothing is known but its class."""
    owner, _, name = known.model.rpartition("/")
    return ModelSpec(
        id=f"local/{server.name}",
        model=name.lower(),
        title=known.model,
        maker=owner or server.dialect.title,
        source=server.dialect.source,
        as_of=server.dialect.as_of or _AS_OF,
        **offer_fields(family),
    )


# --- what can be asked for


def _rules(server: Server, known: Known, row: ModelSpec | None) -> tuple[tuple[Mode, ...], Defaults, _Sizes]:
    told = [mode for each in row.modes if (mode := _told(each, server)) is not None] if row is not None else []
    if row is not None and told and not (server.tasks or server.sizes or server.seconds):
        return tuple(told), _possible(row.default, told), row.sizes
    tasks = server.tasks or (_common(row.tasks) if row is not None else ()) or _tasks(known)
    durations, usual = _durations(server, told[0] if told else None)
    by_resolution = _table(server, row)
    modes = [
        Mode(
            tasks=tasks,
            durations=durations,
            resolutions=(resolution,),
            aspect_ratios=tuple(shapes),
            audio=_audio(server, told[0].audio if told else (False,)),
            default=Defaults(resolution=resolution, aspect_ratio=next(iter(shapes))),
        )
        for resolution, shapes in by_resolution.items()
    ]
    first = modes[0].default
    default = Defaults(duration=usual, resolution=first.resolution, aspect_ratio=first.aspect_ratio)
    return tuple(modes), default, by_resolution


def _common(tasks: Iterable[Task]) -> tuple[Task, ...]:
    found = set(tasks)
    return tuple(task for task in _TASKS if task in found)


def _tasks(known: Known) -> tuple[Task, ...]:
    """What a model is for, as the server or else its name says."""
    if known.task_type.upper() in _TYPES:
        return _TYPES[known.task_type.upper()]
    in_name = _TYPE_IN_NAME.search(known.model)
    return _TYPES[in_name[1].upper()] if in_name else _TASKS[:1]


def _told(mode: Mode, server: Server) -> Mode | None:
    """A mode of the model with what the server can be told; None when nothing of it can."""
    tasks = tuple(task for task in mode.tasks if task in _TASKS)
    durations = mode.durations if server.dialect.takes("frames") else _whole(mode.durations)
    if not tasks or mode.requires or not durations:
        return None
    default = mode.default
    if default.duration is not None and default.duration not in durations:
        default = msgspec.structs.replace(default, duration=_first(durations))
    audio = _audio(server, mode.audio)
    if default.audio not in audio:
        default = msgspec.structs.replace(default, audio=None)
    fps = mode.fps if server.dialect.takes("fps") else ()
    if not fps:
        default = msgspec.structs.replace(default, fps=None)
    return msgspec.structs.replace(
        mode,
        tasks=tasks,
        durations=durations,
        audio=audio,
        fps=fps,
        default=default,
        allows=(),
        reference_images=0,
        count=1,
    )


def _first(durations: tuple[float, ...] | Span) -> float:
    return durations.min if isinstance(durations, Span) else durations[0]


def _whole(durations: tuple[float, ...] | Span) -> tuple[float, ...]:
    """The whole seconds among some lengths."""
    if isinstance(durations, Span):
        low, high = int(-(-durations.min // 1)), int(durations.max)
        return tuple(float(second) for second in range(low, high + 1) if durations.step is None or second in durations)
    return tuple(second for second in durations if second.is_integer())


def _audio(server: Server, audio: tuple[bool, ...]) -> tuple[bool, ...]:
    """Sound can be a switch only where the server can be told."""
    return audio if server.dialect.takes("audio") or len(audio) == 1 else (False,)


def _possible(default: Defaults, modes: Sequence[Mode]) -> Defaults:
    """The defaults of a row, without those that no mode has any more."""
    lost: dict[str, Any] = {
        field: None
        for field in Defaults.__struct_fields__
        if (value := getattr(default, field)) is not None and not any(value in mode.settable(field) for mode in modes)
    }
    if "duration" in lost:
        lost["duration"] = _first(modes[0].durations)
    return msgspec.structs.replace(default, **lost)


def _durations(server: Server, mode: Mode | None) -> tuple[tuple[float, ...] | Span, float]:
    """Lengths that can be asked for, and the usual one."""
    if server.seconds:
        if not server.dialect.takes("frames") and not all(each.is_integer() for each in server.seconds):
            raise ConfigurationError(
                f"providers.local.servers.{server.name}.seconds: {server.dialect.title} takes whole seconds only."
            )
        return server.seconds, server.seconds[0]
    if mode is not None:
        found: tuple[float, ...] | Span = mode.durations
    else:
        found = _SECONDS if server.dialect.takes("frames") else _OPENAI_SECONDS
    if isinstance(found, Span):
        return found, found.snap(_USUAL) or found.min
    return found, found[0]


def _table(server: Server, row: ModelSpec | None) -> _Sizes:
    """Pixels by resolution and shape."""
    if not server.sizes and row is not None and row.sizes:
        return {name: dict(shapes) for name, shapes in row.sizes.items()}
    table: _Sizes = {}
    for width, height in server.sizes or (_SIZES if server.dialect.takes("frames") else _OPENAI_SIZES):
        resolution = VideoRequest.make(resolution=f"{min(width, height)}p").resolution or ""
        table.setdefault(resolution, {}).setdefault(_shape(width, height), (width, height))
    return table


def _shape(width: int, height: int) -> str:
    """The usual shape that pixels are nearest to."""

    def off(shape: str) -> float:
        wide, high = map(int, shape.split(":"))
        ratio = (width / height) / (wide / high)
        return max(ratio, 1 / ratio)

    return min(_SHAPES, key=off)


def _options(server: Server, family: Family | None) -> dict[str, OptionSpec]:
    """What can be set, by the names that it has for models that run here; what is left out is up to the server."""
    own = {} if family is None else options(family)
    known = {**_OPTIONS, **{name: msgspec.structs.replace(option, default=None) for name, option in own.items()}}
    found = {name: option for name, option in known.items() if server.dialect.takes(FIELDS.get(name, ""))}
    if family is not None:
        absent = {"guidance_scale", "guidance_scale_2"} - own.keys()
        return {name: option for name, option in found.items() if name not in absent}
    return found


# --- what it takes


def _latency(server: Server, row: ModelSpec | None, seconds: float | None) -> Latency:
    if server.pace is not None:
        low, high = (float(pace) * (seconds or _USUAL) for pace in server.pace)
        return Latency(typical=(low + high) / 2, slow=high)
    return (row.latency if row else None) or _LATENCY


def _prices(server: Server, paces: Mapping[str, tuple[Decimal, Decimal]]) -> tuple[Price, ...]:
    """What a second of work costs, and how many there are to a second of clip: as set, or as has been seen."""
    rate = server.usd_per_second
    if rate is None:
        return ()
    common: dict[str, Any] = {
        "amount": rate.quantize(Decimal("1e-12")).normalize(),
        "unit": "gpu_second",
        "label": f"machine time of {server.name}",
        "source": "your settings",
    }
    if server.pace is not None:
        return (Price(gpu_seconds=server.pace, **common),)
    seen = [Price(gpu_seconds=pace, resolutions=(name,), **common) for name, pace in paces.items() if name]
    if "" in paces:
        seen.append(Price(gpu_seconds=paces[""], **common))
    return (*seen, Price(**common))
