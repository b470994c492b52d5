"""Every option that several commands share, declared once, and turned into the arguments of the Python interface."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable
from inspect import Parameter
from typing import Annotated, Any

import typer

from videogen_core import RequestError

from . import completion
from .interrupts import PipeClosedError, StoppedError
from .screen import Screen

__all__ = ["CHOICE", "CLIP", "DELIVERY", "JobId", "Prompt", "Timeout", "pairs", "takes"]

Prompt = Annotated[
    str | None,
    typer.Argument(metavar="[PROMPT]", help="What to show; - reads it from standard input.", show_default=False),
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="Longest wait; the job outlives it and can be resumed."),
]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", autocompletion=completion.job_ids)]


_Text, _Texts, _Whole, _Switch = str | None, list[str] | None, int | None, bool | None


def _option(name: str, kind: Any, *flags: str, panel: str, default: Any = None, **details: Any) -> Parameter:
    """One option; without flags it is called ``--name``."""
    details.setdefault("show_default", False)
    if kind in (bool, _Switch):
        details["metavar"] = ""  # a switch takes no value, so there is none to name
    info = typer.Option(*(flags or ("--" + name.replace("_", "-"),)), rich_help_panel=panel, **details)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def _clip(name: str, kind: Any, *flags: str, **details: Any) -> Parameter:
    return _option(name, kind, *flags, panel="The clip", **details)


def _choice(name: str, kind: Any, *flags: str, **details: Any) -> Parameter:
    return _option(name, kind, *flags, panel="The choice of model", **details)


def _delivery(name: str, kind: Any, *flags: str, **details: Any) -> Parameter:
    return _option(name, kind, *flags, panel="Delivery", **details)


CLIP = (
    _clip("duration", _Text, "--duration", "-d", metavar="SECONDS", help="Length of the clip."),
    _clip("resolution", _Text, "--resolution", "-r", metavar="NAME", help="Such as 720p, 1080p, 4k."),
    _clip("aspect_ratio", _Text, "--aspect-ratio", "-a", metavar="W:H", help="Such as 16:9, 9:16, 1:1."),
    _clip("audio", _Switch, "--audio/--no-audio", help="With sound, or silent."),
    _clip("fps", _Text, metavar="NUMBER", help="Frames per second."),
    _clip("seed", _Whole, metavar="NUMBER", help="Random seed, where the model has one."),
    _clip("count", _Whole, "--count", "-n", metavar="NUMBER", help="How many clips."),
    _clip("image", _Text, "--image", "-i", metavar="FILE|URL", help="First frame."),
    _clip("last_frame", _Text, metavar="FILE|URL", help="Last frame."),
    _clip("reference_image", _Texts, metavar="FILE|URL", help="Guides the look; may be repeated."),
    _clip("video", _Text, metavar="FILE|URL", help="Clip to extend, edit or upscale."),
    _clip(
        "task",
        _Text,
        metavar="TASK",
        help="Kind of work, when the inputs do not say: text_to_video, image_to_video, first_last_frame, "
        "reference_to_video, extend_video, edit_video, upscale_video, animate_character, change_frame_rate, "
        "convert_to_hdr.",
        autocompletion=completion.tasks,
    ),
    _clip("negative_prompt", _Text, metavar="TEXT", help="What to avoid."),
    _clip(
        "camera",
        _Texts,
        metavar="MOVE",
        help="Camera move such as 'push in'; may be repeated.",
        autocompletion=completion.camera,
    ),
    _clip(
        "option",
        _Texts,
        "--option",
        "-O",
        metavar="P.NAME=VALUE",
        help="Option of provider P; may be repeated. The value is read as JSON where it is JSON.",
    ),
)

CHOICE = (
    _choice(
        "model",
        _Texts,
        "--model",
        "-m",
        metavar="NAME",
        help="Model, or provider/model; repeated = fallback order. Left out: the router picks.",
        autocompletion=completion.models,
    ),
    _choice(
        "provider",
        _Texts,
        metavar="NAME",
        help="Only this provider; may be repeated.",
        autocompletion=completion.providers,
    ),
    _choice(
        "prefer",
        _Text,
        metavar="WHAT",
        help="cheapest, fastest, best or balanced.",
        autocompletion=completion.words("cheapest", "fastest", "best", "balanced"),
    ),
    _choice(
        "quality",
        _Text,
        metavar="TIER",
        help="economy, standard or premium.",
        autocompletion=completion.words("economy", "standard", "premium"),
    ),
    _choice("max_cost", _Text, metavar="USD", help="Refuse before spending when the estimate's high end is above it."),
    _choice("allow_unknown_price", bool, default=False, help="Use offers without a known price under --max-cost too."),
    _choice(
        "accept_license",
        _Texts,
        metavar="NAME",
        help="Use models under this licence, whose limits you have read and keep; may be repeated.",
    ),
    _choice(
        "fit",
        _Text,
        metavar="HOW",
        help="exact, or move duration and resolution: nearest, at_least.",
        autocompletion=completion.words("exact", "nearest", "at_least"),
    ),
)

DELIVERY = (
    _delivery(
        "output",
        _Text,
        "--output",
        "-o",
        metavar="PATH",
        help="A file, a folder/, or a template such as '{model}-{job_id}.mp4'; else the current folder.",
    ),
    _delivery("overwrite", bool, default=False, help="Replace an existing file."),
    _delivery("no_fallback", bool, default=False, help="Do not try another offer when one fails."),
    _delivery("fallback_on_policy", bool, default=False, help="Try another offer after a content block too."),
    _delivery(
        "rewrites",
        _Whole,
        metavar="NUMBER",
        help="After a content block, let an extension rewrite the prompt so often; each is a new paid attempt.",
    ),
    _delivery("cache", bool, default=False, help="Take the clip from the cache and keep it there; needs --seed."),
    _delivery("cache_any", bool, default=False, help="The same without a seed, though that would be another clip."),
    _delivery(
        "provenance",
        _Text,
        metavar="WHERE",
        help="Keep how the clip was made: sidecar (a JSON file beside it), embed (inside it), or no.",
        autocompletion=completion.words("no", "sidecar", "embed"),
    ),
    _delivery("idempotency_key", _Text, metavar="TEXT", help="Your name for this request; the same key, the same job."),
    _delivery(
        "on_unknown",
        _Text,
        metavar="WHAT",
        help="When no answer comes: keep it for you to decide, or resubmit, though both may be charged.",
        autocompletion=completion.words("keep", "resubmit"),
    ),
    _delivery("tag", _Texts, metavar="KEY=VALUE", help="Label of the job; may be repeated."),
)

_DISPLAY = (
    _option("json", bool, default=False, panel="Display", help="One JSON document on standard output."),
    _option("quiet", bool, "--quiet", "-q", default=False, panel="Display", help="No progress and no remarks."),
)


def takes(*groups: tuple[Parameter, ...]) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Give a command the shared options.

    The command is called with a `Screen`, with the arguments that the groups make (only when there are groups), and
    with its own parameters.
    """
    shared = [parameter for group in groups for parameter in group]

    def wrap(function: Callable[..., int | None]) -> Callable[..., int | None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[2 if groups else 1 :]

        @functools.wraps(function)
        def command(**values: Any) -> int | None:
            screen = Screen(json=values.pop("json"), quiet=values.pop("quiet"))
            given = {parameter.name: values.pop(parameter.name) for parameter in shared}
            try:
                return function(screen, *([to_arguments(given)] if groups else []), **values)
            except KeyboardInterrupt as stop:  # typer keeps neither of these two for us
                raise StoppedError(stop) from stop
            except BrokenPipeError as error:
                raise PipeClosedError from error

        own = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in own]
        vars(command)["__signature__"] = inspect.Signature([*own, *shared, *_DISPLAY])
        command.__annotations__ = {}
        return command

    return wrap


def to_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments that options mean; what was not given is left to the library."""
    arguments = {name: value for name, value in given.items() if value not in (None, [], ())}
    for option, keyword in (
        ("provider", "providers"),
        ("reference_image", "reference_images"),
        ("accept_license", "accept_licenses"),
    ):
        if option in arguments:
            arguments[keyword] = arguments.pop(option)
    if arguments.pop("cache_any", False):
        arguments["cache"] = "any"
    if arguments.pop("no_fallback", False):
        arguments["fallback"] = False
    if "tag" in arguments:
        arguments["tags"] = pairs("--tag", arguments.pop("tag"))
    if "option" in arguments:
        arguments["options"] = _provider_options(arguments.pop("option"))
    return arguments


def pairs(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a dict.

    Raises:
        RequestError: One has no ``=``, or a key comes twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise RequestError(f"{flag}: expected KEY=VALUE, got {text[:80]!r}.")
        if key.strip() in found:
            raise RequestError(f"{flag}: {key.strip()!r} is given twice.")
        found[key.strip()] = value
    return found


def _provider_options(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    options: dict[str, dict[str, Any]] = {}
    for key, value in pairs("--option", texts).items():
        provider, dot, name = key.partition(".")
        if not (provider and dot and name):
            raise RequestError(
                f"--option: expected PROVIDER.NAME=VALUE, got {key[:80]!r}.", hint="Write -O sandbox.delay=3."
            )
        options.setdefault(provider, {})[name] = _value(value)
    return options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
