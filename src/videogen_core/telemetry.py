"""OpenTelemetry: a trace for each job, and metrics of submits, polls, downloads, costs, retries and resting providers.

An extension like any other: it hears events and nothing else, so it holds no prompt, no address and no key. It is there
when the OpenTelemetry API is installed, and does nothing until the application sets up its SDK. Spans are made when a
stage is over, with the times of its events. A job's span is a child of the one in which the caller is. When another
process takes the job up, it begins a new one there, which links to the span in which the job was asked for.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from typing import Any

from . import tracing
from .hookspecs import hookimpl
from .retry import PROVIDER_FAULTS, Outcome, resting_until
from .states import TERMINAL, Artifact, Event, JobStatus

__all__ = ["ATTRIBUTES", "METRICS", "STAGES"]

STAGES = {"submitting": "videogen.submit", "accepted": "videogen.wait", "downloading": "videogen.download"}
"""Type of the event that begins a stage -> name of its span. The one around them is ``videogen.job``."""

METRICS = {
    "jobs": ("counter", "videogen.jobs", "{job}", "Jobs that are over, by how they ended."),
    "attempts": ("counter", "videogen.attempts", "{attempt}", "Creates, by what became of them."),
    "retries": ("counter", "videogen.retries", "{retry}", "Creates that were sent again after a pause."),
    "polls": ("counter", "videogen.polls", "{poll}", "Looks at jobs that are over."),
    "cost": ("counter", "videogen.cost", "USD", "What jobs have cost, where it is known."),
    "bytes": ("counter", "videogen.download.size", "By", "Clips that were stored."),
    "videogen.submit": ("histogram", "videogen.submit.duration", "s", "From asking to the answer."),
    "videogen.wait": ("histogram", "videogen.wait.duration", "s", "From the acceptance to the provider's last word."),
    "videogen.download": ("histogram", "videogen.download.duration", "s", "Fetching and checking the clips of a job."),
    "resting": (
        "gauge",
        "videogen.provider.resting",
        "1",
        "1 while a provider is left alone because it keeps failing.",
    ),
}
"""Every instrument: kind, name, unit, description."""

ATTRIBUTES = {
    "operation": "gen_ai.operation.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "job": "videogen.job.id",
    "offer": "videogen.offer",
    "outcome": "videogen.outcome",
    "error": "error.type",
    "cost": "videogen.cost",
    "polls": "videogen.polls",
}
"""What we call a thing -> what it is called in spans and metrics. Of the GenAI conventions that names no video yet."""

_OPERATION = "generate_content"
_MOST_JOBS = 10_000  # that are followed at once; the one that was quiet longest goes first
_OVER = {"settled", "failed", "rejected", "rewritten", "fallback", "unknown", "cancelled", "expired", "retrying"}
_AFTERWARDS = {"corrected", "redirected", "cancel_requested"}  # may come when a job is over, and begin nothing
_CREATES = {"accepted", "rejected", "unknown"}


@dataclass
class _Job:
    """What is known of a job that is under way."""

    span: Any
    stage: str = ""
    since: datetime | None = None
    offer: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class _Telemetry:
    """Turns events into spans and metrics."""

    def __init__(self) -> None:
        from opentelemetry import metrics, trace

        self._trace = trace
        self._tracer = trace.get_tracer("videogen")
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._outcomes: dict[str, deque[Outcome]] = {}
        self._lock = threading.Lock()
        meter = metrics.get_meter("videogen")
        make: dict[str, Any] = {"counter": meter.create_counter, "histogram": meter.create_histogram}
        self._metrics = {
            key: make[kind](name, unit, description)
            for key, (kind, name, unit, description) in METRICS.items()
            if kind in make
        }
        _, name, unit, description = METRICS["resting"]
        meter.create_observable_gauge(name, [self._resting], unit, description)

    def hear(self, event: Event) -> None:
        """Take in one event."""
        with self._lock:
            if event.type in _AFTERWARDS and event.job_id not in self._jobs:
                return
            job = self._jobs.get(event.job_id) or self._begin(event)
            self._jobs.move_to_end(event.job_id)
            job.offer = event.data.get("offer", job.offer)
            if job.stage and (event.type in STAGES or event.type in _OVER or _is_last(event)):
                self._leave(job, event)
            if event.type in STAGES:
                job.stage, job.since = STAGES[event.type], event.at
            self._count(job, event)
            if _is_last(event):
                self._end(event.job_id, event)

    def _begin(self, event: Event) -> _Job:
        while len(self._jobs) >= _MOST_JOBS:
            self._jobs.popitem(last=False)[1].span.end()
        links = self._links(event.data.get("trace", ""))
        span = self._tracer.start_span("videogen.job", start_time=_nanoseconds(event.at), links=links)
        self._jobs[event.job_id] = job = _Job(span)
        return job

    def _links(self, trace: str) -> list[Any]:
        """To the span in which the job was asked for, unless this is it."""
        _, trace_id, span_id, flags = trace.split("-") if trace and trace != tracing.current() else ("", "", "", "")
        if not trace_id:
            return []
        api = self._trace
        known = api.SpanContext(int(trace_id, 16), int(span_id, 16), True, api.TraceFlags(int(flags, 16)))
        return [api.Link(known)]

    def _leave(self, job: _Job, event: Event) -> None:
        """A stage is over: its span, and how long it took."""
        assert job.since is not None
        if job.stage == STAGES["downloading"] and event.type == "downloading":
            return  # the next clip of the same job
        context = self._trace.set_span_in_context(job.span)
        attributes = _named(self._facts(job, event))
        span = self._tracer.start_span(
            job.stage,
            context,
            start_time=_nanoseconds(job.since),
            attributes=attributes,
            kind=self._trace.SpanKind.CLIENT,
        )
        if event.data.get("error"):
            span.set_status(self._trace.StatusCode.ERROR, str(event.data["error"].get("type", "")))
        span.end(_nanoseconds(event.at))
        self._metrics[job.stage].record(max((event.at - job.since).total_seconds(), 0.0), _named(_of(job.offer)))
        job.stage, job.since = "", None

    def _count(self, job: _Job, event: Event) -> None:
        told, data = _of(job.offer), event.data
        if event.type in _CREATES and not (event.type == "rejected" and event.data.get("polls")):
            self._metrics["attempts"].add(1, _named({**told, "outcome": event.type}))
        if event.type == "retrying":
            self._metrics["retries"].add(1, _named(told))
        if polls := data.get("polls"):
            self._metrics["polls"].add(polls, _named(told))
            job.facts["polls"] = job.facts.get("polls", 0) + polls
        if event.type in ("settled", "revived") and data.get("cost") is not None:
            self._metrics["cost"].add(float(data["cost"]), _named(told))
            job.facts["cost"] = float(data["cost"])
        if event.type == "stored":
            self._metrics["bytes"].add(data.get("size", 0), _named(told))
        failed = (data.get("error") or {}).get("type") in PROVIDER_FAULTS
        if job.offer and (failed or event.type == "settled"):
            past = self._outcomes.setdefault(job.offer.partition("/")[0], deque(maxlen=50))
            past.append(Outcome(event.at.timestamp(), failed))

    def _end(self, job_id: str, event: Event) -> None:
        job = self._jobs.pop(job_id)
        outcome = "expired" if event.type == "expired" else event.status.value
        job.span.set_attributes(_named({**self._facts(job, event), **job.facts, "outcome": outcome}))
        if event.status is JobStatus.FAILED or outcome == "expired":
            job.span.set_status(self._trace.StatusCode.ERROR, str((event.data.get("error") or {}).get("type", outcome)))
        job.span.end(_nanoseconds(event.at))
        self._metrics["jobs"].add(1, _named({**_of(job.offer), "outcome": outcome}))

    def _facts(self, job: _Job, event: Event) -> dict[str, Any]:
        error = (event.data.get("error") or {}).get("type")
        facts = {"operation": _OPERATION, "job": event.job_id, **_of(job.offer), "polls": event.data.get("polls")}
        return {**facts, "error": error}

    def _resting(self, options: Any) -> Iterable[Any]:
        from opentelemetry.metrics import Observation

        now = datetime.now(UTC).timestamp()
        with self._lock:
            for provider, past in self._outcomes.items():
                until = resting_until(list(past))
                yield Observation(int(until is not None and until > now), _named({"provider": provider}))


def _is_last(event: Event) -> bool:
    """Whether nothing more will happen to a job, but for what people say of it later."""
    if event.status is JobStatus.SUCCEEDED:
        return event.type in ("expired", "cached") or event.data.get("artifact") == Artifact.STORED.value
    return event.status in TERMINAL


def _of(offer: str) -> dict[str, Any]:
    provider, _, model = offer.partition("/")
    return {"offer": offer, "provider": provider, "model": model} if offer else {}


def _named(facts: dict[str, Any]) -> dict[str, Any]:
    return {ATTRIBUTES[name]: value for name, value in facts.items() if value is not None}


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000


@cache
def _telemetry() -> _Telemetry:
    return _Telemetry()


if find_spec("opentelemetry") is not None:

    @hookimpl
    def videogen_on_event(event: Event) -> None:
        """Hear of what happens to jobs."""
        _telemetry().hear(event)
