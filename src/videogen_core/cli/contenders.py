"""Who takes part in a ``compare``, at what price, and what comes of each; all of them are made at the same time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import anyio

from videogen_core import (
    AsyncClient,
    BudgetExceededError,
    Candidate,
    Client,
    Job,
    RequestError,
    Result,
    RouteArgs,
    VideogenError,
)
from videogen_core._portal import Portal

from .earlier import Earlier
from .progress import Follower

__all__ = ["Contender", "Outcome", "check_names", "check_prices", "line_up", "make_all", "total"]

_CHOICE = ("model", "providers", "prefer", "max_cost")  # decided once the offers are known
_CENT_OF_A_CENT = Decimal("0.0001")


@dataclass(frozen=True)
class Contender:
    """One model that was named.

    Attributes:
        named: As the user did.
        key: Idempotency key of its clip.
        candidate: The offer that takes part for it; None = none can.
        refusal: Why not.
        job: What an earlier run has made of it or begun.
    """

    named: str
    key: str = ""
    candidate: Candidate | None = None
    refusal: VideogenError | None = None
    job: Job | None = None

    @property
    def offer(self) -> str:
        """``provider/name``; the name as it was given while there is none."""
        if self.job is not None:
            return self.job.model
        return self.named if self.candidate is None else self.candidate.offer

    @property
    def asked_for(self) -> bool:
        """Whether its provider has been asked already, so that it costs nothing more."""
        return self.job is not None and bool(self.job.record.attempts)

    @property
    def high(self) -> Decimal | None:
        """USD that it costs at most from now on; None = unknown."""
        if self.asked_for:
            return Decimal(0)
        return None if self.candidate is None else self.candidate.high

    @property
    def stem(self) -> str:
        """What its files are called, without an ending."""
        return re.sub(r"[^\w.+=@-]+", "-", self.offer)


@dataclass(frozen=True)
class Outcome:
    """What came of a contender: a result or an error."""

    contender: Contender
    result: Result | None = None
    error: VideogenError | None = None

    @property
    def cost(self) -> Decimal | None:
        """USD; None = not known."""
        return None if self.result is None else self.result.cost

    @property
    def seconds(self) -> float | None:
        """How long the attempt took that made the clip."""
        last = self.result.attempts[-1] if self.result is not None and self.result.attempts else None
        if last is None or last.finished_at is None:
            return None
        return (last.finished_at - last.started_at).total_seconds()

    @property
    def job_id(self) -> str | None:
        """The job, where there is one."""
        return self.error.job_id if self.error is not None else self.result.job_id if self.result else None


# --- before anything is spent


def line_up(
    client: Client, prompt: str | None, names: Sequence[str], arguments: Mapping[str, Any], earlier: Earlier
) -> list[Contender]:
    """Find the offer and the price of each model, or the job that it has already.

    Raises:
        RequestError: A name means nothing, there is only one, or two of them mean the same offer.
    """
    if len(names) < 2:
        raise RequestError("--model: name two models or more.", hint='videogen compare "…" -m MODEL -m MODEL')
    asked = {name: value for name, value in arguments.items() if name in RouteArgs.__annotations__ and name != "model"}
    found: list[Contender] = []
    for name in names:
        route = client.route(prompt, model=[name], **asked)
        key, job = earlier.find(name, route.request)
        first = Contender(name, key, route.candidates[0] if route.candidates else None, job=job)
        if first.candidate is None and not first.asked_for:
            first = Contender(name, key, refusal=route.failure())
        found.append(first)
        twin = next((other for other in found[:-1] if other.offer == found[-1].offer), None)
        if twin is not None:
            raise RequestError(f"--model: {twin.named} and {name} are the same offer, {twin.offer}.")
    return found


def check_prices(contenders: Sequence[Contender], max_cost: Any, *, allow_unknown: bool) -> dict[str, Decimal]:
    """What each may cost at most: offer -> USD; without an entry = whatever it costs.

    Raises:
        VideogenError: Some cannot take part, or all together cost more than ``max_cost``.
    """
    refused = [contender for contender in contenders if contender.refusal is not None]
    if len(refused) == 1 and (only := refused[0].refusal) is not None:
        only.hint = only.hint or "Leave it out, or ask for what all of them can do."
        raise only
    if refused:
        said = " ".join(f"{one.named}: {one.refusal.message}" for one in refused if one.refusal is not None)
        raise RequestError(
            f"{len(refused)} of the models cannot make this clip; nothing was sent. {said}",
            hint="Leave them out, or ask for what all of them can do; `--fit nearest` moves duration and resolution.",
        )
    limits = {one.offer: one.high for one in contenders if one.high}
    if max_cost is None:
        return limits
    limit, known = _usd(max_cost), sum(limits.values(), Decimal(0))
    unknown = [one.offer for one in contenders if one.high is None]
    if unknown and not allow_unknown:
        raise RequestError(
            f"The price of {' and '.join(unknown)} is unknown, so --max-cost cannot be kept; nothing was sent.",
            hint="Leave it out, or say --allow-unknown-price.",
        )
    left = limit - known
    if left < 0 or (unknown and left == 0):
        raise BudgetExceededError(
            f"Together they cost up to ${known:f}, and --max-cost is ${limit:f}; nothing was sent.",
            hint="Name fewer models, ask for a shorter clip, or raise --max-cost.",
        )
    for offer in unknown:
        limits[offer] = (left / len(unknown)).quantize(_CENT_OF_A_CENT, ROUND_DOWN)
    return limits


def _usd(text: Any) -> Decimal:
    try:
        limit = Decimal(str(text).strip().removeprefix("$"))
    except InvalidOperation:
        limit = Decimal("NaN")
    if not limit.is_finite() or limit < 0:
        raise RequestError(f"--max-cost: expected US dollars, got {str(text)[:80]!r}.")
    return limit


def total(contenders: Sequence[Contender]) -> tuple[Decimal, int]:
    """USD that all cost at most, and how many of them have no known price."""
    highs = [contender.high for contender in contenders]
    return sum((high for high in highs if high is not None), Decimal(0)), highs.count(None)


def check_names(folder: Path, contenders: Sequence[Contender], sheet: str) -> None:
    """Look for files that would be in the way.

    Raises:
        RequestError: There is one.
    """
    here = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    new = [one for one in contenders if one.job is None]  # the others' files are their own
    wanted = re.compile("|".join([*(rf"{re.escape(one.stem)}(-\d+)?\.\w{{2,4}}" for one in new), r"(?!)"]))
    mine = {sheet} if len(new) == len(contenders) else set()
    taken = next((name for name in sorted(here) if name in mine or wanted.fullmatch(name)), None)
    if taken is not None:
        raise RequestError(
            f"{folder / taken} is there already; nothing was sent.", hint="Name another folder, or say --overwrite."
        )


# --- making


def make_all(
    client: Client,
    prompt: str | None,
    contenders: Sequence[Contender],
    arguments: Mapping[str, Any],
    *,
    limits: Mapping[str, Decimal],
    folder: Path,
    tags: Mapping[str, str],
    timeout: float | None,
    follower: Follower,
) -> list[Outcome]:
    """Make all clips at the same time; each succeeds or fails by itself. Ctrl-C stops all of them in good order."""
    common = {name: value for name, value in arguments.items() if name not in _CHOICE} | {"tags": tags}
    outcomes: dict[str, Outcome] = {}
    inner = AsyncClient.on(client.workspace)

    async def one(contender: Contender) -> None:
        extra: dict[str, Any] = {"max_cost": limits[contender.offer]} if contender.offer in limits else {}
        extra["idempotency_key"] = contender.key
        output = str(folder / f"{contender.stem}.mp4").replace("{", "{{").replace("}", "}}")
        try:
            result = await inner.generate(
                prompt,
                timeout=timeout,
                on_event=follower.of(contender.offer),
                **{**common, **extra, "model": contender.offer, "fallback": False, "output": output},
            )
            outcomes[contender.offer] = Outcome(contender, result)
        except VideogenError as error:
            outcomes[contender.offer] = Outcome(contender, error=error)

    async def every() -> None:
        async with inner, anyio.create_task_group() as group:
            for contender in contenders:
                group.start_soon(one, contender)

    portal = Portal()
    try:
        portal.call(every)
    finally:
        portal.close()
    return [outcomes[contender.offer] for contender in contenders]
