"""``generate`` and ``submit``."""

from __future__ import annotations

import sys
from typing import Any

from videogen_core import Client, RequestError, Result

from .options import CHOICE, CLIP, DELIVERY, Prompt, Timeout, takes
from .progress import following
from .ready import placeholder_advice
from .screen import Screen
from .words import dollars, seconds, video_facts

__all__ = ["generate", "read_prompt", "submit"]

_LONGEST_PROMPT = 16 * 1024**2  # bytes read from standard input; no model takes near as much


@takes(CLIP, CHOICE, DELIVERY)
def generate(screen: Screen, arguments: dict[str, Any], prompt: Prompt = None, timeout: Timeout = None) -> None:
    """Make a clip: choose a model, submit, wait, download, verify.

    Prints the path of the clip on standard output, and everything else on standard error.
    """
    text = read_prompt(prompt)
    with Client() as client:
        prepare(screen, client, arguments)
        with following(screen, client, prompt=text or "") as follower:
            result = client.generate(text, timeout=timeout, on_event=follower, **arguments)
    show_result(screen, result)


@takes(CLIP, CHOICE, DELIVERY)
def submit(screen: Screen, arguments: dict[str, Any], prompt: Prompt = None) -> None:
    """Start a clip, print the job's id and return as soon as the provider has accepted it."""
    text = read_prompt(prompt)
    with Client() as client:
        prepare(screen, client, arguments)
        with following(Screen(quiet=True), client, prompt=text or ""):
            job = client.submit(text, **arguments)
        if screen.json:
            screen.emit(job.to_dict())
        else:
            screen.line(job.id)
            screen.say(f"{job.model} accepted it. `videogen resume {job.id}` waits for it and fetches it.")


def read_prompt(prompt: str | None) -> str | None:
    """The prompt; ``-`` = standard input.

    Raises:
        RequestError: Standard input is not text.
    """
    if prompt != "-":
        return prompt
    data = b"" if sys.stdin is None else sys.stdin.buffer.read(_LONGEST_PROMPT)
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise RequestError("prompt: standard input is not UTF-8 text.") from error
    if not text:
        raise RequestError("prompt: standard input is empty.", hint='Write: echo "a paper boat" | videogen generate -')
    return text


def prepare(screen: Screen, client: Client, arguments: dict[str, Any]) -> None:
    """Decide what the library leaves open: the current folder, and the sandbox when nothing else is ready."""
    if "output" not in arguments and client.settings.output is None:
        arguments["output"] = "./"
    if "model" in arguments or "providers" in arguments or client.settings.sandbox:
        return
    advice = placeholder_advice(client)
    if advice is not None:
        arguments["model"] = "sandbox"
        screen.say("No provider is ready, so the sandbox makes a placeholder: a picture of the prompt.", "yellow")
        for sentence in advice:
            screen.say(f"  {sentence}", "yellow")


def show_result(screen: Screen, result: Result) -> None:
    """Print the paths, and in a line beside them what they are."""
    if screen.json:
        screen.emit(result.to_dict())
        return
    for video in result.videos:
        screen.say(video_facts(video))
        screen.line(str(video.path or video.url))
    remarks = [result.attempts[-1].offer if result.attempts else result.model, dollars(result.cost)]
    if result.cached:
        made = "" if result.placeholder else f", made by {result.model}"
        remarks = [f"from the cache{made}", "nobody was asked", "free"]
    elif result.attempts and result.attempts[-1].finished_at is not None:
        last = result.attempts[-1]
        remarks.append(f"in {seconds((result.attempts[-1].finished_at - last.started_at).total_seconds())}")
    if result.placeholder:
        remarks.append("a placeholder, no real video")
    remarks += [f"{change['field']} moved from {change['asked']} to {change['used']}" for change in result.changes]
    screen.say(", ".join(remarks))
    for attempt in [] if result.cached else result.attempts[:-1]:
        why = (attempt.error or {}).get("message", attempt.status.value)
        screen.say(f"Before: {attempt.offer} ({dollars(attempt.cost)}): {why}")
