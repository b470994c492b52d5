"""OpenTelemetry and the log: what happens to jobs, under names that stay, without a prompt, an address or a key."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vendor import Acme, offer
from videogen_core import AsyncClient, Client, Event, VideogenError, telemetry

pytestmark = pytest.mark.anyio
sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="needs the OpenTelemetry SDK")

PROMPT = "a very private paper boat"


class Heard:
    """What the SDK was given."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self._exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers, self.meters = TracerProvider(), MeterProvider([self._reader])
        tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = tracers.get_tracer("application")
        patch.setattr(trace, "get_tracer", tracers.get_tracer)
        patch.setattr(metrics, "get_meter", self.meters.get_meter)

    @property
    def spans(self) -> list[Any]:
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]

    def metrics(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        found = (
            metric for resource in data.resource_metrics for scope in resource.scope_metrics for metric in scope.metrics
        )
        return {metric.name: list(metric.data.data_points) for metric in found}

    def sum(self, name: str, **attributes: str) -> float:
        wanted = {telemetry.ATTRIBUTES[key]: value for key, value in attributes.items()}
        points = (point for point in self.metrics().get(name, []) if wanted.items() <= dict(point.attributes).items())
        return float(sum(getattr(point, "value", None) or getattr(point, "sum", 0) for point in points))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    telemetry._telemetry.cache_clear()
    yield Heard(monkeypatch)
    telemetry._telemetry.cache_clear()


def client(tmp_path: Path, vendor: Acme, **settings: Any) -> AsyncClient:
    return AsyncClient(home=tmp_path / "home", plugins=[vendor], **settings)


def script(**lines: Any) -> dict[str, Any]:
    return {"acme": {"script": lines}}


async def test_a_job_is_a_trace_with_a_span_for_each_stage(tmp_path: Path, heard: Heard) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        result = await videogen.generate(PROMPT, model="paper", options=script(polls=3, cost="0.25"))
    (job,) = heard.named("videogen.job")
    stages = [heard.named(name)[0] for name in ("videogen.submit", "videogen.wait", "videogen.download")]
    assert len(heard.spans) == 4
    assert {span.context.trace_id for span in stages} == {job.context.trace_id}
    assert {span.parent.span_id for span in stages} == {job.context.span_id}
    times = [job.start_time, *(time for span in stages for time in (span.start_time, span.end_time)), job.end_time]
    assert times == sorted(times)
    told = dict(job.attributes)
    assert told["videogen.job.id"] == result.job_id
    assert told["gen_ai.provider.name"] == "acme"
    assert told["gen_ai.request.model"] == "paper"
    assert (told["videogen.outcome"], told["videogen.cost"]) == ("succeeded", 0.25)
    assert told["videogen.polls"] >= 4
    assert not any(PROMPT in str(span.to_json()) for span in heard.spans)


async def test_metrics_count_what_was_done_and_paid(tmp_path: Path, heard: Heard) -> None:
    vendor = Acme(tmp_path / "vendor", offers=(offer("acme"), offer("acme", "card")))
    async with client(tmp_path, vendor) as videogen:
        await videogen.generate(PROMPT, model="paper", options=script(cost="0.25"))
        await videogen.generate(PROMPT, model="paper", options=script(cost="0.50"))
        with pytest.raises(VideogenError):
            await videogen.generate(PROMPT, model="card", options=script(end="failed"))
    assert heard.sum("videogen.jobs", outcome="succeeded", offer="acme/paper") == 2
    assert heard.sum("videogen.jobs", outcome="failed", offer="acme/card") == 1
    assert heard.sum("videogen.attempts", outcome="accepted") == 3
    assert heard.sum("videogen.cost", model="paper") == 0.75
    assert heard.sum("videogen.polls") >= 6
    assert heard.sum("videogen.download.size") == sum(
        path.stat().st_size for path in (tmp_path / "home/clips").iterdir()
    )
    for name in ("submit", "wait", "download"):
        (point,) = [p for p in heard.metrics()[f"videogen.{name}.duration"] if "paper" in str(p.attributes)]
        assert point.count == 2


async def test_retries_refusals_and_a_resting_provider(tmp_path: Path, heard: Heard) -> None:
    vendor = Acme(tmp_path / "vendor")
    async with client(tmp_path, vendor) as videogen:
        await videogen.generate(
            PROMPT, model="paper", options=script(submit=["RateLimitError", "ok"], retry_after=0.01)
        )
        assert heard.sum("videogen.provider.resting", provider="acme") == 0
        for _ in range(3):
            with pytest.raises(VideogenError):
                await videogen.generate(
                    PROMPT, model="paper", options=script(end="failed", error="ProviderUnavailableError")
                )
    assert heard.sum("videogen.retries") == 1
    assert heard.sum("videogen.attempts", outcome="rejected") == 1
    assert heard.sum("videogen.provider.resting", provider="acme") == 1
    failed = [span for span in heard.named("videogen.job") if span.attributes["videogen.outcome"] == "failed"]
    assert {span.attributes["error.type"] for span in failed} == {"ProviderUnavailableError"}
    assert not any(span.status.is_ok for span in failed)


async def test_several_clips_are_one_download(tmp_path: Path, heard: Heard) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        await videogen.generate(PROMPT, model="paper", count=3)
    assert len(heard.named("videogen.download")) == 1
    assert len(heard.named("videogen.job")) == 1


async def test_a_job_that_another_process_began_has_a_trace_here(tmp_path: Path, heard: Heard) -> None:
    vendor = Acme(tmp_path / "vendor")
    async with client(tmp_path, vendor) as videogen:
        job = await videogen.submit(PROMPT, model="paper")
    telemetry._telemetry.cache_clear()  # that one is dead
    async with client(tmp_path, vendor) as videogen:
        await (await videogen.job(job.id)).wait()
    (span,) = heard.named("videogen.job")
    assert span.attributes["videogen.outcome"] == "succeeded"


async def test_a_job_is_a_child_of_the_span_in_which_it_is_asked_for(tmp_path: Path, heard: Heard) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        with heard.tracer.start_as_current_span("request") as one:
            result = await videogen.generate(PROMPT, model="paper")
        with heard.tracer.start_as_current_span("order") as two:
            job = await videogen.submit(PROMPT, model="paper")
        with heard.tracer.start_as_current_span("elsewhere"):
            await job.wait()
        await videogen.generate(PROMPT, model="paper")
        events = await videogen.events(result.job_id)
        bare = await videogen.events((await videogen.jobs(limit=1))[0].id)
    first, second, third = heard.named("videogen.job")
    for span, parent in ((first, one), (second, two)):
        assert span.parent.span_id == parent.get_span_context().span_id
        assert span.context.trace_id == parent.get_span_context().trace_id
        assert not span.links
    assert third.parent is None
    trace_id, span_id = one.get_span_context().trace_id, one.get_span_context().span_id
    assert {event.data["trace"].rpartition("-")[0] for event in events} == {f"00-{trace_id:032x}-{span_id:016x}"}
    assert not any("trace" in event.data for event in bare)


def test_the_sync_client_and_batches_carry_the_span_too(tmp_path: Path, heard: Heard) -> None:
    with Client(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
        with heard.tracer.start_as_current_span("request") as one:
            videogen.generate(PROMPT, model="paper")
        with heard.tracer.start_as_current_span("night") as two:
            videogen.batch([PROMPT, "another"], model="paper")
    parents = [span.parent.span_id for span in heard.named("videogen.job")]
    assert sorted(parents) == sorted([one.get_span_context().span_id, *[two.get_span_context().span_id] * 2])


async def test_who_takes_a_job_up_links_to_the_span_in_which_it_was_asked_for(tmp_path: Path, heard: Heard) -> None:
    vendor = Acme(tmp_path / "vendor")
    async with client(tmp_path, vendor) as videogen:
        with heard.tracer.start_as_current_span("request") as asked:
            await videogen.submit(PROMPT, model="paper", options=script(polls=2))
    telemetry._telemetry.cache_clear()  # that one is dead
    async with client(tmp_path, vendor) as videogen:
        with heard.tracer.start_as_current_span("worker") as worker:
            await videogen.resume()
    (span,) = heard.named("videogen.job")
    assert span.parent.span_id == worker.get_span_context().span_id
    (link,) = span.links
    assert (link.context.trace_id, link.context.span_id) == (
        asked.get_span_context().trace_id,
        asked.get_span_context().span_id,
    )
    assert link.context.is_remote


async def test_what_people_say_of_a_job_afterwards_begins_no_second_one(tmp_path: Path, heard: Heard) -> None:
    async with client(tmp_path, Acme(tmp_path / "vendor")) as videogen:
        await videogen.generate(PROMPT, model="paper", options=script(cost="0.25"))
        (job,) = await videogen.jobs()
        await job.settle(cost="0.20")
    assert heard.sum("videogen.jobs") == 1
    assert not telemetry._telemetry()._jobs


def test_it_follows_no_more_jobs_than_it_can_hold(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime

    monkeypatch.setattr(telemetry, "_MOST_JOBS", 10)
    for number in range(50):
        event = Event(job_id=f"vg-{number}", at=datetime.now(UTC), type="created", status="created")  # type: ignore[arg-type]
        telemetry.videogen_on_event(event)
    assert len(telemetry._telemetry()._jobs) == 10
    assert len(heard.named("videogen.job")) == 40


async def test_the_log_has_the_same_events_with_fields(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncClient(home=tmp_path / "home", plugins=[Acme(tmp_path / "vendor")]) as videogen:
        await videogen.generate(PROMPT, model="paper")
        assert not caplog.records
        caplog.set_level(logging.INFO, logger="videogen.events")
        result = await videogen.generate(PROMPT, model="paper", options=script(cost="0.25"))
    records = [record for record in caplog.records if record.name == "videogen.events"]
    types = [vars(record)["videogen_event"] for record in records]
    assert [t for t in types if t != "progress"] == [
        "created",
        "submitting",
        "accepted",
        "settled",
        "downloading",
        "stored",
    ]
    assert {vars(record)["videogen_job_id"] for record in records} == {result.job_id}
    assert {vars(record)["videogen_offer"] for record in records} == {"acme/paper"}
    settled = vars(records[types.index("settled")])
    assert (settled["videogen_status"], settled["videogen_cost"]) == ("succeeded", "0.25")
    assert PROMPT not in caplog.text
