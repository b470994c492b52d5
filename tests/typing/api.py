"""The public API as a user writes against it. Never run: ``nox -s types`` checks it with mypy in strict mode.

``assert_type`` pins what an editor shows; a change here is a change of the public interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, assert_type

import videogen
import videogen_core
from videogen import (
    AsyncClient,
    AsyncJob,
    Candidate,
    Client,
    Context,
    Event,
    Job,
    JobStatus,
    ModelSpec,
    Provider,
    ProviderJob,
    Quote,
    QuoteLine,
    Rejection,
    Result,
    Route,
    Session,
    Snapshot,
    Submission,
    SubmitCall,
    Video,
    VideogenError,
    Violation,
)


def on_event(event: Event) -> None:
    assert_type(event.seq, int)
    assert_type(event.job_id, str)


def one_call(image: bytes) -> None:
    result = videogen.generate(
        "A paper boat drifting down a rainy street",
        model=["veo-3.1-fast", "sandbox"],
        duration=8,
        resolution="720p",
        aspect_ratio="16:9",
        audio=True,
        seed=7,
        count=1,
        image=image,
        last_frame=None,
        reference_images=[Path("style.png"), "https://example.com/look.png"],
        negative_prompt=None,
        fps=None,
        camera=["push in"],
        options={"veo": {"person_generation": "allow_adult"}},
        max_cost="1.50",
        prefer="cheapest",
        quality="standard",
        providers=None,
        allow_unknown_price=False,
        accept_licenses=["ltx-2-community"],
        fit="nearest",
        output=Path("boat.mp4"),
        overwrite=True,
        fallback=True,
        fallback_on_policy=False,
        idempotency_key=None,
        tags={"team": "ads"},
        timeout=900,
        on_event=on_event,
    )
    assert_type(result, Result)
    assert_type(result.path, Path | None)
    assert_type(result.videos, tuple[Video, ...])
    assert_type(result.model, str)
    assert_type(result.provider, str)
    assert_type(result.cost, Decimal | None)
    assert_type(result.job_id, str)
    video = result.videos[0]
    assert_type(video.path, Path | None)
    assert_type(video.duration, float | None)
    assert_type(video.has_audio, bool)


def wrong_calls() -> None:
    videogen.generate("x", prefer="best of all")  # type: ignore[arg-type]
    videogen.generate("x", duratoin=8)  # type: ignore[call-arg]
    videogen.generate("x", fit="roughly")  # type: ignore[arg-type]
    videogen.estimate("x", output="boat.mp4")  # type: ignore[call-arg]
    videogen.check("x")  # type: ignore[call-arg]
    videogen.nonsense  # type: ignore[attr-defined]  # noqa: B018


def before_paying() -> None:
    quote = videogen.estimate(model="veo-3.1-fast", duration=8, audio=True, resolution="1080p")
    assert_type(quote, Quote)
    assert_type(quote.amount, Decimal | None)
    assert_type(quote.lines, tuple[QuoteLine, ...])
    route = videogen.route("A paper boat", duration=8, max_cost=1)
    assert_type(route, Route)
    assert_type(route.chosen, Candidate)
    assert_type(route.candidates, tuple[Candidate, ...])
    assert_type(route.rejected, tuple[Rejection, ...])
    assert_type(route.explain(), str)
    violations = videogen.check("A paper boat", model="veo-3.1-fast", duration=5)
    assert_type(violations, list[Violation])
    assert_type(violations[0].field, str)
    assert_type(videogen.max_duration(model="veo-3.1-fast", max_cost=1), float | None)
    assert_type(videogen.models(task="image_to_video", audio=True, max_price_per_second=0.2), list[ModelSpec])


def jobs() -> None:
    job = videogen.submit("A paper boat", model="sandbox")
    assert_type(job, Job)
    assert_type(job.status, JobStatus)
    assert_type(job.progress, float | None)
    assert_type(job.provider_job_id, str | None)
    assert_type(job.created_at, datetime)
    assert_type(job.refresh(), Job)
    assert_type(job.cancel(), Job)
    for event in job.events():
        assert_type(event, Event)
    assert_type(videogen.job(job.id).wait(timeout=60), Result)
    assert_type(videogen.jobs(status="running", tags={"team": "ads"}, limit=50), list[Job])
    assert_type(videogen.events(job.id, after=3), list[Event])
    for answer in videogen.resume():
        if isinstance(answer, VideogenError):
            assert_type(answer.hint, str | None)
        else:
            assert_type(answer, Result)


async def the_same_words_async() -> None:
    assert_type(await videogen.agenerate("A paper boat", model="sandbox", on_event=on_event), Result)
    job = await videogen.asubmit("A paper boat", model="sandbox")
    assert_type(job, AsyncJob)
    assert_type(await job.wait(), Result)
    assert_type(await job.refresh(), AsyncJob)
    assert_type(await job.cancel(), AsyncJob)
    async for event in job.events():
        assert_type(event, Event)
    assert_type(await videogen.aestimate(model="sandbox"), Quote)
    assert_type(await videogen.aroute("A paper boat"), Route)
    assert_type(await videogen.acheck("A paper boat", model="sandbox"), list[Violation])
    assert_type(await videogen.amax_duration(model="sandbox", max_cost="2"), float | None)
    assert_type(await videogen.amodels(ready=True), list[ModelSpec])
    assert_type(await videogen.ajob(job.id), AsyncJob)
    assert_type(await videogen.ajobs(unfinished=True), list[AsyncJob])
    assert_type(await videogen.aevents(job.id), list[Event])
    assert_type(await videogen.aresume(timeout=60), list[Result | VideogenError])


async def listening(event: Event) -> None:
    assert_type(event, Event)


def clients() -> None:
    with Client(home="somewhere", max_cost=Decimal("2")) as client:
        assert_type(client, Client)
        assert_type(client.generate("A paper boat", model="sandbox"), Result)
        assert_type(client.submit("A paper boat"), Job)
        assert_type(client.estimate(model="sandbox"), Quote)
    assert_type(videogen.configure(ledger="memory"), Client)
    assert_type(videogen.default_client(), Client)


async def async_clients() -> None:
    async with AsyncClient(plugins=[AcmeProvider()], ledger="memory") as client:
        assert_type(client, AsyncClient)
        assert_type(await client.generate("A paper boat", model="acme", on_event=listening), Result)
        assert_type(await client.submit("A paper boat"), AsyncJob)
        assert_type(await client.jobs(), list[AsyncJob])


def errors() -> str:
    try:
        videogen.generate("A paper boat")
    except videogen.UnsupportedRequestError as error:
        return ", ".join(str(violation) for violation in error.violations)
    except videogen.NoRouteError as error:
        return str(error.rejected)
    except videogen.RateLimitError as error:
        assert_type(error.retry_after, float | None)
        return error.message
    except videogen.ProviderError as error:
        assert_type(error.charged, bool | None)
        assert_type(error.status_code, int | None)
        assert_type(error.retryable, bool)
        return error.provider or "unknown"
    except (videogen.JobTimeoutError, videogen.SubmissionUnknownError, videogen.DownloadError) as error:
        assert_type(error.job_id, str | None)
        return error.hint or ""
    except videogen.VideogenError as error:
        assert_type(error.to_dict(), dict[str, Any])
    return ""


# --- a provider, as an outside plugin writes one


class AcmeSession(Session):
    def __init__(self, context: Context) -> None:
        self._http = context.http(base_url="https://acme.example")

    async def submit(self, call: SubmitCall) -> Submission:
        assert_type(call.spec, ModelSpec)
        assert_type(call.request, videogen.VideoRequest)
        if call.request.image is not None:
            assert_type(await call.read(call.request.image), bytes)
        answer = await self._http.post("/videos", json={"prompt": call.request.prompt})
        if answer.status_code == 429:
            raise videogen.RateLimitError("Too many jobs.", provider="acme", accepted=False, retry_after=10.0)
        return Submission(provider_job_id=str(answer.json()["id"]), handle={"region": "eu"})

    async def poll(self, job: ProviderJob) -> Snapshot:
        assert_type(job.handle, dict[str, Any])
        return Snapshot(
            status=JobStatus.SUCCEEDED,
            outputs=(videogen.Output(url="https://acme.example/clip.mp4"),),
            cost=Decimal("0.40"),
        )

    async def cancel(self, job: ProviderJob) -> videogen.Cancellation:
        return videogen.Cancellation(accepted=True)


class AcmeProvider(Provider):
    name: ClassVar[str] = "acme"
    title: ClassVar[str] = "Acme"
    plugin_api: ClassVar[int] = videogen.PLUGIN_API

    def check_ready(self, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        if "ACME_API_KEY" not in environment:
            raise videogen.MissingCredentialsError("Set ACME_API_KEY.", hint="Get a key at https://acme.example/keys.")

    def connect(self, context: Context) -> Session:
        return AcmeSession(context)


class ForgetfulProvider(Provider):
    """Lacks ``connect``."""


ForgetfulProvider()  # type: ignore[abstract]


@videogen_core.hookimpl
def videogen_provider() -> Provider:
    return AcmeProvider()
