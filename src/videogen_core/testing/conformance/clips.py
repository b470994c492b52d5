"""Real clips, decoded: what was asked for, at the price that was quoted, by every way that a user has to ask."""

from __future__ import annotations

import gc
import json
import sys
import warnings
from decimal import Decimal
from typing import Any

import anyio
import pytest

from videogen_core import AsyncClient, Result, Task, Video, VideogenError, VideoRequest, frame_size

from ..emulator import Emulator
from .cases import Case
from .rig import Rig
from .suite import Quoted, Suite, each

__all__ = ["Clips"]

_SLACK = 0.2  # seconds, and frames per second, by which containers round
_MICRO = Decimal("0.000001")  # USD
_AT_ONCE = 20


class Clips(Suite):
    """Jobs that go well."""

    @each("clip", lambda suite: suite.clips(), instead="no offer is live")
    async def test_a_clip(self, rig: Rig, clip: Case) -> None:
        """Each task of each offer: one create, the clip that was asked for, the cost that the vendor took."""
        async with rig.client() as client:
            await rig.limit(client, clip)
            result = await rig.generate(client, clip)
            held, settled = await rig.booked(client)
        rig.one_create(clip.id)
        (video,) = result.videos
        _as_asked(rig, clip, result, video)
        made = rig.whose(result.path).get("job")
        assert made == rig.creates[0].job, f"{clip.id}: the clip is one of job {made}, not of {rig.creates[0].job}."
        assert held == 0, f"{clip.id}: ${held} are still held after the job is done."
        assert result.attempts[0].request_id or not self.request_ids, (
            f"{clip.id}: Submission.request_id is empty; the vendor's support asks for it. Which header has it? Where "
            "an SDK does not tell, set request_ids = False in the suite."
        )
        _as_charged(rig, clip, result, settled)

    def test_a_clip_by_the_sync_client(self, rig: Rig) -> None:
        """The same words without ``await``."""
        with rig.sync_client() as client:
            result = client.generate(**{**rig.arguments(), "output": str(rig.output()), "timeout": 60.0})
        rig.one_create()
        assert rig.whose(result.path)["job"] == rig.creates[0].job

    def test_a_clip_by_the_command_line(self, rig: Rig) -> None:
        """``videogen generate --json`` in a process of its own."""
        done = rig.videogen("generate", *rig.command_arguments(), f"--output={rig.output()}", "--json")
        assert done.returncode == 0, f"videogen generate ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        told = json.loads(done.stdout)
        rig.one_create()
        assert rig.whose(rig.output())["job"] == rig.creates[0].job
        assert told["provider"] == rig.name

    async def test_many_at_once(self, rig: Rig) -> None:
        """Twenty jobs on one client: as many creates and clips, none of them mixed up."""
        async with rig.client() as client, anyio.create_task_group() as group:
            made: dict[int, Result | VideogenError] = {}

            async def one(number: int) -> None:
                wanted = {"output": str(rig.output(f"{number}.mp4")), "prompt": f"Boat number {number} of a fleet"}
                try:
                    made[number] = await rig.generate(client, None, **wanted)
                except VideogenError as error:
                    made[number] = error

            for number in range(_AT_ONCE):
                group.start_soon(one, number)
        sent = (len(rig.creates), rig.created)
        assert sent == (_AT_ONCE, _AT_ONCE), f"{_AT_ONCE} clips: {sent[0]} creates were sent and {sent[1]} jobs made."
        for number, result in made.items():
            if isinstance(result, VideogenError):
                raise AssertionError(f"Job {number} of {_AT_ONCE} at once failed: {result}") from result
            create = rig.create_of(result.attempts[0].provider_job_id)
            mine = rig.whose(result.path)["job"] == create.job
            assert mine, f"Job {number} of {_AT_ONCE} at once got the clip of another: is a state shared?"
            asked = f"Boat number {number} of" in create.body
            assert asked, f"Job {number} of {_AT_ONCE} at once has the id of another's create."

    def test_a_provider_serves_one_event_loop_after_another(self, rig: Rig) -> None:
        """What belongs to a loop belongs to the session: the provider and its module keep nothing of it."""
        provider = rig.provider

        async def use(name: str) -> Result:
            async with AsyncClient(plugins=[provider]) as client:
                return await rig.generate(client, None, output=str(rig.output(name)))

        for name in ("first.mp4", "second.mp4"):
            result = anyio.run(use, name)
            assert rig.whose(result.path)["job"] == rig.creates[-1].job

    def test_a_client_leaves_nothing_open(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        """No socket, no task, no warning once it is closed."""
        heard: list[str] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda raised: heard.append(str(raised.exc_value)))

        async def use() -> None:
            async with rig.client() as client:
                await rig.generate(client)

        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            gc.collect()
            heard.clear()
            anyio.run(use)
            gc.collect()
        assert not heard, f"Session.close leaves something open: {heard[0]}"

    @each("quoted", lambda suite: suite.quotes, instead="no quote was worked out")
    def test_a_quote_is_as_worked_out(self, rig: Rig, quoted: Quoted) -> None:
        """The estimate is what a person reads off the vendor's price page."""
        with rig.sync_client() as client:
            quote = client.estimate(**_asked(rig, quoted))
        assert (quote.low, quote.high) == quoted.ends, (
            f"{quoted.id}: the estimate is {quote}, worked out by hand was {quoted.amount}. Lines: "
            + "; ".join(f"{line.label} {line.quantity} x {line.unit_price}" for line in quote.lines)
        )

    def test_every_priced_offer_has_a_quote_worked_out(self) -> None:
        """One for each live offer at least, in `Suite.quotes`; an outline's price is for requests that nobody knows."""
        quoted = {quote.model for quote in self.quotes}
        priced = [spec for spec in self.live() if spec.prices and not (spec.placeholder or spec.outline)]
        missing = [spec.id for spec in priced if not quoted & {spec.id, spec.name, spec.id.partition("/")[2]}]
        assert not missing or self.free, (
            f"Work out a price by hand for {', '.join(missing)} and add it to quotes = [Quoted(...)]."
        )

    def test_the_emulator_charges(self, rig: Rig) -> None:
        """It has the vendor's prices, so that costs can be compared with them."""
        priced = [spec.id for spec in self.live() if spec.prices and not spec.placeholder]
        own = type(rig.emulator).price is not Emulator.price
        assert own or self.free or not priced, f"{type(rig.emulator).__name__}.price: say what the vendor charges."


def _asked(rig: Rig, quoted: Quoted) -> dict[str, Any]:
    """Arguments of ``estimate``, with the inputs that the task needs."""
    names = (quoted.model, f"{rig.name}/{quoted.model}")
    of_model = [case for case in rig.suite.modes() if case.spec.id in names]
    assert of_model, f"{quoted.id}: there is no live offer {quoted.model!r}."
    task = quoted.arguments.get("task", Task.TEXT_TO_VIDEO)
    case = next((case for case in of_model if case.task == task), of_model[0])
    media = {name: value for name, value in rig.arguments(case).items() if name in case.inputs}
    return {"model": case.spec.id, "task": case.task.value, **media, **quoted.arguments}


def _as_asked(rig: Rig, clip: Case, result: Result, video: Video) -> None:
    """The decoded clip is the one that was asked for."""
    request = result.attempts[-1].request
    size = frame_size(clip.spec, request)
    if size is not None:
        got = (video.width, video.height)
        assert got == size, (
            f"{clip.id}: {size[0]}x{size[1]} was asked for and {got[0]}x{got[1]} came. See ModelSpec.sizes."
        )
    fps = request.fps or clip.spec.output_fps
    if fps is not None:
        assert abs((video.fps or 0) - fps) <= _SLACK, f"{clip.id}: {fps:g} fps were asked for and {video.fps} came."
    if request.audio is not None:
        assert video.has_audio == request.audio, (
            f"{clip.id}: audio={request.audio}, and the clip has {video.has_audio}."
        )
    _lasts(clip, request, video)


def _lasts(clip: Case, request: VideoRequest, video: Video) -> None:
    if request.duration is None or video.duration is None:
        return
    off = video.duration - request.duration
    source = request.video.duration if request.video is not None else None
    if clip.task is Task.EXTEND_VIDEO and source is not None and abs(off - source) <= _SLACK:
        return
    assert abs(off) <= _SLACK, f"{clip.id}: {request.duration:g} s were asked for and {video.duration:g} s came."


def _as_charged(rig: Rig, clip: Case, result: Result, settled: Decimal) -> None:
    """What was booked is what the vendor took, and no more than was quoted."""
    quote: Any = result.attempts[-1].quote
    if not rig.charges or not quote.known:
        return
    charged = rig.charged
    assert result.cost == charged, (
        f"{clip.id}: the cost is ${result.cost} and the vendor took ${charged}. Where it says what it charged, hand "
        "that on in Snapshot.cost; else compare the catalogue's prices with the vendor's price page."
    )
    assert 0 <= settled - charged < _MICRO, (  # budgets count in millionths, rounded up
        f"{clip.id}: ${settled} were booked to the budget, the vendor took ${charged}."
    )
    assert quote.high is None or charged <= quote.high, f"{clip.id}: ${charged} were charged, the quote was {quote}."
