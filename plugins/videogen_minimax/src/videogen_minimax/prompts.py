"""Camera moves in a prompt: MiniMax's bracket commands, or plain words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from videogen_core import ModelSpec, RequestError, VideoRequest

__all__ = ["advice", "commands", "prompt"]

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def prompt(spec: ModelSpec, request: VideoRequest) -> str:
    """The prompt as it is sent: what the user wrote, untouched, with the camera moves that were asked for.

    Raises:
        RequestError: With the moves it is longer than the model takes.
    """
    text = request.prompt
    if request.camera and spec.camera is not None:
        text = _with_commands(request) if spec.camera.style == "brackets" else _with_words(request)
    most = spec.prompt.max
    if most is not None and len(text) > most >= len(request.prompt):
        raise RequestError(
            f"prompt: with the camera moves it has {len(text)} characters; allowed: at most {most}.",
            hint=f"Shorten it by {len(text) - most}.",
        )
    return text


def _with_commands(request: VideoRequest) -> str:
    """In one pair of brackets, which means at the same time, in front of the prompt."""
    moves = ",".join(move.capitalize() for move in request.camera)
    return f"[{moves}] {request.prompt}".rstrip()


def _with_words(request: VideoRequest) -> str:
    end = "" if request.prompt.rstrip().endswith((".", "!", "?", "。")) or not request.prompt.strip() else "."
    return f"{request.prompt.rstrip()}{end} Camera: {', '.join(request.camera)}.".strip()


def commands(spec: ModelSpec, text: str) -> Iterator[list[str]]:
    """The commands of each pair of brackets of a prompt that holds nothing else; other brackets are plain text."""
    known = set(spec.camera.moves) if spec.camera is not None and spec.camera.style == "brackets" else set()
    for found in _BRACKETS.finditer(text):
        moves = [" ".join(move.split()).lower() for move in found[1].split(",")]
        if known.issuperset(moves):
            yield moves


def advice(spec: ModelSpec, request: VideoRequest) -> tuple[str, ...]:
    """What is allowed and yet unwise, as sentences."""
    said = []
    most = spec.camera.advised if spec.camera is not None else None
    for moves in commands(spec, request.prompt):
        if most is not None and len(moves) > most:
            said.append(
                f"prompt: [{','.join(moves)}] are {len(moves)} camera moves at once; {spec.title} works well with up "
                f"to {most}."
            )
    given = request.options.get(spec.provider, {})
    if given.get("fast_pretreatment") is True and given.get("prompt_optimizer") is False:
        said.append("options.minimax.fast_pretreatment plays no part without prompt_optimizer.")
    return tuple(said)
