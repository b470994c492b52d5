"""What the plugin sends is what was asked: the vendor takes every value, and is told each of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from videogen_core import AsyncJob, Task, VideogenError, frame_size

from ..journal import Entry
from ..vendor import VendorJob
from .cases import Case, Value, values
from .rig import Rig
from .suite import Suite, each

__all__ = ["Requests"]

_TRANSPORT = frozenset({"content-length", "date", "traceparent", "connection", "host"})
_UNLESS_ASKED = frozenset({"seed", "negative_prompt", "camera", "inputs", "prompt"})
_AT_ONCE = 8
_SLACK = 0.05  # seconds of a clip, frames per second


class Requests(Suite):
    """Creates alone: jobs that are accepted and then left to themselves."""

    @each("case", lambda suite: suite.modes(), instead="no offer is live")
    async def test_every_value_reaches_the_vendor(self, rig: Rig, case: Case) -> None:
        """Each value of the catalogue is accepted, understood, priced as quoted, and told apart from the others."""
        if rig.unwired:
            rig.hold()  # they are looked at, not made
        plain = Value("nothing", "more", case)
        sent = await _submitted(rig, [plain, plain, *self._fit(rig, case)])
        for each_sent in sent:
            _understood(rig, each_sent)
        told = [_signature(each_sent.create) for each_sent in sent]
        noise = _differences(told[0], told[1])
        telling = [{place: text for place, text in one.items() if place not in noise} for one in told]
        by_field: dict[str, list[tuple[Value, dict[str, str]]]] = {}
        for each_sent, one in zip(sent[2:], telling[2:], strict=True):
            by_field.setdefault(each_sent.value.field, []).append((each_sent.value, one))
        for field, found in by_field.items():
            if field in _UNLESS_ASKED:
                assert found[0][1] != telling[0], f"{found[0][0].said}: the vendor is not told; submit() drops {field}."
            _distinct(field, found)

    async def test_the_prompt_reaches_the_vendor_as_it_is(self, rig: Rig) -> None:
        """Quotes, line breaks, other scripts and emoji included."""
        prompt = 'A "boat"\nnamed Ωμέγα & 舟 🚤 {{x}} %s \\n'
        async with rig.client() as client:
            await rig.submit(client, rig.case, prompt=prompt)
        (entry,) = rig.creates
        told = json.loads(entry.body) if entry.body.startswith(("{", "[")) else entry.body
        flat = "\n".join(_leaves(told).values()) if not isinstance(told, str) else told
        assert prompt in flat or json.dumps(prompt)[1:-1] in flat, f"The vendor was told another prompt: {flat[:500]}"

    async def test_sync_and_async_send_the_same(self, rig: Rig) -> None:
        """One body of logic: the two faces send equal creates."""
        async with rig.client() as client:
            first = await _sent(rig, client, rig.case)
            noise = _differences(first, await _sent(rig, client, rig.case))
        with rig.sync_client() as client:
            client.submit(**{**rig.arguments(), "output": str(rig.output())})
        other = _signature(rig.creates[-1])
        changed = sorted(_differences(first, other) - noise)
        assert not changed, f"The sync client sent something else in {', '.join(changed)}."

    def _fit(self, rig: Rig, case: Case) -> Iterator[Value]:
        for value in values(case, self.values_of):
            why = self.unfit(case.spec, case.task, value.field, value.value)
            if not why:
                yield value
            else:
                rig.note(f"{value.said} was not tried: {why}")


async def _sent(rig: Rig, client: Any, case: Case) -> dict[str, str]:
    await rig.submit(client, case)
    return _signature(rig.creates[-1])


@dataclass(frozen=True)
class _Sent:
    """A value, the job that was made with it, and the create as it came."""

    value: Value
    job: AsyncJob
    create: Entry


async def _submitted(rig: Rig, values: Sequence[Value]) -> list[_Sent]:
    """Submit a request for each value, several at once, and no clip is waited for."""
    outcomes: dict[int, AsyncJob | VideogenError] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(number: int, value: Value) -> None:
        async with limiter:
            try:
                outcomes[number] = await rig.submit(client, value.case)
            except VideogenError as error:
                outcomes[number] = error

    async with rig.client() as client, anyio.create_task_group() as group:
        for number, value in enumerate(values):
            group.start_soon(one, number, value)
    found = []
    for number, value in enumerate(values):
        job = outcomes[number]
        if isinstance(job, VideogenError):
            raise AssertionError(
                f"{value.said} is in the catalogue and was not accepted: {job.message} "
                "Correct the row, or what the plugin sends."
            ) from job
        found.append(_Sent(value, job, rig.create_of(job.provider_job_id)))
    sent = (len(rig.creates), rig.created)
    assert sent == (len(values), len(values)), (
        f"For {len(values)} jobs {sent[0]} creates were sent, {sent[1]} were made."
    )
    return found


# --- what the vendor made of it


def _understood(rig: Rig, sent: _Sent) -> None:
    """The job as the vendor has it is the one that was asked for, and costs what was quoted."""
    value, job = sent.value, sent.job
    made = rig.made(sent.create)
    request = job.record.attempt.request
    wrong = _mismatch(value.case, request, made)
    assert not wrong, (
        f"{value.said}: {wrong}. Either submit() says something else than it was asked, or the emulator reads it wrong."
    )
    quote = job.record.attempt.quote
    if quote.low is None or quote.high is None or not rig.charges:
        return
    price = rig.emulator.price(made)
    assert quote.low <= price <= quote.high, (
        f"{value.said}: the quote is {quote} and the vendor charges ${price:f}. Compare the prices of the catalogue "
        "and of the emulator with the vendor's price page."
    )


def _mismatch(case: Case, request: Any, made: VendorJob) -> str:
    """How the vendor's job differs from the request, in words."""
    clip, size = made.clip, frame_size(case.spec, request)
    if made.count != request.count:
        return f"{request.count} clips were asked for and the vendor makes {made.count}"
    if size is not None and (clip.width, clip.height) != size:
        return f"{size[0]}x{size[1]} was asked for and the vendor makes {clip.width}x{clip.height}"
    if request.audio is not None and clip.audio != request.audio:
        return f"audio={request.audio} was asked for and the vendor makes audio={clip.audio}"
    fps = request.fps or case.spec.output_fps
    if fps is not None and abs(clip.fps - fps) > _SLACK:
        return f"{fps:g} frames per second were asked for and the vendor makes {clip.fps:g}"
    if request.duration is None or request.task is Task.EXTEND_VIDEO:
        return ""
    if abs(clip.duration - request.duration) > _SLACK:
        return f"{request.duration:g} s were asked for and the vendor makes {clip.duration:g} s"
    return ""


# --- creates compared


def _signature(entry: Entry) -> dict[str, str]:
    """All that a create says, by place."""
    try:
        told: Any = json.loads(entry.body)
    except ValueError:
        told = entry.body
    headers = {name: value for name, value in entry.headers.items() if name not in _TRANSPORT}
    return {**_leaves({"path": f"{entry.path}?{entry.query}", "headers": headers}), **_leaves(told, "body")}


def _leaves(value: Any, place: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        parts = [_leaves(item, f"{place}.{name}" if place else str(name)) for name, item in value.items()]
    elif isinstance(value, list):
        parts = [_leaves(item, f"{place}[{number}]") for number, item in enumerate(value)]
    else:
        return {place: value if isinstance(value, str) else json.dumps(value)}
    return {name: text for part in parts for name, text in part.items()}


def _differences(first: dict[str, str], second: dict[str, str]) -> set[str]:
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def _distinct(field: str, found: list[tuple[Value, dict[str, str]]]) -> None:
    for place, (value, told) in enumerate(found):
        for other, theirs in found[:place]:
            assert told != theirs, (
                f"{field}: {str(other.value)[:40]!r} and {str(value.value)[:40]!r} are the same on the wire "
                f"({value.case.id}); submit() drops {field}, or flattens it."
            )
